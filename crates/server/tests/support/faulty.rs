//! A store whose commits fail or take as long as a test wants.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use syncline_core::hub::{DocKey, Touch};
use syncline_core::model::{
    Author, DocId, Holding, Lsn, Millis, NodeId, Registration, SpaceName, Traffic, UniqueValue, Version,
};
use syncline_server::store::{
    ConflictRow, Decide, Encoder, ExpiredRow, FailedSpaces, Head, LateRows, ListQuery, MemoryStore, NodeRow,
    QuarantineRow, Record, RecordKind, Scan, Scanned, Store, StoreError, Trim, Trimmed,
};
use tokio::sync::{Semaphore, mpsc};

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Commits one push for each permit of `passes`; fails for good once it has a `failure`.
pub struct FaultyStore {
    inner: MemoryStore,
    pub passes: Semaphore,
    /// A permit for each commit that has begun.
    pub begun: Semaphore,
    failure: OnceLock<fn() -> StoreError>,
    /// How often all records of a kind were read.
    pub reads_of_records: AtomicUsize,
    /// Set where the next record is written only with a permit of `late_record`.
    holds_record: AtomicBool,
    pub late_record: Semaphore,
    /// How often the ledger was asked for what was lost later.
    pub reads_of_late_conflicts: AtomicUsize,
    /// Behind which LSN each snapshot of one collection began.
    pub snapshots: Mutex<Vec<Lsn>>,
    /// Set where the next cursors are written only with a permit of `late_cursors`; one of `begun_cursors` says that they wait.
    pub holds_cursors: AtomicBool,
    pub late_cursors: Semaphore,
    pub begun_cursors: Semaphore,
    /// Set where the next cursors are not written.
    pub fails_cursors: AtomicBool,
    /// Set while the log cannot be read.
    pub fails_scans: AtomicBool,
}

impl FaultyStore {
    /// A store that commits nothing until a test lets it.
    pub fn held() -> Arc<FaultyStore> {
        Arc::new(FaultyStore {
            inner: MemoryStore::default(),
            passes: Semaphore::new(0),
            begun: Semaphore::new(0),
            failure: OnceLock::new(),
            reads_of_records: AtomicUsize::new(0),
            holds_record: AtomicBool::new(false),
            late_record: Semaphore::new(0),
            reads_of_late_conflicts: AtomicUsize::new(0),
            snapshots: Mutex::default(),
            holds_cursors: AtomicBool::new(false),
            late_cursors: Semaphore::new(0),
            begun_cursors: Semaphore::new(0),
            fails_cursors: AtomicBool::new(false),
            fails_scans: AtomicBool::new(false),
        })
    }

    /// The next record is written only with a permit of `late_record`.
    pub fn hold_next_record(&self) {
        self.holds_record.store(true, Ordering::SeqCst);
    }

    /// Whether a record is still to be held.
    pub fn holds_next_record(&self) -> bool {
        self.holds_record.load(Ordering::SeqCst)
    }

    /// From now on every durable write fails.
    pub fn break_down(&self) {
        self.fail_with(|| StoreError::Poisoned { cause: "the disk is gone".to_owned() });
    }

    /// From now on every commit fails for this reason.
    pub fn fail_with(&self, failure: fn() -> StoreError) {
        self.failure.set(failure).unwrap();
        self.passes.add_permits(1_000);
    }
}

impl Store for FaultyStore {
    fn open_space<'a>(&'a self, space: &'a SpaceName) -> Answer<'a, Head> {
        self.inner.open_space(space)
    }

