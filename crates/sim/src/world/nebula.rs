//! A client of event sync, written from what the plugin of NebulaDB was seen to do: it keeps a list of what is not
//! acknowledged and sends all of it with each change, reports whatever it applies as a change of its own, holds a
//! document twice that is inserted twice, cannot carry out updates, and dies of what has another form than it expects.

use fastrand::Rng;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use syncline_core::model::Millis;

/// The collection that it lists.
pub const COLLECTION: &str = "notes";
const FIELDS: [&str; 3] = ["x", "y", "z"];

type Doc = Map<String, Value>;

/// One client with one collection.
pub struct Nebula {
    number: usize,
    pub token: String,
    /// Made anew with each process.
    pub client: String,
    docs: Vec<Doc>,
    /// What is not acknowledged.
    pending: Vec<Value>,
    /// Lists that wait for an answer, by the numbers of their messages.
    asked: BTreeMap<u64, String>,
    /// Lists that it sends now, in order.
    pub sends: Vec<Value>,
    /// Whether its application has mended updates.
    updates: bool,
    skew_ms: i64,
    processes: u64,
    events: u64,
    edits: u64,
    /// The last value of each field that this client inserted and did not take away, and whether it was acknowledged.
    /// An update by query means nothing where its document is gone by then.
    written: BTreeMap<(String, &'static str), (String, bool)>,
    /// Documents that it had kept over a restart: nobody may know of them, or know that it has them.
    pub strays: BTreeSet<String>,
}

impl Nebula {
    pub fn new(number: usize, token: String, dice: &mut Rng) -> Nebula {
        let mut client = Nebula {
            number,
            token,
            client: String::new(),
            docs: Vec::new(),
            pending: Vec::new(),
            asked: BTreeMap::new(),
            sends: Vec::new(),
            updates: dice.u32(0..3) == 0,
            skew_ms: dice.i64(-5_000..5_000),
            processes: 0,
            events: 0,
            edits: 0,
            written: BTreeMap::new(),
            strays: BTreeSet::new(),
        };
        client.begin();
        client
    }

    /// Its documents by id; each that is there more than once.
    pub fn shown(&self) -> (BTreeMap<String, Value>, Vec<String>) {
        let (mut shown, mut twice) = (BTreeMap::new(), Vec::new());
        for doc in &self.docs {
            let id = doc.get("id").and_then(Value::as_str).unwrap_or_default();
            if shown.insert(id.to_owned(), Value::Object(doc.clone())).is_some() {
                twice.push(id.to_owned());
            }
        }
        (shown, twice)
    }

    /// Values that must be somewhere in the end: those of events that were acknowledged.
    pub fn written(&self) -> impl Iterator<Item = &String> {
        self.written.values().filter(|(_, acknowledged)| *acknowledged).map(|(value, _)| value)
    }

    /// The process ends and starts again, with its documents or without.
    pub fn restart(&mut self, stored: bool) {
        if stored {
            self.strays.extend(self.shown().0.into_keys());
        } else {
            self.docs.clear();
        }
        self.pending.clear();
        self.sends.clear();
        self.written.retain(|_, (_, acknowledged)| *acknowledged);
        self.begin();
    }

    fn begin(&mut self) {
        self.processes += 1;
        self.client = format!("plugin-{}-{}", self.number, self.processes);
    }

    /// It has a connection: what it says first, and what is pending.
    pub fn connected(&mut self) -> Value {
        self.sends.clear();
        self.asked.clear();
        if !self.pending.is_empty() {
            self.sends.push(json!(self.pending));
        }
        json!({ "clientId": self.client, "collections": [COLLECTION] })
    }

    /// A list was sent.
    pub fn asks(&mut self, number: u64, list: &Value) {
        self.asked.insert(number, list.to_string());
    }

    /// Takes the answer to a list.
    ///
    /// # Errors
    /// Why it dies of it.
    pub fn answered(&mut self, number: u64, answer: &Value) -> Result<(), String> {
        let list = self.asked.remove(&number).unwrap_or_default();
        let success = answer.as_object().ok_or("an acknowledgement that is no object")?.get("success");
        if success == Some(&json!(true)) {
            // Whatever came to the list meanwhile goes as well, although nobody has said yes to it.
            self.pending.clear();
            for (value, acknowledged) in self.written.values_mut() {
                *acknowledged |= list.contains(value.as_str());
            }
        }
        Ok(())
    }

