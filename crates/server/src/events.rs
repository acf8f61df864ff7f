//! Events as clients of event sync write them, and where they are kept: the hub keeps them in its log, and an
//! application may bring a storage of its own beside. Knows nothing of connections.

use crate::error::ServerError;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// What an event does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A complete document.
    Insert,
    /// Update operators on every document that a query means.
    Update,
    /// Every document that a query means goes away.
    Delete,
}

/// An event as clients write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncEvent {
    /// Its id: no other event has it.
    pub id: String,
    /// What it does.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// Where.
    pub collection: String,
    /// Which document; `query-based` where a query says it.
    pub document_id: String,
    /// Of an insert: the document with its `id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// Of an update or a removal: which documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<Value>,
    /// Of an update: the operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<Value>,
    /// When it was made, in milliseconds since 1970.
    pub timestamp: u64,
    /// Who made it.
    pub client_id: String,
}

/// A storage of events. [`SyncServer`](crate::sync_server::SyncServer) has one over its log; one that an application brings is
/// given every event before its client hears that it is safe, and fills the log when the server starts.
pub trait SyncStorage: Send + Sync + 'static {
    /// Keeps events durably. The same event may come again: by its id it is known.
    ///
    /// # Errors
    /// Whatever keeps them from being durable; the clients then send them again.
    fn save_events(&self, events: Vec<SyncEvent>) -> BoxFuture<'_, Result<(), ServerError>>;

    /// The events made after a time, in their order.
    ///
    /// # Errors
    /// When they cannot be read.
    fn get_events_after(&self, timestamp: u64) -> BoxFuture<'_, Result<Vec<SyncEvent>, ServerError>>;

    /// What others made in these collections, in its order.
    ///
    /// # Errors
    /// When they cannot be read.
    fn get_events_for_client<'a>(
        &'a self,
        client_id: &'a str,
        collections: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<SyncEvent>, ServerError>>;

    /// Forgets events made before a time; tells how many.
    ///
    /// # Errors
    /// When they cannot be removed.
    fn clear_events_before(&self, timestamp: u64) -> BoxFuture<'_, Result<u64, ServerError>>;
}

/// An application's storage, as options hold it.
#[derive(Clone)]
pub struct EventStorage(pub(crate) Arc<dyn SyncStorage>);

impl fmt::Debug for EventStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventStorage")
    }
}
