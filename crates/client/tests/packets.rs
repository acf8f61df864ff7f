//! A database that exchanges packets with a hub, over a network that loses, repeats and reorders.
#![allow(clippy::unwrap_used)] // the helpers of tests are tests too

#[path = "packets/files.rs"]
mod files;
#[path = "packets/world.rs"]
mod world;

use serde_json::{Value, json};
use syncline::sync::{Protocol, SyncEvent, SyncOptions, Verdict};
use syncline::{Database, Error};
use world::{Device, HUB, Hub, Mishap, options};

const A: &str = "22222222-2222-4222-8222-00000000000a";
const B: &str = "22222222-2222-4222-8222-00000000000b";

/// A document without the fields that the database keeps by itself.
fn plain(document: Option<Value>) -> Option<Value> {
    let mut document = document?;
    for name in ["_id", "createdAt", "updatedAt"] {
        document.as_object_mut().unwrap().shift_remove(name);
    }
    Some(document)
}

#[test]
fn documents_travel_whole_and_do_not_come_back() {
    let hub = Hub::new();
    let (ada, bob) = (Device::new(&hub), Device::new(&hub));
    let id = ada.insert(json!({"title": "a", "lines": [{"n": 1, "qty": 2.50}]}));
    assert_eq!(ada.pending(), 1);
    ada.cycle();
    assert_eq!(ada.events(), ["sync:start", "sync:push_success", "sync:success"], "nothing came back");
    assert_eq!(ada.pending(), 0);
    bob.cycle();
    assert_eq!(bob.get(&id), ada.get(&id));
    assert_eq!(bob.events(), ["sync:start", "sync:pull_success", "sync:success"]);

    bob.notes().update(&id, &json!({"title": "b"})).unwrap();
    bob.cycle();
    ada.cycle();
    assert_eq!(plain(ada.get(&id)), Some(json!({"title": "b", "lines": [{"n": 1, "qty": 2.50}]})));
    bob.notes().remove(&id).unwrap();
    bob.cycle();
    ada.cycle();
    assert_eq!((ada.get(&id), bob.get(&id)), (None, None));
    bob.cycle();
    assert_eq!(
        bob.sync.status().unwrap().cursor.lsn.0,
        bob_acknowledges(&hub, &bob),
        "the cursor is what it acknowledges"
    );
}

fn bob_acknowledges(hub: &Hub, bob: &Device) -> u64 {
    let last = hub.last_request();
    assert_eq!(last["header"]["sender_node_id"], bob.node());
    last["header"]["ack_packet_no"].as_u64().unwrap()
}

#[test]
fn a_packet_keeps_its_number_until_it_is_acknowledged() {
    let hub = Hub::new();
    let ada = Device::new(&hub);
    ada.insert(json!({"_id": A, "n": 1}));
    hub.next(Mishap::LoseRequest); // the pull
    ada.failing_cycle();
    for mishap in [Mishap::LoseRequest, Mishap::LoseReply] {
        // Nothing but the packet itself is sent while it is under way: there is no pull before it.
        if hub.numbers_with_entities().is_empty() {
            ada_pulls_then(&hub, &ada, mishap);
        } else {
            hub.next(mishap);
            ada.failing_cycle();
        }
        assert_eq!(ada.pending(), 1);
    }
    ada.notes().update(A, &json!({"n": 2})).unwrap();
    ada.cycle();
    let numbers = hub.numbers_with_entities();
    assert_eq!(numbers.len(), 4, "{numbers:?}");
    assert!(numbers[0] == numbers[1] && numbers[1] == numbers[2] && numbers[3] == numbers[2] + 1, "{numbers:?}");
    assert_eq!((ada.pending(), &hub.get("notes", A).unwrap()["n"]), (0, &json!(2)));
    assert_eq!(ada.get(A).unwrap()["n"], 2);
}

/// A cycle whose push meets the mishap.
fn ada_pulls_then(hub: &Hub, ada: &Device, mishap: Mishap) {
    hub.next(Mishap::Pass);
    hub.next(mishap);
    ada.failing_cycle();
}

