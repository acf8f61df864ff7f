//! The hub of a world: the real decisions over a real store, without sockets. It answers requests of
//! the session as the HTTP dialect would. Its memory (waiting polls) is lost when it restarts; what it
//! committed is not.

use super::bug::Bug;
use super::recorder::{Committed, Recorder};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use syncline_core::hub::{Decision, Entry, Loaded, Moment, Reply, decide, touch};
use syncline_core::model::{
    Author, CollectionName, Cursor, Intake, Limits, Lsn, Millis, NodeId, Page, PageEdit, PageOp, PushReply, Receipt,
    SnapshotEnd, SnapshotHead, SpaceName, Verdict, Views,
};
use syncline_core::session::{Answer, Failure, Request};
use syncline_core::wire::own;
use syncline_server::store::{
    ConflictRow, Encoder, Head, ListQuery, QuarantineRow, Row, Scan, Scanned, Store, StoreError, Trim,
};
use tokio::sync::mpsc;

/// Documents in one part of a snapshot: small, so that snapshots are cut in the middle.
const SNAPSHOT_PART: usize = 3;

/// One hub with one space.
pub struct Hub {
    store: Arc<Recorder>,
    space: SpaceName,
    limits: Limits,
    bug: Option<Bug>,
}

impl Hub {
    /// A hub with an empty space, and a bug where one is planted.
    ///
    /// # Panics
    /// Never: the memory store always opens a space.
    #[must_use]
    pub fn with(bug: Option<Bug>) -> Hub {
        let (store, space) = (Arc::new(Recorder::with(bug)), SpaceName::new("main").expect("a valid name"));
        pollster::block_on(store.open_space(&space)).expect("a memory store opens spaces");
        // Small pages, so that worlds of a few dozen documents have several.
        let limits = Limits { page_changes: 5, ..Limits::default() };
        Hub { store, space, limits, bug }
    }

    /// What may come in, and how much goes out at once.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The store below.
    #[must_use]
    pub fn store(&self) -> &Recorder {
        &self.store
    }

    /// The space.
    #[must_use]
    pub fn space(&self) -> &SpaceName {
        &self.space
    }

    /// The node or token that has this number.
    ///
    /// # Panics
    /// Never: the space was opened.
    #[must_use]
    pub fn name_of(&self, author: Author) -> String {
        let nodes = pollster::block_on(self.store.nodes(&self.space)).expect("the space was opened");
        nodes.into_iter().find(|row| row.author == author).map(|row| row.node).unwrap_or_default()
    }

    /// Where the log stands.
    ///
    /// # Panics
    /// Never: the space was opened.
    #[must_use]
    pub fn head(&self) -> Head {
        pollster::block_on(self.store.head(&self.space)).expect("the space was opened")
    }

    /// Everything that was ever committed, in order.
    pub fn log(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.store.log()
    }

    /// How much was ever committed.
    pub fn committed(&self) -> Committed {
        self.store.committed()
    }

    /// The store below, its space and its limits: for another door to the same hub.
    #[must_use]
    pub fn parts(&self) -> (Arc<Recorder>, SpaceName, Limits) {
        (Arc::clone(&self.store), self.space.clone(), self.limits)
    }

    /// The number of a node that has pushed.
    ///
    /// # Panics
    /// Never: the space was opened.
    #[must_use]
    pub fn author(&self, node: &NodeId) -> Option<Author> {
        let nodes = pollster::block_on(self.store.nodes(&self.space)).expect("the space was opened");
        nodes.into_iter().find(|row| row.node == node.as_str()).map(|row| row.author)
    }

    /// Losing values of the conflict ledger and ops of the quarantine, as text.
    #[must_use]
    pub fn set_aside(&self) -> String {
        let losing = self.conflicts().into_iter().map(|row| row.losing.to_string());
        losing.chain(self.quarantine().into_iter().map(|row| row.op)).collect()
    }

    /// The conflict ledger.
    ///
    /// # Panics
    /// Never: the space was opened.
    #[must_use]
    pub fn conflicts(&self) -> Vec<ConflictRow> {
        let query = ListQuery { limit: usize::MAX, ..ListQuery::default() };
        pollster::block_on(self.store.conflicts(&self.space, query)).expect("the space was opened")
    }

