//! Devices with real databases against a real hub over real sockets: what an application's users
//! would see. Each test tells one story; none sleeps.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

#[path = "devices/grants.rs"]
mod grants;
#[path = "devices/line.rs"]
mod line;
#[path = "devices/packets.rs"]
mod packets;
#[path = "devices/rows.rs"]
mod rows;
#[path = "devices/world.rs"]
mod world;

use serde_json::json;
use syncline::Database;
use syncline::sync::SyncOptions;
use world::{Device, Flaky, Hub, TOKEN, manual};

/// Pushes everybody's edits, then brings everybody up to date.
fn settle(devices: &[&Device]) {
    for _ in 0..2 {
        for device in devices {
            let outcome = device.sync.sync_now_blocking();
            assert!(outcome.success, "{outcome:?}");
        }
    }
}

#[test]
fn two_devices_converge_on_edits_of_different_fields() {
    let hub = Hub::start();
    let (ada, bob) = (Device::on(&hub), Device::on(&hub));
    ada.notes.insert(json!({"_id": "n", "title": "a", "text": "b"})).unwrap();
    settle(&[&ada, &bob]);
    ada.notes.update("n", &json!({"title": "from ada"})).unwrap();
    bob.notes.update("n", &json!({"text": "from bob"})).unwrap();
    settle(&[&ada, &bob]);
    assert_eq!(ada.all(), bob.all());
    let note = ada.notes.get("n").unwrap().unwrap();
    assert_eq!((&note["title"], &note["text"]), (&json!("from ada"), &json!("from bob")));
    assert_eq!(ada.sync.status().unwrap().pending, 0);
}

#[test]
fn edits_made_offline_arrive_after_the_hub_is_back() {
    let hub = Hub::start();
    let (ada, bob) = (Device::on(&hub), Device::on(&hub));
    ada.notes.insert(json!({"_id": "shared", "n": 0})).unwrap();
    settle(&[&ada, &bob]);

    let stopped = hub.stop();
    for n in 0..250 {
        ada.notes.insert(json!({"_id": format!("a{n:03}"), "n": n})).unwrap();
        bob.notes.insert(json!({"_id": format!("b{n:03}"), "n": n})).unwrap();
    }
    bob.notes.remove("shared").unwrap();
    let offline = ada.sync.sync_now_blocking();
    assert!(!offline.success && offline.error.unwrap().contains("cannot be reached"));
    let status = ada.sync.status().unwrap();
    assert!(!status.connected && status.pending == 250 && status.oldest_pending_age_ms.is_some(), "{status:?}");

    let _hub = stopped.start_again();
    settle(&[&ada, &bob]);
    assert_eq!(ada.all(), bob.all());
    assert_eq!(ada.all().len(), 500);
    assert_eq!(ada.sync.status().unwrap().pending, 0);
}

#[test]
fn lost_replies_apply_nothing_twice() {
    let hub = Hub::start();
    let flaky = Flaky::before(&hub);
    let (ada, bob) = (Device::through(flaky.clone()), Device::on(&hub));
    settle(&[&ada, &bob]);
    ada.notes.insert(json!({"_id": "n", "v": 1})).unwrap();
    flaky.lose_push_replies(2);
    assert!(!ada.sync.sync_now_blocking().success, "the hub took it and the reply was lost");
    // Meanwhile somebody builds on it.
    settle(&[&bob]);
    bob.notes.update("n", &json!({"v": 2})).unwrap();
    settle(&[&bob]);
    assert!(!ada.sync.sync_now_blocking().success);
    settle(&[&ada, &bob]);
    assert_eq!(ada.notes.get("n").unwrap().unwrap()["v"], 2, "the repeat did not undo what came after");
    assert_eq!(ada.all(), bob.all());
}

#[test]
fn what_was_written_before_the_first_load_survives_it() {
    let hub = Hub::start();
    let ada = Device::on(&hub);
    ada.notes.insert_many((0..2_500).map(|n| json!({"_id": format!("n{n:04}"), "n": n}))).unwrap();
    settle(&[&ada]);

    let db = Database::open_in_memory().unwrap();
    db.collection("notes").unwrap().insert(json!({"_id": "mine", "n": -1})).unwrap();
    let bob = Device::with(db, manual(SyncOptions::new(hub.url(), TOKEN)));
    let heard = bob.hear("sync:initial_complete");
    settle(&[&bob, &ada]);
    assert_eq!(heard.recv().unwrap()["documentsLoaded"], 2_500);
    assert_eq!(bob.all().len(), 2_501);
    assert_eq!(ada.all(), bob.all());
}

#[test]
fn a_hub_with_another_history_is_followed_and_no_pending_edit_is_lost() {
    let hub = Hub::start();
    let ada = Device::on(&hub);
    ada.notes.insert(json!({"_id": "old"})).unwrap();
    settle(&[&ada]);
    ada.notes.insert(json!({"_id": "pending"})).unwrap();
    // The hub comes back on the same address with an empty store.
    let _hub = hub.stop().start_empty();
    settle(&[&ada]);
    let bob = Device::through_url(&ada.url);
    settle(&[&bob]);
    assert_eq!(ada.all(), bob.all());
    assert!(bob.notes.get("pending").unwrap().is_some());
}

