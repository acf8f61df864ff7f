//! What a hub tells our own client: pages, snapshots and the answer to a push, shaped as they stand on
//! the wire (`spec/lsn.md`), because the session decides by the same fields that the codec reads.

use super::{Author, CollectionName, DocId, Epoch, Lsn, Mark, Meta, Receipt, Refused, Stamp, View};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// Of the collections that somebody sees only some rows of: which. Those that are seen whole are not named.
pub type Views = BTreeMap<CollectionName, View>;

/// The answer to a push.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PushReply {
    /// `ok`.
    pub status: String,
    /// The last change of the log. Never a cursor: only pages and snapshots move cursors.
    pub server_lsn: Lsn,
    /// The history that LSNs count in.
    pub epoch: Epoch,
    /// The node's number in this space.
    #[serde(default)]
    pub author: Author,
    /// One for each op, in order.
    pub receipts: Vec<Receipt>,
    /// What the answer to a packet (`exchange`) holds beside; its receipt stands for `receipts`.
    #[serde(skip)]
    pub page: Option<Page>,
}

/// A pulled page, or a line of a snapshot after its first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Page {
    /// The page is complete up to here: the reader's next cursor.
    pub server_lsn: Lsn,
    /// The history that LSNs count in.
    pub epoch: Epoch,
    /// Whether another page follows at once.
    #[serde(default)]
    pub has_more: bool,
    /// What the token sees of the collections. Where that differs from what the reader's cursor belongs to, the reader
    /// starts those collections over: what is new to it may stand behind the cursor.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub views: Views,
    /// The changes in LSN order.
    pub ops: Vec<PageOp>,
    /// What the reader had been told was accepted, and lost later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts: Option<LateConflicts>,
    /// Of a packet (`exchange`): to be stored before the changes, which were read after it took effect.
    #[serde(skip)]
    pub receipt: Option<PacketReceipt>,
}

impl Page {
    /// Whether it tells a reader at this position nothing of the log or of the ledger.
    #[must_use]
    pub fn brings_nothing(&self, since: Lsn) -> bool {
        self.ops.is_empty() && self.server_lsn <= since && !self.has_more && self.conflicts.is_none()
    }
}

/// Rows of the hub's ledger by which a reader learns that edits of its own lost after they were accepted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LateConflicts {
    /// The number of the last row that was looked at: the reader asks on from there.
    pub upto: u64,
    /// The rows in the order of their numbers.
    pub rows: Vec<LateConflict>,
}

/// An edit that lost after it was accepted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LateConflict {
    /// The row's number in the ledger.
    pub n: u64,
    /// Where.
    pub collection: CollectionName,
    /// Which document.
    pub id: DocId,
    /// The change that stands.
    pub lsn: Lsn,
    /// What was lost.
    pub lost: Lost,
    /// The values: the fields that were lost, or the document; absent for a removal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Box<RawValue>>,
    /// Fields that the edit had taken away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unset: Vec<String>,
}

/// What of an edit was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lost {
    /// Some fields.
    Fields,
    /// The document as a whole.
    Document,
    /// A removal.
    Removal,
}

/// What a hub's packet says about this node's own packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PacketReceipt {
    /// The number of the hub's packet: what the node acknowledges once it is stored.
    pub number: u64,
    /// The node's packets up to this number have been accepted.
    pub accepted: u64,
    /// Entities of the last one of them that were set aside.
    pub refused: Vec<Refused>,
    /// Documents that the node is to drop because its row filter does not mean them, and that are not gone.
    pub outside: BTreeSet<(CollectionName, DocId)>,
}

/// One change of a page, or one document of a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PageOp {
    /// `put` or `remove`.
    pub op: PageEdit,
    /// Its position.
    pub lsn: Lsn,
    /// Where.
    pub collection: CollectionName,
    /// Which document.
    pub id: DocId,
    /// Newest stamp of the version.
    pub stamp: Stamp,
    /// Who made the change.
    pub author: Author,
    /// Who wrote what when; absent for a document that one insert wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<Meta>,
    /// The document after the change; absent for `remove`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc: Option<Box<RawValue>>,
}

impl PageOp {
    /// The version's meta, spelled out.
    #[must_use]
    pub fn meta(&self) -> Meta {
        let mark = Mark { stamp: self.stamp, lsn: self.lsn, author: self.author };
        self.meta.clone().unwrap_or_else(|| Meta::inserted(mark))
    }
}

/// Whether readers see the document after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PageEdit {
    /// The document stands as given.
    Put,
    /// The document is gone.
    Remove,
}

/// First line of a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SnapshotHead {
    /// Pull from here once the snapshot is complete. When resuming: from that of the *first* part.
    pub server_lsn: Lsn,
    /// The history that LSNs count in.
    pub epoch: Epoch,
    /// What the token sees of the collections.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub views: Views,
    /// Where in the log a registered node stands that was asked for by a packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Lsn>,
}

/// Last line of a snapshot; without it the snapshot was cut and is resumed after its last document.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SnapshotEnd {
    /// Always true.
    pub end: bool,
    /// Documents in this part.
    pub documents: u64,
}
