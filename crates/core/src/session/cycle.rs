//! One cycle, step by step: snapshot (where one is needed) → pull until there is no more → push
//! until nothing pends → a health check if nothing has happened for long. One step is in flight at
//! a time; each answer leads to a write or to the next step.

use super::interface::{Answer, Batch, Effect, Failure, Report, Request, RequestId, Stored, Write};
use super::notice::SyncEvent;
use super::positions::SnapshotProgress;
use super::state::{Cycle, Flight, PageFacts, Rest, Session, Stage, Step, Stream};
use crate::model::{CollectionName, Cursor, Lsn};
use crate::model::{Page, PushReply, SnapshotHead};
use std::collections::BTreeSet;

impl Session {
    /// Begins a cycle. With `push_only` the open wait stays and nothing is pulled first.
    pub(super) fn begin_cycle(&mut self, push_only: bool) {
        if !push_only {
            self.close_wait();
        }
        self.wake = None;
        self.rest = Rest::Idle;
        if !push_only {
            self.ask_again();
        }
        let tickets = if push_only { Vec::new() } else { std::mem::take(&mut self.queue) };
        self.cycle = Cycle { tickets, push_only, ..Cycle::new(&self.settings) };
        self.emit(SyncEvent::Start { lsn: self.positions.since().lsn });
        if push_only { self.compose(false) } else { self.load_or_pull() }
    }

    pub(super) fn load_or_pull(&mut self) {
        let unloaded = self.positions.unloaded();
        if self.refused.pulling.is_some() {
            self.compose(false);
        } else if unloaded.is_empty() {
            self.pull();
        } else {
            self.snapshot(unloaded);
        }
    }

    fn snapshot(&mut self, unloaded: BTreeSet<CollectionName>) {
        let begun = self.positions.resumable().map(|begun| (begun.scope.clone(), begun.after));
        if begun.is_none() {
            self.positions.snapshot = None;
            self.emit(SyncEvent::InitialStart);
        }
        let (scope, after) = begun.unwrap_or((unloaded, None));
        let id = self.send(Request::Snapshot { scope: scope.clone(), after });
        self.flight = Some(Flight { id, step: Step::Snapshot(scope) });
    }

    fn pull(&mut self) {
        let (scope, since) = (self.positions.scope(), self.positions.since());
        if scope.is_empty() {
            return self.compose(false);
        }
        let limit = self.settings.page_limit;
        let id = self.send(Request::Pull { scope: scope.clone(), since: since.clone(), limit, wait_s: 0 });
        self.flight = Some(Flight { id, step: Step::Pull { scope, since } });
    }

    pub(super) fn compose(&mut self, recompose: bool) {
        self.wrote = false;
        if self.refused.pushing.is_some() {
            return self.nothing_pends();
        }
        let (scope, limit) = (self.positions.scope(), self.cycle.batch_limit);
        let recompose = std::mem::take(&mut self.cycle.recompose) || recompose;
        let id = self.store(Write::NextBatch { scope, limit, recompose });
        self.flight = Some(Flight { id, step: Step::Compose });
    }

    pub(super) fn step_answered(&mut self, flight: Flight, answer: Answer) {
        match (flight.step, answer) {
            (Step::Snapshot(scope), Answer::SnapshotHead(head)) => self.snapshot_head(flight.id, scope, head),
            (Step::Snapshot(scope), Answer::SnapshotPart(ops)) => {
                let last = ops.last().map(|op| op.lsn);
                let stage = Stage::Part { last, documents: ops.len() as u64 };
                self.store_snapshot(flight.id, scope, stage, Write::SnapshotPart(ops));
            }
            (Step::Snapshot(scope), Answer::SnapshotEnd(_)) => {
                self.store_snapshot(flight.id, scope, Stage::Finish, Write::SnapshotFinish);
            }
            (Step::Pull { scope, since }, Answer::Page(page)) => self.page(scope, &since, page),
            (Step::Push(batch), Answer::Pushed(reply)) => self.receipts(&batch, reply),
            (Step::Health, Answer::Healthy) => {
                self.health.activity = self.now;
                self.emit(SyncEvent::HeartbeatSuccess);
                self.conclude();
            }
            _ => self.fail(Failure::Server("the hub's answer does not fit the request".to_owned())),
        }
    }

