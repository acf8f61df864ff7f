//! Removals that the hub has forgotten by the time when the insert before them comes.

use super::{Device, converged, device, trimmed_past};
use crate::support::Hub;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Devices of a hub that forgets removals as soon as it is told to, and keeps the ids of ops.
async fn world() -> (Arc<Hub>, Vec<Device>) {
    let hub = Arc::new(Hub::with(|options| options.settings.retention.log = Duration::ZERO).await);
    let devices = (0..2).map(|_| device(&hub)).collect();
    (hub, devices)
}

/// The hub forgets every removal.
async fn forgets_removals(hub: &Hub) {
    let head = hub.get("/sync/pull?node=reader&since_lsn=0").await.json()["server_lsn"].as_u64().unwrap();
    trimmed_past(hub, head - 1).await;
}

fn insert(id: &str) -> [(&'static str, Value); 1] {
    [("insert", json!([{ "_id": id, "v": 1 }]))]
}

#[tokio::test(flavor = "multi_thread")]
async fn l05_a_removal_counts_although_only_it_came_before_it_was_forgotten() {
    for size in [1, 2] {
        let (hub, mut d) = world().await;
        d[0].batch_size = size;
        d[0].local.transaction(&insert("x"));
        d[0].local.remove("x");
        d[0].pull().await.unwrap();
        // The second push, with what the transaction inserted, does not arrive.
        let removal = json!({ "batchId": "lost", "ops": [d[0].batches()[0]["ops"][0]] });
        d[0].push_unheard(&removal).await;
        forgets_removals(&hub).await;

        assert!(converged(&hub, &mut d).await.is_empty(), "batches of {size}: what was removed does not come back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l06_a_document_that_a_forgotten_removal_took_away_comes_to_its_maker_too() {
    let (hub, mut d) = world().await;
    d[0].local.insert("plain", &json!({ "v": 1 }));
    d[0].local.transaction_taking(0, &insert("x"));
    d[1].local.insert("plain", &json!({ "v": 2 }));
    d[1].local.insert("x", &json!({ "v": 2 }));
    d[1].cycle().await.unwrap();
    d[1].local.clear();
    d[1].cycle().await.unwrap();
    d[1].cycle().await.unwrap();
    d[0].pull().await.unwrap();
    assert!(d[0].docs().is_empty(), "somebody else removed the documents of these names");
    forgets_removals(&hub).await;

    let first_push = d[0].batches().remove(0);
    d[0].push(&first_push).await.unwrap();
    d[0].pushed_all();
    let all = converged(&hub, &mut d).await;
    assert_eq!(all.keys().collect::<Vec<_>>(), ["plain", "x"], "inserts that the hub has never met");
}
