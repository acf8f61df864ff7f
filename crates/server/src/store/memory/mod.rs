//! The store in memory, for tests and simulations: plain maps behind one lock, as simple as the
//! contract allows, so that it can serve as the model of the other engines. Needs no async runtime.

mod exchange;
mod read;
mod space;
mod trim;
mod unique;

use super::rules::{RuleBook, decided};
use super::{
    ConflictRow, Decide, Encoder, ExpiredRow, FailedSpaces, Head, Holders, LateRows, ListQuery, NodeRow, QuarantineRow,
    Record, RecordKind, Scan, Scanned, Store, StoreError, Trim, Trimmed,
};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, ready};
use space::Space;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use syncline_core::hub::{DocKey, Touch};
use syncline_core::model::{
    Author, Holding, Lsn, Millis, NodeId, Registration, SpaceName, Traffic, UniqueValue, Version,
};
use tokio::sync::mpsc;

/// Keeps spaces in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    spaces: BTreeMap<SpaceName, Space>,
    records: BTreeMap<(RecordKind, String), String>,
    rules: RuleBook,
    closed: bool,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// A panic leaves the maps as they were: everything fallible happens before the first change.
    fn lock(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed { Err(StoreError::Closed) } else { Ok(state) }
    }

    fn with<T>(
        &self,
        space: &SpaceName,
        work: impl FnOnce(&mut Space) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        work(self.lock()?.space(space)?)
    }
}

impl State {
    fn space(&mut self, name: &SpaceName) -> Result<&mut Space, StoreError> {
        self.spaces.get_mut(name).ok_or_else(|| StoreError::UnknownSpace(name.clone()))
    }

    fn commit(&mut self, name: &SpaceName, touch: &Touch, mut decide: Decide) -> Result<Head, StoreError> {
        let rules = self.rules.touched(name, touch);
        let space = self.space(name)?;
        space.keep_unique(touch, &rules);
        let loaded = space.load(touch, rules);
        let writes = decided(loaded, &mut decide, |value, most, at| Ok(space.holders(value, most, at)))?;
        super::check_order(space.head.lsn, &writes)?;
        space.write(touch, writes);
        Ok(space.head.clone())
    }
}

impl Store for MemoryStore {
    fn open_space<'a>(&'a self, space: &'a SpaceName) -> BoxFuture<'a, Result<Head, StoreError>> {
        let opened =
            self.lock().map(|mut state| state.spaces.entry(space.clone()).or_insert_with(Space::new).head.clone());
        ready(opened).boxed()
    }

