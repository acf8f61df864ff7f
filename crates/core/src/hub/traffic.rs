//! How acknowledgements and numbers move a node's exchange (step 4 of the life of a change).

use crate::model::{LastPacket, Lsn, Millis, Settled, Traffic};

impl Traffic {
    /// The node has accepted a packet of the hub, and with it everything before. A number that is not
    /// waiting for this (old, burnt or made up) moves nothing.
    pub(super) fn acknowledge(&mut self, ack: u64, now: Millis) {
        let Some((_, upto)) = self.sent.iter().find(|(number, _)| *number == ack).copied() else { return };
        self.confirmed = self.confirmed.max(ack);
        self.confirmed_at = now;
        self.sent.retain(|(number, _)| *number > ack);
        let end = self.known.ends.contains(&ack);
        self.known.ends.retain(|number| *number > ack);
        self.advance(upto, end);
    }

    /// A packet that holds nothing needs no memory of its own, however often a node asks for news.
    pub(super) fn pass(&mut self, number: u64, ack: u64, head: Lsn) {
        if number > self.received {
            self.received = number;
            if self.last.ack != ack {
                self.last = LastPacket { ack, ..LastPacket::default() };
            }
            self.last.since = head;
        }
    }

    /// Passes a stretch of the log that holds nothing for the node.
    pub(super) fn settle(&mut self, settled: Option<Settled>) {
        if let Some(settled) = settled.filter(|settled| settled.from == self.reached()) {
            self.advance(settled.upto, settled.last);
        }
    }

    /// Gives out the next number, to a packet that brings the node up to a position; `last`: the log's end. A hub that
    /// was restored from a backup meets nodes that acknowledge numbers which it has not given out again yet: it passes
    /// over them, or such an acknowledgement would count for a packet that never arrived.
    pub(super) fn dispatch(&mut self, upto: Lsn, last: bool) -> u64 {
        self.issued += 1;
        if self.issued == self.last.ack {
            self.issued += 1;
        }
        self.sent.push((self.issued, upto));
        if last {
            self.known.ends.insert(self.issued);
        }
        let over = self.sent.len().saturating_sub(Traffic::SENT_MAX);
        for (number, _) in self.sent.drain(..over) {
            self.known.ends.remove(&number);
        }
        self.issued
    }

    fn advance(&mut self, upto: Lsn, end: bool) {
        self.cursor = self.cursor.max(upto);
        if end {
            self.known.upto = self.known.upto.max(upto);
        }
        self.fill = self.fill.filter(|fill| self.cursor < fill.start);
    }
}
