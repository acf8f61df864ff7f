//! An op that was set aside, read once more (step 3 of the life of a change, at a person's wish): it stands in the form of
//! the dialect that it came by, or as a person has mended it, and becomes one edit of one document. Decides nothing: what
//! names several documents, or documents by a query, is refused here because nobody can say what it meant at its time.

use super::exchange::{Operation, WireEntity};
use super::own::WireEdit;
use super::{live, wise};
use crate::model::{Body, CollectionName, DocId, Edit, Fields, ForeignEdit, Limits, LiveEdit, Malformed, Rejection};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;

/// An op on one document.
#[derive(Clone, Debug, PartialEq)]
pub struct Aside {
    /// Where the document lives.
    pub collection: CollectionName,
    /// Which document.
    pub id: DocId,
    /// What happens to it.
    pub edit: Edit,
}

/// Reads an op. `place`: where the quarantine's row says that it belongs, for what the text leaves out.
///
/// # Errors
/// Why it is no edit of one document, and what would be.
pub fn read(
    text: &str,
    (collection, id): (Option<&CollectionName>, Option<&DocId>),
    limits: &Limits,
) -> Result<Aside, Rejection> {
    if text.trim_start().starts_with('[') {
        return Err(unreadable("it is a list and must be an object"));
    }
    let kind: Kind<'_> = serde_json::from_str(text).map_err(|e| unreadable(&e.to_string()))?;
    let known = || collection.ok_or_else(|| unreadable("nothing says which collection it belongs to"));
    if kind.uuid.is_some() || kind.operation.is_some() {
        return entity(text, collection, limits);
    }
    match (kind.op.map(RawValue::get), kind.kind) {
        (Some("\"insert\"" | "\"update\"" | "\"replace\"" | "\"remove\""), _) => own(text, (collection, id), limits),
        (Some("\"clear\""), _) => Err(whole_collection()),
        (Some(_), _) => foreign(text, known()?, limits),
        (None, _) if kind.txn.is_some() => foreign(text, known()?, limits),
        (None, Some(_)) => event(text, collection, limits),
        (None, None) => Err(unreadable("it has neither `op` nor `type`")),
    }
}

/// What tells the dialects apart.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, default)]
    op: Option<&'a RawValue>,
    #[serde(borrow, default)]
    txn: Option<&'a RawValue>,
    #[serde(rename = "type", borrow, default)]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    uuid: Option<&'a RawValue>,
    #[serde(borrow, default)]
    operation: Option<&'a RawValue>,
}

/// Our own form. Numbers, bases and times of the device that sent it mean nothing any more.
#[derive(Deserialize)]
struct Own {
    op: WireEdit,
    #[serde(default)]
    collection: Option<CollectionName>,
    #[serde(default)]
    id: Option<DocId>,
    #[serde(default)]
    doc: Option<Box<RawValue>>,
    #[serde(default)]
    set: Option<Fields>,
    #[serde(default)]
    unset: BTreeSet<String>,
}

/// A document, as far as it says which one it is.
#[derive(Deserialize)]
struct Named {
    #[serde(rename = "_id")]
    id: DocId,
}

fn own(
    text: &str,
    (collection, id): (Option<&CollectionName>, Option<&DocId>),
    limits: &Limits,
) -> Result<Aside, Rejection> {
    let own: Own = serde_json::from_str(text).map_err(|e| unreadable(&e.to_string()))?;
    let collection = own.collection.as_ref().or(collection);
    let collection = collection.ok_or_else(|| unreadable("it names no `collection`"))?.clone();
    let named = own.doc.as_ref().and_then(|doc| serde_json::from_str::<Named>(doc.get()).ok()).map(|named| named.id);
    let id = own.id.as_ref().or(id).or(named.as_ref()).ok_or_else(|| unreadable("it names no `id`"))?.clone();
    let document = || {
        let raw = own.doc.as_ref().ok_or_else(|| unreadable("`doc` is missing"))?;
        let (body, facts) = Body::parse(raw.get(), limits).map_err(|e| malformed(&e))?;
        let same = facts.id.as_deref() == Some(id.as_str());
        if same { Ok(body) } else { Err(unreadable("`doc._id` must be the same string as `id`")) }
    };
    let edit = match own.op {
        WireEdit::Insert => Edit::Insert(document()?),
        WireEdit::Replace => Edit::Replace { body: document()?, changed: BTreeSet::new() },
        WireEdit::Update => {
            let set = own.set.clone().unwrap_or_default();
            Body::parse(set.to_body().text(), limits).map_err(|e| malformed(&e))?;
            Edit::Update { set, unset: own.unset.clone() }
        }
        WireEdit::Remove => Edit::Remove,
        WireEdit::Clear => return Err(whole_collection()),
    };
    Ok(Aside { collection, id, edit })
}

