//! The replica against the real decisions of a hub that lives in the test's memory: batches,
//! receipts, pages, snapshots, rebase, quarantine.
#![allow(clippy::unwrap_used)] // the helpers of tests are tests too

use serde_json::{Value, json, value::RawValue};
use std::collections::BTreeSet;
use std::sync::Arc;
use syncline::filter::Filter;
use syncline::query::Query;
use syncline::{Collection, Database, Replica, Resolution};
use syncline_core::hub::{AuthorState, Entry, Loaded, Reply, Rules, decide};
use syncline_core::merge::Strategy;
use syncline_core::model::*;
use syncline_core::session::{Stored, Write};
use syncline_core::wire::own::{Page, PageEdit, PageOp, PushReply, SnapshotHead, decode_push};

/// A hub without disk, network or limits.
struct Hub {
    state: Loaded,
    epoch: Epoch,
    now: u64,
}

impl Hub {
    fn new() -> Hub {
        Hub { state: Loaded::default(), epoch: Epoch::new("e1").unwrap(), now: 10_000_000_000_000 }
    }

    fn push(&mut self, body: &str) -> PushReply {
        let limits = Limits::default();
        let push = decode_push(body.as_bytes(), &limits).unwrap().batch;
        let next = Author(u32::try_from(self.state.nodes.len()).unwrap() + 1);
        let fresh = AuthorState { author: next, ..AuthorState::default() };
        self.state.nodes.entry(push.node.clone()).or_insert(fresh);
        self.now += 1;
        let rules = Rules { now: Millis(self.now), limits };
        let mut decision = decide(self.state.clone(), &[Intake::Own(push)], rules);
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
        PushReply { status: "ok".into(), server_lsn: self.state.head, epoch: self.epoch.clone(), author, receipts }
    }

    /// Every document changed after `since`, at its newest version.
    fn page(&self, since: Lsn) -> Page {
        let mut ops: Vec<PageOp> = self.documents().into_iter().filter(|op| op.lsn > since).collect();
        ops.sort_by_key(|op| op.lsn);
        Page { server_lsn: self.state.head, epoch: self.epoch.clone(), has_more: false, ops }
    }

    fn snapshot(&self) -> (SnapshotHead, Vec<PageOp>) {
        let head = SnapshotHead { server_lsn: self.state.head, epoch: self.epoch.clone() };
        let mut live: Vec<PageOp> = self.documents().into_iter().filter(|op| op.op == PageEdit::Put).collect();
        live.sort_by_key(|op| op.lsn);
        (head, live)
    }

    fn documents(&self) -> Vec<PageOp> {
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

    fn text(&self, id: &str) -> Option<Value> {
        let key = (collection(), DocId::new(id).unwrap());
        let version = self.state.docs.get(&key).filter(|version| version.meta.is_live())?;
        Some(serde_json::from_str(version.body.text()).unwrap())
    }
}

/// One device.
struct Device {
    db: Database,
    replica: Replica,
    notes: Collection,
}

fn collection() -> CollectionName {
    CollectionName::new("notes").unwrap()
}

fn scope() -> BTreeSet<CollectionName> {
    BTreeSet::from([collection()])
}

impl Device {
    fn new() -> Device {
        Device::of(Database::open_in_memory().unwrap())
    }

    fn of(db: Database) -> Device {
        let replica = db.replica();
        replica.join(&scope(), Strategy::LastWriteWins).unwrap();
        let notes = db.collection("notes").unwrap();
        Device { db, replica, notes }
    }

    fn do_it(&self, write: Write) -> Stored {
        self.replica.carry_out(&scope(), write).unwrap()
    }

    fn load(&self, hub: &Hub) -> Stored {
        let (head, documents) = hub.snapshot();
        self.do_it(Write::SnapshotBegin { scope: scope(), head });
        let stored = self.do_it(Write::SnapshotPart(documents));
        self.do_it(Write::SnapshotFinish);
        stored
    }

    fn pull(&self, hub: &Hub) -> Stored {
        let since = self.replica.positions(&scope()).unwrap().since().lsn;
        self.do_it(Write::Page { scope: scope(), page: hub.page(since) })
    }

    fn batch(&self) -> Option<syncline::PendingBatch> {
        self.replica.next_batch(&scope(), 100, false).unwrap()
    }

    fn push(&self, hub: &mut Hub) -> Stored {
        let batch = self.batch().expect("something waits");
        let reply = hub.push(&batch.body);
        self.do_it(Write::Receipts { batch: batch.batch_id, reply })
    }

