//! A store in memory that keeps what was ever committed, also what is trimmed later: the truth that the
//! checks of a world hold everything else against.

use super::bug::Bug;
use axum::body::Bytes;
use futures_util::future::{BoxFuture, FutureExt, ready};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use syncline_core::hub::{DocKey, Entry, Loaded, Touch, WriteSet};
use syncline_core::model::{
    Author, DocId, Epoch, Holding, Lsn, Millis, NodeId, Registration, Seqs, SpaceName, Traffic, UniqueValue, Version,
};
use syncline_server::store::{
    ConflictRow, Decide, Encoder, ExpiredRow, Head, LateRows, ListQuery, MemoryStore, NodeRow, QuarantineRow, Record,
    RecordKind, Row, Scan, Scanned, Store, StoreError, Trim, Trimmed,
};
use tokio::sync::mpsc;

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// A memory store with a memory of its own. For one space.
#[derive(Default)]
pub struct Recorder {
    inner: Mutex<Arc<MemoryStore>>,
    tape: Arc<Mutex<Tape>>,
    log: Arc<Mutex<Vec<Entry>>>,
    bug: Option<Bug>,
    /// The disk takes nothing more.
    full: AtomicBool,
}

/// What was committed, so that an earlier state can be made again.
#[derive(Default)]
struct Tape {
    commits: Vec<(Touch, WriteSet)>,
    /// Rows of the ledger and the quarantine.
    aside: usize,
    /// Texts of commits that are gone with a history.
    gone: String,
    /// The epoch that readers are told, where it is another one than the store's.
    told: Option<Epoch>,
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
    /// A store with a planted bug, or without.
    pub fn with(bug: Option<Bug>) -> Recorder {
        Recorder { bug, ..Recorder::default() }
    }

    /// How much was committed until now.
    pub fn committed(&self) -> Committed {
        Committed { log: self.log().len(), aside: lock(&self.tape).aside }
    }

