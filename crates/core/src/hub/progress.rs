//! The state of a group while it is decided: what was loaded, changed by what was decided so far.

use super::loaded::{BatchKey, DocKey, Loaded, Moment, StoredBatch};
use super::unique::Index;
use super::write_set::{Change, Conflict, Entry, Quarantined, WriteSet};
use crate::merge::{self, Merged, Party};
use crate::model::{
    Author, Base, CollectionName, DocId, Edit, Lsn, Millis, NodeId, Rejection, Stamp, Strategy, Verdict, Version,
};

/// Loaded state and write set, moving together.
pub(super) struct Progress {
    pub loaded: Loaded,
    pub writes: WriteSet,
    pub moment: Moment,
    /// Which documents have which values that must be unique.
    pub(super) index: Index,
    /// What to put back when a transaction is rejected; empty outside one.
    undo: Vec<(DocKey, Option<Version>)>,
}

/// A point to go back to.
#[derive(Clone, Copy)]
pub(super) struct Checkpoint {
    head: Lsn,
    entries: usize,
    conflicts: usize,
    quarantine: usize,
}

/// One edit on its way to the merge rule.
pub(super) struct Attempt<'a> {
    pub key: DocKey,
    pub edit: &'a Edit,
    pub author: Author,
    pub base: Base,
    /// Already within the limit of [`Progress::clamp`].
    pub stamp: Stamp,
    pub strategy: Option<Strategy>,
    /// Where a foreign transaction makes it: the latest time that its device may have given it.
    pub committed: Millis,
}

impl Progress {
    pub fn new(loaded: Loaded, moment: Moment) -> Progress {
        let writes = WriteSet { at: moment.now, ..WriteSet::default() };
        let index = Index::of(&loaded);
        Progress { loaded, writes, moment, index, undo: Vec::new() }
    }

    pub fn into_writes(mut self) -> WriteSet {
        self.writes.unique = self.index.claims(&self.loaded);
        self.writes
    }

    /// The number of a pushing node.
    pub fn author(&self, node: &NodeId) -> Author {
        self.loaded.nodes.get(node).map_or(Author::default(), |state| state.author)
    }

    /// Notes that a node belongs to a token from now on.
    pub fn give(&mut self, node: &NodeId, token: &NodeId) {
        let Some(state) = self.loaded.nodes.get_mut(node) else { return };
        if state.owner.as_ref() != Some(token) {
            state.owner = Some(token.clone());
            self.writes.owners.insert(node.clone(), token.clone());
        }
    }

    /// A stamp from the future counts as made now, as far as the limit allows.
    pub fn clamp(&self, stamp: Stamp) -> Stamp {
        stamp.min(Stamp::at(Millis(self.moment.now.0 + self.moment.limits.clock_drift_ms)))
    }

    /// Whether a batch was answered before, and if so with which content.
    pub fn known_batch(&self, key: &BatchKey) -> Option<StoredBatch> {
        self.loaded.batches.get(key).copied()
    }

    pub fn note_batch(&mut self, key: BatchKey, stored: StoredBatch) {
        self.loaded.batches.insert(key.clone(), stored);
        self.writes.batches.push((key, stored));
    }

    /// Runs the merge rule and records what follows from it. Returns the verdict and the LSN of the
    /// version that stands afterwards.
    ///
    /// # Errors
    /// The document would outgrow its limit or break a rule of its collection; nothing was recorded.
    pub fn apply(&mut self, attempt: Attempt<'_>) -> Result<(Verdict, Lsn), Rejection> {
        let Attempt { key, edit, author, base, stamp, strategy, committed } = attempt;
        let lsn = self.loaded.head.next();
        let party = Party { author, stamp, base, lsn };
        let rule = self.loaded.strategy(&key.0).or(strategy).unwrap_or_default();
        let current = self.loaded.docs.get(&key);
        let Merged { version, verdict, losses } = merge::apply(current, edit, party, rule);
        if let Some(version) = &version {
            check_growth(&key, current, version, self.moment.limits.document_bytes)?;
        }
        let standing = version.as_ref().or(current).map_or(Lsn::ZERO, |v| v.lsn);
        if let Some(version) = &version {
            self.check_rules(&key, version)?;
        }
        for loss in losses {
            self.writes.conflicts.push(Conflict {
                collection: key.0.clone(),
                id: key.1.clone(),
                lsn: standing,
                rule,
                winner: loss.winner,
                loser: loss.loser,
                late: loss.loser != author,
                losing: loss.losing,
                winning: loss.winning,
            });
        }
        if let Some(mut version) = version {
            version.meta.committed = version.meta.committed.max(committed);
            self.append(key, version);
        }
        Ok((verdict, standing))
    }

