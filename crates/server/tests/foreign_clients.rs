//! WiseJSON clients of three generations against a running hub: the requirements L1 to L20 of the
//! `lsn` dialect for clients that cannot be changed. Test names begin with the requirement.
#![allow(clippy::unwrap_used)] // the helpers of tests are tests too

mod support;
mod wise;
