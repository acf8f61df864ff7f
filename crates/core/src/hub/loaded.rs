//! What a group of pushes needs to know, and the same once a store has loaded it.

use crate::merge::Values;
use crate::model::{
    Author, BatchId, CollectionName, Demands, DocId, Limits, Lsn, Millis, NodeId, OpKey, Receipt, Seq, Seqs, Strategy,
    Traffic, UniqueValue, Version,
};
use crate::model::{EntityEdit, ForeignBatch, ForeignEdit, Intake, LiveBatch, Mend, MendAct, OwnBatch, Packet, Step};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A document's place in a space.
pub type DocKey = (CollectionName, DocId);

/// A batch's place in a space: batch ids of different nodes never meet.
pub type BatchKey = (NodeId, BatchId);

/// What a store must load, under the space's lock, before [`decide`](super::decide).
#[derive(Clone, Debug, Default)]
pub struct Touch {
    /// Documents that ops name.
    pub docs: BTreeSet<DocKey>,
    /// Collections of which every live document is needed.
    pub whole: BTreeSet<CollectionName>,
    /// Collections whose rules are needed.
    pub collections: BTreeSet<CollectionName>,
    /// Nodes that push; unknown ones get a number.
    pub nodes: BTreeSet<NodeId>,
    /// Batches that may be repeats.
    pub batches: BTreeSet<BatchKey>,
    /// Foreign ops that may be repeats.
    pub keys: BTreeSet<[u8; 16]>,
    /// Own ops that may be repeats: for each node their numbers.
    pub seqs: BTreeMap<NodeId, Seqs>,
    /// Nodes whose registration and traffic are needed.
    pub registered: BTreeSet<NodeId>,
    /// Rows of the ledger that are needed, by their numbers.
    pub ledger: BTreeSet<u64>,
    /// Rows of the quarantine of which it must be known whether they are there.
    pub quarantine: BTreeSet<u64>,
}

/// What is known of a node that pushes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorState {
    /// Its number in this space.
    pub author: Author,
    /// Ops whose receipts are past their retention: one of them that comes again is a repeat. A number
    /// that was skipped is not among them: its op was held back for long, and is still to be applied.
    pub forgotten: Seqs,
    /// The token that it belongs to.
    pub owner: Option<NodeId>,
}

/// A batch that has been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    /// Digest of its content.
    pub digest: u64,
    /// The LSN that its reply carried.
    pub lsn: Lsn,
}

/// What a store found for a [`Touch`]. Absent entries do not exist.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The last LSN taken.
    pub head: Lsn,
    /// Every node of the touch, new ones with a fresh number.
    pub nodes: BTreeMap<NodeId, AuthorState>,
    /// Batches answered before.
    pub batches: BTreeMap<BatchKey, StoredBatch>,
    /// Foreign ops decided before.
    pub seen: BTreeSet<[u8; 16]>,
    /// Receipts still kept, of the touched own ops.
    pub receipts: BTreeMap<(NodeId, Seq), Receipt>,
    /// The touched documents, removed ones included, and every live one of the whole collections.
    pub docs: BTreeMap<DocKey, Version>,
    /// The rules that the hub sets for the touched collections.
    pub rules: BTreeMap<CollectionName, Arc<Demands>>,
    /// Who has the values that the decision asked for ([`WriteSet::asks`](super::WriteSet::asks)), whoever had one first
    /// before the others: at least one document that was not loaded where there is such a one. Those whose own time is
    /// over have none.
    pub holders: BTreeMap<UniqueValue, Vec<DocId>>,
    /// No further values are looked up: an edit that asks for one is refused.
    pub last_look: bool,
    /// Of the touched registered nodes: how far their exchange has come.
    pub traffic: BTreeMap<NodeId, Traffic>,
    /// Changes after this can be read.
    pub horizon: Lsn,
    /// The touched rows of the ledger.
    pub ledger: BTreeMap<u64, KeptLoss>,
    /// The touched rows of the quarantine that are there.
    pub quarantine: BTreeSet<u64>,
}

/// What the ledger keeps of an edit that lost, as far as bringing it back needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLoss {
    /// What was lost.
    pub losing: Values,
    /// What won.
    pub winning: Values,
    /// The change by which it was restored.
    pub restored: Option<Lsn>,
}

