//! The hub's decisions.
