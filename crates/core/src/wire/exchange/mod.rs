//! The `exchange` dialect: one envelope for both directions; the shapes are in `spec/exchange.md`.
//! Reads and writes packets (steps 3 and 8 of the life of a change); which of them counts is the hub's
//! decision.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::{Elements, Opened, Side, UNKNOWN_TYPE, is_uuid, major_version, open, packet_key};
pub use encode::{Telling, put_entity, put_packet};

use crate::model::{LateConflicts, Refused};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeSet;

/// A packet as it stands on the wire, in either direction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// Who, to whom, which number.
    pub header: Header,
    /// What happened.
    pub body: Contents,
}

/// The head of a packet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Header {
    /// UUID of the sender.
    pub sender_node_id: String,
    /// UUID of the receiver.
    pub recipient_node_id: String,
    /// Number of this packet in this direction: from 1; 0 from a hub that has sent nothing.
    pub packet_no: u64,
    /// Every packet of the other direction up to this number has been accepted.
    pub ack_packet_no: u64,
    /// Semantic version of the data's schema.
    pub schema_version: String,
    /// Extension of the hub: more is waiting than this packet holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_more: bool,
    /// Extension of the hub: entities of the acknowledged packet that were set aside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Refused>,
    /// Extension of our own client: it takes `data` as the whole object, so a field that is absent is gone. To other
    /// nodes, which set the given fields only, fields that were taken away are sent as null.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole_objects: bool,
    /// Extension of our own client: it is to be told which of its edits lost after they were accepted, from the rows of
    /// the hub's ledger behind this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts_after: Option<u64>,
    /// Extension of the hub, for who asks: these edits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts: Option<LateConflicts>,
}

/// The body of a packet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Contents {
    /// In the order in which they are to be applied.
    pub entities: Vec<WireEntity>,
}

/// What happened to one object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WireEntity {
    /// The registered name of its type: the collection.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which object: the document's `_id`.
    pub uuid: String,
    /// What happened.
    pub operation: Operation,
    /// Its fields; null for DELETE.
    pub data: Option<Box<RawValue>>,
    /// When, where `data` does not say it: ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// Extension of our own client: fields that were taken away.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unset: BTreeSet<String>,
}

/// The operations of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// The object is new.
    Insert,
    /// Fields were set.
    Update,
    /// The object went away.
    Delete,
}