    /// Logs a version, which becomes its document's head.
    pub fn append(&mut self, key: DocKey, version: Version) {
        self.loaded.head = version.lsn;
        let facts = version.body.facts().clone();
        let change = Change { collection: key.0.clone(), id: key.1.clone(), version: version.clone(), facts };
        self.writes.entries.push(Entry::Change(change));
        self.index.forget(&self.loaded, &key);
        let before = self.loaded.docs.insert(key.clone(), version);
        self.index.note(&self.loaded, &key);
        self.undo.push((key, before));
    }

    /// Live documents of a collection, as decided so far.
    pub fn live(&self, collection: &crate::model::CollectionName) -> Vec<(DocKey, Lsn, Author)> {
        let start = (collection.clone(), DocId::default());
        (self.loaded.docs.range(start..))
            .take_while(|((name, _), _)| name == collection)
            .filter(|(_, version)| version.meta.is_live())
            .map(|(key, version)| (key.clone(), version.lsn, version.author))
            .collect()
    }

    pub fn quarantine(&mut self, row: Quarantined) {
        self.writes.quarantine.push(row);
    }

    /// What was decided so far stays.
    pub fn settle(&mut self) {
        self.undo.clear();
    }

    pub fn checkpoint(&mut self) -> Checkpoint {
        self.settle();
        Checkpoint {
            head: self.loaded.head,
            entries: self.writes.entries.len(),
            conflicts: self.writes.conflicts.len(),
            quarantine: self.writes.quarantine.len(),
        }
    }

    /// Forgets everything that was decided since the checkpoint.
    pub fn roll_back(&mut self, to: Checkpoint) {
        for (key, before) in self.undo.drain(..).rev() {
            self.index.forget(&self.loaded, &key);
            match before {
                Some(version) => self.loaded.docs.insert(key.clone(), version),
                None => self.loaded.docs.remove(&key),
            };
            self.index.note(&self.loaded, &key);
        }
        self.loaded.head = to.head;
        self.writes.entries.truncate(to.entries);
        self.writes.conflicts.truncate(to.conflicts);
        self.writes.quarantine.truncate(to.quarantine);
    }
}

/// Why fields of a document cannot be set that is not there.
pub(super) fn unknown_document(collection: &CollectionName, id: &DocId) -> Rejection {
    Rejection {
        code: "unknown_document".into(),
        reason: format!(
            "document `{id}` does not exist in `{collection}` on the hub, so its fields cannot be updated; \
             insert or replace it instead"
        ),
    }
}

/// Edits that are each within the limit could still add up to a document that no page can carry. One
/// that is too large already (the limit was lowered) may shrink.
fn check_growth(key: &DocKey, before: Option<&Version>, after: &Version, limit: usize) -> Result<(), Rejection> {
    let grown = weight(after);
    if grown <= limit || before.is_some_and(|before| grown <= weight(before)) {
        return Ok(());
    }
    let (collection, id) = key;
    let reason = format!(
        "document `{id}` in `{collection}` would weigh {grown} bytes after this edit, names of fields taken away \
         included; the limit is {limit} (`limits.document_bytes`); replace it with a smaller one, or split it"
    );
    Err(Rejection { code: "document_too_large".into(), reason })
}

/// Bytes of the text, and of the names that stay noted although their fields are gone.
fn weight(version: &Version) -> usize {
    version.body.text().len() + version.meta.fields.keys().map(String::len).sum::<usize>()
}