impl Loaded {
    /// The strategy that the hub sets for a collection.
    pub(super) fn strategy(&self, collection: &CollectionName) -> Option<Strategy> {
        self.rules.get(collection)?.rule.strategy
    }
}

/// When a decision is taken, and under which limits: what it takes beside what was loaded. (Rules are those of collections.)
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The hub's time.
    pub now: Millis,
    /// The hub's limits.
    pub limits: Limits,
}

/// What a group of pushes needs to know.
#[must_use]
pub fn touch(group: &[Intake]) -> Touch {
    let mut touch = Touch::default();
    for intake in group {
        match intake {
            Intake::Own(batch) => touch.own(batch),
            Intake::Foreign(batch) => touch.foreign(batch),
            Intake::Packet(packet) => touch.packet(packet),
            Intake::Live(batch) => touch.live(batch),
            Intake::Dispatch(dispatch) => drop(touch.registered.insert(dispatch.node.clone())),
            Intake::Expiry(expiry) => {
                touch.nodes.insert(NodeId::hub());
                touch.docs.extend(expiry.docs.iter().cloned());
                touch.collections.extend(expiry.docs.iter().map(|(collection, _)| collection.clone()));
            }
            Intake::Mend(mend) => touch.mend(mend),
        }
    }
    touch
}

impl Touch {
    fn own(&mut self, batch: &OwnBatch) {
        self.nodes.insert(batch.node.clone());
        self.batches.insert((batch.node.clone(), batch.batch.clone()));
        let seqs = self.seqs.entry(batch.node.clone()).or_default();
        for step in &batch.steps {
            let seq = match step {
                Step::Edit(op) => {
                    self.docs.insert((op.collection.clone(), op.id.clone()));
                    self.collections.insert(op.collection.clone());
                    match op.key {
                        OpKey::Seq(seq) => seq,
                        OpKey::Foreign(_) | OpKey::None => continue,
                    }
                }
                Step::Clear { seq, collection, .. } => {
                    self.whole.insert(collection.clone());
                    self.collections.insert(collection.clone());
                    *seq
                }
                Step::Poison(poison) => poison.seq,
            };
            seqs.insert(seq);
        }
    }

    fn foreign(&mut self, batch: &ForeignBatch) {
        self.nodes.insert(batch.node.clone());
        self.collections.insert(batch.collection.clone());
        if let Some(id) = &batch.batch {
            self.batches.insert((batch.node.clone(), id.clone()));
        }
        for op in &batch.ops {
            self.keys.extend(op.key);
            match &op.edit {
                ForeignEdit::Insert(id, _) | ForeignEdit::Update(id, _) | ForeignEdit::Remove(id) => {
                    self.docs.insert((batch.collection.clone(), id.clone()));
                }
                ForeignEdit::Clear => {
                    self.whole.insert(batch.collection.clone());
                }
                ForeignEdit::Unusable(_) => {}
            }
        }
    }

    fn live(&mut self, batch: &LiveBatch) {
        self.nodes.insert(batch.node.clone());
        for event in &batch.events {
            self.keys.insert(event.key);
            let Some(collection) = &event.collection else { continue };
            self.collections.insert(collection.clone());
            self.docs.extend(event.names().map(|id| (collection.clone(), id.clone())));
        }
    }

    fn mend(&mut self, mend: &Mend) {
        let author = mend.act.author();
        self.nodes.insert(author.clone());
        if let MendAct::Restore { .. } = mend.act {
            self.ledger.insert(mend.n);
        } else {
            self.quarantine.insert(mend.n);
            self.seqs.entry(author).or_default().insert(Seq(mend.n));
        }
        if let Some((collection, id)) = mend.act.place() {
            self.collections.insert(collection.clone());
            self.docs.insert((collection.clone(), id.clone()));
        }
    }

    fn packet(&mut self, packet: &Packet) {
        self.nodes.insert(packet.node.clone());
        self.registered.insert(packet.node.clone());
        self.keys.insert(packet.key);
        for entity in &packet.entities {
            if let EntityEdit::Put { collection, .. } | EntityEdit::Remove { collection } = &entity.edit {
                self.collections.insert(collection.clone());
                self.docs.insert((collection.clone(), entity.uuid.clone()));
            }
        }
    }
}
