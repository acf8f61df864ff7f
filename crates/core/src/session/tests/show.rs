//! Effect lines of a story.

use crate::model::{CollectionName, Cursor, Millis};
use crate::session::{Effect, Request, Status, Write};
use std::collections::BTreeSet;

pub(super) fn effect(effect: &Effect, now: Millis) -> String {
    match effect {
        Effect::Send(id, request) => format!("  send #{} {}", id.0, self::request(request)),
        Effect::Cancel(id) => format!("  cancel #{}", id.0),
        Effect::Store(id, write) => format!("  store #{} {}", id.0, self::write(write)),
        Effect::WakeAt(time) => format!("  wake in {} ms", time.0 - now.0),
        Effect::Emit(event) => format!("  emit {} {}", event.name(), event.payload()),
        Effect::Settle(tickets, result) => {
            let tickets: Vec<_> = tickets.iter().map(|ticket| ticket.0.to_string()).collect();
            match result {
                Ok(report) => {
                    format!("  settle {} pulled {} pushed {}", tickets.join(","), report.pulled, report.pushed)
                }
                Err(reason) => format!("  settle {} error: {reason}", tickets.join(",")),
            }
        }
    }
}

pub(super) fn status(status: &Status) -> String {
    let flags = [("connected", status.connected), ("stalled", status.stalled)];
    let flags: Vec<_> = flags.iter().filter(|(_, on)| *on).map(|(name, _)| format!(" {name}")).collect();
    let error = status.error.as_ref().map_or(String::new(), |error| format!(" error: {error}"));
    let phase = status.phase.as_str();
    let stopped: Vec<_> = status.refused.collections.keys().map(|name| format!(" refused: {name}")).collect();
    let read_only = status.refused.pushing.as_ref().map_or("", |_| " refused: pushing");
    let write_only = status.refused.pulling.as_ref().map_or("", |_| " refused: pulling");
    let refused = stopped.concat() + read_only + write_only;
    format!("  {phase} at {} pending {}{}{refused}{error}", cursor(&status.cursor), status.pending, flags.concat())
}

fn request(request: &Request) -> String {
    match request {
        Request::Snapshot { scope, after: None } => format!("snapshot {}", names(scope)),
        Request::Snapshot { scope, after: Some(lsn) } => format!("snapshot {} after {lsn}", names(scope)),
        Request::Pull { scope, since, wait_s: 0, .. } => format!("pull {} since {}", names(scope), cursor(since)),
        Request::Pull { scope, since, wait_s, .. } => {
            format!("pull {} since {} wait {wait_s} s", names(scope), cursor(since))
        }
        Request::Push(batch) => format!("push {} of {} ops", batch.id, batch.ops),
        Request::Health => "health".to_owned(),
    }
}

fn write(write: &Write) -> String {
    match write {
        Write::SnapshotBegin { scope, head } => format!("snapshot {} begins at {}", names(scope), head.server_lsn),
        Write::SnapshotPart(ops) => format!("snapshot part of {}", ops.len()),
        Write::SnapshotFinish => "snapshot ends".to_owned(),
        Write::Page { page, .. } => format!("page of {} up to {}", page.ops.len(), page.server_lsn),
        Write::NextBatch { scope, limit, recompose } => {
            let verb = if *recompose { "recompose" } else { "next" };
            format!("{verb} batch of {limit} from {}", names(scope))
        }
        Write::Receipts { batch, .. } => format!("receipts of {batch}"),
        Write::Refuse { batch, reason } => format!("refuse {batch}: {reason}"),
        Write::Withdraw(name) => format!("withdraw {name}"),
        Write::Resync(scope) => format!("resync {}", names(scope)),
    }
}

fn names(scope: &BTreeSet<CollectionName>) -> String {
    let names: Vec<_> = scope.iter().map(CollectionName::as_str).collect();
    names.join(",")
}

fn cursor(cursor: &Cursor) -> String {
    format!("{}@{}", cursor.lsn, cursor.epoch)
}
