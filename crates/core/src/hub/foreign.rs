//! Pushes of foreign clients: no bases, some ops without a time, replies that move cursors.

use super::decide::Reply;
use super::loaded::{DocKey, StoredBatch};
use super::progress::{Attempt, Progress};
use super::write_set::{Entry, Quarantined, Ticket};
use crate::model::{Author, Base, DocId, Edit, Lsn, Stamp};
use crate::model::{ForeignBatch, ForeignEdit, ForeignOp};
use std::collections::BTreeSet;

impl Progress {
    /// Decides one push of a foreign client.
    pub(super) fn foreign(&mut self, batch: &ForeignBatch) -> Reply {
        let batch_key = batch.batch.clone().map(|id| (batch.node.clone(), id));
        if let Some(known) = batch_key.as_ref().and_then(|key| self.known_batch(key)) {
            let same = known.digest == batch.digest;
            return if same { Reply::Foreign { lsn: known.lsn, fresh: None } } else { Reply::BatchReused };
        }
        let author = self.author(&batch.node).author;
        let first = self.loaded.head.next();
        let mut created = false;
        for op in &batch.ops {
            if op.key.is_some_and(|key| !self.loaded.seen.insert(key)) {
                continue;
            }
            self.writes.seen.extend(op.key);
            created |= self.foreign_op(batch, author, op);
        }
        let fresh = created.then_some((first, self.loaded.head));
        let Some(key) = batch_key else { return Reply::Foreign { lsn: self.loaded.head, fresh } };
        let lsn = self.issue_ticket(batch, author, fresh);
        self.note_batch(key, StoredBatch { digest: batch.digest, lsn });
        Reply::Foreign { lsn, fresh }
    }

    /// Such a client takes the number of the reply for its cursor, so the number must stand for what
    /// it really has.
    fn issue_ticket(&mut self, batch: &ForeignBatch, author: Author, fresh: Option<(Lsn, Lsn)>) -> Lsn {
        let lsn = self.loaded.head.next();
        let own = batch.own.iter().copied().chain(fresh).collect();
        let (collection, from) = (batch.collection.clone(), batch.served);
        self.writes.entries.push(Entry::Ticket(Ticket { lsn, collection, author, from, own }));
        self.loaded.head = lsn;
        lsn
    }

    /// Applies one op; tells whether it created a document that had never been there.
    fn foreign_op(&mut self, batch: &ForeignBatch, author: Author, op: &ForeignOp) -> bool {
        let at = |id: &DocId| (batch.collection.clone(), id.clone());
        let time = op.time.unwrap_or(self.rules.now);
        match &op.edit {
            ForeignEdit::Insert(id, body) => {
                let known = self.loaded.docs.get(&at(id)).map(|version| version.meta.clone());
                // An insert says that its client has no such document: a removal before it was known.
                let after = known.as_ref().and_then(|meta| meta.removed).map_or(Stamp::ZERO, |r| r.stamp.next());
                let stamp = Stamp::at(time).max(after);
                self.foreign_edit(batch, author, at(id), &Edit::Insert(body.clone()), stamp);
                known.is_none()
            }
            ForeignEdit::Update(id, set) => {
                let unborn = self.loaded.docs.get(&at(id)).is_none_or(|v| v.meta.born == Stamp::ZERO);
                let edit = Edit::Update { set: set.clone(), unset: BTreeSet::new() };
                self.foreign_edit(batch, author, at(id), &edit, Stamp::at(time));
                if unborn {
                    self.wait_for_insert(batch, id, op);
                }
                false
            }
            ForeignEdit::Remove(id) => {
                self.foreign_remove(batch, author, at(id), op);
                false
            }
            ForeignEdit::Clear => {
                for (key, _, _) in self.live(&batch.collection) {
                    self.foreign_remove(batch, author, key, op);
                }
                false
            }
        }
    }

    /// Foreign removals carry no time and are unconditional at their client.
    fn foreign_remove(&mut self, batch: &ForeignBatch, author: Author, key: DocKey, op: &ForeignOp) {
        let newest = self.loaded.docs.get(&key).map_or(Stamp::ZERO, |version| version.meta.stamp());
        let stamp = Stamp::at(op.time.unwrap_or(self.rules.now)).max(newest);
        self.foreign_edit(batch, author, key, &Edit::Remove, stamp);
    }

    fn foreign_edit(&mut self, batch: &ForeignBatch, author: Author, key: DocKey, edit: &Edit, stamp: Stamp) {
        let base = Base::ReadUpTo(batch.served);
        self.apply(Attempt { key, edit, author, base, stamp, strategy: None });
    }

    /// The fields are kept out of sight and appear with the insert; until then a person can see why.
    fn wait_for_insert(&mut self, batch: &ForeignBatch, id: &DocId, op: &ForeignOp) {
        self.quarantine(Quarantined {
            collection: Some(batch.collection.clone()),
            id: Some(id.clone()),
            node: batch.node.clone(),
            seq: None,
            code: "unknown_document".into(),
            reason: format!(
                "document `{id}` does not exist in `{}`; the update waits out of sight for its insert",
                batch.collection
            ),
            op: op.raw.clone(),
        });
    }
}
