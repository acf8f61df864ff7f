//! One element of a foreign push, taken apart into ops on single documents.

use super::splice::completed;
use crate::model::{
    Body, CollectionName, DocId, Fields, ForeignEdit, ForeignOp, Limits, Lsn, Malformed, Millis, Rejection,
};
use crate::wire::digest::fnv128;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The fields that an element may have, as text.
#[derive(Deserialize)]
pub(super) struct Element<'a> {
    #[serde(borrow, default)]
    op: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    doc: Option<&'a RawValue>,
    #[serde(borrow, default)]
    docs: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(rename = "opId", borrow, default)]
    op_id: Option<&'a RawValue>,
    #[serde(rename = "_remote", borrow, default)]
    remote: Option<&'a RawValue>,
    #[serde(default)]
    txn: Option<&'a str>,
    #[serde(default)]
    txid: Option<&'a str>,
    #[serde(rename = "type", default)]
    kind: Option<&'a str>,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ts: Option<&'a RawValue>,
    #[serde(borrow, default)]
    lsn: Option<&'a RawValue>,
}

impl<'a> Element<'a> {
    pub fn parse(n: usize, raw: &'a RawValue) -> Result<Element<'a>, Malformed> {
        if !raw.get().starts_with('{') {
            return Err(Malformed::json(format!("ops[{n}]"), "must be an object"));
        }
        serde_json::from_str(raw.get()).map_err(|e| Malformed::json(format!("ops[{n}]"), e))
    }

    /// Whether the client has it from the hub.
    pub fn is_remote(&self) -> bool {
        self.remote.is_some_and(|raw| raw.get() == "true")
    }

    /// The position that the hub gave it.
    pub fn lsn(&self) -> Option<Lsn> {
        serde_json::from_str(self.lsn?.get()).ok().map(Lsn)
    }

    pub fn is_txn(&self, kind: &str) -> bool {
        self.txn == Some(kind)
    }

    /// The transaction that an op belongs to.
    pub fn txid(&self) -> Option<&'a str> {
        self.txid
    }

    /// The transaction that a line opens or closes.
    pub fn line_id(&self) -> Option<&'a str> {
        serde_json::from_str(self.id?.get()).ok()
    }

    fn time(&self) -> Option<Millis> {
        Millis::parse(&serde_json::from_str::<Cow<'_, str>>(self.ts?.get()).ok()?)
    }
}

/// Why an element does not become an op: impossible, or only over a limit.
enum Misfit {
    Impossible(String),
    Unusable(Malformed),
}

impl Misfit {
    fn of(text: &str) -> Misfit {
        Misfit::Impossible(text.to_owned())
    }
}

/// Turns the elements of one push into ops.
pub(super) struct Reader<'a> {
    collection: &'a CollectionName,
    limits: &'a Limits,
    /// Transactions by name, numbered as they come.
    txns: BTreeMap<&'a str, u32>,
    /// How often an op of a transaction has occurred in this push.
    occurrences: BTreeMap<[u8; 16], u32>,
}

