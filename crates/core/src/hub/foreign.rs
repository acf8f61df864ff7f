//! Pushes of foreign clients (steps 4 and 5 of the life of a change): no bases, some ops without a
//! time, transactions out of order, replies that move cursors. Gives every op its place and its
//! stamp; what an edit does to a document is the merge rule's business.

use super::decide::Reply;
use super::loaded::{DocKey, StoredBatch};
use super::progress::{Attempt, Progress};
use super::rows::ROW_FORBIDDEN;
use super::weave::weave;
use super::write_set::{Entry, Quarantined, Ticket, edit_text};
use crate::model::{Author, Base, DocId, Edit, Millis, Stamp, Version};
use crate::model::{ForeignBatch, ForeignEdit, ForeignOp, Rejection};
use std::collections::{BTreeMap, BTreeSet};

/// A client stamps the documents of a transaction when it commits, after the times that it sends:
/// between them and the push. Where the hub's clock is behind, the commit counts as this much later.
const COMMIT_DELAY: Millis = Millis(50);

/// A push while it is decided.
struct Push<'a> {
    batch: &'a ForeignBatch,
    author: Author,
    /// The stamp of the last op on each document: ops of one client take effect in their order.
    last: BTreeMap<DocId, Stamp>,
    /// For each document the times of its edits that are still to come, last one first.
    ahead: BTreeMap<DocId, Vec<Millis>>,
    /// Updates of documents that were unknown when their turn came.
    waiting: Vec<usize>,
    /// Whether documents came into being.
    created: bool,
    /// Whether it may lack what a transaction inserts: a `CLEAR` without a time may have come later.
    unsure: bool,
}

impl Progress {
    /// Decides one push of a foreign client.
    pub(super) fn foreign(&mut self, batch: &ForeignBatch) -> Reply {
        let batch_key = batch.batch.clone().map(|id| (batch.node.clone(), id));
        if let Some(known) = batch_key.as_ref().and_then(|key| self.known_batch(key)) {
            let same = known.digest == batch.digest;
            return if same { Reply::Foreign { lsn: known.lsn, fresh: None } } else { Reply::BatchReused };
        }
        let author = self.author(&batch.node);
        let ticket = batch.numbered.then(|| self.open_ticket(batch, author));
        let first = self.loaded.head.next();
        let created = self.foreign_ops(batch, author);
        let fresh = created.then_some((first, self.loaded.head));
        if let (Some(Entry::Ticket(ticket)), Some(range)) = (ticket.map(|n| &mut self.writes.entries[n]), fresh) {
            ticket.own.push(range);
        }
        let lsn = ticket.map_or(self.loaded.head, |n| self.writes.entries[n].lsn());
        if let Some(key) = batch_key {
            self.note_batch(key, StoredBatch { digest: batch.digest, lsn });
        }
        Reply::Foreign { lsn, fresh }
    }

    /// Such a client takes the number of the reply for its cursor, so the number must stand for what
    /// it really has. It comes before the push's own changes: then pages that bring some of them
    /// back end on a higher number, as clients expect. Returns the entry's index.
    fn open_ticket(&mut self, batch: &ForeignBatch, author: Author) -> usize {
        let lsn = self.loaded.head.next();
        let (collection, node) = (batch.collection.clone(), batch.node.clone());
        let (from, own) = (batch.served, batch.own.clone());
        self.writes.entries.push(Entry::Ticket(Ticket { lsn, collection, author, node, from, own }));
        self.loaded.head = lsn;
        self.writes.entries.len() - 1
    }

    /// Applies the ops in the order in which they were made; tells whether documents came into being
    /// that their sender certainly has.
    fn foreign_ops(&mut self, batch: &ForeignBatch, author: Author) -> bool {
        let at = |id: &DocId| (batch.collection.clone(), id.clone());
        let order = weave(&batch.ops, |id| self.loaded.docs.get(&at(id)).is_some_and(|v| v.meta.is_live()));
        let clears = |op: &ForeignOp| op.txn.is_none() && matches!(op.edit, ForeignEdit::Clear);
        let unsure = batch.cleared || batch.ops.iter().any(clears);
        let (last, waiting) = (BTreeMap::new(), Vec::new());
        let mut push = Push { batch, author, last, ahead: BTreeMap::new(), waiting, created: false, unsure };
        let (fresh, repeats): (Vec<usize>, Vec<usize>) = order.into_iter().partition(|n| {
            let op = &batch.ops[*n];
            op.key.is_none_or(|key| self.loaded.seen.insert(key)) || self.is_forgotten(batch, op)
        });
        for n in fresh.iter().rev() {
            push.foresee(&batch.ops[*n]);
        }
        for n in fresh {
            self.writes.seen.extend(batch.ops[n].key);
            self.foreign_op(&mut push, n);
        }
        for n in repeats {
            self.foreign_repeat(&push, &batch.ops[n]);
        }
        for n in &push.waiting {
            self.still_unknown(batch, &batch.ops[*n]);
        }
        push.created && !(push.unsure && batch.ops.iter().any(|op| op.txn.is_some()))
    }