    /// Everything that was ever committed, in order; after a restoration, what the backup held.
    pub fn log(&self) -> MutexGuard<'_, Vec<Entry>> {
        lock(&self.log)
    }

    /// The disk has no more room, or has room again.
    pub fn fill(&self, full: bool) {
        self.full.store(full, Ordering::Release);
    }

    /// The LSNs of each commit, in order: the first and the last one.
    pub fn spans(&self) -> Vec<(Lsn, Lsn)> {
        let span = |writes: &WriteSet| Some((writes.entries.first()?.lsn(), writes.entries.last()?.lsn()));
        lock(&self.tape).commits.iter().filter_map(|(_, writes)| span(writes)).collect()
    }

    /// For each commit the texts of its rows, whatever table they are in, with the places of their documents.
    pub fn texts(&self) -> Vec<Vec<(String, String)>> {
        lock(&self.tape).commits.iter().map(|(_, writes)| texts(writes)).collect()
    }

    /// Changes with a stamp later than the hub's clock and what it allows, in words.
    pub fn ahead(&self, drift_ms: u64) -> Vec<String> {
        let mut found = Vec::new();
        for (_, writes) in &lock(&self.tape).commits {
            for entry in &writes.entries {
                let Entry::Change(change) = entry else { continue };
                let made = change.version.meta.stamp().millis().0;
                if made > writes.at.0 + drift_ms {
                    let (lsn, ahead_ms) = (entry.lsn(), made - writes.at.0);
                    found.push(format!(
                        "convergent: change {lsn} of {}/{} is stamped {ahead_ms} ms ahead of the hub's clock and would win \
                         for so long; the limit is {drift_ms}",
                        change.collection, change.id
                    ));
                }
            }
        }
        found
    }

    /// Nobody wants these values any more.
    pub fn excuse(&self, text: &str) {
        lock(&self.tape).gone.push_str(text);
    }

    /// What a restoration has taken away, or a person, as text.
    pub fn gone(&self) -> String {
        lock(&self.tape).gone.clone()
    }

    /// Goes back to a backup that was made a number of commits ago. Returns the head of the log from then.
    pub fn restore(&self, space: &SpaceName, commits_ago: usize) -> Lsn {
        let before = self.head_of(space);
        let head = self.go_back(space, commits_ago);
        if self.bug == Some(Bug::OldEpochKept) {
            lock(&self.tape).told = Some(before.epoch);
        }
        head
    }

    /// The hub is killed.
    pub fn restart(&self, space: &SpaceName) {
        if self.bug == Some(Bug::AnsweredTooEarly) && lock(&self.tape).commits.len() > 1 {
            let before = self.head_of(space);
            self.go_back(space, 1);
            let mut tape = lock(&self.tape);
            tape.told = Some(before.epoch);
            tape.gone.clear();
        }
    }

    fn go_back(&self, space: &SpaceName, commits_ago: usize) -> Lsn {
        let mut tape = lock(&self.tape);
        let kept = tape.commits.len().saturating_sub(commits_ago);
        let dropped = tape.commits.split_off(kept);
        for (_, writes) in &dropped {
            tape.aside -= writes.conflicts.len() + writes.quarantine.len();
            tape.gone.extend(texts(writes).into_iter().map(|(_, text)| text));
        }
        tape.told = None;
        let old = MemoryStore::new();
        pollster::block_on(old.open_space(space)).expect("a memory store opens spaces");
        for (touch, writes) in &tape.commits {
            let writes = writes.clone();
            let again = old.commit(space, touch.clone(), Box::new(move |_| writes.clone()));
            pollster::block_on(again).expect("it was committed once");
        }
        let head = pollster::block_on(old.head(space)).expect("the space was opened").lsn;
        lock(&self.log).retain(|entry| entry.lsn() <= head);
        *lock(&self.inner) = Arc::new(old);
        head
    }

    fn head_of(&self, space: &SpaceName) -> Head {
        pollster::block_on(self.head(space)).expect("the space was opened")
    }

    fn inner(&self) -> Arc<MemoryStore> {
        Arc::clone(&lock(&self.inner))
    }

    /// The head as readers are told.
    fn told(&self, mut head: Head) -> Head {
        if let Some(epoch) = &lock(&self.tape).told {
            head.epoch = epoch.clone();
        }
        if self.bug == Some(Bug::TrimmedTooEarly) {
            head.horizon = Lsn::ZERO;
        }
        head
    }

    /// What a planted bug does to what was loaded.
    fn forget(bug: Option<Bug>, loaded: &mut Loaded) {
        match bug {
            Some(Bug::PacketForgotten | Bug::ForeignOpForgotten) => loaded.seen.clear(),
            Some(Bug::ReceiptForgotten) => {
                loaded.receipts.clear();
                loaded.nodes.values_mut().for_each(|node| node.forgotten = Seqs::default());
            }
            Some(Bug::CopyNotSeen) => loaded.receipts.values_mut().for_each(|receipt| receipt.digest = None),
            Some(Bug::KnownByBatchOnly) if loaded.batches.is_empty() => loaded.receipts.clear(),
            Some(Bug::RuleIgnored) => loaded.rules.clear(),
            Some(Bug::RestoredTwice) => loaded.ledger.values_mut().for_each(|row| row.restored = None),
            _ => {}
        }
    }

    /// What a planted bug hides from readers: LSNs after the first and up to the second.
    fn hidden(&self, scan: &Scan) -> Option<(Lsn, Lsn)> {
        let (age, every) = match (self.bug?, scan) {
            // Every third commit takes its time, and another one overtakes it.
            (Bug::LsnOutsideLock, Scan::Log { .. }) => (2, 3),
            (Bug::SnapshotTwoReads, Scan::Snapshot { .. }) => (1, 1),
            _ => return None,
        };
        let spans = self.spans();
        let slow = spans.len().checked_sub(age).filter(|n| n % every == 0)?;
        Some((Lsn(spans[slow].0.0 - 1), spans[slow].1))
    }
}

/// The texts of the rows of a commit, with the place of their document.
fn texts(writes: &WriteSet) -> Vec<(String, String)> {
    let place = |collection: &dyn std::fmt::Display, id: &dyn std::fmt::Display| format!("{collection}/{id}");
    let mut texts = Vec::new();
    for entry in &writes.entries {
        if let Entry::Change(change) = entry {
            texts.push((place(&change.collection, &change.id), change.version.body.text().to_owned()));
        }
    }
    for row in &writes.conflicts {
        texts.push((place(&row.collection, &row.id), format!("{:?}", row.losing)));
    }
    for row in &writes.quarantine {
        let collection = row.collection.as_ref().map(ToString::to_string).unwrap_or_default();
        let id = row.id.as_ref().map(ToString::to_string).unwrap_or_default();
        texts.push((place(&collection, &id), row.op.clone()));
    }
    texts
}

