//! Pages and snapshots under pending edits.

use super::world::{Device, Hub, collection, scope, two_devices};
use serde_json::{Value, json};
use std::sync::Arc;
use syncline::filter::Filter;
use syncline::query::Query;
use syncline::{Database, Resolution};
use syncline_core::model::Epoch;
use syncline_core::session::Write;

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
