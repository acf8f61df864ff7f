//! One node and two workers that share a database.

use super::{Node, insert, node_id, post, told};
use crate::support::{ADMIN, Hub};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::join;

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
