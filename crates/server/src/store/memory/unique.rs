//! Which documents of a space in memory have which values that must be unique.

use super::space::Space;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use syncline_core::hub::{Claimed, DocKey, Touch};
use syncline_core::model::{CollectionName, Demands, DocId, Lsn, Millis, UniqueKey, UniqueValue};

impl Space {
    /// Builds what the rules of the touched collections ask for, and drops what they no longer do.
    pub fn keep_unique(&mut self, touch: &Touch, rules: &BTreeMap<CollectionName, Arc<Demands>>) {
        for name in &touch.collections {
            let wanted = rules.get(name).map(|demands| demands.rule.unique.clone()).unwrap_or_default();
            self.unique.retain(|(collection, key), _| collection != name || wanted.contains(key));
            for key in wanted {
                let place = (name.clone(), key);
                if !self.unique.contains_key(&place) {
                    let built = self.built(&place);
                    self.unique.insert(place, built);
                }
            }
        }
    }

    fn built(&self, (name, key): &(CollectionName, UniqueKey)) -> BTreeMap<String, BTreeSet<(Lsn, DocId)>> {
        let mut built = BTreeMap::<String, BTreeSet<(Lsn, DocId)>>::new();
        for ((_, id), lsn) in self.heads.iter().filter(|((collection, _), _)| collection == name) {
            let Some(change) = self.change(*lsn).filter(|change| change.version.meta.is_live()) else { continue };
            if let Ok(Some(value)) = key.value(&change.version.body.fields()) {
                built.entry(value).or_default().insert((*lsn, id.clone()));
            }
        }
        built
    }

    /// Who has a value at a time, whoever had it first before the others.
    pub fn holders(&self, value: &UniqueValue, most: usize, at: Millis) -> Vec<DocId> {
        let kept = self.unique.get(&(value.collection.clone(), value.key.clone()));
        let holders = kept.and_then(|values| values.get(&value.value)).into_iter().flatten().map(|(_, id)| id);
        holders.filter(|id| !self.is_past(&value.at(id), at)).take(most).cloned().collect()
    }

    fn is_past(&self, key: &DocKey, at: Millis) -> bool {
        let change = self.heads.get(key).and_then(|lsn| self.change(*lsn));
        change.is_some_and(|change| change.version.body.facts().expires.is_some_and(|end| end <= at))
    }

    /// Writes what changed.
    pub fn write_unique(&mut self, claims: Vec<Claimed>) {
        for Claimed { value: UniqueValue { collection, key, value }, id, since } in claims {
            let Some(values) = self.unique.get_mut(&(collection, key)) else { continue };
            match since {
                Some(lsn) => drop(values.entry(value).or_default().insert((lsn, id))),
                None => {
                    let Some(ids) = values.get_mut(&value) else { continue };
                    ids.retain(|(_, other)| *other != id);
                    if ids.is_empty() {
                        values.remove(&value);
                    }
                }
            }
        }
    }
}
