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
        let ops = self.sendable();
        for batch in ops.chunks(100) {
            parsed(&self.wire.post("/sync/push", &json!({ "ops": batch })).await)?;
            self.since = batch.last().and_then(time_of).or(self.since.take());
        }
        let query = self.since.as_ref().map_or(String::new(), |since| format!("?since={since}"));
        let reply = parsed(&self.wire.get(&format!("/sync/pull{query}")).await)?;
        let ops = reply.as_array().expect("a bare list").clone();
        for op in &ops {
            self.apply(op);
        }
        self.since = ops.last().and_then(time_of).or(self.since.take());
        Ok(ops)
    }

    /// What it takes for not sent yet: plain lines with a time after the last one known, also those that
    /// it pulled, then the ops of transactions that were committed after it.
    fn sendable(&self) -> Vec<Value> {
        let since = self.since.as_deref().and_then(Millis::parse);
        let newer = |time: &Value| since.is_none_or(|since| time.as_str().and_then(Millis::parse) > Some(since));
        let log = &self.local.log;
        let plain = log.iter().filter(|line| line.get("txn").is_none() && newer(line_time(line))).cloned();
        let committed = log.iter().filter(|line| line["txn"] == "commit" && newer(&line["ts"]));
        let in_txn = committed.flat_map(|commit| {
            log.iter().filter(move |line| line["txn"] == "op" && line["txid"] == commit["id"]).cloned()
        });
        plain.chain(in_txn).collect()
    }

    /// Compares times, then writes whatever it is into memory and into the log.
    fn apply(&mut self, op: &Value) {
        let id = op["id"].as_str().or(op["doc"]["_id"].as_str()).unwrap().to_owned();
        let standing = self.local.docs.get_mut(&id);
        let local = standing.as_ref().and_then(|doc| Millis::parse(doc.get("updatedAt")?.as_str()?));
        if local > time_of(op).and_then(|time| Millis::parse(&time)) {
            return;
        }
        self.local.log.push(remote(op));
        match (op["op"].as_str().unwrap(), standing) {
            ("INSERT", _) => drop(self.local.docs.insert(id, op["doc"].as_object().unwrap().clone())),
            ("UPDATE", Some(doc)) => doc.extend(op["data"].as_object().unwrap().clone()),
            ("REMOVE", Some(_)) => drop(self.local.docs.remove(&id)),
            ("UPDATE" | "REMOVE", None) => {}
            (other, _) => panic!("{other} is never sent to a client"),
        }
    }
}

/// The time by which a line of the log is taken for new or old; lines without one are old.
fn line_time(line: &Value) -> &Value {
    let times = [&line["doc"]["updatedAt"], &line["docs"][0]["updatedAt"], &line["data"]["updatedAt"], &line["ts"]];
    times.into_iter().find(|time| time.is_string()).unwrap_or(&Value::Null)
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
