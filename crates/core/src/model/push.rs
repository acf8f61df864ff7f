//! What a dialect hands to the hub: pushes that are decoded, authenticated and within the limits.

use super::{
    BatchId, Body, CollectionName, Dispatch, DocId, Fields, LiveBatch, Lsn, Mend, Millis, NodeId, Op, Packet,
    Rejection, RowFilters, Seq, Stamp, Strategy,
};
use std::sync::Arc;

/// One push, waiting to be decided.
#[derive(Clone, Debug)]
pub enum Intake {
    /// From our own client: numbered ops over any collections, each answered with a receipt.
    Own(OwnBatch),
    /// From a foreign client: ops on one collection without a base or (for some) a time.
    Foreign(ForeignBatch),
    /// From a registered node: a numbered packet of its changes.
    Packet(Packet),
    /// From the dialect: a packet of the hub is about to be sent.
    Dispatch(Dispatch),
    /// From a client of the `live` dialect: events, each answered with what became of it.
    Live(LiveBatch),
    /// From the hub itself: documents whose time seems to be over.
    Expiry(Expiry),
    /// From a person: what is to become of a row of the ledger or of the quarantine.
    Mend(Mend),
}

/// Documents that the hub found expired. Whether they still are is decided with the push.
#[derive(Clone, Debug, Default)]
pub struct Expiry {
    /// Where they live.
    pub docs: Vec<(CollectionName, DocId)>,
    /// The time of their collection is over: those go whose newest change is here or before. `None`: their own time
    /// decides.
    pub unchanged_since: Option<Lsn>,
}

/// A push of our own client.
#[derive(Clone, Debug)]
pub struct OwnBatch {
    /// Who pushes.
    pub node: NodeId,
    /// On what grounds it speaks for the node.
    pub claim: Claim,
    /// The rows that it may write: its edits must find and leave documents that these mean.
    pub rows: Arc<RowFilters>,
    /// The rows that it may read; `None`: it may read nothing.
    pub readable: Option<Arc<RowFilters>>,
    /// The batch's name; a repeat of it is answered from the stored receipts.
    pub batch: BatchId,
    /// Digest of the content: the same name with other content is refused.
    pub digest: u64,
    /// The client's strategy for collections where the hub sets none.
    pub strategy: Option<Strategy>,
    /// The ops in the order of their numbers.
    pub steps: Vec<Step>,
}

impl OwnBatch {
    /// Whether its sender may be told of any document of a collection.
    #[must_use]
    pub fn may_know_of(&self, collection: &CollectionName) -> bool {
        let name = collection.as_str();
        !self.rows.limit(name) && self.readable.as_ref().is_some_and(|rows| !rows.limit(name))
    }
}

/// On what grounds a push speaks for its node. A node belongs to the token that first pushed as it, so
/// that nobody else numbers ops in its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It needs none (an admin's token), and leaves the node to whom it belongs.
    Free,
    /// By a token that the node may belong to.
    By {
        /// The token.
        token: NodeId,
        /// A token that is no longer accepted: a node of its is free.
        instead_of: Option<NodeId>,
    },
    /// By a token that was made for this node: it takes the node over.
    Made {
        /// The token.
        token: NodeId,
    },
}

/// One element of an own push.
#[derive(Clone, Debug)]
pub enum Step {
    /// An edit of one document.
    Edit(Op),
    /// Removal of every document of a collection that the node knew.
    Clear {
        /// Its number in the node's outbox.
        seq: Seq,
        /// Which collection.
        collection: CollectionName,
        /// Documents changed by others after this stay.
        read_up_to: Lsn,
        /// When it was made.
        stamp: Stamp,
        /// Ops of one batch with the same number are accepted or rejected together.
        txn: Option<u32>,
    },
    /// An element that can never be applied.
    Poison(Poison),
}

impl Step {
    /// The op's number.
    #[must_use]
    pub fn seq(&self) -> Seq {
        match self {
            Step::Edit(op) => op.seq(),
            Step::Clear { seq, .. } => *seq,
            Step::Poison(poison) => poison.seq,
        }
    }

