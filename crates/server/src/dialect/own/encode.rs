//! Rows into the bytes of pages and snapshots. Stored text is spliced in, never taken apart.

use super::told::Told;
use crate::store::{Encoder, Head, Row, Scanned};
use serde::Serialize;
use std::sync::Arc;
use syncline_core::model::{Author, LateConflicts, Lsn, Mark, Meta, RowFilters, Views};
use syncline_core::wire::ranges::{Range, place};

/// A page of changes.
pub(super) struct PageEncoder {
    author: Option<Author>,
    rows: Arc<RowFilters>,
    views: Views,
    late: Option<LateConflicts>,
    empty: bool,
}

impl PageEncoder {
    /// `author`: the reader's own number, once it has one.
    pub(super) fn new(author: Option<Author>, rows: Arc<RowFilters>, views: Views) -> PageEncoder {
        PageEncoder { author, rows, views, late: None, empty: true }
    }

    /// Tells as well what the reader lost after it was accepted.
    pub(super) fn telling(self, late: Option<LateConflicts>) -> PageEncoder {
        PageEncoder { late, ..self }
    }
}

impl Encoder for PageEncoder {
    fn begin(&mut self, head: &Head, out: &mut Vec<u8>) {
        self.empty = true;
        out.extend_from_slice(b"{\"epoch\":");
        put(out, &head.epoch);
        if let Some(author) = self.author {
            out.extend_from_slice(b",\"author\":");
            put(out, &author);
        }
        put_views(&self.views, out);
        if let Some(late) = &self.late {
            out.extend_from_slice(b",\"conflicts\":");
            put(out, late);
        }
        out.extend_from_slice(b",\"ops\":[");
    }

    fn compares(&self) -> bool {
        !self.rows.is_empty()
    }

    fn row(&mut self, row: &Row<'_>, out: &mut Vec<u8>) -> bool {
        let told = Told::of(row, &self.rows);
        if matches!(told, Told::Nothing) {
            return false;
        }
        if !self.empty {
            out.push(b',');
        }
        self.empty = false;
        match told {
            Told::Gone => put_gone(row, out),
            Told::AsItIs | Told::Nothing => put_row(row, out),
        }
        true
    }

    fn end(&mut self, scanned: &Scanned, out: &mut Vec<u8>) {
        out.extend_from_slice(b"],\"server_lsn\":");
        put(out, &scanned.upto);
        out.extend_from_slice(if scanned.more { b",\"has_more\":true}" } else { b",\"has_more\":false}" });
    }
}

/// A snapshot, one JSON object per line.
pub(super) struct SnapshotEncoder {
    rows: Arc<RowFilters>,
    views: Views,
    ranges: Vec<Range>,
}

impl SnapshotEncoder {
    /// `ranges`: only the documents in these; empty: all.
    pub(super) fn new(rows: Arc<RowFilters>, views: Views, ranges: Vec<Range>) -> SnapshotEncoder {
        SnapshotEncoder { rows, views, ranges }
    }

    fn wants(&self, row: &Row<'_>) -> bool {
        let in_one = || {
            let place = place(row.collection, row.id);
            self.ranges.iter().any(|range| range.holds(place))
        };
        (self.ranges.is_empty() || in_one()) && self.rows.mean(row.collection, row.body)
    }
}

impl Encoder for SnapshotEncoder {
    fn is_brief(&self) -> bool {
        true
    }

    fn begin(&mut self, head: &Head, out: &mut Vec<u8>) {
        put_first_line(head, &self.views, None, out);
    }

    /// A line break in stored text is white space between tokens (strings hold it as `\n`), and would
    /// end the line too early.
    fn row(&mut self, row: &Row<'_>, out: &mut Vec<u8>) -> bool {
        if !self.wants(row) {
            return false;
        }
        let start = out.len();
        put_row(row, out);
        if row.body.contains('\n') {
            out[start..].iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
        }
        out.push(b'\n');
        true
    }

    fn end(&mut self, scanned: &Scanned, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"end\":true,\"documents\":");
        put(out, &scanned.rows);
        out.extend_from_slice(b"}\n");
    }
}

