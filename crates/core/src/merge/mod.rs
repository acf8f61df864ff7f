//! The one rule that decides concurrent edits (step 5 of the life of a change). The hub applies
//! it when it accepts an op; the client applies the same function when it rebases pending ops on
//! pulled versions, so both come to the same document.
//!
//! A document is a set of last-write-wins fields with a removal and a birth of its own. The result
//! of a set of edits does not depend on their order under [`LastWriteWins`](crate::model::Strategy::LastWriteWins):
//!
//! - a field keeps the value with the latest stamp; equal stamps keep the greater text;
//! - a replacement takes away every field that is not newer than it;
//! - a document is visible when it was born (inserted or replaced) and some edit is newer than its
//!   removal; an edit that outlives a removal brings the other fields back, a birth after a removal
//!   does not.

mod apply;
mod draft;
mod losses;

#[cfg(test)]
mod tests;

pub use apply::{Merged, Party, apply};
pub use losses::{Loss, Values};