    /// Tells the op from another one that bears its number: by its time and its document. The same for every repeat,
    /// whatever batch it comes in. `None`: it could not be read.
    #[must_use]
    pub fn digest(&self) -> Option<u32> {
        let (stamp, collection, id) = match self {
            Step::Edit(op) => (op.stamp, &op.collection, op.id.as_str()),
            Step::Clear { collection, stamp, .. } => (*stamp, collection, ""),
            Step::Poison(_) => return None,
        };
        let names = [collection.as_str(), "/", id];
        let bytes = stamp.0.to_be_bytes().into_iter().chain(names.iter().flat_map(|name| name.bytes()));
        // FNV-1a.
        Some(bytes.fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)))
    }

    /// The op's transaction within the batch.
    #[must_use]
    pub fn txn(&self) -> Option<u32> {
        match self {
            Step::Edit(op) => op.txn,
            Step::Clear { txn, .. } => *txn,
            Step::Poison(poison) => poison.txn,
        }
    }
}

/// An element that cannot be read or is not allowed; it goes to quarantine with its reason.
#[derive(Clone, Debug)]
pub struct Poison {
    /// Its number, so that it can be answered.
    pub seq: Seq,
    /// Its transaction, which is rejected with it.
    pub txn: Option<u32>,
    /// The collection, when it could be read.
    pub collection: Option<CollectionName>,
    /// The document, when it could be read.
    pub id: Option<DocId>,
    /// The element as it was sent.
    pub raw: String,
    /// What is wrong with it.
    pub rejection: Rejection,
}

/// A push of a foreign client, on one collection.
#[derive(Clone, Debug)]
pub struct ForeignBatch {
    /// [`NodeId::of_token`]: the only identity that such a client has.
    pub node: NodeId,
    /// Which collection the base URL stands for.
    pub collection: CollectionName,
    /// The batch's name, when the client's generation sends one.
    pub batch: Option<BatchId>,
    /// Digest of the content: the same name with other content is refused.
    pub digest: u64,
    /// Ops in the order in which they were sent, without those marked `_remote`.
    pub ops: Vec<ForeignOp>,
    /// Every client that may have sent this has been served at least up to here; 0: unknown.
    pub served: Lsn,
    /// LSN ranges of earlier pushes that the sender certainly made itself.
    pub own: Vec<(Lsn, Lsn)>,
    /// Whether, as far as the hub can tell, one device alone uses the key: then its plain ops come in
    /// the order in which they were made.
    pub sole: bool,
    /// Whether an earlier push of the same cycle held a `CLEAR`: documents that a transaction inserts
    /// may have been gone with it, so their sender must get them back.
    pub cleared: bool,
    /// Whether the sender takes the number of the reply for its cursor, so that it needs a ticket.
    pub numbered: bool,
    /// The rows that it may write: its ops must find and leave documents that these mean.
    pub rows: Arc<RowFilters>,
}

/// One element of a foreign push, taken apart.
#[derive(Clone, Debug)]
pub struct ForeignOp {
    /// The same for every repeat: from `opId`, or from the transaction's identity. `None`: no identity was sent.
    pub key: Option<[u8; 16]>,
    /// What it does.
    pub edit: ForeignEdit,
    /// When it was made, where the element says so (`updatedAt` of the document or data, `ts` of a transaction).
    pub time: Option<Millis>,
    /// Number of the transaction inside this batch, for elements of a transaction.
    pub txn: Option<u32>,
    /// The element as it was sent, for quarantine; empty for elements that never end there.
    pub raw: String,
}

/// What a foreign element does. `BATCH_INSERT` and `insertMany` arrive as one of these per document.
#[derive(Clone, Debug)]
pub enum ForeignEdit {
    /// A complete document.
    Insert(DocId, Body),
    /// Fields to set; foreign updates never take a field away.
    Update(DocId, Fields),
    /// The document goes away.
    Remove(DocId),
    /// Every document goes away.
    Clear,
    /// Well formed, but over a limit of this hub: set aside, so that nothing behind it waits.
    Unusable(Rejection),
}
