//! A WiseJSON client on the wire, third generation: pull before push, fresh batch ids for every attempt,
//! the whole unsent log again after any failure, a cursor that is taken from push replies.
//!
//! It behaves as the real client does, its known weaknesses included; what it has to suffer is the
//! hub's business.

use crate::history::{Answer, Deed, Replica, Sent, bare, fields};
use crate::http::{self, Request};
use crate::hub::TOKEN;
use fastrand::Rng;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// Log entries in one push.
const PUSH_BATCH_SIZE: usize = 20;

/// A client of one collection.
pub struct Foreign {
    name: String,
    address: String,
    collection: String,
    rng: Rng,
    documents: BTreeMap<String, Map<String, Value>>,
    /// Unsent entries, each with the positions of its edits in the notes.
    log: Vec<(Vec<usize>, Value)>,
    /// Milliseconds since 1970; no two edits are made in the same one.
    last_edit_ms: i64,
    cursor: Value,
    started: bool,
    notes: Vec<Sent>,
    /// Pulled elements that the real client would have put into its quarantine file.
    pub quarantine: Vec<Value>,
}

impl Foreign {
    /// A client that has never synced; `seed` makes its ids.
    pub fn new(name: &str, address: &str, collection: &str, seed: u64) -> Foreign {
        Foreign {
            name: name.into(),
            address: address.into(),
            collection: collection.into(),
            rng: Rng::with_seed(seed),
            documents: BTreeMap::new(),
            log: Vec::new(),
            last_edit_ms: 0,
            cursor: json!(0),
            started: false,
            notes: Vec::new(),
            quarantine: Vec::new(),
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

    /// Whether the client has a document.
    pub fn has(&self, id: &str) -> bool {
        self.documents.contains_key(id)
    }

    /// Its documents, as the other replicas show them.
    pub fn replica(&self) -> Replica {
        let named = self.documents.iter().map(|(id, doc)| ((self.collection.clone(), id.clone()), doc));
        named.map(|(key, doc)| (key, bare(&Value::Object(doc.clone())))).collect()
    }

    /// A local edit. As in the real client, an edit of an unknown document is none.
    pub fn write(&mut self, deed: Deed, id: &str) {
        let now = self.now();
        let Some((position, fields)) = self.edit(deed, id, &now) else { return };
        let op_id = self.uuid();
        let entry = match deed {
            Deed::Insert => json!({"op": "INSERT", "doc": self.documents[id], "opId": op_id}),
            Deed::Update => {
                let mut data = fields;
                data.insert("updatedAt".into(), json!(now));
                json!({"op": "UPDATE", "id": id, "data": data, "opId": op_id})
            }
            Deed::Remove => json!({"op": "REMOVE", "id": id, "opId": op_id}),
        };
        self.log.push((vec![position], entry));
    }

    /// Several new documents as one entry.
    pub fn insert_many(&mut self, ids: &[String]) {
        let (now, op_id) = (self.now(), self.uuid());
        let positions: Vec<usize> = ids.iter().filter_map(|id| Some(self.edit(Deed::Insert, id, &now)?.0)).collect();
        let docs: Vec<_> = positions.iter().map(|position| &self.documents[&self.notes[*position].id]).collect();
        let entry = json!({"op": "BATCH_INSERT", "docs": docs, "opId": op_id});
        self.log.push((positions, entry));
    }

    /// Edits that take effect together. The real client stamps its own documents some milliseconds
    /// after the time that it sends: when the block is on disk.
    pub fn transact(&mut self, edits: &[(Deed, String)]) {
        let (now, transaction) = (self.now(), format!("txn_{}", self.uuid()));
        self.last_edit_ms += self.rng.i64(0..6);
        let committed = spelled(self.last_edit_ms);
        for (deed, id) in edits {
            let Some((position, mut fields)) = self.edit(*deed, id, &committed) else { continue };
            let (kind, args) = match deed {
                Deed::Insert => {
                    fields.insert("_id".into(), json!(id));
                    ("insert", json!([fields]))
                }
                Deed::Update => ("update", json!([id, fields])),
                Deed::Remove => ("remove", json!([id])),
            };
            let entry = json!({
                "txn": "op", "txid": transaction, "col": self.collection, "type": kind, "args": args, "ts": now,
                "_txn_applied_from_wal": true, "_tx_origin_id": transaction,
            });
            self.log.push((vec![position], entry));
        }
    }

    /// Changes the local document and notes it; gives the fields that the op writes.
    fn edit(&mut self, deed: Deed, id: &str, now: &str) -> Option<(usize, Map<String, Value>)> {
        if (deed == Deed::Insert) == self.has(id) {
            return None;
        }
        let position = self.notes.len();
        let mark = format!("{}-{position}", self.name);
        let written = fields(&mark);
        if deed == Deed::Remove {
            self.documents.remove(id);
        } else {
            let doc = self.documents.entry(id.into()).or_insert_with(|| {
                let born = json!({"_id": id, "createdAt": now});
                born.as_object().unwrap().clone()
            });
            doc.extend(written.clone());
            doc.insert("updatedAt".into(), json!(now));
        }
        let (collection, id) = (self.collection.clone(), id.to_owned());
        self.notes.push(Sent { collection, id, mark, deed, answer: Answer::None });
        Some((position, written))
    }

    /// One cycle. An error is what the real client reports as `sync:error`; everything is tried again
    /// in the next cycle.
    pub fn cycle(&mut self) -> Result<(), String> {
        if !self.started {
            if self.log.is_empty() {
                self.load_snapshot()?;
            }
            self.started = true;
        }
        self.pull()?;
        self.push()
    }

    /// The same with the hub behind another address, from now on.
    pub fn cycle_at(&mut self, address: &str) -> Result<(), String> {
        address.clone_into(&mut self.address);
        self.cycle()
    }

    fn load_snapshot(&mut self) -> Result<(), String> {
        let reply = self.get("snapshot")?;
        if let (Some(documents), Some(_)) = (reply["documents"].as_array(), reply["server_lsn"].as_f64()) {
            let documents = documents.iter().map(|doc| doc.as_object().unwrap().clone());
            self.documents = documents.map(|doc| (doc["_id"].as_str().unwrap().to_owned(), doc)).collect();
            self.cursor = reply["server_lsn"].clone();
        }
        Ok(())
    }

    fn pull(&mut self) -> Result<(), String> {
        let reply = self.get(&format!("pull?since_lsn={}", self.cursor))?;
        let Some(ops) = reply["ops"].as_array().filter(|ops| !ops.is_empty()) else { return Ok(()) };
        ops.iter().for_each(|op| self.apply(op));
        if reply["server_lsn"].is_number() {
            self.cursor = reply["server_lsn"].clone();
        }
        Ok(())
    }

    /// Plain entries come before those of transactions. A failed batch leaves the whole log unsent, those before it included.
    fn push(&mut self) -> Result<(), String> {
        let mut log = self.log.clone();
        log.sort_by_key(|(_, entry)| entry.get("txn").is_some());
        for batch in log.chunks(PUSH_BATCH_SIZE) {
            let ops: Vec<&Value> = batch.iter().map(|(_, entry)| entry).collect();
            let body = json!({"batchId": self.uuid(), "ops": ops}).to_string();
            let reply = self.ask("POST", "push", Some(body.as_bytes()))?;
            if reply["server_lsn"].is_number() {
                self.cursor = reply["server_lsn"].clone();
            }
            for position in batch.iter().flat_map(|(positions, _)| positions) {
                self.notes[*position].answer = Answer::Accepted;
            }
        }
        self.log.clear();
        Ok(())
    }

    /// What the real client does with a pulled element.
    fn apply(&mut self, op: &Value) {
        let Some(kind) = op["op"].as_str() else { return };
        let (doc, data) = (op["doc"].as_object(), op["data"].as_object());
        let id = op["id"].as_str().or_else(|| doc?.get("_id")?.as_str()).map(str::to_owned);
        let time = [&op["ts"], &op["doc"]["updatedAt"], &op["data"]["updatedAt"]];
        let time = time.into_iter().find_map(Value::as_str).map(str::to_owned);
        let Some(id) = id else { return self.quarantine.push(op.clone()) };
        let local = self.documents.get(&id).and_then(|doc| doc.get("updatedAt")).and_then(Value::as_str);
        if let (Some(local), Some(remote)) = (local, &time)
            && local > remote.as_str()
        {
            return;
        }
        match (kind, doc, data) {
            ("INSERT", Some(doc), _) => {
                self.documents.entry(id).or_insert_with(|| doc.clone());
            }
            ("UPDATE", _, Some(data)) => {
                if let Some(known) = self.documents.get_mut(&id) {
                    known.extend(data.clone());
                }
            }
            ("REMOVE", ..) => drop(self.documents.remove(&id)),
            _ => self.quarantine.push(op.clone()),
        }
    }

    fn get(&self, what: &str) -> Result<Value, String> {
        self.ask("GET", what, None)
    }

    fn ask(&self, method: &str, what: &str, body: Option<&[u8]>) -> Result<Value, String> {
        let path = format!("/c/{}/sync/{what}", self.collection);
        let reply = http::send(&self.address, &Request { method, path: &path, token: TOKEN, body });
        let reply = reply.map_err(|error| error.to_string())?;
        let value: Value = serde_json::from_slice(&reply.body).map_err(|error| error.to_string())?;
        if reply.status >= 400 { Err(format!("{}: {value}", reply.status)) } else { Ok(value) }
    }

    /// The time as JavaScript writes it.
    fn now(&mut self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        self.last_edit_ms = i64::try_from(now).unwrap().max(self.last_edit_ms + 1);
        spelled(self.last_edit_ms)
    }

    fn uuid(&mut self) -> String {
        let (a, b) = (self.rng.u64(..), self.rng.u64(..));
        let low = b & 0xffff_ffff_ffff;
        format!("{:08x}-{:04x}-4{:03x}-8{:03x}-{low:012x}", a >> 32, (a >> 16) & 0xffff, a & 0xfff, (b >> 48) & 0xfff)
    }
}

fn spelled(ms: i64) -> String {
    format!("{:.3}", jiff::Timestamp::from_millisecond(ms).unwrap())
}
