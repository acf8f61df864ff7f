//! NebulaDB with its plugin, as far as it matters here: no uniqueness of ids, a list of what is not acknowledged that
//! is sent whole with each change, and an echo of everything that is applied.

use super::events::{delete, insert, update};
use crate::support::socket::{Client, Packet};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use syncline_core::live::{Query, Update};
use tokio::time::timeout;

pub struct Device {
    id: String,
    token: String,
    collections: Vec<String>,
    socket: Option<Client>,
    pending: Vec<Value>,
    open: BTreeSet<i64>,
    pub documents: BTreeMap<String, Vec<Value>>,
    /// Lists that were sent.
    pub sent: usize,
}

impl Device {
    pub fn new(id: &str, token: &str, collections: &[&str]) -> Device {
        let collections = collections.iter().map(|name| (*name).to_owned()).collect();
        let (id, token) = (id.to_owned(), token.to_owned());
        Device {
            id,
            token,
            collections,
            socket: None,
            pending: Vec::new(),
            open: BTreeSet::new(),
            documents: BTreeMap::new(),
            sent: 0,
        }
    }

    pub async fn connect(&mut self, addr: &str) {
        let mut socket = Client::connect(addr, &self.token).await;
        socket.emit("client:info", &json!({ "clientId": self.id, "collections": self.collections })).await;
        self.socket = Some(socket);
        self.open.clear();
        if !self.pending.is_empty() {
            self.flush().await;
        }
    }

    pub fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// Whether something that it reported has not been answered.
    pub fn waits(&self) -> bool {
        !self.open.is_empty()
    }

    pub fn disconnect(&mut self) {
        self.socket = None;
    }

    pub async fn insert(&mut self, collection: &str, data: &Value) {
        self.documents.entry(collection.to_owned()).or_default().push(data.clone());
        self.report(insert(collection, data)).await;
    }

    pub async fn delete(&mut self, collection: &str, query: &Value) {
        self.take_away(collection, query);
        self.report(delete(collection, query)).await;
    }

    /// Works only where an application has removed the plugin's broken hook.
    pub async fn update(&mut self, collection: &str, query: &Value, change: &Value) {
        let (wanted, steps) = (Query::parse(query).unwrap(), Update::parse(change).unwrap());
        for document in self.documents.entry(collection.to_owned()).or_default() {
            if wanted.matches(document) {
                steps.apply(document.as_object_mut().unwrap()).unwrap();
            }
        }
        self.report(update(collection, query, change)).await;
    }

    /// Every document of a collection by its id, after checking that there is one of each.
    pub fn shown(&self, collection: &str) -> BTreeMap<String, Value> {
        let all = self.documents.get(collection).cloned().unwrap_or_default();
        let count = all.len();
        let shown: BTreeMap<_, _> = all.into_iter().map(|document| (document["id"].to_string(), document)).collect();
        assert_eq!(shown.len(), count, "an id twice at {}: {:?}", self.id, self.documents);
        shown
    }

    /// Takes in one packet; `false`: none came in time.
    pub async fn step(&mut self, wait: Duration) -> bool {
        let Some(socket) = &mut self.socket else { return false };
        let waiting = socket.waiting.pop_front().map(|(name, payload)| Packet::Event(name, payload));
        let packet = match waiting {
            Some(packet) => packet,
            None => match timeout(wait, socket.packet()).await {
                Ok(packet) => packet,
                Err(_) => return false,
            },
        };
        match packet {
            Packet::Event(name, list) if name == "server:sync" => {
                self.apply_all(&list).await;
            }
            Packet::Event(name, _) => assert_eq!(name, "error"),
            Packet::Answer(number, said) => {
                assert!(self.open.remove(&number));
                if said["success"] == json!(true) {
                    self.pending.clear();
                }
            }
            Packet::Closed => self.socket = None,
            other => panic!("{other:?}"),
        }
        true
    }

    /// The next delivery, not applied yet.
    pub async fn delivery(&mut self) -> Value {
        let (name, list) = self.socket.as_mut().unwrap().event().await;
        assert_eq!(name, "server:sync");
        list
    }

    pub async fn apply_all(&mut self, list: &Value) {
        for event in list.as_array().unwrap() {
            self.apply(event).await;
        }
    }

    async fn apply(&mut self, event: &Value) {
        let collection = event["collection"].as_str().unwrap();
        match event["type"].as_str().unwrap() {
            "insert" => {
                let data = &event["data"];
                self.documents.entry(collection.to_owned()).or_default().push(data.clone());
                self.report(insert(collection, data)).await;
            }
            "delete" => {
                self.take_away(collection, &event["query"]);
                self.report(delete(collection, &event["query"])).await;
            }
            other => panic!("plain clients cannot carry out {other}"),
        }
    }

    fn take_away(&mut self, collection: &str, query: &Value) {
        let query = Query::parse(query).unwrap();
        self.documents.entry(collection.to_owned()).or_default().retain(|document| !query.matches(document));
    }

    async fn report(&mut self, event: Value) {
        self.pending.push(event);
        self.flush().await;
    }

    async fn flush(&mut self) {
        let Some(socket) = &mut self.socket else { return };
        self.sent += 1;
        self.open.insert(socket.ask("client:sync", &json!(self.pending)).await);
    }
}
