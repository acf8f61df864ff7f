//! The judge. Clients note what they sent and what they were answered; the log, read through the front
//! door, says what came of it. Must not share a line with the code that it judges.
//!
//! Every op writes two fields: `mark`, which the next op overwrites, and one of its own, `did_<mark>`,
//! which stays. An op that took effect twice shows as a mark that comes back, or as a second version
//! that nobody sent.

mod trial;

use crate::http::{self, Request};
use crate::hub::TOKEN;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Documents by collection and id, without the times that WiseJSON clients keep for themselves.
pub type Replica = BTreeMap<(String, String), Value>;

/// What an op does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Insert,
    Update,
    Remove,
}

/// What a client knows of its op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No complete answer has arrived.
    None,
    /// The push was accepted, without a word on the op.
    Accepted,
    /// The same of an edit of what others may remove: of a document that is not there it means nothing.
    AcceptedWhereFound,
    /// A removal met the op in the outbox; together they may leave no trace.
    Cancelled,
    /// The op's receipt.
    Receipt { result: String, lsn: u64 },
}

/// One op in a client's notes.
#[derive(Clone, Debug)]
pub struct Sent {
    pub collection: String,
    pub id: String,
    pub mark: String,
    pub deed: Deed,
    pub answer: Answer,
}

/// The fields that an op with this mark writes.
pub fn fields(mark: &str) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("mark".into(), json!(mark));
    fields.insert(format!("did_{mark}"), json!(true));
    fields
}

/// An entry of the hub's log.
#[derive(Debug)]
struct Change {
    lsn: u64,
    /// `None`: removed.
    doc: Option<Value>,
}

impl Change {
    fn mark(&self) -> Option<&str> {
        self.doc.as_ref()?.get("mark")?.as_str()
    }

    fn is_effect_of(&self, op: &Sent) -> bool {
        if op.deed == Deed::Remove { self.doc.is_none() } else { self.shows(&op.mark) }
    }

    fn shows(&self, mark: &str) -> bool {
        self.doc.as_ref().is_some_and(|doc| doc.get(format!("did_{mark}")).is_some())
    }
}

/// What a reader has seen of the hub's log: the versions of each document, oldest first; and what was kept aside.
#[derive(Debug, Default)]
pub struct Log {
    versions: BTreeMap<(String, String), Vec<Change>>,
    ledger: BTreeMap<(String, String), Vec<Loss>>,
    /// Rows, as they are shown.
    quarantine: BTreeMap<(String, String), Vec<String>>,
    /// Removals may be forgotten: an update of what is gone cannot be applied then, and is set aside.
    pub forgets: bool,
    /// Where the reader stands: everything up to here has arrived.
    read_to: u64,
    epoch: String,
    /// Empty: the space that a hub has without being asked.
    space: String,
}

/// A row of the conflict ledger.
#[derive(Debug)]
struct Loss {
    /// Null: a removal lost.
    losing: Value,
}

impl Loss {
    fn keeps(&self, op: &Sent) -> bool {
        if op.deed == Deed::Remove {
            self.losing.is_null()
        } else {
            self.losing.get(format!("did_{}", op.mark)).is_some()
        }
    }
}

impl Log {
    /// Pulls everything from the beginning, page after page, and what was kept aside.
    ///
    /// # Panics
    /// As [`Log::read_on`], or there is no answer.
    pub fn read(address: &str) -> Log {
        let mut log = Log::default();
        log.read_on(address).unwrap();
        log.read_aside(address);
        log
    }

    /// Of another space, before anything is read.
    pub fn of_space(space: &str) -> Log {
        Log { space: space.into(), ..Log::default() }
    }

