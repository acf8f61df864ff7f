//! What an application is told when it asks how sync stands.

use serde::Serialize;
use std::collections::BTreeMap;
use syncline_core::model::{CollectionName, Cursor, Millis};
use syncline_core::session::{Backlog, Phase, Refusals, Report, Status};

/// How sync stands, truthfully: see each field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncStatus {
    /// `disabled`, `idle`, `waiting` (listening at the hub), `loading` (a snapshot), `pulling`,
    /// `pushing`, `backing_off` (after a failure), `unauthorized`, or `refused` (this collection stands
    /// still while others go on).
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
    /// What the last cycle failed with, or what the hub refuses; `None` when everything goes on.
    pub error: Option<String>,
    /// Collections that the hub refuses to this token while the others go on, each with the reason. They
    /// are asked for again when a cycle is triggered, when sync is enabled anew, and by themselves after
    /// ten of the longest intervals.
    pub refused: BTreeMap<CollectionName, String>,
    /// Why the hub takes no edits with this token while changes of others still arrive.
    pub push_refused: Option<String>,
    /// Why the hub tells this token of no changes while edits still leave.
    pub pull_refused: Option<String>,
    /// When the next cycle is due by the clock, in milliseconds since 1970.
    pub next_attempt: Option<u64>,
}

impl SyncStatus {
    /// The session's own account, of one collection or of all, with what pends by the database's count.
    pub(super) fn new(mut status: Status, only: Option<&CollectionName>, backlog: Backlog, now: Millis) -> SyncStatus {
        status.refused.collections.retain(|name, _| only.is_none_or(|only| only == name));
        let stands_still = only.is_some_and(|name| status.refused.collections.contains_key(name));
        let is_syncing = matches!(status.phase, Phase::Loading | Phase::Pulling | Phase::Pushing);
        SyncStatus {
            state: if stands_still { "refused" } else { status.phase.as_str() },
            is_syncing,
            enabled: status.enabled,
            connected: status.connected,
            last_sync_time: status.last_sync.map(|time| time.0),
            pending: backlog.pending,
            oldest_pending_age_ms: backlog.oldest.map(|made| now.0.saturating_sub(made.0)),
            cursor: status.cursor,
            stalled: status.stalled && backlog.pending > 0,
            error: status.error.or_else(|| complaint(&status.refused, only)),
            refused: status.refused.collections,
            push_refused: status.refused.pushing,
            pull_refused: status.refused.pulling,
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

impl SyncOutcome {
    /// Of a cycle, for one collection or for all. What the hub refuses is a failure, whatever else went well.
    pub(super) fn new(
        result: Result<Report, String>,
        refused: &Refusals,
        only: Option<&CollectionName>,
    ) -> SyncOutcome {
        match result {
            Ok(report) => {
                let error = complaint(refused, only);
                SyncOutcome { success: error.is_none(), error, synced_events: report.pulled + report.pushed }
            }
            Err(error) => SyncOutcome::failed(error),
        }
    }

    /// Nothing was done.
    pub(super) fn failed(error: impl Into<String>) -> SyncOutcome {
        SyncOutcome { success: false, error: Some(error.into()), synced_events: 0 }
    }
}

/// What the hub refuses of one collection or of all, in one sentence.
fn complaint(refused: &Refusals, only: Option<&CollectionName>) -> Option<String> {
    let concerned = refused.collections.iter().filter(|(name, _)| only.is_none_or(|only| only == *name));
    let whole = refused.pushing.iter().chain(&refused.pulling);
    let reasons: Vec<&str> = concerned.map(|(_, reason)| reason).chain(whole).map(String::as_str).collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}
