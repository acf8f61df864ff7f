//! The rules of collections as stores keep them in memory, and the dialogue with a decision that must know who has a
//! value. Nothing here knows an engine.

use super::{CollectionRule, Decide, Record, StoreError};
use crate::schema;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use syncline_core::hub::{Loaded, Touch, WriteSet};
use syncline_core::model::{CollectionName, Demands, DocId, Millis, SpaceName, UniqueValue};

/// How often a decision may ask who has values. An answer can lead to further questions only where refusals change
/// the values of later edits in the same group, so that one question is the rule.
const LOOKS_MAX: usize = 8;

/// The rules of all collections, ready to be asked.
#[derive(Debug, Default)]
pub(super) struct RuleBook(BTreeMap<String, Arc<Demands>>);

impl RuleBook {
    pub fn of(records: impl IntoIterator<Item = Record>) -> RuleBook {
        let mut book = RuleBook::default();
        for record in records {
            book.put(record.key, Some(&record.value));
        }
        book
    }

    /// Takes over a record, or that there is none. One that cannot be read demands nothing.
    pub fn put(&mut self, key: String, record: Option<&str>) {
        let read = |text: &str| schema::demands(serde_json::from_str(text).map_err(|e| e.to_string())?);
        match record.map(read) {
            Some(Ok(demands)) => drop(self.0.insert(key, Arc::new(demands))),
            Some(Err(error)) => {
                tracing::error!(collection = %key, %error, "the rules of a collection cannot be used");
                self.0.remove(&key);
            }
            None => drop(self.0.remove(&key)),
        }
    }

    /// The rules of the touched collections.
    pub fn touched(&self, space: &SpaceName, touch: &Touch) -> BTreeMap<CollectionName, Arc<Demands>> {
        if self.0.is_empty() {
            return BTreeMap::new();
        }
        let rule = |name: &CollectionName| self.0.get(&CollectionRule::key(space, name)).cloned();
        touch.collections.iter().filter_map(|name| Some((name.clone(), rule(name)?))).collect()
    }
}

/// Takes the decision, again where it asks who has a value. `holders` finds at most so many documents that have one and
/// whose own time is not over by then, whoever had it first before the others.
pub(super) fn decided(
    loaded: Loaded,
    decide: &mut Decide,
    mut holders: impl FnMut(&UniqueValue, usize, Millis) -> Result<Vec<DocId>, StoreError>,
) -> Result<WriteSet, StoreError> {
    let mut dialogue = Dialogue::new(loaded);
    loop {
        match dialogue.turn(decide)? {
            Said::Decided(writes) => return Ok(writes),
            Said::Asked(values, at) => {
                for asked in values {
                    let found = holders(&asked, dialogue.most(), at)?;
                    dialogue.answer(asked, found);
                }
            }
        }
    }
}

/// The same for an engine that is asked by round trips.
pub(super) struct Dialogue {
    known: Loaded,
    may_ask: bool,
    looks: usize,
}

/// What a decision says in its turn.
#[allow(clippy::large_enum_variant)] // nearly every turn is the decision: boxing it would cost, not save
pub(super) enum Said {
    /// What to write.
    Decided(WriteSet),
    /// Who has these values, at this time?
    Asked(BTreeSet<UniqueValue>, Millis),
}

impl Dialogue {
    pub fn new(loaded: Loaded) -> Dialogue {
        let may_ask = loaded.rules.values().any(|demands| !demands.rule.unique.is_empty());
        Dialogue { known: loaded, may_ask, looks: 0 }
    }

    /// So many documents with a value are enough: those that were loaded may give it up, and one more does not.
    pub fn most(&self) -> usize {
        self.known.docs.len() + 1
    }

    /// Asks for the decision.
    pub fn turn(&mut self, decide: &mut Decide) -> Result<Said, StoreError> {
        let mut decide = |loaded| catch_unwind(AssertUnwindSafe(|| decide(loaded))).map_err(|_| undecided());
        if !self.may_ask {
            return decide(std::mem::take(&mut self.known)).map(Said::Decided);
        }
        if self.looks > LOOKS_MAX {
            return Err(StoreError::Entangled);
        }
        self.known.last_look = self.looks == LOOKS_MAX;
        self.looks += 1;
        let writes = decide(self.known.clone())?;
        Ok(if writes.asks.is_empty() { Said::Decided(writes) } else { Said::Asked(writes.asks, writes.at) })
    }

    /// Who has a value.
    pub fn answer(&mut self, asked: UniqueValue, found: Vec<DocId>) {
        self.known.holders.insert(asked, found);
    }
}

/// The error for a decision that panicked.
fn undecided() -> StoreError {
    StoreError::Engine { action: "deciding a group of pushes", source: "it panicked; nothing was written".into() }
}
