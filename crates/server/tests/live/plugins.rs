//! Clients that echo what they apply, as the plugin does.

use super::device::Device;
use super::link::Link;
use crate::support::{ADMIN, Hub};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use syncline_server::store::{SqliteOptions, SqliteStore};
use tokio::time::timeout;

const QUIET: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(60);

async fn devices<const N: usize>(hub: &Hub) -> [Device; N] {
    let mut devices = std::array::from_fn(|n| Device::new(&format!("device-{n}"), ADMIN, &["users"]));
    for device in &mut devices {
        device.connect(&hub.addr).await;
    }
    devices
}

/// Lets all take in what comes until none has anything to do, and expects them to be alike.
async fn converge(devices: &mut [&mut Device]) -> BTreeMap<String, Value> {
    loop {
        let mut busy = false;
        for device in devices.iter_mut() {
            let step = if busy { Duration::from_millis(1) } else { QUIET };
            while device.step(step).await {
                busy = true;
            }
        }
        if !busy {
            break;
        }
    }
    let first = devices[0].shown("users");
    for device in devices.iter() {
        assert_eq!(device.shown("users"), first);
    }
    first
}

#[tokio::test(flavor = "multi_thread")]
async fn one_insert_makes_one_copy_everywhere_and_the_traffic_comes_to_rest() {
    let hub = Hub::start().await;
    let [mut a, mut b] = devices(&hub).await;
    a.insert("users", &json!({ "id": "u1", "n": 1.50 })).await;
    let shown = converge(&mut [&mut a, &mut b]).await;
    assert_eq!(shown["\"u1\""], json!({ "id": "u1", "n": 1.5 }));
    assert_eq!((a.sent, b.sent), (1, 2), "one removal and one insert are echoed, and no echo is answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_counts_once_and_keeps_its_order() {
    let hub = Hub::start().await;
    let [mut a, mut b] = devices(&hub).await;
    for n in 0..100 {
        a.insert("users", &json!({ "id": format!("d{n}"), "n": n })).await;
    }
    a.delete("users", &json!({ "id": "d99" })).await;
    let shown = converge(&mut [&mut a, &mut b]).await;
    assert_eq!(shown.len(), 99);
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_work_goes_both_ways_and_stored_documents_are_not_doubled() {
    let hub = Hub::start().await;
    let [mut a, mut b] = devices(&hub).await;
    a.insert("users", &json!({ "id": "shared", "n": 1 })).await;
    converge(&mut [&mut a, &mut b]).await;
    b.disconnect();
    b.insert("users", &json!({ "id": "from-b" })).await;
    a.insert("users", &json!({ "id": "from-a" })).await;
    a.delete("users", &json!({ "id": "shared" })).await;
    converge(&mut [&mut a]).await;
    b.connect(&hub.addr).await;
    assert_eq!(converge(&mut [&mut a, &mut b]).await.len(), 2);

    let mut again = Device::new("another-id", ADMIN, &["users"]);
    again.documents = b.documents.clone();
    again.connect(&hub.addr).await;
    assert_eq!(converge(&mut [&mut a, &mut b, &mut again]).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_of_two_devices_add_up_at_all() {
    let hub = Hub::start().await;
    let [mut a, mut b, mut plain] = devices(&hub).await;
    a.insert("users", &json!({ "id": "c", "n": 0 })).await;
    converge(&mut [&mut a, &mut b, &mut plain]).await;
    for _ in 0..20 {
        a.update("users", &json!({ "id": "c" }), &json!({ "$inc": { "n": 1 } })).await;
        b.update("users", &json!({ "id": "c" }), &json!({ "$inc": { "n": 1 } })).await;
    }
    let shown = converge(&mut [&mut a, &mut b, &mut plain]).await;
    assert_eq!(shown["\"c\""], json!({ "id": "c", "n": 40 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_is_filled_with_a_bounded_echo() {
    let hub = Hub::start().await;
    let [mut a] = devices(&hub).await;
    a.disconnect();
    for n in 0..500 {
        a.insert("users", &json!({ "id": format!("d{n}") })).await;
    }
    a.connect(&hub.addr).await;
    converge(&mut [&mut a]).await;
    let mut b = Device::new("b", ADMIN, &["users"]);
    b.connect(&hub.addr).await;
    assert_eq!(converge(&mut [&mut a, &mut b]).await.len(), 500);
    assert_eq!(b.sent, 500 + 25, "each document once, in messages of 20");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_at_two_devices_at_once_ends_alike() {
    let hub = Hub::start().await;
    let [mut a, mut b] = devices(&hub).await;
    for n in 0..20 {
        a.insert("users", &json!({ "id": format!("r{n}"), "by": "a" })).await;
        b.insert("users", &json!({ "id": format!("r{n}"), "by": "b" })).await;
    }
    assert_eq!(converge(&mut [&mut a, &mut b]).await.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_a_device_inserts_although_it_has_it_stands_there_once_in_the_end() {
    let hub = Hub::start().await;
    let [mut a, mut b] = devices(&hub).await;
    a.insert("users", &json!({ "id": "x", "n": 1 })).await;
    a.insert("users", &json!({ "id": "x", "n": 2 })).await;
    b.insert("users", &json!({ "id": "y" })).await;
    let shown = converge(&mut [&mut a, &mut b]).await;
    assert_eq!(shown["\"x\""], json!({ "id": "x", "n": 2 }), "as soon as it is known to report what it is sent");
    for n in [3, 3, 4] {
        b.insert("users", &json!({ "id": "x", "n": n })).await;
        assert_eq!(converge(&mut [&mut a, &mut b]).await["\"x\""], json!({ "id": "x", "n": n }));
    }
    a.disconnect();
    a.insert("users", &json!({ "id": "x", "n": 5 })).await;
    a.connect(&hub.addr).await;
    assert_eq!(converge(&mut [&mut a, &mut b]).await["\"x\""], json!({ "id": "x", "n": 5 }));
    b.disconnect();
    a.delete("users", &json!({ "id": "x" })).await;
    converge(&mut [&mut a]).await;
    b.insert("users", &json!({ "id": "x", "n": 6 })).await;
    b.connect(&hub.addr).await;
    let shown = converge(&mut [&mut a, &mut b]).await;
    assert_eq!(shown["\"x\""], json!({ "id": "x", "n": 6 }), "also where it stands anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_crossed_with_a_delivery_on_a_cut_link_comes_back_to_its_author() {
    let hub = Hub::start().await;
    let [mut a, mut b] = devices(&hub).await;
    a.insert("users", &json!({ "id": "x", "n": 1 })).await;
    converge(&mut [&mut a, &mut b]).await;
    a.delete("users", &json!({ "id": "x" })).await;
    let removal = b.delivery().await;
    b.disconnect();
    b.delete("users", &json!({ "id": "x" })).await;
    b.insert("users", &json!({ "id": "x", "n": 2 })).await;
    b.apply_all(&removal).await;
    assert!(b.shown("users").is_empty(), "the removal came after its own insert");

    b.connect(&hub.addr).await;

    let shown = converge(&mut [&mut a, &mut b]).await;
    assert_eq!(shown["\"x\""], json!({ "id": "x", "n": 2 }));
}

/// One puts a document in anew while its removal by the other is under way to it: in the end it shows nothing, and the
/// hub has its document. By then the hub knows that it is gone.
async fn cross(hub: &Hub, [a, b]: [&mut Device; 2]) {
    a.insert("users", &json!({ "id": "x", "n": 1 })).await;
    converge(&mut [&mut *a, &mut *b]).await;
    a.delete("users", &json!({ "id": "x" })).await;
    let removal = b.delivery().await;
    b.delete("users", &json!({ "id": "x" })).await;
    b.insert("users", &json!({ "id": "x", "n": 2 })).await;
    while a.shown("users").get("\"x\"") != Some(&json!({ "id": "x", "n": 2 })) {
        a.step(Duration::from_millis(100)).await;
    }
    b.disconnect();
    b.apply_all(&removal).await;
    assert!(b.shown("users").is_empty(), "the removal came after its own insert");
    while hub.get("/metrics").await.text().contains("syncline_live_connections 2") {
        a.step(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_crossed_comes_back_although_somebody_elses_repeat_was_logged_behind_it() {
    let hub = Hub::start().await;
    let [mut a, mut b] = devices(&hub).await;
    cross(&hub, [&mut a, &mut b]).await;
    let old = json!({ "n": 0, "updatedAt": "2020-01-01T00:00:00.000Z" });
    let late = json!({ "batchId": "late", "ops": [{ "op": "UPDATE", "id": "x", "data": old, "opId": "late-1" }] });
    assert_eq!(hub.post("/users/sync/push", &late).await.status, 200);

    b.connect(&hub.addr).await;

    let shown = converge(&mut [&mut a, &mut b]).await;
    assert_eq!(shown["\"x\""], json!({ "id": "x", "n": 2 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_crossed_comes_back_although_the_hub_has_started_anew_since() {
    let dir = tempfile::TempDir::new().unwrap();
    let open = || Arc::new(SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap());
    let before = Hub::on(open(), |_| {}).await;
    let [mut a, mut b] = devices(&before).await;
    cross(&before, [&mut a, &mut b]).await;
    a.disconnect();
    before.shut_down().await;

    let hub = Hub::on(open(), |_| {}).await;
    b.connect(&hub.addr).await;

    let came = async {
        while b.shown("users").is_empty() {
            b.step(QUIET).await;
        }
    };
    timeout(LONG, came).await.expect("the hub has its document");
    a.connect(&hub.addr).await;
    let shown = converge(&mut [&mut a, &mut b]).await;
    assert_eq!(shown["\"x\""], json!({ "id": "x", "n": 2 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_into_a_dead_link_is_sent_again_when_the_client_is_back() {
    let hub = Hub::with(|options| {
        options.live.ping_interval = Duration::from_secs(2);
        options.live.ping_timeout = Duration::from_secs(3);
    })
    .await;
    let link = Link::to(&hub.addr).await;
    let mut a = Device::new("a", ADMIN, &["users"]);
    let mut b = Device::new("b", ADMIN, &["users"]);
    a.connect(&hub.addr).await;
    b.connect(&link.addr).await;
    a.insert("users", &json!({ "id": "before" })).await;
    converge(&mut [&mut a, &mut b]).await;
    link.die();
    a.insert("users", &json!({ "id": "meanwhile" })).await;
    while !hub.get("/metrics").await.text().contains("syncline_live_connections 1") {
        a.step(Duration::from_millis(100)).await;
    }

    b.connect(&hub.addr).await;

    assert_eq!(converge(&mut [&mut a, &mut b]).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_was_sent_twice_can_be_removed_and_put_in_again() {
    let hub = Hub::start().await;
    let [mut a, mut b] = devices(&hub).await;
    a.insert("users", &json!({ "id": "x", "n": 1 })).await;
    a.insert("users", &json!({ "id": "y", "n": 1 })).await;
    b.delivery().await;
    b.disconnect();
    b.connect(&hub.addr).await;
    converge(&mut [&mut a, &mut b]).await;

    b.delete("users", &json!({ "id": "x" })).await;
    b.insert("users", &json!({ "id": "x", "n": 1 })).await;

    assert_eq!(converge(&mut [&mut a, &mut b]).await.len(), 2);
}
