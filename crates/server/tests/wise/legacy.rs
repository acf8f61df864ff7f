//! The first two generations: push before pull, bare lists.

use super::local::Local;
use super::wire::{Wire, parsed};
use serde_json::{Value, json};
use syncline_core::model::Millis;

/// 5.5.0 to 5.6.1: the whole log every time, no position at all.
pub struct FirstGeneration {
    pub wire: Wire,
    pub local: Local,
}

impl FirstGeneration {
    pub fn new(wire: Wire) -> FirstGeneration {
        FirstGeneration { wire, local: Local::default() }
    }

    /// A cycle; returns what was pulled.
    pub async fn cycle(&mut self) -> Result<Vec<Value>, String> {
        if !self.local.log.is_empty() {
            parsed(&self.wire.post("/sync/push", &json!(self.local.log)).await)?;
        }
        self.pull().await
    }

    /// The second half of a cycle.
    pub async fn pull(&mut self) -> Result<Vec<Value>, String> {
        let reply = parsed(&self.wire.get("/sync/pull").await)?;
        let ops = reply.as_array().expect("a bare list").clone();
        for op in &ops {
            apply_blindly(&mut self.local, op);
        }
        Ok(ops)
    }
}

impl FirstGeneration {
    /// A cycle whose list never arrives.
    pub async fn cycle_unheard(&mut self) -> Vec<Value> {
        if !self.local.log.is_empty() {
            parsed(&self.wire.post("/sync/push", &json!(self.local.log)).await).unwrap();
        }
        self.wire.get("/sync/pull").await.json().as_array().unwrap().clone()
    }
}

/// 5.6.2: a snapshot, then times.
pub struct SecondGeneration {
    pub wire: Wire,
    pub local: Local,
    pub since: Option<String>,
    begun: bool,
}

impl SecondGeneration {
    pub fn new(wire: Wire) -> SecondGeneration {
        SecondGeneration { wire, local: Local::default(), since: None, begun: false }
    }

    /// A cycle; returns what was pulled.
    pub async fn cycle(&mut self) -> Result<Vec<Value>, String> {
        if !self.begun {
            let reply = parsed(&self.wire.get("/sync/snapshot").await)?;
            self.local.docs.clear();
            for doc in reply["documents"].as_array().expect("a list") {
                self.local.docs.insert(doc["_id"].as_str().unwrap().to_owned(), doc.as_object().unwrap().clone());
            }
            self.since = reply["timestamp"].as_str().map(ToOwned::to_owned);
            self.begun = true;
        }
        let ops: Vec<Value> = self.local.log.iter().filter(|line| self.is_new(line)).cloned().collect();
        if let Some(last) = ops.last().cloned() {
            parsed(&self.wire.post("/sync/push", &json!({ "ops": ops })).await)?;
            self.since = time_of(&last).or(self.since.take());
        }
        let query = self.since.as_ref().map_or(String::new(), |since| format!("?since={since}"));
        let reply = parsed(&self.wire.get(&format!("/sync/pull{query}")).await)?;
        let ops = reply.as_array().expect("a bare list").clone();
        for op in &ops {
            self.local.apply(op);
        }
        self.since = ops.last().and_then(time_of).or(self.since.take());
        Ok(ops)
    }

    /// What it takes for not sent yet: lines with a time after the last one known.
    fn is_new(&self, line: &Value) -> bool {
        let sendable = line["_remote"] != true && !matches!(line["txn"].as_str(), Some("start" | "commit"));
        let Some(since) = self.since.as_deref().and_then(Millis::parse) else { return sendable };
        sendable && time_of(line).and_then(|time| Millis::parse(&time)).is_some_and(|time| time > since)
    }
}

fn time_of(op: &Value) -> Option<String> {
    let times = [&op["ts"], &op["doc"]["updatedAt"], &op["data"]["updatedAt"]];
    times.into_iter().find_map(|time| time.as_str()).map(ToOwned::to_owned)
}

fn remote(op: &Value) -> Value {
    let mut op = op.clone();
    op["_remote"] = json!(true);
    op
}

/// No check of any kind; an update of an unknown id creates it. It all goes into the log again.
fn apply_blindly(local: &mut Local, op: &Value) {
    assert!(op.get("updatedAt").is_none() && op.get("createdAt").is_none(), "{op}");
    local.log.push(remote(op));
    let id = op["id"].as_str().or(op["doc"]["_id"].as_str()).unwrap().to_owned();
    match op["op"].as_str().unwrap() {
        "INSERT" => drop(local.docs.insert(id, op["doc"].as_object().unwrap().clone())),
        "UPDATE" => local.docs.entry(id).or_default().extend(op["data"].as_object().unwrap().clone()),
        "REMOVE" => drop(local.docs.remove(&id)),
        other => panic!("{other} is never sent to a client"),
    }
}
