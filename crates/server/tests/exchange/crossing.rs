//! Packets, pulls and pushes over one log: what one dialect brings, the others show.

use super::{Node, at, delete, insert, told, update, uuid};
use crate::support::{ADMIN, Hub, stamp};
use serde_json::{Value, json};
use std::sync::Arc;

async fn world() -> (Arc<Hub>, Node) {
    let hub = Arc::new(Hub::start().await);
    let node = Node::new(&hub, 1).await;
    (hub, node)
}

/// A pull as WiseJSON clients make it.
async fn foreign_pull(hub: &Hub, since: u64) -> Value {
    let headers = [("authorization", format!("Bearer {ADMIN}"))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    hub.send("GET", &format!("/c/Report/sync/pull?since_lsn={since}"), &headers, b"").await.json()
}

fn own_op(seq: u64, op: &str, rest: Value) -> Value {
    let mut element = json!({ "seq": seq, "op": op, "collection": "Report", "id": uuid(1), "stamp": stamp(seq) });
    element.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    element
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_packet_brings_is_pulled_by_devices_of_both_kinds() {
    let (hub, mut node) = world().await;
    let data = json!({ "lines": [{ "n": 1 }], "is_deleted": false, "updated_at": at(1) });
    node.edit(insert("Report", 1, data.clone()));
    node.settle().await;

    let page = hub.pull("since_lsn=0").await;
    let mut doc = data.clone();
    doc["_id"] = json!(uuid(1));
    assert_eq!((&page["ops"][0]["collection"], &page["ops"][0]["doc"]), (&json!("Report"), &doc));
    let foreign = foreign_pull(&hub, 0).await;
    assert_eq!((&foreign["ops"][0]["op"], &foreign["ops"][0]["doc"]["lines"]), (&json!("INSERT"), &data["lines"]));

    node.edit(delete("Report", 1));
    node.settle().await;
    let page = hub.pull(&format!("since_lsn={}", page["server_lsn"])).await;
    assert_eq!((&page["ops"][0]["op"], page["ops"][0].get("doc")), (&json!("remove"), None));
    let foreign = foreign_pull(&hub, foreign["server_lsn"].as_u64().unwrap()).await;
    assert_eq!(foreign["ops"][0]["op"], "REMOVE");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_devices_of_both_kinds_push_leaves_in_a_packet() {
    let (hub, mut node) = world().await;
    hub.push("device", "b1", &json!([own_op(1, "insert", json!({ "doc": { "_id": uuid(1), "a": 1, "b": 2 } }))])).await;
    let foreign = json!({ "batchId": "w1", "ops": [
        { "op": "INSERT", "opId": "w-1", "doc": { "_id": uuid(2), "c": 3, "updatedAt": at(1) } },
        { "op": "INSERT", "opId": "w-2", "doc": { "_id": "no-uuid", "c": 3, "updatedAt": at(1) } },
    ] });
    assert_eq!(hub.post("/c/Report/sync/push", &foreign).await.status, 200);

    assert_eq!(told(&node.round().await), [("INSERT".to_owned(), 1), ("INSERT".to_owned(), 2)]);
    assert_eq!(node.object("Report", 1), Some(json!({ "a": 1, "b": 2 })));
    assert_eq!(node.object("Report", 2).unwrap()["c"], 3);
    let shown = hub.get(&format!("/admin/spaces/main/nodes/{}", node.id)).await.json();
    assert_eq!(shown["unsendable"], 1, "a document without a UUID does not travel, and is counted: {shown}");
    assert!(shown["holds_back"].as_u64() > Some(0), "what it was sent is not confirmed: {shown}");

    let unset = own_op(2, "update", json!({ "set": { "a": 5 }, "unset": ["b"] }));
    let pushed = hub.push("device", "b2", &json!([unset])).await;
    assert_eq!(pushed["receipts"][0]["result"], "applied", "{pushed}");
    let came = node.round().await;
    assert_eq!(came[0]["data"]["b"], json!(null), "{came:?}");
    assert_eq!(node.object("Report", 1), Some(json!({ "a": 5 })), "the field went away");
    node.settle().await;
    let shown = hub.get(&format!("/admin/spaces/main/nodes/{}", node.id)).await.json();
    assert_eq!(shown["holds_back"], 0, "it has confirmed everything: {shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_was_made_anew_keeps_nothing_of_the_old_one() {
    let (hub, mut node) = world().await;
    hub.push("device", "b1", &json!([own_op(1, "insert", json!({ "doc": { "_id": uuid(1), "a": 1, "old": 2 } }))]))
        .await;
    node.settle().await;

    hub.push("device", "b2", &json!([own_op(2, "remove", json!({}))])).await;
    hub.push("device", "b3", &json!([own_op(3, "insert", json!({ "doc": { "_id": uuid(1), "a": 2 } }))])).await;
    let came = node.round().await;

    assert_eq!(told(&came), [("DELETE".to_owned(), 1), ("INSERT".to_owned(), 1)]);
    assert_eq!(node.object("Report", 1), Some(json!({ "a": 2 })));
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_of_one_object_over_two_dialects_meet_field_by_field() {
    let (hub, mut node) = world().await;
    hub.push("device", "b1", &json!([own_op(1, "insert", json!({ "doc": { "_id": uuid(1), "a": 1, "b": 1 } }))])).await;
    node.settle().await;

    hub.push("device", "b2", &json!([own_op(2, "update", json!({ "set": { "a": 2 } }))])).await;
    node.edit(update("Report", 1, json!({ "b": 2, "updated_at": at(5) })));
    let came = node.round().await;

    let expected = json!({ "a": 2, "b": 2, "updated_at": at(5) });
    assert_eq!((came.len(), node.object("Report", 1)), (1, Some(expected)), "told at once, because it was merged");
    assert!(node.round().await.is_empty());
    let page = hub.pull("since_lsn=0").await;
    let last = page["ops"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["doc"]["a"], &last["doc"]["b"]), (&json!(2), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_takes_whole_objects_is_told_neither_nulls_nor_detours() {
    let (hub, node) = world().await;
    let doc = json!({ "doc": { "_id": uuid(1), "a": 1, "old": 2 } });
    hub.push("device", "b1", &json!([own_op(1, "insert", doc)])).await;
    let mut packet = node.packet(1, &[]);
    packet["header"]["whole_objects"] = json!(true);
    let first = super::post(&hub, &node.token, &packet).await.json();
    assert_eq!(first["body"]["entities"][0]["data"], json!({ "a": 1, "old": 2 }));

    hub.push("device", "b2", &json!([own_op(2, "remove", json!({}))])).await;
    hub.push("device", "b3", &json!([own_op(3, "insert", json!({ "doc": { "_id": uuid(1), "a": 2 } }))])).await;
    (packet["header"]["packet_no"], packet["header"]["ack_packet_no"]) = (json!(2), json!(1));
    let second = super::post(&hub, &node.token, &packet).await.json();

    let entities = second["body"]["entities"].as_array().unwrap();
    assert_eq!((told(entities), &entities[0]["data"]), (vec![("INSERT".to_owned(), 1)], &json!({ "a": 2 })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_poll_wakes_when_a_packet_comes() {
    let (hub, mut node) = world().await;
    let waiting = {
        let hub = Arc::clone(&hub);
        tokio::spawn(async move { hub.pull("since_lsn=0&wait=30").await })
    };
    node.edit(insert("Report", 1, json!({ "n": 1 })));
    node.settle().await;
    assert_eq!(waiting.await.unwrap()["ops"][0]["id"], uuid(1));
}
