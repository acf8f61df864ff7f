//! What a WiseJSON client is sent about one document. The client ignores inserts of what it has and
//! updates of what it has not, compares times, and never takes fields away: so every document comes
//! as the fewest ops that lead from whatever the client may have to the merged state.

use super::splice::{self, IsoTimes, Times};
use crate::model::{Body, Lsn, Meta, Millis, Stamp, TimeFields};
use std::borrow::Cow;

/// The newest version of a document, as a store has it.
#[derive(Clone, Copy, Debug)]
pub struct NetDoc<'a> {
    /// Its id.
    pub id: &'a str,
    /// The change that made this version.
    pub lsn: Lsn,
    /// Whether readers see it.
    pub live: bool,
    /// Newest stamp of the version.
    pub stamp: Stamp,
    /// When it was born (see `Meta::born`).
    pub born: Stamp,
    /// Its `Meta` as JSON; empty for a document that one insert wrote.
    pub meta: &'a str,
    /// See [`Meta::is_eventful`].
    pub eventful: bool,
    /// From which LSN on it exists for readers.
    pub created: Lsn,
    /// Which times its text has.
    pub times: TimeFields,
    /// Its text.
    pub body: &'a str,
}

/// What the reader has, as far as the hub knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Everything up to here.
    pub after: Lsn,
    /// LSN ranges of pushes that it made itself.
    pub own: Vec<(Lsn, Lsn)>,
    /// Of a document that it made before this time it may have heard that it is gone, from a removal that the hub has
    /// forgotten by the time when the insert came.
    pub sure_since: Millis,
}

/// Writes the ops for a document that changed after `holding.after`, separated by commas, preceded
/// by one where `first` is false. Returns how many there are: none when there is nothing to tell.
pub fn net_ops(out: &mut Vec<u8>, doc: &NetDoc<'_>, holding: &Holding, first: bool, iso: &mut IsoTimes) -> usize {
    let known = doc.created <= holding.after;
    let mut writer = Writer { out, doc, first, ops: 0, at: doc.stamp.millis(), iso };
    if doc.live && known && holding.own.is_empty() && !doc.eventful && !doc.times.lifetime {
        writer.update();
        return writer.ops;
    }
    let meta = doc.meta();
    writer.at = writer.at.max(meta.as_ref().map_or(Millis(0), |m| m.committed));
    if !doc.live {
        if meta.is_none_or(|meta| meta.removed.is_some()) {
            writer.remove();
        }
        return writer.ops;
    }
    if holding.holds(doc, meta.as_ref()) {
        return 0;
    }
    if meta.as_ref().is_some_and(|m| m.again || m.removed.is_some() || doc.times.lifetime) {
        // Fields that are gone go away only with the whole document. At equal times both apply, so this
        // replaces whatever is not newer than the merged document: also a copy whose time was over before
        // word came that it goes on, which takes no update, or is gone without one.
        writer.remove();
        writer.insert();
        return writer.ops;
    }
    if known || holding.has_made(doc) {
        writer.update();
        return writer.ops;
    }
    writer.insert();
    if meta.is_some() {
        // Whoever has the document ignores the insert and gets the rest from this.
        writer.update();
    }
    writer.ops
}

/// Writes a live document as a snapshot has it.
pub fn document(out: &mut Vec<u8>, doc: &NetDoc<'_>, iso: &mut IsoTimes) {
    splice::document(out, &named_by_string(doc), doc.times(), iso);
}

impl NetDoc<'_> {
    /// `None`: one insert wrote it.
    fn meta(&self) -> Option<Meta> {
        (!self.meta.is_empty()).then(|| serde_json::from_str(self.meta).ok()).flatten()
    }

    fn times(&self) -> Times {
        Times { own: self.times, born: self.born, changed: self.stamp }
    }
}

impl Holding {
    fn made(&self, lsn: Lsn) -> bool {
        self.own.iter().any(|(first, last)| (*first..=*last).contains(&lsn))
    }

    /// Whether the reader itself made the document, and still has it.
    fn has_made(&self, doc: &NetDoc<'_>) -> bool {
        self.made(doc.created) && doc.born.millis() >= self.sure_since
    }

