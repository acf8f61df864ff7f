//! The one rule that decides concurrent edits (step 5 of the life of a change). The hub applies
//! it when it accepts an op; the client applies the same function when it rebases pending ops on
//! pulled versions, so both come to the same document.

mod apply;
mod strategy;

pub use apply::{Loss, Merged, Party, Values, apply};
pub use strategy::Strategy;
