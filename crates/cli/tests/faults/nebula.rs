//! A client of event sync on the wire, as the plugin of NebulaDB was seen to behave: it keeps a list of what is not
//! acknowledged and sends all of it each time, reports whatever it applies as a change of its own, holds a document twice
//! that is inserted twice, and cannot carry out updates of others. Each of its connections may lead to another worker.

use crate::history::{Answer, Deed, Replica, Sent, bare, fields};
use crate::hub::TOKEN;
use crate::live_way::{Transport, Way, lost};
use serde_json::{Map, Value, json};
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

/// Answers that are read before a connection counts as lost.
const READS_MAX: usize = 200;

/// A client of one collection.
pub struct Nebula {
    name: String,
    address: String,
    collection: String,
    documents: Vec<Map<String, Value>>,
    /// What is not acknowledged, with the places of its edits in the notes.
    pending: Vec<(Option<usize>, Value)>,
    events: u64,
    transport: Transport,
    way: Option<Way>,
    connections: u64,
    asked: u64,
    notes: Vec<Sent>,
}

impl Nebula {
    /// A client that has never connected.
    pub fn new(name: &str, address: &str, collection: &str, transport: Transport) -> Nebula {
        Nebula {
            name: name.into(),
            address: address.into(),
            collection: collection.into(),
            documents: Vec::new(),
            pending: Vec::new(),
            events: 0,
            transport,
            way: None,
            connections: 0,
            asked: 0,
            notes: Vec::new(),
        }
    }

    /// Its name in the notes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What was sent and answered so far.
    pub fn notes(&self) -> &[Sent] {
        &self.notes
    }

    /// Whether it has a document.
    pub fn has(&self, id: &str) -> bool {
        self.documents.iter().any(|doc| doc["id"] == id)
    }

    /// Whether everything is acknowledged.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// Its documents, as the other replicas show them.
    ///
    /// # Panics
    /// It has a document twice.
    pub fn replica(&self) -> Replica {
        let mut replica = Replica::new();
        for doc in &self.documents {
            let (mut doc, id) = (doc.clone(), doc["id"].as_str().unwrap().to_owned());
            doc.remove("id");
            doc.insert("_id".into(), json!(id));
            let before = replica.insert((self.collection.clone(), id.clone()), bare(&Value::Object(doc)));
            assert!(before.is_none(), "{} has `{id}` twice", self.name);
        }
        replica
    }

    /// A local edit. One of an unknown document is none.
    pub fn write(&mut self, deed: Deed, id: &str) {
        if (deed == Deed::Insert) == self.has(id) {
            return;
        }
        let mark = format!("{}-{}", self.name, self.notes.len());
        let query = json!({ "id": id });
        let event = match deed {
            Deed::Insert => {
                let mut doc = fields(&mark);
                doc.insert("id".into(), json!(id));
                self.documents.push(doc.clone());
                json!({ "type": "insert", "documentId": id, "data": doc })
            }
            Deed::Update => {
                self.documents.iter_mut().filter(|doc| doc["id"] == id).for_each(|doc| doc.extend(fields(&mark)));
                json!({ "type": "update", "documentId": "query-based", "query": query, "update": { "$set": fields(&mark) } })
            }
            Deed::Remove => {
                self.documents.retain(|doc| doc["id"] != id);
                json!({ "type": "delete", "documentId": "query-based", "query": query })
            }
        };
        let (collection, id) = (self.collection.clone(), id.to_owned());
        self.notes.push(Sent { collection, id, mark, deed, answer: Answer::None });
        self.report(Some(self.notes.len() - 1), event);
    }

    fn report(&mut self, note: Option<usize>, mut event: Value) {
        self.events += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        event["id"] = json!(format!("{}-event-{}", self.name, self.events));
        event["collection"] = json!(self.collection);
        event["timestamp"] = json!(u64::try_from(now).unwrap());
        event["clientId"] = json!(self.name);
        self.pending.push((note, event));
    }

    /// Connects where there is no connection, sends the list, and takes in what comes before the list is answered.
    ///
    /// # Errors
    /// The connection is lost, and with it what was not answered; the next cycle goes on with another one.
    pub fn cycle(&mut self) -> io::Result<()> {
        let done = self.try_cycle();
        if done.is_err() {
            self.way = None;
        }
        done
    }

