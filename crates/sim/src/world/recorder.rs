//! A store in memory that keeps what was ever committed, also what is trimmed later: the truth that the
//! checks of a world hold everything else against.

use axum::body::Bytes;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use syncline_core::hub::{DocKey, Entry, Loaded, Touch};
use syncline_core::model::{Holding, Lsn, Millis, NodeId, Registration, SpaceName, Traffic, Version};
use syncline_server::store::{
    ConflictRow, Decide, Encoder, ExpiredRow, Head, ListQuery, MemoryStore, NodeRow, QuarantineRow, Record, RecordKind,
    Scan, Scanned, Store, StoreError, Trim, Trimmed,
};
use tokio::sync::mpsc;

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// A memory store with a memory of its own. For one space.
#[derive(Default)]
pub struct Recorder {
    inner: MemoryStore,
    log: Arc<Mutex<Vec<Entry>>>,
    aside: Arc<AtomicUsize>,
    forgets_packets: AtomicBool,
}

/// How much was ever committed.
#[derive(Clone, Copy)]
pub struct Committed {
    /// Rows of the log.
    pub log: usize,
    /// Rows of the conflict ledger and the quarantine.
    pub aside: usize,
}

impl Recorder {
    /// Plants a bug: from now on no packet is known by its key.
    pub fn forget_packets(&self) {
        self.forgets_packets.store(true, Ordering::Release);
    }

    /// How much was committed until now.
    pub fn committed(&self) -> Committed {
        Committed { log: self.log().len(), aside: self.aside.load(Ordering::Acquire) }
    }

    /// Everything that was ever committed, in order.
    pub fn log(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Recorder {
    fn commit<'a>(&'a self, space: &'a SpaceName, touch: Touch, mut decide: Decide) -> Answer<'a, Head> {
        let (log, aside) = (Arc::clone(&self.log), Arc::clone(&self.aside));
        let forgets = self.forgets_packets.load(Ordering::Acquire);
        let recording = move |mut loaded: Loaded| {
            if forgets {
                loaded.seen.clear();
            }
            let writes = decide(loaded);
            aside.fetch_add(writes.conflicts.len() + writes.quarantine.len(), Ordering::AcqRel);
            log.lock().unwrap_or_else(PoisonError::into_inner).extend(writes.entries.iter().cloned());
            writes
        };
        self.inner.commit(space, touch, Box::new(recording))
    }

    fn open_space<'a>(&'a self, space: &'a SpaceName) -> Answer<'a, Head> {
        self.inner.open_space(space)
    }

    fn spaces(&self) -> Answer<'_, Vec<SpaceName>> {
        self.inner.spaces()
    }

    fn head<'a>(&'a self, space: &'a SpaceName) -> Answer<'a, Head> {
        self.inner.head(space)
    }

    fn scan<'a>(
        &'a self,
        space: &'a SpaceName,
        scan: Scan,
        encoder: Box<dyn Encoder>,
        out: mpsc::Sender<Bytes>,
    ) -> Answer<'a, Scanned> {
        self.inner.scan(space, scan, encoder, out)
    }

    fn trim<'a>(&'a self, space: &'a SpaceName, trim: Trim) -> Answer<'a, Trimmed> {
        self.inner.trim(space, trim)
    }

    fn expired<'a>(
        &'a self,
        space: &'a SpaceName,
        by: Millis,
        after: (Millis, Lsn),
        limit: usize,
    ) -> Answer<'a, Vec<ExpiredRow>> {
        self.inner.expired(space, by, after, limit)
    }

    fn conflicts<'a>(&'a self, space: &'a SpaceName, query: ListQuery) -> Answer<'a, Vec<ConflictRow>> {
        self.inner.conflicts(space, query)
    }

    fn quarantine<'a>(&'a self, space: &'a SpaceName, query: ListQuery) -> Answer<'a, Vec<QuarantineRow>> {
        self.inner.quarantine(space, query)
    }

    fn documents<'a>(&'a self, space: &'a SpaceName, docs: Vec<DocKey>) -> Answer<'a, Vec<(DocKey, Version)>> {
        self.inner.documents(space, docs)
    }

    fn nodes<'a>(&'a self, space: &'a SpaceName) -> Answer<'a, Vec<NodeRow>> {
        self.inner.nodes(space)
    }

    fn register<'a>(&'a self, space: &'a SpaceName, registration: Registration) -> Answer<'a, ()> {
        self.inner.register(space, registration)
    }

    fn unregister<'a>(&'a self, space: &'a SpaceName, node: &'a NodeId) -> Answer<'a, bool> {
        self.inner.unregister(space, node)
    }

    fn registered<'a>(
        &'a self,
        space: &'a SpaceName,
        node: Option<&'a NodeId>,
    ) -> Answer<'a, Vec<(Registration, Traffic)>> {
        self.inner.registered(space, node)
    }

    fn held<'a>(&'a self, space: &'a SpaceName, node: &'a NodeId, docs: Vec<DocKey>) -> Answer<'a, Vec<Holding>> {
        self.inner.held(space, node, docs)
    }

    fn note_cursors<'a>(&'a self, space: &'a SpaceName, cursors: Vec<(NodeId, Lsn, Millis)>) -> Answer<'a, ()> {
        self.inner.note_cursors(space, cursors)
    }

    fn records(&self, kind: RecordKind) -> Answer<'_, Vec<Record>> {
        self.inner.records(kind)
    }

    fn put_record(&self, kind: RecordKind, key: String, value: Option<String>) -> Answer<'_, ()> {
        self.inner.put_record(kind, key, value)
    }

    fn check(&self) -> Answer<'_, BTreeMap<SpaceName, StoreError>> {
        self.inner.check()
    }

    fn close_idle(&self) -> BoxFuture<'_, ()> {
        self.inner.close_idle()
    }

    fn close(&self) -> Answer<'_, ()> {
        self.inner.close()
    }
}