    /// Whether an op is a removal of which nothing is left. It counts once more: the document may come with the insert of a
    /// transaction, which such clients send behind their removals, and which comes for the first time where a push failed.
    fn is_forgotten(&self, batch: &ForeignBatch, op: &ForeignOp) -> bool {
        let ForeignEdit::Remove(id) = &op.edit else { return false };
        // Clients whose batches have no names repeat their log all the time.
        let key = (batch.collection.clone(), id.clone());
        batch.batch.is_some() && !batch.rows.limit(key.0.as_str()) && !self.loaded.docs.contains_key(&key)
    }

    fn foreign_op(&mut self, push: &mut Push<'_>, n: usize) {
        let op = &push.batch.ops[n];
        push.pass(op);
        match &op.edit {
            ForeignEdit::Insert(id, body) => self.foreign_insert(push, op, id, &Edit::Insert(body.clone())),
            ForeignEdit::Update(id, set) => {
                let edit = Edit::Update { set: set.clone(), unset: BTreeSet::new() };
                let stamp = self.stamp_of(push, op, id);
                self.foreign_edit(push, op, id, &edit, stamp);
                if self.version(push, id).is_some_and(|v| v.meta.born == Stamp::ZERO) {
                    push.waiting.push(n);
                }
            }
            ForeignEdit::Remove(id) => self.foreign_remove(push, op, id),
            ForeignEdit::Clear => {
                for (key, _, _) in self.live(&push.batch.collection) {
                    if self.check_row(&push.batch.rows, &key).is_ok() {
                        self.foreign_remove(push, op, &key.1);
                    }
                }
            }
            ForeignEdit::Unusable(why) => self.set_foreign_aside(push.batch, None, op, why.clone()),
        }
    }

    /// An insert says that its client had no such document, so a removal that it finds was earlier.
    /// One case is the other way round: a removal that found nothing proves an insert before it,
    /// which a transaction brings in later.
    fn foreign_insert(&mut self, push: &mut Push<'_>, op: &ForeignOp, id: &DocId, edit: &Edit) {
        let mut stamp = self.stamp_of(push, op, id);
        let known = self.version(push, id);
        push.created |= known.is_none_or(|v| !v.meta.is_live());
        let missed = known.is_some_and(|v| v.meta.born == Stamp::ZERO) && op.txn.is_some();
        if let (Some(version), Some(removed), false) = (known, known.and_then(|v| v.meta.removed), missed) {
            let lifted = removed.stamp.next();
            // Lifted ones have lost their own times: of one author's, the later arrival is the later one.
            let mine = version.meta.marks().filter(|mark| mark.author == push.author && mark.stamp >= lifted);
            let before = mine.map(|mark| mark.stamp).filter(|stamp| stamp.millis() == lifted.millis()).max();
            if stamp < lifted {
                stamp = before.map_or(lifted, Stamp::next);
            }
        }
        self.foreign_edit(push, op, id, edit, stamp);
    }

    /// A repeat has no effect. Only, a client that started again has stamped the documents of a
    /// transaction anew.
    fn foreign_repeat(&mut self, push: &Push<'_>, op: &ForeignOp) {
        let (ForeignEdit::Insert(id, _) | ForeignEdit::Update(id, _), Some(_)) = (&op.edit, op.txn) else { return };
        let committed = self.committed(op);
        // Clients whose batches have no names repeat their log all the time.
        if push.batch.batch.is_some() && self.version(push, id).is_some_and(|v| v.meta.committed < committed) {
            self.tell_again(push, id, committed);
        }
    }

    /// The latest time that the op's device may have given to what it wrote; 0 for plain ops, which say it.
    fn committed(&self, op: &ForeignOp) -> Millis {
        let (Some(_), Some(time)) = (op.txn, op.time) else { return Millis(0) };
        let sent = self.clamp(Stamp::at(time)).millis();
        self.moment.now.max(Millis(sent.0 + COMMIT_DELAY.0))
    }

    /// Logs what stands as a new change, so that the sender gets it although it may have been served it before.
    fn tell_again(&mut self, push: &Push<'_>, id: &DocId, committed: Millis) {
        let Some(standing) = self.version(push, id).filter(|v| v.meta.born > Stamp::ZERO).cloned() else { return };
        let mut meta = standing.meta;
        meta.committed = meta.committed.max(committed);
        let lsn = self.loaded.head.next();
        self.append(push.at(id), Version { lsn, meta, ..standing });
    }

    /// Plain removals carry no time and are unconditional at their client: they count as made now,
    /// unless the same push goes on with the document.
    fn foreign_remove(&mut self, push: &mut Push<'_>, op: &ForeignOp, id: &DocId) {
        let newest = self.version(push, id).map_or(Stamp::ZERO, |version| version.meta.stamp());
        let now = self.moment.now;
        let time =
            op.time.unwrap_or_else(|| push.next_time(id).map_or(now, |t| now.min(Millis(t.0.saturating_sub(1)))));
        let stamp = self.clamp(Stamp::at(time)).max(newest).max(push.after_last(id));
        self.foreign_edit(push, op, id, &Edit::Remove, stamp);
    }

