//! Registered nodes that exchange packets with a running hub: the requirements X1 to X15 of the `exchange`
//! dialect, whose names the tests begin with.
#![allow(clippy::unwrap_used)] // the helpers of tests are tests too

mod exchange;
mod support;
