//! From what was loaded to what is written and answered.

use super::live::LiveTaken;
use super::loaded::{Loaded, Moment};
use super::progress::Progress;
use super::write_set::WriteSet;
use crate::model::{Author, Intake, Lsn, NodeId, Reached, Receipt, Refused, Rejection};

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
    /// To a registered node's packet.
    Packet(Taken),
    /// A packet of the hub has its number.
    Dispatched {
        /// The number.
        number: u64,
    },
    /// The node's reading moved while the hub's packet was made: what it holds may be wrong. Nothing
    /// was issued; the packet is to be made anew.
    Moved,
    /// To a client of the `live` dialect.
    Live(LiveTaken),
    /// The node is not registered in this space; nothing was applied.
    UnknownNode,
    /// To the hub's own upkeep.
    Expired {
        /// Documents that were removed.
        removed: u64,
    },
    /// To a person who decided about a kept row.
    Mended(Mended),
    /// The node belongs to another token; nothing was applied.
    NodeTaken {
        /// The token.
        owner: NodeId,
    },
    /// The batch id was used before with other content; nothing was applied.
    BatchReused,
}

/// What became of a node's packet, and from where the answer is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The node's number in this space.
    pub author: Author,
    /// The highest packet accepted from the node.
    pub ack: u64,
    /// It was taken in before, and nothing changed by it now.
    pub repeated: bool,
    /// Entities of this packet that were set aside.
    pub refused: Vec<Refused>,
    /// The last number given to a packet of the hub.
    pub issued: u64,
    /// From where on the node is still to be told.
    pub reached: Reached,
    /// Up to here the log holds nothing to be told: it need not be read.
    pub quiet: Option<Lsn>,
}

/// What became of a row of the ledger or of the quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mended {
    /// Its op stands.
    Done {
        /// The change that carries its effect; 0: it was so already.
        lsn: Lsn,
        /// It was done before, and nothing changed by it now.
        repeated: bool,
    },
    /// It has left the quarantine without effect.
    Discarded {
        /// It was done before.
        repeated: bool,
    },
    /// It has left the quarantine long ago, one way or the other.
    Settled,
    /// There is no such row.
    Unknown,
    /// The op still cannot be applied; the row stays.
    Refused(Rejection),
}

/// Decides a group of pushes one after the other, as if each had come alone. Only a push that is alone is refused what
/// can no longer be asked ([`Loaded::last_look`]): in a group it might have been another one that used the questions up.
#[must_use]
pub fn decide(mut loaded: Loaded, group: &[Intake], moment: Moment) -> Decision {
    loaded.last_look &= group.len() < 2;
    let mut progress = Progress::new(loaded, moment);
    let replies = group
        .iter()
        .map(|intake| match intake {
            Intake::Own(batch) => progress.own(batch),
            Intake::Foreign(batch) => progress.foreign(batch),
            Intake::Packet(packet) => progress.packet(packet),
            Intake::Dispatch(dispatch) => progress.dispatch(dispatch),
            Intake::Live(batch) => Reply::Live(progress.live_batch(batch)),
            Intake::Expiry(expiry) => progress.expiry(expiry),
            Intake::Mend(mend) => Reply::Mended(progress.mend(mend)),
        })
        .collect();
    Decision { writes: progress.into_writes(), replies }
}
