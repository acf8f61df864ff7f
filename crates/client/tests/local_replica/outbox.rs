//! What leaves a device: batches, numbers, folding.

use super::world::{Device, Hub, scope, two_devices};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use syncline::{Database, DatabaseOptions, PendingBatch};
use syncline_core::model::{
    Author, CollectionName, Lsn, Millis, PushReply, Receipt, Rejection, Seq, Strategy, Verdict,
};
use syncline_core::session::Write;

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
    device.do_it(Write::Receipts { batch: first.batch_id, reply, unread: false });
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
fn an_op_that_waited_for_long_gets_its_number_when_it_is_first_offered() {
    let now = Arc::new(AtomicU64::new(1_767_225_600_000));
    let reads = Arc::clone(&now);
    let options = DatabaseOptions::memory().timestamps(false).time(move || Millis(reads.load(Ordering::Relaxed)));
    let device = Device::of(Database::open_with(options).unwrap());
    let others = BTreeSet::from([CollectionName::new("tasks").unwrap()]);
    device.replica.join(&others, Strategy::LastWriteWins).unwrap();
    device.notes.insert(json!({"_id": "waits"})).unwrap();
    device.db.collection("tasks").unwrap().insert(json!({"_id": "goes"})).unwrap();
    let seq = |body: &str| serde_json::from_str::<Value>(body).unwrap()["ops"][0]["seq"].as_u64().unwrap();
    let goes = seq(&device.replica.next_batch(&others, 100, false).unwrap().unwrap().body);
    now.fetch_add(31 * 24 * 3_600_000, Ordering::Relaxed);
    let waits = seq(&device.batch().unwrap().body);
    assert!(waits > goes, "however long it waited, the hub has never seen this number");
}

#[test]
fn two_copies_of_a_database_call_an_op_that_both_hold_by_the_same_name() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("app.db"), folder.path().join("copy.db"));
    let device = Device::of(Database::open(&path).unwrap());
    device.notes.insert(json!({"_id": "first"})).unwrap();
    device.notes.insert(json!({"_id": "second"})).unwrap();
    drop(device);
    std::fs::copy(&path, &copy).unwrap();
    let name = |body: &str| {
        let push: Value = serde_json::from_str(body).unwrap();
        let second = push["ops"].as_array().unwrap().iter().find(|op| op["id"] == "second").unwrap()["seq"].clone();
        (push["node"].clone(), second)
    };
    let (one, other) = (Device::of(Database::open(&path).unwrap()), Device::of(Database::open(&copy).unwrap()));
    one.notes.remove("first").unwrap();
    other.notes.insert(json!({"_id": "third"})).unwrap();
    assert_eq!(name(&one.batch().unwrap().body), name(&other.batch().unwrap().body), "the hub takes it for a repeat");
}