    /// The head of a snapshot. Of a resumed one only its epoch matters: the cursor is that of the first part.
    fn snapshot_head(&mut self, stream: RequestId, scope: BTreeSet<CollectionName>, head: SnapshotHead) {
        let sees = self.positions.still_sees(&scope, &head.views);
        match self.positions.resumable().map(|begun| begun.cursor.epoch == head.epoch) {
            Some(true) if sees => self.flight = Some(Flight { id: stream, step: Step::Snapshot(scope) }),
            Some(same) => {
                self.push(Effect::Cancel(stream));
                let what = if same { "what the token may read" } else { "the hub's history" };
                self.resync(scope, format!("{what} changed during the snapshot"));
            }
            None => {
                self.positions.see(&scope, &head.views);
                let cursor = Cursor { epoch: head.epoch.clone(), lsn: head.server_lsn };
                let begun = SnapshotProgress { scope: scope.clone(), cursor, after: None, documents: 0 };
                let write = Write::SnapshotBegin { scope: scope.clone(), head };
                self.store_snapshot(stream, scope, Stage::Begin(begun), write);
            }
        }
    }

    fn store_snapshot(&mut self, stream: RequestId, scope: BTreeSet<CollectionName>, stage: Stage, write: Write) {
        let id = self.store(write);
        let stream = Stream { id: stream, scope };
        self.flight = Some(Flight { id, step: Step::StoreSnapshot { stream, stage } });
    }

    fn page(&mut self, scope: BTreeSet<CollectionName>, since: &Cursor, page: Page) {
        let facts = PageFacts::from(&page);
        if let Some((strangers, why)) = self.strange(&scope, &page) {
            self.resync(strangers, why.to_owned());
        } else if page.brings_nothing(since.lsn) && page.receipt.is_none() {
            self.compose(false);
        } else {
            let id = self.store(Write::Page { scope: scope.clone(), page });
            self.flight = Some(Flight { id, step: Step::StorePage { scope, since: since.lsn, page: facts } });
        }
    }

    /// The collections that start over because of this page, and why. Packets tell of no views.
    pub(super) fn strange(
        &self,
        scope: &BTreeSet<CollectionName>,
        page: &Page,
    ) -> Option<(BTreeSet<CollectionName>, &'static str)> {
        let strangers = self.positions.strangers(&page.epoch);
        let turned = self.positions.seen_otherwise(scope, &page.views);
        if !strangers.is_empty() {
            Some((strangers, "the hub's log has another history now"))
        } else if !turned.is_empty() && page.receipt.is_none() {
            Some((turned, "what the token may read has changed"))
        } else {
            None
        }
    }

    fn receipts(&mut self, batch: &Batch, reply: PushReply) {
        let (ops, lsn, epoch) = (batch.ops, reply.server_lsn, reply.epoch.clone());
        let page = reply.page.as_ref().map(PageFacts::from);
        let id = self.store(Write::Receipts { batch: batch.id.clone(), reply, unread: self.refused.pulling.is_some() });
        let step = Step::StoreReceipts { batch: batch.id.clone(), ops, lsn, epoch, page };
        self.flight = Some(Flight { id, step });
    }

    pub(super) fn step_stored(&mut self, flight: Flight, stored: Stored) {
        match flight.step {
            Step::StoreSnapshot { stream, stage } => self.snapshot_stored(stream, stage),
            Step::StorePage { scope, since, page } => self.page_stored(&scope, since, page.without(stored.echoes)),
            Step::Compose => match stored.batch {
                Some(batch) => {
                    let id = self.send(Request::Push(batch.clone()));
                    self.flight = Some(Flight { id, step: Step::Push(batch) });
                }
                None => self.nothing_pends(),
            },
            Step::StoreReceipts { batch, ops, lsn, epoch, page } => {
                if stored.settled + stored.renumbered == 0 {
                    let message = format!("the hub answered batch {batch} with no receipt for any of its {ops} ops");
                    return self.fail(Failure::Server(message));
                }
                self.settled(stored.settled);
                self.cycle.refused_ops = None;
                self.cycle.batch_limit = (self.cycle.batch_limit * 2).min(self.settings.push_batch_size.max(1));
                let pushed = (ops - stored.renumbered.min(ops)) as u64;
                self.emit(SyncEvent::PushSuccess { pushed, batch_id: batch, lsn });
                if let Some(page) = page {
                    self.pulled(&self.positions.scope(), page.without(stored.echoes));
                }
                let strangers = self.positions.strangers(&epoch);
                if page.is_some_and(|page| page.has_more) {
                    self.pull();
                } else if strangers.is_empty() {
                    self.compose(false);
                } else {
                    self.resync(strangers, "the hub's log has another history now".to_owned());
                }
            }
            Step::StoreRefusal => {
                self.settled(stored.settled);
                self.cycle.refused_ops = None;
                self.compose(false);
            }
            Step::Withdraw(name) => self.go_on_without(&name),
            Step::Resync(scope) => {
                self.positions.forget(&scope);
                self.load_or_pull();
            }
            // Requests are answered, not stored: a shell that mixes them up is not waited for again.
            Step::Snapshot(_) | Step::Pull { .. } | Step::Push(_) | Step::Health => {
                self.fail(Failure::Storage("a request was reported as a write".to_owned()));
            }
        }
    }

