//! Events of an application's storage become commits, as if their clients had sent them.

use crate::dialect::live::{Open, Run, resolve};
use crate::error::ServerError;
use crate::events::{SyncEvent, SyncStorage};
use crate::hub::Space;
use crate::store::{RecordKind, Store};
use serde_json::json;
use syncline_core::model::{LiveBatch, LiveEvent, Lsn, NodeId};
use syncline_core::wire::live::{Place, read};

/// Events that are read at a time.
const EVENTS_READ: usize = 1_000;

/// Fills the log from an application's storage, once: after that the log has what the storage has, and how much of it
/// is a repeat is known for a while only. One that broke off begins again; its events are known by their ids.
pub(super) async fn fill(store: &dyn Store, space: &Space, storage: &dyn SyncStorage) -> Result<(), ServerError> {
    let filled = store.records(RecordKind::Filled).await?;
    if filled.iter().any(|record| record.key == space.name().as_str()) {
        return Ok(());
    }
    save(space, storage.get_events_after(0).await?).await?;
    Ok(store.put_record(RecordKind::Filled, space.name().to_string(), Some("{}".to_owned())).await?)
}

/// Commits events in their order. One whose client cannot be is left out with a warning: nothing behind it waits.
pub(super) async fn save(space: &Space, events: Vec<SyncEvent>) -> Result<(), ServerError> {
    for run in events.chunk_by(|a, b| a.client_id == b.client_id) {
        let client = run.first().map(|event| event.client_id.as_str()).unwrap_or_default();
        match NodeId::of_live(client) {
            Ok(node) => save_run(space, &node, run).await?,
            Err(error) => tracing::warn!(events = run.len(), %error, "events of a storage are left out"),
        }
    }
    Ok(())
}

/// Commits events of one client.
async fn save_run(space: &Space, node: &NodeId, events: &[SyncEvent]) -> Result<(), ServerError> {
    let mut run = Run::default();
    for events in events.chunks(EVENTS_READ) {
        let (text, mut place) = (json!(events).to_string(), Some(Place::default()));
        while let Some(from) = place {
            let piece = read(&text, from, node.as_str(), &space.limits())?;
            place = piece.rest;
            for mut event in piece.received.into_iter().map(|received| received.event) {
                if event.unresolved().is_some() {
                    push(space, node, run.take()).await?;
                    resolve(space, std::slice::from_mut(&mut event), &Open::default()).await?;
                }
                if run.add(event) {
                    push(space, node, run.take()).await?;
                }
            }
        }
    }
    push(space, node, run.take()).await
}

async fn push(space: &Space, node: &NodeId, events: Vec<LiveEvent>) -> Result<(), ServerError> {
    if !events.is_empty() {
        space.push_live(LiveBatch::whole(node.clone(), Lsn::ZERO, events), None).await?;
    }
    Ok(())
}
