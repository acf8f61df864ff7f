//! Events of a client. Every element becomes an event: one that can be carried out, or one that is set aside with its
//! reason. A client keeps its list until it is accepted, so nothing in it may stop the rest.

use super::{BY_QUERY, INSERTS, MARK};
use crate::live::{IN_VALUES_MAX, PATTERNS_MAX, Query, Unreadable, Update, digest, document_of, number_text, readable};
use crate::model::{
    Body, CollectionName, DocId, Fields, Limits, LiveEdit, LiveEvent, Malformed, Millis, Rejection, Value as RawText,
};
use crate::wire::digest::fnv128;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

/// What a query within its limits does not have: a value of one byte takes seventy once it is read.
const QUERY_COMMAS_MAX: usize = 2 * IN_VALUES_MAX;

/// One element of a message.
#[derive(Clone, Debug)]
pub struct Received {
    /// The event. Where its query is not pinned to ids, its candidates have still to be looked for.
    pub event: LiveEvent,
    /// The hub's mark: the client echoes what it was told, and this is not to be carried out.
    pub mark: Option<Mark>,
    /// Of an insert: [`digest`] of its document.
    pub digest: Option<u64>,
    /// Where the element stands in the text of its message.
    pub place: Range<usize>,
}

/// What the hub wrote into a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Of the message.
    pub number: u64,
    /// Which inserts follow the removal, each with the [`digest`] of its document.
    pub inserts: Vec<(DocId, u64)>,
}

impl Mark {
    fn of(query: &Value) -> Option<Mark> {
        query.get("$and")?;
        let number = query.get(MARK)?.as_u64()?;
        let inserts = query.get(INSERTS).and_then(Value::as_object).into_iter().flatten();
        let inserts = inserts.filter_map(|(id, digest)| Some((DocId::new(id).ok()?, digest.as_u64()?))).collect();
        Some(Mark { number, inserts })
    }
}

/// The parts of an event as text.
#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(rename = "type", borrow, default)]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    collection: Option<&'a RawValue>,
    #[serde(rename = "documentId", borrow, default)]
    document_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    query: Option<&'a RawValue>,
    #[serde(borrow, default)]
    update: Option<&'a RawValue>,
    #[serde(borrow, default)]
    timestamp: Option<&'a RawValue>,
}

/// Makes events of elements.
pub(super) struct Reader<'a> {
    /// Who sends.
    pub client: &'a str,
    /// What one event may weigh.
    pub limits: &'a Limits,
    /// How many patterns were read: they take the most time.
    pub patterns: usize,
}

/// An edit with what the dialect needs to know it again.
struct Edited {
    edit: LiveEdit,
    mark: Option<Mark>,
    digest: Option<u64>,
}

