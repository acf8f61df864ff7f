//! Nodes that speak the plain protocol, as its description says: they set the fields that they are given,
//! and know no extension. Every reply is checked for its form.

mod bad_packets;
mod crossing;
mod filters;
mod flood;
mod registry;
mod stories;
mod vectors;
mod workers;

use crate::support::{Hub, Reply};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub const HUB: &str = "00000000-0000-4000-8000-000000000000";

/// The id of the node with a number.
pub fn node_id(n: usize) -> String {
    format!("11111111-1111-4111-8111-{n:012}")
}

/// The id of the object with a number.
pub fn uuid(n: usize) -> String {
    format!("22222222-2222-4222-8222-{n:012}")
}

/// A time of the recorded day.
pub fn at(second: usize) -> String {
    format!("2025-12-12T10:{:02}:{:02}.000Z", second / 60, second % 60)
}

/// Registers the node with a number and returns its token.
pub async fn register(hub: &Hub, n: usize, plan: Value) -> String {
    let wish = json!({ "id": node_id(n), "code": format!("NODE-{n}"), "name": format!("Node {n}"), "plan": plan });
    let reply = hub.post("/admin/spaces/main/nodes", &wish).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["token"].as_str().unwrap().to_owned()
}

/// Posts an envelope.
pub async fn post(hub: &Hub, token: &str, envelope: &Value) -> Reply {
    let bearer = format!("Bearer {token}");
    hub.send("POST", "/api/sync/exchange", &[("authorization", &bearer)], envelope.to_string().as_bytes()).await
}

pub fn insert(kind: &str, n: usize, data: Value) -> Value {
    json!({ "type": kind, "uuid": uuid(n), "operation": "INSERT", "data": data })
}

pub fn update(kind: &str, n: usize, data: Value) -> Value {
    json!({ "type": kind, "uuid": uuid(n), "operation": "UPDATE", "data": data })
}

pub fn delete(kind: &str, n: usize) -> Value {
    json!({ "type": kind, "uuid": uuid(n), "operation": "DELETE", "data": null })
}

/// A node of the plain protocol.
pub struct Node {
    pub hub: Arc<Hub>,
    pub id: String,
    pub token: String,
    /// The last number that it used.
    pub number: u64,
    /// The last packet of the hub that it has stored.
    pub ack: u64,
    /// Its objects, by type and uuid.
    pub objects: BTreeMap<(String, String), Map<String, Value>>,
    /// What it has done and the hub has not acknowledged.
    pub queue: Vec<Value>,
}

impl Node {
    /// The node with a number, newly registered.
    pub async fn new(hub: &Arc<Hub>, n: usize) -> Node {
        Node::with(hub, n, json!({})).await
    }

    pub async fn with(hub: &Arc<Hub>, n: usize, plan: Value) -> Node {
        let token = register(hub, n, plan).await;
        let (objects, queue) = (BTreeMap::new(), Vec::new());
        Node { hub: Arc::clone(hub), id: node_id(n), token, number: 0, ack: 0, objects, queue }
    }

    /// Does something to an object of its own.
    pub fn edit(&mut self, entity: Value) {
        self.apply(&entity);
        self.queue.push(entity);
    }

    /// The packet with a number that holds these entities.
    pub fn packet(&self, number: u64, entities: &[Value]) -> Value {
        json!({
            "header": {
                "sender_node_id": self.id, "recipient_node_id": HUB,
                "packet_no": number, "ack_packet_no": self.ack, "schema_version": "1.0.0",
            },
            "body": { "entities": entities },
        })
    }

    /// Posts a packet without taking anything of the reply.
    pub async fn post(&self, number: u64, entities: &[Value]) -> Value {
        let reply = post(&self.hub, &self.token, &self.packet(number, entities)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        self.checked(reply.json())
    }

    /// One round: everything that is not acknowledged goes out, the reply is stored. Returns its entities.
    pub async fn round(&mut self) -> Vec<Value> {
        self.number += 1;
        let reply = self.post(self.number, &self.queue).await;
        self.store(&reply)
    }

    /// Rounds until nothing comes any more.
    pub async fn settle(&mut self) {
        while !self.round().await.is_empty() || !self.queue.is_empty() {}
    }

    /// Takes a reply in.
    pub fn store(&mut self, reply: &Value) -> Vec<Value> {
        if reply["header"]["ack_packet_no"].as_u64().unwrap() >= self.number {
            self.queue.clear();
        }
        let entities = reply["body"]["entities"].as_array().unwrap().clone();
        entities.iter().for_each(|entity| self.apply(entity));
        self.ack = reply["header"]["packet_no"].as_u64().unwrap();
        entities
    }

    /// Sets the given fields, and no others.
    fn apply(&mut self, entity: &Value) {
        let key = ["type", "uuid"].map(|name| entity[name].as_str().unwrap().to_owned());
        let key = (key[0].clone(), key[1].clone());
        match entity["data"].as_object() {
            None => drop(self.objects.remove(&key)),
            Some(data) => {
                let object = self.objects.entry(key).or_default();
                object.extend(data.iter().map(|(name, value)| (name.clone(), value.clone())));
                object.retain(|_, value| !value.is_null());
            }
        }
    }

    pub fn object(&self, kind: &str, n: usize) -> Option<Value> {
        self.objects.get(&(kind.to_owned(), uuid(n))).map(|fields| json!(fields))
    }

    /// A strict reader of replies.
    fn checked(&self, reply: Value) -> Value {
        let header = reply["header"].as_object().unwrap();
        assert_eq!(
            (header["sender_node_id"].as_str(), header["recipient_node_id"].as_str()),
            (Some(HUB), Some(&*self.id))
        );
        assert!(header["packet_no"].is_u64() && header["ack_packet_no"].is_u64(), "{header:?}");
        assert_eq!(header["schema_version"], "1.0.0");
        for entity in reply["body"]["entities"].as_array().unwrap() {
            let fields = entity.as_object().unwrap();
            assert_eq!(fields.len(), 4, "{entity}");
            assert!(fields["type"].is_string() && fields["uuid"].as_str().unwrap().len() == 36, "{entity}");
            match fields["operation"].as_str().unwrap() {
                "INSERT" | "UPDATE" => assert!(fields["data"].is_object(), "{entity}"),
                "DELETE" => assert!(fields["data"].is_null(), "{entity}"),
                other => panic!("{other}"),
            }
        }
        reply
    }
}

/// Operation and number of the object, in order.
pub fn told(entities: &[Value]) -> Vec<(String, usize)> {
    let number = |entity: &Value| entity["uuid"].as_str().unwrap()[24..].parse().unwrap();
    entities.iter().map(|entity| (entity["operation"].as_str().unwrap().to_owned(), number(entity))).collect()
}

/// A hub on every kind of store with so many nodes.
pub async fn world(nodes: usize) -> (Arc<Hub>, Vec<Node>) {
    let hub = Arc::new(Hub::start().await);
    let mut all = Vec::new();
    for n in 1..=nodes {
        all.push(Node::new(&hub, n).await);
    }
    (hub, all)
}
