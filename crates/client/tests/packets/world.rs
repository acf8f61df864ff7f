//! A hub that exchanges packets, in memory, over a network that does what a test wants.

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use syncline::Database;
use syncline::sync::{ApiClient, ApiError, ApiReply, DatabaseSync, Protocol, SyncEvent, SyncOptions};

pub const HUB: &str = "00000000-0000-4000-8000-000000000000";

/// What happens to the next request.
#[derive(Clone, Copy, Debug)]
pub enum Mishap {
    /// Nothing yet.
    Pass,
    LoseRequest,
    LoseReply,
    /// The hub takes the request, and the node gets the answer to an earlier one.
    Replay(usize),
    /// The hub answers with this status and code.
    Refuse(u16, &'static str),
}

type Key = (String, String);

#[derive(Clone, Default)]
struct Node {
    received: u64,
    issued: u64,
    cursor: usize,
    sent: Vec<(u64, usize)>,
    refused: Vec<Value>,
}

/// Documents by type and UUID, the order of their changes, and how far each node has got.
#[derive(Clone, Default)]
pub struct State {
    docs: BTreeMap<Key, (Option<Map<String, Value>>, String)>,
    /// Who made a change, or to whom a document is to be returned.
    log: Vec<(String, Key)>,
    nodes: BTreeMap<String, Node>,
}

/// Entities in a packet of the hub.
const PAGE: usize = 3;

pub struct Hub {
    pub state: Mutex<State>,
    pub requests: Mutex<Vec<Value>>,
    replies: Mutex<Vec<Value>>,
    mishaps: Mutex<VecDeque<Mishap>>,
}

impl Hub {
    pub fn new() -> Arc<Hub> {
        Arc::new(Hub {
            state: Mutex::default(),
            requests: Mutex::default(),
            replies: Mutex::default(),
            mishaps: Mutex::default(),
        })
    }

    pub fn next(&self, mishap: Mishap) {
        self.mishaps.lock().unwrap().push_back(mishap);
    }

    /// The numbers of the packets that arrived with entities.
    pub fn numbers_with_entities(&self) -> Vec<u64> {
        let requests = self.requests.lock().unwrap();
        let filled = requests.iter().filter(|packet| !packet["body"]["entities"].as_array().unwrap().is_empty());
        filled.map(|packet| packet["header"]["packet_no"].as_u64().unwrap()).collect()
    }

    pub fn last_request(&self) -> Value {
        self.requests.lock().unwrap().last().unwrap().clone()
    }

    /// What stands at the hub.
    pub fn get(&self, kind: &str, uuid: &str) -> Option<Value> {
        let state = self.state.lock().unwrap();
        state.docs.get(&(kind.into(), uuid.into()))?.0.clone().map(Value::Object)
    }

    /// Somebody else's work.
    pub fn put(&self, kind: &str, uuid: &str, data: &Value) {
        let mut state = self.state.lock().unwrap();
        let key: Key = (kind.into(), uuid.into());
        state.docs.insert(key.clone(), (data.as_object().cloned(), "2999".into()));
        state.log.push(("others".into(), key));
    }

    /// As a network or a messenger brings it.
    pub fn exchange(&self, packet: &Value) -> Value {
        self.state.lock().unwrap().exchange(packet)
    }

    async fn answer(&self, body: &str) -> Result<ApiReply, ApiError> {
        let packet: Value = serde_json::from_str(body).unwrap();
        self.requests.lock().unwrap().push(packet.clone());
        let mishap = self.mishaps.lock().unwrap().pop_front();
        let cut = || Err(ApiError::new("the connection was cut"));
        match mishap {
            Some(Mishap::LoseRequest) => return cut(),
            Some(Mishap::Refuse(status, code)) => {
                let body = json!({ "error": format!("the hub says {code}"), "code": code }).to_string();
                return Ok(ApiReply { status, retry_after: None, body: body.into() });
            }
            _ => {}
        }
        let reply = self.exchange(&packet);
        self.replies.lock().unwrap().push(reply.clone());
        match mishap {
            Some(Mishap::LoseReply) => cut(),
            Some(Mishap::Replay(n)) => Ok(ApiReply::ok(self.replies.lock().unwrap()[n].to_string())),
            _ => Ok(ApiReply::ok(reply.to_string())),
        }
    }
}

impl State {
    fn exchange(&mut self, packet: &Value) -> Value {
        let header = &packet["header"];
        assert_eq!((&header["recipient_node_id"], &header["whole_objects"]), (&json!(HUB), &json!(true)));
        let (number, ack) = (header["packet_no"].as_u64().unwrap(), header["ack_packet_no"].as_u64().unwrap());
        let id = header["sender_node_id"].as_str().unwrap().to_owned();
        let mut node = self.nodes.get(&id).cloned().unwrap_or_default();
        if let Some((_, upto)) = node.sent.iter().find(|(sent, _)| *sent == ack) {
            node.cursor = node.cursor.max(*upto);
            node.sent.retain(|(sent, _)| *sent > ack);
        }
        if number > node.received {
            node.received = number;
            node.refused =
                packet["body"]["entities"].as_array().unwrap().iter().filter_map(|e| self.apply(&id, e)).collect();
        }
        let (entities, upto, more) = self.news(&id, node.cursor);
        if !entities.is_empty() {
            node.issued += 1;
            node.sent.push((node.issued, upto));
        }
        let reply = json!({
            "header": { "sender_node_id": HUB, "recipient_node_id": id, "packet_no": node.issued,
                        "ack_packet_no": node.received, "schema_version": "1.0.0", "has_more": more,
                        "rejected": node.refused },
            "body": { "entities": entities },
        });
        self.nodes.insert(id, node);
        reply
    }

