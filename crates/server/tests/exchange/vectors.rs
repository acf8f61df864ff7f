//! Recorded sequences, packet by packet.

use super::{HUB, node_id, post};
use crate::support::Hub;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use syncline_core::model::CollectionName;
use syncline_server::{ExchangeOptions, UnknownTypes};

fn sequences() -> Vec<Value> {
    let text = include_str!("../../../../spec/vectors/exchange-sequences.json");
    let vector: Value = serde_json::from_str(text).unwrap();
    vector["sequences"].as_array().unwrap().clone()
}

/// The recorded tokens are too short to be accepted; these stand for them.
async fn tokens(hub: &Hub) -> BTreeMap<&'static str, String> {
    let mut tokens = BTreeMap::from([("no-such-token", "no-such-token".to_owned())]);
    for (n, recorded) in [(1, "token-1"), (2, "token-2")] {
        tokens.insert(recorded, super::register(hub, n, json!({})).await);
    }
    tokens
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_packet_is_answered_as_it_was() {
    for hub in Hub::on_every_store_with(|options| {
        options.exchange = ExchangeOptions {
            hub_id: HUB.to_owned(),
            types: Some([CollectionName::new("DailyReport").unwrap()].into()),
            unknown_types: UnknownTypes::Refuse,
            ..ExchangeOptions::default()
        };
    })
    .await
    {
        let tokens = tokens(&hub).await;
        for sequence in sequences() {
            for (n, step) in sequence["steps"].as_array().unwrap().iter().enumerate() {
                let place = format!("{} {n}", sequence["name"]);
                let token = &tokens[step["authorization"].as_str().unwrap().trim_start_matches("Bearer ")];
                let reply = match step["request"].as_str() {
                    Some(text) => {
                        let bearer = format!("Bearer {token}");
                        let headers = [("authorization", bearer.as_str())];
                        hub.send("POST", "/api/sync/exchange", &headers, text.as_bytes()).await
                    }
                    None => post(&hub, token, &step["request"]).await,
                };
                assert_eq!(reply.status, step["status"], "{place}: {}", reply.text());
                if reply.status == 200 {
                    assert_eq!(reply.json(), step["response"], "{place}");
                } else {
                    reply.refusal(reply.status);
                }
            }
        }
        let shown = hub.get(&format!("/admin/spaces/main/nodes/{}", node_id(1))).await.json();
        assert_eq!((&shown["received_packet_no"], &shown["sent_packet_no"]), (&json!(8), &json!(2)), "{shown}");
    }
}
