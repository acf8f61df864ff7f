//! Lost replies and restarts of the hub, on the embedded store.

use super::wire::parsed;
use super::{Device, Wire, converged, device};
use crate::support::{ADMIN, Hub};
use serde_json::json;
use std::sync::Arc;
use syncline_server::store::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

pub async fn start(dir: &TempDir) -> Arc<Hub> {
    let store = SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap();
    Arc::new(Hub::on(Arc::new(store), |_| {}).await)
}

/// The hub goes down and comes up again; the devices only notice that its address changed.
async fn restarted(hub: Arc<Hub>, dir: &TempDir, devices: &mut [Device]) -> Arc<Hub> {
    let placeholder = Arc::new(Hub::start().await);
    devices.iter_mut().for_each(|device| device.wire.hub = Arc::clone(&placeholder));
    Arc::into_inner(hub).expect("nobody else holds the hub").shut_down().await;
    let hub = start(dir).await;
    devices.iter_mut().for_each(|device| device.wire.hub = Arc::clone(&hub));
    hub
}

#[tokio::test(flavor = "multi_thread")]
async fn l05_a_lost_reply_leads_to_one_effect_even_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(&dir).await;
    let mut d = vec![device(&hub), device(&hub)];
    d[0].local.insert("x", &json!({ "v": 1 }));
    d[0].local.update("x", &json!({ "v": 2 }));
    d[0].local.insert("gone", &json!({}));
    d[0].local.transaction(&[("insert", json!([{ "_id": "t", "v": 1 }]))]);
    d[0].pull().await.unwrap();
    d[0].push_unheard(&d[0].batches()[0]).await;

    d[1].cycle().await.unwrap();
    d[1].local.remove("gone");
    d[1].local.update("x", &json!({ "v": 3 }));
    d[1].cycle().await.unwrap();
    let hub = restarted(hub, &dir, &mut d).await;

    d[0].cycle().await.unwrap();
    let all = converged(&hub, &mut d).await;
    assert_eq!(all.keys().collect::<Vec<_>>(), ["t", "x"], "what was removed does not come back");
    assert_eq!(all["x"]["v"], 3, "the newer update stands");
}

#[tokio::test(flavor = "multi_thread")]
async fn l05_a_failed_second_batch_repeats_the_first_without_effect() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(&dir).await;
    let mut d = vec![device(&hub), device(&hub)];
    d[0].batch_size = 2;
    for n in 0..5 {
        d[0].local.insert(&format!("p{n}"), &json!({}));
    }
    d[0].pull().await.unwrap();
    let first = d[0].batches()[0].clone();
    d[0].push(&first).await.unwrap();
    d[1].cycle().await.unwrap();
    d[1].local.remove("p0");
    d[1].cycle().await.unwrap();
    d[0].cycle().await.unwrap();
    let all = converged(&hub, &mut d).await;
    assert_eq!(all.keys().collect::<Vec<_>>(), ["p1", "p2", "p3", "p4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn l11_positions_grow_and_everything_outlives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut hub = start(&dir).await;
    let mut d = vec![device(&hub), device(&hub)];
    let mut last = 0;
    for round in 0..3 {
        d[0].local.insert(&format!("d{round}"), &json!({ "v": round }));
        d[0].local.insert("temporary", &json!({}));
        d[0].cycle().await.unwrap();
        d[0].local.remove("temporary");
        d[0].cycle().await.unwrap();
        let snapshot = parsed(&d[0].wire.get("/sync/snapshot").await).unwrap();
        let lsn = snapshot["server_lsn"].as_u64().unwrap();
        assert!(lsn > last, "{lsn} after {last}");
        last = lsn;
        hub = restarted(hub, &dir, &mut d).await;
        let again = parsed(&d[0].wire.get("/sync/snapshot").await).unwrap();
        assert_eq!(again["documents"], snapshot["documents"]);
    }
    let from_zero = parsed(&Wire::new(&hub, ADMIN, "/c/articles").get("/sync/pull?since_lsn=0").await).unwrap();
    let removals = from_zero["ops"].as_array().unwrap().iter().filter(|op| op["op"] == "REMOVE").count();
    assert_eq!(removals, 1, "the mark of a removal is kept: {from_zero}");
    assert_eq!(converged(&hub, &mut d).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn l06_the_number_of_a_push_reply_stays_true_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(&dir).await;
    let mut d = vec![device(&hub), device(&hub)];
    d[0].local.insert("fromA", &json!({}));
    d[0].pull().await.unwrap();
    let held = d[0].batches();
    d[1].local.insert("fromB", &json!({}));
    d[1].cycle().await.unwrap();
    d[0].push(&held[0]).await.unwrap();
    d[0].pushed_all();
    let hub = restarted(hub, &dir, &mut d).await;
    assert_eq!(converged(&hub, &mut d).await.len(), 2);
}
