//! What becomes of own edits: receipts that are awaited, conflicts that are kept, ops that wait and are changed or given up.

use super::world::{Device, Hub, scope, two_devices};
use serde_json::{Value, json};
use std::time::Duration;
use syncline::{Database, Error, Fate, WriteReceipt};
use syncline_core::model::Lsn;

/// Long enough for anything that comes at all.
const SOON: Duration = Duration::from_secs(20);

/// An update of a note, and what becomes of it.
fn update(device: &Device, id: &str, patch: &Value) -> WriteReceipt {
    device.db.receipted(|tx| tx.collection("notes")?.update(id, patch)).unwrap().1
}

/// `a` has edited the note before it heard of what `b` did to it.
fn contested(ours: &Value, theirs: &Value) -> (Hub, Device, WriteReceipt) {
    let mut hub = Hub::new();
    let (a, b) = two_devices(&mut hub);
    let receipt = update(&a, "n", ours);
    b.notes.update("n", theirs).unwrap();
    b.sync(&mut hub);
    assert_eq!(receipt.fates(), [Fate::Pending]);
    a.sync(&mut hub);
    (hub, a, receipt)
}

#[test]
fn a_write_is_awaited_until_the_hub_has_accepted_it() {
    let mut hub = Hub::new();
    let (a, _) = two_devices(&mut hub);
    let (_, receipt) =
        a.db.receipted(|tx| {
            tx.collection("notes")?.insert(json!({"_id": "m"}))?;
            tx.collection("notes")?.update("n", &json!({"x": 2}))
        })
        .unwrap();
    assert_eq!((receipt.is_settled(), receipt.fates()), (false, vec![Fate::Pending; 2]));
    let waiting = std::thread::spawn({
        let receipt = receipt.clone();
        move || receipt.wait(SOON)
    });

    a.sync(&mut hub);

    let accepted = [Fate::Accepted { lsn: Lsn(2) }, Fate::Accepted { lsn: Lsn(3) }];
    assert_eq!(waiting.join().unwrap(), accepted);
    assert_eq!(futures_util::FutureExt::now_or_never(receipt.settled()).unwrap(), accepted);
}

#[test]
fn what_an_edit_met_is_told_with_the_number_that_keeps_it() {
    let (_, a, receipt) = contested(&json!({"x": 5, "y": 5}), &json!({"x": 7}));
    let [Fate::Merged { lsn, conflict }] = receipt.fates()[..] else { panic!("{receipt:?}") };
    assert_eq!(lsn, Lsn(3));
    let kept = a.db.conflicts().unwrap();
    assert_eq!((kept.len(), kept[0].number, kept[0].lsn, kept[0].merged), (1, conflict, Lsn(3), true));
    assert_eq!(kept[0].operation["set"]["x"], 5);

    let (_, a, receipt) = contested(&json!({"x": 5}), &json!({"x": 7}));
    let [Fate::Superseded { lsn, conflict }] = receipt.fates()[..] else { panic!("{receipt:?}") };
    assert_eq!((lsn, conflict, a.field("n", "x")), (Lsn(2), a.db.conflicts().unwrap()[0].number, json!(7)));
}

#[test]
fn a_write_that_is_given_up_is_told_so() {
    let mut hub = Hub::new();
    let (a, _) = two_devices(&mut hub);
    let undone = a.db.receipted(|tx| tx.collection("notes")?.insert(json!({"_id": "m"}))).unwrap().1;
    let cleared = update(&a, "n", &json!({"x": 2}));
    a.notes.remove("m").unwrap();
    assert_eq!((undone.fates(), cleared.is_settled()), (vec![Fate::Withdrawn], false));
    a.replica.clear_pending(&scope()).unwrap();
    assert_eq!(cleared.wait(SOON), [Fate::Withdrawn]);

    let refused = update(&a, "n", &json!({"x": 3}));
    let batch = a.batch().unwrap();
    a.replica.refuse(&batch.batch_id, "too big").unwrap();
    let [Fate::Rejected { reason, quarantined, .. }] = &refused.fates()[..] else { panic!("{refused:?}") };
    assert_eq!((reason.as_str(), *quarantined), ("too big", a.db.quarantined().unwrap()[0].number));
}

#[test]
fn nobody_waits_for_what_no_hub_has_a_part_in_nor_for_a_database_that_is_closed() {
    let db = Database::open_in_memory().unwrap();
    let local = db.receipted(|tx| tx.collection("drafts")?.insert(json!({"_id": "d"}))).unwrap().1;
    assert_eq!((local.is_settled(), local.fates()), (true, vec![]));

    let a = Device::new();
    a.load(&Hub::new());
    let receipt = a.db.receipted(|tx| tx.collection("notes")?.insert(json!({"_id": "m"}))).unwrap().1;
    assert_eq!(receipt.wait(Duration::ZERO), [Fate::Pending], "the time is over");
    drop(a);
    assert_eq!(receipt.wait(SOON), [Fate::Pending], "the op stays in the file");
}

#[test]
fn an_edit_that_lost_is_kept_over_a_restart_and_made_again_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let mut hub = Hub::new();
    let (_, b) = two_devices(&mut hub);
    let a = Device::of(Database::open(&path).unwrap());
    a.load(&hub);
    a.notes.update("n", &json!({"x": 5})).unwrap();
    b.notes.update("n", &json!({"x": 7})).unwrap();
    b.sync(&mut hub);
    a.sync(&mut hub);
    let lost = a.field("n", "x");
    drop(a);

    let a = Device::of(Database::open(&path).unwrap());
    let kept = a.db.conflicts().unwrap();
    assert_eq!((kept.len(), kept[0].id.as_str(), lost), (1, "n", json!(7)));
    a.db.restore_conflict(kept[0].number).unwrap();

    assert_eq!((a.field("n", "x"), a.pending()), (json!(5), 1), "a new edit");
    a.sync(&mut hub);
    b.sync(&mut hub);
    assert_eq!(b.field("n", "x"), json!(5));
    assert!(a.db.conflicts().unwrap().is_empty());
    assert!(matches!(a.db.restore_conflict(kept[0].number), Err(Error::NoConflict(_))));
    assert!(matches!(a.db.discard_conflict(99), Err(Error::NoConflict(99))));
}

