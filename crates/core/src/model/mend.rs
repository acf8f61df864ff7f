//! What a person decided about a row that the hub has kept: the ledger's losing side comes back, an op in quarantine is
//! tried again or dropped. Owns the shapes; what follows is the hub's decision.

use super::{CollectionName, DocId, Edit, NodeId};

/// A decision about one row of the ledger or of the quarantine.
#[derive(Clone, Debug)]
pub struct Mend {
    /// The row's number.
    pub n: u64,
    /// What is to become of it.
    pub act: MendAct,
}

/// What is to become of a row.
#[derive(Clone, Debug)]
pub enum MendAct {
    /// Of the ledger: the losing side becomes an op on what stands now.
    Restore {
        /// Where its document lives.
        collection: CollectionName,
        /// Which document.
        id: DocId,
    },
    /// Of the quarantine: the op, as it was set aside or as a person has mended it, on what stands now.
    Retry {
        /// Where its document lives.
        collection: CollectionName,
        /// Which document.
        id: DocId,
        /// The op.
        edit: Edit,
    },
    /// Of the quarantine: nobody wants the op any more.
    Discard,
    /// Of the quarantine, a row that was not found: what became of it?
    Ask,
}

impl MendAct {
    /// In whose name the op is made. No client may use these names.
    #[must_use]
    pub fn author(&self) -> NodeId {
        match self {
            MendAct::Restore { .. } => NodeId::of_ledger(),
            MendAct::Retry { .. } | MendAct::Discard | MendAct::Ask => NodeId::of_quarantine(),
        }
    }

    /// The document that it changes.
    #[must_use]
    pub fn place(&self) -> Option<(&CollectionName, &DocId)> {
        match self {
            MendAct::Restore { collection, id } | MendAct::Retry { collection, id, .. } => Some((collection, id)),
            MendAct::Discard | MendAct::Ask => None,
        }
    }
}
