//! What a token does not allow stops only that, and nothing is lost for it.

use super::world::{Device, Hub, TOKEN, manual};
use serde_json::json;
use syncline::Database;
use syncline::sync::SyncOptions;
use syncline_core::model::{CollectionName, NodeId};
use syncline_server::auth::{DeclaredToken, TokenSpec};

const NARROW: &str = "a-secret-with-few-rights";

fn hub(narrow: impl FnOnce(&mut TokenSpec)) -> Hub {
    Hub::start_with(|options| {
        let mut spec = TokenSpec::named(NodeId::new("narrow").unwrap());
        narrow(&mut spec);
        options.tokens.push(DeclaredToken { secret: NARROW.to_owned(), spec });
    })
}

#[test]
fn a_collection_outside_the_grants_stops_only_itself() {
    // Given a token for `notes`, and a device that also wants to sync `diary`.
    let hub = hub(|spec| spec.collections = Some([CollectionName::new("notes").unwrap()].into()));
    let ada = Device::with(Database::open_in_memory().unwrap(), manual(SyncOptions::new(hub.url(), NARROW)));
    let diary = ada.db.collection("diary").unwrap();
    ada.notes.insert(json!({"_id": "n"})).unwrap();
    diary.insert(json!({"_id": "d"})).unwrap();
    ada.sync.add_collection("diary").unwrap();
    let all = ada.hear("sync:error");

    // When it syncs, then the notes arrive, and the diary's trouble is told with its name.
    let outcome = ada.sync.sync_now_blocking();
    assert!(!outcome.success && outcome.error.as_ref().unwrap().contains("`diary`"), "{outcome:?}");
    assert_eq!(all.recv().unwrap()["collection"], "diary");
    let bob = Device::on(&hub);
    assert!(bob.sync.sync_now_blocking().success);
    assert_eq!(bob.all(), ada.all());
    assert_eq!(bob.all().len(), 1);
    assert!(ada.notes.trigger_sync_blocking().success, "it concerns the diary only");
    assert!(!diary.trigger_sync_blocking().success);

    let (notes, refused) = (ada.notes.sync_status().unwrap(), diary.sync_status().unwrap());
    assert_eq!((notes.state, notes.error, notes.pending), ("idle", None, 0));
    assert_eq!((refused.state, refused.pending), ("refused", 1));
    assert!(refused.error.unwrap().contains("not among its collections"));
    assert!(ada.sync.status().unwrap().refused.contains_key(&CollectionName::new("diary").unwrap()));
    assert!(ada.db.replica().quarantined(None).unwrap().is_empty(), "the op waits for a grant");

    // And with another token everything arrives.
    ada.sync.disable();
    let again = ada
        .db
        .sync(manual(SyncOptions {
            collections: vec!["notes".into(), "diary".into()],
            ..SyncOptions::new(hub.url(), TOKEN)
        }))
        .unwrap();
    let outcome = again.sync_now_blocking();
    assert!(outcome.success, "{outcome:?}");
    assert_eq!(again.status().unwrap().pending, 0);
    assert!(again.status().unwrap().refused.is_empty());
}

#[test]
fn a_transaction_that_touches_a_refused_collection_is_never_halved() {
    let hub = hub(|spec| spec.collections = Some([CollectionName::new("notes").unwrap()].into()));
    let ada = Device::with(Database::open_in_memory().unwrap(), manual(SyncOptions::new(hub.url(), NARROW)));
    ada.sync.add_collection("diary").unwrap();
    ada.db
        .transaction(|tx| {
            tx.collection("notes")?.insert(json!({"_id": "half"}))?;
            tx.collection("diary")?.insert(json!({"_id": "other half"}))
        })
        .unwrap();
    ada.notes.update("half", &json!({"built": "on it"})).unwrap();
    ada.notes.insert(json!({"_id": "whole"})).unwrap();
    assert!(!ada.sync.sync_now_blocking().success);

    let bob = Device::on(&hub);
    assert!(bob.sync.sync_now_blocking().success);
    let ids: Vec<_> = bob.all().iter().map(|note| note["_id"].clone()).collect();
    assert_eq!(ids, ["whole"]);
    assert_eq!(ada.sync.status().unwrap().pending, 3);
    assert!(ada.db.replica().quarantined(None).unwrap().is_empty());

    // With the grant it goes on whole.
    ada.sync.disable();
    let again = SyncOptions { collections: vec!["notes".into(), "diary".into()], ..SyncOptions::new(hub.url(), TOKEN) };
    assert!(ada.db.sync(manual(again)).unwrap().sync_now_blocking().success);
    assert!(bob.sync.sync_now_blocking().success);
    assert_eq!(bob.all(), ada.all());
}

#[test]
fn a_token_that_may_only_read_brings_news_and_keeps_edits() {
    let hub = hub(|spec| spec.write = false);
    let ada = Device::with(Database::open_in_memory().unwrap(), manual(SyncOptions::new(hub.url(), NARROW)));
    let bob = Device::on(&hub);
    ada.notes.insert(json!({"_id": "mine"})).unwrap();
    bob.notes.insert(json!({"_id": "news"})).unwrap();
    assert!(bob.sync.sync_now_blocking().success);

    let outcome = ada.sync.sync_now_blocking();
    assert!(!outcome.success && outcome.error.as_ref().unwrap().contains("takes no edits"), "{outcome:?}");
    assert_eq!(ada.all().len(), 2, "the news is here, the own edit still");
    let status = ada.notes.sync_status().unwrap();
    assert!(status.connected && status.push_refused.is_some() && status.pending == 1, "{status:?}");
    assert!(ada.db.replica().quarantined(None).unwrap().is_empty());
}

#[test]
fn a_token_that_may_only_write_delivers_edits_and_says_that_nothing_arrives() {
    let hub = hub(|spec| spec.read = false);
    let ada = Device::with(Database::open_in_memory().unwrap(), manual(SyncOptions::new(hub.url(), NARROW)));
    let bob = Device::on(&hub);
    bob.notes.insert(json!({"_id": "news"})).unwrap();
    assert!(bob.sync.sync_now_blocking().success);
    ada.notes.insert(json!({"_id": "mine"})).unwrap();

    for n in 1..=3 {
        let outcome = ada.sync.sync_now_blocking();
        assert!(!outcome.success && outcome.error.as_ref().unwrap().contains("no right to read"), "{outcome:?}");
        ada.notes.update("mine", &json!({"n": n})).unwrap();
    }
    let status = ada.notes.sync_status().unwrap();
    assert!(status.connected && status.pull_refused.is_some() && status.pending == 1, "{status:?}");
    assert_eq!(ada.all().len(), 1, "no news");
    assert!(bob.sync.sync_now_blocking().success);
    assert_eq!(bob.notes.get("mine").unwrap().unwrap()["n"], 2);

    // With another token it is in step, and nothing of what it wrote counts as a conflict.
    ada.sync.disable();
    let again = SyncOptions { collections: vec!["notes".into()], ..SyncOptions::new(hub.url(), TOKEN) };
    assert!(ada.db.sync(manual(again)).unwrap().sync_now_blocking().success);
    assert!(bob.sync.sync_now_blocking().success);
    assert_eq!(bob.all(), ada.all());
    assert_eq!(bob.notes.get("mine").unwrap().unwrap()["n"], 3);
}