/// A panic of another test's thread says nothing about this world.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Leaves rows out that a planted bug hides.
struct Blind {
    encoder: Box<dyn Encoder>,
    after: Lsn,
    upto: Lsn,
}

impl Encoder for Blind {
    fn begin(&mut self, head: &Head, out: &mut Vec<u8>) {
        self.encoder.begin(head, out);
    }

    fn row(&mut self, row: &Row<'_>, out: &mut Vec<u8>) -> bool {
        let hidden = row.lsn > self.after && row.lsn <= self.upto;
        !hidden && self.encoder.row(row, out)
    }

    fn compares(&self) -> bool {
        self.encoder.compares()
    }

    fn is_due(&mut self) -> bool {
        self.encoder.is_due()
    }

    fn lost(&mut self, names: &str) {
        self.encoder.lost(names);
    }

    fn end(&mut self, scanned: &Scanned, out: &mut Vec<u8>) {
        self.encoder.end(scanned, out);
    }
}

impl Store for Recorder {
    fn commit<'a>(&'a self, space: &'a SpaceName, touch: Touch, mut decide: Decide) -> Answer<'a, Head> {
        let (log, tape, bug) = (Arc::clone(&self.log), Arc::clone(&self.tape), self.bug);
        let full = self.full.load(Ordering::Acquire);
        if full && bug != Some(Bug::FailureSwallowed) {
            let cause = "database or disk is full".to_owned();
            return ready(Err(StoreError::NoRoom { cause })).boxed();
        }
        let touched = touch.clone();
        let recording = move |mut loaded: Loaded| {
            Recorder::forget(bug, &mut loaded);
            let mut writes = decide(loaded);
            match bug {
                Some(Bug::LedgerRowForgotten) => writes.conflicts.clear(),
                Some(Bug::QuarantineRowForgotten) => writes.quarantine.clear(),
                _ => {}
            }
            if !writes.asks.is_empty() {
                return writes; // Nothing of it counts.
            }
            if full {
                return WriteSet { at: writes.at, ..WriteSet::default() };
            }
            let mut tape = lock(&tape);
            tape.aside += writes.conflicts.len() + writes.quarantine.len();
            tape.commits.push((touched.clone(), writes.clone()));
            lock(&log).extend(writes.entries.iter().cloned());
            writes
        };
        let inner = self.inner();
        async move {
            let head = inner.commit(space, touch, Box::new(recording)).await?;
            Ok(self.told(head))
        }
        .boxed()
    }

    fn open_space<'a>(&'a self, space: &'a SpaceName) -> Answer<'a, Head> {
        let inner = self.inner();
        async move { inner.open_space(space).await.map(|head| self.told(head)) }.boxed()
    }

