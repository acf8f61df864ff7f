//! Event sync with clients that behave as NebulaDB's plugin does, and with bare ones.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

#[path = "live/mod.rs"]
mod live;
mod support;
