//! What the session says of itself. It tells the truth: "connected" is about the last answer, not
//! about the last intention, and work that pends without progress is called a stall.

use super::state::{Rest, Session, Step};
use super::stopped::Stopped;
use crate::model::{CollectionName, Cursor, Millis};
use std::collections::BTreeMap;

/// What a session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Switched off.
    Disabled,
    /// At rest; the next cycle is due by the clock or by a trigger.
    Idle,
    /// Listening at the hub for changes.
    Waiting,
    /// Loading a snapshot.
    Loading,
    /// Pulling changes, or checking the hub's health.
    Pulling,
    /// Pushing ops.
    Pushing,
    /// After a failure.
    BackingOff,
    /// The token was refused: asks again only rarely.
    Unauthorized,
}

impl Phase {
    /// As shown to people and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Disabled => "disabled",
            Phase::Idle => "idle",
            Phase::Waiting => "waiting",
            Phase::Loading => "loading",
            Phase::Pulling => "pulling",
            Phase::Pushing => "pushing",
            Phase::BackingOff => "backing_off",
            Phase::Unauthorized => "unauthorized",
        }
    }
}

/// What the hub refuses this session's token, each with the message that the application was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Collections that stand still while the others go on.
    pub collections: BTreeMap<CollectionName, String>,
    /// Set: nothing is pushed, and changes still arrive.
    pub pushing: Option<String>,
    /// Set: nothing is read, and ops still leave.
    pub pulling: Option<String>,
}

/// The truth about a session at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is doing.
    pub phase: Phase,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Whether the hub answered the last request, and not long ago.
    pub connected: bool,
    /// When a cycle was last complete.
    pub last_sync: Option<Millis>,
    /// Ops that the hub has not receipted.
    pub pending: u64,
    /// When the oldest of them was made.
    pub oldest_pending: Option<Millis>,
    /// Whether ops have been pending for the longest interval without any progress.
    pub stalled: bool,
    /// The cursor that is furthest behind.
    pub cursor: Cursor,
    /// What the last failed cycle said; gone after a success.
    pub error: Option<String>,
    /// What stands still while the rest goes on.
    pub refused: Refusals,
    /// When the next attempt is due by the clock.
    pub next_attempt: Option<Millis>,
}

impl Session {
    /// What the session is doing and how it stands.
    #[must_use]
    pub fn status(&self, now: Millis) -> Status {
        let since = |time: Millis| now.0.saturating_sub(time.0);
        let recent_ms = 2 * self.settings.max_interval_ms.max(self.settings.wait_s.unwrap_or(0) * 1_000);
        let connected = self.enabled
            && self.health.reachable
            && self.health.last_answer.is_some_and(|answer| since(answer) <= recent_ms);
        let stalled =
            self.enabled && self.backlog.pending > 0 && since(self.health.progress) >= self.settings.max_interval_ms;
        Status {
            phase: self.phase(),
            enabled: self.enabled,
            connected,
            last_sync: self.health.last_success,
            pending: self.backlog.pending,
            oldest_pending: self.backlog.oldest,
            stalled,
            cursor: self.positions.since(),
            error: self.health.error.clone(),
            refused: self.refusals(),
            next_attempt: self.wake,
        }
    }

    fn refusals(&self) -> Refusals {
        let refused = &self.refused;
        let message = |stopped: &Option<Stopped>| stopped.as_ref().map(|stopped| stopped.message.clone());
        let collections = refused.collections.iter().map(|(name, stopped)| (name.clone(), stopped.message.clone()));
        Refusals {
            collections: collections.collect(),
            pushing: message(&refused.pushing),
            pulling: message(&refused.pulling),
        }
    }

    fn phase(&self) -> Phase {
        match (self.flight.as_ref().map(|flight| &flight.step), self.rest) {
            _ if !self.enabled => Phase::Disabled,
            (Some(Step::Snapshot(_) | Step::StoreSnapshot { .. } | Step::Resync(_)), _) => Phase::Loading,
            (Some(Step::Pull { .. } | Step::StorePage { .. } | Step::Health), _) => Phase::Pulling,
            (Some(_), _) => Phase::Pushing,
            (None, Rest::BackOff) => Phase::BackingOff,
            (None, Rest::Unauthorized) => Phase::Unauthorized,
            (None, Rest::Idle) if self.wait.is_some() => Phase::Waiting,
            (None, Rest::Idle) => Phase::Idle,
        }
    }
}
