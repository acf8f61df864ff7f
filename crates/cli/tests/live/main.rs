//! The real binary with the clients that people really use: npm's `socket.io-client`, PyPI's `python-socketio`, nginx,
//! Redis, and the emitters of other back ends.
//!
//! Owns the promises of the live dialect and of rooms as seen from outside of the process. Must never look into the
//! hub's files or call its code. The scenarios are in the scripts beside; [`play`] runs them, [`machine`] is where
//! [`worker`], [`nginx`] and [`redis`] stand.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod browsers;
mod clients;
mod devices;
#[path = "../support/environment.rs"]
mod environment;
#[path = "../support/eventually.rs"]
mod eventually;
mod machine;
mod nginx;
mod play;
mod python;
mod redis;
mod restored;
mod unit;
mod worker;
mod workers;
