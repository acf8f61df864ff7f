//! A client's collection and its log: what local calls write, and how pulled ops are applied.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};
use syncline_core::model::Millis;

pub type Docs = BTreeMap<String, Map<String, Value>>;

/// Documents without what each device fills in by itself.
pub fn shown(docs: &Docs) -> BTreeMap<String, Value> {
    let bare = |doc: &Map<String, Value>| {
        let keep = |name: &str| !matches!(name, "createdAt" | "updatedAt" | "_txn");
        Value::Object(doc.iter().filter(|(name, _)| keep(name)).map(|(n, v)| (n.clone(), v.clone())).collect())
    };
    docs.iter().map(|(id, doc)| (id.clone(), bare(doc))).collect()
}

pub fn now() -> String {
    let ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    Millis(u64::try_from(ms).unwrap()).iso()
}

/// A time so many milliseconds later.
fn after(time: &str, ms: u64) -> String {
    Millis(Millis::parse(time).unwrap().0 + ms).iso()
}

pub fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// One collection of one device.
#[derive(Default)]
pub struct Local {
    pub docs: Docs,
    /// Lines of the log in the order of their commits.
    pub log: Vec<Value>,
    pub quarantined: Vec<Value>,
    pub ignored: usize,
    /// What a start finds beside the log, and when it was written.
    checkpoint: Docs,
    checkpointed: Option<String>,
}

impl Local {
    pub fn insert(&mut self, id: &str, fields: &Value) -> bool {
        if self.docs.contains_key(id) {
            return false;
        }
        let doc = complete(id, fields, &now());
        self.log.push(json!({ "op": "INSERT", "doc": doc, "opId": uuid() }));
        self.docs.insert(id.to_owned(), doc);
        true
    }

    pub fn insert_many(&mut self, docs: &[(String, Value)]) -> bool {
        if docs.iter().any(|(id, _)| self.docs.contains_key(id)) {
            return false;
        }
        let time = now();
        let docs: Vec<_> = docs.iter().map(|(id, fields)| (id.clone(), complete(id, fields, &time))).collect();
        for part in docs.chunks(1000) {
            let list: Vec<_> = part.iter().map(|(_, doc)| doc).collect();
            self.log.push(json!({ "op": "BATCH_INSERT", "docs": list, "opId": uuid() }));
        }
        self.docs.extend(docs);
        true
    }

    pub fn update(&mut self, id: &str, fields: &Value) -> bool {
        let Some(doc) = self.docs.get_mut(id) else { return false };
        let mut data = fields.as_object().unwrap().clone();
        data.insert("updatedAt".to_owned(), json!(now()));
        doc.extend(data.clone());
        self.log.push(json!({ "op": "UPDATE", "id": id, "data": data, "opId": uuid() }));
        true
    }

    pub fn remove(&mut self, id: &str) -> bool {
        if self.docs.remove(id).is_none() {
            return false;
        }
        self.log.push(json!({ "op": "REMOVE", "id": id, "opId": uuid() }));
        true
    }

    pub fn clear(&mut self) {
        self.docs.clear();
        self.log.push(json!({ "op": "CLEAR", "opId": uuid() }));
    }

    /// A committed transaction of `(type, args)`.
    pub fn transaction(&mut self, ops: &[(&str, Value)]) {
        self.transaction_taking(fastrand::u64(0..6), ops);
    }

    /// The same; its block is written to disk first, and what comes into memory is stamped after that.
    pub fn transaction_taking(&mut self, ms: u64, ops: &[(&str, Value)]) {
        let txid = format!("txn_{}", uuid());
        let ts = now();
        self.log.push(json!({ "txn": "start", "id": txid, "ts": ts }));
        for (kind, args) in ops {
            let line = json!({ "txn": "op", "txid": txid, "col": "local", "type": kind, "args": args, "ts": ts });
            self.log.push(line);
        }
        self.log.push(json!({ "txn": "commit", "id": txid, "ts": ts }));
        let committed = after(&ts, ms);
        for (kind, args) in ops {
            self.apply_in_transaction(kind, args, &txid, &committed);
        }
    }

    /// The process starts again: the last checkpoint, then every line of the log, those of
    /// transactions at the end and stamped anew.
    pub fn reload(&mut self) {
        self.docs = self.checkpoint.clone();
        let (in_txn, plain): (Vec<Value>, Vec<Value>) = self
            .log
            .clone()
            .into_iter()
            .filter(|line| !matches!(line["txn"].as_str(), Some("start" | "commit")))
            .partition(|line| line["txn"] == "op");
        for line in plain {
            self.replay(&line);
        }
        let time = now();
        for line in in_txn {
            self.apply_in_transaction(
                line["type"].as_str().unwrap(),
                &line["args"],
                line["txid"].as_str().unwrap(),
                &time,
            );
        }
    }

