//! What the hub's log says, for those who check it.

use super::hub::Hub;
use serde_json::Value;
use std::collections::BTreeMap;
use syncline_core::hub::{Change, Entry};

/// Documents by collection and id.
pub type Documents = BTreeMap<(String, String), Value>;

/// The changes among the rows.
pub(super) fn changes(log: &[Entry]) -> impl Iterator<Item = &Change> {
    log.iter().filter_map(|entry| match entry {
        Entry::Change(change) => Some(change),
        Entry::Ticket(_) | Entry::Return(_) => None,
    })
}

/// The hub's documents.
pub(super) fn documents(hub: &Hub) -> Documents {
    let mut documents = Documents::new();
    for change in changes(&hub.log()) {
        let key = (change.collection.to_string(), change.id.to_string());
        documents.remove(&key);
        if change.version.meta.is_live() {
            documents.insert(key, serde_json::from_str(change.version.body.text()).expect("bodies are JSON"));
        }
    }
    documents
}