    /// The quarantine.
    ///
    /// # Panics
    /// Never: the space was opened.
    #[must_use]
    pub fn quarantine(&self) -> Vec<QuarantineRow> {
        let query = ListQuery { limit: usize::MAX, ..ListQuery::default() };
        pollster::block_on(self.store.quarantine(&self.space, query)).expect("the space was opened")
    }

    /// Forgets what is superseded up to a position, and what is older than a time of everything else but the ledger
    /// and the quarantine.
    ///
    /// # Panics
    /// Never: the space was opened.
    pub fn trim(&self, horizon: Lsn, receipts_before: Millis) {
        let trim = Trim { horizon, receipts_before, ..Trim::default() };
        pollster::block_on(self.store.trim(&self.space, trim)).expect("the space was opened");
    }

    /// Whether a pull with these words would find something.
    #[must_use]
    pub fn has_news(&self, scope: &BTreeSet<CollectionName>, since: Lsn) -> bool {
        self.log().iter().rev().take_while(|entry| entry.lsn() > since).any(|entry| match entry {
            Entry::Change(change) => scope.contains(&change.collection),
            Entry::Ticket(_) | Entry::Return(_) => false,
        })
    }

    /// Carries a request out and returns the answers in order.
    ///
    /// # Errors
    /// [`Failure`] as the dialect's status would be read.
    pub fn answer(&mut self, request: &Request, now: Millis) -> Result<Vec<Answer>, Failure> {
        match request {
            Request::Health => Ok(vec![Answer::Healthy]),
            Request::Pull { scope, since, limit, wait_s } => {
                self.page(scope, since, *limit as usize).map(|page| vec![Answer::Page(self.misread(page, *wait_s > 0))])
            }
            Request::Snapshot { scope, after } => Ok(self.snapshot(scope, after.unwrap_or_default())),
            Request::Push(batch) => self.push(batch.body.as_bytes(), now),
        }
    }

    fn push(&mut self, body: &[u8], now: Millis) -> Result<Vec<Answer>, Failure> {
        let push = own::decode_push(body, &self.limits).map_err(|e| Failure::Refused(e.to_string()))?;
        let epoch = self.head().epoch;
        if push.epoch.is_some_and(|known| known != epoch) {
            return Err(Failure::Resync("another epoch".to_owned()));
        }
        let (head, reply) = self.commit(Intake::Own(push.batch), now).map_err(|full| match full {
            StoreError::NoRoom { .. } => Failure::Overloaded { message: full.to_string(), retry_after_ms: None },
            other => Failure::Server(other.to_string()),
        })?;
        match reply {
            Reply::Own { receipts, .. } if self.bug == Some(Bug::PoisonBlocks) && receipts.iter().any(is_rejected) => {
                Err(Failure::Server("an op cannot be applied".to_owned()))
            }
            Reply::Own { author, receipts } => {
                let reply =
                    PushReply { status: "ok".into(), server_lsn: head.lsn, epoch, author, receipts, page: None };
                Ok(vec![Answer::Pushed(reply)])
            }
            other => Err(Failure::Refused(format!("{other:?}"))),
        }
    }

    /// Decides and commits one intake.
    ///
    /// # Errors
    /// Those of the store; nothing was written.
    ///
    /// # Panics
    /// Never: a commit decides.
    pub fn commit(&self, intake: Intake, now: Millis) -> Result<(Head, Reply), StoreError> {
        let mut limits = self.limits;
        if self.bug == Some(Bug::ClampMissing) {
            limits.clock_drift_ms = u64::MAX >> 20;
        }
        let group = [intake];
        let outcome: Arc<Mutex<Option<Decision>>> = Arc::default();
        let (seen, moment) = (Arc::clone(&outcome), Moment { now, limits });
        let wanted = touch(&group);
        let deciding = move |loaded: Loaded| {
            let decision = decide(loaded, &group, moment);
            let writes = decision.writes.clone();
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(decision);
            writes
        };
        let head = pollster::block_on(self.store.commit(&self.space, wanted, Box::new(deciding)))?;
        let decided = outcome.lock().unwrap_or_else(PoisonError::into_inner).take().expect("the commit has decided");
        Ok((head, decided.replies.into_iter().next().expect("one reply for each intake")))
    }

