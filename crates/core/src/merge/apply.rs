//! What becomes of one edit on one document.

use super::Strategy;
use crate::model::{Author, Base, Edit, Lsn, Stamp, Verdict, Version};

/// Who made an edit, when and knowing what; and the change it would become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    /// Who.
    pub author: Author,
    /// When.
    pub stamp: Stamp,
    /// Knowing what.
    pub base: Base,
    /// The LSN that the edit's change would take.
    pub lsn: Lsn,
}

/// What one edit made of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The version afterwards; `None`: nothing changed, not even out of sight.
    pub version: Option<Version>,
    /// What the author is told.
    pub verdict: Verdict,
    /// Concurrent edits that lost by this.
    pub losses: Vec<Loss>,
}

/// Values of a concurrent edit that lost, and those that won.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Who won.
    pub winner: Author,
    /// Who lost.
    pub loser: Author,
    /// What was lost.
    pub losing: Values,
    /// What stands instead.
    pub winning: Values,
}

/// One side of a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// Values of single fields, as a JSON object; absent fields are null.
    Fields(String),
    /// A whole document.
    Document(String),
    /// The removal of the document.
    Removal,
}

/// Decides an edit on the current version (`None`: the id has never been seen).
#[must_use]
pub fn apply(_current: Option<&Version>, _edit: &Edit, _party: Party, _rule: Strategy) -> Merged {
    unimplemented!("written next")
}
