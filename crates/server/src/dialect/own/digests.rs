//! Digests of ranges of documents, for a reader that holds what it has against the hub's (`spec/lsn.md`, "Digests"). The rows are
//! those of a snapshot; their text is hashed as it is stored, and nothing is kept but a count and a sum for each range.

use super::super::Asked;
use super::encode::{put, put_views};
use super::reader::{Reader, position, ranges};
use super::snapshot::LINES;
use crate::answer;
use crate::clock;
use crate::error::ServerError;
use crate::hub::Reading;
use crate::store::{Encoder, Head, Row, Scan, Scanned};
use axum::body::Body;
use axum::response::Response;
use std::sync::Arc;
use syncline_core::model::{Lsn, Millis, RowFilters, Views};
use syncline_core::wire::ranges::{Range, Tallies, TallyLine};

/// A reader hears from a long count each time that so much was read, so that it knows that the hub is at work.
const TOLD_EVERY_BYTES: usize = 8 << 20;
/// What a document costs beside its text.
const ROW_BYTES: usize = 128;

/// `GET …/sync/digests?node=…&at=…`
pub(in super::super) async fn digests(asked: Asked) -> Result<Response, ServerError> {
    let reader = Reader::of(&asked)?;
    let at = position(&asked, "at")?;
    let until = Millis(asked.query.read("until", 0, "milliseconds since 1970")?);
    let mut ranges = ranges(&asked)?;
    if ranges.is_empty() {
        ranges.push(Range::ALL);
    }
    let (rows, views, tallies) = (reader.rows, reader.views, Tallies::of(ranges)?);
    let count = Count { at, rows, views, tallies, scanned: 0, untold_bytes: 0, due: false };
    let scan = Scan::Snapshot {
        collections: reader.collections,
        after: Lsn::ZERO,
        expired_by: Some(clock::now().max(until)),
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
    /// Others are not counted: how many there are is nobody's business either.
    rows: Arc<RowFilters>,
    views: Views,
    tallies: Tallies,
    scanned: u64,
    untold_bytes: usize,
    due: bool,
}

impl Encoder for Count {
    fn begin(&mut self, head: &Head, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"server_lsn\":");
        put(out, &head.last_change);
        out.extend_from_slice(b",\"epoch\":");
        put(out, &head.epoch);
        put_views(&self.views, out);
        out.extend_from_slice(b"}\n");
    }

    fn row(&mut self, row: &Row<'_>, out: &mut Vec<u8>) -> bool {
        if !self.rows.mean(row.collection, row.body) {
            return false;
        }
        if row.lsn <= self.at {
            self.tallies.add((row.collection, row.id), row.lsn, row.body);
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