impl Reader<'_> {
    /// The event of an element that stands at `start` of its message.
    pub fn element(&mut self, start: usize, raw: &RawValue) -> Received {
        let (event, mark, digest) = self.event(raw);
        Received { event, mark, digest, place: start..start + raw.get().len() }
    }

    fn event(&mut self, raw: &RawValue) -> (LiveEvent, Option<Mark>, Option<u64>) {
        let parts = if raw.get().starts_with('{') { serde_json::from_str::<Parts<'_>>(raw.get()).ok() } else { None };
        let Some(parts) = parts else { return self.unusable(raw, None, wrong("event", "must be an object")) };
        let collection = text::<CollectionName>(parts.collection, "collection");
        let known = collection.as_ref().ok().cloned();
        let Some(id) = parts.id.filter(|id| is_id(id)) else {
            return self.unusable(raw, known, wrong("id", "must be a text that no other event of the client has"));
        };
        let text = serde_json::from_str::<Cow<'_, str>>(id.get()).unwrap_or(Cow::Borrowed(id.get()));
        let key = self.key(b"id", &text);
        let time = parts.timestamp.and_then(|time| millis(time.get()));
        match collection.and_then(|name| self.edit(&parts, raw, &name)) {
            Ok(Edited { edit, mark, digest }) => {
                let raw = if matches!(edit, LiveEdit::Insert { .. }) { String::new() } else { raw.get().to_owned() };
                (LiveEvent { key, collection: known, time, edit, raw }, mark, digest)
            }
            Err(why) => {
                let edit = LiveEdit::Unusable(why);
                (LiveEvent { key, collection: known, time, edit, raw: raw.get().to_owned() }, None, None)
            }
        }
    }

    /// An element without an identity of its own is known by its text.
    fn unusable(
        &self,
        raw: &RawValue,
        collection: Option<CollectionName>,
        why: Rejection,
    ) -> (LiveEvent, Option<Mark>, Option<u64>) {
        let (key, raw) = (self.key(b"text", raw.get()), raw.get().to_owned());
        (LiveEvent { key, collection, time: None, edit: LiveEdit::Unusable(why), raw }, None, None)
    }

    fn key(&self, by: &[u8], id: &str) -> [u8; 16] {
        fnv128(&[b"live", self.client.as_bytes(), by, id.as_bytes()])
    }

    fn edit(&mut self, parts: &Parts<'_>, raw: &RawValue, collection: &CollectionName) -> Result<Edited, Rejection> {
        let kind: String = json(parts.kind, "type").map_err(|_| unknown_type())?;
        match kind.as_str() {
            "insert" => return self.insert(parts, collection),
            "update" | "delete" => {}
            _ => return Err(unknown_type()),
        }
        // Read as values from here on: what readers can follow, whatever documents may be set to.
        let readable = Limits { depth: Limits::DEPTH_MAX, ..*self.limits };
        Body::check_other(raw.get(), &readable, || format!("{kind} in `{collection}`")).map_err(rejection)?;
        if kind == "update" {
            return self.update(parts);
        }
        let (query, mark) = self.query(parts)?;
        let candidates = candidates(&query);
        Ok(Edited { edit: LiveEdit::Remove { query, candidates }, mark, digest: None })
    }

    fn insert(&self, parts: &Parts<'_>, collection: &CollectionName) -> Result<Edited, Rejection> {
        let data = parts.data.filter(|data| data.get().starts_with('{'));
        let data = data.ok_or_else(|| wrong("data", "must be the document"))?;
        // Before it is taken apart: what is read as a value must not nest deeper than readers follow.
        let named = parts.document_id.filter(|id| is_id(id) && serde_json::from_str(id.get()).ok() != Some(BY_QUERY));
        let document = || match named.and_then(|id| spelled_id(id).ok()) {
            Some((_, id)) => format!("document `{id}` for `{collection}`"),
            None => format!("a document for `{collection}`"),
        };
        Body::check_other(data.get(), self.limits, document).map_err(rejection)?;
        let mut fields: Fields = json(Some(data), "data")?;
        let inside = fields.remove("id");
        let id = inside.as_deref().or(named).ok_or_else(|| wrong("data.id", "must be the id of the document"))?;
        let (spelled, id) = spelled_id(id)?;
        if named.is_some_and(|named| spelled_id(named).is_ok_and(|(_, named)| named != id)) {
            return Err(wrong("documentId", "must be the id in `data`"));
        }
        if fields.remove("_id").is_some_and(|other| spelled_id(&other).map(|(_, other)| other).as_ref() != Ok(&id)) {
            return Err(reserved_field());
        }
        let mut stored = Fields::default();
        stored.set("_id", spelled);
        fields.iter().for_each(|(name, value)| stored.set(name, value.to_owned()));
        let (body, _) = Body::parse(stored.to_body().text(), self.limits).map_err(rejection)?;
        let digest = document_of(body.text()).map(|document| digest(&document));
        Ok(Edited { edit: LiveEdit::Insert { id, body }, mark: None, digest })
    }

    fn update(&mut self, parts: &Parts<'_>) -> Result<Edited, Rejection> {
        let (query, mark) = self.query(parts)?;
        let update = match (parts.update, parts.data) {
            (Some(update), _) => Update::parse(&value(Some(update), "update")?).map_err(|why| unreadable(&why))?,
            (None, Some(data)) => Update::of_fields(value::<Map<String, Value>>(Some(data), "data")?),
            (None, None) => return Err(wrong("update", "must be an object of operators")),
        };
        let new_id = match update.new_id() {
            Some(id) => Some(spelled_id(&to_raw_value(id).expect("a value serializes"))?.1),
            None => None,
        };
        let candidates = candidates(&query);
        Ok(Edited { edit: LiveEdit::Update { query, update, new_id, candidates }, mark, digest: None })
    }

    /// The documents that an event means: by its query, or by the id of one.
    fn query(&mut self, parts: &Parts<'_>) -> Result<(Query, Option<Mark>), Rejection> {
        if let Some(query) = parts.query {
            if commas(query.get()) > QUERY_COMMAS_MAX {
                return Err(unreadable(&Unreadable::TooManyValues));
            }
            let query: Value = value(Some(query), "query")?;
            let mark = Mark::of(&query);
            let parsed = Query::parse(&query);
            // Where the reading of a refused one ended, nobody knows.
            self.patterns += parsed.as_ref().map_or(PATTERNS_MAX, Query::patterns);
            return Ok((parsed.map_err(|why| unreadable(&why))?, mark));
        }
        let missing = || wrong("query", "must be an object, or `documentId` the id of a document");
        let id: Value = json(parts.document_id, "documentId").map_err(|_| missing())?;
        if !(id.is_string() || id.is_number()) || id == BY_QUERY {
            return Err(missing());
        }
        Ok((Query::of_id(&id), None))
    }
}

