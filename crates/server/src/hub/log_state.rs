//! What is known of a space's log without asking the store. Written by the committer, read by all.

use crate::store::{Head, Kept, NodeRow, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};
use syncline_core::model::{Author, CollectionName, Lsn, NodeId};
use tokio::sync::watch;

/// Why a space commits nothing any more.
enum Stopped {
    /// A durable write failed.
    Poisoned(String),
    /// Its store was set back to an earlier moment.
    SetBack(String),
}

pub(super) struct LogState {
    pub(super) head: watch::Sender<Head>,
    /// Up to here it is not known which collections changed where.
    unknown_upto: AtomicU64,
    /// The last LSN that was committed through this process.
    committed: AtomicU64,
    touched: RwLock<BTreeMap<CollectionName, Lsn>>,
    authors: RwLock<BTreeMap<NodeId, Author>>,
    /// Clients of event sync, and their places.
    clients: RwLock<BTreeMap<NodeId, Author>>,
    owners: RwLock<BTreeMap<NodeId, NodeId>>,
    failure: OnceLock<Stopped>,
    /// Ops that were refused because of rules, since the space was opened here.
    rule_refusals: AtomicU64,
    kept: Mutex<Kept>,
}

impl LogState {
    pub(super) fn new(head: Head, nodes: Vec<NodeRow>) -> LogState {
        let owned = |n: &NodeRow| Some((NodeId::new(&n.node).ok()?, NodeId::new(n.owner.as_deref()?).ok()?));
        let owners = nodes.iter().filter_map(owned).collect();
        let known = nodes.into_iter().filter_map(|n| Some((NodeId::new(n.node).ok()?, n.author)));
        let (clients, authors) = known.partition(|(node, _)| node.is_live());
        LogState {
            unknown_upto: AtomicU64::new(head.last_change.0),
            committed: AtomicU64::new(head.lsn.0),
            kept: Mutex::new(head.kept),
            head: watch::channel(head).0,
            touched: RwLock::default(),
            authors: RwLock::new(authors),
            clients: RwLock::new(clients),
            owners: RwLock::new(owners),
            failure: OnceLock::new(),
            rule_refusals: AtomicU64::new(0),
        }
    }

    /// Takes over what a commit changed that found the log's end at `before`. The head comes last: it wakes readers,
    /// who ask for the rest.
    pub(super) fn advance(
        &self,
        before: Lsn,
        head: Head,
        touched: BTreeMap<CollectionName, Lsn>,
        authors: Vec<(NodeId, Author)>,
    ) {
        if before > self.head.borrow().lsn {
            // Another worker was there first, and nobody has looked what it changed.
            self.unknown_upto.fetch_max(before.0, Ordering::AcqRel);
        }
        self.touched.write().unwrap_or_else(PoisonError::into_inner).extend(touched);
        let new = |(node, author): &(NodeId, Author)| self.author(node) != Some(*author);
        for (node, author) in authors.into_iter().filter(new) {
            self.alike(node.is_live()).write().unwrap_or_else(PoisonError::into_inner).insert(node, author);
        }
        self.committed.fetch_max(head.lsn.0, Ordering::AcqRel);
        self.take_over(head);
    }

    pub(super) fn committed(&self) -> Lsn {
        Lsn(self.committed.load(Ordering::Acquire))
    }

    /// Takes over where the store's log stands, as another worker may have left it. `false`: no news.
    pub(super) fn refresh(&self, head: Head) -> bool {
        let known = self.head.borrow().clone();
        if head.epoch != known.epoch {
            self.set_back("another worker has begun a new history, because the database was set back".to_owned());
            return false;
        }
        if head.lsn <= known.lsn {
            return false;
        }
        self.unknown_upto.fetch_max(head.last_change.0, Ordering::AcqRel);
        self.take_over(head)
    }

    /// A head that was read earlier than the known one says nothing new.
    fn take_over(&self, head: Head) -> bool {
        self.keep(head.kept);
        self.head.send_if_modified(|known| {
            let newer = head.lsn > known.lsn;
            if newer {
                *known = head;
            }
            newer
        })
    }

