//! What a client has: everything of some collections up to its cursor, and of others as much as its fills have brought.

use super::places::Place;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use syncline_core::hub::DocKey;
use syncline_core::model::{CollectionName, Lsn};

/// How far a client is once a message has arrived.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reached {
    /// It has everything up to here.
    Cursor(Lsn),
    /// Its fill has come up to here.
    Fill(Lsn),
    /// Its fill is complete.
    Filled,
    /// It has what was to be given back, up to this number.
    Back(u64),
}

/// What a client has.
#[derive(Clone, Default)]
pub(super) struct Position {
    /// Everything of `collections` up to here has arrived.
    pub(super) cursor: Lsn,
    pub(super) collections: Arc<BTreeSet<CollectionName>>,
    pub(super) fills: VecDeque<Fill>,
    /// Of collections of which it sees only some rows: documents of which it has something else than it is to have, in the
    /// order of their numbers.
    pub(super) backs: VecDeque<(u64, DocKey)>,
}

/// Collections of which the client has nothing yet.
#[derive(Clone)]
pub(super) struct Fill {
    pub(super) collections: BTreeSet<CollectionName>,
    /// Where the log was when it began.
    pub(super) began: Lsn,
    /// What the log says after this follows it.
    first: Lsn,
    pub(super) after: Lsn,
}

impl Position {
    /// A client that was here before, with these collections.
    pub(super) fn resume(cursor: Lsn, collections: BTreeSet<CollectionName>) -> Position {
        Position { cursor, collections: Arc::new(collections), ..Position::default() }
    }

    /// Takes over what the client listens to now. `head`: where the log stands.
    pub(super) fn listen(&mut self, wanted: &BTreeSet<CollectionName>, head: Lsn) {
        self.collections = Arc::new(self.collections.intersection(wanted).cloned().collect());
        for fill in &mut self.fills {
            fill.collections = fill.collections.intersection(wanted).cloned().collect();
        }
        self.fills.retain(|fill| !fill.collections.is_empty());
        let missing: BTreeSet<_> = wanted.iter().filter(|name| !self.listens_to(name)).cloned().collect();
        if !missing.is_empty() {
            self.fills.push_back(Fill { collections: missing, began: head, first: head, after: Lsn::ZERO });
        }
    }

    /// Begins anew with some of the collections. What was changed in them since the client heard of them is told as well.
    pub(super) fn start_over(&mut self, names: &BTreeSet<CollectionName>, head: Lsn) {
        let collections: BTreeSet<_> = self.wanted().intersection(names).cloned().collect();
        if collections.is_empty() {
            return;
        }
        let mut first = if self.collections.is_disjoint(names) { head } else { self.cursor };
        self.collections = Arc::new(self.collections.difference(names).cloned().collect());
        for fill in &mut self.fills {
            if !fill.collections.is_disjoint(names) {
                first = first.min(fill.first);
            }
            fill.collections = fill.collections.difference(names).cloned().collect();
        }
        self.fills.retain(|fill| !fill.collections.is_empty());
        self.fills.push_back(Fill { collections, began: head, first, after: Lsn::ZERO });
    }

    pub(super) fn listens_to(&self, name: &CollectionName) -> bool {
        self.collections.contains(name) || self.fills.iter().any(|fill| fill.collections.contains(name))
    }

    /// All that it listens to.
    pub(super) fn wanted(&self) -> BTreeSet<CollectionName> {
        let filled = self.fills.iter().flat_map(|fill| &fill.collections);
        self.collections.iter().chain(filled).cloned().collect()
    }

    /// An earlier life of the hub began the fills: what was removed since then is told as well.
    pub(super) fn filled_since(&mut self, since: Lsn) {
        for fill in &mut self.fills {
            fill.first = fill.first.min(since);
        }
    }

    /// These are to be given back, numbered from here on, which is higher than all before. One that is on its way already
    /// comes once more: the client may have changed it after it arrived.
    pub(super) fn give_back(&mut self, first: u64, keys: &BTreeSet<DocKey>) {
        self.backs.retain(|(_, key)| !keys.contains(key));
        let heard: Vec<_> = (first..).zip(keys).filter(|(_, key)| self.listens_to(&key.0)).collect();
        self.backs.extend(heard.into_iter().map(|(number, key)| (number, key.clone())));
    }

    /// The client has every document of its collections as it was here, or later; 0 while it is filled.
    pub(super) fn served(&self) -> Lsn {
        if self.fills.is_empty() { self.cursor } else { Lsn::ZERO }
    }

    /// Where the client is to go on after a restart; `None`: it listens to nothing. A place at 0 would keep no log for it: who came
    /// before the first change is filled since that one, which removed nothing.
    pub(super) fn place(&self) -> Option<Place> {
        let cursor = (!self.collections.is_empty()).then_some(self.cursor);
        if self.fills.is_empty() && cursor != Some(Lsn::ZERO) {
            return cursor.map(Place::At);
        }
        let since = self.fills.iter().map(|fill| fill.first).chain(cursor).min();
        since.map(|since| Place::FilledSince(since.max(Lsn(1))))
    }

    pub(super) fn reach(&mut self, reached: Reached) {
        match reached {
            Reached::Cursor(lsn) => self.cursor = self.cursor.max(lsn),
            Reached::Fill(after) => {
                if let Some(fill) = self.fills.front_mut() {
                    fill.after = after;
                }
            }
            Reached::Back(last) => self.backs.retain(|(number, _)| *number > last),
            Reached::Filled => {
                let Some(fill) = self.fills.pop_front() else { return };
                // Hearing some changes of the other collections twice is harmless.
                self.cursor = if self.collections.is_empty() { fill.first } else { self.cursor.min(fill.first) };
                let mut all = (*self.collections).clone();
                all.extend(fill.collections);
                self.collections = Arc::new(all);
            }
        }
    }
}
