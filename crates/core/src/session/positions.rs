//! How far each collection of a session has got. Mirrors what the local database stores in the
//! same transactions as the data; owns no cursor of its own.

use crate::model::{CollectionName, Cursor, Epoch, Lsn, Views};
use std::collections::{BTreeMap, BTreeSet};

/// The cursors of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    /// By collection; `None`: never loaded, or told to start over.
    pub cursors: BTreeMap<CollectionName, Option<Cursor>>,
    /// What the token saw of them when they were loaded, or a snapshot of them was begun.
    pub views: Views,
    /// A snapshot that was begun and not finished.
    pub snapshot: Option<SnapshotProgress>,
}

/// How far a snapshot has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotProgress {
    /// Which collections.
    pub scope: BTreeSet<CollectionName>,
    /// Head of the first part: the cursor once it is complete.
    pub cursor: Cursor,
    /// The last document stored; they come in the order of their LSN.
    pub after: Option<Lsn>,
    /// Documents stored.
    pub documents: u64,
}

impl Positions {
    /// Of collections that were never loaded.
    pub fn fresh(collections: impl IntoIterator<Item = CollectionName>) -> Positions {
        Positions { cursors: collections.into_iter().map(|name| (name, None)).collect(), ..Positions::default() }
    }

    /// Every collection.
    #[must_use]
    pub fn scope(&self) -> BTreeSet<CollectionName> {
        self.cursors.keys().cloned().collect()
    }

    /// Collections that need a snapshot.
    #[must_use]
    pub fn unloaded(&self) -> BTreeSet<CollectionName> {
        self.cursors.iter().filter(|(_, cursor)| cursor.is_none()).map(|(name, _)| name.clone()).collect()
    }

    /// The begun snapshot, if it is still what is needed.
    #[must_use]
    pub fn resumable(&self) -> Option<&SnapshotProgress> {
        let unloaded = self.unloaded();
        self.snapshot.as_ref().filter(|begun| begun.scope.is_subset(&unloaded))
    }

    /// From where to pull for all: the cursor that is furthest behind.
    #[must_use]
    pub fn since(&self) -> Cursor {
        self.cursors.values().flatten().min_by_key(|cursor| cursor.lsn).cloned().unwrap_or_default()
    }

    /// Collections whose cursor counts in another history than this.
    #[must_use]
    pub fn strangers(&self, epoch: &Epoch) -> BTreeSet<CollectionName> {
        let foreign = |cursor: &Option<Cursor>| cursor.as_ref().is_some_and(|c| c.epoch != *epoch);
        self.cursors.iter().filter(|(_, cursor)| foreign(cursor)).map(|(name, _)| name.clone()).collect()
    }

    /// Those of these collections that the token sees otherwise than when they were loaded: with rows more or fewer.
    #[must_use]
    pub fn seen_otherwise(&self, scope: &BTreeSet<CollectionName>, now: &Views) -> BTreeSet<CollectionName> {
        let loaded = |name: &&CollectionName| matches!(self.cursors.get(*name), Some(Some(_)));
        scope.iter().filter(loaded).filter(|name| self.views.get(*name) != now.get(*name)).cloned().collect()
    }

    /// A snapshot of these collections begins, as the token sees them now.
    pub(super) fn see(&mut self, scope: &BTreeSet<CollectionName>, now: &Views) {
        self.views.retain(|name, _| !scope.contains(name));
        let seen = now.iter().filter(|(name, _)| scope.contains(*name));
        self.views.extend(seen.map(|(name, view)| (name.clone(), view.clone())));
    }

    /// Whether a snapshot of these collections goes on as it was begun.
    pub(super) fn still_sees(&self, scope: &BTreeSet<CollectionName>, now: &Views) -> bool {
        scope.iter().all(|name| self.views.get(name) == now.get(name))
    }

    /// A page of these collections was stored.
    pub(super) fn advance(&mut self, scope: &BTreeSet<CollectionName>, lsn: Lsn) {
        for (name, cursor) in &mut self.cursors {
            if let Some(cursor) = cursor.as_mut().filter(|_| scope.contains(name)) {
                cursor.lsn = cursor.lsn.max(lsn);
            }
        }
    }

    /// The begun snapshot is complete. Returns it.
    pub(super) fn complete(&mut self) -> Option<SnapshotProgress> {
        let begun = self.snapshot.take()?;
        for name in &begun.scope {
            if let Some(cursor) = self.cursors.get_mut(name) {
                *cursor = Some(begun.cursor.clone());
            }
        }
        Some(begun)
    }

    /// These collections start over.
    pub(super) fn forget(&mut self, scope: &BTreeSet<CollectionName>) {
        self.snapshot = None;
        for (name, cursor) in &mut self.cursors {
            if scope.contains(name) {
                *cursor = None;
            }
        }
    }
}