    /// Everything is sent: a checkpoint takes the log's place.
    pub fn flush(&mut self) {
        self.log.clear();
        self.checkpoint = self.docs.clone();
        // Writing it takes longer than the millisecond that a test takes for several edits.
        self.checkpointed = Some(Millis(Millis::parse(&now()).unwrap().0 - 1).iso());
    }

    /// A plain line in a start; those without a time, or not after the checkpoint, are passed over.
    fn replay(&mut self, line: &Value) {
        let times = [&line["doc"]["updatedAt"], &line["docs"][0]["updatedAt"], &line["data"]["updatedAt"], &line["ts"]];
        let time = times.into_iter().find_map(Value::as_str);
        if self.checkpointed.as_deref().is_some_and(|checkpoint| time.is_none_or(|time| time <= checkpoint)) {
            return;
        }
        let mut put = |doc: &Value| {
            drop(self.docs.insert(doc["_id"].as_str().unwrap().to_owned(), doc.as_object().unwrap().clone()))
        };
        match line["op"].as_str().unwrap() {
            "INSERT" => put(&line["doc"]),
            "BATCH_INSERT" => line["docs"].as_array().unwrap().iter().for_each(put),
            "UPDATE" => {
                let id = line["id"].as_str().unwrap();
                let doc = self.docs.entry(id.to_owned()).or_insert_with(|| complete(id, &json!({}), &now()));
                doc.extend(line["data"].as_object().unwrap().clone());
            }
            "REMOVE" => drop(self.docs.remove(line["id"].as_str().unwrap())),
            "CLEAR" => self.docs.clear(),
            other => panic!("{other}"),
        }
    }

    fn apply_in_transaction(&mut self, kind: &str, args: &Value, txid: &str, time: &str) {
        let store = |docs: &mut Docs, doc: &Value| {
            let id = doc["_id"].as_str().map_or_else(uuid, ToOwned::to_owned);
            let mut doc = complete(&id, doc, time);
            doc.insert("_txn".to_owned(), json!(txid));
            docs.insert(id, doc);
        };
        match kind {
            "insert" => store(&mut self.docs, &args[0]),
            "insertMany" => args[0].as_array().unwrap().iter().for_each(|doc| store(&mut self.docs, doc)),
            "update" => {
                if let Some(doc) = self.docs.get_mut(args[0].as_str().unwrap()) {
                    doc.extend(args[1].as_object().unwrap().clone());
                    doc.insert("updatedAt".to_owned(), json!(time));
                }
            }
            "remove" => drop(self.docs.remove(args[0].as_str().unwrap())),
            "clear" => self.docs.clear(),
            _ => panic!("{kind}"),
        }
    }

    /// Takes away what is over, as the client does now and then. Nothing of it comes into the log.
    pub fn sweep(&mut self) {
        self.docs.retain(|_, doc| !is_over(doc));
    }

    /// The third generation's rules for a pulled op, in the order of its checks.
    pub fn apply(&mut self, op: &Value) {
        let Some(kind) = op["op"].as_str() else { return };
        let id = op["id"].as_str().or(op["doc"]["_id"].as_str()).unwrap_or_default().to_owned();
        let present = self.docs.contains_key(&id);
        let remote = [&op["ts"], &op["doc"]["updatedAt"], &op["data"]["updatedAt"]];
        let remote = remote.into_iter().find_map(|time| time.as_str()).and_then(Millis::parse);
        if present && kind == "INSERT" {
            return;
        }
        if !present && kind == "UPDATE" {
            return;
        }
        let local = self.docs.get(&id).and_then(|doc| doc.get("updatedAt")?.as_str()).and_then(Millis::parse);
        if let (Some(local), Some(remote)) = (local, remote)
            && local > remote
        {
            self.ignored += 1;
            return;
        }
        let mut line = op.clone();
        line["_remote"] = json!(true);
        self.log.push(line);
        match kind {
            "INSERT" if !id.is_empty() => drop(self.docs.insert(id, op["doc"].as_object().unwrap().clone())),
            "UPDATE" if !is_over(&self.docs[&id]) => {
                self.docs.get_mut(&id).unwrap().extend(op["data"].as_object().unwrap().clone());
            }
            "REMOVE" if !id.is_empty() => drop(self.docs.remove(&id)),
            _ => self.quarantined.push(op.clone()),
        }
    }
}

/// A document that is over but not swept yet takes no update.
fn is_over(doc: &Map<String, Value>) -> bool {
    doc.get("expireAt").and_then(Value::as_u64).is_some_and(|at| Millis(at) <= Millis::parse(&now()).unwrap())
}

fn complete(id: &str, fields: &Value, time: &str) -> Map<String, Value> {
    let mut doc = fields.as_object().unwrap().clone();
    doc.insert("_id".to_owned(), json!(id));
    for name in ["createdAt", "updatedAt"] {
        doc.entry(name).or_insert(json!(time));
    }
    doc
}