    fn spaces(&self) -> Answer<'_, Vec<SpaceName>> {
        let inner = self.inner();
        async move { inner.spaces().await }.boxed()
    }

    fn head<'a>(&'a self, space: &'a SpaceName) -> Answer<'a, Head> {
        let inner = self.inner();
        async move { inner.head(space).await.map(|head| self.told(head)) }.boxed()
    }

    fn scan<'a>(
        &'a self,
        space: &'a SpaceName,
        mut scan: Scan,
        mut encoder: Box<dyn Encoder>,
        out: mpsc::Sender<Bytes>,
    ) -> Answer<'a, Scanned> {
        if let Some((after, upto)) = self.hidden(&scan) {
            encoder = Box::new(Blind { encoder, after, upto });
        }
        let inner = self.inner();
        async move {
            match (self.bug, &mut scan) {
                (Some(Bug::TicketIgnored), Scan::Ticket { lsn }) => *lsn = Lsn::ZERO,
                (Some(Bug::TrimmedTooEarly), Scan::Log { after, .. }) => {
                    *after = inner.head(space).await?.horizon.max(*after);
                }
                _ => {}
            }
            inner.scan(space, scan, encoder, out).await
        }
        .boxed()
    }

    fn trim<'a>(&'a self, space: &'a SpaceName, trim: Trim) -> Answer<'a, Trimmed> {
        let inner = self.inner();
        async move { inner.trim(space, trim).await }.boxed()
    }

    fn expired<'a>(
        &'a self,
        space: &'a SpaceName,
        by: Millis,
        after: (Millis, Lsn),
        limit: usize,
    ) -> Answer<'a, Vec<ExpiredRow>> {
        let inner = self.inner();
        async move { inner.expired(space, by, after, limit).await }.boxed()
    }

    fn conflicts<'a>(&'a self, space: &'a SpaceName, query: ListQuery) -> Answer<'a, Vec<ConflictRow>> {
        let inner = self.inner();
        async move { inner.conflicts(space, query).await }.boxed()
    }

    fn late_conflicts<'a>(
        &'a self,
        space: &'a SpaceName,
        author: Author,
        after: u64,
        limit: usize,
    ) -> Answer<'a, LateRows> {
        let inner = self.inner();
        async move { inner.late_conflicts(space, author, after, limit).await }.boxed()
    }

    fn quarantine<'a>(&'a self, space: &'a SpaceName, query: ListQuery) -> Answer<'a, Vec<QuarantineRow>> {
        let inner = self.inner();
        async move { inner.quarantine(space, query).await }.boxed()
    }

    fn documents<'a>(&'a self, space: &'a SpaceName, docs: Vec<DocKey>) -> Answer<'a, Vec<(DocKey, Version)>> {
        let inner = self.inner();
        async move { inner.documents(space, docs).await }.boxed()
    }

    fn holders<'a>(
        &'a self,
        space: &'a SpaceName,
        values: Vec<UniqueValue>,
        most: usize,
        at: Millis,
    ) -> Answer<'a, Vec<(UniqueValue, Vec<DocId>)>> {
        let inner = self.inner();
        async move { inner.holders(space, values, most, at).await }.boxed()
    }

    fn nodes<'a>(&'a self, space: &'a SpaceName) -> Answer<'a, Vec<NodeRow>> {
        let inner = self.inner();
        async move { inner.nodes(space).await }.boxed()
    }

    fn node<'a>(&'a self, space: &'a SpaceName, node: &'a NodeId) -> Answer<'a, Option<NodeRow>> {
        let inner = self.inner();
        async move { inner.node(space, node).await }.boxed()
    }

    fn register<'a>(
        &'a self,
        space: &'a SpaceName,
        registration: Registration,
        before: Option<Registration>,
    ) -> Answer<'a, bool> {
        let inner = self.inner();
        async move { inner.register(space, registration, before).await }.boxed()
    }

    fn unregister<'a>(&'a self, space: &'a SpaceName, node: &'a NodeId) -> Answer<'a, bool> {
        let inner = self.inner();
        async move { inner.unregister(space, node).await }.boxed()
    }

    fn registered<'a>(
        &'a self,
        space: &'a SpaceName,
        node: Option<&'a NodeId>,
    ) -> Answer<'a, Vec<(Registration, Traffic)>> {
        let inner = self.inner();
        async move { inner.registered(space, node).await }.boxed()
    }

    fn held<'a>(&'a self, space: &'a SpaceName, node: &'a NodeId, docs: Vec<DocKey>) -> Answer<'a, Vec<Holding>> {
        let inner = self.inner();
        async move { inner.held(space, node, docs).await }.boxed()
    }

    fn note_cursors<'a>(&'a self, space: &'a SpaceName, cursors: Vec<(NodeId, Lsn, Millis)>) -> Answer<'a, ()> {
        let inner = self.inner();
        async move { inner.note_cursors(space, cursors).await }.boxed()
    }

    fn records(&self, kind: RecordKind) -> Answer<'_, Vec<Record>> {
        let inner = self.inner();
        async move { inner.records(kind).await }.boxed()
    }

    fn put_record(&self, kind: RecordKind, key: String, value: Option<String>) -> Answer<'_, ()> {
        let inner = self.inner();
        async move { inner.put_record(kind, key, value).await }.boxed()
    }

    fn add_record(&self, kind: RecordKind, key: String, value: String) -> Answer<'_, bool> {
        let inner = self.inner();
        async move { inner.add_record(kind, key, value).await }.boxed()
    }

    fn replace_record(&self, kind: RecordKind, key: String, before: String, value: String) -> Answer<'_, bool> {
        let inner = self.inner();
        async move { inner.replace_record(kind, key, before, value).await }.boxed()
    }

    fn check(&self) -> Answer<'_, BTreeMap<SpaceName, StoreError>> {
        let inner = self.inner();
        async move { inner.check().await }.boxed()
    }

    fn close_idle(&self) -> BoxFuture<'_, ()> {
        let inner = self.inner();
        async move { inner.close_idle().await }.boxed()
    }

    fn close(&self) -> Answer<'_, ()> {
        let inner = self.inner();
        async move { inner.close().await }.boxed()
    }
}
