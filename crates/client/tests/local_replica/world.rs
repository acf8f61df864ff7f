//! A hub that lives in the memory of the test, and devices with real databases.

use serde_json::{Value, json, value::RawValue};
use std::collections::BTreeSet;
use syncline::query::Query;
use syncline::{Collection, Database, Replica};
use syncline_core::hub::{AuthorState, Entry, Loaded, Moment, Reply, decide};
use syncline_core::model::Strategy;
use syncline_core::model::*;
use syncline_core::session::{Stored, Write};
use syncline_core::wire::own::{Page, PageEdit, PageOp, PushReply, SnapshotHead, decode_push};

/// A hub without disk, network or limits.
pub struct Hub {
    pub state: Loaded,
    pub epoch: Epoch,
    pub now: u64,
}

impl Hub {
    pub fn new() -> Hub {
        Hub { state: Loaded::default(), epoch: Epoch::new("e1").unwrap(), now: 10_000_000_000_000 }
    }

    pub fn push(&mut self, body: &str) -> PushReply {
        let limits = Limits::default();
        let push = decode_push(body.as_bytes(), &limits).unwrap().batch;
        let next = Author(u32::try_from(self.state.nodes.len()).unwrap() + 1);
        let fresh = AuthorState { author: next, ..AuthorState::default() };
        self.state.nodes.entry(push.node.clone()).or_insert(fresh);
        self.now += 1;
        let moment = Moment { now: Millis(self.now), limits };
        let mut decision = decide(self.state.clone(), &[Intake::Own(push)], moment);
        for (node, receipts) in decision.writes.receipts {
            self.state.receipts.extend(receipts.into_iter().map(|r| ((node.clone(), r.seq), r)));
        }
        self.state.batches.extend(decision.writes.batches);
        for entry in decision.writes.entries {
            self.state.head = entry.lsn();
            if let Entry::Change(change) = entry {
                self.state.docs.insert((change.collection, change.id), change.version);
            }
        }
        let Reply::Own { author, receipts } = decision.replies.remove(0) else { panic!("a batch id was reused") };
        PushReply {
            status: "ok".into(),
            server_lsn: self.state.head,
            epoch: self.epoch.clone(),
            author,
            receipts,
            page: None,
        }
    }

    /// Every document changed after `since`, at its newest version.
    pub fn page(&self, since: Lsn) -> Page {
        let mut ops: Vec<PageOp> = self.documents().into_iter().filter(|op| op.lsn > since).collect();
        ops.sort_by_key(|op| op.lsn);
        Page {
            server_lsn: self.state.head,
            epoch: self.epoch.clone(),
            has_more: false,
            views: Views::new(),
            ops,
            conflicts: None,
            receipt: None,
        }
    }

    pub fn snapshot(&self) -> (SnapshotHead, Vec<PageOp>) {
        let head =
            SnapshotHead { server_lsn: self.state.head, epoch: self.epoch.clone(), views: Views::new(), at: None };
        let mut live: Vec<PageOp> = self.documents().into_iter().filter(|op| op.op == PageEdit::Put).collect();
        live.sort_by_key(|op| op.lsn);
        (head, live)
    }

    pub fn documents(&self) -> Vec<PageOp> {
        let docs = self.state.docs.iter().map(|((collection, id), version)| {
            let live = version.meta.is_live();
            PageOp {
                op: if live { PageEdit::Put } else { PageEdit::Remove },
                lsn: version.lsn,
                collection: collection.clone(),
                id: id.clone(),
                stamp: version.meta.stamp(),
                author: version.author,
                meta: Some(version.meta.clone()),
                doc: live.then(|| RawValue::from_string(version.body.text().to_owned()).unwrap()),
            }
        });
        docs.collect()
    }

    pub fn text(&self, id: &str) -> Option<Value> {
        let key = (collection(), DocId::new(id).unwrap());
        let version = self.state.docs.get(&key).filter(|version| version.meta.is_live())?;
        Some(serde_json::from_str(version.body.text()).unwrap())
    }
}

/// One device.
pub struct Device {
    pub db: Database,
    pub replica: Replica,
    pub notes: Collection,
}

pub fn collection() -> CollectionName {
    CollectionName::new("notes").unwrap()
}

pub fn scope() -> BTreeSet<CollectionName> {
    BTreeSet::from([collection()])
}

impl Device {
    pub fn new() -> Device {
        Device::of(Database::open_in_memory().unwrap())
    }

    pub fn of(db: Database) -> Device {
        let replica = db.replica();
        replica.join(&scope(), Strategy::LastWriteWins).unwrap();
        let notes = db.collection("notes").unwrap();
        Device { db, replica, notes }
    }

    pub fn do_it(&self, write: Write) -> Stored {
        self.replica.carry_out(&scope(), write).unwrap()
    }

    pub fn load(&self, hub: &Hub) -> Stored {
        let (head, documents) = hub.snapshot();
        self.do_it(Write::SnapshotBegin { scope: scope(), head });
        let stored = self.do_it(Write::SnapshotPart(documents));
        self.do_it(Write::SnapshotFinish);
        stored
    }

    pub fn pull(&self, hub: &Hub) -> Stored {
        let since = self.replica.positions(&scope()).unwrap().since().lsn;
        self.do_it(Write::Page { scope: scope(), page: hub.page(since) })
    }

    pub fn batch(&self) -> Option<syncline::PendingBatch> {
        self.replica.next_batch(&scope(), 100, false).unwrap()
    }

    pub fn push(&self, hub: &mut Hub) -> Stored {
        let batch = self.batch().expect("something waits");
        let reply = hub.push(&batch.body);
        self.do_it(Write::Receipts { batch: batch.batch_id, reply, unread: false })
    }

    pub fn sync(&self, hub: &mut Hub) {
        self.pull(hub);
        while let Some(batch) = self.batch() {
            let reply = hub.push(&batch.body);
            self.do_it(Write::Receipts { batch: batch.batch_id, reply, unread: false });
        }
        self.pull(hub);
    }

    pub fn pending(&self) -> u64 {
        self.replica.backlog(&scope()).unwrap().pending
    }

    pub fn all(&self) -> Vec<Value> {
        let query = Query::from_json(&json!({"sort": {"_id": 1}})).unwrap();
        self.notes.find(&query).unwrap()
    }

    pub fn field(&self, id: &str, field: &str) -> Value {
        self.notes.get(id).unwrap().map_or(Value::Null, |document| document[field].clone())
    }

    pub fn ops(&self) -> Vec<Value> {
        let body = self.batch().map_or(json!({"ops": []}), |batch| serde_json::from_str(&batch.body).unwrap());
        body["ops"].as_array().unwrap().clone()
    }
}

pub fn two_devices(hub: &mut Hub) -> (Device, Device) {
    let (a, b) = (Device::new(), Device::new());
    a.load(hub);
    b.load(hub);
    a.notes.insert(json!({"_id": "n", "x": 1, "y": 1})).unwrap();
    a.sync(hub);
    b.sync(hub);
    assert_eq!(a.all(), b.all());
    (a, b)
}
