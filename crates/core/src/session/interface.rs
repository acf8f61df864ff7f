//! The contract of the session: what goes in ([`Event`]) and what comes out ([`Effect`]).
//!
//! The shell does three things: it hands events to [`Session::handle`](super::Session::handle) with
//! the time, it carries out the effects in their order, and it reports what became of each under the
//! [`RequestId`] it was given. Whatever is reported under an id that the session no longer waits
//! for is ignored, so the shell need not care about answers that arrive after a cancel, a disable,
//! or a change of collections.

use super::notice::{Conflict, Quarantined, Renamed, SyncEvent};
use super::positions::Positions;
use crate::model::{BatchId, CollectionName, Cursor, Lsn, Millis};
use crate::model::{Page, PageOp, PushReply, SnapshotEnd, SnapshotHead};
use std::collections::BTreeSet;

/// Names one request or write. Never used twice in the life of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Names one caller who waits for a full cycle; chosen by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What the session is told.
#[derive(Clone, Debug)]
pub enum Event {
    /// Start, or start anew: earlier requests are forgotten.
    Enable(Enable),
    /// Stop. Requests are cancelled; whoever waits for a cycle is told so.
    Disable,
    /// The set of collections changed; the cycle starts over with it.
    Rescope(Positions),
    /// Someone wants a full cycle now, whatever the session is waiting for.
    Trigger(Ticket),
    /// A local write was committed (or the backlog changed otherwise).
    Wrote(Backlog),
    /// The time of the last [`Effect::WakeAt`] has come.
    Tick,
    /// A request was answered. A snapshot is answered several times: head, parts, end.
    /// The next answer to the same request may be reported once the writes before it are stored.
    Answered(RequestId, Answer),
    /// A write was carried out.
    Stored(RequestId, Stored),
    /// A request or a write failed.
    Failed(RequestId, Failure),
}

/// With what a session starts.
#[derive(Clone, Debug, Default)]
pub struct Enable {
    /// How far each collection has got.
    pub positions: Positions,
    /// What waits for the hub.
    pub backlog: Backlog,
    /// Makes this session's jitter differ from that of other devices.
    pub jitter_seed: u64,
}

/// Ops of the session's collections that the hub has not receipted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many.
    pub pending: u64,
    /// When the oldest was made.
    pub oldest: Option<Millis>,
}

/// What the session wants done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send this to the hub and report [`Event::Answered`] or [`Event::Failed`].
    Send(RequestId, Request),
    /// Give this request up. Reporting it after all does no harm.
    Cancel(RequestId),
    /// Do this to the local database in one transaction and report [`Event::Stored`] or [`Event::Failed`].
    Store(RequestId, Write),
    /// Report [`Event::Tick`] at this time; replaces every earlier one.
    WakeAt(Millis),
    /// Tell the application.
    Emit(SyncEvent),
    /// The cycle that these callers waited for is over.
    Settle(Vec<Ticket>, Result<Report, String>),
}

/// A request to the hub.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// `GET /sync/snapshot`, streamed.
    Snapshot {
        /// Which collections.
        scope: BTreeSet<CollectionName>,
        /// Resume behind the document with this LSN.
        after: Option<Lsn>,
    },
    /// `GET /sync/pull`.
    Pull {
        /// Which collections.
        scope: BTreeSet<CollectionName>,
        /// Changes after this.
        since: Cursor,
        /// At most this many.
        limit: u32,
        /// If there are none, wait for one this long; 0: answer at once.
        wait_s: u64,
    },
    /// `POST /sync/push` with the batch's body.
    Push(Batch),
    /// `GET /sync/health`.
    Health,
}

/// Ops on their way to the hub, already persisted under their batch id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its name: the same for every attempt.
    pub id: BatchId,
    /// How many ops it holds.
    pub ops: usize,
    /// The request body.
    pub body: String,
}

/// A change of the local database.
#[derive(Clone, Debug)]
pub enum Write {
    /// Begin a snapshot of these collections; remember its head.
    SnapshotBegin {
        /// Which collections.
        scope: BTreeSet<CollectionName>,
        /// The head of its first part.
        head: SnapshotHead,
    },
    /// Add documents to the begun snapshot and remember the last one.
    SnapshotPart(Vec<PageOp>),
    /// The snapshot is complete: documents that it did not hold go, pending edits stay on top, the
    /// cursors stand at its first head.
    SnapshotFinish,
    /// Apply a page: documents, cursors and rebased edits together. Changes at or before the cursor
    /// of their own collection have been seen and are skipped.
    Page {
        /// The collections that were asked for.
        scope: BTreeSet<CollectionName>,
        /// The answer.
        page: Page,
    },
    /// Hand over the batch that was not receipted yet, or compose and persist the next one.
    NextBatch {
        /// Of these collections.
        scope: BTreeSet<CollectionName>,
        /// Ops in a new batch.
        limit: usize,
        /// The hub refused the last one for its form and did not apply it: compose it anew.
        recompose: bool,
    },
    /// Take what was receipted out of the outbox; take back and quarantine what was rejected.
    Receipts {
        /// The batch that was sent.
        batch: BatchId,
        /// The answer to it.
        reply: PushReply,
        /// The hub lets nothing be read: no page will bring what was receipted just now.
        unread: bool,
    },
    /// The hub refuses this op or transaction in any form: take it back and quarantine it.
    Refuse {
        /// The batch that holds nothing else.
        batch: BatchId,
        /// The hub's words.
        reason: String,
    },
    /// The token may not read this collection any more: forget its cursor, a begun snapshot, and every document of the
    /// hub's. The outbox stays.
    Withdraw(CollectionName),
    /// The hub's history is another one now, or the token sees other rows: forget these cursors and any begun snapshot. The outbox stays.
    Resync(BTreeSet<CollectionName>),
}

