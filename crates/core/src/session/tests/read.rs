//! Event lines of a story.

use crate::model::{Author, BatchId, CollectionName, Cursor, DocId, Epoch, Lsn, Millis, Stamp, View, Views};
use crate::model::{LateConflicts, PacketReceipt, Page, PageEdit, PageOp, PushReply, SnapshotEnd, SnapshotHead};
use crate::session::{
    Answer, Backlog, Batch, Enable, Event, Failure, Positions, RequestId, SnapshotProgress, Stored, Ticket,
};
use std::collections::{BTreeMap, BTreeSet};

/// Words of a line: plain ones in order, and `key=value`.
struct Words<'a> {
    plain: Vec<&'a str>,
    keyed: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Words<'a> {
        let (keyed, plain): (Vec<_>, Vec<_>) = line.split_whitespace().partition(|word| word.contains('='));
        Words { plain, keyed: keyed.into_iter().map(|pair| pair.split_once('=').unwrap()).collect() }
    }

    fn number(&self, key: &str) -> u64 {
        self.keyed.get(key).map_or(0, |text| text.parse().unwrap())
    }

    fn id(&self) -> RequestId {
        RequestId(self.plain[1].trim_start_matches('#').parse().unwrap())
    }

    fn epoch(&self) -> Epoch {
        Epoch::new(self.keyed.get("epoch").unwrap_or(&"e1")).unwrap()
    }

    /// `sees=users:a,posts:b`: of these collections some rows only.
    fn views(&self) -> Views {
        let named = self.keyed.get("sees").into_iter().flat_map(|text| text.split(','));
        let pair = |text: &str| {
            let (name, view) = text.split_once(':').unwrap();
            (CollectionName::new(name).unwrap(), View::new(view).unwrap())
        };
        named.map(pair).collect()
    }

    fn backlog(&self) -> Backlog {
        let pending = self.number("pending");
        Backlog { pending, oldest: (pending > 0).then_some(Millis(0)) }
    }
}

pub(super) fn event(line: &str) -> Event {
    let words = Words::of(line);
    match words.plain[0] {
        "enable" => Event::Enable(Enable { positions: positions(&words), backlog: words.backlog(), jitter_seed: 7 }),
        "disable" => Event::Disable,
        "rescope" => Event::Rescope(positions(&words)),
        "trigger" => Event::Trigger(Ticket(words.plain[1].parse().unwrap())),
        "wrote" => Event::Wrote(words.backlog()),
        "tick" => Event::Tick,
        "stored" => Event::Stored(words.id(), stored(&words)),
        "failed" => Event::Failed(words.id(), failure(&words)),
        _ => Event::Answered(words.id(), answer(&words)),
    }
}

/// `users=5`: at LSN 5; `users=-`: never loaded; `snapshot=9/3`: one of head 9 was stored up to LSN 3.
fn positions(words: &Words<'_>) -> Positions {
    let of = |name: &str| CollectionName::new(name).unwrap();
    let cursor = |lsn: u64| Cursor { epoch: words.epoch(), lsn: Lsn(lsn) };
    let named = |(name, _): &(&&str, &&str)| !matches!(**name, "epoch" | "pending" | "snapshot" | "sees");
    let cursors: BTreeMap<_, _> =
        words.keyed.iter().filter(named).map(|(name, lsn)| (of(name), lsn.parse().ok().map(cursor))).collect();
    let snapshot = words.keyed.get("snapshot").map(|text| {
        let (head, after) = text.split_once('/').unwrap();
        let scope: BTreeSet<_> = cursors.iter().filter(|(_, at)| at.is_none()).map(|(name, _)| name.clone()).collect();
        let after = Some(Lsn(after.parse().unwrap()));
        SnapshotProgress { scope, cursor: cursor(head.parse().unwrap()), after, documents: 1 }
    });
    Positions { cursors, views: words.views(), snapshot }
}

fn answer(words: &Words<'_>) -> Answer {
    let (server_lsn, epoch) = (Lsn(words.number("lsn")), words.epoch());
    match words.plain[0] {
        "head" => Answer::SnapshotHead(SnapshotHead { server_lsn, epoch, views: words.views(), at: None }),
        "part" => Answer::SnapshotPart(ops(words.number("lsn"), words.number("ops"))),
        "end" => Answer::SnapshotEnd(SnapshotEnd { end: true, documents: words.number("ops") }),
        "page" => Answer::Page(Page {
            server_lsn,
            epoch,
            has_more: words.plain.contains(&"more"),
            views: words.views(),
            ops: ops(server_lsn.0, words.number("ops")),
            conflicts: words.keyed.get("told").map(|n| LateConflicts { upto: n.parse().unwrap(), rows: Vec::new() }),
            receipt: None,
        }),
        "pushed" => Answer::Pushed(PushReply { status: "ok".into(), server_lsn, epoch, ..PushReply::default() }),
        "exchanged" => {
            let page = Page {
                server_lsn,
                epoch: epoch.clone(),
                has_more: words.plain.contains(&"more"),
                views: Views::new(),
                ops: ops(server_lsn.0, words.number("ops")),
                conflicts: None,
                receipt: Some(PacketReceipt {
                    number: server_lsn.0,
                    accepted: 1,
                    refused: Vec::new(),
                    outside: BTreeSet::new(),
                }),
            };
            let reply = PushReply { status: "ok".into(), server_lsn, epoch, page: Some(page), ..PushReply::default() };
            Answer::Pushed(reply)
        }
        "healthy" => Answer::Healthy,
        other => panic!("no such event: {other}"),
    }
}

fn ops(last: u64, count: u64) -> Vec<PageOp> {
    let op = |lsn| PageOp {
        op: PageEdit::Remove,
        lsn: Lsn(lsn),
        collection: CollectionName::new("users").unwrap(),
        id: DocId::new(format!("d{lsn}")).unwrap(),
        stamp: Stamp(lsn),
        author: Author(1),
        meta: None,
        doc: None,
    };
    (0..count).rev().map(|back| op(last - back)).collect()
}

/// `batch=b1:2`: batch `b1` of 2 ops.
fn stored(words: &Words<'_>) -> Stored {
    let batch = words.keyed.get("batch").map(|text| {
        let (id, ops) = text.split_once(':').unwrap();
        Batch { id: BatchId::new(id).unwrap(), ops: ops.parse().unwrap(), body: String::new() }
    });
    Stored {
        batch,
        settled: usize::try_from(words.number("settled")).unwrap(),
        echoes: words.number("echoes"),
        backlog: words.keyed.contains_key("pending").then(|| words.backlog()),
        ..Stored::default()
    }
}

fn failure(words: &Words<'_>) -> Failure {
    let cause = "cause".to_owned();
    match words.plain[2] {
        "network" => Failure::Network(cause),
        "server" => Failure::Server(cause),
        "overloaded" => {
            let retry_after_ms = words.keyed.get("after").map(|text| text.parse().unwrap());
            Failure::Overloaded { message: cause, retry_after_ms }
        }
        "collection-refused" => {
            Failure::CollectionRefused { collection: CollectionName::new(words.plain[3]).unwrap(), message: cause }
        }
        "pushing-refused" => Failure::PushingRefused(cause),
        "pulling-refused" => Failure::PullingRefused(cause),
        "unauthorized" => Failure::Unauthorized(cause),
        "resync" => Failure::Resync(cause),
        "refused" => Failure::Refused(cause),
        "reused" => Failure::BatchReused(cause),
        "storage" => Failure::Storage(cause),
        other => panic!("no such failure: {other}"),
    }
}