    fn sync(&self, hub: &mut Hub) {
        self.pull(hub);
        while let Some(batch) = self.batch() {
            let reply = hub.push(&batch.body);
            self.do_it(Write::Receipts { batch: batch.batch_id, reply });
        }
        self.pull(hub);
    }

    fn pending(&self) -> u64 {
        self.replica.backlog(&scope()).unwrap().pending
    }

    fn all(&self) -> Vec<Value> {
        let query = Query::from_json(&json!({"sort": {"_id": 1}})).unwrap();
        self.notes.find(&query).unwrap()
    }

    fn field(&self, id: &str, field: &str) -> Value {
        self.notes.get(id).unwrap().map_or(Value::Null, |document| document[field].clone())
    }

    fn ops(&self) -> Vec<Value> {
        let body = self.batch().map_or(json!({"ops": []}), |batch| serde_json::from_str(&batch.body).unwrap());
        body["ops"].as_array().unwrap().clone()
    }
}

fn two_devices(hub: &mut Hub) -> (Device, Device) {
    let (a, b) = (Device::new(), Device::new());
    a.load(hub);
    b.load(hub);
    a.notes.insert(json!({"_id": "n", "x": 1, "y": 1})).unwrap();
    a.sync(hub);
    b.sync(hub);
    assert_eq!(a.all(), b.all());
    (a, b)
}

#[test]
fn what_one_device_writes_the_other_reads() {
    let mut hub = Hub::new();
    let (a, b) = two_devices(&mut hub);
    a.notes.update("n", &json!({"x": 2})).unwrap();
    b.notes.update("n", &json!({"y": 3})).unwrap();
    b.notes.insert(json!({"_id": "m"})).unwrap();
    a.sync(&mut hub);
    b.sync(&mut hub);
    a.sync(&mut hub);
    assert_eq!(a.all(), b.all());
    assert_eq!((a.field("n", "x"), a.field("n", "y")), (json!(2), json!(3)));
    assert_eq!((a.pending(), b.pending()), (0, 0));
}

#[test]
fn a_batch_is_the_same_until_it_is_answered() {
    let device = Device::new();
    device.notes.insert(json!({"_id": "a", "x": 1})).unwrap();
    let first = device.batch().unwrap();
    device.notes.update("a", &json!({"x": 2})).unwrap();
    device.notes.insert(json!({"_id": "b"})).unwrap();
    assert_eq!(device.batch().unwrap(), first, "later edits leave it alone");

    let mut hub = Hub::new();
    device.load(&hub);
    let reply = hub.push(&first.body);
    let repeated = hub.push(&device.batch().unwrap().body);
    assert_eq!(reply.receipts, repeated.receipts);
    device.do_it(Write::Receipts { batch: first.batch_id, reply });
    assert_eq!(device.ops().len(), 2, "now the rest travels");
}

#[test]
fn a_batch_survives_a_crash_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let (node, batch) = {
        let device = Device::of(Database::open(&path).unwrap());
        device.notes.insert(json!({"_id": "a"})).unwrap();
        (device.replica.node().unwrap(), device.batch().unwrap())
    };
    let device = Device::of(Database::open(&path).unwrap());
    assert_eq!(device.replica.node().unwrap(), node);
    assert_eq!(device.batch().unwrap(), batch);
}

#[test]
fn edits_that_no_hub_has_seen_fold_into_one_op() {
    let device = Device::new();
    device.notes.insert(json!({"_id": "a", "x": 1})).unwrap();
    device.notes.update("a", &json!({"x": 2})).unwrap();
    device.notes.insert(json!({"_id": "gone"})).unwrap();
    device.notes.remove("gone").unwrap();
    let ops = device.ops();
    assert_eq!(ops.len(), 1);
    assert_eq!((&ops[0]["op"], &ops[0]["doc"]["x"]), (&json!("insert"), &json!(2)));
}

#[test]
fn a_removal_of_what_the_hub_has_shown_is_told_even_when_the_own_insert_was_not() {
    // Found by world 157.
    let mut hub = Hub::new();
    let (a, b) = (Device::new(), Device::new());
    a.load(&hub);
    b.load(&hub);
    a.notes.insert(json!({"_id": "n", "x": "a"})).unwrap();
    b.notes.insert(json!({"_id": "n", "x": "b"})).unwrap();
    b.sync(&mut hub);
    a.pull(&hub);
    a.notes.remove("n").unwrap();
    a.sync(&mut hub);
    assert_eq!((hub.text("n"), a.all()), (None, vec![]));
}

