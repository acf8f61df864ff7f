//! One space in memory: what a commit loads and writes.

use crate::store::ledger::{json, side, values};
use crate::store::{ConflictRow, Head, Json, Kept, NodeRow, QuarantineRow};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use syncline_core::hub::{
    AuthorState, Change, Conflict, DocKey, Entry, KeptLoss, Loaded, Quarantined, StoredBatch, Touch, WriteSet,
};
use syncline_core::model::{
    Author, BatchId, CollectionName, Demands, DocId, Epoch, Lsn, Millis, NodeId, Receipt, Registration, Seq, Seqs,
    Traffic, UniqueKey, Version,
};

/// For each key that is kept, its values and who has them since when.
type Unique = BTreeMap<(CollectionName, UniqueKey), BTreeMap<String, BTreeSet<(Lsn, DocId)>>>;

#[derive(Debug, Default)]
pub(super) struct Space {
    pub head: Head,
    pub log: BTreeMap<Lsn, (Millis, Entry)>,
    pub heads: BTreeMap<DocKey, Lsn>,
    /// What took the place of what: positions of versions by those of the ones after them.
    pub befores: BTreeMap<Lsn, Lsn>,
    pub nodes: BTreeMap<NodeId, NodeRow>,
    /// The last number given to a node: none is used again.
    pub last_author: u32,
    pub batches: BTreeMap<(Author, BatchId), (Millis, StoredBatch)>,
    pub seen: BTreeMap<[u8; 16], Millis>,
    pub receipts: BTreeMap<(Author, Seq), (Millis, Receipt)>,
    pub forgotten: BTreeMap<Author, Seqs>,
    pub registered: BTreeMap<NodeId, Registered>,
    /// Removed documents of which only the place is left, for registered nodes that have not heard of it.
    pub buried: BTreeMap<Lsn, (DocKey, Author)>,
    pub unique: Unique,
    pub ledger: Vec<ConflictRow>,
    /// Rows of the ledger whose losing side had been accepted before, and the authors of these.
    pub late: BTreeMap<u64, Author>,
    pub quarantine: Vec<QuarantineRow>,
    /// The last numbers given to rows of the ledger and of the quarantine: none is used again.
    pub last_listed: (u64, u64),
}

/// One registered node.
#[derive(Debug)]
pub(super) struct Registered {
    pub registration: Registration,
    pub traffic: Traffic,
    /// What it holds where it has a row filter: since when, and until when.
    pub held: BTreeMap<DocKey, (Lsn, Option<Lsn>)>,
}

impl Space {
    pub fn new() -> Space {
        let epoch = Epoch::new(uuid::Uuid::new_v4().to_string()).expect("a UUID is an epoch");
        Space { head: Head { epoch, ..Head::default() }, ..Space::default() }
    }

    /// The node's row, made when it is new.
    pub fn node(&mut self, node: &NodeId) -> &mut NodeRow {
        let last = &mut self.last_author;
        self.nodes.entry(node.clone()).or_insert_with(|| {
            *last = last.checked_add(1).expect("fewer than 2^32 nodes");
            NodeRow { author: Author(*last), node: node.to_string(), ..NodeRow::default() }
        })
    }

    /// The change that stands at a position.
    pub fn change(&self, lsn: Lsn) -> Option<&Change> {
        match self.log.get(&lsn)? {
            (_, Entry::Change(change)) => Some(change),
            (_, Entry::Ticket(_) | Entry::Return(_)) => None,
        }
    }

    pub fn load(&self, touch: &Touch, rules: BTreeMap<CollectionName, Arc<Demands>>) -> Loaded {
        let Head { lsn: head, horizon, .. } = self.head;
        let mut loaded = Loaded { head, horizon, rules, ..Loaded::default() };
        let mut next = self.last_author;
        for node in &touch.nodes {
            let author = self.nodes.get(node).map(|n| n.author).unwrap_or_else(|| {
                next += 1;
                Author(next)
            });
            let forgotten = self.forgotten.get(&author).cloned().unwrap_or_default();
            let owner = self.nodes.get(node).and_then(|row| NodeId::new(row.owner.as_deref()?).ok());
            loaded.nodes.insert(node.clone(), AuthorState { author, forgotten, owner });
        }
        for key in &touch.batches {
            if let Some((_, batch)) = self.nodes.get(&key.0).and_then(|n| self.batches.get(&(n.author, key.1.clone())))
            {
                loaded.batches.insert(key.clone(), *batch);
            }
        }
        let traffic = |node: &NodeId| Some((node.clone(), self.registered.get(node)?.traffic.clone()));
        loaded.traffic = touch.registered.iter().filter_map(traffic).collect();
        loaded.seen = touch.keys.iter().filter(|key| self.seen.contains_key(*key)).copied().collect();
        for (node, seqs) in &touch.seqs {
            let Some(author) = self.nodes.get(node).map(|n| n.author) else { continue };
            for (first, last) in seqs.ranges() {
                let kept = self.receipts.range((author, *first)..=(author, *last));
                loaded.receipts.extend(kept.map(|((_, seq), (_, receipt))| ((node.clone(), *seq), receipt.clone())));
            }
        }
        for (lsn, (key, author)) in &self.buried {
            if touch.docs.contains(key) {
                loaded.docs.insert(key.clone(), Version::buried(*lsn, *author));
            }
        }
        for (key, lsn) in &self.heads {
            let change = self.change(*lsn).expect("a head points to a change");
            if touch.docs.contains(key) || (touch.whole.contains(&key.0) && change.version.meta.is_live()) {
                loaded.docs.insert(key.clone(), change.version.clone());
            }
        }
        for row in self.ledger.iter().filter(|row| touch.ledger.contains(&row.n)) {
            let side =
                |kind: &str, json: &Json| values(kind, Some(json.text())).expect("memory keeps what was decided");
            let (losing, winning) = (side(&row.losing_kind, &row.losing), side(&row.winning_kind, &row.winning));
            loaded.ledger.insert(row.n, KeptLoss { losing, winning, restored: row.restored });
        }
        let listed = self.quarantine.iter().map(|row| row.n);
        loaded.quarantine = listed.filter(|n| touch.quarantine.contains(n)).collect();
        loaded
    }

