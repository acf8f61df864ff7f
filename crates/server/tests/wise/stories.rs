//! What several devices see of each other's work.

use super::{Device, converged, device, world};
use serde_json::{Value, json};
use std::time::Instant;
use syncline_core::model::Millis;

#[tokio::test(flavor = "multi_thread")]
async fn l06_nothing_is_lost_between_pull_and_push() {
    let (hub, mut d) = world(2).await;
    d[0].cycle().await.unwrap();
    d[1].cycle().await.unwrap();
    d[0].local.insert("fromA", &json!({ "v": 1 }));
    d[0].pull().await.unwrap();
    let held = d[0].batches();
    d[1].local.insert("fromB", &json!({ "v": 1 }));
    d[1].cycle().await.unwrap();
    d[1].cycle().await.unwrap();
    d[0].push(&held[0]).await.unwrap();
    d[0].pushed_all();
    let all = converged(&hub, &mut d).await;
    assert_eq!(all.keys().collect::<Vec<_>>(), ["fromA", "fromB"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn l06_nothing_is_lost_between_the_batches_of_a_cycle() {
    let (hub, mut d) = world(2).await;
    d[0].batch_size = 2;
    for n in 0..5 {
        d[0].local.insert(&format!("a{n}"), &json!({ "v": n }));
    }
    d[0].pull().await.unwrap();
    for (n, body) in d[0].batches().iter().enumerate() {
        d[1].local.insert(&format!("b{n}"), &json!({ "v": n }));
        d[1].local.update(&format!("a{n}"), &json!({ "seen": true }));
        d[1].cycle().await.unwrap();
        d[0].push(body).await.unwrap();
    }
    d[0].pushed_all();
    assert_eq!(converged(&hub, &mut d).await.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn l06_nothing_is_lost_between_snapshot_and_first_pull() {
    let (hub, mut d) = world(3).await;
    d[0].local.insert("first", &json!({}));
    d[0].cycle().await.unwrap();
    d[1].pull().await.unwrap();
    d[0].local.insert("second", &json!({}));
    d[0].local.remove("first");
    d[0].cycle().await.unwrap();
    d[1].local.insert("third", &json!({}));
    assert_eq!(converged(&hub, &mut d).await.keys().collect::<Vec<_>>(), ["second", "third"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn l06_a_newcomer_with_unsent_work_does_not_hide_a_held_push() {
    let (hub, mut d) = world(2).await;
    d[0].cycle().await.unwrap();
    d[0].cycle().await.unwrap();
    d[0].local.insert("held", &json!({}));
    d[0].pull().await.unwrap();
    let held = d[0].batches();
    d[1].local.insert("early", &json!({}));
    d[1].cycle().await.unwrap();
    d[1].cycle().await.unwrap();
    d[0].push(&held[0]).await.unwrap();
    d[0].pushed_all();
    assert_eq!(converged(&hub, &mut d).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn l07_transactions_arrive_as_plain_operations_in_their_order() {
    let (hub, mut d) = world(2).await;
    d[0].local.insert("p", &json!({ "v": 0 }));
    d[0].local.transaction(&[
        ("insert", json!([{ "_id": "x", "v": 1 }])),
        ("insertMany", json!([[{ "_id": "y", "v": 1 }, { "_id": "z", "v": 1 }]])),
        ("update", json!(["p", { "v": 5 }])),
    ]);
    later().await;
    d[0].local.update("x", &json!({ "v": 2 }));
    d[0].local.remove("y");
    d[0].local.insert("q", &json!({ "v": 9 }));
    let expected = super::shown(d[0].docs());
    d[0].cycle().await.unwrap();
    assert_eq!(converged(&hub, &mut d).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn l07_a_transaction_cut_between_batches_ends_the_same() {
    for size in 1..7 {
        let (hub, mut d) = world(2).await;
        d[0].batch_size = size;
        let inserts: Vec<(&str, Value)> =
            ["x", "y", "z"].iter().map(|id| ("insert", json!([{ "_id": id, "v": 1 }]))).collect();
        d[0].local.transaction(&inserts);
        later().await;
        d[0].local.update("x", &json!({ "v": 2 }));
        d[0].local.remove("y");
        let expected = super::shown(d[0].docs());
        d[0].cycle().await.unwrap();
        assert_eq!(converged(&hub, &mut d).await, expected, "batches of {size}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l07_an_insert_without_an_id_is_stored_once() {
    let (_hub, mut d) = world(2).await;
    d[0].local.transaction(&[("insert", json!([{ "v": "no id" }])), ("insert", json!([{ "v": "no id" }]))]);
    d[0].pull().await.unwrap();
    d[0].push_unheard(&d[0].batches()[0]).await;
    d[0].cycle().await.unwrap();
    d[1].cycle().await.unwrap();
    assert_eq!(d[1].docs().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn l07_a_write_between_a_transaction_and_its_commit_reaches_its_sender() {
    let (hub, mut d) = world(2).await;
    d[0].local.insert("edited", &json!({ "v": 0 }));
    converged(&hub, &mut d).await;
    // The device writes its block to disk for 40 ms, and meanwhile another one edits the same ids.
    d[0].local.transaction_taking(
        40,
        &[("insert", json!([{ "_id": "both", "mine": 1 }])), ("update", json!(["edited", { "v": 1 }]))],
    );
    later().await;
    d[1].local.insert("both", &json!({ "theirs": 2 }));
    d[1].local.update("edited", &json!({ "v": 2 }));
    for n in [0, 1] {
        d[n].cycle().await.unwrap();
    }
    let all = converged(&hub, &mut d).await;
    assert_eq!(all["both"], json!({ "_id": "both", "mine": 1, "theirs": 2 }));
    assert_eq!(all["edited"]["v"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn l07_a_client_that_starts_again_with_unsent_transactions_gets_the_merged_state() {
    let (hub, mut d) = world(2).await;
    d[0].local.transaction(&[("insert", json!([{ "_id": "x", "v": 1 }]))]);
    d[0].pull().await.unwrap();
    // The push arrives and its reply does not; the start puts the transaction in place of the update.
    d[0].local.update("x", &json!({ "f": 1 }));
    d[0].push_unheard(&d[0].batches()[0]).await;
    d[1].cycle().await.unwrap();
    d[1].local.update("x", &json!({ "v": 2 }));
    d[1].cycle().await.unwrap();
    later().await;
    d[0].restart();
    assert_eq!(d[0].docs()["x"].get("f"), None, "what the real client makes of its log");
    let all = converged(&hub, &mut d).await;
    assert_eq!(all["x"], json!({ "_id": "x", "v": 2, "f": 1 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn l10_an_edit_that_loses_to_a_clock_ahead_is_corrected_at_its_sender() {
    let (hub, mut d) = world(2).await;
    d[0].local.insert("x", &json!({ "v": 0 }));
    let ahead = Millis(Millis::parse(&super::local::now()).unwrap().0 + 20_000).iso();
    let line = d[0].local.log.last_mut().unwrap();
    line["doc"]["updatedAt"] = json!(ahead);
    d[0].local.docs.get_mut("x").unwrap().insert("updatedAt".to_owned(), json!(ahead));
    converged(&hub, &mut d).await;
    d[1].local.update("x", &json!({ "v": 1 }));
    converged(&hub, &mut d).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn l08_a_bulk_insert_reaches_a_client_that_has_one_of_the_ids() {
    let (hub, mut d) = world(2).await;
    d[1].local.insert("b1", &json!({ "mine": true }));
    d[0].local.insert_many(&(0..5).map(|n| (format!("b{n}"), json!({ "v": n }))).collect::<Vec<_>>());
    d[0].cycle().await.unwrap();
    let all = converged(&hub, &mut d).await;
    assert_eq!(all.len(), 5);
    assert_eq!(all["b1"], json!({ "_id": "b1", "v": 1, "mine": true }));
}

#[tokio::test(flavor = "multi_thread")]
async fn l09_removals_and_new_creations_converge_over_many_cycles() {
    let (hub, mut d) = world(2).await;
    for round in 0..4 {
        assert!(d[0].local.insert("x", &json!({ "round": round, format!("r{round}"): 1 })), "round {round}");
        d[0].cycle().await.unwrap();
        d[1].cycle().await.unwrap();
        assert!(d[0].local.remove("x"));
        d[0].cycle().await.unwrap();
        later().await;
    }
    d[0].local.insert("x", &json!({ "last": true }));
    d[0].cycle().await.unwrap();
    let all = converged(&hub, &mut d).await;
    assert_eq!(all["x"], json!({ "_id": "x", "last": true }), "no field of an earlier life");
    for round in 0..3 {
        d[1].local.clear();
        d[1].local.insert("x", &json!({ "after": round }));
        d[1].local.insert(&format!("n{round}"), &json!({}));
        d[1].cycle().await.unwrap();
        let all = converged(&hub, &mut d).await;
        assert_eq!(all.keys().cloned().collect::<Vec<_>>(), [format!("n{round}"), "x".to_owned()]);
        assert_eq!(all["x"], json!({ "_id": "x", "after": round }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l09_own_changes_that_come_back_do_no_harm() {
    let (_hub, mut d) = world(1).await;
    d[0].local.insert("x", &json!({ "v": 1 }));
    d[0].local.update("x", &json!({ "v": 2 }));
    d[0].cycle().await.unwrap();
    d[0].local.remove("x");
    d[0].pull().await.unwrap();
    assert!(d[0].docs().is_empty(), "the removal stands while it is not sent");
    assert!(d[0].local.insert("x", &json!({ "v": 3 })), "and the id is free");
    d[0].cycle().await.unwrap();
    d[0].cycle().await.unwrap();
    assert_eq!(d[0].docs()["x"]["v"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn l10_conflicts_converge_in_both_orders() {
    for order in [[0, 1], [1, 0]] {
        let (hub, mut d) = world(2).await;
        for id in ["fields", "same", "removed"] {
            d[0].local.insert(id, &json!({ "x": 0, "y": 0 }));
        }
        converged(&hub, &mut d).await;
        d[0].local.insert("both", &json!({ "who": "A", "a": 1 }));
        d[0].local.update("fields", &json!({ "x": 1 }));
        d[0].local.update("same", &json!({ "x": "early" }));
        d[0].local.remove("removed");
        later().await;
        d[1].local.insert("both", &json!({ "who": "B", "b": 1 }));
        d[1].local.update("fields", &json!({ "y": 2 }));
        d[1].local.update("same", &json!({ "x": "late" }));
        d[1].local.update("removed", &json!({ "x": 1 }));
        for n in order {
            d[n].cycle().await.unwrap();
        }
        let all = converged(&hub, &mut d).await;
        assert_eq!(all["both"], json!({ "_id": "both", "who": "B", "a": 1, "b": 1 }));
        assert_eq!(all["fields"], json!({ "_id": "fields", "x": 1, "y": 2 }));
        assert_eq!(all["same"]["x"], "late");
        assert!(!all.contains_key("removed"), "a removal counts as made when it arrives");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l13_a_pull_holds_nothing_that_this_client_quarantines_or_forgets() {
    let (hub, mut d) = world(2).await;
    d[1].cycle().await.unwrap();
    d[0].local.insert_many(&(0..20).map(|n| (format!("b{n}"), json!({ "v": n }))).collect::<Vec<_>>());
    d[0].local.transaction(&[("insert", json!([{ "_id": "t" }])), ("remove", json!(["b1"])), ("clear", json!([]))]);
    d[0].local.insert("after", &json!({}));
    d[0].cycle().await.unwrap();
    d[0].local.clear();
    d[0].local.insert("again", &json!({}));
    converged(&hub, &mut d).await;
    assert!(d.iter().all(|device| device.local.quarantined.is_empty()));
    assert!(!d[1].pulled.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn l16_a_document_that_was_prolonged_reaches_devices_for_which_it_was_over() {
    let (hub, mut d) = world(3).await;
    for device in &mut d {
        device.cycle().await.unwrap();
    }
    // The first device's clock is behind: it can still change what is over for the others.
    let long_ago = json!({ "expireAt": 1_000 });
    for id in ["lasting", "prolonged", "over"] {
        d[0].local.insert(id, &long_ago);
    }
    for device in &mut d {
        device.cycle().await.unwrap();
    }
    d[1].local.sweep();
    d[0].local.update("lasting", &json!({ "expireAt": null }));
    d[0].local.update("prolonged", &json!({ "expireAt": 9_000_000_000_000_u64 }));
    for _ in 0..2 {
        for device in &mut d {
            device.cycle().await.unwrap();
        }
    }

    d.iter_mut().for_each(|device| device.local.sweep());
    d.push(device(&hub));
    d[3].cycle().await.unwrap();
    let of = |device: &Device| device.docs().keys().cloned().collect::<Vec<_>>();
    assert!(
        d.iter().all(|device| of(device) == ["lasting", "prolonged"]),
        "{:?}",
        d.iter().map(of).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn l15_ten_thousand_documents() {
    let (hub, mut d) = world(2).await;
    d[1].local.insert("x", &json!({}));
    d[1].cycle().await.unwrap();
    d[0].local.insert_many(&(0..10_000).map(|n| (format!("b{n}"), json!({ "v": n }))).collect::<Vec<_>>());
    d[0].cycle().await.unwrap();
    let started = Instant::now();
    let mut newcomer = device(&hub);
    newcomer.pull().await.unwrap();
    let snapshot = started.elapsed();
    d[1].pull().await.unwrap();
    println!("10,000 documents: snapshot and empty pull {snapshot:?}, pull {:?}", started.elapsed() - snapshot);
    assert_eq!((newcomer.docs().len(), d[1].docs().len()), (10_001, 10_001));
}

/// Until the clock that times are taken from shows another millisecond.
async fn later() {
    let now = super::local::now();
    while super::local::now() <= now {
        tokio::task::yield_now().await;
    }
}
