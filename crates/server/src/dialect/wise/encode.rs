//! Rows as WiseJSON clients take them. What one document becomes is the codec's business.

use crate::store::{Encoder, Head, Row, Scanned};
use syncline_core::model::Lsn;
use syncline_core::wire::wise::{Holding, IsoTimes, NetDoc, document, net_ops};

use super::lists::{mark, time_of};

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
    pub holding: Holding,
    pub envelope: Envelope,
    pub watch: W,
    pub served: Lsn,
    pub ops: u64,
    pub iso: IsoTimes,
}

impl<W: Watch> Encoder for PullEncoder<W> {
    fn begin(&mut self, head: &Head, out: &mut Vec<u8>) {
        self.served = head.last_change;
        self.watch.begins(head.last_change, head.lsn);
        out.extend_from_slice(match self.envelope {
            Envelope::Object(_) => br#"{"ops":["#,
            Envelope::List | Envelope::Marked => b"[",
        });
    }

    fn row(&mut self, row: &Row<'_>, out: &mut Vec<u8>) -> bool {
        let ops = net_ops(out, &net_doc(row), &self.holding, self.ops == 0, &mut self.iso);
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
        out.push(b']');
        if let Envelope::Object(cursor) = self.envelope {
            let lsn = if self.ops == 0 { self.served.max(cursor) } else { self.served };
            out.extend_from_slice(format!(r#","server_lsn":{lsn}}}"#).as_bytes());
        }
        self.watch.ends(self.ops);
    }
}

/// A snapshot.
pub(super) struct SnapshotEncoder<W> {
    pub watch: W,
    pub documents: u64,
    pub iso: IsoTimes,
}

impl<W: Watch> Encoder for SnapshotEncoder<W> {
    fn begin(&mut self, head: &Head, out: &mut Vec<u8>) {
        self.watch.begins(head.last_change, head.lsn);
        let (lsn, time) = (head.last_change, time_of(head.last_change).iso());
        out.extend_from_slice(format!(r#"{{"server_lsn":{lsn},"timestamp":"{time}","documents":["#).as_bytes());
    }

    fn row(&mut self, row: &Row<'_>, out: &mut Vec<u8>) -> bool {
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

fn net_doc<'a>(row: &Row<'a>) -> NetDoc<'a> {
    let Row { id, lsn, live, stamp, born, meta, eventful, created, times, body, .. } = *row;
    NetDoc { id, lsn, live, stamp, born, meta, eventful, created, times, body }
}
