//! A hub's packet as text. Documents are spliced in; only where a node could keep fields that are gone is a
//! document taken apart.

use super::{Header, Operation};
use crate::model::{Body, Lsn, Meta};
use serde::Serialize;
use std::borrow::Cow;

/// A document on its way to a node.
#[derive(Clone, Copy, Debug)]
pub struct Telling<'a> {
    /// Its collection: the type.
    pub kind: &'a str,
    /// Its id.
    pub uuid: &'a str,
    /// Whether the node is to have it; else it is told to drop it.
    pub live: bool,
    /// Whether the document is there, and the node is to drop it only because its row filter does not mean it.
    pub outside: bool,
    /// Whether it counts as new for the node.
    pub new: bool,
    /// The node knows every document as it was here, or later.
    pub confirmed: Lsn,
    /// From which change on the document exists.
    pub created: Lsn,
    /// Whether the node takes `data` as the whole object; others keep fields that are not named.
    pub whole_objects: bool,
    /// Its `Meta` as JSON; empty for a document that one insert wrote.
    pub meta: &'a str,
    /// Its text.
    pub body: &'a str,
    /// Fields that the node sent and that the document does not have.
    pub lost: &'a [String],
}

/// Writes the entities that bring a node to the state of one document: one, or two where fields are gone whose
/// names nobody knows any more. They are separated by commas; `first` says whether something stands before them.
pub fn put_entity(out: &mut Vec<u8>, told: &Telling<'_>, first: bool) -> usize {
    if !told.live {
        let data: &[u8] = if told.outside && told.whole_objects { br#"null,"outside":true"# } else { b"null" };
        put(out, told, Operation::Delete, data, first);
        return 1;
    }
    // Most documents have never lost a field; the text tells that without being read.
    let meta: Option<Meta> = (!told.whole_objects && told.meta.contains(r#""g":true"#))
        .then(|| serde_json::from_str(told.meta).ok())
        .flatten();
    let mut data = data_of(told.uuid, told.body);
    if !told.lost.is_empty() && !told.whole_objects {
        data = with_nulls(&data, told.lost).into();
    }
    let Some(meta) = meta else {
        put(out, told, set(told.new), data.as_bytes(), first);
        return 1;
    };
    let data = with_nulls(&data, meta.fields.keys());
    if !lost_unnamed(&meta, told) {
        put(out, told, set(told.new), data.as_bytes(), first);
        return 1;
    }
    put(out, told, Operation::Delete, b"null", first);
    put(out, told, Operation::Insert, data.as_bytes(), false);
    2
}

/// Writes a packet around the entities that were written before.
///
/// # Panics
/// Never: a header always serializes.
pub fn put_packet(out: &mut Vec<u8>, header: &Header, entities: &[u8]) {
    out.extend_from_slice(br#"{"header":"#);
    put_json(out, header);
    out.extend_from_slice(br#","body":{"entities":["#);
    out.extend_from_slice(entities);
    out.extend_from_slice(b"]}}");
}

fn set(new: bool) -> Operation {
    if new { Operation::Insert } else { Operation::Update }
}

fn put(out: &mut Vec<u8>, told: &Telling<'_>, operation: Operation, data: &[u8], first: bool) {
    if !first {
        out.push(b',');
    }
    out.extend_from_slice(br#"{"type":"#);
    put_json(out, told.kind);
    out.extend_from_slice(br#","uuid":"#);
    put_json(out, told.uuid);
    out.extend_from_slice(br#","operation":"#);
    put_json(out, &operation);
    out.extend_from_slice(br#","data":"#);
    out.extend_from_slice(data);
    out.push(b'}');
}

fn put_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("names, numbers and words serialize into memory");
}

/// The document without its id, which travels as the uuid.
fn data_of<'a>(uuid: &str, body: &'a str) -> Cow<'a, str> {
    let rest = body.strip_prefix(r#"{"_id":""#).and_then(|rest| rest.strip_prefix(uuid)?.strip_prefix('"'));
    match rest.map(|rest| (rest, rest.as_bytes().first())) {
        Some((rest, Some(b','))) => Cow::Owned(format!("{{{}", &rest[1..])),
        Some((rest, Some(b'}'))) => Cow::Owned(format!("{{{rest}")),
        _ => {
            let mut fields = Body::trusted(body).fields();
            fields.remove("_id");
            Cow::Owned(fields.to_text())
        }
    }
}

/// Adds fields that the object does not have, as nulls.
fn with_nulls<'n>(data: &str, names: impl IntoIterator<Item = &'n String>) -> String {
    let mut fields = Body::trusted(data).fields();
    for name in names {
        if fields.get(name).is_none() {
            fields.set(name, serde_json::value::RawValue::NULL.to_owned());
        }
    }
    fields.to_text()
}

/// Whether the node may hold fields that went with a removal or a replacement, which keep no list of them.
fn lost_unnamed(meta: &Meta, told: &Telling<'_>) -> bool {
    let news = |lsn: Lsn| lsn > told.confirmed;
    if meta.shrunk == told.created && meta.removed.is_some_and(|removed| !news(removed.lsn)) {
        return false; // What went with the new birth it has dropped with the removal.
    }
    news(meta.shrunk)
}