    /// Takes a message of the hub.
    ///
    /// # Errors
    /// Why it dies of it.
    pub fn hears(&mut self, event: &str, payload: &Value, now: Millis) -> Result<(), String> {
        match event {
            "server:sync" => {
                let events = payload.as_array().ok_or("`server:sync` without a list")?;
                for event in events {
                    let event = event.as_object().ok_or("`server:sync` with something else than events")?;
                    if event.get("clientId").and_then(Value::as_str) != Some(&self.client) {
                        self.apply(event, now);
                    }
                }
                Ok(())
            }
            "error" if payload["message"].is_string() => Ok(()),
            "error" => Err("an `error` without a message".to_owned()),
            _ => Ok(()),
        }
    }

    /// Carries an event out and reports it, as its own hooks do.
    fn apply(&mut self, event: &Doc, now: Millis) {
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        if text("collection") != COLLECTION {
            return;
        }
        match (text("type"), event.get("data"), event.get("query")) {
            ("insert", Some(Value::Object(data)), _) => {
                self.docs.push(data.clone());
                self.report(json!({ "type": "insert", "documentId": data["id"], "data": data }), now);
            }
            ("delete", _, Some(query)) => {
                self.docs.retain(|doc| !meant(query, doc));
                self.report(json!({ "type": "delete", "documentId": "query-based", "query": query }), now);
            }
            _ => {}
        }
    }

    /// Appends an event to the list, and sends all of it.
    fn report(&mut self, mut event: Value, now: Millis) {
        self.events += 1;
        event["id"] = json!(format!("event-{}-{}", self.number, self.events));
        event["collection"] = json!(COLLECTION);
        event["timestamp"] = json!(now.0.saturating_add_signed(self.skew_ms));
        event["clientId"] = json!(self.client);
        self.pending.push(event);
        self.sends.push(json!(self.pending));
    }

    /// The user does something; tells what.
    pub fn act(&mut self, ids: &[&str], dice: &mut Rng, now: Millis) -> String {
        let (id, field) = (ids[dice.usize(..ids.len())], FIELDS[dice.usize(..FIELDS.len())]);
        self.edits += 1;
        let value = format!("l{}e{}.", self.number, self.edits);
        let query = json!({ "id": id });
        let there = self.docs.iter().any(|doc| meant(&query, doc));
        match dice.u32(0..10) {
            0..=6 if !there => {
                let data = json!({ "id": id, field: value });
                self.docs.extend(data.as_object().cloned());
                self.report(json!({ "type": "insert", "documentId": id, "data": data }), now);
                self.written.insert((id.to_owned(), field), (value.clone(), false));
                format!("inserts notes/{id}.{field} = {value}")
            }
            0..=6 if self.updates => {
                for doc in self.docs.iter_mut().filter(|doc| meant(&query, doc)) {
                    doc.insert(field.to_owned(), json!(value));
                }
                let update = json!({ "$set": { field: value } });
                self.report(
                    json!({ "type": "update", "documentId": "query-based", "query": query, "update": update }),
                    now,
                );
                format!("updates notes/{id}.{field} = {value}")
            }
            7..=8 if there => {
                self.docs.retain(|doc| !meant(&query, doc));
                self.report(json!({ "type": "delete", "documentId": "query-based", "query": query }), now);
                self.written.retain(|(other, _), _| other != id);
                format!("removes notes/{id}")
            }
            _ => format!("looks at notes/{id}"),
        }
    }
}

/// Whether a query means a document: the forms that are sent here, with the rules of the plugin's core.
fn meant(query: &Value, doc: &Doc) -> bool {
    let Some(conditions) = query.as_object() else { return false };
    // Beside `$and` nothing else is looked at.
    if let Some(all) = conditions.get("$and").and_then(Value::as_array) {
        return all.iter().all(|one| meant(one, doc));
    }
    conditions.iter().all(|(field, wanted)| {
        let Some(value) = doc.get(field) else { return false };
        match wanted.get("$in").and_then(Value::as_array) {
            Some(list) => list.contains(value),
            None => wanted == value,
        }
    })
}
