//! What the hub refuses, and what the app gives up.

use super::world::{Device, Hub, scope, two_devices};
use serde_json::{Value, json};
use syncline::filter::Filter;
use syncline::{Database, Error};
use syncline_core::model::{Lsn, Receipt, Rejection, Seq, Verdict};
use syncline_core::session::Write;
use syncline_core::wire::own::PushReply;

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
    let receipt = Receipt { seq, result: Verdict::Rejected, lsn: Lsn(0), rejection: Some(rejection), digest: None };
    let reply = PushReply { receipts: vec![receipt], epoch: hub.epoch.clone(), ..PushReply::default() };

    let stored = a.do_it(Write::Receipts { batch: batch.batch_id, reply, unread: false });

    assert_eq!(stored.quarantined.len(), 1);
    assert_eq!((a.field("n", "x"), a.pending()), (json!(1), 0));
    let log = std::fs::read_to_string(folder.path().join("quarantine_notes.log")).unwrap();
    let line: Value = serde_json::from_str(log.trim()).unwrap();
    assert_eq!((&line["error"]["code"], &line["operation"]["op"]), (&json!("forbidden"), &json!("update")));
    let aside = a.replica.quarantined(None).unwrap();
    a.replica.retry_quarantined(aside[0].number, None).unwrap();
    assert_eq!((a.field("n", "x"), a.pending()), (json!(2), 1));
    assert!(a.replica.quarantined(None).unwrap().is_empty());
}

#[test]
fn a_retry_sets_what_the_op_set_also_where_it_is_null() {
    let mut hub = Hub::new();
    let (a, _) = two_devices(&mut hub);
    a.notes.insert(json!({"_id": "m", "place": {"city": "Oslo", "zip": null}, "gone": 1})).unwrap();
    a.sync(&mut hub);
    a.notes.update("m", &json!({"place": {"city": "Rome"}, "gone": null})).unwrap();
    let batch = a.replica.next_batch(&scope(), 10, false).unwrap().unwrap();
    let aside = a.replica.refuse(&batch.batch_id, "too big").unwrap();
    assert_eq!((aside.settled, a.field("m", "gone")), (1, json!(1)));

    a.db.retry_quarantined(a.replica.quarantined(None).unwrap()[0].number).unwrap();

    assert_eq!(a.field("m", "place"), json!({"city": "Rome", "zip": null}));
    assert_eq!(a.notes.get("m").unwrap().unwrap().get("gone"), None);
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
fn cleared_pending_edits_leave_the_hubs_documents() {
    let mut hub = Hub::new();
    let (a, b) = two_devices(&mut hub);
    a.notes.update("n", &json!({"x": 7})).unwrap();
    a.notes.insert(json!({"_id": "new"})).unwrap();
    assert_eq!(a.replica.clear_pending(&scope()).unwrap(), 2);
    assert_eq!((a.all(), a.pending()), (b.all(), 0));
}

#[test]
fn a_quarantined_op_is_retried_with_another_content() {
    let mut hub = Hub::new();
    let (a, _) = two_devices(&mut hub);
    a.notes.insert(json!({"_id": "m", "text": "far too long"})).unwrap();
    a.notes.update("n", &json!({"x": 2})).unwrap();
    let batch = a.batch().unwrap();
    a.replica.refuse(&batch.batch_id, "too big").unwrap();
    let aside = a.db.quarantined().unwrap();
    let (insert, update) = (aside[0].number, aside[1].number);
    for (number, content) in [(insert, json!({"_id": "other"})), (insert, json!(7)), (update, json!({"x": 3}))] {
        assert!(matches!(a.db.retry_quarantined_with(number, &content), Err(Error::Malformed(_))), "{content}");
    }
    assert_eq!(a.db.quarantined().unwrap().len(), 2, "they stay");

    a.db.retry_quarantined_with(insert, &json!({"_id": "m", "text": "short"})).unwrap();
    a.db.retry_quarantined_with(update, &json!({"set": {"x": 3}, "unset": ["y"]})).unwrap();

    assert_eq!((a.field("m", "text"), a.field("n", "x"), a.field("n", "y")), (json!("short"), json!(3), Value::Null));
    assert!(matches!(a.db.retry_quarantined_with(insert, &json!({})), Err(Error::NotQuarantined(_))));
}
