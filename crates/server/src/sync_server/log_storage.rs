//! The hub's log as a storage of events: each change is the insert of what stands after it, or a removal.

use crate::dialect::live::resolve;
use crate::error::ServerError;
use crate::events::{EventKind, SyncEvent, SyncStorage};
use crate::hub::Space;
use crate::store::{Encoder, Head, Row, Scan, Scanned, Trim};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use syncline_core::live::view;
use syncline_core::model::{Author, LiveBatch, Lsn, Millis, NodeId};
use syncline_core::wire::live::{BY_QUERY, HUB_CLIENT, Place, read};

pub(super) struct LogStorage(pub Arc<Space>);

impl SyncStorage for LogStorage {
    fn save_events(&self, events: Vec<SyncEvent>) -> BoxFuture<'_, Result<(), ServerError>> {
        save(&self.0, events).boxed()
    }

    fn get_events_after(&self, timestamp: u64) -> BoxFuture<'_, Result<Vec<SyncEvent>, ServerError>> {
        async move {
            let events = self.read().await?;
            Ok(events.into_iter().filter(|event| event.timestamp > timestamp).collect())
        }
        .boxed()
    }

    fn get_events_for_client<'a>(
        &'a self,
        client_id: &'a str,
        collections: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<SyncEvent>, ServerError>> {
        async move {
            let mut events = self.read().await?;
            events.retain(|event| event.client_id != client_id && collections.contains(&event.collection));
            Ok(events)
        }
        .boxed()
    }

    /// Superseded changes alone: what stands is never forgotten.
    fn clear_events_before(&self, timestamp: u64) -> BoxFuture<'_, Result<u64, ServerError>> {
        async move {
            let events = self.rows().await?;
            let last = events.iter().take_while(|row| row.at.0 < timestamp).last().map_or(Lsn::ZERO, |row| row.lsn);
            let trimmed = self.0.trim_to(Trim { horizon: last, ..Trim::default() }).await?;
            Ok(trimmed.changes + trimmed.tombstones)
        }
        .boxed()
    }
}

/// Events take effect in the log as if their clients had sent them.
pub(super) async fn save(space: &Space, events: Vec<SyncEvent>) -> Result<(), ServerError> {
    let limits = space.limits();
    for run in events.chunk_by(|a, b| a.client_id == b.client_id) {
        let client = run.first().map(|event| event.client_id.clone()).unwrap_or_default();
        let list = Value::Array(run.iter().map(|event| json!(event)).collect());
        let (text, mut place) = (list.to_string(), Some(Place::default()));
        while let Some(from) = place {
            let piece = read(&text, from, &client, &limits)?;
            place = piece.rest;
            for one in piece.received {
                let mut event = one.event;
                resolve(space, &mut event).await?;
                let batch = LiveBatch { node: NodeId::of_live(&client)?, served: Lsn::ZERO, events: vec![event] };
                space.push_live(batch, None).await?;
            }
        }
    }
    Ok(())
}

struct LogRow {
    lsn: Lsn,
    at: Millis,
    author: Author,
    collection: String,
    id: String,
    body: Option<String>,
}

impl LogStorage {
    async fn rows(&self) -> Result<Vec<LogRow>, ServerError> {
        let rows = Arc::new(Mutex::new(Vec::new()));
        let after = self.0.head().horizon;
        let scan = Scan::Log { after, collections: None, max_rows: usize::MAX, max_bytes: usize::MAX };
        self.0.read(scan, Box::new(Collect(Arc::clone(&rows)))).await?.scanned().await?;
        Ok(std::mem::take(&mut *rows.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    async fn read(&self) -> Result<Vec<SyncEvent>, ServerError> {
        let nodes: BTreeMap<Author, String> =
            self.0.nodes().await?.into_iter().map(|node| (node.author, node.node)).collect();
        let client = |author| {
            let name = nodes.get(&author).map_or(HUB_CLIENT, String::as_str);
            name.strip_prefix("(live:").map_or(name, |name| name.trim_end_matches(')')).to_owned()
        };
        Ok(self.rows().await?.into_iter().map(|row| event(&row, client(row.author))).collect())
    }
}

fn event(row: &LogRow, client_id: String) -> SyncEvent {
    let data = row.body.as_deref().and_then(view);
    let kind = if data.is_some() { EventKind::Insert } else { EventKind::Delete };
    SyncEvent {
        id: format!("{HUB_CLIENT}-{}", row.lsn),
        kind,
        collection: row.collection.clone(),
        document_id: if data.is_some() { row.id.clone() } else { BY_QUERY.to_owned() },
        query: data.is_none().then(|| json!({ "id": row.id })),
        data,
        update: None,
        timestamp: row.at.0,
        client_id,
    }
}

struct Collect(Arc<Mutex<Vec<LogRow>>>);

impl Encoder for Collect {
    fn begin(&mut self, _head: &Head, _out: &mut Vec<u8>) {}

    fn row(&mut self, row: &Row<'_>, _out: &mut Vec<u8>) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(LogRow {
            lsn: row.lsn,
            at: row.at,
            author: row.author,
            collection: row.collection.to_owned(),
            id: row.id.to_owned(),
            body: row.live.then(|| row.body.to_owned()),
        });
        true
    }

    fn end(&mut self, _scanned: &Scanned, _out: &mut Vec<u8>) {}
}
