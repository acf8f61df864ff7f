//! What a session remembers, and the few ways in which it speaks. Holds no decision.

use super::interface::{Backlog, Batch, Effect, Report, Request, RequestId, Settings, Ticket, Write};
use super::notice::SyncEvent;
use super::pace::Pace;
use super::positions::{Positions, SnapshotProgress};
use super::stopped::Refused;
use crate::model::Page;
use crate::model::{BatchId, CollectionName, Cursor, Epoch, Lsn, Millis};
use std::collections::BTreeSet;

/// The client's side of a dialogue with one hub over a set of collections.
#[derive(Clone, Debug)]
pub struct Session {
    pub(super) settings: Settings,
    pub(super) enabled: bool,
    pub(super) positions: Positions,
    /// What the token may not.
    pub(super) refused: Refused,
    pub(super) backlog: Backlog,
    pub(super) pace: Pace,
    pub(super) health: Health,
    pub(super) rest: Rest,
    pub(super) wake: Option<Millis>,
    /// The step of the cycle in flight; `None`: at rest.
    pub(super) flight: Option<Flight>,
    pub(super) cycle: Cycle,
    pub(super) wait: Option<Wait>,
    /// Callers whose cycle has not begun.
    pub(super) queue: Vec<Ticket>,
    /// A write came after the cycle in flight had last looked at the outbox.
    pub(super) wrote: bool,
    pub(super) now: Millis,
    pub(super) last_id: RequestId,
    pub(super) out: Vec<Effect>,
}

impl Session {
    /// A session that is switched off.
    #[must_use]
    pub fn new(settings: Settings) -> Session {
        Session {
            settings,
            enabled: false,
            positions: Positions::default(),
            refused: Refused::default(),
            backlog: Backlog::default(),
            pace: Pace::new(&settings, 0),
            health: Health::default(),
            rest: Rest::Idle,
            wake: None,
            flight: None,
            cycle: Cycle::default(),
            wait: None,
            queue: Vec::new(),
            wrote: false,
            now: Millis(0),
            last_id: RequestId(0),
            out: Vec::new(),
        }
    }

    pub(super) fn settle(&mut self, tickets: Vec<Ticket>, result: Result<Report, String>) {
        if !tickets.is_empty() {
            self.push(Effect::Settle(tickets, result));
        }
    }

    pub(super) fn send(&mut self, request: Request) -> RequestId {
        let id = self.next_id();
        self.push(Effect::Send(id, request));
        id
    }

    pub(super) fn store(&mut self, write: Write) -> RequestId {
        let id = self.next_id();
        self.push(Effect::Store(id, write));
        id
    }

    pub(super) fn wake_in(&mut self, delay_ms: u64) {
        let time = Millis(self.now.0.saturating_add(delay_ms));
        self.wake = Some(time);
        self.push(Effect::WakeAt(time));
    }

    pub(super) fn emit(&mut self, event: SyncEvent) {
        self.push(Effect::Emit(event));
    }

    pub(super) fn push(&mut self, effect: Effect) {
        self.out.push(effect);
    }

    fn next_id(&mut self) -> RequestId {
        self.last_id = RequestId(self.last_id.0 + 1);
        self.last_id
    }
}

/// What the cycle waits for, and under which id.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) id: RequestId,
    pub(super) step: Step,
}

/// The steps of a cycle, in order.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The hub streams a snapshot of these collections.
    Snapshot(BTreeSet<CollectionName>),
    /// Part of it is being stored; the stream goes on under its own id.
    StoreSnapshot { stream: Stream, stage: Stage },
    /// The hub was asked for a page.
    Pull { scope: BTreeSet<CollectionName>, since: Cursor },
    /// The page is being stored.
    StorePage { scope: BTreeSet<CollectionName>, since: Lsn, page: PageFacts },
    /// The next batch is being composed.
    Compose,
    /// A batch is on its way.
    Push(Batch),
    /// Its receipts are being stored.
    StoreReceipts { batch: BatchId, ops: usize, lsn: Lsn, epoch: Epoch, page: Option<PageFacts> },
    /// A refused op is being quarantined.
    StoreRefusal,
    /// The hub was asked whether it is well.
    Health,
    /// What is known of a refused collection is being forgotten.
    Withdraw(CollectionName),
    /// Cursors are being forgotten.
    Resync(BTreeSet<CollectionName>),
}

/// A snapshot's request while a write is in flight.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) id: RequestId,
    pub(super) scope: BTreeSet<CollectionName>,
}

/// Which part of a snapshot is being stored.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    Begin(SnapshotProgress),
    Part { last: Option<Lsn>, documents: u64 },
    Finish,
}

/// What is still of interest of a page that was handed to the database.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageFacts {
    pub(super) ops: u64,
    pub(super) lsn: Lsn,
    pub(super) has_more: bool,
}

impl PageFacts {
    /// Without changes that brought nothing new.
    pub(super) fn without(self, echoes: u64) -> PageFacts {
        PageFacts { ops: self.ops.saturating_sub(echoes), ..self }
    }
}

impl From<&Page> for PageFacts {
    fn from(page: &Page) -> PageFacts {
        PageFacts { ops: page.ops.len() as u64, lsn: page.server_lsn, has_more: page.has_more }
    }
}

/// What this cycle has done and for whom.
#[derive(Clone, Debug, Default)]
pub(super) struct Cycle {
    pub(super) tickets: Vec<Ticket>,
    pub(super) report: Report,
    /// Ops in a batch; lowered when the hub refuses one for its size.
    pub(super) batch_limit: usize,
    pub(super) push_only: bool,
    /// Ops of the last batch that was refused, until one is accepted.
    pub(super) refused_ops: Option<usize>,
    /// Whether a batch under way is to be composed anew.
    pub(super) recompose: bool,
    /// Whether this cycle has renamed a batch already.
    pub(super) renamed: bool,
    /// Whether this cycle has started over already.
    pub(super) resynced: bool,
}

impl Cycle {
    pub(super) fn new(settings: &Settings) -> Cycle {
        Cycle { batch_limit: settings.push_batch_size.max(1), ..Cycle::default() }
    }
}

/// An open wait.
#[derive(Clone, Debug)]
pub(super) struct Wait {
    /// Of the request, then of the write of what it brought.
    pub(super) id: RequestId,
    pub(super) scope: BTreeSet<CollectionName>,
    pub(super) since: Cursor,
    pub(super) opened: Millis,
    pub(super) wait_s: u64,
    pub(super) storing: Option<PageFacts>,
}

/// Why the session is at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing to do.
    Idle,
    /// The last cycle failed; local writes wait for the next attempt.
    BackOff,
    /// The token was refused.
    Unauthorized,
}

/// What became of requests and cycles so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    pub(super) reachable: bool,
    pub(super) last_answer: Option<Millis>,
    pub(super) last_success: Option<Millis>,
    pub(super) error: Option<String>,
    /// When something was last pulled, pushed or checked.
    pub(super) activity: Millis,
    /// When an op last left the outbox, or the outbox was last empty.
    pub(super) progress: Millis,
}

impl Health {
    /// Nothing has happened since this time.
    pub(super) fn since(now: Millis) -> Health {
        Health { activity: now, progress: now, ..Health::default() }
    }

    pub(super) fn answered(&mut self, now: Millis) {
        self.reachable = true;
        self.last_answer = Some(now);
    }

    pub(super) fn succeeded(&mut self, now: Millis) {
        self.error = None;
        self.last_success = Some(now);
    }

    pub(super) fn failed(&mut self, message: &str) {
        self.reachable = false;
        self.error = Some(message.to_owned());
    }
}
