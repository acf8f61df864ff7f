//! From what was loaded to what is written and answered.

use super::loaded::{Loaded, Rules};
use super::progress::Progress;
use super::write_set::WriteSet;
use crate::model::Intake;
use crate::model::{Author, Lsn, NodeId, Receipt};

/// What a group of pushes leads to.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// The rows to write.
    pub writes: WriteSet,
    /// One answer for each push, in order.
    pub replies: Vec<Reply>,
}

/// The answer to one push, valid once its write set is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To our own client.
    Own {
        /// The node's number in this space.
        author: Author,
        /// One for each op, in order.
        receipts: Vec<Receipt>,
    },
    /// To a foreign client.
    Foreign {
        /// The number for its `server_lsn`.
        lsn: Lsn,
        /// LSNs among which are the new documents that this push created.
        fresh: Option<(Lsn, Lsn)>,
    },
    /// To the hub's own upkeep.
    Expired {
        /// Documents that were removed.
        removed: u64,
    },
    /// The node belongs to another token; nothing was applied.
    NodeTaken {
        /// The token.
        owner: NodeId,
    },
    /// The batch id was used before with other content; nothing was applied.
    BatchReused,
}

/// Decides a group of pushes one after the other, as if each had come alone.
#[must_use]
pub fn decide(loaded: Loaded, group: &[Intake], rules: Rules) -> Decision {
    let mut progress = Progress::new(loaded, rules);
    let replies = group
        .iter()
        .map(|intake| match intake {
            Intake::Own(batch) => progress.own(batch),
            Intake::Foreign(batch) => progress.foreign(batch),
            Intake::Expiry(expiry) => progress.expiry(expiry),
        })
        .collect();
    Decision { writes: progress.into_writes(), replies }
}
