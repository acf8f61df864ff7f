//! A full hub and a fresh device.

use crate::device::Device;
use crate::eventually::eventually;
use crate::history::{Deed, converged};
use crate::http::{self, Request};
use crate::hub::{Hub, TOKEN};
use crate::proxy::{Proxy, Weather};
use serde_json::{Value, json};
use std::time::Instant;

const NOTES: &str = "notes";
/// The hub's limit on ops in a batch.
const BATCH: usize = 10_000;

#[test]
fn a_fresh_device_gets_a_hundred_thousand_documents() {
    const DOCUMENTS: usize = 100_000;
    let home = tempfile::tempdir().unwrap();
    let hub = Hub::start(&home.path().join("hub"));
    fill(&hub, DOCUMENTS);

    let mut device = Device::new("fresh", home.path(), NOTES);
    let mut open = device.open(&hub.address);
    let began = Instant::now();
    let outcome = open.cycle();
    println!("{DOCUMENTS} documents loaded in {:?}", began.elapsed());
    assert!(outcome.success, "{outcome:?}");
    assert_eq!(open.count(), DOCUMENTS);
    for number in [0, 1, DOCUMENTS / 2, DOCUMENTS - 1] {
        assert!(open.has(&format!("d{number}")), "{number}");
    }

    open.write(Deed::Insert, "later");
    assert!(open.cycle().success);
    assert_eq!((open.count(), open.pending()), (DOCUMENTS + 1, 0));
}

#[test]
fn a_load_that_is_cut_again_and_again_goes_on_where_it_was_cut() {
    let home = tempfile::tempdir().unwrap();
    let hub = Hub::start(&home.path().join("hub"));
    fill(&hub, 20_000);
    let whole = hub.get("/sync/snapshot?node=measure").body.len();
    let proxy = Proxy::start(&hub.address, 81);
    // No reply is ever long enough for all of it.
    proxy.weather(Weather { cut_reply: 100, cut_within_bytes: whole / 3, ..Weather::CALM });

    let mut device = Device::new("fresh", home.path(), NOTES);
    let mut open = device.open(&proxy.address);
    // An edit made before the load must survive it.
    open.write(Deed::Insert, "early");
    eventually("the load is complete", || (open.cycle().success && open.pending() == 0).then_some(()));
    assert!(proxy.faults() >= 3, "{} replies cannot have been enough", proxy.faults());
    converged(&hub.address, &[("fresh".into(), open.replica())]);
}

#[test]
fn a_client_killed_during_its_load_and_a_hub_killed_beside_it_lose_nothing() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("hub");
    let mut hub = Hub::start(&data);
    fill(&hub, 20_000);
    let mut device = Device::new("fresh", home.path(), NOTES);
    drop(device.open(&hub.address));

    for _ in 0..3 {
        let enough = device.bytes() + 300_000;
        let mut process = device.sync_process(&hub.address);
        eventually("the file grows, or all of it is there", || {
            (device.bytes() >= enough || process.has_ended()).then_some(())
        });
        hub.kill();
        process.kill();
        hub = Hub::start(&data);
    }
    device.sync_process(&hub.address).succeeds();
    let open = device.open(&hub.address);
    converged(&hub.address, &[("fresh".into(), open.replica())]);
}

/// Pushes documents `d0`, `d1` … as one node.
fn fill(hub: &Hub, documents: usize) {
    for first in (0..documents).step_by(BATCH) {
        let ops: Vec<Value> = (first..first + BATCH).map(insert).collect();
        let body = json!({"node": "filler", "batchId": format!("batch-{first}"), "ops": ops}).to_string();
        let request = Request { method: "POST", path: "/sync/push", token: TOKEN, body: Some(body.as_bytes()) };
        let reply = http::send(&hub.address, &request).unwrap();
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    }
}

fn insert(number: usize) -> Value {
    let id = format!("d{number}");
    let doc = json!({"_id": id, "number": number, "title": "a document like many others"});
    let stamp = (number + 1) * 1024;
    json!({"seq": number + 1, "op": "insert", "collection": NOTES, "id": id, "stamp": stamp, "doc": doc})
}
