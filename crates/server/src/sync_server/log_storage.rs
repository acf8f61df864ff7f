//! The hub's log as a storage of events: each change is the insert of what stands after it, or a removal.

use super::filling::save;
use crate::error::ServerError;
use crate::events::{EventKind, SyncEvent, SyncStorage};
use crate::hub::Space;
use crate::store::{Encoder, Head, Row, Scan, Scanned, Trim};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use syncline_core::live::document_of;
use syncline_core::model::{Author, CollectionName, Millis, NodeId};
use syncline_core::wire::live::{BY_QUERY, HUB_CLIENT};

pub(super) struct LogStorage(pub Arc<Space>);

impl SyncStorage for LogStorage {
    fn save_events(&self, events: Vec<SyncEvent>) -> BoxFuture<'_, Result<(), ServerError>> {
        save(&self.0, events).boxed()
    }

    fn get_events_after(&self, timestamp: u64) -> BoxFuture<'_, Result<Vec<SyncEvent>, ServerError>> {
        self.read(None, move |row, _| row.at.0 > timestamp).boxed()
    }

    fn get_events_for_client<'a>(
        &'a self,
        client_id: &'a str,
        collections: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<SyncEvent>, ServerError>> {
        let names = collections.iter().filter_map(|name| CollectionName::new(name).ok()).collect();
        let client = client_id.to_owned();
        self.read(Some(names), move |_, author| author != client).boxed()
    }

    /// Superseded changes alone: what stands is never forgotten.
    fn clear_events_before(&self, timestamp: u64) -> BoxFuture<'_, Result<u64, ServerError>> {
        async move {
            let horizon = self.0.last_before(Millis(timestamp)).await?;
            let trimmed = self.0.trim_to(Trim { horizon, ..Trim::default() }).await?;
            Ok(trimmed.changes + trimmed.tombstones)
        }
        .boxed()
    }
}

impl LogStorage {
    /// The changes that are `wanted`, by themselves and by the client that made them.
    async fn read(
        &self,
        collections: Option<BTreeSet<CollectionName>>,
        wanted: impl Fn(&Row<'_>, &str) -> bool + Send + 'static,
    ) -> Result<Vec<SyncEvent>, ServerError> {
        let authors = self.0.nodes().await?.into_iter().map(|node| (node.author, client_of(node.node))).collect();
        let events = Arc::new(Mutex::new(Vec::new()));
        let after = self.0.head().horizon;
        let scan = Scan::Log { after, collections, max_rows: usize::MAX, max_bytes: usize::MAX };
        let pick = Box::new(Pick { authors, wanted, events: Arc::clone(&events) });
        self.0.read(scan, pick).await?.scanned().await?;
        Ok(std::mem::take(&mut *events.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// The id by which an application knows an author.
fn client_of(node: String) -> String {
    match NodeId::new(&node) {
        Ok(id) => id.live_client().map(str::to_owned).unwrap_or(node),
        Err(_) => node,
    }
}

/// Keeps what is wanted and writes nothing.
struct Pick<W> {
    authors: BTreeMap<Author, String>,
    wanted: W,
    events: Arc<Mutex<Vec<SyncEvent>>>,
}

impl<W: Fn(&Row<'_>, &str) -> bool + Send> Encoder for Pick<W> {
    fn begin(&mut self, _head: &Head, _out: &mut Vec<u8>) {}

    fn row(&mut self, row: &Row<'_>, _out: &mut Vec<u8>) -> bool {
        let client = self.authors.get(&row.author).map_or(HUB_CLIENT, String::as_str);
        let wanted = (self.wanted)(row, client);
        if wanted {
            self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event(row, client));
        }
        wanted
    }

    fn end(&mut self, _scanned: &Scanned, _out: &mut Vec<u8>) {}
}

fn event(row: &Row<'_>, client_id: &str) -> SyncEvent {
    let data = if row.live { document_of(row.body) } else { None };
    let kind = if data.is_some() { EventKind::Insert } else { EventKind::Delete };
    SyncEvent {
        id: format!("{HUB_CLIENT}-{}", row.lsn),
        kind,
        collection: row.collection.to_owned(),
        document_id: if data.is_some() { row.id.to_owned() } else { BY_QUERY.to_owned() },
        query: data.is_none().then(|| json!({ "id": row.id })),
        data,
        update: None,
        timestamp: row.at.0,
        client_id: client_id.to_owned(),
    }
}
