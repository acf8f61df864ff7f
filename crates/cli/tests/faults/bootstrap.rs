//! A full hub and a fresh device.

use crate::device::Device;
use crate::http::{self, Request};
use crate::hub::{Hub, TOKEN};
use serde_json::{Value, json};
use std::time::Instant;

const DOCUMENTS: usize = 100_000;
/// The hub's limit on ops in a batch.
const BATCH: usize = 10_000;

#[test]
fn a_fresh_device_gets_a_hundred_thousand_documents() {
    let home = tempfile::tempdir().unwrap();
    let hub = Hub::start(&home.path().join("hub"));
    let began = Instant::now();
    for first in (0..DOCUMENTS).step_by(BATCH) {
        push(&hub.address, first);
    }
    let filled = began.elapsed();

    let mut device = Device::new("fresh", home.path(), "notes");
    let mut open = device.open(&hub.address);
    let outcome = open.cycle();
    println!("pushed in {filled:?}, loaded in {:?}", began.elapsed() - filled);
    assert!(outcome.success, "{outcome:?}");
    assert_eq!(open.count(), DOCUMENTS);
    for number in [0, 1, DOCUMENTS / 2, DOCUMENTS - 1] {
        assert!(open.has(&format!("d{number}")), "{number}");
    }

    // What comes after the load arrives as a change, once.
    open.write(crate::history::Deed::Insert, "later");
    assert!(open.cycle().success);
    assert_eq!((open.count(), open.pending()), (DOCUMENTS + 1, 0));
}

fn push(address: &str, first: usize) {
    let ops: Vec<Value> = (first..first + BATCH)
        .map(|number| {
            let doc = json!({"_id": format!("d{number}"), "number": number, "title": "a document like many others"});
            json!({"seq": number + 1, "op": "insert", "collection": "notes", "id": doc["_id"], "stamp": (number + 1) * 1024, "doc": doc})
        })
        .collect();
    let body = json!({"node": "filler", "batchId": format!("batch-{first}"), "ops": ops}).to_string();
    let request = Request { method: "POST", path: "/sync/push", token: TOKEN, body: Some(body.as_bytes()) };
    let reply = http::send(address, &request).unwrap();
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
}
