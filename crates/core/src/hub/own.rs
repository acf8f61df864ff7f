//! Pushes of our own client: numbered ops, receipts, transactions.

use super::decide::Reply;
use super::loaded::{DocKey, StoredBatch};
use super::progress::{Attempt, Progress, unknown_document};
use super::rules::{retold, unnamed, unread};
use super::write_set::{Quarantined, edit_text};
use crate::model::{
    Author, Base, Claim, CollectionName, Edit, Lsn, Millis, NodeId, Op, Receipt, Rejection, Seq, Stamp, Verdict,
};
use crate::model::{OwnBatch, Poison, Step};

impl Progress {
    /// Decides one push. Repeats get their first receipts.
    pub(super) fn own(&mut self, batch: &OwnBatch) -> Reply {
        if let Some(owner) = self.claim(batch) {
            return Reply::NodeTaken { owner };
        }
        let batch_key = (batch.node.clone(), batch.batch.clone());
        if self.known_batch(&batch_key).is_some_and(|known| known.digest != batch.digest) {
            return Reply::BatchReused;
        }
        let author = self.author(&batch.node);
        let mut receipts = Vec::with_capacity(batch.steps.len());
        let mut parted = false;
        for run in batch.steps.chunk_by(|a, b| a.txn().is_some() && a.txn() == b.txn()) {
            if run.iter().any(|step| self.is_number_reused(&batch.node, step)) {
                parted = true;
                receipts.extend(run.iter().map(|step| rejected(step.seq(), number_reused(&batch.node))));
            } else if !parted || run.iter().all(|step| self.repeat(&batch.node, step.seq()).is_some()) {
                self.run(batch, author, run, &mut receipts);
            }
        }
        if self.known_batch(&batch_key).is_none() {
            let stored = StoredBatch { digest: batch.digest, lsn: self.loaded.head };
            self.note_batch(batch_key, stored);
        }
        receipts.iter_mut().for_each(|receipt| receipt.digest = None);
        Reply::Own { author, receipts }
    }

    /// Whether an op's number stood for another op before. A database that was copied, or went back to a backup of its
    /// own, gives out numbers for the second time. What is new behind such an op may build on it, and is left without a
    /// receipt: then it comes again, behind it.
    fn is_number_reused(&self, node: &NodeId, step: &Step) -> bool {
        let first = self.loaded.receipts.get(&(node.clone(), step.seq())).and_then(|receipt| receipt.digest);
        first.is_some_and(|first| step.digest().is_some_and(|again| first != again))
    }

    /// Returns the token that the node belongs to when the push may not speak for it.
    fn claim(&mut self, batch: &OwnBatch) -> Option<NodeId> {
        let owner = self.loaded.nodes.get(&batch.node).and_then(|state| state.owner.clone());
        match (&batch.claim, owner) {
            (Claim::Free, _) => return None,
            (Claim::By { token, instead_of }, Some(owner))
                if owner != *token && Some(&owner) != instead_of.as_ref() =>
            {
                return Some(owner);
            }
            (Claim::By { token, .. } | Claim::Made { token }, _) => self.give(&batch.node, token),
        }
        None
    }

    /// One op, or the ops of one transaction: all are accepted or all are rejected.
    fn run(&mut self, batch: &OwnBatch, author: Author, run: &[Step], receipts: &mut Vec<Receipt>) {
        let checkpoint = self.checkpoint();
        let first = receipts.len();
        let mut fresh = Vec::with_capacity(run.len());
        for (n, step) in run.iter().enumerate() {
            let repeat = self.repeat(&batch.node, step.seq()).map(|receipt| told_again(batch, receipt));
            let receipt = repeat.unwrap_or_else(|| {
                fresh.push((first + n, step));
                let receipt = self.step(batch, author, step);
                let receipt = receipt.unwrap_or_else(|rejection| rejected(step.seq(), rejection));
                Receipt { digest: step.digest(), ..receipt }
            });
            self.note_receipt(batch, &receipt);
            receipts.push(receipt);
        }
        let cause = fresh.iter().map(|(n, _)| &receipts[*n]).find(|r| r.result == Verdict::Rejected).cloned();
        if let Some(cause) = cause {
            self.roll_back(checkpoint);
            for (n, step) in &fresh {
                reject_with(&mut receipts[*n], &cause);
                self.set_aside(batch, step, &receipts[*n]);
                self.note_receipt(batch, &receipts[*n]);
            }
            // The same number twice in one transaction has one fate.
            for receipt in &mut receipts[first..] {
                if let Some(fate) = self.repeat(&batch.node, receipt.seq) {
                    *receipt = fate;
                }
            }
        }
        let kept = self.writes.receipts.entry(batch.node.clone()).or_default();
        for (n, _) in fresh {
            kept.push(receipts[n].clone());
        }
    }

    fn note_receipt(&mut self, batch: &OwnBatch, receipt: &Receipt) {
        self.loaded.receipts.insert((batch.node.clone(), receipt.seq), receipt.clone());
    }

    /// The receipt of an op that was decided before.
    pub(super) fn repeat(&self, node: &NodeId, seq: Seq) -> Option<Receipt> {
        let kept = self.loaded.receipts.get(&(node.clone(), seq)).cloned();
        let forgotten = Receipt { seq, result: Verdict::Duplicate, lsn: Lsn::ZERO, rejection: None, digest: None };
        let node = self.loaded.nodes.get(node);
        kept.or_else(|| node.is_some_and(|node| node.forgotten.contains(seq)).then_some(forgotten))
    }