#[test]
fn an_edit_that_lost_on_the_device_is_not_swallowed_by_the_next_one() {
    // Found by world 1582.
    let mut hub = Hub::new();
    let (a, b) = two_devices(&mut hub);
    a.notes.replace("n", json!({"_id": "n", "x": "lost"})).unwrap();
    b.notes.replace("n", json!({"_id": "n", "z": 1})).unwrap();
    b.sync(&mut hub);
    a.pull(&hub);
    a.notes.update("n", &json!({"z": 2})).unwrap();
    let offered = serde_json::to_string(&a.ops()).unwrap();
    assert!(offered.contains("lost"), "the hub must hear of it to keep it: {offered}");
}

#[test]
fn an_op_gets_its_number_when_it_is_first_offered() {
    let device = Device::new();
    let others = BTreeSet::from([CollectionName::new("tasks").unwrap()]);
    device.replica.join(&others, Strategy::LastWriteWins).unwrap();
    device.notes.insert(json!({"_id": "waits"})).unwrap();
    device.db.collection("tasks").unwrap().insert(json!({"_id": "goes"})).unwrap();
    let seq = |body: &str| serde_json::from_str::<Value>(body).unwrap()["ops"][0]["seq"].as_u64().unwrap();
    let goes = seq(&device.replica.next_batch(&others, 100, false).unwrap().unwrap().body);
    let waits = seq(&device.batch().unwrap().body);
    assert!(waits > goes, "however long it waited, the hub has never seen this number");
}

#[test]
fn numbers_of_a_batch_under_way_are_used_up_even_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let scope = |name: &str| BTreeSet::from([CollectionName::new(name).unwrap()]);
    let offered = |db: &Database, name: &str| -> Vec<u64> {
        let body = db.replica().next_batch(&scope(name), 100, false).unwrap().unwrap().body;
        let body: Value = serde_json::from_str(&body).unwrap();
        body["ops"].as_array().unwrap().iter().map(|op| op["seq"].as_u64().unwrap()).collect()
    };
    let db = Database::open(&path).unwrap();
    for name in ["notes", "tasks"] {
        db.replica().join(&scope(name), Strategy::LastWriteWins).unwrap();
        db.collection(name).unwrap().insert(json!({"_id": "1"})).unwrap();
    }
    let before = offered(&db, "notes");
    drop(db);

    let db = Database::open(&path).unwrap();
    let after = offered(&db, "tasks");
    assert_eq!(offered(&db, "notes"), before, "what was offered keeps its numbers");
    assert!(after > before, "{after:?} would pass for repeats of {before:?}");
}

#[test]
fn numbers_are_never_used_twice_even_when_the_last_op_was_folded_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    {
        let device = Device::of(Database::open(&path).unwrap());
        device.notes.insert(json!({"_id": "a"})).unwrap();
        device.notes.remove("a").unwrap();
        assert_eq!(device.pending(), 0);
    }
    let device = Device::of(Database::open(&path).unwrap());
    device.notes.insert(json!({"_id": "b"})).unwrap();
    assert!(device.ops()[0]["seq"].as_u64().unwrap() > 1);
}

#[test]
fn ops_of_a_transaction_travel_together_and_are_not_folded_into_others() {
    let device = Device::new();
    device.notes.insert(json!({"_id": "a", "x": 1})).unwrap();
    device
        .db
        .transaction(|tx| {
            tx.collection("notes")?.update("a", &json!({"x": 2}))?;
            tx.collection("notes")?.insert(json!({"_id": "b"}))
        })
        .unwrap();
    device.notes.update("b", &json!({"later": true})).unwrap();
    let body: Value =
        serde_json::from_str(&device.replica.next_batch(&scope(), 2, false).unwrap().unwrap().body).unwrap();
    assert_eq!(body["ops"].as_array().unwrap().len(), 1, "the transaction does not fit and waits");
    let rest: Value = serde_json::from_str(&{
        let mut hub = Hub::new();
        device.load(&hub);
        device.push(&mut hub);
        device.batch().unwrap().body
    })
    .unwrap();
    let txns: Vec<&Value> = rest["ops"].as_array().unwrap().iter().map(|op| &op["txn"]).collect();
    assert_eq!(txns, [&json!(1), &json!(1), &Value::Null]);
}

