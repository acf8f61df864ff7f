//! Who waits for changes of which documents (step 10 of the life of a change).
//!
//! A watcher is told only that its answer may differ; it reads when it likes. So a slow one finds
//! the newest state and nothing queues up.

use crate::query::Query;
use serde_json::Value;
use std::sync::Arc;
use syncline_core::model::CollectionName;
use tokio::sync::watch;

/// One live query.
#[derive(Debug)]
pub(crate) struct Watcher {
    /// Of which collection.
    pub collection: CollectionName,
    /// What is watched.
    pub query: Query,
    bell: watch::Sender<u64>,
}

impl Watcher {
    /// A watcher and the bell that it hears.
    pub(crate) fn new(collection: CollectionName, query: Query) -> (Arc<Watcher>, watch::Receiver<u64>) {
        let (bell, heard) = watch::channel(0);
        (Arc::new(Watcher { collection, query, bell }), heard)
    }

    /// Its answer may differ now.
    pub(super) fn ring(&self) {
        self.bell.send_modify(|rings| *rings += 1);
    }

    /// Whether anyone still listens.
    pub(super) fn is_heard(&self) -> bool {
        self.bell.receiver_count() > 0
    }
}

/// All live queries, and those whose answer the open transaction may have changed.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    all: Vec<Arc<Watcher>>,
    touched: Vec<Arc<Watcher>>,
}

impl Watchers {
    /// Adds one.
    pub(crate) fn add(&mut self, watcher: Arc<Watcher>) {
        self.all.push(watcher);
    }

    /// Whether anyone watches this collection.
    pub(crate) fn any_of(&mut self, collection: &CollectionName) -> bool {
        self.all.retain(|watcher| watcher.is_heard());
        self.all.iter().any(|watcher| watcher.collection == *collection)
    }

    /// Notes that a document changed.
    pub(crate) fn note(&mut self, collection: &CollectionName, old: Option<&Value>, new: Option<&Value>) {
        for watcher in self.all.iter().filter(|watcher| watcher.collection == *collection) {
            let filter = watcher.query.filter();
            let known = self.touched.iter().any(|touched| Arc::ptr_eq(touched, watcher));
            if !known && [old, new].into_iter().flatten().any(|document| filter.matches(document)) {
                self.touched.push(watcher.clone());
            }
        }
    }

    /// The transaction is committed: whoever may see something new is told.
    pub(crate) fn ring(&mut self) {
        for watcher in self.touched.drain(..) {
            watcher.ring();
        }
    }

    /// The transaction is undone.
    pub(crate) fn hush(&mut self) {
        self.touched.clear();
    }
}
