//! Packets: the envelope of own ones, and what the hub's answer says (steps 2 and 9 of the life of a change).

use crate::error::AttachError;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt::Display;
use std::sync::Arc;
use syncline_core::model::{CollectionName, Fields, Refused};
use syncline_core::wire::exchange::{
    Contents, Envelope, Header, Operation, Side, WireEntity, is_uuid, major_version, open,
};

/// Between whom packets go.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    pub node: String,
    pub hub: String,
    pub schema_version: String,
}

/// A packet of the hub.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub number: u64,
    /// Own packets up to this number have been accepted.
    pub accepted: u64,
    pub more: bool,
    pub rejected: Vec<Refused>,
    pub objects: Vec<Arrival>,
}

/// An object as the hub has it; without data: removed.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub kind: Arc<str>,
    pub uuid: Arc<str>,
    pub data: Option<Arc<Fields>>,
}

/// Writes an own packet.
pub(crate) fn write(ends: &Ends, (number, ack): (u64, u64), entities: Vec<WireEntity>) -> String {
    let header = Header {
        sender_node_id: ends.node.clone(),
        recipient_node_id: ends.hub.clone(),
        packet_no: number,
        ack_packet_no: ack,
        schema_version: ends.schema_version.clone(),
        whole_objects: true,
        ..Header::default()
    };
    let envelope = Envelope { header, body: Contents { entities } };
    serde_json::to_string(&envelope).expect("a packet serializes")
}

/// What an object becomes at the hub: fields that are set, or its removal.
pub(crate) fn entity(kind: &str, uuid: &str, edit: Option<(bool, &Fields)>, time: &str) -> WireEntity {
    let data = edit.map(|(_, fields)| {
        let text = fields.to_text();
        RawValue::from_string(text).expect("fields are JSON")
    });
    WireEntity {
        kind: kind.to_owned(),
        uuid: uuid.to_owned(),
        operation: match edit {
            Some((true, _)) => Operation::Insert,
            Some((false, _)) => Operation::Update,
            None => Operation::Delete,
        },
        data,
        updated_at: edit.map(|_| time.to_owned()),
        unset: std::collections::BTreeSet::new(),
    }
}

/// Reads an own packet that was kept.
pub(crate) fn entities_of(text: &str) -> Result<Vec<WireEntity>, AttachError> {
    let envelope: Envelope = serde_json::from_str(text)
        .map_err(|e| AttachError::Packet(format!("the packet in `sync_packets` is damaged: {e}")))?;
    Ok(envelope.body.entities)
}

/// What is read of a packet beside its head. The hub has checked its documents by its own rules.
#[derive(Deserialize)]
struct Whole<'a> {
    #[serde(borrow)]
    body: Elements<'a>,
}

#[derive(Deserialize)]
struct Elements<'a> {
    #[serde(borrow)]
    entities: Vec<Element<'a>>,
}

#[derive(Deserialize)]
struct Element<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    uuid: Cow<'a, str>,
    operation: Operation,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl Element<'_> {
    /// The object; `last`: the type of the one before, which most share.
    fn object(self, last: &mut Arc<str>) -> Result<Arrival, String> {
        let Element { kind, uuid, operation, data } = self;
        let wrong = |why: &dyn Display| format!("{kind} {uuid}: {why}");
        if **last != *kind {
            CollectionName::new(&kind).map_err(|why| wrong(&why))?;
            *last = (*kind).into();
        }
        if !is_uuid(&uuid) {
            return Err(wrong(&"its id is no UUID"));
        }
        let data = match (operation, data) {
            (Operation::Delete, None) => None,
            (Operation::Delete, Some(_)) => return Err(wrong(&"a removal has no `data`")),
            (_, None) => return Err(wrong(&"it has no `data`")),
            (_, Some(data)) => {
                let mut fields: Fields = serde_json::from_str(data.get()).map_err(|why| wrong(&why))?;
                fields.remove("_id");
                Some(Arc::new(fields))
            }
        };
        Ok(Arrival { kind: Arc::clone(last), uuid: (*uuid).into(), data })
    }
}

/// Reads a packet of the hub for this node.
///
/// # Errors
/// [`AttachError::Packet`] with what is wrong.
pub(crate) fn read(text: &[u8], ends: &Ends) -> Result<Answer, AttachError> {
    let wrong = |why: String| AttachError::Packet(format!("what the hub answered cannot be used: {why}"));
    let opened = open(text, Side::Hub).map_err(|e| wrong(e.to_string()))?;
    let header = &opened.header;
    if !header.sender_node_id.eq_ignore_ascii_case(&ends.hub) {
        let (theirs, ours) = (&header.sender_node_id, &ends.hub);
        return Err(wrong(format!("it comes from `{theirs}`, not from hub `{ours}` (`hub_id` of the mapping)")));
    }
    if !header.recipient_node_id.eq_ignore_ascii_case(&ends.node) {
        return Err(wrong(format!(
            "it is for node `{}`; this database is node `{}`",
            header.recipient_node_id, ends.node
        )));
    }
    if major_version(&header.schema_version) != major_version(&ends.schema_version) {
        let (theirs, ours) = (&header.schema_version, &ends.schema_version);
        return Err(wrong(format!(
            "its schema has version {theirs}, the mapping's {ours}; the first numbers must be equal"
        )));
    }
    let Whole { body } = serde_json::from_slice(text).map_err(|e| wrong(e.to_string()))?;
    let mut last: Arc<str> = "".into();
    let objects = body.entities.into_iter().map(|element| element.object(&mut last).map_err(&wrong));
    Ok(Answer {
        number: header.packet_no,
        accepted: header.ack_packet_no,
        more: header.has_more,
        rejected: header.rejected.clone(),
        objects: objects.collect::<Result<_, _>>()?,
    })
}