    fn snapshot_stored(&mut self, stream: Stream, stage: Stage) {
        match stage {
            Stage::Begin(begun) => self.positions.snapshot = Some(begun),
            Stage::Part { last, documents } => {
                if let Some(begun) = self.positions.snapshot.as_mut() {
                    begun.after = last.or(begun.after);
                    begun.documents += documents;
                    let documents_loaded = begun.documents;
                    self.emit(SyncEvent::InitialProgress { documents_loaded });
                }
            }
            Stage::Finish => {
                if let Some(done) = self.positions.complete() {
                    self.cycle.report.pulled += done.documents;
                    self.health.activity = self.now;
                    let lsn = done.cursor.lsn;
                    self.emit(SyncEvent::InitialComplete { documents_loaded: done.documents, lsn });
                }
                return self.load_or_pull();
            }
        }
        self.flight = Some(Flight { id: stream.id, step: Step::Snapshot(stream.scope) });
    }

    fn page_stored(&mut self, scope: &BTreeSet<CollectionName>, since: Lsn, page: PageFacts) {
        self.pulled(scope, page);
        if !page.has_more {
            self.compose(false);
        } else if page.lsn > since {
            self.pull();
        } else {
            let message = format!("the hub says that more changes follow LSN {since}, and sends none");
            self.fail(Failure::Server(message));
        }
    }

    /// A page is in the database, whichever lane brought it.
    pub(super) fn pulled(&mut self, scope: &BTreeSet<CollectionName>, page: PageFacts) {
        self.positions.advance(scope, page.lsn);
        if page.ops > 0 {
            self.cycle.report.pulled += page.ops;
            self.health.activity = self.now;
            self.emit(SyncEvent::PullSuccess { pulled: page.ops, lsn: self.positions.since().lsn });
        }
    }

    fn settled(&mut self, ops: usize) {
        self.cycle.report.pushed += ops as u64;
        self.health.activity = self.now;
        self.health.progress = self.now;
    }

    /// No op is to be sent. A cycle that did nothing asks now and then whether the hub is there.
    pub(super) fn nothing_pends(&mut self) {
        let silent_ms = self.now.0.saturating_sub(self.health.activity.0);
        let idle = self.cycle.report == Report::default() && !self.cycle.push_only;
        let listens = self.settings.wait_s.is_some() && self.refused.pulling.is_none();
        if idle && !listens && silent_ms >= self.settings.heartbeat_interval_ms {
            let id = self.send(Request::Health);
            self.flight = Some(Flight { id, step: Step::Health });
        } else {
            self.conclude();
        }
    }

    fn conclude(&mut self) {
        let report = self.cycle.report;
        let active = report != Report::default();
        self.health.succeeded(self.now);
        self.emit(SyncEvent::Success { lsn: self.positions.since().lsn, activity_detected: active });
        let tickets = std::mem::take(&mut self.cycle.tickets);
        self.settle(tickets, Ok(report));
        let delay_ms = self.pace.succeeded(&self.settings, active);
        if !self.queue.is_empty() {
            self.begin_cycle(false);
        } else if self.settings.auto && self.wrote {
            let current = self.wait.is_some();
            self.begin_cycle(current);
        } else {
            self.rest_for(delay_ms);
        }
    }

    /// Between cycles: listen at the hub, or sleep.
    fn rest_for(&mut self, delay_ms: u64) {
        if !self.settings.auto {
            return;
        }
        match self.settings.wait_s {
            _ if self.wait.is_some() => {}
            Some(wait_s) if !self.positions.cursors.is_empty() && self.refused.pulling.is_none() => {
                self.open_wait(wait_s);
            }
            _ => return self.wake_in(delay_ms),
        }
        // While it listens, nothing else would ask for what was refused.
        if let Some(due) = self.refused.due() {
            self.wake_in(due.0.saturating_sub(self.now.0));
        }
    }

    /// Starts over with these collections; the outbox stays.
    pub(super) fn resync(&mut self, scope: BTreeSet<CollectionName>, reason: String) {
        if self.cycle.resynced {
            return self.fail(Failure::Server(format!("{reason}, again right after starting over")));
        }
        self.close_wait();
        self.cycle.resynced = true;
        self.cycle.push_only = false;
        let id = self.store(Write::Resync(scope.clone()));
        self.flight = Some(Flight { id, step: Step::Resync(scope) });
    }
}