    /// What planted bugs make of a page.
    fn misread(&self, mut page: Page, waited: bool) -> Page {
        match self.bug {
            Some(Bug::PageSaysHead) if page.has_more => {
                (page.server_lsn, page.has_more) = (self.head().last_change, false);
            }
            Some(Bug::HintForLog) if waited && page.ops.len() > 1 => {
                page.ops.drain(..page.ops.len() - 1).for_each(drop)
            }
            _ => {}
        }
        page
    }

    fn page(&self, scope: &BTreeSet<CollectionName>, since: &Cursor, limit: usize) -> Result<Page, Failure> {
        let head = self.head();
        let other_history = since.epoch != head.epoch && since.lsn > Lsn::ZERO;
        if other_history || since.lsn > head.lsn || since.lsn < head.horizon {
            return Err(Failure::Resync("the position is gone".to_owned()));
        }
        let scan = Scan::Log {
            after: since.lsn,
            collections: (self.bug != Some(Bug::ScopeIgnored)).then(|| scope.clone()),
            max_rows: limit.min(self.limits.page_changes),
            max_bytes: self.limits.page_bytes,
        };
        let (ops, scanned) = self.scan(scan);
        let (server_lsn, epoch, has_more) = (scanned.upto, head.epoch, scanned.more);
        Ok(Page { server_lsn, epoch, has_more, views: Views::new(), ops, conflicts: None, receipt: None })
    }

    fn snapshot(&self, scope: &BTreeSet<CollectionName>, after: Lsn) -> Vec<Answer> {
        let head = self.head();
        let scan = Scan::Snapshot {
            collections: (self.bug != Some(Bug::ScopeIgnored)).then(|| scope.clone()),
            after,
            expired_by: None,
            max_rows: usize::MAX,
            max_bytes: usize::MAX,
        };
        let (ops, scanned) = self.scan(scan);
        let first = Answer::SnapshotHead(SnapshotHead {
            server_lsn: head.last_change,
            epoch: head.epoch,
            views: Views::new(),
            at: None,
        });
        let parts = ops.chunks(SNAPSHOT_PART).map(|part| Answer::SnapshotPart(part.to_vec()));
        let last = Answer::SnapshotEnd(SnapshotEnd { end: true, documents: scanned.rows });
        std::iter::once(first).chain(parts).chain([last]).collect()
    }

    fn scan(&self, scan: Scan) -> (Vec<PageOp>, Scanned) {
        let rows: Arc<Mutex<Vec<PageOp>>> = Arc::default();
        let (out, _chunks) = mpsc::channel(64);
        let encoder = Box::new(Collect(Arc::clone(&rows)));
        let scanned = pollster::block_on(self.store.scan(&self.space, scan, encoder, out));
        let ops = std::mem::take(&mut *rows.lock().unwrap_or_else(PoisonError::into_inner));
        (ops, scanned.expect("the space was opened and the position checked"))
    }
}

/// The node in whose name a push is made.
pub(super) fn pushed_by(request: &Request) -> Option<NodeId> {
    let Request::Push(batch) = request else { return None };
    serde_json::from_str::<own::PushRequest<'_>>(&batch.body).ok().map(|push| push.node)
}

fn is_rejected(receipt: &Receipt) -> bool {
    receipt.result == Verdict::Rejected
}

/// Gathers rows as the words that a client reads.
struct Collect(Arc<Mutex<Vec<PageOp>>>);

impl Encoder for Collect {
    fn begin(&mut self, _: &Head, _: &mut Vec<u8>) {}

    fn row(&mut self, row: &Row<'_>, _: &mut Vec<u8>) -> bool {
        let text = |body: &str| serde_json::value::RawValue::from_string(body.to_owned()).expect("bodies are JSON");
        let op = PageOp {
            op: if row.live { PageEdit::Put } else { PageEdit::Remove },
            lsn: row.lsn,
            collection: CollectionName::new(row.collection).expect("names were checked"),
            id: syncline_core::model::DocId::new(row.id).expect("ids were checked"),
            stamp: row.stamp,
            author: row.author,
            meta: (!row.meta.is_empty()).then(|| serde_json::from_str(row.meta).expect("metas are well formed")),
            doc: row.live.then(|| text(row.body)),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(op);
        true
    }

    fn end(&mut self, _: &Scanned, _: &mut Vec<u8>) {}
}