    pub fn write(&mut self, touch: &Touch, writes: WriteSet) {
        let at = writes.at;
        for node in &touch.nodes {
            self.node(node);
        }
        for entry in writes.entries {
            self.head.lsn = entry.lsn();
            if let Entry::Change(change) = &entry {
                self.head.last_change = change.version.lsn;
                let place = (&change.collection, &change.id);
                self.buried.retain(|_, ((collection, id), _)| (&*collection, &*id) != place);
                let old = self.heads.insert((change.collection.clone(), change.id.clone()), change.version.lsn);
                self.befores.extend(old.map(|old| (change.version.lsn, old)));
            }
            self.log.insert(entry.lsn(), (at, entry));
        }
        self.write_unique(writes.unique);
        for (node, token) in writes.owners {
            self.node(&node).owner = Some(token.into());
        }
        for ((node, batch), stored) in writes.batches {
            let author = self.node(&node).author;
            self.batches.entry((author, batch)).or_insert((at, stored));
        }
        for key in writes.seen {
            self.seen.entry(key).or_insert(at);
        }
        for (node, receipts) in writes.receipts {
            let row = self.node(&node);
            row.seen_at = at;
            for receipt in &receipts {
                row.last_seq = row.last_seq.max(receipt.seq.0);
            }
            let author = row.author;
            for receipt in receipts {
                self.receipts.entry((author, receipt.seq)).or_insert((at, receipt));
            }
        }
        for (node, holding) in writes.held {
            self.write_held(&node, holding);
        }
        for (node, traffic) in writes.traffic {
            self.write_traffic(&node, traffic);
        }
        for conflict in writes.conflicts {
            self.add_conflict(at, conflict);
        }
        for op in writes.quarantine {
            self.add_quarantined(at, op);
        }
        for row in &mut self.ledger {
            row.restored = row.restored.or(writes.restored.get(&row.n).copied());
        }
        self.quarantine.retain(|row| !writes.released.contains(&row.n));
        self.count_kept();
    }

    pub fn count_kept(&mut self) {
        let (conflicts, quarantined) = (self.ledger.len() as u64, self.quarantine.len() as u64);
        self.head.kept = Kept { conflicts, quarantined, last_conflict: self.last_listed.0 };
    }

    fn add_conflict(&mut self, at: Millis, conflict: Conflict) {
        let name = |author: Author| {
            self.nodes.values().find(|n| n.author == author).map(|n| n.node.clone()).unwrap_or_default()
        };
        let (losing_kind, losing) = side(&conflict.losing);
        let (winning_kind, winning) = side(&conflict.winning);
        self.last_listed.0 += 1;
        let row = ConflictRow {
            n: self.last_listed.0,
            at,
            collection: conflict.collection.to_string(),
            id: conflict.id.to_string(),
            lsn: conflict.lsn,
            rule: conflict.rule.to_string(),
            winner: name(conflict.winner),
            loser: name(conflict.loser),
            losing_kind: losing_kind.to_owned(),
            losing: json(losing),
            winning_kind: winning_kind.to_owned(),
            winning: json(winning),
            restored: None,
        };
        if conflict.late {
            self.late.insert(row.n, conflict.loser);
        }
        self.ledger.push(row);
    }

    fn add_quarantined(&mut self, at: Millis, op: Quarantined) {
        self.last_listed.1 += 1;
        let row = QuarantineRow {
            n: self.last_listed.1,
            at,
            collection: op.collection.map(String::from),
            id: op.id.map(String::from),
            node: op.node.to_string(),
            seq: op.seq.map(|seq| seq.0),
            code: op.code,
            reason: op.reason,
            op: op.op,
        };
        self.quarantine.push(row);
    }
}