/// Names of collections need no escapes; see the rule of `CollectionName`.
fn put_row(row: &Row<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(if row.live { b"{\"op\":\"put\",\"lsn\":" } else { b"{\"op\":\"remove\",\"lsn\":" });
    put(out, &row.lsn);
    out.extend_from_slice(b",\"collection\":\"");
    out.extend_from_slice(row.collection.as_bytes());
    out.extend_from_slice(b"\",\"id\":");
    put(out, row.id);
    out.extend_from_slice(b",\"stamp\":");
    put(out, &row.stamp);
    out.extend_from_slice(b",\"author\":");
    put(out, &row.author);
    if !row.meta.is_empty() {
        out.extend_from_slice(b",\"meta\":");
        out.extend_from_slice(row.meta.as_bytes());
    }
    if row.live {
        out.extend_from_slice(b",\"doc\":");
        out.extend_from_slice(row.body.as_bytes());
    }
    out.push(b'}');
}

/// A document that is gone for the reader. Of the version that stands, or that was removed, it says no more than that.
fn put_gone(row: &Row<'_>, out: &mut Vec<u8>) {
    let mark = |stamp| Mark { stamp, lsn: row.lsn, author: row.author };
    let meta = Meta { removed: Some(mark(row.stamp)), ..Meta::inserted(mark(row.born)) };
    let meta = serde_json::to_string(&meta).expect("a meta serializes");
    put_row(&Row { live: false, meta: &meta, ..*row }, out);
}

/// What a stream of lines begins with.
pub(super) fn put_first_line(head: &Head, views: &Views, at: Option<Lsn>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"server_lsn\":");
    put(out, &head.last_change);
    out.extend_from_slice(b",\"epoch\":");
    put(out, &head.epoch);
    if let Some(at) = at {
        out.extend_from_slice(b",\"at\":");
        put(out, &at);
    }
    put_views(views, out);
    out.extend_from_slice(b"}\n");
}

fn put_views(views: &Views, out: &mut Vec<u8>) {
    if !views.is_empty() {
        out.extend_from_slice(b",\"views\":");
        put(out, views);
    }
}

/// Small values that always serialize.
pub(super) fn put<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("numbers and strings serialize into memory");
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_core::model::{Epoch, Lsn, Millis, Stamp, TimeFields};
    use syncline_core::wire::own::{Page, PageEdit};

    /// A live document as the store hands it over.
    fn put<'a>(id: &'a str, body: &'a str) -> Row<'a> {
        Row {
            lsn: Lsn(7),
            at: Millis(1),
            collection: "users",
            id,
            live: true,
            author: Author(3),
            stamp: Stamp(5),
            born: Stamp(5),
            meta: "",
            eventful: false,
            created: Lsn(7),
            times: TimeFields::default(),
            body,
            before: None,
        }
    }

    #[test]
    fn a_page_reads_back_as_the_wire_codec_reads_it() {
        let head = Head {
            epoch: Epoch::new("e1").unwrap(),
            lsn: Lsn(9),
            last_change: Lsn(8),
            horizon: Lsn(0),
            ..Head::default()
        };
        let row = put("a\"b\n", r#"{"_id":"a\"b\n","n":1.50}"#);
        let gone = Row { lsn: Lsn(8), live: false, meta: r#"{"w":[5,7,3],"b":5,"r":[6,8,3]}"#, ..row };

        let (mut encoder, mut out) = (PageEncoder::new(Some(Author(3)), Arc::default(), Views::new()), Vec::new());
        encoder.begin(&head, &mut out);
        assert!(encoder.row(&row, &mut out) && encoder.row(&gone, &mut out));
        encoder.end(&Scanned { upto: Lsn(8), rows: 2, more: true }, &mut out);

        let page: Page = serde_json::from_slice(&out).unwrap();
        assert_eq!((page.server_lsn, page.epoch.as_str(), page.has_more), (Lsn(8), "e1", true));
        assert_eq!((page.ops[0].op, page.ops[0].id.as_str()), (PageEdit::Put, "a\"b\n"));
        assert_eq!(page.ops[0].doc.as_ref().unwrap().get(), row.body);
        assert_eq!((page.ops[1].op, page.ops[1].doc.is_none()), (PageEdit::Remove, true));
    }

    #[test]
    fn a_document_with_line_breaks_is_one_line_of_a_snapshot() {
        let body = "{\n\"_id\":\"x\",\r\n \"text\":\"a\\nb\"}";
        let row = put("x", body);
        let mut out = Vec::new();
        assert!(SnapshotEncoder::new(Arc::default(), Views::new(), Vec::new()).row(&row, &mut out));
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(read["doc"], serde_json::from_str::<serde_json::Value>(body).unwrap());
    }
}
