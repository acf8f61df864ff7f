//! The long-poll: a pull that stays open at the hub while nothing else is to be done, so that a
//! change elsewhere is here at once. A push may go on beside it.

use super::interface::{Answer, Effect, Failure, Request, Write};
use super::notice::SyncEvent;
use super::state::{Cycle, PageFacts, Session, Wait};
use crate::model::{CollectionName, Page};
use std::collections::BTreeSet;

impl Session {
    pub(super) fn open_wait(&mut self, wait_s: u64) {
        let (scope, since) = (self.positions.scope(), self.positions.since());
        let limit = self.settings.page_limit;
        let id = self.send(Request::Pull { scope: scope.clone(), since: since.clone(), limit, wait_s });
        self.wait = Some(Wait { id, scope, since, opened: self.now, wait_s, storing: None });
    }

    pub(super) fn close_wait(&mut self) {
        if let Some(wait) = self.wait.take() {
            self.push(Effect::Cancel(wait.id));
        }
    }

    pub(super) fn wait_answered(&mut self, answer: Answer) {
        let Some(wait) = self.wait.take() else { return };
        let Answer::Page(page) = answer else {
            let message = "the hub's answer does not fit the request".to_owned();
            return self.wait_failed(Failure::Server(message));
        };
        self.health.answered(self.now);
        if let Some((strangers, why)) = self.strange(&wait.scope, &page) {
            self.wait_turned(strangers, why);
        } else if page.brings_nothing(wait.since.lsn) {
            self.nothing_came(&wait);
        } else {
            self.something_came(wait, page);
        }
    }

    /// These collections start over; a cycle in flight meets the same and does it.
    fn wait_turned(&mut self, strangers: BTreeSet<CollectionName>, why: &str) {
        if self.flight.is_none() {
            self.cycle = Cycle::new(&self.settings);
            self.resync(strangers, why.to_owned());
        }
    }

    fn something_came(&mut self, wait: Wait, page: Page) {
        let facts = PageFacts::from(&page);
        let id = self.store(Write::Page { scope: wait.scope.clone(), page });
        self.wait = Some(Wait { id, storing: Some(facts), ..wait });
    }

    /// The wait is over without a change. That was a sign of life, unless the hub did not wait at all:
    /// then it is asked at the adaptive interval instead of in a tight loop.
    fn nothing_came(&mut self, wait: &Wait) {
        let waited_ms = self.now.0.saturating_sub(wait.opened.0);
        if self.flight.is_some() {
            return;
        }
        let delay_ms = self.pace.succeeded(&self.settings, false);
        if waited_ms < wait.wait_s * 500 {
            return self.wake_in(delay_ms);
        }
        self.health.succeeded(self.now);
        let silent_ms = self.now.0.saturating_sub(self.health.activity.0);
        if silent_ms >= self.settings.heartbeat_interval_ms {
            self.health.activity = self.now;
            self.emit(SyncEvent::HeartbeatSuccess);
        }
        self.open_wait(wait.wait_s);
    }

    pub(super) fn wait_stored(&mut self, echoes: u64) {
        let Some(Wait { scope, storing: Some(page), since, wait_s, .. }) = self.wait.take() else {
            return self.wait_failed(Failure::Storage("a request was reported as a write".to_owned()));
        };
        let page = page.without(echoes);
        let beside_a_push = self.flight.is_some();
        if !beside_a_push {
            self.cycle = Cycle::new(&self.settings);
        }
        self.pulled(&scope, page);
        if beside_a_push {
            return;
        }
        self.pace.succeeded(&self.settings, page.ops > 0);
        self.health.succeeded(self.now);
        if page.ops > 0 {
            let lsn = self.positions.since().lsn;
            self.emit(SyncEvent::Success { lsn, activity_detected: true });
        }
        if page.has_more && page.lsn > since.lsn {
            self.begin_cycle(false);
        } else {
            self.open_wait(wait_s);
        }
    }

    /// A cycle in flight meets the same hub and decides what the failure means.
    pub(super) fn wait_failed(&mut self, failure: Failure) {
        self.wait = None;
        if self.flight.is_none() {
            self.cycle = Cycle::new(&self.settings);
            match failure {
                Failure::CollectionRefused { collection, message } => self.collection_refused(collection, message),
                Failure::PullingRefused(cause) => self.pulling_refused(cause),
                failure => self.fail(failure),
            }
        }
    }
}
