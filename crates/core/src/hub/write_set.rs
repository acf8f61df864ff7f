//! The rows that one commit writes, all or none.

use super::loaded::{BatchKey, StoredBatch};
use crate::merge::Values;
use crate::model::{
    Author, CollectionName, DocId, Edit, Facts, Holding, Lsn, Millis, NodeId, Receipt, Seq, Strategy, Traffic,
    UniqueValue, Version,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that a group of pushes writes. LSNs continue the loaded head without a gap.
#[derive(Clone, Debug, Default)]
pub struct WriteSet {
    /// When it was decided; every row carries it.
    pub at: Millis,
    /// Log entries in LSN order.
    pub entries: Vec<Entry>,
    /// Nodes that come to belong to a token.
    pub owners: BTreeMap<NodeId, NodeId>,
    /// Answered batches.
    pub batches: Vec<(BatchKey, StoredBatch)>,
    /// Decided foreign ops.
    pub seen: Vec<[u8; 16]>,
    /// New receipts by node, in the order of their numbers.
    pub receipts: BTreeMap<NodeId, Vec<Receipt>>,
    /// New rows of the conflict ledger.
    pub conflicts: Vec<Conflict>,
    /// Rows of the ledger that were restored, by which change.
    pub restored: BTreeMap<u64, Lsn>,
    /// New rows of the quarantine.
    pub quarantine: Vec<Quarantined>,
    /// Rows of the quarantine that leave it.
    pub released: BTreeSet<u64>,
    /// Registered nodes whose exchange has moved on.
    pub traffic: BTreeMap<NodeId, Traffic>,
    /// What nodes with a row filter hold and lose, in order.
    pub held: Vec<(NodeId, Holding)>,
    /// Which documents come to have values that must be unique, and which have them no more: the latter first.
    pub unique: Vec<Claimed>,
    /// Values of which it must be known who has them. Where there are some, nothing of this write set counts: the store
    /// looks them up ([`Loaded::holders`](super::Loaded::holders)) and asks for the decision again.
    pub asks: BTreeSet<UniqueValue>,
}

/// A document comes to have a value, or has it no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Which value.
    pub value: UniqueValue,
    /// Which document.
    pub id: DocId,
    /// From which change on; `None`: no more.
    pub since: Option<Lsn>,
}

/// One row of the log.
#[allow(clippy::large_enum_variant)] // nearly every row is a change: boxing it would cost, not save
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A document changed.
    Change(Change),
    /// A foreign push was answered with this LSN; readers never see the row.
    Ticket(Ticket),
    /// A registered node is to be told what stands; nobody else sees the row.
    Return(Return),
}

impl Entry {
    /// The row's position.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        match self {
            Entry::Change(change) => change.version.lsn,
            Entry::Ticket(ticket) => ticket.lsn,
            Entry::Return(back) => back.lsn,
        }
    }
}

/// An accepted edit: the document after it. It becomes the head of its document.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Where the document lives.
    pub collection: CollectionName,
    /// Which document.
    pub id: DocId,
    /// The document after the change; its `meta` says whether readers see it.
    pub version: Version,
    /// What a reader without the text needs to know of it.
    pub facts: Facts,
}

/// The number that a foreign push was answered with. Such a client takes the number for its new
/// cursor although it may have missed changes before it; the ticket says from where to go on.
/// Stores keep it as JSON of this shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The number in the reply, given to nobody else.
    pub lsn: Lsn,
    /// Which collection.
    pub collection: CollectionName,
    /// Who pushed.
    pub author: Author,
    /// The same by name. To everybody else the number is a position like any other.
    pub node: NodeId,
    /// Where its holder continues to read.
    pub from: Lsn,
    /// LSN ranges whose new documents the holder has made itself and must not get back.
    pub own: Vec<(Lsn, Lsn)>,
}

/// What stands differs from what a registered node sent, or is made of more than it knew: its next
/// packet brings the document's newest version, although the node itself may have made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    /// Its position, given to nothing else.
    pub lsn: Lsn,
    /// Where the document lives.
    pub collection: CollectionName,
    /// Which document.
    pub id: DocId,
    /// To whom.
    pub author: Author,
    /// Fields that the node sent and that the document does not have: unless it is told, it keeps them. Of a removed
    /// document all: it may be back before the node hears of the removal.
    pub lost: BTreeSet<String>,
}

/// A concurrent edit that lost. Both sides are kept; the losing one can be restored.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// Where the document lives.
    pub collection: CollectionName,
    /// Which document.
    pub id: DocId,
    /// The change that decided it; 0 when the stored version stayed as it was.
    pub lsn: Lsn,
    /// Which rule decided.
    pub rule: Strategy,
    /// Who won.
    pub winner: Author,
    /// Who lost.
    pub loser: Author,
    /// What was lost had been accepted before: no receipt has told its author.
    pub late: bool,
    /// What was lost.
    pub losing: Values,
    /// The winning values of the same fields (a JSON object), or the whole document's.
    pub winning: Values,
}

/// An op that cannot be applied, kept with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The collection, where it is known.
    pub collection: Option<CollectionName>,
    /// The document, where it is known.
    pub id: Option<DocId>,
    /// Who sent it.
    pub node: NodeId,
    /// Its number, for own ops.
    pub seq: Option<Seq>,
    /// A short, stable word.
    pub code: String,
    /// A sentence that names the thing, the rule and the next step.
    pub reason: String,
    /// The op as it was sent.
    pub op: String,
}

/// An edit for a person to read and for a retry: the fields of the wire.
pub(super) fn edit_text(id: &DocId, edit: &Edit) -> String {
    let (name, part) = match edit {
        Edit::Insert(body) => ("insert", format!(r#","doc":{}"#, body.text())),
        Edit::Replace { body, .. } => ("replace", format!(r#","doc":{}"#, body.text())),
        Edit::Update { set, unset } => {
            let unset = serde_json::to_string(unset).expect("a set of names serializes");
            ("update", format!(r#","set":{},"unset":{unset}"#, set.to_body().text()))
        }
        Edit::Remove => ("remove", String::new()),
    };
    let id = serde_json::to_string(id.as_str()).expect("text serializes");
    format!(r#"{{"op":"{name}","id":{id}{part}}}"#)
}