#[test]
fn a_restart_between_sending_and_the_answer_repeats_the_packet() {
    let hub = Hub::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ada.db");
    let ada = Device::on(&hub, Database::open(&file).unwrap());
    ada.insert(json!({"_id": A, "n": 1}));
    ada_pulls_then(&hub, &ada, Mishap::LoseReply);
    drop(ada);

    let ada = Device::on(&hub, Database::open(&file).unwrap());
    ada.insert(json!({"_id": B, "n": 1}));
    hub.put("notes", A, &json!({"n": 5}));
    ada.cycle();
    let numbers = hub.numbers_with_entities();
    assert_eq!(numbers, [numbers[0], numbers[0], numbers[0] + 1]);
    assert_eq!((ada.pending(), plain(ada.get(A))), (0, Some(json!({"n": 5}))), "the hub's later version stands");
    assert_eq!(plain(hub.get("notes", B)), Some(json!({"n": 1})));
}

#[test]
fn the_answer_to_an_earlier_packet_is_not_taken() {
    let hub = Hub::new();
    let ada = Device::new(&hub);
    hub.put("notes", A, &json!({"n": 1}));
    ada.cycle();
    hub.put("notes", A, &json!({"n": 2}));
    ada.cycle();
    hub.put("notes", A, &json!({"n": 3}));
    hub.next(Mishap::Replay(0));
    let why = ada.failing_cycle();
    assert!(why.contains("acknowledges"), "{why}");
    assert_eq!(ada.get(A).unwrap()["n"], 2);
    ada.cycle();
    assert_eq!(ada.get(A).unwrap()["n"], 3);
}

#[test]
fn what_waits_stays_visible_over_what_arrives_and_the_hub_decides() {
    let hub = Hub::new();
    let ada = Device::new(&hub);
    ada.insert(json!({"_id": A, "title": "a", "text": "t"}));
    ada.cycle();
    ada.notes().update(A, &json!({"title": "ours"})).unwrap();
    hub.put("notes", A, &json!({"title": "theirs", "text": "new"}));
    // The push is lost: only the pull before it brought news.
    ada_pulls_then(&hub, &ada, Mishap::LoseRequest);
    assert_eq!(plain(ada.get(A)), Some(json!({"title": "ours", "text": "new"})));
    assert!(ada.events().contains(&"sync:conflict"));

    ada.cycle();
    assert_eq!(plain(ada.get(A)), Some(json!({"title": "theirs", "text": "new"})), "the hub knows a later edit");
    let conflicts: Vec<Verdict> = ada
        .heard
        .lock()
        .unwrap()
        .iter()
        .filter_map(|event| if let SyncEvent::Conflict(conflict) = event { Some(conflict.result) } else { None })
        .collect();
    assert_eq!((conflicts, ada.pending()), (vec![Verdict::Superseded], 0));
    let kept = ada.db.conflicts().unwrap();
    assert_eq!(kept.iter().map(|edit| edit.merged).collect::<Vec<_>>(), [false], "with what it wanted: {kept:?}");
}

#[test]
fn what_the_hub_sets_aside_is_set_aside_here_and_the_document_goes_back() {
    let hub = Hub::new();
    let ada = Device::new(&hub);
    ada.insert(json!({"_id": A, "n": 1}));
    ada.cycle();
    ada.notes().update(A, &json!({"n": 2, "poison": true})).unwrap();
    ada.insert(json!({"_id": B, "n": 1}));
    // Even when the answer that says so comes only with the repeat.
    ada_pulls_then(&hub, &ada, Mishap::LoseReply);
    ada.cycle();
    assert_eq!((plain(ada.get(A)), plain(ada.get(B))), (Some(json!({"n": 1})), Some(json!({"n": 1}))));
    let aside = ada.db.quarantined().unwrap();
    assert_eq!((aside.len(), aside[0].code.as_str(), aside[0].message.as_str()), (1, "poison", "poison is not taken"));
    assert!(ada.events().contains(&"sync:quarantine"));
    assert_eq!(ada.pending(), 0);
}

#[test]
fn documents_without_a_uuid_stay_in_this_database_alone() {
    let hub = Hub::new();
    let ada = Device::new(&hub);
    ada.insert(json!({"_id": "n1", "n": 1}));
    ada.notes().update("n1", &json!({"m": 2})).unwrap();
    let id = ada.insert(json!({"n": 2}));
    ada.cycle();
    assert_eq!(plain(ada.get("n1")), Some(json!({"n": 1, "m": 2})));
    assert!(hub.get("notes", &id).is_some() && hub.get("notes", "n1").is_none());
    let aside = ada.db.quarantined().unwrap();
    assert!(aside[0].code == "id_not_uuid" && aside[0].message.contains("`n1` is no UUID"), "{aside:?}");
    assert_eq!(ada.pending(), 0);
}

