//! What the token's grants leave out: single collections, pushing, or pulling. Only that stops; the rest of the
//! session goes on, and the hub is asked again when somebody triggers a cycle, when sync is enabled
//! anew, or by itself after a long time. What the hub had told of a refused collection goes; no op leaves the outbox.

use super::interface::{Failure, Write};
use super::notice::SyncEvent;
use super::state::{Flight, Rest, Session, Step};
use super::stopped::Stopped;
use crate::model::{CollectionName, Millis};

impl Session {
    /// One collection is refused: the cycle goes on without it. Without any left, it is the token
    /// that is refused.
    pub(super) fn collection_refused(&mut self, name: CollectionName, cause: String) {
        let Some(cursor) = self.positions.cursors.remove(&name) else {
            return self.fail(Failure::Unauthorized(cause));
        };
        self.close_wait();
        let (due, next) = self.ask_later();
        let message = format!("the hub refuses collection `{name}`: {cause}; enable sync with another token{next}");
        let collection = Some(name.clone());
        self.emit(SyncEvent::Error { collection, message: message.clone(), original_error: cause });
        self.refused.collections.insert(name.clone(), Stopped { message, due, cursor: None });
        let begun = self.positions.snapshot.as_ref().is_some_and(|begun| begun.scope.contains(&name));
        if cursor.is_none() && !begun {
            return self.go_on_without(&name);
        }
        // Whoever must not read it any more must not keep it either.
        self.positions.views.remove(&name);
        let id = self.store(Write::Withdraw(name.clone()));
        self.flight = Some(Flight { id, step: Step::Withdraw(name) });
    }

    /// A refused collection has left the session, and this device.
    pub(super) fn go_on_without(&mut self, name: &CollectionName) {
        if self.positions.cursors.is_empty() {
            let Some(Stopped { message, due, .. }) = self.refused.collections.get(name) else { return };
            let (message, delay_ms) = (message.clone(), due.0.saturating_sub(self.now.0));
            self.rest = Rest::Unauthorized;
            return self.end_without_success(message, delay_ms);
        }
        // A batch under way may hold ops of the collection, which the hub would reject for good.
        self.cycle.recompose = true;
        self.cycle.push_only = false;
        self.load_or_pull();
    }

    /// The token may not push: ops wait in the outbox and changes of others still arrive.
    pub(super) fn pushing_refused(&mut self, cause: String) {
        if self.refused.pulling.is_some() {
            return self.nothing_is_left(cause);
        }
        self.health.answered(self.now);
        let (due, next) = self.ask_later();
        let message = format!(
            "the hub takes no edits with this token: {cause}; they are kept, and changes of others still arrive; \
             enable sync with another token{next}"
        );
        self.emit(SyncEvent::Error { collection: None, message: message.clone(), original_error: cause });
        self.refused.pushing = Some(Stopped { message, due, cursor: None });
        self.wrote = false;
        self.nothing_pends();
    }

    /// The token may not read: nothing arrives, and ops still leave. A receipted op stays in place until
    /// its effect can be read.
    pub(super) fn pulling_refused(&mut self, cause: String) {
        if self.refused.pushing.is_some() {
            return self.nothing_is_left(cause);
        }
        self.health.answered(self.now);
        self.close_wait();
        let (due, next) = self.ask_later();
        let message = format!(
            "the hub tells this token of no changes: {cause}; edits still leave; enable sync with another token{next}"
        );
        self.emit(SyncEvent::Error { collection: None, message: message.clone(), original_error: cause });
        self.refused.pulling = Some(Stopped { message, due, cursor: None });
        self.compose(false);
    }

    /// A token that may neither push nor read is refused as a whole.
    fn nothing_is_left(&mut self, cause: String) {
        (self.refused.pushing, self.refused.pulling) = (None, None);
        self.fail(Failure::Unauthorized(cause));
    }

    /// A cycle begins: what is due joins it, and everything that somebody has asked for.
    pub(super) fn ask_again(&mut self) {
        let everything = !self.queue.is_empty() || self.positions.cursors.is_empty();
        for (name, stopped) in self.refused.release(everything, self.now) {
            self.positions.cursors.insert(name, stopped.cursor);
        }
    }

    fn ask_later(&mut self) -> (Millis, String) {
        let delay_ms = self.pace.unauthorized(&self.settings);
        let next = if self.settings.auto { format!(", or wait {delay_ms} ms") } else { String::new() };
        (Millis(self.now.0.saturating_add(delay_ms)), next)
    }
}
