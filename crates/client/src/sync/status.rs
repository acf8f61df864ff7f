//! What an application is told when it asks how sync stands.

use serde::Serialize;
use syncline_core::model::{Cursor, Millis};
use syncline_core::session::{Backlog, Phase, Report, Status};

/// How sync stands, truthfully: see each field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncStatus {
    /// `disabled`, `idle`, `waiting` (listening at the hub), `loading` (a snapshot), `pulling`,
    /// `pushing`, `backing_off` (after a failure) or `unauthorized`.
    pub state: &'static str,
    /// Whether a cycle is under way.
    pub is_syncing: bool,
    /// Whether sync is switched on.
    pub enabled: bool,
    /// Whether the hub answered the last request, and not long ago.
    pub connected: bool,
    /// When a cycle was last complete, in milliseconds since 1970; `None`: not since sync was enabled.
    pub last_sync_time: Option<u64>,
    /// Ops that the hub has not receipted.
    pub pending: u64,
    /// Milliseconds since the oldest of them was made.
    pub oldest_pending_age_ms: Option<u64>,
    /// How far the hub's log has been read; of several collections the one furthest behind.
    pub cursor: Cursor,
    /// Whether ops pend without any progress for the longest interval.
    pub stalled: bool,
    /// What the last cycle failed with; `None` after a success.
    pub error: Option<String>,
    /// When the next cycle is due by the clock, in milliseconds since 1970.
    pub next_attempt: Option<u64>,
}

impl SyncStatus {
    /// The session's own account, with what pends by the database's count.
    pub(super) fn new(status: Status, backlog: Backlog, now: Millis) -> SyncStatus {
        let is_syncing = matches!(status.phase, Phase::Loading | Phase::Pulling | Phase::Pushing);
        SyncStatus {
            state: status.phase.as_str(),
            is_syncing,
            enabled: status.enabled,
            connected: status.connected,
            last_sync_time: status.last_sync.map(|time| time.0),
            pending: backlog.pending,
            oldest_pending_age_ms: backlog.oldest.map(|made| now.0.saturating_sub(made.0)),
            cursor: status.cursor,
            stalled: status.stalled && backlog.pending > 0,
            error: status.error,
            next_attempt: status.next_attempt.map(|time| time.0),
        }
    }
}

/// How a cycle that was asked for ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncOutcome {
    /// Whether it was complete.
    pub success: bool,
    /// Why not.
    pub error: Option<String>,
    /// Changes that were pulled and ops that were pushed.
    pub synced_events: u64,
}

impl From<Result<Report, String>> for SyncOutcome {
    fn from(result: Result<Report, String>) -> SyncOutcome {
        match result {
            Ok(report) => SyncOutcome { success: true, error: None, synced_events: report.pulled + report.pushed },
            Err(error) => SyncOutcome { success: false, error: Some(error), synced_events: 0 },
        }
    }
}
