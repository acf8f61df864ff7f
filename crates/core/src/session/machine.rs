//! What comes to a session from outside: being switched on and off, triggered, woken, told
//! of writes and answers. Decides which of its two lanes an answer belongs to: the *cycle* (one step
//! at a time) or the *wait* (the long-poll, open beside it). Answers to neither are stale.

use super::interface::{Answer, Backlog, Effect, Enable, Event, Failure, RequestId, Stored, Ticket};
use super::notice::SyncEvent;
use super::pace::Pace;
use super::positions::Positions;
use super::state::{Flight, Health, Rest, Session};
use super::stopped::Refused;
use crate::model::Millis;

impl Session {
    /// Takes one event and returns what is to be done, in order.
    #[must_use = "the session relies on its effects being carried out"]
    pub fn handle(&mut self, now: Millis, event: Event) -> Vec<Effect> {
        self.now = now.max(self.now);
        match event {
            Event::Enable(enable) => self.enable(enable),
            Event::Disable => self.disable(),
            Event::Rescope(positions) => self.rescope(positions),
            Event::Trigger(ticket) => self.trigger(ticket),
            Event::Wrote(backlog) => self.wrote(backlog),
            Event::Tick => self.tick(),
            Event::Answered(id, answer) => self.answered(id, answer),
            Event::Stored(id, stored) => self.stored(id, stored),
            Event::Failed(id, failure) => self.failed(id, failure),
        }
        std::mem::take(&mut self.out)
    }

    fn enable(&mut self, enable: Enable) {
        self.abandon("sync was enabled anew");
        self.enabled = true;
        self.positions = enable.positions;
        self.refused = Refused::default();
        self.backlog = enable.backlog;
        self.pace = Pace::new(&self.settings, enable.jitter_seed);
        self.health = Health::since(self.now);
        self.rest = Rest::Idle;
        if self.settings.auto {
            self.begin_cycle(false);
        }
    }

    fn disable(&mut self) {
        self.abandon("sync was disabled");
        self.enabled = false;
        self.refused = Refused::default();
    }

    fn rescope(&mut self, positions: Positions) {
        if !self.enabled {
            return;
        }
        let waiting = std::mem::take(&mut self.cycle.tickets);
        self.queue.splice(0..0, waiting);
        let busy = self.flight.is_some() || !self.queue.is_empty();
        self.halt();
        self.positions = positions;
        self.refused.leave(&mut self.positions);
        if busy || self.settings.auto {
            self.begin_cycle(false);
        }
    }

    fn trigger(&mut self, ticket: Ticket) {
        if !self.enabled {
            let reason = "sync is not enabled; enable it first".to_owned();
            self.push(Effect::Settle(vec![ticket], Err(reason)));
            return;
        }
        self.queue.push(ticket);
        if self.flight.is_none() {
            self.begin_cycle(false);
        }
    }

    fn wrote(&mut self, backlog: Backlog) {
        self.pends(backlog);
        if backlog.pending == 0 {
            return;
        }
        self.wrote = true;
        if self.enabled && self.settings.auto && self.flight.is_none() && self.rest == Rest::Idle {
            // An open wait keeps this replica up to date, so the write need not pull first.
            let current = self.wait.is_some();
            self.begin_cycle(current);
        }
    }

    /// So much waits now. What had nothing to wait for cannot be stuck yet.
    fn pends(&mut self, backlog: Backlog) {
        if backlog.pending > 0 && self.backlog.pending == 0 {
            self.health.progress = self.now;
        }
        self.backlog = backlog;
    }

    fn tick(&mut self) {
        match self.wake {
            Some(wake) if self.now < wake => self.push(Effect::WakeAt(wake)),
            Some(_) if self.enabled && self.flight.is_none() => self.begin_cycle(false),
            _ => {}
        }
    }

    fn answered(&mut self, id: RequestId, answer: Answer) {
        if self.is_waiting_for(id) {
            self.wait_answered(answer);
        } else if let Some(flight) = self.take_flight(id) {
            self.health.answered(self.now);
            self.step_answered(flight, answer);
        }
    }

    fn stored(&mut self, id: RequestId, mut stored: Stored) {
        // The database has changed, whether or not anybody still waits for it: say so.
        let conflicts = std::mem::take(&mut stored.conflicts).into_iter().map(SyncEvent::Conflict);
        let quarantined = std::mem::take(&mut stored.quarantined).into_iter().map(SyncEvent::Quarantine);
        let renamed = stored.renamed.take().map(SyncEvent::NodeRenamed);
        self.out.extend(conflicts.chain(quarantined).chain(renamed).map(Effect::Emit));
        if let Some(backlog) = stored.backlog {
            self.pends(backlog);
        }
        if self.is_waiting_for(id) {
            self.wait_stored(stored.echoes);
        } else if let Some(flight) = self.take_flight(id) {
            self.step_stored(flight, stored);
        }
    }

    fn failed(&mut self, id: RequestId, failure: Failure) {
        if self.is_waiting_for(id) {
            self.wait_failed(failure);
        } else if let Some(flight) = self.take_flight(id) {
            self.step_failed(flight, failure);
        }
    }

    fn is_waiting_for(&self, id: RequestId) -> bool {
        self.wait.as_ref().is_some_and(|wait| wait.id == id)
    }

    fn take_flight(&mut self, id: RequestId) -> Option<Flight> {
        self.flight.take_if(|flight| flight.id == id)
    }

    /// Drops whatever is under way and tells everybody who waits.
    fn abandon(&mut self, reason: &str) {
        self.halt();
        let mut waiting = std::mem::take(&mut self.cycle.tickets);
        waiting.append(&mut self.queue);
        self.settle(waiting, Err(reason.to_owned()));
    }

    fn halt(&mut self) {
        if let Some(flight) = self.flight.take() {
            self.push(Effect::Cancel(flight.id));
        }
        self.close_wait();
        self.wake = None;
    }
}
