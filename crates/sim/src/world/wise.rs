//! A WiseJSON client of the third generation, written from what such clients were seen to do: one collection, a log of what
//! is not sent, a cursor in memory that the answer to a push moves, and a retry that sends everything again under new
//! batch ids. It cannot be told what the hub would like.

use fastrand::Rng;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, VecDeque};
use syncline_core::model::Millis;

const FIELDS: [&str; 3] = ["x", "y", "z"];
/// How far its clock may be off.
pub const SKEW_MS: u64 = 5_000;
/// What each device fills in by itself.
pub const OWN_FIELDS: [&str; 3] = ["createdAt", "updatedAt", "_txn"];

pub type Docs = BTreeMap<String, Map<String, Value>>;

/// One client with one collection.
pub struct Wise {
    pub number: usize,
    pub token: String,
    pub docs: Docs,
    /// Pushes of a cycle that has begun; its user waits until it is over.
    pub held: VecDeque<Value>,
    log: Vec<Value>,
    /// What a start finds beside the log.
    checkpoint: Docs,
    cursor: u64,
    begun: bool,
    batch_size: usize,
    skew_ms: i64,
    edits: u64,
    names: u64,
    /// The last value of each field that this client wrote and did not take away.
    written: BTreeMap<(String, &'static str), String>,
}

impl Wise {
    pub fn new(number: usize, token: String, dice: &mut Rng) -> Wise {
        Wise {
            number,
            token,
            docs: Docs::new(),
            held: VecDeque::new(),
            log: Vec::new(),
            checkpoint: Docs::new(),
            cursor: 0,
            begun: false,
            batch_size: dice.usize(1..6),
            skew_ms: dice.i64(-SKEW_MS.cast_signed()..SKEW_MS.cast_signed()),
            edits: 0,
            names: 0,
            written: BTreeMap::new(),
        }
    }

    /// Its documents, as they can be compared.
    pub fn shown(&self) -> BTreeMap<String, Value> {
        let bare = |doc: &Map<String, Value>| {
            let kept = doc.iter().filter(|(name, _)| !OWN_FIELDS.contains(&name.as_str()));
            Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
        };
        self.docs.iter().map(|(id, doc)| (id.clone(), bare(doc))).collect()
    }

    /// Values that must be somewhere in the end.
    pub fn written(&self) -> impl Iterator<Item = &String> {
        self.written.values()
    }

    /// The path of its next reading request: a snapshot only where nothing waits.
    pub fn asks(&self) -> String {
        if !self.begun && self.log.is_empty() {
            return "/notes/sync/snapshot".to_owned();
        }
        format!("/notes/sync/pull?since_lsn={}", self.cursor)
    }

    /// Takes the answer to [`Wise::asks`]; `false`: it was a snapshot, and the pull is still to come.
    pub fn reads(&mut self, answer: &Value) -> bool {
        if let Some(documents) = answer["documents"].as_array() {
            let document = |doc: &Value| Some((doc["_id"].as_str()?.to_owned(), doc.as_object()?.clone()));
            self.docs = documents.iter().filter_map(document).collect();
            (self.cursor, self.begun) = (answer["server_lsn"].as_u64().unwrap_or(0), true);
            return false;
        }
        self.begun = true;
        let ops = answer["ops"].as_array().cloned().unwrap_or_default();
        ops.iter().for_each(|op| self.apply(op));
        if !ops.is_empty() {
            self.cursor = answer["server_lsn"].as_u64().unwrap_or(self.cursor);
        }
        true
    }

    /// The pushes of this cycle: plain ops first, those of transactions behind them, everything that was never checkpointed.
    pub fn begin_pushes(&mut self) {
        let (in_txn, plain): (Vec<Value>, Vec<Value>) = self.log.iter().cloned().partition(|line| line["txn"] == "op");
        let lines: Vec<Value> = plain.into_iter().chain(in_txn).collect();
        let batches: Vec<Vec<Value>> = lines.chunks(self.batch_size).map(<[Value]>::to_vec).collect();
        self.held = batches.into_iter().map(|ops| json!({ "batchId": self.name("batch"), "ops": ops })).collect();
    }

    /// The answer to a push moves its cursor; behind the last one it writes a checkpoint.
    pub fn pushed(&mut self, answer: &Value) {
        self.cursor = answer["server_lsn"].as_u64().unwrap_or(self.cursor);
        self.held.pop_front();
        if self.held.is_empty() {
            self.log.clear();
            self.checkpoint = self.docs.clone();
        }
    }

