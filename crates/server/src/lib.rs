//! The Syncline hub as a library.

pub mod store;