#[test]
fn a_database_that_takes_another_name_offers_under_the_old_one_what_a_hub_may_have_seen() {
    let device = Device::new();
    let tasks = BTreeSet::from([CollectionName::new("tasks").unwrap()]);
    device.replica.join(&tasks, Strategy::LastWriteWins).unwrap();
    device.db.collection("tasks").unwrap().insert(json!({"_id": "on its way"})).unwrap();
    let on_its_way = device.replica.next_batch(&tasks, 100, false).unwrap().unwrap();
    device.notes.insert(json!({"_id": "n"})).unwrap();
    let refused = device.batch().unwrap();
    let reused = |batch: &PendingBatch| {
        let push: Value = serde_json::from_str(&batch.body).unwrap();
        let rejection = Rejection { code: Rejection::NUMBER_REUSED.into(), reason: "another op's".into() };
        let seq = Seq(push["ops"][0]["seq"].as_u64().unwrap());
        let receipt = Receipt { seq, result: Verdict::Rejected, lsn: Lsn(0), rejection: Some(rejection), digest: None };
        let reply = PushReply { receipts: vec![receipt], author: Author(7), ..PushReply::default() };
        device.do_it(Write::Receipts { batch: batch.batch_id.clone(), reply, unread: false })
    };

    let told = reused(&refused);

    assert_eq!((told.settled, told.renumbered, told.quarantined.len()), (0, 1, 0));
    let renamed = told.renamed.unwrap();

    let node = |body: &str| serde_json::from_str::<Value>(body).unwrap()["node"].clone();
    assert_ne!(renamed.before, renamed.now);
    let again = device.batch().unwrap();
    assert_ne!(again.batch_id, refused.batch_id);
    assert_eq!(node(&again.body), renamed.now.as_str());
    let repeat = device.replica.next_batch(&tasks, 100, false).unwrap().unwrap();
    assert_eq!(repeat, on_its_way, "its answer may still come, and the op must count once");
    assert_eq!(node(&repeat.body), renamed.before.as_str());
    assert_eq!(reused(&repeat).renamed, None, "the name was given up already");
    let moved = device.replica.next_batch(&tasks, 100, false).unwrap().unwrap();
    assert_eq!(node(&moved.body), renamed.now.as_str());
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
fn what_was_built_on_half_a_transaction_waits_with_it_and_the_rest_goes() {
    let device = Device::new();
    let diary = BTreeSet::from([CollectionName::new("diary").unwrap()]);
    device.replica.join(&diary, Strategy::LastWriteWins).unwrap();
    device.notes.insert(json!({"_id": "before"})).unwrap();
    device
        .db
        .transaction(|tx| {
            tx.collection("notes")?.insert(json!({"_id": "half"}))?;
            tx.collection("diary")?.insert(json!({"_id": "other half"}))
        })
        .unwrap();
    device.notes.update("half", &json!({"built": "on it"})).unwrap();
    device.notes.insert(json!({"_id": "after"})).unwrap();
    let ids = |ops: Vec<Value>| ops.iter().map(|op| op["id"].clone()).collect::<Vec<_>>();
    let mut hub = Hub::new();
    device.load(&hub);

    // Only the notes sync: halves do not travel.
    assert_eq!(ids(device.ops()), ["before", "after"]);
    device.push(&mut hub);
    assert!(device.batch().is_none());
    // A clear of everything must not overtake what it clears, nor be overtaken.
    device.notes.clear().unwrap();
    device.notes.insert(json!({"_id": "fresh"})).unwrap();
    assert!(device.batch().is_none());

    // Both sync: everything goes, in its order.
    let both = scope().into_iter().chain(diary).collect();
    let all = device.replica.next_batch(&both, 100, false).unwrap().unwrap();
    let body: Value = serde_json::from_str(&all.body).unwrap();
    let ops: Vec<_> = body["ops"].as_array().unwrap().iter().map(|op| op["op"].as_str().unwrap()).collect();
    assert!(ops.starts_with(&["insert", "insert"]) && ops.ends_with(&["clear", "insert"]), "{ops:?}");
}

#[test]
fn a_device_that_may_not_read_keeps_no_receipted_ops() {
    // Given a device that pushes and is told of nothing.
    let home = tempfile::tempdir().unwrap();
    let (mut hub, file) = (Hub::new(), home.path().join("a.db"));
    let a = Device::of(syncline::Database::open(&file).unwrap());
    let push = |hub: &mut Hub| {
        let batch = a.batch().unwrap();
        let reply = hub.push(&batch.body);
        a.do_it(Write::Receipts { batch: batch.batch_id, reply, unread: true });
    };
    a.notes.insert(json!({"_id": "n", "x": 0})).unwrap();
    push(&mut hub);

    // When it edits a document again and again, while another device edits it too.
    for x in 1..=5 {
        a.notes.update("n", &json!({ "x": x })).unwrap();
        push(&mut hub);
    }
    let b = Device::new();
    b.load(&hub);
    b.notes.update("n", &json!({"y": 1})).unwrap();
    b.sync(&mut hub);
    a.notes.insert(json!({"_id": "gone"})).unwrap();
    push(&mut hub);
    a.notes.remove("gone").unwrap();
    push(&mut hub);

    // Then it sees its own edits, and none of them is kept.
    assert_eq!((a.field("n", "x"), a.notes.get("gone").unwrap()), (json!(5), None));
    let Device { db, replica, notes } = a;
    drop((db, replica, notes));
    let kept = || {
        let conn = rusqlite::Connection::open(&file).unwrap();
        conn.query_row("SELECT count(*) FROM outbox", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(kept(), 0);

    // And once it may read, it comes to what the hub has.
    let a = Device::of(syncline::Database::open(&file).unwrap());
    a.load(&hub);
    b.sync(&mut hub);
    assert_eq!((a.all(), a.field("n", "y")), (b.all(), json!(1)));
}