#[test]
fn documents_of_a_collection_that_joins_later_are_sent() {
    let db = Database::open_in_memory().unwrap();
    db.collection("notes").unwrap().insert(json!({"_id": "old"})).unwrap();
    let device = Device::of(db);
    assert_eq!(device.ops()[0]["id"], "old");
}

#[test]
fn an_edit_stays_visible_between_its_receipt_and_its_page() {
    let mut hub = Hub::new();
    let (a, _) = two_devices(&mut hub);
    a.notes.update("n", &json!({"x": 9})).unwrap();
    a.push(&mut hub);
    assert_eq!((a.field("n", "x"), a.pending()), (json!(9), 0));
    a.pull(&hub);
    assert_eq!(a.field("n", "x"), json!(9));
}

#[test]
fn a_pending_edit_is_rebased_on_what_others_wrote() {
    let mut hub = Hub::new();
    let (a, b) = two_devices(&mut hub);
    a.notes.update("n", &json!({"x": 2})).unwrap();
    b.notes.update("n", &json!({"y": 3})).unwrap();
    b.push(&mut hub);
    a.pull(&hub);
    assert_eq!((a.field("n", "x"), a.field("n", "y")), (json!(2), json!(3)));
    assert_eq!(a.pending(), 1);
}

#[test]
fn a_rejected_op_goes_to_quarantine_and_the_document_back_to_the_hubs() {
    let folder = tempfile::tempdir().unwrap();
    let a = Device::of(Database::open(folder.path().join("app.db")).unwrap());
    let mut hub = Hub::new();
    a.load(&hub);
    a.notes.insert(json!({"_id": "n", "x": 1})).unwrap();
    a.sync(&mut hub);
    a.notes.update("n", &json!({"x": 2})).unwrap();
    let batch = a.batch().unwrap();
    let rejection = Rejection { code: "forbidden".into(), reason: "read only".into() };
    let seq = Seq(a.ops()[0]["seq"].as_u64().unwrap());
    let receipt = Receipt { seq, result: Verdict::Rejected, lsn: Lsn(0), rejection: Some(rejection) };
    let reply = PushReply { receipts: vec![receipt], epoch: hub.epoch.clone(), ..PushReply::default() };

    let stored = a.do_it(Write::Receipts { batch: batch.batch_id, reply });

    assert_eq!(stored.quarantined.len(), 1);
    assert_eq!((a.field("n", "x"), a.pending()), (json!(1), 0));
    let log = std::fs::read_to_string(folder.path().join("quarantine_notes.log")).unwrap();
    let line: Value = serde_json::from_str(log.trim()).unwrap();
    assert_eq!((&line["error"]["code"], &line["operation"]["op"]), (&json!("forbidden"), &json!("update")));
    let aside = a.replica.quarantined(None).unwrap();
    a.replica.retry_quarantined(aside[0].number).unwrap();
    assert_eq!((a.field("n", "x"), a.pending()), (json!(2), 1));
    assert!(a.replica.quarantined(None).unwrap().is_empty());
}

#[test]
fn a_snapshot_keeps_local_edits_and_resumes_after_a_crash() {
    let mut hub = Hub::new();
    let (writer, other) = two_devices(&mut hub);
    writer.notes.insert_many((0..10).map(|n| json!({"_id": format!("d{n}")}))).unwrap();
    writer.sync(&mut hub);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let (head, documents) = hub.snapshot();
    {
        let device = Device::of(Database::open(&path).unwrap());
        device.notes.insert(json!({"_id": "mine"})).unwrap();
        device.notes.insert(json!({"_id": "d3", "local": true})).unwrap();
        device.do_it(Write::SnapshotBegin { scope: scope(), head: head.clone() });
        device.do_it(Write::SnapshotPart(documents[..4].to_vec()));
    }
    let device = Device::of(Database::open(&path).unwrap());
    let begun = device.replica.positions(&scope()).unwrap().snapshot.unwrap();
    assert_eq!((begun.after, begun.documents, begun.cursor.lsn), (Some(documents[3].lsn), 4, head.server_lsn));
    device.do_it(Write::SnapshotPart(documents[4..].to_vec()));
    device.do_it(Write::SnapshotFinish);
    device.sync(&mut hub);
    other.sync(&mut hub);
    assert_eq!(device.all(), other.all());
    assert_eq!(device.field("d3", "local"), json!(true));
    assert_eq!(device.all().len(), 12);
}