#[test]
fn a_rejected_op_is_taken_back_and_quarantined_and_the_rest_goes_on() {
    let hub = Hub::start_with(|options| options.settings.limits.document_bytes = 200);
    let ada = Device::on(&hub);
    ada.notes.insert(json!({"_id": "n", "text": "short"})).unwrap();
    settle(&[&ada]);
    let heard = ada.hear("sync:quarantine");
    ada.notes.update("n", &json!({"text": "x".repeat(300)})).unwrap();
    ada.notes.insert(json!({"_id": "after"})).unwrap();
    settle(&[&ada]);
    let aside = heard.recv().unwrap();
    assert!(aside["error"]["message"].as_str().unwrap().contains("limits.document_bytes"), "{aside}");
    assert_eq!(ada.notes.get("n").unwrap().unwrap()["text"], "short", "the document is the hub's again");
    assert_eq!(ada.db.replica().quarantined(None).unwrap().len(), 1);
    let bob = Device::on(&hub);
    settle(&[&bob]);
    assert_eq!(ada.all(), bob.all());
}

#[test]
fn batches_shrink_to_what_the_hub_takes() {
    let hub = Hub::start_with(|options| options.settings.limits.batch_ops = 7);
    let ada = Device::on(&hub);
    for n in 0..40 {
        ada.notes.insert(json!({"n": n})).unwrap();
    }
    let outcome = ada.sync.sync_now_blocking();
    assert!(outcome.success, "{outcome:?}");
    assert_eq!(outcome.synced_events, 40);
    assert!(ada.db.replica().quarantined(None).unwrap().is_empty());
}

#[test]
fn own_changes_that_come_back_are_not_counted_as_pulled() {
    let hub = Hub::start();
    let (ada, bob) = (Device::on(&hub), Device::on(&hub));
    ada.notes.insert(json!({"_id": "a"})).unwrap();
    settle(&[&ada, &bob]);
    bob.notes.insert(json!({"_id": "b"})).unwrap();
    settle(&[&bob]);
    ada.notes.update("a", &json!({"v": 2})).unwrap();
    let outcomes: Vec<u64> = (0..3).map(|_| ada.sync.sync_now_blocking().synced_events).collect();
    assert_eq!(outcomes, [2, 0, 0], "one pulled and one pushed, and nothing after that");
}

#[test]
fn a_wrong_token_is_told_and_costs_nothing() {
    let hub = Hub::start();
    let ada = Device::with(Database::open_in_memory().unwrap(), manual(SyncOptions::new(hub.url(), "wrong")));
    ada.notes.insert(json!({"_id": "n"})).unwrap();
    let outcome = ada.sync.sync_now_blocking();
    assert!(outcome.error.unwrap().contains("token"));
    assert_eq!(ada.sync.status().unwrap().state, "unauthorized");
    ada.sync.disable();
    let again = ada.db.sync(manual(SyncOptions::new(hub.url(), TOKEN))).unwrap();
    again.add_collection("notes").unwrap();
    assert!(again.sync_now_blocking().success);
    assert_eq!(again.status().unwrap().pending, 0);
}

#[test]
fn a_copied_database_goes_on_as_a_node_of_its_own_and_says_so() {
    let hub = Hub::start();
    let dir = tempfile::TempDir::new().unwrap();
    let (path, copy) = (dir.path().join("app.db"), dir.path().join("copy.db"));
    {
        let db = Database::open(&path).unwrap();
        db.collection("notes").unwrap().insert(json!({"_id": "both", "n": 1})).unwrap();
    }
    std::fs::copy(&path, &copy).unwrap();
    let device = |path| Device::with(Database::open(path).unwrap(), manual(SyncOptions::new(hub.url(), TOKEN)));
    let (first, second) = (device(&path), device(&copy));
    let (node, heard) = (second.db.replica().node().unwrap(), second.hear("sync:node_renamed"));
    first.notes.insert(json!({"_id": "first"})).unwrap();
    second.notes.insert(json!({"_id": "second"})).unwrap();
    settle(&[&first, &second]);

    let told = heard.recv().unwrap();
    assert_eq!((&told["before"], &told["node"]), (&json!(node), &json!(second.db.replica().node().unwrap())));
    assert_ne!(told["before"], told["node"]);
    assert_eq!(first.all(), second.all());
    assert_eq!(first.all().len(), 3, "what each wrote, and once what both had");
    assert!(second.db.replica().quarantined(None).unwrap().is_empty());
}

#[test]
fn a_database_file_is_free_as_soon_as_its_last_handle_is_gone() {
    let hub = Hub::start();
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("app.db");
    for n in 0..3 {
        let device = Device::with(Database::open(&path).unwrap(), SyncOptions::new(hub.url(), TOKEN));
        device.notes.insert(json!({"n": n})).unwrap();
        assert!(device.sync.sync_now_blocking().success);
    }
    let fresh = Device::on(&hub);
    settle(&[&fresh]);
    assert_eq!(fresh.all().len(), 3);
}
