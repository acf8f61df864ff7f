//! Third generation (5.6.3 to 6.0.4): snapshot once, then pull, push, with a number for a cursor.

use super::local::{Docs, Local, uuid};
use super::wire::{Wire, parsed};
use serde_json::{Value, json};

/// One device with one synced collection.
pub struct Device {
    pub wire: Wire,
    pub local: Local,
    pub cursor: u64,
    pub batch_size: usize,
    /// Every op that was pulled.
    pub pulled: Vec<Value>,
    begun: bool,
}

impl Device {
    pub fn new(wire: Wire) -> Device {
        Device { wire, local: Local::default(), cursor: 0, batch_size: 100, pulled: Vec::new(), begun: false }
    }

    pub fn docs(&self) -> &Docs {
        &self.local.docs
    }

    /// A whole cycle.
    pub async fn cycle(&mut self) -> Result<(), String> {
        self.pull().await?;
        let batches = self.batches();
        for body in &batches {
            self.push(body).await?;
        }
        if !batches.is_empty() {
            self.pushed_all();
        }
        Ok(())
    }

    /// The first half of a cycle.
    pub async fn pull(&mut self) -> Result<(), String> {
        if !self.begun && self.sendable().is_empty() {
            self.snapshot().await?;
        }
        self.begun = true;
        let reply = parsed(&self.wire.get(&format!("/sync/pull?since_lsn={}", self.cursor)).await)?;
        let ops = reply["ops"].as_array().cloned().unwrap_or_default();
        for op in &ops {
            check_shape(op);
            self.local.apply(op);
        }
        if !ops.is_empty() {
            self.cursor = reply["server_lsn"].as_u64().expect("a number");
        }
        self.pulled.extend(ops);
        assert!(self.local.quarantined.is_empty(), "{:?}", self.local.quarantined);
        Ok(())
    }

    async fn snapshot(&mut self) -> Result<(), String> {
        let reply = parsed(&self.wire.get("/sync/snapshot").await)?;
        let documents = reply["documents"].as_array().expect("a list");
        self.local.docs.clear();
        for doc in documents {
            assert!(doc["createdAt"].is_string() && doc["updatedAt"].is_string(), "{doc}");
            let id = doc["_id"].as_str().expect("a string id").to_owned();
            self.local.docs.insert(id, doc.as_object().unwrap().clone());
        }
        self.cursor = reply["server_lsn"].as_u64().expect("a number");
        Ok(())
    }

    /// What is pushed: plain ops first, those of transactions after them, without the lines around.
    fn sendable(&self) -> Vec<Value> {
        let plain = self.local.log.iter().filter(|line| line.get("txn").is_none() && line["_remote"] != true).cloned();
        let in_txn = self.local.log.iter().filter(|line| line["txn"] == "op").map(|line| {
            let mut line = line.clone();
            line["_txn_applied_from_wal"] = json!(true);
            line["_tx_origin_id"] = line["txid"].clone();
            line
        });
        plain.chain(in_txn).collect()
    }

    /// The bodies of this cycle's pushes: after any failure the whole log again, with new names.
    pub fn batches(&self) -> Vec<Value> {
        let lines = self.sendable();
        lines.chunks(self.batch_size).map(|ops| json!({ "batchId": uuid(), "ops": ops })).collect()
    }

    /// One push; its reply moves the cursor.
    pub async fn push(&mut self, body: &Value) -> Result<(), String> {
        let reply = parsed(&self.wire.post("/sync/push", body).await)?;
        assert_eq!(reply["status"], "ok");
        self.cursor = reply["server_lsn"].as_u64().expect("a number");
        Ok(())
    }

    /// A push whose reply never arrives.
    pub async fn push_unheard(&self, body: &Value) {
        let reply = self.wire.post("/sync/push", body).await;
        assert_eq!(reply.status, 200);
    }

    /// After the last batch the client writes a checkpoint and empties its log.
    pub fn pushed_all(&mut self) {
        self.local.flush();
    }

    /// The process ends and starts again: checkpoint and log stay, the cursor does not.
    pub fn restart(&mut self) {
        self.local.reload();
        self.cursor = 0;
        self.begun = false;
    }
}

/// L13: what must hold for everything that is pulled.
fn check_shape(op: &Value) {
    assert!(op["ts"].is_string(), "{op}");
    assert!(op.get("updatedAt").is_none() && op.get("createdAt").is_none() && op.get("txn").is_none(), "{op}");
    match op["op"].as_str().unwrap() {
        "INSERT" => assert!(op["doc"]["_id"].is_string() && op["doc"]["updatedAt"].is_string(), "{op}"),
        "UPDATE" => assert!(op["id"].is_string() && op["data"].is_object(), "{op}"),
        "REMOVE" => assert!(op["id"].is_string(), "{op}"),
        other => panic!("{other} is never sent to a client"),
    }
}
