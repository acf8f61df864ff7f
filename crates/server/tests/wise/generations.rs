//! The oldest clients beside the newest.

use super::local::now;
use super::wire::parsed;
use super::{FirstGeneration, SecondGeneration, Wire, device, shown};
use crate::support::{ADMIN, Hub};
use serde_json::{Value, json};
use std::sync::Arc;
use syncline_core::model::{Millis, NodeId};
use syncline_server::auth::{DeclaredToken, TokenSpec};

/// A hub with a key for each device, as the oldest generations need it.
async fn hub() -> Arc<Hub> {
    let token = |name: &str| DeclaredToken {
        secret: format!("secret-of-{name}"),
        spec: TokenSpec::admin(NodeId::new(name).unwrap()),
    };
    Arc::new(Hub::with(|options| options.tokens.extend([token("old"), token("middle")])).await)
}

fn wire(hub: &Arc<Hub>, name: &str) -> Wire {
    Wire::new(hub, &format!("secret-of-{name}"), "/c/articles")
}

#[tokio::test(flavor = "multi_thread")]
async fn l20_the_first_generation_repeats_its_log_without_effect() {
    let hub = hub().await;
    let mut old = FirstGeneration::new(wire(&hub, "old"));
    let mut new = device(&hub);
    old.local.insert("doc1", &json!({ "text": "Hello" }));
    old.local.transaction(&[("insert", json!([{ "_id": "tx" }]))]);
    old.local.insert("doc2", &json!({}));
    old.local.update("doc2", &json!({ "z": 1 }));
    old.local.remove("doc2");
    old.cycle().await.unwrap();
    new.cycle().await.unwrap();
    assert_eq!(new.docs().keys().collect::<Vec<_>>(), ["doc1", "tx"]);

    new.local.remove("doc1");
    new.local.insert("srv", &json!({ "v": 1 }));
    new.cycle().await.unwrap();
    let mut last = Vec::new();
    for _ in 0..3 {
        last = old.cycle().await.unwrap();
        new.cycle().await.unwrap();
    }
    assert!(last.is_empty(), "what was written is not sent again: {last:?}");
    assert_eq!(new.docs().keys().collect::<Vec<_>>(), ["srv", "tx"], "repeats revive nothing");
    assert_eq!(shown(&old.local.docs), shown(new.docs()));

    old.local.insert("later", &json!({}));
    old.cycle().await.unwrap();
    new.cycle().await.unwrap();
    assert!(new.docs().contains_key("later"), "pulled ops did not stop it from sending");
}

#[tokio::test(flavor = "multi_thread")]
async fn l20_a_list_that_was_lost_comes_again_until_it_was_received() {
    let hub = hub().await;
    let mut old = FirstGeneration::new(wire(&hub, "old"));
    let mut new = device(&hub);
    for n in 0..3 {
        new.local.insert(&format!("d{n}"), &json!({ "v": n }));
    }
    new.cycle().await.unwrap();
    assert_eq!(old.cycle_unheard().await.len(), 3);
    new.local.update("d0", &json!({ "v": 7 }));
    new.local.remove("d1");
    new.cycle().await.unwrap();
    old.local.insert("mine", &json!({}));
    assert!(!old.cycle_unheard().await.is_empty());
    old.cycle().await.unwrap();
    new.cycle().await.unwrap();
    assert_eq!(shown(&old.local.docs), shown(new.docs()), "two lists were lost, nothing else");
    assert!(old.cycle().await.unwrap().is_empty(), "what it pushed back it has received");

    new.local.insert("later", &json!({}));
    new.cycle().await.unwrap();
    old.cycle_unheard().await;
    old.local.log.clear();
    old.cycle().await.unwrap();
    old.local.log.clear();
    assert_eq!(shown(&old.local.docs), shown(new.docs()));
    old.cycle().await.unwrap();
    assert!(old.cycle().await.unwrap().is_empty(), "a client that proves nothing is not told for ever");
}