    fn spaces(&self) -> BoxFuture<'_, Result<Vec<SpaceName>, StoreError>> {
        ready(self.lock().map(|state| state.spaces.keys().cloned().collect())).boxed()
    }

    fn head<'a>(&'a self, space: &'a SpaceName) -> BoxFuture<'a, Result<Head, StoreError>> {
        ready(self.with(space, |space| Ok(space.head.clone()))).boxed()
    }

    fn commit<'a>(
        &'a self,
        space: &'a SpaceName,
        touch: Touch,
        decide: Decide,
    ) -> BoxFuture<'a, Result<Head, StoreError>> {
        async move { self.lock()?.commit(space, &touch, decide) }.boxed()
    }

    fn scan<'a>(
        &'a self,
        space: &'a SpaceName,
        scan: Scan,
        encoder: Box<dyn Encoder>,
        out: mpsc::Sender<Bytes>,
    ) -> BoxFuture<'a, Result<Scanned, StoreError>> {
        async move {
            let (scanned, chunks) = self.with(space, |space| space.scan(&scan, encoder))?;
            for chunk in chunks {
                if out.send(chunk).await.is_err() {
                    return Ok(Scanned { more: true, ..scanned });
                }
            }
            Ok(scanned)
        }
        .boxed()
    }

    fn trim<'a>(&'a self, space: &'a SpaceName, trim: Trim) -> BoxFuture<'a, Result<Trimmed, StoreError>> {
        ready(self.with(space, |space| Ok(space.trim(trim)))).boxed()
    }

    fn expired<'a>(
        &'a self,
        space: &'a SpaceName,
        by: Millis,
        after: (Millis, Lsn),
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<ExpiredRow>, StoreError>> {
        ready(self.with(space, |space| Ok(space.expired(by, after, limit)))).boxed()
    }

    fn conflicts<'a>(
        &'a self,
        space: &'a SpaceName,
        query: ListQuery,
    ) -> BoxFuture<'a, Result<Vec<ConflictRow>, StoreError>> {
        ready(self.with(space, |space| Ok(space.conflicts(&query)))).boxed()
    }

    fn late_conflicts<'a>(
        &'a self,
        space: &'a SpaceName,
        author: Author,
        after: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<LateRows, StoreError>> {
        ready(self.with(space, |space| Ok(space.late_conflicts(author, after, limit)))).boxed()
    }

    fn quarantine<'a>(
        &'a self,
        space: &'a SpaceName,
        query: ListQuery,
    ) -> BoxFuture<'a, Result<Vec<QuarantineRow>, StoreError>> {
        ready(self.with(space, |space| Ok(space.quarantine(&query)))).boxed()
    }

    fn documents<'a>(
        &'a self,
        space: &'a SpaceName,
        docs: Vec<DocKey>,
    ) -> BoxFuture<'a, Result<Vec<(DocKey, Version)>, StoreError>> {
        ready(self.with(space, |space| Ok(space.documents(docs)))).boxed()
    }

    fn holders<'a>(
        &'a self,
        space: &'a SpaceName,
        values: Vec<UniqueValue>,
        most: usize,
        at: Millis,
    ) -> BoxFuture<'a, Result<Holders, StoreError>> {
        let found = self.with(space, |space| {
            let holders = |value: UniqueValue| (space.holders(&value, most, at), value);
            Ok(values.into_iter().map(holders).map(|(ids, value)| (value, ids)).collect())
        });
        ready(found).boxed()
    }

    fn nodes<'a>(&'a self, space: &'a SpaceName) -> BoxFuture<'a, Result<Vec<NodeRow>, StoreError>> {
        ready(self.with(space, |space| Ok(space.nodes.values().cloned().collect()))).boxed()
    }

    fn node<'a>(
        &'a self,
        space: &'a SpaceName,
        node: &'a NodeId,
    ) -> BoxFuture<'a, Result<Option<NodeRow>, StoreError>> {
        ready(self.with(space, |space| Ok(space.nodes.get(node).cloned()))).boxed()
    }

    fn register<'a>(
        &'a self,
        space: &'a SpaceName,
        registration: Registration,
        before: Option<Registration>,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        ready(self.with(space, |space| space.register(registration, before.as_ref()))).boxed()
    }

    fn unregister<'a>(&'a self, space: &'a SpaceName, node: &'a NodeId) -> BoxFuture<'a, Result<bool, StoreError>> {
        ready(self.with(space, |space| Ok(space.registered.remove(node).is_some()))).boxed()
    }

    fn registered<'a>(
        &'a self,
        space: &'a SpaceName,
        node: Option<&'a NodeId>,
    ) -> BoxFuture<'a, Result<Vec<(Registration, Traffic)>, StoreError>> {
        ready(self.with(space, |space| Ok(space.registered(node)))).boxed()
    }

    fn held<'a>(
        &'a self,
        space: &'a SpaceName,
        node: &'a NodeId,
        docs: Vec<DocKey>,
    ) -> BoxFuture<'a, Result<Vec<Holding>, StoreError>> {
        ready(self.with(space, |space| Ok(space.held(node, docs)))).boxed()
    }

    fn note_cursors<'a>(
        &'a self,
        space: &'a SpaceName,
        cursors: Vec<(NodeId, Lsn, Millis)>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let noted = self.with(space, |space| {
            for (node, cursor, at) in cursors {
                let row = space.node(&node);
                (row.cursor, row.seen_at) = (cursor, at);
            }
            Ok(())
        });
        ready(noted).boxed()
    }

    fn records(&self, kind: RecordKind) -> BoxFuture<'_, Result<Vec<Record>, StoreError>> {
        let records = self.lock().map(|state| {
            let of_kind = state.records.iter().filter(|((k, _), _)| *k == kind);
            of_kind.map(|((_, key), value)| Record { key: key.clone(), value: value.clone() }).collect()
        });
        ready(records).boxed()
    }

    fn put_record(
        &self,
        kind: RecordKind,
        key: String,
        value: Option<String>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let put = self.lock().map(|mut state| {
            if kind == RecordKind::Collection {
                state.rules.put(key.clone(), value.as_deref());
            }
            match value {
                Some(value) => state.records.insert((kind, key), value),
                None => state.records.remove(&(kind, key)),
            };
        });
        ready(put).boxed()
    }

    fn add_record(&self, kind: RecordKind, key: String, value: String) -> BoxFuture<'_, Result<bool, StoreError>> {
        let added = self.lock().map(|mut state| {
            let fresh = !state.records.contains_key(&(kind, key.clone()));
            if fresh {
                if kind == RecordKind::Collection {
                    state.rules.put(key.clone(), Some(&value));
                }
                state.records.insert((kind, key), value);
            }
            fresh
        });
        ready(added).boxed()
    }

    fn replace_record(
        &self,
        kind: RecordKind,
        key: String,
        before: String,
        value: String,
    ) -> BoxFuture<'_, Result<bool, StoreError>> {
        let replaced = self.lock().map(|mut state| {
            let is_there = state.records.get(&(kind, key.clone())) == Some(&before);
            if is_there {
                if kind == RecordKind::Collection {
                    state.rules.put(key.clone(), Some(&value));
                }
                state.records.insert((kind, key), value);
            }
            is_there
        });
        ready(replaced).boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<FailedSpaces, StoreError>> {
        ready(self.lock().map(|_| FailedSpaces::new())).boxed()
    }

    /// Nothing is held but the data.
    fn close_idle(&self) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        ready(Ok(())).boxed()
    }
}
