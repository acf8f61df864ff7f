//! Packets of registered nodes, decoded: what the exchange dialect hands to the hub, and what the
//! hub remembers of a node's traffic.

use super::{Body, CollectionName, DocId, Lsn, Millis, NodeId, Rejection, RowFilters};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A packet that a node sent, checked for form and waiting to be decided.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Who sends.
    pub node: NodeId,
    /// Its number in the direction from the node to the hub, from 1.
    pub number: u64,
    /// The node has accepted the hub's packet with this number; 0: none yet.
    pub ack: u64,
    /// Names node, number and body: the same for every repeat of the packet.
    pub key: [u8; 16],
    /// What an earlier reading of the log found, where nothing was for the node.
    pub settled: Option<Settled>,
    /// The rows that the node gets: what it has and is not among them, it is told to drop.
    pub readable: Arc<RowFilters>,
    /// The rows that it may write: its entities must find and leave documents that these mean.
    pub writable: Arc<RowFilters>,
    /// Whether the node takes what it is sent as whole objects.
    pub whole_objects: bool,
    /// What the node has done, in its order.
    pub entities: Vec<Entity>,
}

impl Packet {
    /// Whether its sender may be told of any document of a collection.
    #[must_use]
    pub fn may_know_of(&self, collection: &CollectionName) -> bool {
        !self.readable.limit(collection.as_str()) && !self.writable.limit(collection.as_str())
    }
}

/// How far a node's reading of the log has come. What is read from there is worth nothing once it is elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// See [`Traffic::cursor`].
    pub cursor: Lsn,
    /// See [`Known::upto`].
    pub known: Lsn,
    /// See [`Traffic::fill`].
    pub fill: Option<Fill>,
}

/// A stretch of the log that holds nothing for a node: it is passed without a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Where the reading began.
    pub from: Reached,
    /// Where it ended.
    pub upto: Lsn,
    /// Whether that was the end of the log.
    pub last: bool,
}

/// One element of a packet's body.
#[derive(Clone, Debug)]
pub struct Entity {
    /// The registered type as it was sent.
    pub kind: String,
    /// Which object: the document's `_id`.
    pub uuid: DocId,
    /// What happened to it.
    pub edit: EntityEdit,
    /// When, where the entity says so (`updated_at` in its data, or beside it); else it counts as made on arrival.
    pub time: Option<Millis>,
    /// Digest of type, uuid, operation and data: tells in a packet that was composed anew what was in it before.
    pub digest: u64,
    /// The element as it was sent, for quarantine.
    pub raw: String,
}

/// What a packet does to one object.
#[derive(Clone, Debug)]
pub enum EntityEdit {
    /// INSERT or UPDATE: both set the given fields and make the object where it is missing.
    Put {
        /// The collection that its type stands for.
        collection: CollectionName,
        /// Whether the operation was INSERT.
        insert: bool,
        /// The given fields behind the object's `_id`: the document where there was none.
        sent: Body,
        /// Fields to take away (an extension of our own client).
        unset: BTreeSet<String>,
    },
    /// DELETE.
    Remove {
        /// The collection that its type stands for.
        collection: CollectionName,
    },
    /// Well formed, but not for this node or over a limit: set aside, so that nothing behind it waits.
    Unusable(Rejection),
}

/// An entity that was set aside, as the reply names it (`rejected` in the header).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The type as it was sent.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which object.
    pub uuid: String,
    /// Why.
    #[serde(flatten)]
    pub why: Rejection,
}

/// What the hub gives out: the number of a packet and how far it brings the node.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// To whom.
    pub node: NodeId,
    /// Where the reading that filled the packet began.
    pub from: Reached,
    /// The packet holds everything for the node up to here.
    pub upto: Lsn,
    /// Whether that is the end of the log: no further packet follows.
    pub last: bool,
    /// Where the node's row filter is in force: what the node holds with this packet, and what it loses.
    pub held: Vec<Holding>,
}

/// A document that a node with a row filter has, or is told to drop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Where it lives.
    pub collection: CollectionName,
    /// Which one.
    pub id: DocId,
    /// The node has it since a packet up to here; what it has already keeps its own.
    pub since: Lsn,
    /// It left the filter at this change: gone once the node knows of that ([`Known::upto`]).
    pub gone: Option<Lsn>,
}

/// Who a node is and what it gets: the registry's part that an operator writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Its id: a UUID in lower case.
    pub id: NodeId,
    /// A short unique code, like `DESKTOP-USER-1`.
    pub code: String,
    /// A name for people.
    pub name: String,
    /// What it exchanges.
    #[serde(default)]
    pub plan: Plan,
}