#[test]
fn a_resync_drops_what_the_hub_has_lost_and_keeps_the_outbox() {
    let mut hub = Hub::new();
    let (a, _) = two_devices(&mut hub);
    let backup = hub.state.clone();
    a.notes.insert(json!({"_id": "lost"})).unwrap();
    a.sync(&mut hub);
    a.notes.insert(json!({"_id": "kept"})).unwrap();
    let sent = a.batch().unwrap();
    (hub.state, hub.epoch) = (backup, Epoch::new("e2").unwrap());

    a.do_it(Write::Resync(scope()));
    assert_eq!(a.replica.positions(&scope()).unwrap().cursors[&collection()], None);
    a.load(&hub);

    assert_eq!(a.notes.get("lost").unwrap(), None);
    let again = a.batch().unwrap();
    assert_ne!(again.batch_id, sent.batch_id, "the batch named the old history");
    a.sync(&mut hub);
    assert!(hub.text("kept").is_some() && a.pending() == 0);
}

#[test]
fn a_clear_spares_what_others_changed_meanwhile() {
    let mut hub = Hub::new();
    let (a, b) = two_devices(&mut hub);
    a.notes.insert(json!({"_id": "m"})).unwrap();
    a.sync(&mut hub);
    b.notes.update("n", &json!({"x": 5})).unwrap();
    b.push(&mut hub);
    assert_eq!(a.notes.clear().unwrap(), 2);
    assert_eq!(a.all().len(), 0);
    assert_eq!(a.ops().len(), 1);
    a.sync(&mut hub);
    b.sync(&mut hub);
    assert_eq!(a.all(), b.all());
    assert_eq!(a.field("n", "x"), json!(5));
}

#[test]
fn a_cleared_document_does_not_come_back_with_its_own_page() {
    let mut hub = Hub::new();
    let (a, _) = two_devices(&mut hub);
    a.notes.insert(json!({"_id": "m"})).unwrap();
    a.push(&mut hub);
    a.notes.clear().unwrap();
    a.pull(&hub);
    assert_eq!(a.all(), Vec::<Value>::new());
    a.sync(&mut hub);
    assert_eq!((a.all().len(), hub.text("m")), (0, None));
}

#[test]
fn an_own_resolver_decides_conflicts_of_edits_that_were_never_sent() {
    for (choice, expected) in [
        (Resolution::KeepLocal, json!("a")),
        (Resolution::KeepRemote, json!("b")),
        (Resolution::Use(json!({"_id": "n", "x": "both"})), json!("both")),
    ] {
        let mut hub = Hub::new();
        let (a, b) = two_devices(&mut hub);
        a.notes.update("n", &json!({"x": "a"})).unwrap();
        b.notes.update("n", &json!({"x": "b"})).unwrap();
        b.sync(&mut hub);
        let decided = choice.clone();
        a.replica.set_resolver(
            collection(),
            Some(Arc::new(move |conflict| {
                assert_eq!(conflict.base.as_ref().unwrap()["x"], 1);
                assert_eq!(conflict.remote.as_ref().unwrap()["x"], "b");
                decided.clone()
            })),
        );
        a.sync(&mut hub);
        b.sync(&mut hub);
        assert_eq!((a.field("n", "x"), b.field("n", "x")), (expected.clone(), expected), "{choice:?}");
        assert_eq!(a.pending(), 0);
    }
}

#[test]
fn a_pulled_document_that_breaks_a_unique_index_blocks_nothing_and_is_reported() {
    let mut hub = Hub::new();
    let (a, b) = two_devices(&mut hub);
    b.notes.create_index(None, "mail", true).unwrap();
    b.notes.insert(json!({"_id": "mine", "mail": "x"})).unwrap();
    a.notes.insert(json!({"_id": "theirs", "mail": "x"})).unwrap();
    a.push(&mut hub);
    let stored = b.pull(&hub);
    assert_eq!(stored.quarantined.len(), 1);
    assert!(stored.quarantined[0].message.contains("`mine`"), "{}", stored.quarantined[0].message);
    assert_eq!(b.notes.count(&Filter::parse(&json!({"mail": "x"})).unwrap()).unwrap(), 2);
}