    /// The process ends and starts again: documents and log stay, the cursor does not.
    pub fn restart(&mut self) {
        self.held.clear();
        (self.cursor, self.begun) = (0, false);
    }

    /// The user does something; tells what.
    pub fn act(&mut self, ids: &[&str], dice: &mut Rng, now: Millis) -> String {
        let (id, field) = (ids[dice.usize(..ids.len())], FIELDS[dice.usize(..FIELDS.len())]);
        self.edits += 1;
        let (value, time) = (format!("w{}e{}.", self.number, self.edits), self.time(now));
        let there = self.docs.contains_key(id);
        let (choice, place) = (dice.u32(0..12), (id.to_owned(), field));
        match choice {
            7..=8 if there => self.written.retain(|(other, _), _| other != id),
            0..=6 | 9..=10 => drop(self.written.insert(place, value.clone())),
            _ => {}
        }
        match choice {
            0..=6 if there => {
                let data = json!({ field: value, "updatedAt": time });
                let line = json!({ "op": "UPDATE", "id": id, "data": data, "opId": self.name("op") });
                self.log.push(line);
                self.docs.entry(id.to_owned()).or_default().extend(data.as_object().cloned().unwrap_or_default());
                format!("updates notes/{id}.{field} = {value}")
            }
            0..=6 => {
                let doc = json!({ "_id": id, field: value, "createdAt": time, "updatedAt": time });
                let line = json!({ "op": "INSERT", "doc": doc, "opId": self.name("op") });
                self.log.push(line);
                self.docs.insert(id.to_owned(), doc.as_object().cloned().unwrap_or_default());
                format!("inserts notes/{id}.{field} = {value}")
            }
            7..=8 if there => {
                self.docs.remove(id);
                let line = json!({ "op": "REMOVE", "id": id, "opId": self.name("op") });
                self.log.push(line);
                format!("removes notes/{id}")
            }
            9..=10 => self.transact(id, there, (field, &value), &time),
            _ => format!("looks at notes/{id}"),
        }
    }

    fn transact(&mut self, id: &str, there: bool, (field, value): (&str, &str), time: &str) -> String {
        let txid = self.name("txn");
        let kind = if there { "update" } else { "insert" };
        let args = if there { json!([id, { field: value }]) } else { json!([{ "_id": id, field: value }]) };
        self.log.push(json!({
            "txn": "op", "txid": txid, "col": "local", "type": kind, "args": args, "ts": time,
            "_txn_applied_from_wal": true, "_tx_origin_id": txid,
        }));
        let doc = self.docs.entry(id.to_owned()).or_default();
        doc.insert("_id".to_owned(), json!(id));
        doc.insert(field.to_owned(), json!(value));
        doc.entry("createdAt").or_insert(json!(time));
        doc.insert("updatedAt".to_owned(), json!(time));
        format!("{kind}s notes/{id}.{field} = {value} in a transaction")
    }

    /// Its rules for a pulled op, in the order of its checks.
    fn apply(&mut self, op: &Value) {
        let Some(kind) = op["op"].as_str() else { return };
        let id = op["id"].as_str().or(op["doc"]["_id"].as_str()).unwrap_or_default().to_owned();
        let times = [&op["ts"], &op["doc"]["updatedAt"], &op["data"]["updatedAt"]];
        let remote = times.into_iter().find_map(|time| time.as_str()).and_then(Millis::parse);
        let local = self.docs.get(&id).map(|doc| doc.get("updatedAt").and_then(Value::as_str).and_then(Millis::parse));
        let newer_here = matches!((local, remote), (Some(Some(local)), Some(remote)) if local > remote);
        match (kind, local.is_some()) {
            ("INSERT", true) | ("UPDATE", false) => {}
            _ if newer_here => {}
            ("INSERT", false) => drop(self.docs.insert(id, op["doc"].as_object().cloned().unwrap_or_default())),
            ("UPDATE", true) => {
                self.docs.entry(id).or_default().extend(op["data"].as_object().cloned().unwrap_or_default());
            }
            ("REMOVE", _) => drop(self.docs.remove(&id)),
            _ => {}
        }
    }

    fn time(&self, now: Millis) -> String {
        Millis(now.0.saturating_add_signed(self.skew_ms)).iso()
    }

    /// A name that nobody else gives.
    fn name(&mut self, kind: &str) -> String {
        self.names += 1;
        format!("{kind}-{}-{}", self.number, self.names)
    }
}
