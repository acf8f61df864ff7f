//! Events as clients write them.

use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

static NUMBER: AtomicU64 = AtomicU64::new(1);

fn event(kind: &str, collection: &str, id: &str) -> Value {
    let n = NUMBER.fetch_add(1, Ordering::Relaxed);
    json!({ "id": format!("event-{n}"), "type": kind, "collection": collection, "documentId": id,
            "timestamp": 1_790_000_000_000u64 + n, "clientId": "whoever" })
}

/// A new complete document.
pub fn insert(collection: &str, data: &Value) -> Value {
    let id = data["id"].as_str().map_or_else(|| data["id"].to_string(), str::to_owned);
    let mut event = event("insert", collection, &id);
    event["data"] = data.clone();
    event
}

pub fn update(collection: &str, query: &Value, update: &Value) -> Value {
    let mut event = event("update", collection, "query-based");
    event["query"] = query.clone();
    event["update"] = update.clone();
    event
}

pub fn delete(collection: &str, query: &Value) -> Value {
    let mut event = event("delete", collection, "query-based");
    event["query"] = query.clone();
    event
}
