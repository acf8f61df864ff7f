//! Values that must be unique, among the documents that were loaded (step 5 of the life of a change). Follows what is
//! decided; refuses nothing.

use super::loaded::{DocKey, Loaded};
use super::write_set::Claimed;
use crate::model::{CollectionName, DocId, Lsn, UniqueKey, UniqueValue};
use std::collections::{BTreeMap, BTreeSet};

/// Which of the loaded documents have which values that must be unique, as decided so far.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Changes up to here were there before.
    start: Lsn,
    /// What they had then.
    first: BTreeMap<DocKey, BTreeSet<(UniqueKey, String)>>,
    now: BTreeMap<UniqueValue, BTreeSet<DocId>>,
}

impl Index {
    pub fn of(loaded: &Loaded) -> Index {
        let mut index = Index { start: loaded.head, ..Index::default() };
        if loaded.rules.values().any(|demands| !demands.rule.unique.is_empty()) {
            for key in loaded.docs.keys() {
                let values = values(loaded, key);
                if !values.is_empty() {
                    index.note(loaded, key);
                    index.first.insert(key.clone(), values);
                }
            }
        }
        index
    }

    /// The loaded documents that have a value.
    pub fn holders(&self, wanted: &UniqueValue) -> impl Iterator<Item = &DocId> {
        self.now.get(wanted).into_iter().flatten()
    }

    /// The document as it stands counts.
    pub fn note(&mut self, loaded: &Loaded, key: &DocKey) {
        for value in values(loaded, key) {
            self.now.entry(of(&key.0, value)).or_default().insert(key.1.clone());
        }
    }

    /// The document as it stands counts no more.
    pub fn forget(&mut self, loaded: &Loaded, key: &DocKey) {
        for value in values(loaded, key) {
            let value = of(&key.0, value);
            let Some(ids) = self.now.get_mut(&value) else { continue };
            ids.remove(&key.1);
            if ids.is_empty() {
                self.now.remove(&value);
            }
        }
    }

    /// What has changed since the beginning, values that were given up first.
    pub fn claims(&self, loaded: &Loaded) -> Vec<Claimed> {
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        if loaded.rules.values().all(|demands| demands.rule.unique.is_empty()) {
            return gone;
        }
        let none = BTreeSet::new();
        for (key, version) in loaded.docs.iter().filter(|(_, version)| version.lsn > self.start) {
            let (was, is) = (self.first.get(key).unwrap_or(&none), values(loaded, key));
            let claim = |value: &(UniqueKey, String), since| Claimed {
                value: of(&key.0, value.clone()),
                id: key.1.clone(),
                since,
            };
            gone.extend(was.difference(&is).map(|value| claim(value, None)));
            come.extend(is.difference(was).map(|value| claim(value, Some(version.lsn))));
        }
        gone.append(&mut come);
        gone
    }
}

pub(super) fn of(collection: &CollectionName, (key, value): (UniqueKey, String)) -> UniqueValue {
    UniqueValue { collection: collection.clone(), key, value }
}

fn values(loaded: &Loaded, key: &DocKey) -> BTreeSet<(UniqueKey, String)> {
    let Some(demands) = loaded.rules.get(&key.0).filter(|demands| !demands.rule.unique.is_empty()) else {
        return BTreeSet::new();
    };
    let standing = loaded.docs.get(key).filter(|version| version.meta.is_live());
    standing.map(|version| demands.values(&version.body)).unwrap_or_default()
}