    /// Takes over how much is kept aside: that changes without the log, too.
    pub(super) fn keep(&self, kept: Kept) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }

    pub(super) fn kept(&self) -> Kept {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there may be changes of these collections (`None`: any) after a position.
    pub(super) fn may_have_news(&self, collections: Option<&BTreeSet<CollectionName>>, after: Lsn) -> bool {
        if after.0 < self.unknown_upto.load(Ordering::Acquire) {
            return true;
        }
        let Some(names) = collections else { return self.head.borrow().last_change > after };
        let touched = self.touched.read().unwrap_or_else(PoisonError::into_inner);
        names.iter().any(|name| touched.get(name).is_some_and(|lsn| *lsn > after))
    }

    /// Takes over what the store knows of a node.
    pub(super) fn meet(&self, node: &NodeId, row: NodeRow) {
        if let Some(owner) = row.owner.and_then(|owner| NodeId::new(owner).ok()) {
            self.give([(node.clone(), owner)].into());
        }
        if self.author(node).is_none() {
            let mut alike = self.alike(node.is_live()).write().unwrap_or_else(PoisonError::into_inner);
            alike.insert(node.clone(), row.author);
        }
    }

    /// Takes over to which tokens nodes were given.
    pub(super) fn give(&self, owners: BTreeMap<NodeId, NodeId>) {
        if !owners.is_empty() {
            self.owners.write().unwrap_or_else(PoisonError::into_inner).extend(owners);
        }
    }

    pub(super) fn owner(&self, node: &NodeId) -> Option<NodeId> {
        self.owners.read().unwrap_or_else(PoisonError::into_inner).get(node).cloned()
    }

    /// Notes that ops were refused because of rules.
    pub(super) fn count_rule_refusals(&self, ops: u64) {
        self.rule_refusals.fetch_add(ops, Ordering::Relaxed);
    }

    /// How many that were.
    pub(super) fn rule_refusals(&self) -> u64 {
        self.rule_refusals.load(Ordering::Relaxed)
    }

    /// Notes that the store has stopped; it does not come back without a restart.
    pub(super) fn fail(&self, cause: String) {
        drop(self.failure.set(Stopped::Poisoned(cause)));
    }

    /// Notes that the history that is known here has ended.
    pub(super) fn set_back(&self, why: String) {
        drop(self.failure.set(Stopped::SetBack(why)));
    }

    /// Whether it has.
    pub(super) fn is_set_back(&self) -> bool {
        matches!(self.failure.get(), Some(Stopped::SetBack(_)))
    }

    /// Why it has.
    pub(super) fn failure(&self) -> Option<StoreError> {
        self.failure.get().map(|stopped| match stopped {
            Stopped::Poisoned(cause) => StoreError::Poisoned { cause: cause.clone() },
            Stopped::SetBack(why) => StoreError::SetBack { why: why.clone() },
        })
    }

    /// How many nodes the space knew when it was opened, and those that have pushed since: clients of event sync, or
    /// all others.
    pub(super) fn known(&self, live: bool) -> usize {
        self.alike(live).read().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn alike(&self, live: bool) -> &RwLock<BTreeMap<NodeId, Author>> {
        if live { &self.clients } else { &self.authors }
    }

    /// Forgets clients of event sync that the store has forgotten.
    pub(super) fn forget(&self, is_gone: impl Fn(&NodeId) -> bool) {
        self.clients.write().unwrap_or_else(PoisonError::into_inner).retain(|node, _| !is_gone(node));
    }

    pub(super) fn author(&self, node: &NodeId) -> Option<Author> {
        self.alike(node.is_live()).read().unwrap_or_else(PoisonError::into_inner).get(node).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_worker_committed_before_may_have_changed_anything() {
        let at = |lsn| Head { lsn: Lsn(lsn), last_change: Lsn(lsn), ..Head::default() };
        let name = |text| CollectionName::new(text).unwrap();
        let (here, elsewhere) = (BTreeSet::from([name("here")]), BTreeSet::from([name("elsewhere")]));
        let log = LogState::new(at(1), Vec::new());

        log.advance(Lsn(1), at(2), [(name("here"), Lsn(2))].into(), Vec::new());
        assert!(!log.may_have_news(Some(&elsewhere), Lsn(1)), "nobody else has written");
        log.advance(Lsn(3), at(4), [(name("here"), Lsn(4))].into(), Vec::new());

        assert!(log.may_have_news(Some(&elsewhere), Lsn(2)), "the third is another worker's");
        assert!(!log.may_have_news(Some(&elsewhere), Lsn(3)));
        assert!(log.may_have_news(Some(&here), Lsn(3)));
    }
}