/// What the hub answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// First line of a snapshot.
    SnapshotHead(SnapshotHead),
    /// Some of its documents.
    SnapshotPart(Vec<PageOp>),
    /// Last line of a snapshot.
    SnapshotEnd(SnapshotEnd),
    /// To a pull.
    Page(Page),
    /// To a push. With packets (`exchange`) it brings changes too.
    Pushed(PushReply),
    /// To a health check.
    Healthy,
}

/// What became of a write.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// The batch to send ([`Write::NextBatch`]); `None`: nothing pends.
    pub batch: Option<Batch>,
    /// Ops that left the outbox ([`Write::Receipts`], [`Write::Refuse`]).
    pub settled: usize,
    /// Changes of the page that brought nothing new: this device made them itself, or had seen them
    /// ([`Write::Page`], and [`Write::Receipts`] that came with a page).
    pub echoes: u64,
    /// Ops whose numbers stand for ops of another database that is the same node: they get others ([`Write::Receipts`]).
    pub renumbered: usize,
    /// The new name of this replica, and the one that it had, where it took one because of them.
    pub renamed: Option<Renamed>,
    /// What pends afterwards, where the write changed it.
    pub backlog: Option<Backlog>,
    /// Concurrent edits that were decided.
    pub conflicts: Vec<Conflict>,
    /// Ops and changes that were set aside.
    pub quarantined: Vec<Quarantined>,
}

/// Why a request or a write failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No answer: refused, cut, timed out.
    Network(String),
    /// The hub failed (5xx), or answered what cannot be read.
    Server(String),
    /// The hub has too much to do (503, 429).
    Overloaded {
        /// Its words.
        message: String,
        /// When to come back, if it said so.
        retry_after_ms: Option<u64>,
    },
    /// The token is wrong, expired or not enough for anything that was asked (401, 403).
    Unauthorized(String),
    /// The token does not allow this collection, or it is refused by itself; others may go on.
    CollectionRefused {
        /// Which one.
        collection: CollectionName,
        /// The hub's words.
        message: String,
    },
    /// The token does not allow to push; reading may go on.
    PushingRefused(String),
    /// The token does not allow to read; pushing may go on.
    PullingRefused(String),
    /// The position is gone (410 `resync`).
    Resync(String),
    /// The batch's name was used before with other content (409); nothing was applied.
    BatchReused(String),
    /// The request can never succeed as it is (other 4xx).
    Refused(String),
    /// The local database failed.
    Storage(String),
}

/// What a full cycle did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Changes of others and snapshot documents that were applied.
    pub pulled: u64,
    /// Ops that were receipted.
    pub pushed: u64,
}

/// How a session behaves. The defaults are those of the seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether it works by itself; otherwise only when triggered.
    pub auto: bool,
    /// Shortest time between cycles.
    pub min_interval_ms: u64,
    /// Longest time between cycles.
    pub max_interval_ms: u64,
    /// Without activity for this long, the hub's health is checked.
    pub heartbeat_interval_ms: u64,
    /// How long a pull waits at the hub for a change; `None`: no long-poll.
    pub wait_s: Option<u64>,
    /// Ops in a batch.
    pub push_batch_size: usize,
    /// Changes in a page.
    pub page_limit: u32,
    /// After failures.
    pub retry: Retry,
}

/// How failed cycles are repeated. Sync never gives up: after `max_retries` failures in a row it
/// goes on at the longest interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Failures in a row that are retried by these rules.
    pub max_retries: u32,
    /// The first delay; each one is drawn between nothing and its ceiling (full jitter).
    pub delay_ms: u64,
    /// Whether the ceiling doubles with each failure.
    pub exponential: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            auto: true,
            min_interval_ms: 5_000,
            max_interval_ms: 60_000,
            heartbeat_interval_ms: 30_000,
            wait_s: Some(10),
            push_batch_size: 100,
            page_limit: 1_000,
            retry: Retry { max_retries: 5, delay_ms: 1_000, exponential: true },
        }
    }
}