/// What a node exchanges with the hub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Entity types; `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<BTreeSet<CollectionName>>,
    /// For some types, which rows it gets and may write: a filter whose `"$node.NAME"` texts stand for attributes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rows: BTreeMap<CollectionName, serde_json::Value>,
    /// For some types, which rows it may write, in the place of those that it gets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub write_rows: BTreeMap<CollectionName, serde_json::Value>,
    /// What the filters know of the node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, serde_json::Value>,
}

/// How far a node's exchange has come: changes only in the transaction that carries a packet's effect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// The last packet accepted from the node (`received_packet_no`).
    pub received: u64,
    /// When (`last_sync_in`); 0: never.
    pub received_at: Millis,
    /// The last packet sent to the node and confirmed by it (`sent_packet_no`).
    pub confirmed: u64,
    /// When (`last_sync_out`); 0: never.
    pub confirmed_at: Millis,
    /// The last number given to a packet of the hub.
    pub issued: u64,
    /// The node has everything that it may see up to here, except of documents that have changed since.
    pub cursor: Lsn,
    /// What it has of those.
    pub known: Known,
    /// Packets that are not confirmed: number and how far each brings the node; the newest few.
    pub sent: Vec<(u64, Lsn)>,
    /// While the node is given everything that is alive: where the log stood when that began.
    pub fill: Option<Fill>,
    /// What the last accepted packet held.
    pub last: LastPacket,
}

/// A packet that ends before the log does passes by what was done to documents that come behind its end: the node
/// hears of them with their newest version only. So what a node knows of a document may be older than its cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The node knows every document as it was here, or later.
    pub upto: Lsn,
    /// Of the packets that wait for their confirmation those that came to the log's end.
    pub ends: BTreeSet<u64>,
}

/// A first (or repeated) complete fill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// Where the log stood when it began.
    pub start: Lsn,
    /// Whether the node may have held documents before: then it is told of removals too.
    pub again: bool,
    /// The log after this may hold what the node is still to be told: refusals of its own edits above all, which no
    /// document shows.
    #[serde(default)]
    pub since: Lsn,
}

/// What a repeat or a packet composed anew is compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastPacket {
    /// Its [`Packet::key`]: it is known again at any age.
    #[serde(default)]
    pub key: [u8; 16],
    /// What it acknowledged.
    pub ack: u64,
    /// Where the log stood before the first packet of its number.
    #[serde(default)]
    pub since: Lsn,
    /// Digests of its entities.
    pub entities: BTreeSet<u64>,
    /// The entities of it that were set aside.
    pub refused: Vec<Refused>,
    /// Whether the node takes what it is sent as whole objects: a packet by file is written for that, too.
    #[serde(default)]
    pub whole_objects: bool,
}

impl Traffic {
    /// Packets that may wait for their confirmation at the same time; an acknowledgement of an older one confirms
    /// nothing, and what it held is sent again.
    pub const SENT_MAX: usize = 100;

    /// A node that has had nothing yet; `head` is where the log stands.
    #[must_use]
    pub fn new(head: Lsn) -> Traffic {
        Traffic { fill: Some(Fill { start: head, again: false, since: head }), ..Traffic::default() }
    }

    /// Gives the node everything again: it may hold what it should not, or lack what it should.
    pub fn fill_again(&mut self, head: Lsn) {
        self.cursor = Lsn::ZERO;
        self.known = Known::default();
        self.sent.clear();
        self.fill = Some(Fill { start: head, again: true, since: head });
    }

    /// The same because it is meant to hold something else from now on: what it was to be told before stays in the log.
    pub fn fill_otherwise(&mut self, head: Lsn) {
        let since = self.needs().min(head);
        self.fill_again(head);
        self.fill = self.fill.map(|fill| Fill { since, ..fill });
    }

    /// Removals up to here have been told to the node, or it never held what they removed.
    #[must_use]
    pub fn heard(&self) -> Lsn {
        self.fill.filter(|fill| !fill.again).map_or(self.cursor, |fill| fill.start.max(self.cursor))
    }

    /// How far its reading has come.
    #[must_use]
    pub fn reached(&self) -> Reached {
        Reached { cursor: self.cursor, known: self.known.upto, fill: self.fill }
    }

    /// Where the log must still be readable for this node.
    #[must_use]
    pub fn needs(&self) -> Lsn {
        self.fill.map_or(self.cursor, |fill| fill.since.max(self.cursor))
    }
}