    /// Goes on reading where it stopped. What arrived before a failure stays.
    ///
    /// # Errors
    /// No complete answer, or the hub is in no state to give one.
    ///
    /// # Panics
    /// Positions do not rise, the history is another one, or the reader is refused for good.
    pub fn read_on(&mut self, address: &str) -> io::Result<()> {
        loop {
            let Log { read_to, epoch, space, .. } = &*self;
            let door = if space.is_empty() { String::new() } else { format!("/s/{space}") };
            let path = format!("{door}/sync/pull?node=judge&since_lsn={read_to}&epoch={epoch}");
            let reply = http::send(address, &Request { method: "GET", path: &path, token: TOKEN, body: None })?;
            if reply.status >= 500 {
                // It may be a balancer's, which is no JSON.
                return Err(io::Error::other(String::from_utf8_lossy(&reply.body)));
            }
            let page = reply.json();
            assert_eq!(reply.status, 200, "a reader that was always there is refused: {page}");
            for op in page["ops"].as_array().unwrap() {
                self.take(op);
            }
            let now = page["server_lsn"].as_u64().unwrap();
            assert!(now >= self.read_to, "the reader was at {} and is sent back to {now}", self.read_to);
            self.read_to = now;
            let epoch = text(&page, "epoch");
            assert!(self.epoch.is_empty() || self.epoch == epoch, "another history");
            self.epoch = epoch;
            if page["has_more"] == false {
                return Ok(());
            }
        }
    }

    fn take(&mut self, op: &Value) {
        let lsn = op["lsn"].as_u64().unwrap();
        assert!(lsn > self.read_to, "LSN {lsn} comes after {}", self.read_to);
        self.read_to = lsn;
        let doc = (op["op"] == "put").then(|| without_ballast(op["doc"].clone()));
        let versions = self.versions.entry((text(op, "collection"), text(op, "id"))).or_default();
        versions.push(Change { lsn, doc });
    }

    /// Reads the conflict ledger and the quarantine.
    pub fn read_aside(&mut self, address: &str) {
        let space = if self.space.is_empty() { "main" } else { &self.space };
        let rows = rows_aside(address, space, "conflicts").into_iter();
        self.ledger.clear();
        for row in rows {
            let key = (text(&row, "collection"), text(&row, "id"));
            self.ledger.entry(key).or_default().push(Loss { losing: row["losing"].clone() });
        }
        self.quarantine.clear();
        for row in rows_aside(address, space, "quarantine") {
            let (Some(collection), Some(id)) = (row["collection"].as_str(), row["id"].as_str()) else { continue };
            let key = (collection.to_owned(), id.to_owned());
            self.quarantine.entry(key).or_default().push(row.to_string().replace('\\', ""));
        }
    }

    /// Holds what a reader saw who was always there against what one sees who reads everything now.
    ///
    /// # Panics
    /// One of them has missed something.
    pub fn same_as(&self, other: &Log) {
        let seen = |log: &Log| -> BTreeMap<u64, String> {
            let changes = log.versions.iter().flat_map(|(key, all)| all.iter().map(move |change| (key, change)));
            changes.map(|(key, change)| (change.lsn, format!("{key:?} {:?}", change.doc))).collect()
        };
        let (along, now) = (seen(self), seen(other));
        for lsn in along.keys().chain(now.keys()) {
            assert_eq!(along.get(lsn), now.get(lsn), "LSN {lsn}, read along (left) and afterwards (right)");
        }
    }

    /// What the last versions amount to.
    pub fn replica(&self) -> Replica {
        let live = self.versions.iter().filter_map(|(key, all)| Some((key, all.last()?.doc.as_ref()?)));
        live.map(|(key, doc)| (key.clone(), bare(doc))).collect()
    }

    /// The same of one collection.
    pub fn replica_of(&self, collection: &str) -> Replica {
        self.replica().into_iter().filter(|((of, _), _)| of == collection).collect()
    }

    /// Whether an op with this mark has left a trace.
    pub fn shows(&self, mark: &str) -> bool {
        self.versions.values().flatten().any(|change| change.shows(mark))
    }

    /// How many changes made a document different from the change before. To WiseJSON clients the hub
    /// says again what stands.
    pub fn effects(&self) -> usize {
        let of = |versions: &Vec<Change>| {
            let mut texts: Vec<_> = versions.iter().map(|version| &version.doc).collect();
            texts.dedup();
            texts.len()
        };
        self.versions.values().map(of).sum()
    }

    /// How many versions all documents have had.
    pub fn len(&self) -> usize {
        self.versions.values().map(Vec::len).sum()
    }

    /// Holds the log against what clients sent and were told.
    ///
    /// # Panics
    /// The verdict is not faultless.
    #[track_caller]
    pub fn judge(&self, sent: &[Sent]) {
        if let Err(fault) = self.verdict(sent) {
            panic!("{fault}");
        }
    }