    fn try_cycle(&mut self) -> io::Result<()> {
        if self.way.is_none() {
            self.connect()?;
        }
        let notes: Vec<usize> = self.pending.iter().filter_map(|(note, _)| *note).collect();
        let asked = self.send()?;
        let answer =
            self.hear(&|packet| packet.strip_prefix(&format!("43{asked}["))?.strip_suffix(']').map(json_of))?;
        if answer["success"] != true {
            // It is sent again with the next change.
            return Ok(());
        }
        // Whatever came to the list meanwhile goes as well, although nobody has said yes to it.
        self.pending.clear();
        for note in notes {
            let note = &mut self.notes[note];
            let is_own = note.id.starts_with(&format!("{}-", self.name));
            note.answer = if is_own { Answer::Accepted } else { Answer::AcceptedWhereFound };
        }
        Ok(())
    }

    /// Sends the list, or an empty one: what has come is told before the answer. Tells the answer's number.
    fn send(&mut self) -> io::Result<u64> {
        let list: Vec<&Value> = self.pending.iter().map(|(_, event)| event).collect();
        self.asked += 1;
        self.post(&format!("42{}{}", self.asked, json!(["client:sync", list])))?;
        Ok(self.asked)
    }

    fn connect(&mut self) -> io::Result<()> {
        self.connections += 1;
        // The balancer leads each of these to a worker of its own.
        let who = format!("{}-{}", self.name, self.connections);
        self.way = Some(Way::open(self.transport, &self.address, &who)?);
        self.post(&format!("40{}", json!({ "token": TOKEN })))?;
        self.hear(&|packet| packet.starts_with("40").then_some(Value::Null))?;
        let info = json!({ "clientId": self.name, "collections": [self.collection] });
        self.post(&format!("42{}", json!(["client:info", info])))
    }

    fn post(&mut self, packet: &str) -> io::Result<()> {
        self.way.as_mut().ok_or_else(lost)?.send(packet)
    }

    /// Takes packets in until one of them is what is waited for.
    fn hear(&mut self, wanted: &dyn Fn(&str) -> Option<Value>) -> io::Result<Value> {
        for _ in 0..READS_MAX {
            let packets = self.way.as_mut().ok_or_else(lost)?.read()?;
            let (mut found, waiting) = (None, self.pending.len());
            for packet in &packets {
                found = found.or_else(|| wanted(packet));
                match packet.get(..2).unwrap_or(packet) {
                    "2" => self.post("3")?,
                    "41" | "44" | "1" => return Err(lost()),
                    "42" => self.take(&json_of(&packet[2..])),
                    _ => {}
                }
            }
            if self.pending.len() > waiting {
                // Each report is sent as soon as it is there, with all of the list.
                self.send()?;
            }
            if let Some(found) = found {
                return Ok(found);
            }
        }
        Err(lost())
    }

    /// Carries events out and reports them, as its own hooks do.
    fn take(&mut self, message: &Value) {
        if message[0] != "server:sync" {
            return;
        }
        for event in message[1].as_array().expect("`server:sync` has a list") {
            if event["clientId"] == self.name.as_str() || event["collection"] != self.collection.as_str() {
                continue;
            }
            match (event["type"].as_str(), &event["data"], &event["query"]) {
                (Some("insert"), Value::Object(doc), _) => {
                    self.documents.push(doc.clone());
                    self.report(None, json!({ "type": "insert", "documentId": doc["id"], "data": doc }));
                }
                (Some("delete"), _, query @ Value::Object(_)) => {
                    self.documents.retain(|doc| !means(query, &doc["id"]));
                    self.report(None, json!({ "type": "delete", "documentId": "query-based", "query": query }));
                }
                _ => {}
            }
        }
    }
}

/// The forms of queries that the hub sends: one id, or several.
fn means(query: &Value, id: &Value) -> bool {
    match (query["id"]["$in"].as_array(), query["$and"].as_array()) {
        (Some(ids), _) => ids.contains(id),
        (None, Some(all)) => all.iter().all(|one| means(one, id)),
        (None, None) => query["id"] == *id,
    }
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}
