//! Rows as WiseJSON clients take them. What one document becomes is the codec's business.

use crate::store::{Encoder, Head, Row, Scanned};
use syncline_core::model::{Lsn, RowFilters, View};
use syncline_core::wire::wise::{Holding, IsoTimes, NetDoc, document, net_ops};

use super::lists::{mark, time_of};
use super::rows::{Anew, Stretch, net_doc, number};
use std::sync::Arc;

/// What is called before the first byte and after the last row.
pub(super) trait Watch: Send {
    /// The reply will be complete up to here.
    fn begins(&mut self, served: Lsn, head: Lsn);
    /// It holds so many ops.
    fn ends(&mut self, ops: u64);
}

/// The envelope of a pull's reply.
#[derive(Clone, Copy, Debug)]
pub(super) enum Envelope {
    /// `{"ops": […], "server_lsn": n}`. The cursor that came: an empty reply never answers with less.
    Object(Lsn),
    /// `[…]`
    List,
    /// `[…, mark]`, where anything is to be told.
    Marked,
}

/// A pull.
pub(super) struct PullEncoder<W> {
    /// Where a reader that sees only some rows begins anew: which, and what it may have of them.
    pub anew: Option<Anew>,
    /// Whether there is more for it behind what the reply is complete for.
    pub more: bool,
    /// What of the collection it sees; `None`: all.
    pub view: Option<View>,
    pub holding: Holding,
    pub envelope: Envelope,
    pub watch: W,
    pub served: Lsn,
    pub ops: u64,
    pub iso: IsoTimes,
}

impl<W: Watch> PullEncoder<W> {
    /// The reply to a reader that sees only some rows, from what changed for it.
    pub fn reply(mut self, stretch: &Stretch, head: &Head) -> Vec<u8> {
        let mut out = Vec::new();
        self.more = stretch.more;
        self.begin(&Head { last_change: stretch.upto, ..head.clone() }, &mut out);
        stretch.tell(&self.holding, |doc| {
            self.ops += net_ops(&mut out, doc, &self.holding, self.ops == 0, &mut self.iso) as u64;
        });
        self.end(&Scanned::default(), &mut out);
        out
    }
}

impl<W: Watch> Encoder for PullEncoder<W> {
    fn begin(&mut self, head: &Head, out: &mut Vec<u8>) {
        self.served = self.anew.as_ref().map_or(head.last_change, |anew| anew.upto.min(head.last_change));
        self.watch.begins(self.served, head.lsn);
        out.extend_from_slice(match self.envelope {
            Envelope::Object(_) => br#"{"ops":["#,
            Envelope::List | Envelope::Marked => b"[",
        });
    }

    fn row(&mut self, row: &Row<'_>, out: &mut Vec<u8>) -> bool {
        let mut put = |doc: &NetDoc<'_>| net_ops(out, doc, &self.holding, self.ops == 0, &mut self.iso);
        let ops = match &self.anew {
            None => put(&net_doc(row)),
            Some(anew) => anew.ops(row, put),
        };
        self.ops += ops as u64;
        if ops > 0 && !matches!(self.envelope, Envelope::Object(_)) {
            // The oldest clients push it back and so prove what they have received.
            out.pop();
            out.extend_from_slice(format!(r#","lsn":{}}}"#, row.lsn).as_bytes());
        }
        ops > 0
    }

    fn end(&mut self, _scanned: &Scanned, out: &mut Vec<u8>) {
        if self.ops > 0 && matches!(self.envelope, Envelope::Marked) {
            out.push(b',');
            out.extend_from_slice(mark(self.served).as_bytes());
        }
        if self.ops == 0 && self.more {
            // Without an op the client would not move.
            out.extend_from_slice(mark(self.served).as_bytes());
            self.ops += 1;
        }
        out.push(b']');
        if let Envelope::Object(cursor) = self.envelope {
            let lsn = if self.ops == 0 { self.served.max(cursor) } else { self.served };
            let number = number(lsn, self.view.as_ref());
            out.extend_from_slice(format!(r#","server_lsn":{number}}}"#).as_bytes());
        }
        self.watch.ends(self.ops);
    }
}

/// A snapshot.
pub(super) struct SnapshotEncoder<W> {
    /// The documents that the reader sees.
    pub rows: Arc<RowFilters>,
    pub view: Option<View>,
    pub watch: W,
    pub documents: u64,
    pub iso: IsoTimes,
}

impl<W: Watch> Encoder for SnapshotEncoder<W> {
    fn begin(&mut self, head: &Head, out: &mut Vec<u8>) {
        self.watch.begins(head.last_change, head.lsn);
        let (lsn, time) = (number(head.last_change, self.view.as_ref()), time_of(head.last_change).iso());
        out.extend_from_slice(format!(r#"{{"server_lsn":{lsn},"timestamp":"{time}","documents":["#).as_bytes());
    }

    fn row(&mut self, row: &Row<'_>, out: &mut Vec<u8>) -> bool {
        if !self.rows.mean(row.collection, row.body) {
            return false;
        }
        if self.documents > 0 {
            out.push(b',');
        }
        self.documents += 1;
        document(out, &net_doc(row), &mut self.iso);
        true
    }

    fn end(&mut self, _scanned: &Scanned, out: &mut Vec<u8>) {
        out.extend_from_slice(b"]}");
        self.watch.ends(self.documents);
    }
}