    fn step(&mut self, batch: &OwnBatch, author: Author, step: &Step) -> Result<Receipt, Rejection> {
        match step {
            Step::Edit(op) => self.edit(batch, author, op),
            Step::Clear { seq, collection, read_up_to, stamp, .. } => {
                self.clear(batch, author, (*seq, collection, *read_up_to, *stamp))
            }
            Step::Poison(poison) => Err(poison.rejection.clone()),
        }
    }

    fn edit(&mut self, batch: &OwnBatch, author: Author, op: &Op) -> Result<Receipt, Rejection> {
        let key = (op.collection.clone(), op.id.clone());
        let gone = self.may_touch(&batch.rows, &key, &op.edit)?;
        self.must_find(&batch.rows, &key, &op.edit)?;
        let unborn = self.loaded.docs.get(&key).is_none_or(|version| version.meta.born == Stamp::ZERO);
        if unborn && matches!(op.edit, Edit::Update { .. }) {
            return Err(unknown_document(&op.collection, &op.id));
        }
        let (result, lsn) = self
            .apply(Attempt {
                key: key.clone(),
                edit: &op.edit,
                author,
                base: Base::At(self.known(op.base.lsn())),
                stamp: self.clamp(op.stamp),
                strategy: batch.strategy,
                committed: Millis(0),
            })
            .map_err(|why| self.told_to(batch, &key, why))?;
        self.may_leave(&batch.rows, &key, gone)?;
        Ok(Receipt { seq: op.seq(), result, lsn, rejection: None, digest: None })
    }

    /// Why an edit was refused, without what its sender may not know: who else has a value, and what the document holds
    /// that stands.
    fn told_to(&self, batch: &OwnBatch, key: &DocKey, why: Rejection) -> Rejection {
        let why = if batch.may_know_of(&key.0) { why } else { unnamed(key, why) };
        let standing = self.loaded.docs.get(key).filter(|version| version.meta.is_live());
        let may_read = |text: &str| batch.readable.as_ref().is_some_and(|rows| rows.mean(key.0.as_str(), text));
        match standing {
            Some(version) if !may_read(version.body.text()) => unread(key, why),
            _ => why,
        }
    }

    /// Nobody has read further than the log goes: whoever says so read another history, and knows nothing
    /// of this one. Then the edit meets whatever stands, and the ledger says what was lost.
    fn known(&self, read: Lsn) -> Lsn {
        if read > self.loaded.head { Lsn::ZERO } else { read }
    }

    /// Removes every document that the node knew; what others changed since then stays, and what it may not write.
    fn clear(
        &mut self,
        batch: &OwnBatch,
        author: Author,
        (seq, collection, read_up_to, stamp): (Seq, &CollectionName, Lsn, Stamp),
    ) -> Result<Receipt, Rejection> {
        let (stamp, read_up_to) = (self.clamp(stamp), self.known(read_up_to));
        for (key, lsn, last) in self.live(collection) {
            let may = self.check_row(&batch.rows, &key).is_ok();
            if may && (lsn <= read_up_to || last == author) {
                let (edit, base) = (&Edit::Remove, Base::At(read_up_to));
                self.apply(Attempt { key, edit, author, base, stamp, strategy: batch.strategy, committed: Millis(0) })?;
            }
        }
        Ok(Receipt { seq, result: Verdict::Applied, lsn: self.loaded.head, rejection: None, digest: None })
    }

    fn set_aside(&mut self, batch: &OwnBatch, step: &Step, receipt: &Receipt) {
        let rejection = receipt.rejection.clone().expect("only rejected ops are set aside");
        let (collection, id, op) = match step {
            Step::Edit(op) => (Some(op.collection.clone()), Some(op.id.clone()), edit_text(&op.id, &op.edit)),
            Step::Clear { collection, .. } => (Some(collection.clone()), None, r#"{"op":"clear"}"#.to_owned()),
            Step::Poison(Poison { collection, id, raw, .. }) => (collection.clone(), id.clone(), raw.clone()),
        };
        self.quarantine(Quarantined {
            collection,
            id,
            node: batch.node.clone(),
            seq: Some(receipt.seq),
            code: rejection.code,
            reason: rejection.reason,
            op,
        });
    }
}

fn number_reused(node: &NodeId) -> Rejection {
    Rejection {
        code: Rejection::NUMBER_REUSED.to_owned(),
        reason: format!(
            "the number stood for another op of node `{node}` before: its database was copied to a second device, or went \
             back to a backup; send the op as another node"
        ),
    }
}

/// A receipt that was decided before, for whoever asks now: a node may have come to another token meanwhile, which may
/// know less.
fn told_again(batch: &OwnBatch, receipt: Receipt) -> Receipt {
    let knows_all = batch.rows.is_empty() && batch.readable.as_ref().is_some_and(|rows| rows.is_empty());
    if knows_all { receipt } else { Receipt { rejection: receipt.rejection.map(retold), ..receipt } }
}

fn rejected(seq: Seq, rejection: Rejection) -> Receipt {
    Receipt { seq, result: Verdict::Rejected, lsn: Lsn::ZERO, rejection: Some(rejection), digest: None }
}

/// Ops that were fine themselves fall with their transaction, and say so.
fn reject_with(receipt: &mut Receipt, cause: &Receipt) {
    let reason = cause.rejection.as_ref().map_or("", |rejection| rejection.reason.as_str());
    receipt.result = Verdict::Rejected;
    receipt.lsn = Lsn::ZERO;
    receipt.rejection.get_or_insert_with(|| Rejection {
        code: "transaction_rejected".into(),
        reason: format!("op {} of the same transaction was rejected: {reason}", cause.seq.0),
    });
}