    /// Whether the reader itself wrote everything that stands in the document, as new, and the hub
    /// did not have to move its time past a removal. What a transaction wrote is told in any case: a
    /// restart of its client may have put it in place of later work.
    fn holds(&self, doc: &NetDoc<'_>, meta: Option<&Meta>) -> bool {
        if !self.made(doc.lsn) || !self.has_made(doc) {
            return false;
        }
        let Some(meta) = meta else { return true };
        let written = [&meta.whole].into_iter().chain(meta.fields.values()).all(|mark| self.made(mark.lsn));
        if meta.committed > Millis(0) {
            return false;
        }
        written && !is_disputed(meta) && self.made(meta.created)
    }
}

/// Whether a removal was told under a time that is not before the document's birth.
fn is_disputed(meta: &Meta) -> bool {
    meta.removed.is_some_and(|removed| removed.stamp.millis().max(meta.committed) >= meta.born.millis())
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    doc: &'a NetDoc<'a>,
    first: bool,
    ops: usize,
    /// When the document got this way; not before any time that the copy of its maker may bear.
    at: Millis,
    iso: &'a mut IsoTimes,
}

impl Writer<'_> {
    fn insert(&mut self) {
        self.begin();
        self.text(r#"{"op":"INSERT","doc":"#);
        self.body();
        self.end();
    }

    fn update(&mut self) {
        self.begin();
        self.text(r#"{"op":"UPDATE","id":"#);
        self.id();
        self.text(r#","data":"#);
        self.body();
        self.end();
    }

    fn remove(&mut self) {
        self.begin();
        self.text(r#"{"op":"REMOVE","id":"#);
        self.id();
        self.end();
    }

    fn begin(&mut self) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        self.ops += 1;
    }

    fn id(&mut self) {
        serde_json::to_writer(&mut *self.out, self.doc.id).expect("text is a JSON value");
    }

    fn body(&mut self) {
        splice::document(self.out, &named_by_string(self.doc), self.doc.times(), self.iso);
    }

    /// Without `ts` the client would apply it blindly and forget it in a crash.
    fn end(&mut self) {
        self.text(r#","ts":""#);
        self.iso.write(self.out, self.at);
        self.text("\"}");
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }
}

/// Other dialects may have stored a number for `_id`; this client tells 7 from "7".
fn named_by_string<'a>(doc: &NetDoc<'a>) -> Cow<'a, str> {
    let numeric = doc.id.as_bytes().first().is_some_and(|b| *b == b'-' || b.is_ascii_digit());
    if !numeric {
        return Cow::Borrowed(doc.body);
    }
    // A damaged text goes out as it is, as those of other documents do.
    let Ok(mut fields) = Body::stored(doc.body).map(|body| body.fields()) else { return Cow::Borrowed(doc.body) };
    if fields.get("_id").is_some_and(|raw| raw.get().starts_with('"')) {
        return Cow::Borrowed(doc.body);
    }
    fields.set("_id", splice::string(doc.id));
    Cow::Owned(fields.to_text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Author, Mark, Millis};
    use std::collections::BTreeMap;

    const BOTH: TimeFields = TimeFields { created_at: true, updated_at: true, lifetime: false };

    fn stamp(ms: u64) -> Stamp {
        Stamp::at(Millis(ms))
    }
    fn mark(ms: u64, lsn: u64) -> Mark {
        Mark { stamp: stamp(ms), lsn: Lsn(lsn), author: Author(1) }
    }
    fn doc<'a>(lsn: u64, created: u64, meta: &'a str, body: &'a str) -> NetDoc<'a> {
        let (lsn, created, stamp) = (Lsn(lsn), Lsn(created), stamp(2000));
        let read: Meta = serde_json::from_str(meta).unwrap_or_else(|_| Meta { born: stamp, ..Meta::default() });
        let (born, eventful) = (read.born, read.is_eventful());
        NetDoc { id: "x", lsn, live: true, stamp, born, meta, eventful, created, times: BOTH, body }
    }
    fn ops(doc: &NetDoc<'_>, after: u64, own: &[(u64, u64)]) -> String {
        let own = own.iter().map(|(a, b)| (Lsn(*a), Lsn(*b))).collect();
        let mut out = Vec::new();
        let holding = Holding { after: Lsn(after), own, ..Holding::default() };
        net_ops(&mut out, doc, &holding, true, &mut IsoTimes::default());
        String::from_utf8(out).unwrap()
    }
    /// Only the kinds of the ops.
    fn kinds(doc: &NetDoc<'_>, after: u64, own: &[(u64, u64)]) -> String {
        let list: Vec<serde_json::Value> = serde_json::from_str(&format!("[{}]", ops(doc, after, own))).unwrap();
        assert!(list.iter().all(|op| op["ts"].is_string()), "{list:?}");
        list.iter().map(|op| op["op"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_new_document_is_one_insert_and_its_maker_is_spared_it() {
        let new = doc(5, 5, "", r#"{"_id":"x"}"#);
        assert_eq!(ops(&new, 4, &[]), r#"{"op":"INSERT","doc":{"_id":"x"},"ts":"1970-01-01T00:00:02.000Z"}"#);
        assert_eq!(kinds(&new, 4, &[(3, 6)]), "");
        assert_eq!(kinds(&doc(9, 5, "", "{}"), 4, &[(3, 6)]), "UPDATE");
    }

    #[test]
    fn what_others_changed_comes_back_as_an_update_to_its_maker() {
        let meta = Meta { fields: BTreeMap::from([("f".to_owned(), mark(2000, 8))]), ..Meta::inserted(mark(1000, 5)) };
        let meta = serde_json::to_string(&meta).unwrap();
        let changed = doc(8, 5, &meta, r#"{"_id":"x","f":1}"#);
        assert_eq!(kinds(&changed, 4, &[]), "INSERT UPDATE");
        assert_eq!(kinds(&changed, 5, &[]), "UPDATE");
        assert_eq!(kinds(&changed, 4, &[(5, 6)]), "UPDATE");
        assert_eq!(kinds(&changed, 4, &[(5, 8)]), "", "its own insert and its own update");
    }

    #[test]
    fn a_maker_whose_document_a_removal_took_away_gets_it_back() {
        let disputed = Meta { removed: Some(mark(2000, 4)), ..Meta::inserted(mark(2000, 7)) };
        let text = serde_json::to_string(&disputed).unwrap();
        assert_eq!(kinds(&doc(7, 7, &text, r#"{"_id":"x"}"#), 5, &[(7, 7)]), "REMOVE INSERT");
    }

    #[test]
    fn a_maker_that_may_have_heard_of_a_forgotten_removal_since_gets_its_document() {
        let told = |born: &NetDoc<'_>, sure_since: u64| {
            let holding = Holding { after: Lsn(4), own: vec![(Lsn(5), Lsn(8))], sure_since: Millis(sure_since) };
            let mut out = Vec::new();
            let ops = net_ops(&mut out, born, &holding, true, &mut IsoTimes::default());
            (ops, String::from_utf8(out).unwrap().contains("INSERT"))
        };
        let new = doc(5, 5, "", r#"{"_id":"x"}"#);
        assert_eq!(told(&new, 2000), (0, false));
        assert_eq!(told(&new, 2001), (1, true));
        let meta = Meta { committed: Millis(3000), ..Meta::inserted(mark(2000, 5)) };
        let meta = serde_json::to_string(&meta).unwrap();
        let of_a_transaction = doc(5, 5, &meta, r#"{"_id":"x"}"#);
        assert_eq!(told(&of_a_transaction, 2000), (1, false));
        assert_eq!(told(&of_a_transaction, 2001), (2, true));
    }

    #[test]
    fn what_a_transaction_wrote_is_told_under_the_time_of_its_commit() {
        let meta = Meta { committed: Millis(3000), ..Meta::inserted(mark(2000, 5)) };
        let meta = serde_json::to_string(&meta).unwrap();
        let doc = doc(5, 5, &meta, r#"{"_id":"x"}"#);
        let update = r#"{"op":"UPDATE","id":"x","data":{"_id":"x"},"ts":"1970-01-01T00:00:03.000Z"}"#;
        assert_eq!(ops(&doc, 5, &[]), update);
        assert_eq!(ops(&doc, 4, &[(5, 5)]), update, "its maker may have put it in place of later work");
        assert_eq!(kinds(&doc, 4, &[]), "INSERT UPDATE");
    }

    #[test]
    fn a_document_created_again_is_replaced_whole() {
        let again = Meta { again: true, removed: Some(mark(1500, 6)), ..Meta::inserted(mark(2000, 7)) };
        let text = serde_json::to_string(&again).unwrap();
        assert_eq!(kinds(&doc(7, 7, &text, r#"{"_id":"x"}"#), 4, &[]), "REMOVE INSERT");
        assert_eq!(kinds(&doc(9, 7, &text, r#"{"_id":"x"}"#), 8, &[]), "REMOVE INSERT");
        assert_eq!(kinds(&doc(7, 7, &text, r#"{"_id":"x"}"#), 4, &[(7, 7)]), "", "later than the removal by itself");
        let moved = Meta { removed: Some(mark(2000, 6)), ..again };
        let text = serde_json::to_string(&moved).unwrap();
        assert_eq!(kinds(&doc(7, 7, &text, r#"{"_id":"x"}"#), 4, &[(7, 7)]), "REMOVE INSERT");
    }

    #[test]
    fn a_document_whose_copies_may_have_expired_is_replaced_whole() {
        let meta =
            Meta { fields: BTreeMap::from([("ttl".to_owned(), mark(2000, 8))]), ..Meta::inserted(mark(1000, 5)) };
        let meta = serde_json::to_string(&meta).unwrap();
        let times = TimeFields { lifetime: true, ..BOTH };
        let prolonged = NetDoc { times, ..doc(8, 5, &meta, r#"{"_id":"x","ttl":null}"#) };
        assert_eq!(kinds(&prolonged, 5, &[]), "REMOVE INSERT");
        assert_eq!(kinds(&prolonged, 4, &[(5, 5)]), "REMOVE INSERT");
        assert_eq!(kinds(&prolonged, 4, &[(5, 8)]), "");
        let new = NetDoc { times, ..doc(5, 5, "", r#"{"_id":"x","ttl":7}"#) };
        assert_eq!(kinds(&new, 4, &[]), "INSERT", "nobody has it yet");
    }

    #[test]
    fn a_removed_document_is_a_removal_and_an_unborn_one_is_nothing() {
        let removed = Meta { removed: Some(mark(2000, 7)), ..Meta::inserted(mark(1000, 5)) };
        let text = serde_json::to_string(&removed).unwrap();
        let gone = NetDoc { live: false, ..doc(7, 5, &text, "{}") };
        assert_eq!(ops(&gone, 4, &[(5, 7)]), r#"{"op":"REMOVE","id":"x","ts":"1970-01-01T00:00:02.000Z"}"#);
        let unborn = serde_json::to_string(&Meta { whole: mark(1, 7), ..Meta::default() }).unwrap();
        assert_eq!(kinds(&NetDoc { live: false, ..doc(7, 0, &unborn, "{}") }, 4, &[]), "");
    }

    #[test]
    fn missing_times_and_numeric_ids_are_made_good() {
        let bare = NetDoc { id: "7", times: TimeFields::default(), ..doc(5, 5, "", r#"{"_id":7,"v":1.0}"#) };
        let mut out = Vec::new();
        document(&mut out, &bare, &mut IsoTimes::default());
        let time = "1970-01-01T00:00:02.000Z";
        let whole = format!(r#"{{"_id":"7","v":1.0,"createdAt":"{time}","updatedAt":"{time}"}}"#);
        assert_eq!(String::from_utf8(out).unwrap(), whole);
        let half = NetDoc { times: TimeFields { created_at: false, ..BOTH }, ..doc(5, 5, "", r#"{"updatedAt":"u"}"#) };
        let mut out = Vec::new();
        document(&mut out, &half, &mut IsoTimes::default());
        assert_eq!(String::from_utf8(out).unwrap(), format!(r#"{{"updatedAt":"u","createdAt":"{time}"}}"#));
    }
}
