//! Registering nodes, their tokens, and packets by file.

use super::{Node, insert, node_id, post, told, uuid};
use crate::support::{ADMIN, Hub, Reply};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use syncline_server::{Options, Retention};

async fn ask(hub: &Hub, method: &str, path: &str, body: &Value) -> Reply {
    let bearer = format!("Bearer {ADMIN}");
    let text = if body.is_null() { String::new() } else { body.to_string() };
    hub.send(method, &format!("/admin/spaces/main{path}"), &[("authorization", &bearer)], text.as_bytes()).await
}

/// Until every worker has heard that the token is no more.
async fn until_refused(hub: &Hub, token: &str, packet: &Value) {
    let mut refused = 0;
    while refused < 2 {
        let reply = post(hub, token, packet).await;
        // A worker that still knows the token may know already that its node is gone.
        assert!([200, 401, 404].contains(&reply.status), "{}", reply.text());
        refused = if reply.status == 401 { refused + 1 } else { 0 };
    }
}

fn wish(n: usize) -> Value {
    json!({ "id": node_id(n), "code": format!("NODE-{n}"), "name": "A branch" })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_registered_shown_changed_and_removed() {
    for hub in Hub::on_every_store().await {
        let hub = Arc::new(hub);
        let mut node = Node::with(&hub, 1, json!({ "types": ["Report"] })).await;
        let path = format!("/nodes/{}", node_id(1));
        let shown = ask(&hub, "GET", &path, &Value::Null).await.json();
        let fields = ["code", "last_sync_in", "last_sync_out", "received_packet_no", "sent_packet_no"];
        let fields = fields.map(|name| shown[name].clone());
        assert_eq!(fields, [json!("NODE-1"), json!(null), json!(null), json!(0), json!(0)]);

        node.edit(insert("Report", 1, json!({})));
        node.settle().await;
        let shown = ask(&hub, "GET", &path, &Value::Null).await.json();
        assert!(shown["last_sync_in"].as_str().unwrap().ends_with('Z') && shown["received_packet_no"] == 1, "{shown}");
        let listed = ask(&hub, "GET", "/nodes", &Value::Null).await.json();
        assert_eq!(listed["nodes"][0]["registered"]["code"], "NODE-1", "{listed}");

        let changed = ask(&hub, "PUT", &path, &json!({ "name": "North", "plan": {} })).await.json();
        assert_eq!((&changed["name"], changed["plan"].get("types")), (&json!("North"), None));
        let reply = node.post(node.number + 1, &[insert("Other", 2, json!({}))]).await;
        assert!(reply["header"].get("rejected").is_none(), "the wider plan holds at once");

        let old = node.token.clone();
        let rotated = ask(&hub, "POST", &format!("{path}/rotate-token"), &Value::Null).await.json();
        node.token = rotated["token"].as_str().unwrap().to_owned();
        until_refused(&hub, &old, &node.packet(9, &[])).await;
        node.post(9, &[]).await;

        assert_eq!(ask(&hub, "DELETE", &path, &Value::Null).await.status, 200);
        until_refused(&hub, &node.token, &node.packet(10, &[])).await;
        assert_eq!(post(&hub, ADMIN, &node.packet(10, &[])).await.refusal(404), "unknown_node");
        assert_eq!(ask(&hub, "GET", &path, &Value::Null).await.refusal(404), "unknown_node");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_cannot_be_is_refused_and_leaves_nothing() {
    let hub = Hub::start().await;
    let with = |name: &str, value: Value| {
        let mut wish = wish(1);
        wish[name] = value;
        wish
    };
    let filter = |rows: Value| with("plan", json!({ "types": ["Report"], "rows": rows }));
    let cases = [
        (with("id", json!("branch-1")), 400, "malformed_node"),
        (with("id", json!(super::HUB)), 400, "malformed_node"),
        (with("code", json!("")), 400, "malformed_node"),
        (with("code", json!("with space")), 400, "malformed_node"),
        (with("name", json!("x".repeat(600))), 400, "malformed_node"),
        (with("token", json!("short")), 400, "malformed_token"),
        (with("token", json!(ADMIN)), 400, "malformed_token"),
        (filter(json!({ "Report": { "a": { "$near": 1 } } })), 400, "malformed_node"),
        (filter(json!({ "Report": { "a": "$node.missing" } })), 400, "malformed_node"),
        (filter(json!({ "Other": { "a": 1 } })), 400, "malformed_node"),
        (with("plan", json!({ "filters": {} })), 400, "malformed_json"),
        (with("surname", json!(1)), 400, "malformed_json"),
    ];
    for (wish, status, code) in cases {
        assert_eq!(ask(&hub, "POST", "/nodes", &wish).await.refusal(status), code, "{wish}");
    }
    let tokens = hub.get("/admin/tokens").await.json();
    assert_eq!(tokens["tokens"].as_array().unwrap().len(), 1, "only the admin's: {tokens}");

    assert_eq!(ask(&hub, "POST", "/nodes", &with("token", json!("a-secret-of-its-own"))).await.status, 200);
    assert_eq!(ask(&hub, "POST", "/nodes", &wish(1)).await.refusal(409), "node_exists");
    let mut same_code = wish(2);
    same_code["code"] = json!("NODE-1");
    assert_eq!(ask(&hub, "POST", "/nodes", &same_code).await.refusal(409), "code_taken");
    assert_eq!(ask(&hub, "GET", &format!("/nodes/{}", node_id(2)), &Value::Null).await.refusal(404), "unknown_node");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_registered_by_admins_only() {
    let hub = Arc::new(Hub::start().await);
    let node = Node::new(&hub, 1).await;
    let bearer = format!("Bearer {}", node.token);
    for (method, path) in [("POST", "/nodes".to_owned()), ("GET", format!("/nodes/{}/packet", node.id))] {
        let path = format!("/admin/spaces/main{path}");
        let reply = hub.send(method, &path, &[("authorization", &bearer)], wish(2).to_string().as_bytes()).await;
        assert_eq!(reply.refusal(403), "forbidden");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_by_file_may_be_carried_twice_and_out_of_order() {
    for hub in Hub::on_every_store().await {
        let hub = Arc::new(hub);
        let (a, mut b) = (Node::new(&hub, 1).await, Node::new(&hub, 2).await);
        let first = a.packet(1, &[insert("Report", 1, json!({ "v": 1, "updated_at": super::at(1) }))]);
        let both = a.packet(
            2,
            &[
                insert("Report", 1, json!({ "v": 2, "updated_at": super::at(2) })),
                insert("Report", 2, json!({ "v": 2, "updated_at": super::at(2) })),
            ],
        );
        for packet in [&both, &first, &both] {
            let summary = ask(&hub, "POST", "/packets", packet).await;
            assert_eq!(summary.status, 200, "{}", summary.text());
            let summary = summary.json();
            assert_eq!(
                (&summary["node"], &summary["ack_packet_no"], &summary["rejected"]),
                (&json!(a.id), &json!(2), &json!([]))
            );
        }

        let carry = |n: usize| format!("/nodes/{}/packet", node_id(n));
        let one = ask(&hub, "GET", &carry(2), &Value::Null).await.json();
        let two = ask(&hub, "GET", &carry(2), &Value::Null).await.json();
        assert_eq!((&one["header"]["packet_no"], &two["header"]["packet_no"]), (&json!(1), &json!(2)));
        assert_eq!(one["header"]["recipient_node_id"], json!(b.id));
        b.store(&two);
        b.store(&one);
        b.ack = 2;
        assert_eq!(b.object("Report", 1).unwrap()["v"], 2);
        assert_eq!(ask(&hub, "POST", "/packets", &b.packet(1, &[])).await.status, 200);
        let rest = ask(&hub, "GET", &carry(2), &Value::Null).await.json();
        assert_eq!((rest["body"]["entities"].as_array().unwrap().len(), &rest["header"]["packet_no"]), (0, &json!(2)));
        let own = ask(&hub, "GET", &carry(1), &Value::Null).await.json();
        assert_eq!(
            (told(own["body"]["entities"].as_array().unwrap()).len(), &own["header"]["ack_packet_no"]),
            (0, &json!(2))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carried_packet_is_checked_as_a_posted_one() {
    let hub = Arc::new(Hub::start().await);
    let node = Node::new(&hub, 1).await;
    let mut stranger = node.packet(1, &[]);
    stranger["header"]["sender_node_id"] = json!(node_id(5));
    assert_eq!(ask(&hub, "POST", "/packets", &stranger).await.refusal(404), "unknown_node");
    stranger["header"]["sender_node_id"] = json!(super::HUB);
    stranger["header"]["recipient_node_id"] = json!(node_id(1));
    let back = ask(&hub, "POST", "/packets", &stranger).await;
    assert!(back.text().contains("written by this hub"), "an export is not for the hub: {}", back.text());
    assert_eq!(back.refusal(422), "wrong_recipient");
    let bad = json!({ "type": "Report", "uuid": uuid(1), "operation": "INSERT" });
    assert_eq!(ask(&hub, "POST", "/packets", &node.packet(1, &[bad])).await.refusal(422), "malformed_element");
    assert_eq!(ask(&hub, "POST", "/packets", &json!("x")).await.refusal(422), "malformed_element");
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_are_unique_in_their_space_only() {
    let hub = Hub::start().await;
    let in_space = |space: &str| format!("/admin/spaces/{space}/nodes");
    let first = hub.post(&in_space("north"), &wish(1)).await.json();
    let second = hub.post(&in_space("south"), &wish(1)).await.json();
    assert!(first["token"].is_string() && second["token"].is_string(), "{first} {second}");

    let bearer = format!("Bearer {ADMIN}");
    let path = format!("/admin/spaces/south/nodes/{}", node_id(1));
    assert_eq!(hub.send("DELETE", &path, &[("authorization", &bearer)], b"").await.status, 200);

    let packet = json!({
        "header": { "sender_node_id": node_id(1), "recipient_node_id": super::HUB, "packet_no": 1, "ack_packet_no": 0,
                    "schema_version": "1.0.0" },
        "body": { "entities": [] },
    });
    assert_eq!(post(&hub, first["token"].as_str().unwrap(), &packet).await.status, 200, "that one is still there");
    assert_eq!(post(&hub, second["token"].as_str().unwrap(), &packet).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_in_step_is_not_behind_and_one_without_its_token_gets_another() {
    let (hub, mut nodes) = super::world(2).await;
    let [a, b] = &mut nodes[..] else { panic!() };
    a.edit(insert("Report", 1, json!({})));
    a.settle().await;
    let behind = |listed: Value| -> Vec<Value> {
        listed["nodes"].as_array().unwrap().iter().map(|node| node["behind"].clone()).collect()
    };
    assert_eq!(behind(ask(&hub, "GET", "/nodes", &Value::Null).await.json()), [json!(0), json!(1)]);
    b.settle().await;
    assert_eq!(behind(ask(&hub, "GET", "/nodes", &Value::Null).await.json()), [json!(0), json!(0)]);

    let bearer = format!("Bearer {ADMIN}");
    let removed = hub.send("DELETE", "/admin/tokens/node:NODE-2", &[("authorization", &bearer)], b"").await;
    assert_eq!(removed.status, 200, "{}", removed.text());
    assert_eq!(post(&hub, &b.token, &b.packet(b.number + 1, &[])).await.status, 401);
    let rotated = ask(&hub, "POST", &format!("/nodes/{}/rotate-token", b.id), &Value::Null).await.json();
    b.token = rotated["token"].as_str().unwrap().to_owned();
    assert!(b.round().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_silent_for_too_long_is_given_everything_again() {
    let retention = Retention { log: Duration::ZERO, nodes: Duration::ZERO, ..Retention::default() };
    for hub in Hub::on_every_store_with(|options| options.settings.retention = retention).await {
        let hub = Arc::new(hub);
        let (mut a, mut b) = (Node::new(&hub, 1).await, Node::new(&hub, 2).await);
        for n in 1..=3 {
            a.edit(insert("Report", n, json!({ "v": 1, "updated_at": super::at(n) })));
        }
        a.settle().await;
        b.settle().await;
        for v in 2..=4 {
            a.edit(super::update("Report", 1, json!({ "v": v, "updated_at": super::at(10 + v) })));
            a.settle().await;
        }
        // What was committed in this very millisecond is not old yet.
        while ask(&hub, "POST", "/trim", &Value::Null).await.json()["horizon"].as_u64().unwrap() < 6 {}

        let carried = ask(&hub, "GET", &format!("/nodes/{}/packet", b.id), &Value::Null).await;
        assert_eq!(carried.refusal(422), "silent_node");
        let came = b.round().await;

        assert_eq!(told(&came).len(), 3, "everything, for nobody knows what it missed: {came:?}");
        assert_eq!(b.object("Report", 1).unwrap()["v"], 4);
        assert!(b.round().await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_logged_once_more_while_its_node_is_filled_comes_to_it_all_the_same() {
    let retention = Retention { log: Duration::ZERO, nodes: Duration::ZERO, ..Retention::default() };
    let change = |options: &mut Options| {
        options.settings.retention = retention;
        options.settings.limits.page_changes = 1;
    };
    for hub in Hub::on_every_store_with(change).await {
        let hub = Arc::new(hub);
        let mut a = Node::new(&hub, 1).await;
        let inserted = json!({
            "txn": "op", "txid": "t1", "col": "local", "type": "insert", "args": [{ "_id": uuid(2), "v": 0 }], "ts": super::at(0),
        });
        let push = async |batch: &str| {
            let reply = hub.post("/c/Report/sync/push", &json!({ "batchId": batch, "ops": [inserted] })).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        };
        a.edit(insert("Report", 1, json!({ "v": 1, "updated_at": super::at(1) })));
        a.settle().await;
        push("first").await;
        a.settle().await;
        a.edit(super::update("Report", 2, json!({ "v": 1, "updated_at": super::at(2) })));
        a.edit(insert("Report", 3, json!({ "v": 1, "updated_at": super::at(3) })));
        a.settle().await;
        hub.push("device", "b1", &json!([crate::support::insert(1, "Report", "of-a-device")])).await;
        // What was committed in this very millisecond is not old yet.
        while ask(&hub, "POST", "/trim", &Value::Null).await.json()["horizon"].as_u64().unwrap() < 6 {}
        a.objects.clear();

        let mut came = a.round().await;
        // A repeat of the transaction logs what stands once more, as its last author's.
        push("again").await;
        for _ in 0..4 {
            came.extend(a.round().await);
        }

        assert_eq!(told(&came).iter().map(|(_, n)| *n).collect::<Vec<_>>(), [1, 3, 2], "{came:?}");
        assert_eq!((a.objects.len(), &a.object("Report", 2).unwrap()["v"]), (3, &json!(1)));
    }
}
