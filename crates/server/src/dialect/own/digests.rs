//! Digests of ranges of documents, for a reader that holds what it has against the hub's (`spec/lsn.md`, "Digests"). The rows are
//! those of a snapshot; their text is hashed as it is stored, and nothing is kept but a count and a sum for each range.

use super::super::Asked;
use super::encode::{put, put_first_line};
use super::reader::{Reader, position, ranges, stands_at};
use super::snapshot::LINES;
use crate::answer;
use crate::error::ServerError;
use crate::hub::Reading;
use crate::store::{Encoder, Head, Row, Scan, Scanned};
use axum::body::Body;
use axum::response::Response;
use std::sync::Arc;
use syncline_core::model::{Lsn, Millis, RowFilters, Views};
use syncline_core::wire::exchange::is_uuid;
use syncline_core::wire::ranges::{Range, Tallies, TallyLine, by_value};

/// A reader hears from a long count each time that so much was read, so that it knows that the hub is at work.
const TOLD_EVERY_BYTES: usize = 8 << 20;
/// What a document costs beside its text.
const ROW_BYTES: usize = 128;

/// `GET …/sync/digests?node=…&at=…`
pub(in super::super) async fn digests(asked: Asked) -> Result<Response, ServerError> {
    let reader = Reader::of(&asked)?;
    let stands_at = stands_at(&asked, &reader.node).await?;
    let at = stands_at.map_or_else(|| position(&asked, "at"), Ok)?;
    let until = Millis(asked.query.read("until", 0, "milliseconds since 1970")?);
    let mut ranges = ranges(&asked)?;
    if ranges.is_empty() {
        ranges.push(Range::ALL);
    }
    let (rows, views, tallies) = (reader.rows, reader.views, Tallies::of(ranges)?);
    let by_packets = stands_at.is_some();
    let count = Count { at, by_packets, rows, views, tallies, scanned: 0, untold_bytes: 0, due: false };
    let scan = Scan::Snapshot {
        collections: reader.collections,
        after: Lsn::ZERO,
        expired_by: Some(asked.space.now().max(until)),
        max_rows: usize::MAX,
        max_bytes: usize::MAX,
    };
    Ok(match asked.space.read(scan, Box::new(count)).await? {
        Reading::Whole(bytes, _) => answer::with_type(Body::from(bytes), LINES),
        Reading::Parts(parts) => answer::with_type(Body::from_stream(parts.into_stream(asked.slot)), LINES),
    })
}

/// Counts what has not changed since `at`.
struct Count {
    at: Lsn,
    /// The reader has what packets brought it: documents by their values, under ids that are UUIDs.
    by_packets: bool,
    /// Others are not counted: how many there are is nobody's business either.
    rows: Arc<RowFilters>,
    views: Views,
    tallies: Tallies,
    scanned: u64,
    untold_bytes: usize,
    due: bool,
}

impl Encoder for Count {
    fn is_brief(&self) -> bool {
        true
    }

    fn begin(&mut self, head: &Head, out: &mut Vec<u8>) {
        put_first_line(head, &self.views, self.by_packets.then_some(self.at), out);
    }

    fn row(&mut self, row: &Row<'_>, out: &mut Vec<u8>) -> bool {
        if !self.rows.mean(row.collection, row.body) || (self.by_packets && !is_uuid(row.id)) {
            return false;
        }
        if row.lsn <= self.at {
            match self.by_packets {
                true => self.tallies.add((row.collection, row.id), Lsn::ZERO, &by_value(row.body)),
                false => self.tallies.add((row.collection, row.id), row.lsn, row.body),
            }
        }
        self.scanned += 1;
        self.untold_bytes += row.body.len() + ROW_BYTES;
        if self.untold_bytes >= TOLD_EVERY_BYTES {
            (self.untold_bytes, self.due) = (0, true);
            out.extend_from_slice(b"{\"scanned\":");
            put(out, &self.scanned);
            out.extend_from_slice(b"}\n");
        }
        true
    }

    fn is_due(&mut self) -> bool {
        std::mem::take(&mut self.due)
    }

    fn end(&mut self, _scanned: &Scanned, out: &mut Vec<u8>) {
        for (part, tally) in self.tallies.parts() {
            put(out, &TallyLine::new(*part, tally));
            out.push(b'\n');
        }
        out.extend_from_slice(b"{\"end\":true,\"documents\":");
        put(out, &self.scanned);
        out.extend_from_slice(b"}\n");
    }
}