#[test]
fn documents_that_rust_cannot_hold_are_read_as_the_nearest_and_go_back_unchanged() {
    let mut hub = Hub::new();
    let device = Device::new();
    let text = r#"{"_id":"odd","cut":"a\ud83d","far":{"n":1e400},"long":123456789012345678901234567890}"#;
    let insert = format!(
        r#"{{"node":"other","batchId":"b1","ops":[{{"seq":1,"op":"insert","collection":"notes","id":"odd","stamp":1,"doc":{text}}},
            {{"seq":2,"op":"insert","collection":"notes","id":"plain","stamp":2,"doc":{{"_id":"plain","cut":"b"}}}}]}}"#
    );
    hub.push(&insert);
    device.load(&hub);

    assert_eq!(device.all().len(), 2);
    assert_eq!(device.field("odd", "cut"), json!("a\u{fffd}"));
    let sorted = Query::new(Filter::parse(&json!({ "far.n": { "$gt": 1 } })).unwrap());
    assert_eq!(device.notes.find(&sorted).unwrap().len(), 1);
    device.notes.update("odd", &json!({ "new": 1, "far": { "m": 2 } })).unwrap();
    device.sync(&mut hub);

    let stored = hub.documents().into_iter().find(|op| op.id.as_str() == "odd").unwrap().doc.unwrap();
    assert!(stored.get().contains(r#""cut":"a\ud83d""#), "{stored}");
    assert!(stored.get().contains(r#""long":123456789012345678901234567890"#), "{stored}");
}

#[test]
fn cleared_pending_edits_leave_the_hubs_documents() {
    let mut hub = Hub::new();
    let (a, b) = two_devices(&mut hub);
    a.notes.update("n", &json!({"x": 7})).unwrap();
    a.notes.insert(json!({"_id": "new"})).unwrap();
    assert_eq!(a.replica.clear_pending(&scope()).unwrap(), 2);
    assert_eq!((a.all(), a.pending()), (b.all(), 0));
}

/// Numbers that look random and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// One random step of one device: an edit, a pull, a push, a push whose reply is lost, a new start.
fn step(device: &Device, hub: &mut Hub, dice: &mut Dice) {
    let id = format!("d{}", dice.roll(4));
    let field = ["x", "y", "z"][usize::try_from(dice.roll(3)).unwrap()];
    let value = json!(dice.roll(1_000));
    match dice.roll(16) {
        0..4 => drop(device.notes.insert(json!({"_id": id, (field): value}))),
        4..8 => drop(device.notes.update(&id, &json!({(field): value}))),
        8 => drop(device.notes.replace(&id, json!({(field): value}))),
        9 => drop(device.notes.remove(&id).unwrap()),
        10 if dice.roll(4) == 0 => drop(device.notes.clear().unwrap()),
        11 => drop(device.db.transaction(|tx| {
            tx.collection("notes")?.upsert(json!({"_id": id, (field): value}))?;
            tx.collection("notes")?.upsert(json!({"_id": "d0", (field): value}))
        })),
        12 | 13 => drop(device.pull(hub)),
        14 => {
            if let Some(batch) = device.replica.next_batch(&scope(), 3, false).unwrap() {
                let reply = hub.push(&batch.body);
                if dice.roll(3) > 0 {
                    device.do_it(Write::Receipts { batch: batch.batch_id, reply });
                }
            }
        }
        _ if dice.roll(6) == 0 => {
            device.do_it(Write::Resync(scope()));
            device.load(hub);
        }
        _ => {}
    }
}

#[test]
fn random_worlds_converge() {
    let mut documents_left = 0;
    for seed in 0..150 {
        let (mut hub, mut dice) = (Hub::new(), Dice(seed));
        let devices = [Device::new(), Device::new(), Device::new()];
        devices[1].notes.create_index(None, "x", false).unwrap();
        devices.iter().for_each(|device| drop(device.load(&hub)));
        for _ in 0..120 {
            let device = &devices[usize::try_from(dice.roll(3)).unwrap()];
            step(device, &mut hub, &mut dice);
        }
        for _ in 0..2 {
            devices.iter().for_each(|device| device.sync(&mut hub));
        }
        let expected: Vec<Value> = (0..4).filter_map(|n| hub.text(&format!("d{n}"))).collect();
        documents_left += expected.len();
        for (n, device) in devices.iter().enumerate() {
            assert_eq!(device.all(), expected, "device {n} of seed {seed}");
            assert_eq!(device.pending(), 0, "device {n} of seed {seed}");
            for value in [1, 500].into_iter().chain(expected.iter().filter_map(|d| d["x"].as_i64())) {
                let found = device.notes.count(&Filter::parse(&json!({"x": value})).unwrap()).unwrap();
                assert_eq!(found, expected.iter().filter(|d| d["x"] == value).count(), "index, seed {seed}");
            }
        }
    }
    assert!(documents_left > 150, "the worlds are not empty");
}