    /// The first thing that was acknowledged and is missing, or that took effect more than once.
    fn verdict(&self, sent: &[Sent]) -> Result<(), String> {
        let mut ops: BTreeMap<(&str, &str), Vec<&Sent>> = BTreeMap::new();
        for op in sent {
            self.durable(op)?;
            ops.entry((&op.collection, &op.id)).or_default().push(op);
        }
        self.versions.iter().try_for_each(|((collection, id), versions)| {
            let ops = ops.get(&(collection.as_str(), id.as_str())).map_or(&[][..], Vec::as_slice);
            once(versions, ops).map_err(|fault| format!("{collection}/{id}: {fault}: {versions:?}"))
        })
    }

    /// Holds the log against what one client did: what it wrote later took effect later, or together with it.
    ///
    /// # Panics
    /// Two of its ops changed places.
    #[track_caller]
    pub fn in_order(&self, notes: &[Sent]) {
        let mut last = BTreeMap::<Option<(&str, &str)>, (u64, &Sent)>::new();
        for op in notes {
            let key = (op.collection.as_str(), op.id.as_str());
            let versions = self.versions.get(&(op.collection.clone(), op.id.clone())).map_or(&[][..], Vec::as_slice);
            let shown = versions.iter().find(|version| version.shows(&op.mark)).map(|version| version.lsn);
            let told = match &op.answer {
                Answer::Receipt { result, lsn } if result == "applied" || result == "merged" => Some(*lsn),
                _ => None,
            };
            // Receipts stand in the order of the whole log, the others in that of their document.
            for (place, lsn) in [(Some(key), shown), (None, told)] {
                let Some(lsn) = lsn else { continue };
                if let Some((before, earlier)) = last.insert(place, (lsn, op)) {
                    assert!(before <= lsn, "{op:?} is at {lsn} and took effect before {earlier:?}, at {before}");
                }
            }
        }
    }

    /// Whether the quarantine has an op, word by word.
    fn sets_aside(&self, op: &Sent) -> bool {
        let rows = self.quarantine.get(&(op.collection.clone(), op.id.clone())).map_or(&[][..], Vec::as_slice);
        let said = format!("\"did_{}\"", op.mark);
        rows.iter().any(|row| op.deed == Deed::Remove || row.contains(&said))
    }

    /// What was acknowledged is in the log, or in the ledger where it lost.
    fn durable(&self, op: &Sent) -> Result<(), String> {
        let key = (op.collection.clone(), op.id.clone());
        let versions = self.versions.get(&key).map_or(&[][..], Vec::as_slice);
        let losses = self.ledger.get(&key).map_or(&[][..], Vec::as_slice);
        let ledgered = losses.iter().any(|loss| loss.keeps(op));
        let kept = match &op.answer {
            Answer::None | Answer::Cancelled => true,
            Answer::Receipt { result, lsn } if result == "applied" || result == "merged" => {
                versions.iter().find(|version| version.lsn == *lsn).is_some_and(|version| version.is_effect_of(op))
            }
            Answer::Receipt { result, .. } if result == "rejected" => self.sets_aside(op),
            Answer::Receipt { .. } => ledgered,
            Answer::Accepted => {
                let may_be_aside = self.forgets && versions.iter().any(|version| version.doc.is_none());
                ledgered
                    || versions.iter().any(|version| version.is_effect_of(op))
                    || may_be_aside && self.sets_aside(op)
            }
            Answer::AcceptedWhereFound => {
                ledgered || versions.iter().any(|version| version.is_effect_of(op) || version.doc.is_none())
            }
        };
        if kept {
            return Ok(());
        }
        Err(format!("acknowledged and not there: {op:?}; the log has {versions:?}, the ledger {losses:?}"))
    }
}

/// All rows of a list that is shown in pages, newest first.
fn rows_aside(address: &str, space: &str, list: &str) -> Vec<Value> {
    let (mut all, mut before) = (Vec::new(), i64::MAX);
    loop {
        let path = format!("/admin/spaces/{space}/{list}?before={before}&limit=500");
        let reply = http::send(address, &Request { method: "GET", path: &path, token: TOKEN, body: None });
        let answer = reply.unwrap().json();
        let rows = answer[list].as_array().unwrap();
        let Some(last) = rows.last() else { return all };
        before = last["n"].as_i64().unwrap();
        all.extend(rows.iter().cloned());
    }
}

