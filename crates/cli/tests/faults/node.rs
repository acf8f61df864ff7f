//! An own client on the wire, written from the protocol document alone: it numbers its ops, repeats a
//! batch byte by byte until it is answered, reads the log from its own cursor, and takes notes for the
//! judge.

use crate::history::{Answer, Deed, Replica, Sent, bare, fields};
use crate::http::{self, Reply, Request};
use crate::hub::TOKEN;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// A node with its outbox.
pub struct Node {
    pub name: String,
    address: String,
    /// The way into its space, before that of each request.
    door: String,
    token: String,
    outbox: Vec<(usize, Value)>,
    batch: Option<Batch>,
    batches: u64,
    last_stamp: u64,
    notes: Vec<Sent>,
    replica: Replica,
    cursor: u64,
    epoch: String,
    ballast: usize,
}

/// Sent, perhaps several times, and not answered yet.
struct Batch {
    body: Vec<u8>,
    /// Positions of its ops in the notes; an op's number is its position and one.
    ops: Vec<usize>,
}

/// Why a push has no receipts.
#[derive(Debug)]
pub enum Unanswered {
    /// No complete reply.
    Cut,
    /// The hub said no.
    Refused(Reply),
}

impl Node {
    /// A node that has never pushed.
    pub fn new(name: &str, address: &str) -> Node {
        Node {
            name: name.into(),
            address: address.into(),
            door: String::new(),
            token: TOKEN.into(),
            outbox: Vec::new(),
            batch: None,
            batches: 0,
            last_stamp: 0,
            notes: Vec::new(),
            replica: Replica::new(),
            cursor: 0,
            epoch: String::new(),
            ballast: 0,
        }
    }

    /// The same in a space of its own, with a token.
    pub fn of_space(space: &str, name: &str, address: &str, token: &str) -> Node {
        Node { door: format!("/s/{space}"), token: token.into(), ..Node::new(name, address) }
    }

    /// Makes each document that it inserts from now on so many bytes larger.
    pub fn load(&mut self, bytes: usize) {
        self.ballast = bytes;
    }

    /// What was sent and answered so far.
    pub fn notes(&self) -> &[Sent] {
        &self.notes
    }

    /// What it has pulled; edits that wait in the outbox are not in it.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Reaches the hub elsewhere from now on.
    pub fn lead_to(&mut self, address: &str) {
        address.clone_into(&mut self.address);
    }

    /// Puts an op into the outbox. Updates and removals carry no base: they count as concurrent.
    pub fn write(&mut self, deed: Deed, collection: &str, id: &str) {
        let position = self.notes.len();
        let mark = format!("{}-{position}", self.name);
        let mut op = json!({"seq": position + 1, "collection": collection, "id": id, "stamp": self.stamp()});
        match deed {
            Deed::Insert => {
                let mut doc = fields(&mark);
                doc.insert("_id".into(), json!(id));
                if self.ballast > 0 {
                    doc.insert("ballast".into(), json!("x".repeat(self.ballast)));
                }
                op["op"] = json!("insert");
                op["doc"] = Value::Object(doc);
            }
            Deed::Update => {
                op["op"] = json!("update");
                op["set"] = Value::Object(fields(&mark));
                op["base"] = json!(0);
            }
            Deed::Remove => {
                op["op"] = json!("remove");
                op["base"] = json!(0);
            }
        }
        let (collection, id) = (collection.to_owned(), id.to_owned());
        self.notes.push(Sent { collection, id, mark, deed, answer: Answer::None });
        self.outbox.push((position, op));
    }

    /// Sends the batch that waits for its answer, or a new one with everything in the outbox.
    pub fn push(&mut self) -> Result<(), Unanswered> {
        if self.batch.is_none() && !self.outbox.is_empty() {
            self.batch = Some(self.compose());
        }
        let Some(batch) = &self.batch else { return Ok(()) };
        let path = format!("{}/sync/push", self.door);
        let request = Request { method: "POST", path: &path, token: &self.token, body: Some(&batch.body) };
        let reply = http::send(&self.address, &request).map_err(|_| Unanswered::Cut)?;
        if reply.status != 200 {
            return Err(Unanswered::Refused(reply));
        }
        let answer = reply.json();
        let receipts = answer["receipts"].as_array().unwrap();
        let batch = self.batch.take().expect("it was just sent");
        assert_eq!(receipts.len(), batch.ops.len(), "a receipt for each op");
        for (position, receipt) in batch.ops.into_iter().zip(receipts) {
            assert_eq!(receipt["seq"], json!(position + 1), "receipts come in the order of the ops");
            let result = receipt["result"].as_str().unwrap().to_owned();
            self.notes[position].answer = Answer::Receipt { result, lsn: receipt["lsn"].as_u64().unwrap() };
        }
        Ok(())
    }

    /// Pulls page after page until there is nothing more. What arrived before a failure stays.
    pub fn pull(&mut self) -> Result<(), Unanswered> {
        loop {
            let Node { name, door, cursor, epoch, .. } = self;
            // Small pages, so that there are boundaries to get wrong.
            let path = format!("{door}/sync/pull?node={name}&since_lsn={cursor}&epoch={epoch}&limit=25");
            let request = Request { method: "GET", path: &path, token: &self.token, body: None };
            let reply = http::send(&self.address, &request).map_err(|_| Unanswered::Cut)?;
            if reply.status != 200 {
                return Err(Unanswered::Refused(reply));
            }
            let page = reply.json();
            for change in page["ops"].as_array().unwrap() {
                let lsn = change["lsn"].as_u64().unwrap();
                assert!(lsn > self.cursor, "{}: LSN {lsn} comes again after {}", self.name, self.cursor);
                self.cursor = lsn;
                self.apply(change);
            }
            self.cursor = page["server_lsn"].as_u64().unwrap();
            page["epoch"].as_str().unwrap().clone_into(&mut self.epoch);
            if page["has_more"] == json!(false) {
                return Ok(());
            }
        }
    }

    fn apply(&mut self, change: &Value) {
        let text = |key: &str| change[key].as_str().unwrap().to_owned();
        let key = (text("collection"), text("id"));
        match change["op"].as_str().unwrap() {
            "put" => drop(self.replica.insert(key, bare(&change["doc"]))),
            "remove" => drop(self.replica.remove(&key)),
            other => panic!("`{other}` is not in the protocol"),
        }
    }

    /// How many ops have been receipted.
    pub fn answered(&self) -> usize {
        self.notes.iter().filter(|op| op.answer != Answer::None).count()
    }

    fn compose(&mut self) -> Batch {
        self.batches += 1;
        let (positions, ops): (Vec<usize>, Vec<Value>) = self.outbox.drain(..).unzip();
        let batch = format!("{}-batch-{}", self.name, self.batches);
        let body = json!({"node": self.name, "batchId": batch, "strategy": "merge", "ops": ops});
        Batch { body: serde_json::to_vec(&body).unwrap(), ops: positions }
    }

    fn stamp(&mut self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let now = u64::try_from(now).unwrap() * 1024;
        self.last_stamp = now.max(self.last_stamp + 1);
        self.last_stamp
    }
}