    /// Returns what the answer says of an entity that was set aside. The later edit of a document wins whole.
    fn apply(&mut self, node: &str, entity: &Value) -> Option<Value> {
        let text = |name: &str| entity[name].as_str().unwrap().to_owned();
        let key = (text("type"), text("uuid"));
        if entity["data"]["poison"] == json!(true) {
            return Some(json!({ "type": key.0, "uuid": key.1, "code": "poison", "reason": "poison is not taken" }));
        }
        let time = entity["updated_at"].as_str().or(entity["data"]["updated_at"].as_str()).unwrap().to_owned();
        let (before, written) = self.docs.get(&key).cloned().unwrap_or_default();
        if time < written {
            self.log.push((format!("return to {node}"), key));
            return None;
        }
        let sent = entity["data"].as_object().cloned();
        let after = sent.clone().map(|data| {
            let mut fields = before.unwrap_or_default();
            fields.extend(data);
            for name in entity["unset"].as_array().into_iter().flatten() {
                fields.remove(name.as_str().unwrap());
            }
            fields
        });
        self.log.push((node.to_owned(), key.clone()));
        if after != sent {
            self.log.push((format!("return to {node}"), key.clone()));
        }
        self.docs.insert(key, (after, time));
        None
    }

    fn news(&self, node: &str, cursor: usize) -> (Vec<Value>, usize, bool) {
        let back = format!("return to {node}");
        let mine = |(who, _): &(String, Key)| *who == back || !(who == node || who.starts_with("return to "));
        let (mut keys, mut upto) = (Vec::<&Key>::new(), self.log.len());
        for (at, change) in self.log.iter().enumerate().skip(cursor).filter(|(_, change)| mine(change)) {
            if keys.contains(&&change.1) {
                continue;
            }
            if keys.len() == PAGE {
                upto = at;
                break;
            }
            keys.push(&change.1);
        }
        let entity = |key: &&Key| {
            let stands = &self.docs[*key].0;
            let operation = if stands.is_some() { "UPDATE" } else { "DELETE" };
            json!({ "type": key.0, "uuid": key.1, "operation": operation, "data": stands })
        };
        (keys.iter().map(entity).collect(), upto, upto < self.log.len())
    }
}

impl ApiClient for Hub {
    fn get<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<ApiReply, ApiError>> {
        panic!("packets need no GET {path}")
    }

    fn post<'a>(&'a self, path: &'a str, body: String) -> BoxFuture<'a, Result<ApiReply, ApiError>> {
        assert_eq!(path, "/api/sync/exchange");
        Box::pin(async move { self.answer(&body).await })
    }
}

pub fn options(hub: &Arc<Hub>) -> SyncOptions {
    SyncOptions {
        collections: vec!["notes".into()],
        protocol: Protocol::Exchange,
        auto_sync: false,
        ..SyncOptions::with_api_client(hub.clone())
    }
}

/// A database that syncs with the hub when told, and what it was told.
pub struct Device {
    pub db: Database,
    pub sync: DatabaseSync,
    pub heard: Arc<Mutex<Vec<SyncEvent>>>,
}

impl Device {
    pub fn new(hub: &Arc<Hub>) -> Device {
        Device::on(hub, Database::open_in_memory().unwrap())
    }

    pub fn on(hub: &Arc<Hub>, db: Database) -> Device {
        let sync = db.sync(options(hub)).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let events = heard.clone();
        sync.on("*", move |event| events.lock().unwrap().push(event.clone())).unwrap();
        Device { db, sync, heard }
    }

    pub fn notes(&self) -> syncline::Collection {
        self.db.collection("notes").unwrap()
    }

    pub fn insert(&self, document: Value) -> String {
        self.notes().insert(document).unwrap()["_id"].as_str().unwrap().to_owned()
    }

    pub fn get(&self, id: &str) -> Option<Value> {
        self.notes().get(id).unwrap()
    }

    /// A full cycle that must succeed.
    pub fn cycle(&self) {
        let outcome = self.sync.sync_now_blocking();
        assert!(outcome.success, "{outcome:?}");
    }

    /// A full cycle that must fail; returns why.
    pub fn failing_cycle(&self) -> String {
        self.sync.sync_now_blocking().error.expect("the cycle fails")
    }

    pub fn pending(&self) -> u64 {
        self.sync.status().unwrap().pending
    }

    pub fn node(&self) -> String {
        self.db.replica().node().unwrap().to_string()
    }

    /// Names of the events so far, without repeats in a row.
    pub fn events(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.heard.lock().unwrap().drain(..).map(|event| event.name()).collect();
        names.dedup();
        names
    }
}