/// Where a query is pinned to ids, nothing else needs to be looked at. An id that none can be is nobody's.
fn candidates(query: &Query) -> Option<BTreeSet<DocId>> {
    let ids = query.pinned()?;
    Some(ids.iter().filter_map(|id| DocId::new(id).ok()).collect())
}

/// An id as it stands in the document, and as the name of its place. Numbers are spelled as their clients do.
fn spelled_id(raw: &RawValue) -> Result<(RawText, DocId), Rejection> {
    let id = match serde_json::from_str(raw.get()) {
        Ok(Value::String(id)) => id,
        Ok(Value::Number(id)) => {
            let id = number_text(&id);
            let spelled = RawValue::from_string(id.clone()).map_err(|_| wrong("id", "must be a text or a number"))?;
            return Ok((spelled, DocId::new(&id).map_err(rejection)?));
        }
        _ => return Err(wrong("id", "must be a text or a number")),
    };
    let spelled = to_raw_value(&id).expect("text serializes");
    Ok((spelled, DocId::new(&id).map_err(rejection)?))
}

/// Commas outside of texts.
fn commas(text: &str) -> usize {
    let (mut commas, mut in_text, mut escaped) = (0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_text = !in_text,
            b',' if !in_text => commas += 1,
            _ => {}
        }
    }
    commas
}

fn is_id(raw: &RawValue) -> bool {
    matches!(raw.get().as_bytes(), [b'"', inside @ .., b'"'] if !inside.is_empty())
        || raw.get().starts_with(|c: char| c.is_ascii_digit() || c == '-')
}

/// A time in milliseconds; anything else counts as no time.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked to be in range
fn millis(text: &str) -> Option<Millis> {
    let time: f64 = text.parse().ok()?;
    (0.0..1e15).contains(&time).then_some(Millis(time as u64))
}

fn text<T: TryFrom<String, Error = Malformed>>(raw: Option<&RawValue>, name: &str) -> Result<T, Rejection> {
    T::try_from(json(raw, name)?).map_err(rejection)
}

/// What is computed with, where [`json`] takes text over.
fn value<T: DeserializeOwned>(raw: Option<&RawValue>, name: &str) -> Result<T, Rejection> {
    let raw = raw.ok_or_else(|| wrong(name, "is missing"))?;
    serde_json::from_str(&readable(raw.get())).map_err(|_| wrong(name, "has not the form that it needs"))
}

fn json<T: DeserializeOwned>(raw: Option<&RawValue>, name: &str) -> Result<T, Rejection> {
    let raw = raw.ok_or_else(|| wrong(name, "is missing"))?;
    serde_json::from_str(raw.get()).map_err(|_| wrong(name, "has not the form that it needs"))
}

fn wrong(name: &str, rule: &str) -> Rejection {
    rejection(Malformed::element(name, rule))
}

fn unknown_type() -> Rejection {
    wrong("type", "must be insert, update or delete")
}

fn reserved_field() -> Rejection {
    let reason = "`_id` is the hub's name for the id of a document; leave it out, or name the field otherwise";
    Rejection { code: "reserved_field".to_owned(), reason: reason.to_owned() }
}

fn rejection(why: Malformed) -> Rejection {
    Rejection { code: why.code().to_owned(), reason: why.to_string() }
}

fn unreadable(why: &Unreadable) -> Rejection {
    Rejection { code: why.code().to_owned(), reason: why.to_string() }
}
