//! Bad packets: each has a defined answer that names what is wrong, changes nothing and counts nothing.

use super::{HUB, Node, delete, insert, node_id, post, told, update, uuid, world};
use crate::support::{ADMIN, Hub, Reply};
use serde_json::{Value, json};
use std::sync::Arc;
use syncline_core::model::Limits;
use syncline_server::{ExchangeOptions, UnknownTypes};

/// The node's counters and the hub's documents.
async fn state(hub: &Hub, node: &Node) -> (Value, Value) {
    let shown = hub.get(&format!("/admin/spaces/main/nodes/{}", node.id)).await.json();
    let documents = hub.pull("since_lsn=0").await["ops"].clone();
    (shown, documents)
}

async fn raw(hub: &Hub, headers: &[(&str, &str)], body: &str) -> Reply {
    hub.send("POST", "/api/sync/exchange", headers, body.as_bytes()).await
}

/// A node that has had some exchange, so that there is something to lose.
async fn node_in_step(hub: &Arc<Hub>) -> Node {
    let mut node = Node::new(hub, 1).await;
    node.edit(insert("Report", 1, json!({ "n": 1 })));
    node.settle().await;
    hub.push("device", "b", &json!([crate::support::insert(1, "Report", &uuid(9))])).await;
    node
}

/// A packet with one thing changed.
fn with(node: &Node, change: impl FnOnce(&mut Value)) -> Value {
    let mut packet = node.packet(node.number + 1, &[insert("Report", 2, json!({ "n": 2 }))]);
    change(&mut packet);
    packet
}

fn entity(node: &Node, change: impl FnOnce(&mut Value)) -> Value {
    let mut bad = insert("Report", 3, json!({ "n": 3 }));
    change(&mut bad);
    with(node, |packet| packet["body"]["entities"].as_array_mut().unwrap().push(bad))
}

