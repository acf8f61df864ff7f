//! A node that sends more packets at once than one by one can be handled.

use super::{Node, insert, post};
use crate::support::Hub;
use crate::support::faulty::FaultyStore;
use serde_json::json;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_floods_the_hub_leaves_room_for_others() {
    // Given a hub for 7 requests at once, on a store that takes its time.
    let store = FaultyStore::held();
    let hub = Arc::new(Hub::on(store.clone(), |options| options.settings.bounds.requests = 7).await);
    let (flooding, other) = (Node::new(&hub, 1).await, Node::new(&hub, 2).await);

    // When a node posts 7 packets together, then one is in work, 4 wait, and 2 are refused.
    let packet = flooding.packet(1, &[insert("Report", 1, json!({ "n": 1 }))]);
    let posted: Vec<_> = (0..7)
        .map(|_| {
            let (hub, token, packet) = (Arc::clone(&hub), flooding.token.clone(), packet.clone());
            tokio::spawn(async move { post(&hub, &token, &packet).await })
        })
        .collect();
    while !hub.get("/metrics").await.text().contains(r#"syncline_refused_total{code="overloaded"} 2"#) {
        tokio::task::yield_now().await;
    }

    // And another node is served meanwhile, as soon as the store is.
    let served = tokio::spawn({
        let (hub, packet) = (Arc::clone(&hub), other.packet(1, &[insert("Report", 2, json!({ "n": 2 }))]));
        async move { post(&hub, &other.token, &packet).await }
    });
    store.passes.add_permits(1_000);
    assert_eq!(served.await.unwrap().status, 200);
    let (mut taken, mut refused) = (0, 0);
    for reply in posted {
        let reply = reply.await.unwrap();
        if reply.status == 200 {
            taken += 1;
            continue;
        }
        assert_eq!(
            (reply.refusal(503).as_str(), &reply.json()["limit"]),
            ("overloaded", &json!("limits.node_packets"))
        );
        assert!(reply.headers.contains_key("retry-after"));
        refused += 1;
    }
    assert_eq!((taken, refused), (5, 2));
}