#[test]
fn a_document_that_two_have_made_keeps_what_the_other_gave_it() {
    let mut hub = Hub::new();
    let (a, b) = two_devices(&mut hub);
    b.notes.insert(json!({"_id": "m", "x": 7, "theirs": 1})).unwrap();
    a.notes.insert(json!({"_id": "m", "x": 5})).unwrap();
    let late = b.notes.update("m", &json!({"x": 8})).unwrap();
    assert_eq!(late["x"], 8);
    b.sync(&mut hub);
    a.sync(&mut hub);
    let kept = a.db.conflicts().unwrap();

    a.db.restore_conflict(kept[0].number).unwrap();

    assert_eq!((a.field("m", "x"), a.field("m", "theirs")), (json!(5), json!(1)));
}

#[test]
fn what_waits_is_listed_and_changed_while_no_hub_has_seen_it() {
    let mut hub = Hub::new();
    let (a, b) = two_devices(&mut hub);
    a.notes.insert(json!({"_id": "m", "title": "tpyo"})).unwrap();
    a.notes.update("n", &json!({"x": 2})).unwrap();
    let waiting = a.db.unsynced().unwrap();
    let shown: Vec<_> = waiting.iter().map(|op| (op.id.as_ref().unwrap().as_str(), op.offered)).collect();
    assert_eq!(shown, [("m", false), ("n", false)]);
    let (insert, edit) = (waiting[0].number, waiting[1].number);

    a.db.edit_unsynced(insert, &json!({"_id": "m", "title": "typo"})).unwrap();
    a.db.edit_unsynced(edit, &json!({"set": {"x": 3}, "unset": ["y"]})).unwrap();

    assert_eq!((a.field("m", "title"), a.field("n", "x"), a.field("n", "y")), (json!("typo"), json!(3), Value::Null));
    for (number, content) in [(insert, json!({"_id": "other"})), (insert, json!(7)), (edit, json!({"sets": {}}))] {
        assert!(matches!(a.db.edit_unsynced(number, &content), Err(Error::Malformed(_))), "{content}");
    }
    a.sync(&mut hub);
    b.sync(&mut hub);
    assert_eq!(a.all(), b.all());
    assert!(a.db.unsynced().unwrap().is_empty());
    assert!(matches!(a.db.edit_unsynced(insert, &json!({})), Err(Error::NotUnsynced(_))));
    assert!(matches!(a.db.discard_unsynced(insert), Err(Error::NotUnsynced(_))));
}

#[test]
fn what_a_hub_may_have_seen_is_not_changed_but_may_be_given_up() {
    let mut hub = Hub::new();
    let (a, b) = two_devices(&mut hub);
    a.notes.update("n", &json!({"x": 2})).unwrap();
    let sent = a.batch().unwrap();
    let op = &a.db.unsynced().unwrap()[0];
    assert!(op.offered);
    assert!(matches!(a.db.edit_unsynced(op.number, &json!({"set": {"x": 3}})), Err(Error::Offered(_))));

    assert_eq!(a.db.discard_unsynced(op.number).unwrap().len(), 1);

    assert_eq!((a.field("n", "x"), a.pending()), (json!(1), 0));
    hub.push(&sent.body);
    a.sync(&mut hub);
    b.sync(&mut hub);
    assert_eq!((a.field("n", "x"), b.field("n", "x")), (json!(2), json!(2)), "the hub had it: it stands for everybody");
}

#[test]
fn later_edits_of_a_document_go_with_its_insert_and_others_stay() {
    let mut hub = Hub::new();
    let (a, b) = two_devices(&mut hub);
    a.notes.insert(json!({"_id": "m", "v": 1})).unwrap();
    a.batch().unwrap();
    a.notes.update("m", &json!({"v": 2})).unwrap();
    a.notes.update("n", &json!({"x": 2})).unwrap();
    a.notes.remove("n").unwrap();
    let waiting = a.db.unsynced().unwrap();
    assert_eq!(waiting.len(), 3, "{waiting:?}");

    let gone = a.db.discard_unsynced(waiting[0].number).unwrap();

    assert_eq!(gone.iter().map(|op| op.number).collect::<Vec<_>>(), [waiting[0].number, waiting[1].number]);
    assert_eq!((a.notes.get("m").unwrap(), a.pending()), (None, 1));
    let removal = a.db.unsynced().unwrap()[0].number;
    assert!(matches!(a.db.edit_unsynced(removal, &json!({})), Err(Error::NoContent(_))));
    a.db.discard_unsynced(removal).unwrap();
    assert_eq!(a.field("n", "x"), json!(1), "the hub's document is there again");
    a.sync(&mut hub);
    b.sync(&mut hub);
    assert_eq!(a.all(), b.all());
}

#[test]
fn a_clear_that_waits_can_be_given_up() {
    let mut hub = Hub::new();
    let (a, _) = two_devices(&mut hub);
    a.notes.clear().unwrap();
    assert!(a.all().is_empty());
    let clear = a.db.unsynced().unwrap();
    assert_eq!((clear.len(), &clear[0].id), (1, &None));

    a.db.discard_unsynced(clear[0].number).unwrap();

    assert_eq!((a.all().len(), a.pending()), (1, 0));
}