/// An element of a foreign push.
fn foreign(text: &str, collection: &CollectionName, limits: &Limits) -> Result<Aside, Rejection> {
    let list = format!("[{text}]");
    let push = wise::decode_push(list.as_bytes(), collection, limits).map_err(|e| malformed(&e))?;
    let mut ops = push.ops.into_iter();
    let (Some(op), None) = (ops.next(), ops.next()) else {
        return Err(unreadable("it holds another number of documents than one"));
    };
    let (id, edit) = match op.edit {
        ForeignEdit::Insert(id, body) => (id, Edit::Insert(body)),
        ForeignEdit::Update(id, set) => (id, Edit::Update { set, unset: BTreeSet::new() }),
        ForeignEdit::Remove(id) => (id, Edit::Remove),
        ForeignEdit::Clear => return Err(whole_collection()),
        ForeignEdit::Unusable(why) => return Err(why),
    };
    Ok(Aside { collection: collection.clone(), id, edit })
}

/// An entity of a packet.
fn entity(text: &str, collection: Option<&CollectionName>, limits: &Limits) -> Result<Aside, Rejection> {
    let entity: WireEntity = serde_json::from_str(text).map_err(|e| unreadable(&e.to_string()))?;
    let collection = collection.map_or_else(|| CollectionName::new(&entity.kind), |name| Ok(name.clone()));
    let collection = collection.map_err(|e| malformed(&e))?;
    let id = DocId::new(&entity.uuid).map_err(|e| malformed(&e))?;
    if entity.operation == Operation::Delete {
        return Ok(Aside { collection, id, edit: Edit::Remove });
    }
    let data = entity.data.ok_or_else(|| unreadable("`data` is missing"))?;
    let mut set: Fields = serde_json::from_str(data.get()).map_err(|e| unreadable(&format!("`data`: {e}")))?;
    set.remove("_id");
    let edit = if entity.unset.is_empty() {
        let body = Body::of_fields(id.as_str(), set.iter());
        Body::check(body.text(), id.as_str(), limits).map_err(|e| malformed(&e))?;
        Edit::Insert(body)
    } else {
        Body::check(set.to_body().text(), id.as_str(), limits).map_err(|e| malformed(&e))?;
        Edit::Update { set, unset: entity.unset }
    };
    Ok(Aside { collection, id, edit })
}

/// An event of a live client.
fn event(text: &str, collection: Option<&CollectionName>, limits: &Limits) -> Result<Aside, Rejection> {
    let list = format!("[{text}]");
    let piece = live::read(&list, live::Place::default(), "(quarantine)", limits).map_err(|e| malformed(&e))?;
    let Some(received) = piece.received.into_iter().next() else { return Err(unreadable("it is empty")) };
    let collection = received.event.collection.as_ref().or(collection);
    match received.event.edit {
        LiveEdit::Insert { id, body } => {
            let collection = collection.ok_or_else(|| unreadable("it names no `collection`"))?.clone();
            Ok(Aside { collection, id, edit: Edit::Insert(body) })
        }
        LiveEdit::Unusable(why) => Err(why),
        LiveEdit::Update { .. } | LiveEdit::Remove { .. } => Err(unreadable("it names documents by a query")),
    }
}

fn malformed(why: &Malformed) -> Rejection {
    Rejection { code: why.code().to_owned(), reason: why.to_string() }
}

fn unreadable(why: &str) -> Rejection {
    Rejection {
        code: "malformed_op".to_owned(),
        reason: format!(
            "the op cannot be tried as it is: {why}; send a mended one, such as \
             {{\"op\":\"replace\",\"collection\":\"notes\",\"id\":\"n1\",\"doc\":{{\"_id\":\"n1\"}}}}"
        ),
    }
}

