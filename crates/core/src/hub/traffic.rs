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

#[cfg(test)]
mod tests {
    use super::*;

    /// A node that was filled up to here, to which these packets were sent: up to where, and whether to the log's end.
    fn sent(upto: u64, packets: &[(u64, bool)]) -> Traffic {
        let mut traffic = Traffic { cursor: Lsn(upto), ..Traffic::default() };
        traffic.known.upto = Lsn(upto);
        for (upto, end) in packets {
            traffic.dispatch(Lsn(*upto), *end);
        }
        traffic
    }

    fn stands(traffic: &Traffic) -> (u64, u64) {
        (traffic.cursor.0, traffic.known.upto.0)
    }

    #[test]
    fn what_a_node_knows_grows_only_by_confirmed_packets_that_came_to_the_logs_end() {
        let mut traffic = sent(5, &[(10, false), (20, true), (30, false)]);
        assert_eq!(stands(&traffic), (5, 5), "sent is not known");
        traffic.acknowledge(1, Millis(1));
        assert_eq!(stands(&traffic), (10, 5), "a part of the log: what it passed by stands behind its end");
        traffic.acknowledge(3, Millis(2));
        assert_eq!(stands(&traffic), (30, 5), "the newest confirmed one counts, which is a part again");
        assert_eq!((traffic.sent.len(), traffic.known.ends.len()), (0, 0), "and nothing older waits any more");
        traffic.acknowledge(2, Millis(3));
        assert_eq!(stands(&traffic), (30, 5));

        let mut traffic = sent(5, &[(10, false), (20, true), (30, false)]);
        traffic.acknowledge(2, Millis(1));
        assert_eq!((stands(&traffic), traffic.sent.len()), ((20, 20), 1));
    }

    #[test]
    fn a_stretch_without_news_is_known_where_it_came_to_the_logs_end_and_was_read_from_here() {
        let mut traffic = sent(5, &[]);
        let settled = |traffic: &Traffic, upto, last| Some(Settled { from: traffic.reached(), upto: Lsn(upto), last });
        let early = settled(&traffic, 50, true);
        traffic.settle(settled(&traffic, 8, false));
        assert_eq!(stands(&traffic), (8, 5));
        traffic.settle(settled(&traffic, 9, true));
        assert_eq!(stands(&traffic), (9, 9));
        traffic.settle(early);
        assert_eq!(stands(&traffic), (9, 9), "read before the node had come here");
    }

    #[test]
    fn a_fill_begins_with_nothing_known_and_forgets_what_was_sent_before() {
        let mut traffic = sent(5, &[(10, true)]);
        traffic.fill_again(Lsn(40));
        assert_eq!((stands(&traffic), traffic.known.ends.len()), ((0, 0), 0));
        traffic.acknowledge(1, Millis(1));
        assert_eq!(stands(&traffic), (0, 0), "a packet from before the fill");
        let number = traffic.dispatch(Lsn(40), true);
        traffic.acknowledge(number, Millis(2));
        assert_eq!((stands(&traffic), traffic.fill), ((40, 40), None));
    }

    #[test]
    fn of_a_packet_that_is_no_longer_remembered_nothing_is_kept() {
        let many: Vec<_> = (1..=Traffic::SENT_MAX as u64 + 1).map(|n| (n, true)).collect();
        let mut traffic = sent(0, &many);
        assert_eq!((traffic.sent.len(), traffic.known.ends.len()), (Traffic::SENT_MAX, Traffic::SENT_MAX));
        traffic.acknowledge(1, Millis(1));
        assert_eq!(stands(&traffic), (0, 0));
    }
}