#[tokio::test(flavor = "multi_thread")]
async fn l20_the_second_generation_goes_on_by_time() {
    let hub = hub().await;
    let mut new = device(&hub);
    new.local.insert("before", &json!({ "v": 1 }));
    new.cycle().await.unwrap();
    let mut middle = SecondGeneration::new(wire(&hub, "middle"));
    middle.local.insert("unsent", &json!({}));
    middle.cycle().await.unwrap();
    assert_eq!(middle.local.docs.keys().collect::<Vec<_>>(), ["before", "unsent"]);
    for n in 0..3 {
        middle.local.insert(&format!("m{n}"), &json!({ "n": n }));
        new.local.insert(&format!("n{n}"), &json!({ "n": n }));
        new.local.update("before", &json!({ "v": n }));
        middle.cycle().await.unwrap();
        new.cycle().await.unwrap();
    }
    middle.cycle().await.unwrap();
    new.cycle().await.unwrap();
    assert_eq!(new.docs().len(), 8);
    assert_eq!(shown(&middle.local.docs), shown(new.docs()));
}

#[tokio::test(flavor = "multi_thread")]
async fn l20_what_the_second_generation_pulls_does_not_hold_back_what_it_writes() {
    let hub = hub().await;
    let mut middle = SecondGeneration::new(wire(&hub, "middle"));
    middle.local.insert("start", &json!({}));
    middle.cycle().await.unwrap();
    // A device whose clock is ahead, and one that stamps its copy later than it says.
    let soon = Millis(Millis::parse(&now()).unwrap().0 + 30_000).iso();
    let plain = json!({ "op": "INSERT", "doc": { "_id": "plain", "updatedAt": soon }, "opId": "1" });
    let in_txn = json!({ "txn": "op", "txid": "t", "type": "insert", "args": [{ "_id": "txn" }], "ts": soon });
    let ahead = Wire::new(&hub, ADMIN, "/c/articles");
    parsed(&ahead.post("/sync/push", &json!({ "batchId": "b", "ops": [plain, in_txn] })).await).unwrap();

    let pulled = middle.cycle().await.unwrap();
    assert!(pulled.iter().any(|op| op["ts"].as_str() > Some(soon.as_str())), "the time of a commit: {pulled:?}");
    let mut new = device(&hub);
    for n in 0..3 {
        // With nothing to say of its own it sends back what it pulled, and goes on from there.
        middle.cycle().await.unwrap();
        let (plain, in_txn) = (format!("plain{n}"), format!("txn{n}"));
        middle.local.insert(&plain, &json!({}));
        middle.local.transaction(&[("insert", json!([{ "_id": in_txn }]))]);
        middle.cycle().await.unwrap();
        new.cycle().await.unwrap();
        assert!(new.docs().contains_key(&plain) && new.docs().contains_key(&in_txn), "{n}: {:?}", new.docs());
    }
    assert_eq!(middle.cycle().await.unwrap(), [] as [Value; 0], "what it sent back it has received");
    assert_eq!(shown(&middle.local.docs), shown(new.docs()));
}

#[tokio::test(flavor = "multi_thread")]
async fn l20_replies_to_old_clients_are_bare_lists() {
    let hub = hub().await;
    let old = wire(&hub, "old");
    assert_eq!(old.get("/sync/pull").await.json(), json!([]));
    assert_eq!(old.get("/sync/pull?since=2026-11-21T08:53:44.545Z").await.json(), json!([]));
    assert_eq!(old.get("/sync/pull?since=yesterday").await.refusal(400), "malformed_query");
    let pushed = old.post("/sync/push", &json!([])).await;
    assert_eq!(pushed.json()["status"], "ok");
    let snapshot = old.get("/sync/snapshot").await.json();
    let since = snapshot["timestamp"].as_str().unwrap();
    assert_eq!(Wire::new(&hub, ADMIN, "/c/articles").get(&format!("/sync/pull?since={since}")).await.json(), json!([]));
}
