//! Events as clients of event sync write them, and where they are kept: the hub keeps them in its log, and an
//! application may bring a storage of its own beside. Knows nothing of connections.

use crate::error::ServerError;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;
use syncline_core::model::{LiveEdit, LiveEvent, Millis, NodeId};
use syncline_core::wire::live::BY_QUERY;

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

/// What only the text of an event says.
#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(rename = "documentId", borrow, default)]
    document_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    query: Option<&'a RawValue>,
    #[serde(borrow, default)]
    update: Option<&'a RawValue>,
}

impl SyncEvent {
    /// What a client sent (`text`), as the hub has understood it: clients leave out what the hub can tell by itself.
    /// `None`: it holds numbers or text that no JSON value can.
    pub(crate) fn of(text: &str, event: &LiveEvent, client: &NodeId, now: Millis) -> Option<SyncEvent> {
        let parts: Parts<'_> = serde_json::from_str(text).ok()?;
        let value = |part: Option<&RawValue>| match part {
            Some(raw) => serde_json::from_str::<Value>(raw.get()).ok().map(Some),
            None => Some(None),
        };
        let named = value(parts.document_id)?;
        let mut query = value(parts.query)?;
        let (kind, document_id) = match &event.edit {
            LiveEdit::Insert { id, .. } => (EventKind::Insert, id.as_str().to_owned()),
            LiveEdit::Update { .. } => (EventKind::Update, document_id(named.as_ref())),
            LiveEdit::Remove { .. } => (EventKind::Delete, document_id(named.as_ref())),
            LiveEdit::Unusable(_) => return None,
        };
        if let (None, Some(Value::Number(number)), EventKind::Update | EventKind::Delete) = (&query, &named, kind) {
            // As text it would be another document's.
            query = Some(json!({ "id": number }));
        }
        Some(SyncEvent {
            id: serde_json::from_str(parts.id.get()).unwrap_or_else(|_| parts.id.get().to_owned()),
            kind,
            collection: event.collection.as_ref()?.to_string(),
            document_id,
            data: value(parts.data)?,
            query,
            update: value(parts.update)?,
            timestamp: event.time.unwrap_or(now).0,
            client_id: client.live_client()?.to_owned(),
        })
    }
}

fn document_id(named: Option<&Value>) -> String {
    named.and_then(text_of).unwrap_or_else(|| BY_QUERY.to_owned())
}

fn text_of(id: &Value) -> Option<String> {
    match id {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A storage of events. [`SyncServer`](crate::sync_server::SyncServer) has one over its log; one that an application brings is
/// given every event before its client hears that it is safe, and fills the log when a server first starts over it.
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

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_core::model::Limits;
    use syncline_core::wire::live::{Place, read};

    /// The event as it is kept, and what a server makes of it when it is filled.
    fn kept(event: &Value) -> Option<(SyncEvent, LiveEvent)> {
        let client = NodeId::of_live("seat").unwrap();
        let event_of = |text: &str| {
            let mut piece = read(text, Place::default(), client.as_str(), &Limits::default()).unwrap();
            piece.received.remove(0)
        };
        let text = format!(" [{event}]");
        let received = event_of(&text);
        let kept = SyncEvent::of(&text[received.place.clone()], &received.event, &client, Millis(7))?;
        let again = event_of(&json!([kept]).to_string()).event;
        Some((kept, again))
    }

    #[test]
    fn what_a_client_leaves_out_the_hub_adds() {
        let insert = json!({ "id": 5, "type": "insert", "collection": "users", "clientId": "", "data": { "id": 9 } });
        let (event, again) = kept(&insert).unwrap();
        assert_eq!((event.id.as_str(), event.document_id.as_str(), event.timestamp), ("5", "9", 7));
        assert_eq!((event.client_id.as_str(), event.data), ("seat", Some(json!({ "id": 9 }))));
        assert!(matches!(again.edit, LiveEdit::Insert { id, .. } if id.as_str() == "9"));
    }

    #[test]
    fn a_number_for_an_id_names_the_same_document_when_it_is_read_again() {
        let removal = json!({ "id": "e", "type": "delete", "collection": "users", "documentId": 9, "timestamp": -1 });
        let (event, again) = kept(&removal).unwrap();
        assert_eq!(event.document_id, "9");
        let LiveEdit::Remove { query, .. } = again.edit else { panic!("a removal") };
        assert!(query.matches(&json!({ "id": 9 })) && !query.matches(&json!({ "id": "9" })));
    }

    #[test]
    fn what_no_value_can_hold_is_not_kept_in_silence() {
        let client = NodeId::of_live("seat").unwrap();
        let text = r#"{"id":"e","type":"insert","collection":"users","data":{"id":"a","n":1e999}}"#;
        let list = format!("[{text}]");
        let received = read(&list, Place::default(), client.as_str(), &Limits::default()).unwrap().received.remove(0);
        assert!(matches!(received.event.edit, LiveEdit::Insert { .. }));
        assert_eq!(SyncEvent::of(text, &received.event, &client, Millis(7)), None);
    }
}
