//! One node and two workers that share a database.

use super::{HUB, Node, insert, node_id, post, told};
use crate::support::socket::LONG;
use crate::support::{ADMIN, Hub, Reply};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::join;
use tokio::time::{sleep, timeout};

async fn workers() -> [Arc<Hub>; 2] {
    Hub::workers(|_| {}).await.map(Arc::new)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_that_is_repeated_at_another_worker_is_answered_alike_and_done_once() {
    let [one, two] = workers().await;
    let (mut north, mut south) = (Node::new(&one, 1).await, Node::new(&two, 2).await);
    south.edit(insert("Report", 9, json!({ "by": "south" })));
    south.settle().await;
    north.edit(insert("Report", 1, json!({ "by": "north" })));
    let packet = north.packet(1, &north.queue);

    let first = post(&one, &north.token, &packet).await;
    let again = post(&two, &north.token, &packet).await;

    let [first, again] = [first, again].map(|reply| reply.json());
    assert_eq!(first["header"]["ack_packet_no"], again["header"]["ack_packet_no"]);
    assert_eq!(first["body"], again["body"]);
    north.number = 1;
    north.store(&again);
    assert_eq!(north.round().await, Vec::<Value>::new(), "what was told by the second reply is acknowledged by it");
    assert_eq!(two.pull("since_lsn=0").await["ops"].as_array().unwrap().len(), 2, "each report once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_talks_to_two_workers_at_once_misses_nothing_and_does_nothing_twice() {
    const ROUNDS: usize = 12;
    let [one, two] = workers().await;
    let (mut north, mut south) = (Node::new(&one, 1).await, Node::new(&two, 2).await);
    for n in 0..ROUNDS {
        south.edit(insert("Report", 100 + n, json!({ "n": n })));
        north.edit(insert("Report", n, json!({ "n": n })));
        north.number += 1;
        let packet = north.packet(north.number, &north.queue);
        let token = north.token.clone();
        let (here, there, _) = join!(post(&one, &token, &packet), post(&two, &token, &packet), south.round());
        // Whichever arrives first is stored; the other one is late and tells nothing that the next does not.
        let reply = if n % 2 == 0 { here } else { there };
        assert_eq!(reply.status, 200, "{}", reply.text());
        north.store(&reply.json());
    }
    for node in [&mut north, &mut south] {
        node.settle().await;
    }
    north.settle().await;

    assert_eq!(north.objects, south.objects);
    assert_eq!(north.objects.len(), 2 * ROUNDS);
    let log = one.pull("since_lsn=0").await;
    assert_eq!(log["ops"].as_array().unwrap().len(), 2 * ROUNDS, "each report once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_was_changed_at_one_worker_holds_at_the_other_at_once() {
    let [one, two] = workers().await;
    let mut node = Node::with(&two, 1, json!({ "types": ["Report"] })).await;
    let mut other = Node::new(&one, 2).await;
    other.edit(insert("Report", 1, json!({})));
    other.edit(insert("Invoice", 2, json!({})));
    other.settle().await;
    assert_eq!(told(&node.round().await), [("INSERT".to_owned(), 1)]);

    let bearer = format!("Bearer {ADMIN}");
    let (path, plan) =
        (format!("/admin/spaces/main/nodes/{}", node_id(1)), json!({ "plan": { "types": ["Invoice"] } }));
    let changed = one.send("PUT", &path, &[("authorization", &bearer)], plan.to_string().as_bytes()).await;
    assert_eq!(changed.status, 200, "{}", changed.text());

    let entities = node.round().await;
    assert!(told(&entities).contains(&("INSERT".to_owned(), 2)), "{entities:?}");
    assert!(entities.iter().all(|entity| entity["type"] == "Invoice"), "{entities:?}");
    assert_eq!(one.send("DELETE", &path, &[("authorization", &bearer)], b"").await.status, 200);
    let reply = post(&two, ADMIN, &node.packet(node.number + 1, &[])).await;
    assert_eq!(reply.refusal(404), "unknown_node", "its registration has ended everywhere");
}

fn admin() -> String {
    format!("Bearer {ADMIN}")
}

async fn ask(hub: &Hub, method: &str, path: &str, body: &Value) -> Reply {
    hub.send(method, path, &[("authorization", &admin())], body.to_string().as_bytes()).await
}

/// Tokens that are bound to a node, as far as a worker knows.
async fn tokens_of(hub: &Hub, n: usize) -> Vec<Value> {
    let all = ask(hub, "GET", "/admin/tokens", &Value::Null).await.json();
    let all = all["tokens"].as_array().unwrap().clone();
    all.into_iter().filter(|token| token["node"] == json!(node_id(n))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_registrations_of_one_node_at_once_one_holds_with_its_token() {
    let [one, two] = workers().await;
    for n in 1..=8 {
        let wish = |name: &str| json!({ "id": node_id(n), "code": format!("DESK-{n}"), "name": name });
        let (here, there) = (wish("here"), wish("there"));
        let nodes = "/admin/spaces/main/nodes";
        let (here, there) = join!(ask(&one, "POST", nodes, &here), ask(&two, "POST", nodes, &there));
        let (made, refused) = if here.status == 200 { (here, there) } else { (there, here) };
        assert_eq!(refused.refusal(409), "node_exists");
        let made = made.json();

        let kept = ask(&two, "GET", &format!("{nodes}/{}", node_id(n)), &Value::Null).await.json();
        assert_eq!(kept["name"], made["name"], "what was answered stands");
        let packet = json!({ "header": { "sender_node_id": node_id(n), "recipient_node_id": HUB, "packet_no": 1,
            "ack_packet_no": 0, "schema_version": "1.0.0" }, "body": { "entities": [] } });
        for hub in [&one, &two] {
            assert_eq!(post(hub, made["token"].as_str().unwrap(), &packet).await.status, 200, "its token opens");
        }
        assert_eq!(tokens_of(&one, n).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_changed_and_removed_at_two_workers_keeps_plan_and_token_together() {
    let [one, two] = workers().await;
    for n in 1..=8 {
        let path = format!("/admin/spaces/main/nodes/{}", node_id(n));
        let wish = json!({ "id": node_id(n), "code": format!("DESK-{n}"), "name": "" });
        let token = ask(&one, "POST", "/admin/spaces/main/nodes", &wish).await.json()["token"].clone();
        let plan = |kind: &str| json!({ "plan": { "types": [kind] } });
        let (reports, invoices) = (plan("Report"), plan("Invoice"));
        let (here, there) = join!(ask(&one, "PUT", &path, &reports), ask(&two, "PUT", &path, &invoices));
        assert_eq!((here.status, there.status), (200, 200), "{} {}", here.text(), there.text());
        let types = ask(&one, "GET", &path, &Value::Null).await.json()["plan"]["types"].clone();
        for hub in [&one, &two] {
            let agree = async {
                while tokens_of(hub, n).await.first().is_none_or(|token| token["collections"] != types) {
                    sleep(Duration::from_millis(5)).await; // sleep: until another worker has heard
                }
            };
            timeout(LONG, agree).await.expect("the token opens what the plan names");
        }

        // At the worker that may not have heard of its token yet.
        assert_eq!(ask(&two, "DELETE", &path, &Value::Null).await.status, 200);
        assert_eq!(tokens_of(&two, n).await, Vec::<Value>::new());
        let bearer = format!("Bearer {}", token.as_str().unwrap());
        let read = async || two.send("GET", "/sync/pull?node=x", &[("authorization", &bearer)], b"").await.status;
        assert_eq!(read().await, 401, "it opens nothing any more");
    }
}
