//! An edit that a node intends, before the hub has decided it.

use super::{Body, CollectionName, DocId, Fields, Lsn, Seq, Stamp};
use std::collections::BTreeSet;

/// What makes an op the same op when it is sent again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpKey {
    /// Our own client: its number in the node's outbox.
    Seq(Seq),
    /// A foreign client's random id, or what identifies its op, as 16 bytes.
    Foreign([u8; 16]),
    /// A foreign op without any identity: only its batch id protects it.
    None,
}

/// The hub's version that the edit was made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The document as of this LSN; 0: the author knew no version of it.
    At(Lsn),
    /// Unknown: the author had read the log up to here.
    ReadUpTo(Lsn),
}

impl Base {
    /// Everything up to here was known to the author of the edit.
    #[must_use]
    pub fn lsn(self) -> Lsn {
        match self {
            Base::At(lsn) | Base::ReadUpTo(lsn) => lsn,
        }
    }
}

/// What an op does to one document. The unit of an edit is the top-level field.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// A new document. Where the id exists, its fields are set.
    Insert(Body),
    /// Fields to set and fields to take away.
    Update {
        /// New values by field.
        set: Fields,
        /// Fields to take away.
        unset: BTreeSet<String>,
    },
    /// The whole document anew.
    Replace {
        /// The document afterwards.
        body: Body,
        /// Fields that differ from the base (new, changed or gone); used by the `merge` strategy.
        changed: BTreeSet<String>,
    },
    /// The document goes away.
    Remove,
}

/// One edit with its identity and its place in time.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// The same for every repeat of this op.
    pub key: OpKey,
    /// Where the document lives.
    pub collection: CollectionName,
    /// Which document.
    pub id: DocId,
    /// What happens to it.
    pub edit: Edit,
    /// What its author knew.
    pub base: Base,
    /// When it was made.
    pub stamp: Stamp,
    /// Ops of one batch with the same number are accepted or rejected together.
    pub txn: Option<u32>,
}

impl Op {
    /// The number of an own op; 0 for foreign ones, which have none.
    #[must_use]
    pub fn seq(&self) -> Seq {
        match self.key {
            OpKey::Seq(seq) => seq,
            OpKey::Foreign(_) | OpKey::None => Seq::default(),
        }
    }
}
