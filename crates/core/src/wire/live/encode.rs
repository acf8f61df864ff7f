//! State for a client: what it is to have of some documents, whatever it has. For each collection one removal of all
//! their ids, which bears the hub's mark, and then those that are there, each as an insert: together they put a
//! document in its place once, also where it stood before. Documents are spliced in as text.

use super::{BY_QUERY, HUB_CLIENT, INSERTS, MARK};
use crate::live::{digest, document_of};
use crate::model::{Body, Fields, Lsn, Millis};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::borrow::Cow;

/// A document on its way to clients.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Where it lives.
    pub collection: &'a str,
    /// Its id.
    pub id: &'a str,
    /// Its text; `None`: it is gone.
    pub body: Option<&'a str>,
    /// The change that made it so.
    pub lsn: Lsn,
    /// When.
    pub at: Millis,
}

/// What a message says of one document, to know its echo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stated {
    /// Where it lives.
    pub collection: String,
    /// Its id.
    pub id: String,
    /// Its [`digest`]; `None`: it is gone, or cannot be read as JSON.
    pub digest: Option<u64>,
}

/// Puts one message together. Each document is told once.
#[derive(Debug)]
pub struct StateWriter {
    mark: u64,
    parts: Vec<Part>,
    stated: Vec<Stated>,
}

/// What is told of one collection.
#[derive(Debug)]
struct Part {
    collection: String,
    ids: Vec<u8>,
    digests: Vec<u8>,
    inserts: Vec<u8>,
    at: Millis,
}

impl StateWriter {
    /// `mark`: the number by which the client's echo is known; below 2^53.
    #[must_use]
    pub fn new(mark: u64) -> StateWriter {
        StateWriter { mark, parts: Vec::new(), stated: Vec::new() }
    }

    /// Adds a document.
    pub fn put(&mut self, told: &Told<'_>) {
        let n = self.parts.iter().position(|part| part.collection == told.collection).unwrap_or_else(|| {
            let collection = told.collection.to_owned();
            self.parts.push(Part {
                collection,
                ids: Vec::new(),
                digests: Vec::new(),
                inserts: Vec::new(),
                at: Millis(0),
            });
            self.parts.len() - 1
        });
        let part = &mut self.parts[n];
        part.at = part.at.max(told.at);
        put_ids(&mut part.ids, told.id);
        // What clients cannot hold (a number without end) they would report as something else.
        let shown = told.body.and_then(|body| Some((body, document_of(body)?)));
        let digest = shown.as_ref().map(|(_, document)| digest(document));
        if let (Some((body, _)), Some(digest)) = (&shown, digest) {
            put_insert(&mut part.inserts, told, &data_of(told.id, body));
            put_digest(&mut part.digests, told.id, digest);
        }
        self.stated.push(Stated { collection: told.collection.to_owned(), id: told.id.to_owned(), digest });
    }

    /// How many documents it tells of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stated.len()
    }

    /// Whether it tells of none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stated.is_empty()
    }

    /// The list of events as JSON text, and what it says. Clients echo each event in this order.
    ///
    /// # Panics
    /// Never: names, ids and documents are UTF-8.
    #[must_use]
    pub fn finish(self) -> (String, Vec<Stated>) {
        let mut out = b"[".to_vec();
        for (n, part) in self.parts.iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            self.put_removal(&mut out, n, part);
            out.extend_from_slice(&part.inserts);
        }
        out.push(b']');
        (String::from_utf8(out).expect("names, ids and documents are UTF-8"), self.stated)
    }

    fn put_removal(&self, out: &mut Vec<u8>, n: usize, part: &Part) {
        let mark = self.mark;
        out.extend_from_slice(format!(r#"{{"id":"{HUB_CLIENT}-{mark}-{n}","type":"delete","collection":"#).as_bytes());
        put_json(out, &part.collection);
        out.extend_from_slice(format!(r#","documentId":"{BY_QUERY}","query":{{"$and":[{{"id":{{"$in":["#).as_bytes());
        out.extend_from_slice(&part.ids);
        out.extend_from_slice(format!(r#"]}}}}],"{MARK}":{mark}"#).as_bytes());
        if !part.digests.is_empty() {
            out.extend_from_slice(format!(r#","{INSERTS}":{{"#).as_bytes());
            out.extend_from_slice(&part.digests);
            out.push(b'}');
        }
        out.extend_from_slice(format!(r#"}},"timestamp":{},"clientId":"{HUB_CLIENT}"}}"#, part.at.0).as_bytes());
    }
}

/// An id that looks like a number may be one at the client.
fn put_ids(ids: &mut Vec<u8>, id: &str) {
    if !ids.is_empty() {
        ids.push(b',');
    }
    put_json(ids, id);
    if id.starts_with(|c: char| c.is_ascii_digit() || c == '-') && serde_json::from_str::<f64>(id).is_ok() {
        ids.push(b',');
        ids.extend_from_slice(id.as_bytes());
    }
}

fn put_digest(digests: &mut Vec<u8>, id: &str, digest: u64) {
    if !digests.is_empty() {
        digests.push(b',');
    }
    put_json(digests, id);
    digests.extend_from_slice(format!(":{digest}").as_bytes());
}

fn put_insert(out: &mut Vec<u8>, told: &Told<'_>, data: &str) {
    let lsn = told.lsn;
    out.extend_from_slice(format!(r#",{{"id":"{HUB_CLIENT}-{lsn}","type":"insert","collection":"#).as_bytes());
    put_json(out, told.collection);
    out.extend_from_slice(br#","documentId":"#);
    put_json(out, told.id);
    out.extend_from_slice(br#","data":"#);
    out.extend_from_slice(data.as_bytes());
    out.extend_from_slice(format!(r#","timestamp":{},"clientId":"{HUB_CLIENT}"}}"#, told.at.0).as_bytes());
}

/// The document with its id as `id`. A field of that name, which somebody else gave it, is not told.
fn data_of<'a>(id: &str, body: &'a str) -> Cow<'a, str> {
    // A name with an escape could be another spelling of `id`.
    let plain = !body.contains(r#""id""#) && !body.contains(r"\u006");
    let rest = body.strip_prefix(r#"{"_id":"#).filter(|rest| plain && !rest.contains(r#""_id""#));
    if let Some(rest) = rest {
        return Cow::Owned(format!(r#"{{"id":{rest}"#));
    }
    let mut fields = Body::trusted(body).fields();
    let spelled = fields.remove("_id").unwrap_or_else(|| to_raw_value(id).expect("text serializes"));
    fields.remove("id");
    let mut shown = Fields::default();
    shown.set("id", spelled);
    fields.iter().for_each(|(name, value): (&str, &RawValue)| shown.set(name, value.to_owned()));
    Cow::Owned(shown.to_text())
}

fn put_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("names and ids serialize into memory");
}