    fn spaces(&self) -> Answer<'_, Vec<SpaceName>> {
        self.inner.spaces()
    }

    fn head<'a>(&'a self, space: &'a SpaceName) -> Answer<'a, Head> {
        self.inner.head(space)
    }

    fn commit<'a>(&'a self, space: &'a SpaceName, touch: Touch, decide: Decide) -> Answer<'a, Head> {
        Box::pin(async move {
            self.begun.add_permits(1);
            self.passes.acquire().await.unwrap().forget();
            if let Some(failure) = self.failure.get() {
                return Err(failure());
            }
            self.inner.commit(space, touch, decide).await
        })
    }

    fn scan<'a>(
        &'a self,
        space: &'a SpaceName,
        scan: Scan,
        encoder: Box<dyn Encoder>,
        out: mpsc::Sender<Bytes>,
    ) -> Answer<'a, Scanned> {
        if let Scan::Snapshot { collections: Some(names), after, .. } = &scan
            && names.len() == 1
        {
            self.snapshots.lock().unwrap().push(*after);
        }
        if matches!(scan, Scan::Log { .. }) && self.fails_scans.load(Ordering::SeqCst) {
            let (place, reason) = ("memory".to_owned(), "it is away".to_owned());
            return Box::pin(async { Err(StoreError::Database { place, reason }) });
        }
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

    fn late_conflicts<'a>(
        &'a self,
        space: &'a SpaceName,
        author: Author,
        after: u64,
        limit: usize,
    ) -> Answer<'a, LateRows> {
        self.reads_of_late_conflicts.fetch_add(1, Ordering::SeqCst);
        self.inner.late_conflicts(space, author, after, limit)
    }

    fn quarantine<'a>(&'a self, space: &'a SpaceName, query: ListQuery) -> Answer<'a, Vec<QuarantineRow>> {
        self.inner.quarantine(space, query)
    }

    fn documents<'a>(&'a self, space: &'a SpaceName, docs: Vec<DocKey>) -> Answer<'a, Vec<(DocKey, Version)>> {
        self.inner.documents(space, docs)
    }

    fn holders<'a>(
        &'a self,
        space: &'a SpaceName,
        values: Vec<UniqueValue>,
        most: usize,
        at: Millis,
    ) -> Answer<'a, Vec<(UniqueValue, Vec<DocId>)>> {
        self.inner.holders(space, values, most, at)
    }

    fn nodes<'a>(&'a self, space: &'a SpaceName) -> Answer<'a, Vec<NodeRow>> {
        self.inner.nodes(space)
    }

    fn node<'a>(&'a self, space: &'a SpaceName, node: &'a NodeId) -> Answer<'a, Option<NodeRow>> {
        self.inner.node(space, node)
    }

    fn register<'a>(
        &'a self,
        space: &'a SpaceName,
        registration: Registration,
        before: Option<Registration>,
    ) -> Answer<'a, bool> {
        self.inner.register(space, registration, before)
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
        let late = self.holds_cursors.swap(false, Ordering::SeqCst);
        Box::pin(async move {
            if late {
                self.begun_cursors.add_permits(1);
                self.late_cursors.acquire().await.unwrap().forget();
            }
            if self.fails_cursors.swap(false, Ordering::SeqCst) {
                return Err(StoreError::Poisoned { cause: "the disk is gone".to_owned() });
            }
            self.inner.note_cursors(space, cursors).await
        })
    }

    fn records(&self, kind: RecordKind) -> Answer<'_, Vec<Record>> {
        self.reads_of_records.fetch_add(1, Ordering::SeqCst);
        self.inner.records(kind)
    }

    fn put_record(&self, kind: RecordKind, key: String, value: Option<String>) -> Answer<'_, ()> {
        let late = self.holds_record.swap(false, Ordering::SeqCst);
        Box::pin(async move {
            if late {
                self.late_record.acquire().await.unwrap().forget();
            }
            self.inner.put_record(kind, key, value).await
        })
    }

    fn add_record(&self, kind: RecordKind, key: String, value: String) -> Answer<'_, bool> {
        let late = self.holds_record.swap(false, Ordering::SeqCst);
        Box::pin(async move {
            if late {
                self.late_record.acquire().await.unwrap().forget();
            }
            self.inner.add_record(kind, key, value).await
        })
    }

    fn replace_record(&self, kind: RecordKind, key: String, before: String, value: String) -> Answer<'_, bool> {
        let late = self.holds_record.swap(false, Ordering::SeqCst);
        Box::pin(async move {
            if late {
                self.late_record.acquire().await.unwrap().forget();
            }
            self.inner.replace_record(kind, key, before, value).await
        })
    }

    fn check(&self) -> Answer<'_, FailedSpaces> {
        self.inner.check()
    }

    fn close_idle(&self) -> BoxFuture<'_, ()> {
        self.inner.close_idle()
    }

    /// It outlives its hub, as a server elsewhere does.
    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}
