//! A node's packet on its way in: is it for this hub, of its version, of the form of a packet, and which
//! of its entities are taken.

use super::super::body::Held;
use crate::app::App;
use crate::error::ServerError;
use crate::nodes::Desk;
use crate::options::{ExchangeOptions, UnknownTypes};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use syncline_core::model::{CollectionName, Entity, EntityEdit, Limits, NodeId, Packet, Rejection};
use syncline_core::wire::exchange::{Header, Opened, Side, UNKNOWN_TYPE, major_version, open, packet_key};

/// Entities of one object in one packet. Desktops send an object's present state, so one is usual.
const EDITS_MAX: usize = 100;

/// A packet that may be decided.
pub(super) struct Arrival {
    /// Its head, as it was sent.
    pub header: Header,
    /// Its number, its acknowledgement and what is in it.
    pub packet: Packet,
    /// Its bytes, whose share of the memory the entities keep.
    pub body: Held,
}

/// A packet that was read and is not checked yet.
pub(super) struct Read {
    /// Its head, as it was sent.
    pub header: Header,
    /// What it holds, as if every type were exchanged with its sender; or what is wrong with that, which counts only
    /// once its head is in order.
    entities: Result<Vec<Entity>, ServerError>,
}

/// Reads a packet, big ones away from the threads that serve connections.
///
/// # Errors
/// [`ServerError::Malformed`] when it is no JSON, or its head is not in order.
pub(super) async fn read(app: &App, body: &Held) -> Result<Read, ServerError> {
    let limits = app.options.settings.limits;
    let read = move |text: &[u8]| {
        let opened = open(text, Side::Node)?;
        let entities = read_entities(&opened, &limits);
        Ok(Read { header: opened.header, entities })
    };
    body.parse(read).await
}

fn read_entities(opened: &Opened<'_>, limits: &Limits) -> Result<Vec<Entity>, ServerError> {
    let elements = opened.elements()?;
    check_count(elements.count(), limits)?;
    let any = |kind: &str| CollectionName::new(kind).map_err(|_| unknown_type(kind, None));
    let entities = elements.entities(limits, any)?;
    check_repeats(&entities)?;
    Ok(entities)
}

/// The node that a packet says it is from. UUIDs are the same in either case.
///
/// # Errors
/// None for a head that was read.
pub(super) fn sender(header: &Header) -> Result<NodeId, ServerError> {
    Ok(NodeId::new(header.sender_node_id.to_lowercase())?)
}

impl Arrival {
    /// Checks a packet whose sender is known.
    ///
    /// # Errors
    /// The refusals of `spec/exchange.md`, from the recipient on.
    pub fn check(app: &App, desk: &Desk, read: Read, body: Held) -> Result<Arrival, ServerError> {
        let options = &app.options.exchange;
        let Read { header, entities } = read;
        check_recipient(options, &header)?;
        check_version(options, &header)?;
        let mut entities = entities?;
        if let Some(types) = desk.registration.plan.types.as_ref().or(options.types.as_ref()) {
            set_aside_unknown(&mut entities, types);
        }
        if options.unknown_types == UnknownTypes::Refuse {
            entities.iter().enumerate().try_for_each(|(n, entity)| check_type(n, entity))?;
        }
        let node = desk.registration.id.clone();
        let packet = Packet {
            key: packet_key(&node, header.packet_no, &entities),
            node,
            number: header.packet_no,
            ack: header.ack_packet_no,
            settled: None,
            readable: Arc::clone(&desk.readable),
            writable: Arc::clone(&desk.writable),
            whole_objects: header.whole_objects,
            entities,
        };
        Ok(Arrival { header, packet, body })
    }
}

fn check_recipient(options: &ExchangeOptions, header: &Header) -> Result<(), ServerError> {
    if header.recipient_node_id.eq_ignore_ascii_case(&options.hub_id) {
        return Ok(());
    }
    let reason = format!(
        "the packet is for `{}` and this hub is `{}` (`exchange.hub_id`); address it to the hub",
        header.recipient_node_id, options.hub_id
    );
    Err(ServerError::Unfit { code: "wrong_recipient", reason })
}

fn check_version(options: &ExchangeOptions, header: &Header) -> Result<(), ServerError> {
    if major_version(&header.schema_version) == major_version(&options.schema_version) {
        return Ok(());
    }
    let (sent, supported) = (header.schema_version.clone(), options.schema_version.clone());
    Err(ServerError::SchemaVersion { sent, supported })
}

fn check_count(count: usize, limits: &Limits) -> Result<(), ServerError> {
    if count <= limits.batch_ops {
        return Ok(());
    }
    Err(ServerError::TooMuch {
        code: "batch_too_large",
        what: format!("a packet of {count} entities"),
        limit: "limits.batch_ops",
        value: limits.batch_ops,
        advice: "send smaller packets",
    })
}

/// Each edit of an object logs it whole: a small packet must not make a large log.
fn check_repeats(entities: &[Entity]) -> Result<(), ServerError> {
    let mut edits: HashMap<(&str, &str), usize> = HashMap::with_capacity(entities.len());
    for entity in entities {
        let count = edits.entry((&entity.kind, entity.uuid.as_str())).or_default();
        *count += 1;
        if *count > EDITS_MAX {
            let reason = format!(
                "the packet holds more than {EDITS_MAX} entities of object `{}` of type `{}`; send its present state \
                 once, or the edits in several packets",
                entity.uuid, entity.kind
            );
            return Err(ServerError::Unfit { code: "too_many_edits", reason });
        }
    }
    Ok(())
}

/// What is not exchanged with the sender is not taken, whatever else is to be said of it.
fn set_aside_unknown(entities: &mut [Entity], types: &BTreeSet<CollectionName>) {
    for entity in entities {
        if !CollectionName::new(&entity.kind).is_ok_and(|name| types.contains(&name)) {
            entity.edit = EntityEdit::Unusable(unknown_type(&entity.kind, Some(types)));
        }
    }
}

fn unknown_type(kind: &str, types: Option<&BTreeSet<CollectionName>>) -> Rejection {
    let shown: String = kind.chars().take(100).collect();
    let what = match types {
        None => "a type has 1 to 128 bytes of letters, digits, `_`, `-` and `.`".to_owned(),
        Some(types) => {
            let names: Vec<&str> = types.iter().map(CollectionName::as_str).collect();
            format!("with this node are exchanged: {}", names.join(", "))
        }
    };
    let reason = format!("unknown entity type {shown}: {what}");
    Rejection { code: UNKNOWN_TYPE.to_owned(), reason }
}

/// The strict reading: one entity of an unknown type, and the packet is refused.
fn check_type(n: usize, entity: &Entity) -> Result<(), ServerError> {
    match &entity.edit {
        EntityEdit::Unusable(why) if why.code == UNKNOWN_TYPE => {
            Err(ServerError::Unfit { code: UNKNOWN_TYPE, reason: format!("`body.entities[{n}].type`: {}", why.reason) })
        }
        _ => Ok(()),
    }
}