    /// The op's time; later than this client's earlier ops on the document, whatever was done to their stamps.
    fn stamp_of(&self, push: &Push<'_>, op: &ForeignOp, id: &DocId) -> Stamp {
        let stamp = self.clamp(Stamp::at(op.time.unwrap_or(self.moment.now))).max(push.after_last(id));
        let Some(version) = self.version(push, id) else { return stamp };
        let mine = version.meta.marks().filter(|mark| mark.author == push.author).map(|mark| mark.stamp);
        // Of a transaction that was cut, plain ops made after it may have come before.
        let in_order = push.batch.sole && op.txn.is_none();
        let earlier = if in_order { mine.max() } else { None };
        stamp.max(earlier.map_or(Stamp::ZERO, Stamp::next))
    }

    fn foreign_edit(&mut self, push: &mut Push<'_>, op: &ForeignOp, id: &DocId, edit: &Edit, stamp: Stamp) {
        push.last.insert(id.clone(), stamp);
        let (key, author) = (push.at(id), push.author);
        let base = Base::ReadUpTo(push.batch.served);
        let removes = *edit == Edit::Remove;
        let mut committed = if removes { Millis(0) } else { self.committed(op) };
        let standing = self.version(push, id).map(|v| v.lsn);
        let attempt = Attempt { key, edit, author, base, stamp, strategy: None, committed };
        let found = self.must_find(&push.batch.rows, &attempt.key, edit);
        if let Err(why) = found.and_then(|()| self.within_rows(&push.batch.rows, attempt)) {
            // Of what it may not write its sender is told nothing; of its own, what stands.
            let told = why.code != ROW_FORBIDDEN || self.is_row_of(&push.batch.rows, &push.at(id));
            self.quarantine(Quarantined {
                collection: Some(push.batch.collection.clone()),
                id: Some(id.clone()),
                node: push.batch.node.clone(),
                seq: None,
                code: why.code,
                reason: why.reason,
                op: edit_text(id, edit),
            });
            if !told {
                return;
            }
            // Its own copy is newer than what stands, and gives way to nothing older.
            committed = self.moment.now.max(Millis(stamp.millis().0 + COMMIT_DELAY.0));
        }
        if !removes && standing.is_some() && standing == self.version(push, id).map(|v| v.lsn) {
            // Nothing of it won, and its sender keeps its own values until it is told what stands.
            self.tell_again(push, id, committed);
        }
    }

    fn version(&self, push: &Push<'_>, id: &DocId) -> Option<&Version> {
        self.loaded.docs.get(&push.at(id))
    }

    /// The fields are kept out of sight and appear with the insert; until then a person can see why.
    fn still_unknown(&mut self, batch: &ForeignBatch, op: &ForeignOp) {
        let ForeignEdit::Update(id, _) = &op.edit else { return };
        let key: DocKey = (batch.collection.clone(), id.clone());
        if self.loaded.docs.get(&key).is_some_and(|v| v.meta.born > Stamp::ZERO) {
            return;
        }
        let reason =
            format!("document `{id}` does not exist in `{}`; the update waits out of sight for its insert", key.0);
        let why = Rejection { code: "unknown_document".into(), reason };
        self.set_foreign_aside(batch, Some(id.clone()), op, why);
    }

    fn set_foreign_aside(&mut self, batch: &ForeignBatch, id: Option<DocId>, op: &ForeignOp, why: Rejection) {
        self.quarantine(Quarantined {
            collection: Some(batch.collection.clone()),
            id,
            node: batch.node.clone(),
            seq: None,
            code: why.code,
            reason: why.reason,
            op: op.raw.clone(),
        });
    }
}

impl Push<'_> {
    fn at(&self, id: &DocId) -> DocKey {
        (self.batch.collection.clone(), id.clone())
    }

    fn after_last(&self, id: &DocId) -> Stamp {
        self.last.get(id).map_or(Stamp::ZERO, |stamp| stamp.next())
    }

    /// Notes an edit that is still to come; called from the last op to the first.
    fn foresee(&mut self, op: &ForeignOp) {
        if let (ForeignEdit::Insert(id, _) | ForeignEdit::Update(id, _), Some(time)) = (&op.edit, op.time) {
            self.ahead.entry(id.clone()).or_default().push(time);
        }
    }

    /// The edit's turn has come.
    fn pass(&mut self, op: &ForeignOp) {
        if let (ForeignEdit::Insert(id, _) | ForeignEdit::Update(id, _), Some(_)) = (&op.edit, op.time) {
            self.ahead.get_mut(id).map(Vec::pop);
        }
    }

    fn next_time(&self, id: &DocId) -> Option<Millis> {
        self.ahead.get(id)?.last().copied()
    }
}