impl<'a> Reader<'a> {
    pub fn new(collection: &'a CollectionName, limits: &'a Limits) -> Reader<'a> {
        Reader { collection, limits, txns: BTreeMap::new(), occurrences: BTreeMap::new() }
    }

    /// Appends the ops of one element.
    pub fn read(
        &mut self,
        n: usize,
        element: &Element<'a>,
        raw: &RawValue,
        out: &mut Vec<ForeignOp>,
    ) -> Result<(), Malformed> {
        let what = format!("ops[{n}]");
        let wrong = |reason: &str| Err(Malformed::json(what.clone(), reason));
        match (element.txn, element.op.as_deref()) {
            (Some("start" | "commit"), _) => Ok(()),
            (Some("op"), _) => {
                Txn::of(self, element).map_err(|e| Malformed::json(&what, e))?.read(self, &what, raw, out)
            }
            (Some(_), _) => wrong("`txn` must be `start`, `op` or `commit`"),
            (None, Some(op)) => self.plain(&what, op, element, raw, out),
            (None, None) => wrong("has neither `op` nor `txn`"),
        }
    }

    fn plain(
        &self,
        what: &str,
        op: &str,
        element: &Element<'_>,
        raw: &RawValue,
        out: &mut Vec<ForeignOp>,
    ) -> Result<(), Malformed> {
        let key = |place: &str| {
            let id = element.op_id.filter(|id| id.get().starts_with('"'))?;
            Some(fnv128(&[self.collection.as_str().as_bytes(), id.get().as_bytes(), place.as_bytes()]))
        };
        let push = |out: &mut Vec<ForeignOp>, what: &str, key, edit| {
            out.push(ForeignOp { key, txn: None, ..self.settle(what, edit, raw)? });
            Ok(())
        };
        match op {
            "INSERT" => push(out, what, key(""), insert(element.doc, self.limits)),
            "BATCH_INSERT" => {
                for (place, doc) in list(what, element.docs)?.into_iter().enumerate() {
                    let what = format!("{what}.docs[{place}]");
                    push(out, &what, key(&place.to_string()), insert(Some(doc), self.limits))?;
                }
                Ok(())
            }
            "UPDATE" => push(out, what, key(""), update(element.id, element.data, self.limits)),
            "REMOVE" => push(out, what, key(""), id(element.id).map(|id| (ForeignEdit::Remove(id), None))),
            "CLEAR" => push(out, what, key(""), Ok((ForeignEdit::Clear, None))),
            _ => Err(Malformed::json(what, "`op` must be INSERT, BATCH_INSERT, UPDATE, REMOVE or CLEAR")),
        }
    }

    /// An edit that was read, or what stands in its place.
    fn settle(&self, what: &str, edit: Read, raw: &RawValue) -> Result<ForeignOp, Malformed> {
        let (edit, time) = match edit {
            Ok(read) => read,
            Err(Misfit::Impossible(reason)) => return Err(Malformed::json(what, reason)),
            Err(Misfit::Unusable(why)) => {
                let rejection = Rejection { code: why.code().to_owned(), reason: why.to_string() };
                (ForeignEdit::Unusable(rejection), None)
            }
        };
        let may_wait = matches!(edit, ForeignEdit::Update(..) | ForeignEdit::Unusable(_));
        let raw = if may_wait { raw.get().to_owned() } else { String::new() };
        Ok(ForeignOp { key: None, edit, time, txn: None, raw })
    }
}

/// An edit and its time.
type Read = Result<(ForeignEdit, Option<Millis>), Misfit>;

/// An element of a transaction.
struct Txn<'e> {
    number: u32,
    kind: &'e str,
    args: Vec<&'e RawValue>,
    time: Option<Millis>,
    key: [u8; 16],
}

impl<'e> Txn<'e> {
    fn of<'a>(reader: &mut Reader<'a>, element: &Element<'a>) -> Result<Txn<'a>, &'static str> {
        let txid = element.txid.ok_or("a transaction's operation needs `txid`")?;
        let kind = element.kind.ok_or("a transaction's operation needs `type`")?;
        let raw = element.args.ok_or("a transaction's operation needs the list `args`")?;
        let args = serde_json::from_str(raw.get()).map_err(|_| "`args` must be a list")?;
        let ts = element.ts.map_or("", RawValue::get);
        let parts = [reader.collection.as_str(), txid, kind, raw.get(), ts];
        let same = fnv128(&parts.map(str::as_bytes));
        let count = reader.occurrences.entry(same).or_default();
        let key = fnv128(&[&same, &count.to_be_bytes()]);
        *count += 1;
        let next = u32::try_from(reader.txns.len()).unwrap_or(u32::MAX);
        let number = *reader.txns.entry(txid).or_insert(next);
        Ok(Txn { number, kind, args, time: element.time(), key })
    }

    fn read(&self, reader: &Reader<'_>, what: &str, raw: &RawValue, out: &mut Vec<ForeignOp>) -> Result<(), Malformed> {
        let arg = |n: usize| self.args.get(n).copied();
        let mut push = |what: &str, key, edit: Read| {
            let op = reader.settle(what, edit, raw)?;
            out.push(ForeignOp { key: Some(key), time: self.time, txn: Some(self.number), ..op });
            Ok(())
        };
        match self.kind {
            "insert" => push(what, self.key, self.insert(arg(0), self.key, reader.limits)),
            "insertMany" => {
                for (place, doc) in list(what, arg(0))?.into_iter().enumerate() {
                    let (what, key) = (format!("{what}.args[0][{place}]"), fnv128(&[&self.key, &place.to_be_bytes()]));
                    push(&what, key, self.insert(Some(doc), key, reader.limits))?;
                }
                Ok(())
            }
            "update" => push(what, self.key, self.update(arg(0), arg(1), reader.limits)),
            "remove" => push(what, self.key, id(arg(0)).map(|id| (ForeignEdit::Remove(id), None))),
            "clear" => push(what, self.key, Ok((ForeignEdit::Clear, None))),
            _ => Err(Malformed::json(what, "`type` must be insert, insertMany, update, remove or clear")),
        }
    }

    /// The client fills in what is missing in memory only; an id that it invents is never sent, so
    /// one is derived that every repeat of the op leads to again.
    fn insert(&self, doc: Option<&RawValue>, key: [u8; 16], limits: &Limits) -> Read {
        let fields = object(doc, "the document")?;
        let derived = || format!("txn-{:032x}", u128::from_be_bytes(key));
        let body = completed(fields, derived, self.time).to_body();
        let raw = RawValue::from_string(body.text().to_owned()).map_err(|_| Misfit::of("the document is not JSON"))?;
        insert(Some(&raw), limits)
    }

    fn update(&self, id: Option<&RawValue>, data: Option<&RawValue>, limits: &Limits) -> Read {
        let (edit, time) = update(id, data, limits)?;
        let ForeignEdit::Update(id, mut set) = edit else { return Ok((edit, time)) };
        // Inside a transaction the client ignores these two.
        set.remove("createdAt");
        set.remove("_txn");
        if let (None, Some(time)) = (set.get("updatedAt"), self.time) {
            set.set("updatedAt", super::splice::iso(time));
        }
        Ok((ForeignEdit::Update(id, set), time))
    }
}