/// What is wrong, the packet, and the place that the answer names.
fn malformed(node: &Node) -> Vec<(&'static str, Value, &'static str)> {
    let set = |name: &'static str, value: Value| with(node, |packet| packet["header"][name] = value);
    let drop_in = |name: &'static str| entity(node, |bad| drop(bad.as_object_mut().unwrap().remove(name)));
    let put_in = |name: &'static str, value: Value| entity(node, |bad| bad[name] = value);
    vec![
        ("no object", json!([1]), "packet"),
        ("no header", json!({ "body": { "entities": [] } }), "header"),
        ("no body", with(node, |p| drop(p.as_object_mut().unwrap().remove("body"))), "body"),
        ("a body that is a list", with(node, |p| p["body"] = json!([])), "body"),
        ("no entities", with(node, |p| p["body"] = json!({})), "body.entities"),
        ("entities that are an object", with(node, |p| p["body"]["entities"] = json!({})), "body.entities"),
        ("packet number zero", set("packet_no", json!(0)), "header.packet_no"),
        ("a negative packet number", set("packet_no", json!(-1)), "header.packet_no"),
        ("a huge packet number", set("packet_no", json!(1_u64 << 53)), "header.packet_no"),
        ("a packet number that is a fraction", set("packet_no", json!(1.5)), "header.packet_no"),
        ("a packet number that is text", set("packet_no", json!("9")), "header.packet_no"),
        ("a negative acknowledgement", set("ack_packet_no", json!(-3)), "header.ack_packet_no"),
        ("no acknowledgement", set("ack_packet_no", json!(null)), "header.ack_packet_no"),
        ("no version", set("schema_version", json!("one")), "header.schema_version"),
        ("a version that is a number", set("schema_version", json!(1)), "header.schema_version"),
        ("a sender that is no UUID", set("sender_node_id", json!("me")), "header.sender_node_id"),
        ("a recipient that is no UUID", set("recipient_node_id", json!(7)), "header.recipient_node_id"),
        ("an entity that is no object", with(node, |p| p["body"]["entities"] = json!([7])), "body.entities[0]"),
        ("no type", drop_in("type"), "body.entities[1].type"),
        ("a type that is a number", put_in("type", json!(3)), "body.entities[1].type"),
        ("no uuid", drop_in("uuid"), "body.entities[1].uuid"),
        ("a malformed uuid", put_in("uuid", json!("22222222-2222")), "body.entities[1].uuid"),
        ("no operation", drop_in("operation"), "body.entities[1].operation"),
        ("an unknown operation", put_in("operation", json!("UPSERT")), "body.entities[1].operation"),
        ("no data", drop_in("data"), "body.entities[1].data"),
        ("data that is a list", put_in("data", json!([])), "body.entities[1].data"),
        ("DELETE with data", put_in("operation", json!("DELETE")), "body.entities[1].data"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn x10_what_is_no_packet_is_named_and_changes_nothing() {
    let hub = Arc::new(Hub::start().await);
    let node = node_in_step(&hub).await;
    let before = state(&hub, &node).await;
    for (what, packet, place) in malformed(&node) {
        let reply = post(&hub, &node.token, &packet).await;
        assert_eq!(reply.refusal(422), "malformed_element", "{what}");
        assert!(reply.text().contains(&format!("`{place}`")), "{what}: {}", reply.text());
    }
    let bearer = format!("Bearer {}", node.token);
    for text in ["", "{\"header\":", "nonsense", "{}{}", "{\"header\":{},}"] {
        let reply = raw(&hub, &[("authorization", &bearer)], text).await;
        assert_eq!(reply.refusal(400), "malformed_json", "{text}");
    }
    assert_eq!(state(&hub, &node).await, before, "nothing was applied, confirmed or counted");
    assert_eq!(node.post(node.number + 1, &[]).await["body"]["entities"].as_array().unwrap().len(), 1, "it goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn x9_tokens_senders_and_recipients_are_checked() {
    let hub = Arc::new(Hub::start().await);
    let node = node_in_step(&hub).await;
    let other = Node::new(&hub, 2).await;
    let plain =
        hub.post("/admin/tokens", &json!({ "name": "device" })).await.json()["token"].as_str().unwrap().to_owned();
    let before = state(&hub, &node).await;
    let good = with(&node, |_| {});
    let stranger = with(&node, |packet| packet["header"]["sender_node_id"] = json!(node_id(77)));
    let astray = with(&node, |packet| packet["header"]["recipient_node_id"] = json!(node_id(2)));

    let cases = [
        ("no token", raw(&hub, &[], &good.to_string()).await, 401, "unauthorized"),
        ("an unknown token", post(&hub, "no-such-token", &good).await, 401, "unauthorized"),
        ("another scheme", raw(&hub, &[("authorization", "Basic eDp5")], &good.to_string()).await, 401, "unauthorized"),
        ("the token of another node", post(&hub, &other.token, &good).await, 403, "forbidden"),
        ("the token of a device", post(&hub, &plain, &good).await, 403, "forbidden"),
        ("a stranger with a node's token", post(&hub, &node.token, &stranger).await, 403, "forbidden"),
        ("a stranger with an admin token", post(&hub, ADMIN, &stranger).await, 404, "unknown_node"),
        ("another recipient", post(&hub, &node.token, &astray).await, 422, "wrong_recipient"),
    ];
    for (what, reply, status, code) in cases {
        assert_eq!(reply.refusal(status), code, "{what}");
    }
    assert_eq!(hub.get("/api/sync/exchange").await.refusal(405), "method_not_allowed");
    assert_eq!(state(&hub, &node).await, before);

    let reply = raw(&hub, &[("x-sync-token", &node.token)], &good.to_string()).await;
    assert_eq!(reply.status, 200, "the token may come in a header of its own: {}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn x11_another_major_version_is_refused_and_another_minor_is_not() {
    let hub = Arc::new(Hub::start().await);
    let node = node_in_step(&hub).await;
    let before = state(&hub, &node).await;
    let version = |version: &str| with(&node, |packet| packet["header"]["schema_version"] = json!(version));

    let reply = post(&hub, &node.token, &version("99.0.0")).await;

    assert_eq!(reply.refusal(409), "schema_mismatch");
    assert!(reply.text().contains("99.0.0") && reply.text().contains("1.0.0"), "{}", reply.text());
    assert_eq!(state(&hub, &node).await, before);
    let reply = post(&hub, &node.token, &version("1.7.2-beta")).await;
    assert_eq!((reply.status, &reply.json()["header"]["schema_version"]), (200, &json!("1.7.2-beta")));
}

#[tokio::test(flavor = "multi_thread")]
async fn x11_an_entity_of_an_unknown_type_is_set_aside_alone_and_named() {
    let (hub, mut nodes) = world(2).await;
    let [a, b] = &mut nodes[..] else { panic!() };
    let strange = json!({ "type": "no/type", "uuid": uuid(1), "operation": "INSERT", "data": { "n": 1 } });
    let packet = [strange, insert("Report", 2, json!({ "n": 2 }))];

    let reply = a.post(1, &packet).await;

    assert_eq!(reply["header"]["ack_packet_no"], 1);
    let named = &reply["header"]["rejected"][0];
    assert_eq!(
        (&named["type"], &named["uuid"], &named["code"]),
        (&json!("no/type"), &json!(uuid(1)), &json!("unknown_type"))
    );
    assert!(named["reason"].as_str().unwrap().contains("no/type"), "{named}");
    assert_eq!(a.post(1, &packet).await["header"]["rejected"], reply["header"]["rejected"], "a repeat names it again");
    assert!(a.post(2, &[]).await["header"].get("rejected").is_none());
    let row = hub.get("/admin/spaces/main/quarantine").await.json()["quarantine"][0].clone();
    assert_eq!((&row["node"], &row["code"], &row["id"]), (&json!(a.id), &json!("unknown_type"), &json!(uuid(1))));
    assert!(row["op"].as_str().unwrap().contains("\"n\":1"), "the entity as it was sent: {row}");
    assert_eq!(told(&b.round().await), [("INSERT".to_owned(), 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn x11_the_strict_reading_refuses_the_packet_and_the_node_goes_on() {
    let exchange = ExchangeOptions {
        types: Some([syncline_core::model::CollectionName::new("Report").unwrap()].into()),
        unknown_types: UnknownTypes::Refuse,
        ..ExchangeOptions::default()
    };
    let hub = Arc::new(Hub::with(|options| options.exchange = exchange).await);
    let node = node_in_step(&hub).await;
    let before = state(&hub, &node).await;
    let packet = with(&node, |p| p["body"]["entities"].as_array_mut().unwrap().push(insert("Foreign", 3, json!({}))));

    let reply = post(&hub, &node.token, &packet).await;

    assert_eq!(reply.refusal(422), "unknown_type");
    assert!(reply.text().contains("Foreign") && reply.text().contains("body.entities[1].type"), "{}", reply.text());
    assert_eq!(state(&hub, &node).await, before);
    node.post(node.number + 1, &[insert("Report", 2, json!({}))]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_but_possible_packets_have_their_answer() {
    let (_hub, mut nodes) = world(2).await;
    let [a, b] = &mut nodes[..] else { panic!() };
    let reply = a.post(1, &[update("Report", 1, json!({ "n": 1 })), delete("Report", 2), delete("Report", 2)]).await;
    assert!(reply["header"].get("rejected").is_none(), "an unknown uuid is no fault: {reply}");
    a.post(2, &[delete("Report", 2), insert("Report", 1, json!({ "m": 1 }))]).await;
    a.post((1 << 53) - 1, &[]).await;
    assert_eq!(a.post((1 << 53) - 1, &[]).await["header"]["ack_packet_no"], (1_u64 << 53) - 1);
    b.settle().await;
    assert_eq!((b.object("Report", 1), b.object("Report", 2)), (Some(json!({ "n": 1, "m": 1 })), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_does_not_write_one_object_over_and_over() {
    let (hub, mut nodes) = world(1).await;
    let a = &mut nodes[0];
    let edits: Vec<Value> = (0..=100).map(|n| update("Report", 1, json!({ "n": n }))).collect();
    let reply = post(&hub, &a.token, &a.packet(1, &edits)).await;
    assert!(reply.text().contains(&uuid(1)), "the object is named: {}", reply.text());
    assert_eq!(reply.refusal(422), "too_many_edits");
    assert_eq!(a.post(1, &edits[..100]).await["header"]["ack_packet_no"], 1, "nothing of it had an effect");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_a_limit_is_named_with_it() {
    let limits = Limits { batch_ops: 3, document_bytes: 200, depth: 4, body_bytes: 10_000, ..Limits::default() };
    let hub = Arc::new(Hub::with(|options| options.settings.limits = limits).await);
    let (a, mut b) = (Node::new(&hub, 1).await, Node::new(&hub, 2).await);
    let four: Vec<Value> = (1..=4).map(|n| insert("Report", n, json!({}))).collect();
    let reply = post(&hub, &a.token, &a.packet(1, &four)).await;
    assert_eq!(reply.refusal(413), "batch_too_large");
    assert_eq!(reply.json()["limit"], "limits.batch_ops");
    let long = insert("Report", 1, json!({ "long": "x".repeat(10_000) }));
    assert_eq!(post(&hub, &a.token, &a.packet(1, &[long])).await.refusal(413), "body_too_large");

    let large = insert("Report", 1, json!({ "long": "x".repeat(300) }));
    let deep = insert("Report", 2, json!({ "deep": [[[[1]]]] }));
    let reply = a.post(1, &[large, deep, insert("Report", 3, json!({}))]).await;

    let codes: Vec<&Value> = reply["header"]["rejected"].as_array().unwrap().iter().map(|r| &r["code"]).collect();
    assert_eq!(codes, ["document_too_large", "too_deep"]);
    assert_eq!(told(&b.round().await), [("INSERT".to_owned(), 3)], "one large object does not block the node");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_known_in_either_case_of_its_id() {
    let hub = Arc::new(Hub::start().await);
    let wish = json!({ "id": "ABCDEF00-1111-4111-8111-00000000000A", "code": "UPPER", "name": "u" });
    let reply = hub.post("/admin/spaces/main/nodes", &wish).await.json();
    assert_eq!(reply["id"], "abcdef00-1111-4111-8111-00000000000a");
    let packet = json!({
        "header": { "sender_node_id": "ABCDEF00-1111-4111-8111-00000000000A", "recipient_node_id": HUB,
                    "packet_no": 1, "ack_packet_no": 0, "schema_version": "1.0.0" },
        "body": { "entities": [] },
    });
    let answer = post(&hub, reply["token"].as_str().unwrap(), &packet).await.json();
    assert_eq!(answer["header"]["recipient_node_id"], "ABCDEF00-1111-4111-8111-00000000000A", "as it was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn x10_no_wound_of_a_packet_is_worse_than_a_refusal() {
    let hub = Arc::new(Hub::start().await);
    let node = Node::new(&hub, 1).await;
    let good = node.packet(1, &[insert("Report", 1, json!({ "a": ["é", { "b": null }] })), delete("Report", 2)]);
    let (good, bearer) = (good.to_string().into_bytes(), format!("Bearer {}", node.token));
    for place in 0..good.len() {
        let mut bytes = good.clone();
        match place % 3 {
            0 => bytes.truncate(place),
            1 => bytes[place] = b"\"{}[],:0\\\xff"[place % 10],
            _ => bytes.insert(place, b"\"{}[],:0\\\xff"[place % 10]),
        }
        let reply = hub.send("POST", "/api/sync/exchange", &[("authorization", &bearer)], &bytes).await;
        let text = String::from_utf8_lossy(&bytes);
        assert!(matches!(reply.status, 200 | 400 | 403 | 409 | 422), "{text}: {} {}", reply.status, reply.text());
        if reply.status != 200 {
            reply.refusal(reply.status);
        }
    }
}
