//! What every kind of failure leads to: back off, keep a named time, start over, make the batch
//! smaller, set one op aside, or stop asking for long. Nothing here gives up for good.

use super::interface::{Batch, Failure, Write};
use super::notice::SyncEvent;
use super::state::{Flight, Rest, Session, Step};

impl Session {
    pub(super) fn step_failed(&mut self, flight: Flight, failure: Failure) {
        match (flight.step, failure) {
            (Step::Push(_), Failure::BatchReused(_)) if !self.cycle.renamed => {
                self.cycle.renamed = true;
                self.compose(true);
            }
            (Step::Push(batch), Failure::Refused(reason)) => self.batch_refused(batch, reason),
            (_, Failure::CollectionRefused { collection, message }) => self.collection_refused(collection, message),
            (Step::Push(_), Failure::PushingRefused(cause)) => self.pushing_refused(cause),
            (Step::Snapshot(_) | Step::Pull { .. }, Failure::PullingRefused(cause)) => self.pulling_refused(cause),
            // A snapshot whose continuation is refused is begun anew.
            (Step::Snapshot(scope), Failure::Refused(reason)) if self.positions.resumable().is_some() => {
                self.resync(scope, reason);
            }
            (_, failure) => self.fail(failure),
        }
    }

    /// One op of a refused batch is at fault, or the batch is too large: halve it until the op (or its
    /// transaction, which cannot be cut) stands alone, and set that aside. Nothing waits behind it.
    fn batch_refused(&mut self, batch: Batch, reason: String) {
        self.health.answered(self.now);
        let smaller = self.cycle.refused_ops.is_none_or(|refused| batch.ops < refused);
        if batch.ops > 1 && smaller {
            self.cycle.refused_ops = Some(batch.ops);
            self.cycle.batch_limit = batch.ops / 2;
            self.compose(true);
        } else {
            let id = self.store(Write::Refuse { batch: batch.id, reason });
            self.flight = Some(Flight { id, step: Step::StoreRefusal });
        }
    }

    /// The cycle is over without success.
    pub(super) fn fail(&mut self, failure: Failure) {
        if let Failure::Resync(reason) = failure {
            let scope = self.positions.scope();
            return self.resync(scope, reason);
        }
        self.close_wait();
        let (delay_ms, message, cause) = self.consequence(failure);
        self.emit(SyncEvent::Error { collection: None, message: message.clone(), original_error: cause });
        self.end_without_success(message, delay_ms);
    }

    /// Everybody who waited for the cycle is told why it is over.
    pub(super) fn end_without_success(&mut self, message: String, delay_ms: u64) {
        self.flight = None;
        self.health.failed(&message);
        let mut waiting = std::mem::take(&mut self.cycle).tickets;
        waiting.append(&mut self.queue);
        self.settle(waiting, Err(message));
        if self.settings.auto {
            self.wake_in(delay_ms);
        }
    }

    /// When to come back, what to say, and the cause.
    fn consequence(&mut self, failure: Failure) -> (u64, String, String) {
        let settings = self.settings;
        self.rest = Rest::BackOff;
        let (delay_ms, what, cause) = match failure {
            Failure::Unauthorized(cause)
            | Failure::PushingRefused(cause)
            | Failure::PullingRefused(cause)
            | Failure::CollectionRefused { message: cause, .. } => {
                self.rest = Rest::Unauthorized;
                let delay_ms = self.pace.unauthorized(&settings);
                let message = format!("the hub refuses the token: {cause}; enable sync with another token");
                return (delay_ms, message, cause);
            }
            Failure::Overloaded { message, retry_after_ms } => {
                let delay_ms = self.pace.told(&settings, retry_after_ms.unwrap_or(0));
                (delay_ms, "the hub is busy", message)
            }
            Failure::Network(cause) => (self.pace.failed(&settings), "the hub cannot be reached", cause),
            Failure::Server(cause) => (self.pace.failed(&settings), "the hub failed", cause),
            Failure::Refused(cause) | Failure::BatchReused(cause) => {
                (self.pace.failed(&settings), "the hub refuses the request", cause)
            }
            Failure::Storage(cause) => (self.pace.failed(&settings), "the local database failed", cause),
            Failure::Resync(cause) => (self.pace.failed(&settings), "the position is gone", cause),
        };
        let next = if settings.auto { format!("; next attempt in {delay_ms} ms") } else { String::new() };
        (delay_ms, format!("{what}: {cause}{next}"), cause)
    }
}