fn list<'e>(what: &str, raw: Option<&'e RawValue>) -> Result<Vec<&'e RawValue>, Malformed> {
    let wrong = || Malformed::json(what, "the documents must be a list");
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).ok_or_else(wrong)
}

fn object(raw: Option<&RawValue>, name: &str) -> Result<Fields, Misfit> {
    let raw = raw.filter(|raw| raw.get().starts_with('{'));
    let raw = raw.ok_or_else(|| Misfit::Impossible(format!("{name} must be an object")))?;
    serde_json::from_str(raw.get()).map_err(|e| Misfit::Impossible(format!("{name}: {e}")))
}

/// A document with its id; its newest time is when it was made.
fn insert(doc: Option<&RawValue>, limits: &Limits) -> Read {
    let raw = doc.ok_or_else(|| Misfit::of("the document is missing"))?;
    let (body, facts) = Body::parse(raw.get(), limits).map_err(|e| match e {
        Malformed::TooBig { .. } => Misfit::Unusable(e),
        _ => Misfit::Impossible(format!("the document must be an object: {e}")),
    })?;
    let Some(text) = facts.id else { return Err(odd_id(&body)) };
    let id = named(&text)?;
    let body = if is_number(raw, &text) {
        let mut fields = body.fields();
        fields.set("_id", super::splice::string(&text));
        fields.to_body()
    } else {
        body
    };
    Ok((ForeignEdit::Insert(id, body), facts.updated_at.or(facts.created_at)))
}

/// Whether a document's id, known to be this text, is written as a number.
fn is_number(doc: &RawValue, id: &str) -> bool {
    let numeric = |first: u8| first == b'-' || first.is_ascii_digit();
    id.as_bytes().first().is_some_and(|b| numeric(*b))
        && Body::trusted(doc.get()).fields().get("_id").is_some_and(|raw| !raw.get().starts_with('"'))
}

/// The client takes any value for an id that JavaScript takes for true.
fn odd_id(body: &Body) -> Misfit {
    match body.fields().get("_id").map(RawValue::get) {
        None | Some("null" | "false" | "\"\"") => Misfit::of("the document has no `_id`"),
        Some(other) => Misfit::Unusable(Malformed::id("document id", other, "must be a string or a number")),
    }
}

fn update(id_raw: Option<&RawValue>, data: Option<&RawValue>, limits: &Limits) -> Read {
    let mut set = object(data, "`data`")?;
    let id = id(id_raw)?;
    // The id is the document's place; an update never moves it.
    set.remove("_id");
    let (_, facts) = Body::parse(set.to_body().text(), limits).map_err(Misfit::Unusable)?;
    Ok((ForeignEdit::Update(id, set), facts.updated_at))
}

fn id(raw: Option<&RawValue>) -> Result<DocId, Misfit> {
    let text = raw.map(RawValue::get).ok_or_else(|| Misfit::of("`id` is missing"))?;
    match text.as_bytes().first() {
        Some(b'"') => match serde_json::from_str::<String>(text) {
            Ok(id) => named(&id),
            Err(_) => Err(Misfit::Unusable(Malformed::id("document id", text, "must be Unicode text"))),
        },
        Some(b'-' | b'0'..=b'9') => named(text),
        _ => Err(Misfit::of("`id` must be a string")),
    }
}

fn named(id: &str) -> Result<DocId, Misfit> {
    match DocId::new(id) {
        Ok(id) => Ok(id),
        Err(_) if id.is_empty() => Err(Misfit::of("the document's id is empty")),
        Err(why) => Err(Misfit::Unusable(why)),
    }
}
