//! Pages in rooms: joining, envelopes, dependencies, sources of events, several workers with a real Redis between.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod support;

mod rooms;