/// What only makes documents large is not worth keeping.
fn without_ballast(mut doc: Value) -> Value {
    doc.as_object_mut().unwrap().remove("ballast");
    doc
}

/// No op took effect twice.
fn once(versions: &[Change], ops: &[&Sent]) -> Result<(), String> {
    let mut texts: Vec<_> = versions.iter().map(|version| &version.doc).collect();
    if ops.iter().any(|op| matches!(op.answer, Answer::Accepted | Answer::AcceptedWhereFound)) {
        // To WiseJSON clients the hub says again what stands, when they may have missed it or ignored it.
        texts.dedup();
    }
    if texts.len() > ops.len() {
        return Err(format!("{} versions come from {} ops", texts.len(), ops.len()));
    }
    let known: BTreeSet<&str> = ops.iter().map(|op| op.mark.as_str()).collect();
    let mut marks: Vec<Option<&str>> = versions.iter().map(Change::mark).collect();
    marks.dedup();
    let mut seen = BTreeSet::new();
    for mark in marks.into_iter().flatten() {
        if !known.contains(mark) {
            return Err(format!("nobody sent `{mark}`"));
        }
        if !seen.insert(mark) {
            return Err(format!("`{mark}` came back"));
        }
    }
    // A removal may be undone by a later edit, and then old fields return with it.
    if versions.iter().any(|version| version.doc.is_none()) {
        return Ok(());
    }
    let begins = |mark: &str| {
        let mut shown: Vec<bool> = versions.iter().map(|version| version.shows(mark)).collect();
        shown.dedup();
        shown.into_iter().filter(|shown| *shown).count()
    };
    match known.into_iter().find(|mark| begins(mark) > 1) {
        Some(mark) => Err(format!("`{mark}` took effect again")),
        None => Ok(()),
    }
}

/// All replicas are what a newcomer gets, and that is what the log says.
pub fn converged(address: &str, replicas: &[(String, Replica)]) {
    let newcomer = newcomer(address);
    alike("the log", &Log::read(address).replica(), &newcomer);
    for (name, replica) in replicas {
        alike(name, replica, &newcomer);
    }
}

/// The same for replicas of single collections, and a log that was read along.
pub fn converged_in_collections(address: &str, log: &Log, replicas: &[(String, &str, Replica)]) {
    let newcomer = newcomer(address);
    alike("the log", &log.replica(), &newcomer);
    for (name, collection, replica) in replicas {
        let mut expected = newcomer.clone();
        expected.retain(|(of, _), _| of == collection);
        alike(name, replica, &expected);
    }
}

/// Fails with the first difference.
pub fn alike(name: &str, replica: &Replica, newcomer: &Replica) {
    for key in replica.keys().chain(newcomer.keys()) {
        assert_eq!(replica.get(key), newcomer.get(key), "`{name}` (left) and a newcomer (right) differ in {key:?}");
    }
}

/// What somebody gets who comes for the first time.
fn newcomer(address: &str) -> Replica {
    let request = Request { method: "GET", path: "/sync/snapshot?node=newcomer", token: TOKEN, body: None };
    let reply = http::send(address, &request).unwrap();
    let lines = reply.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let lines: Vec<Value> = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
    let documents = &lines[1..lines.len() - 1];
    let end = lines.last().unwrap();
    assert_eq!(end["documents"], json!(documents.len()), "the snapshot's last line: {end}");
    documents.iter().map(|line| ((text(line, "collection"), text(line, "id")), bare(&line["doc"]))).collect()
}

/// A document without the times that WiseJSON clients keep.
pub fn bare(doc: &Value) -> Value {
    let mut doc = doc.as_object().unwrap().clone();
    doc.retain(|key, _| key != "createdAt" && key != "updatedAt" && key != "ballast");
    Value::Object(doc)
}

fn text(of: &Value, key: &str) -> String {
    of[key].as_str().unwrap_or_else(|| panic!("no `{key}` in {of}")).to_owned()
}
