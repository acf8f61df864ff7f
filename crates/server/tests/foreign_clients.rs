//! WiseJSON clients of three generations against a running hub: the requirements L1 to L20 of the
//! `lsn` dialect for clients that cannot be changed. Test names begin with the requirement.

mod support;
mod wise;
