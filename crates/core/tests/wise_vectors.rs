//! Recorded pushes of WiseJSON clients, as the codec reads them.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy does not take for tests
use serde_json::{Value, json};
use syncline_core::model::{CollectionName, ForeignEdit, Limits};
use syncline_core::wire::wise::{Shape, WisePush, decode_push};

fn vector(name: &str) -> Value {
    let path = format!("{}/../../spec/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn read(body: &Value) -> WisePush {
    decode_push(body.to_string().as_bytes(), &CollectionName::new("c").unwrap(), &Limits::default()).unwrap()
}

#[test]
fn every_recorded_operation_is_read() {
    let shapes = vector("lsn-op-shapes");
    let plain = read(&json!({ "batchId": "b", "ops": shapes["pushed_ops"] }));
    assert_eq!(plain.ops.len(), shapes["pushed_ops"].as_array().unwrap().len() + 1, "a bulk insert of two is two");
    assert!(plain.ops.iter().all(|op| op.key.is_some() && op.txn.is_none()));
    let in_txn = read(&json!({ "batchId": "b", "ops": shapes["transaction_pushed_ops"] }));
    assert_eq!(in_txn.ops.len(), 7);
    assert!(in_txn.ops.iter().all(|op| op.txn == Some(0) && op.time.is_some()));
}

#[test]
fn a_retry_has_the_keys_of_the_lost_push() {
    let requests = vector("lsn-lost-reply")["requests"].clone();
    let bodies = requests.as_array().unwrap().iter().filter(|r| r["method"] == "POST");
    let keys: Vec<Vec<_>> = bodies.map(|r| read(&r["body"]).ops.iter().map(|op| op.key).collect()).collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
}

#[test]
fn the_logs_of_the_oldest_generation_are_read() {
    let steps = vector("lsn-legacy-g1")["steps"].clone();
    let requests = steps.as_array().unwrap().iter().flat_map(|s| s["requests"].as_array().unwrap());
    for request in requests.filter(|r| r["method"] == "POST") {
        let push = read(&request["body"]);
        assert_eq!(push.shape, Shape::List);
        let remote = |op: &ForeignEdit| matches!(op, ForeignEdit::Insert(id, _) if id.as_str() == "srv1");
        assert!(!push.ops.iter().any(|op| remote(&op.edit)), "what came from the hub does not count");
    }
}
