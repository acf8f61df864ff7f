//! Carries rows from an engine through the encoder into chunks for the reader (step 8 of the life of
//! a change), and knows when a page is full. Decides nothing about which rows there are.

use super::{Encoder, Head, Row, Scan, Scanned, StoreError};
use bytes::Bytes;
use syncline_core::model::{Body, Lsn};

/// Chunks are handed on as soon as they hold this many bytes: each costs a switch between threads.
const CHUNK_BYTES: usize = 128 << 10;
/// Room for the row that fills a chunk, so that most chunks are never moved.
const LAST_ROW_BYTES: usize = 8 << 10;
/// A page of the log ends when this many times its rows or bytes were looked at, whoever they were for: work for one
/// request stays bounded where nearly all is left out.
const LOOKED_AT: usize = 16;

/// One scan on its way to its reader.
pub(super) struct Feed {
    encoder: Box<dyn Encoder>,
    chunk: Vec<u8>,
    scanned: Scanned,
    row_bytes: usize,
    /// Rows and bytes that were left out, and how many may be.
    left_out: (usize, usize),
    left_out_max: (usize, usize),
    max_rows: usize,
    max_bytes: usize,
    /// A text that nobody can take apart.
    damaged: Option<StoreError>,
}

impl Feed {
    /// Starts with the limits that the scan names.
    pub fn new(encoder: Box<dyn Encoder>, scan: &Scan) -> Feed {
        let (max_rows, max_bytes) = match scan {
            Scan::Log { max_rows, max_bytes, .. }
            | Scan::Packet { max_rows, max_bytes, .. }
            | Scan::Snapshot { max_rows, max_bytes, .. } => (*max_rows, *max_bytes),
            Scan::Net { .. } | Scan::Returns { .. } | Scan::Ticket { .. } => (usize::MAX, usize::MAX),
        };
        let left_out_max = match scan {
            Scan::Log { .. } => (max_rows.saturating_mul(LOOKED_AT), max_bytes.saturating_mul(LOOKED_AT)),
            _ => (usize::MAX, usize::MAX),
        };
        let (chunk, scanned, left_out) = (Vec::new(), Scanned::default(), (0, 0));
        Feed { encoder, chunk, scanned, row_bytes: 0, left_out, left_out_max, max_rows, max_bytes, damaged: None }
    }

    /// Tells the encoder where the rows come from.
    pub fn begin(&mut self, head: &Head, after: Lsn) {
        self.scanned.upto = after;
        self.encoder.begin(head, &mut self.chunk);
    }

    /// Offers a row. `false`: the page is full, and this row is the first of the next one.
    pub fn offer(&mut self, row: &Row<'_>) -> bool {
        let taken = usize::try_from(self.scanned.rows).unwrap_or(usize::MAX);
        let looked = self.left_out.0 >= self.left_out_max.0 || self.left_out.1 >= self.left_out_max.1;
        if taken >= self.max_rows || (taken > 0 && self.row_bytes >= self.max_bytes) || looked {
            self.scanned.more = true;
            return false;
        }
        if !row.body.is_empty()
            && (self.encoder.takes_apart() || is_suspect(row.body))
            && let Err(why) = Body::stored(row.body)
        {
            return self.spoiled(row.collection, row.id, &why);
        }
        let bytes = row.body.len() + row.id.len() + row.meta.len();
        if self.encoder.row(row, &mut self.chunk) {
            self.scanned.rows += 1;
            self.row_bytes += bytes;
        } else {
            self.left_out = (self.left_out.0 + 1, self.left_out.1 + bytes);
        }
        self.scanned.upto = row.lsn;
        true
    }

    /// A document was met whose text is none any more: the scan ends here, and with an error.
    pub fn spoiled(&mut self, collection: &str, id: &str, why: &dyn std::fmt::Display) -> bool {
        self.damaged = Some(damaged_text(collection, id, why));
        false
    }

    /// Whether rows are to come with what stood in their place before.
    pub fn compares(&self) -> bool {
        self.encoder.compares()
    }

    /// Whether rows of a snapshot need not be whole.
    pub fn is_brief(&self) -> bool {
        self.encoder.is_brief()
    }

    /// Tells the encoder what the next row is to take away; nothing when there are no names.
    pub fn lost(&mut self, names: &str) {
        if !names.is_empty() {
            self.encoder.lost(names);
        }
    }

    /// A chunk, once enough has come together or the encoder does not want to wait.
    pub fn full_chunk(&mut self) -> Option<Bytes> {
        let full = self.chunk.len() >= CHUNK_BYTES || self.encoder.is_due();
        full.then(|| std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_BYTES + LAST_ROW_BYTES)).into())
    }

    /// Ends the scan and returns the last chunk. Without `more`, everything up to `complete` was offered.
    ///
    /// # Errors
    /// A document was met whose text is damaged.
    pub fn end(mut self, complete: Lsn) -> Result<(Scanned, Option<Bytes>), StoreError> {
        if let Some(error) = self.damaged {
            return Err(error);
        }
        if !self.scanned.more {
            self.scanned.upto = self.scanned.upto.max(complete);
        }
        self.encoder.end(&self.scanned, &mut self.chunk);
        Ok((self.scanned, (!self.chunk.is_empty()).then(|| self.chunk.into())))
    }

    /// Ends the scan because nobody listens any more.
    pub fn abandon(self) -> Scanned {
        Scanned { more: true, ..self.scanned }
    }
}

/// Whether a text cannot be what was stored. What a disk loses or mixes up comes in sectors, of zeros or of bytes that no JSON
/// has. Finding those costs as much as copying the text once more (8 ns for 300 bytes); taking each apart would cost fifty times
/// as much.
fn is_suspect(text: &str) -> bool {
    let least = text.bytes().fold(u8::MAX, u8::min);
    let foreign = |byte: u8| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r');
    !text.starts_with('{') || !text.ends_with('}') || (least < b' ' && text.bytes().any(foreign))
}

/// The document whose stored text is none any more.
pub(super) fn damaged_text(collection: &str, id: &str, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::DamagedText { document: format!("`{id}` in `{collection}`"), cause: why.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_sector_makes_a_text_suspect_and_spelling_does_not() {
        let text = "{\n\t\"_id\": \"a\",\r\n \"t\": \"\\u0001 ü\"}";
        assert!(!is_suspect(text));
        assert!(is_suspect(&text.replace('ü', "\0\0")));
        assert!(is_suspect(&text[..text.len() - 1]));
        assert!(is_suspect(&text[1..]));
    }
}