fn whole_collection() -> Rejection {
    Rejection {
        code: "whole_collection".to_owned(),
        reason: "the op empties a whole collection, and what it meant at its time nobody knows any more; remove the \
                 documents that are not wanted, and discard the op"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, place: (Option<&str>, Option<&str>)) -> Result<String, String> {
        let collection = place.0.map(|name| CollectionName::new(name).unwrap());
        let id = place.1.map(|id| DocId::new(id).unwrap());
        let read = read(text, (collection.as_ref(), id.as_ref()), &Limits::default()).map_err(|why| why.reason)?;
        let edit = match read.edit {
            Edit::Insert(body) => format!("insert {}", body.text()),
            Edit::Replace { body, .. } => format!("replace {}", body.text()),
            Edit::Update { set, unset } => format!("update {} {unset:?}", set.to_body().text()),
            Edit::Remove => "remove".to_owned(),
        };
        Ok(format!("{}/{} {edit}", read.collection, read.id))
    }

    #[test]
    fn every_dialects_form_is_read() {
        let uuid = "22222222-2222-4222-8222-000000000001";
        for (text, expected) in [
            (r#"{"op":"insert","id":"x","doc":{"_id":"x","n":1.50}}"#.to_owned(), r#"c/x insert {"_id":"x","n":1.50}"#),
            (r#"{"op":"replace","doc":{"_id":"y"}}"#.to_owned(), r#"c/y replace {"_id":"y"}"#),
            (r#"{"op":"update","id":"x","set":{"n":1},"unset":["m"]}"#.to_owned(), r#"c/x update {"n":1} {"m"}"#),
            (r#"{"seq":7,"op":"remove","collection":"d","id":"y","stamp":1}"#.to_owned(), "d/y remove"),
            (r#"{"op":"INSERT","doc":{"_id":"x"}}"#.to_owned(), r#"c/x insert {"_id":"x"}"#),
            (r#"{"op":"UPDATE","id":"x","data":{"n":1}}"#.to_owned(), r#"c/x update {"n":1} {}"#),
            (r#"{"txn":"op","txid":"t","type":"remove","args":["x"]}"#.to_owned(), "c/x remove"),
            (
                r#"{"id":"e1","type":"insert","collection":"d","data":{"id":"x","n":1}}"#.to_owned(),
                r#"d/x insert {"_id":"x","n":1}"#,
            ),
        ] {
            assert_eq!(at(&text, (Some("c"), None)).unwrap(), expected, "{text}");
        }
        let put = format!(r#"{{"type":"Report","uuid":"{uuid}","operation":"UPDATE","data":{{"n":1}}}}"#);
        assert_eq!(at(&put, (None, None)).unwrap(), format!(r#"Report/{uuid} insert {{"_id":"{uuid}","n":1}}"#));
        let delete = format!(r#"{{"type":"Report","uuid":"{uuid}","operation":"DELETE","data":null}}"#);
        assert_eq!(at(&delete, (Some("reports"), None)).unwrap(), format!("reports/{uuid} remove"));
    }

    #[test]
    fn what_is_no_edit_of_one_document_says_why_and_what_would_be() {
        for (text, why) in [
            ("garbage", "expected value"),
            ("{}", "neither `op` nor `type`"),
            (r#"["remove", null, null, null]"#, "it is a list"),
            (r#"{"op":"clear"}"#, "whole collection"),
            (r#"{"op":"CLEAR"}"#, "whole collection"),
            (r#"{"op":"insert","id":"x"}"#, "`doc` is missing"),
            (r#"{"op":"insert","id":"x","doc":{"_id":"y"}}"#, "`doc._id`"),
            (r#"{"op":"insert","doc":[1]}"#, "no `id`"),
            (r#"{"op":"insert","id":"x","doc":[1]}"#, "object"),
            (r#"{"op":"remove"}"#, "no `id`"),
            (r#"{"op":"BATCH_INSERT","docs":[{"_id":"x"},{"_id":"y"}]}"#, "another number of documents"),
            (r#"{"id":"e1","type":"delete","collection":"c","query":{"n":1}}"#, "by a query"),
        ] {
            let reason = at(text, (Some("c"), None)).unwrap_err();
            assert!(reason.contains(why), "{text}: {reason}");
        }
        assert!(at(r#"{"op":"remove","id":"x"}"#, (None, None)).unwrap_err().contains("no `collection`"));
        assert!(at(r#"{"op":"remove"}"#, (Some("c"), Some("x"))).is_ok(), "the row knows");
    }
}