#[test]
fn a_clear_removes_each_document_and_what_follows_starts_anew() {
    let hub = Hub::new();
    let ada = Device::new(&hub);
    let ids: Vec<String> = (0..5).map(|n| ada.insert(json!({"n": n, "old": true}))).collect();
    ada.cycle();
    ada.notes().clear().unwrap();
    ada.insert(json!({"_id": ids[0], "n": 10}));
    assert_eq!(ada.pending(), 2);
    ada.cycle();
    assert_eq!(plain(hub.get("notes", &ids[0])), Some(json!({"n": 10})), "nothing of the old one shines through");
    assert!(ids[1..].iter().all(|id| hub.get("notes", id).is_none()));
    assert_eq!((ada.notes().find(&syncline::query::Query::default()).unwrap().len(), ada.pending()), (1, 0));
}

#[test]
fn what_is_made_again_after_a_clear_and_removed_at_once_is_removed_at_the_hub() {
    let hub = Hub::new();
    let ada = Device::new(&hub);
    ada.insert(json!({"_id": A, "n": 1}));
    ada.cycle();
    ada.notes().clear().unwrap();
    ada.insert(json!({"_id": A, "n": 2}));
    ada.notes().remove(A).unwrap();
    ada.cycle();
    assert_eq!((hub.get("notes", A), ada.get(A), ada.pending()), (None, None, 0));
}

#[test]
fn several_edits_of_a_document_leave_as_their_net() {
    let hub = Hub::new();
    let ada = Device::new(&hub);
    ada.insert(json!({"_id": A, "a": 1, "b": 1}));
    ada.insert(json!({"_id": B, "a": 1, "b": 1}));
    ada.cycle();
    ada.notes().update(A, &json!({"a": 2})).unwrap();
    ada.notes().update(A, &json!({"b": null, "c": 3})).unwrap();
    ada.notes().update(A, &json!({"a": 4, "d": 5})).unwrap();
    ada.notes().remove(B).unwrap();
    ada.insert(json!({"_id": B, "z": 1}));
    ada.cycle();
    let packet = hub.last_request();
    assert_eq!(packet["body"]["entities"].as_array().unwrap().len(), 2, "{packet}");
    assert_eq!(plain(hub.get("notes", A)), Some(json!({"a": 4, "c": 3, "d": 5})));
    assert_eq!(plain(hub.get("notes", B)), Some(json!({"z": 1})));
    assert_eq!((plain(ada.get(A)), plain(ada.get(B))), (plain(hub.get("notes", A)), plain(hub.get("notes", B))));
}

#[test]
fn a_first_fill_comes_in_pages_and_goes_on_after_a_crash() {
    let hub = Hub::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ada.db");
    for n in 0..8 {
        hub.put("notes", &format!("22222222-2222-4222-8222-0000000000{n:02}"), &json!({"n": n}));
    }
    let ada = Device::on(&hub, Database::open(&file).unwrap());
    hub.next(Mishap::Pass);
    hub.next(Mishap::LoseReply);
    ada.failing_cycle();
    let all = |device: &Device| device.notes().find(&syncline::query::Query::default()).unwrap().len();
    assert_eq!(all(&ada), 3);
    drop(ada);
    let ada = Device::on(&hub, Database::open(&file).unwrap());
    ada.cycle();
    assert_eq!(all(&ada), 8);
    ada.cycle();
    assert_eq!(ada.events().iter().filter(|name| **name == "sync:pull_success").count(), 1, "and nothing comes twice");
}

