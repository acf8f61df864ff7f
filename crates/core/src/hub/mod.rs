//! The hub's side of a push, as pure functions (steps 4 to 6 of the life of a change).
//!
//! [`touch`] says what a group of pushes needs to know, a store loads it under the space's lock,
//! [`decide`] turns it into the set of rows to write and the answers to give. Nothing here waits,
//! reads a clock or asks a store for more.

mod decide;
mod exchange;
mod expiry;
mod foreign;
mod live;
mod loaded;
mod mend;
mod own;
mod progress;
mod rows;
mod rules;
mod traffic;
mod unique;
mod weave;
mod write_set;

#[cfg(test)]
mod tests;

pub use decide::{Decision, Mended, Reply, Taken, decide};
pub use live::{Fate, LiveTaken};
pub use loaded::{AuthorState, BatchKey, DocKey, KeptLoss, Loaded, Moment, StoredBatch, Touch, touch};
pub use rules::{breaches, is_rule_code, shared};
pub use write_set::{Change, Claimed, Conflict, Entry, Quarantined, Return, Ticket, WriteSet};