#[test]
fn a_collection_that_joins_later_has_what_came_before() {
    let hub = Hub::new();
    let ada = Device::new(&hub);
    hub.put("tasks", A, &json!({"n": 1}));
    ada.cycle();
    let tasks = ada.db.collection("tasks").unwrap();
    tasks.update(A, &json!({"n": 2})).unwrap();
    tasks.enable_sync(SyncOptions { collections: Vec::new(), ..options(&hub) }).unwrap();
    assert_eq!(tasks.sync_status().unwrap().pending, 1, "edits were recorded from the first document on");
    ada.cycle();
    let numbers: Vec<u64> =
        hub.requests.lock().unwrap().iter().map(|packet| packet["header"]["packet_no"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "one stream of packets");
}

#[test]
fn edits_that_may_have_been_accepted_cannot_be_given_up() {
    let hub = Hub::new();
    let ada = Device::new(&hub);
    ada.insert(json!({"_id": A, "n": 1}));
    ada_pulls_then(&hub, &ada, Mishap::LoseReply);
    ada.insert(json!({"_id": B, "n": 1}));
    assert_eq!(ada.sync.clear_pending().unwrap(), 1);
    assert_eq!((ada.get(B), ada.pending()), (None, 1));
    ada.cycle();
    assert_eq!((plain(ada.get(A)), ada.pending()), (Some(json!({"n": 1})), 0));
}

#[test]
fn only_a_word_on_its_entities_costs_a_packet_its_place() {
    let hub = Hub::new();
    let ada = Device::new(&hub);
    ada.insert(json!({"_id": A, "n": 1}));
    ada.insert(json!({"_id": B, "n": 1}));
    for (status, code) in [(409, "schema_mismatch"), (404, "unknown_node"), (422, "wrong_recipient"), (500, "broken")] {
        ada_pulls_then_or_pushes(&hub, &ada, Mishap::Refuse(status, code));
        assert_eq!(ada.pending(), 2, "{code}");
    }
    hub.next(Mishap::Refuse(413, "packet_too_large"));
    ada.cycle();
    assert_eq!(ada.pending(), 0, "it was sent in two halves");
    assert!(hub.get("notes", A).is_some() && hub.get("notes", B).is_some() && ada.db.quarantined().unwrap().is_empty());
}

fn ada_pulls_then_or_pushes(hub: &Hub, ada: &Device, mishap: Mishap) {
    if hub.numbers_with_entities().is_empty() {
        hub.next(Mishap::Pass);
    }
    hub.next(mishap);
    ada.failing_cycle();
}

#[test]
fn a_hub_that_was_restored_goes_on_with_lower_numbers() {
    let hub = Hub::new();
    let ada = Device::new(&hub);
    hub.put("notes", A, &json!({"n": 1}));
    ada.cycle();
    let backup = hub.state.lock().unwrap().clone();
    for n in 2..6 {
        hub.put("notes", A, &json!({"n": n}));
        ada.cycle();
    }
    *hub.state.lock().unwrap() = backup;
    hub.put("notes", A, &json!({"n": 100}));
    hub.put("notes", B, &json!({"n": 100}));
    ada.cycle();
    assert_eq!((&ada.get(A).unwrap()["n"], &ada.get(B).unwrap()["n"]), (&json!(100), &json!(100)));
    ada.insert(json!({"n": 7}));
    ada.cycle();
    assert_eq!(ada.pending(), 0);
}

#[test]
fn a_wrong_hub_id_can_be_put_right_until_that_hub_has_answered() {
    let hub = Hub::new();
    let db = Database::open_in_memory().unwrap();
    db.collection("notes").unwrap().insert(json!({"_id": A, "n": 1})).unwrap();
    let mut slip = options(&hub);
    slip.exchange.hub_id = B.to_owned();
    let sync = db.sync(slip).unwrap();
    for _ in 0..2 {
        hub.next(Mishap::Refuse(422, "wrong_recipient"));
        assert!(sync.sync_now_blocking().error.unwrap().contains("wrong_recipient"));
    }
    sync.disable();
    drop(sync);
    let ada = Device::on(&hub, db);
    ada.cycle();
    assert_eq!((plain(hub.get("notes", A)), ada.pending()), (Some(json!({"n": 1})), 0));
}

#[test]
fn a_file_of_another_dialect_or_hub_is_refused() {
    let hub = Hub::new();
    let ada = Device::new(&hub);
    ada.cycle();
    ada.sync.disable();
    let mut log = options(&hub);
    log.protocol = Protocol::Lsn;
    let why = ada.db.sync(log).map(drop).unwrap_err().to_string();
    assert!(why.contains("`notes` goes by packets") && why.contains("--protocol exchange"), "{why}");
    let mut other = options(&hub);
    other.exchange.hub_id = A.to_owned();
    let why = ada.db.sync(other).map(drop).unwrap_err();
    assert!(why.to_string().contains(HUB), "{why}");
    let mut wrong = options(&hub);
    wrong.exchange.schema_version = "one".to_owned();
    assert!(
        matches!(ada.db.sync(wrong).map(drop), Err(Error::Sync(why)) if why.to_string().contains("schema_version"))
    );
}
