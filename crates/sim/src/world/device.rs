//! A device of a world: the real embedded database and the real session. Its database survives a
//! restart, its session does not. Its clock runs with a skew.

use super::bug::Bug;
use super::line::Line;
use super::log::Documents;
use super::part::Part;
use fastrand::Rng;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use syncline::filter::Filter;
use syncline::query::Query;
use syncline::sync::{ExchangeOptions, PacketNode};
use syncline::{Collection, Database, DatabaseOptions, Quarantined};
use syncline_core::model::{CollectionName, Millis, NodeId, Page, SnapshotHead, Strategy, Views};
use syncline_core::session::{
    Answer, Backlog, Effect, Enable, Event, Failure, RequestId, Session, Settings, Status, Ticket, Write,
};

/// Few ids, so that devices meet on the same documents.
pub const IDS: [&str; 4] = ["a", "b", "c", "d"];
const FIELDS: [&str; 3] = ["x", "y", "z"];

/// One device.
pub struct Device {
    number: usize,
    ids: &'static [&'static str],
    database: Database,
    clock: Arc<AtomicU64>,
    skew_ms: i64,
    session: Session,
    jitter: u64,
    node: NodeId,
    /// Counts restarts, so that what belongs to an earlier life is told apart.
    pub life: u32,
    /// Between a crash and the next start.
    pub is_down: bool,
    edits: u64,
    /// The last value of each field that this device wrote and did not write over itself.
    written: BTreeMap<(String, String, String), String>,
    /// How it syncs where that is not by the log.
    pub line: Option<Line>,
    /// Values that were written to both collections in one transaction, and the document's id.
    pub together: Vec<(String, String)>,
    /// Until then it hears and says nothing.
    pub asleep_until: u64,
    /// It knows of one collection only.
    pub one_type: bool,
    /// Its disk takes nothing more.
    pub full: bool,
    bug: Option<Bug>,
    /// The head of the last snapshot that was answered.
    snapshot: Option<SnapshotHead>,
    /// A field whose values the devices of the world share.
    shared: Option<&'static str>,
    /// Where its database is, when it is in a file.
    file: Option<PathBuf>,
}

fn open(options: DatabaseOptions, clock: &Arc<AtomicU64>) -> Database {
    let reads = Arc::clone(clock);
    let options = options.timestamps(false).time(move || Millis(reads.load(Ordering::Relaxed)));
    Database::open_with(options).expect("the database opens")
}

impl Device {
    pub fn new(number: usize, ids: &'static [&'static str], jitter: u64) -> Device {
        Device::with(DatabaseOptions::memory(), number, ids, jitter)
    }

    /// The same with its database in a file.
    pub fn on_file(path: &Path, number: usize, jitter: u64) -> Device {
        let device = Device::with(DatabaseOptions::file(path), number, &IDS, jitter);
        Device { file: Some(path.to_owned()), ..device }
    }

    fn with(options: DatabaseOptions, number: usize, ids: &'static [&'static str], jitter: u64) -> Device {
        let clock = Arc::new(AtomicU64::new(0));
        let database = open(options, &clock);
        let node = database.replica().node().expect("the database is whole");
        let skew_ms = i64::try_from(jitter % 20_000).unwrap_or_default() - 10_000;
        let session = Session::new(Settings::default());
        Device {
            number,
            ids,
            database,
            clock,
            skew_ms,
            session,
            jitter,
            node,
            life: 0,
            is_down: false,
            edits: 0,
            written: BTreeMap::new(),
            line: None,
            together: Vec::new(),
            asleep_until: 0,
            one_type: false,
            full: false,
            bug: None,
            snapshot: None,
            shared: None,
            file: None,
        }
    }

    /// The same, but others write the same values to a field as it does.
    pub fn shared(self, field: &'static str) -> Device {
        Device { shared: Some(field), ..self }
    }

    /// Closes its database, copies the file, and opens it again.
    pub fn copy_file(&mut self, to: &Path) {
        let path = self.file.clone().expect("its database is a file");
        self.database = open(DatabaseOptions::memory(), &self.clock);
        std::fs::copy(&path, to).expect("a closed database can be copied");
        self.database = open(DatabaseOptions::file(&path), &self.clock);
    }

    /// Plants a bug around its session and its database.
    pub fn plant(&mut self, bug: Option<Bug>) {
        self.bug = bug;
    }

    /// Its clock runs so much further ahead.
    pub fn ahead(&mut self, ms: i64) {
        self.skew_ms += ms;
    }

    /// What it says of itself.
    pub fn status(&self, now: Millis) -> Status {
        let mut status = self.session.status(now);
        status.stalled &= self.bug != Some(Bug::StallHidden);
        status
    }

    /// The same, but it exchanges packets.
    pub fn by_packets(mut self, part: Part) -> Device {
        let exchange = PacketNode::new(self.database.replica(), &ExchangeOptions::default());
        self.line = Some(Line::new(exchange.expect("the options are valid"), part, self.number));
        self
    }

    /// What the hub gives it.
    pub fn part(&self) -> Part {
        let whole = Part { one_type: self.one_type, ..Part::WHOLE };
        self.line.as_ref().map_or(whole, |line| line.part)
    }

    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// Its process is gone: what reaches it now finds nobody.
    pub fn crash(&mut self) {
        (self.life, self.is_down) = (self.life + 1, true);
    }

    /// A new session on the same database.
    pub fn start(&mut self, now: Millis) -> (Event, u32) {
        self.set_clock(now);
        (self.life, self.is_down) = (self.life + 1, false);
        let (replica, scope) = (self.database.replica(), self.scope());
        self.session = match &mut self.line {
            None => {
                replica.join(&scope, Strategy::LastWriteWins).expect("the database is whole");
                Session::new(Settings::default())
            }
            Some(line) => {
                line.node.join(&scope, Strategy::LastWriteWins).expect("the database is whole");
                line.start()
            }
        };
        let positions = replica.positions(&scope).expect("the database is whole");
        let jitter_seed = self.jitter.wrapping_add(u64::from(self.life));
        (Event::Enable(Enable { positions, backlog: self.backlog(), jitter_seed }), self.life)
    }

    pub fn handle(&mut self, now: Millis, event: Event) -> Vec<Effect> {
        self.set_clock(now);
        if let Event::Answered(_, Answer::SnapshotHead(head)) = &event {
            self.snapshot = Some(head.clone());
        }
        let failed = matches!(event, Event::Failed(..));
        let mut effects = self.session.handle(now, event);
        if failed && self.bug == Some(Bug::RetriesAtOnce) {
            effects.extend(self.session.handle(now, Event::Trigger(Ticket(0))));
        }
        effects
    }

    /// Carries out a write of the session.
    pub fn store(&mut self, id: RequestId, write: Write, now: Millis) -> Event {
        self.set_clock(now);
        if self.full {
            return Event::Failed(id, no_room());
        }
        let scope = self.scope();
        let moved = self.misplaced(&write);
        self.drop_edits(&write);
        let stored = match &self.line {
            None => self.database.replica().carry_out(&scope, write),
            Some(line) => line.node.carry_out(&scope, write),
        };
        if let Some(page) = moved {
            self.database.replica().carry_out(&scope, Write::Page { scope: scope.clone(), page }).expect("it is empty");
        }
        match stored {
            Ok(mut stored) => {
                if let Some(renamed) = &stored.renamed {
                    self.node = renamed.now.clone();
                }
                if self.bug == Some(Bug::RebaseForgotten) {
                    stored.backlog = Some(self.backlog());
                }
                Event::Stored(id, stored)
            }
            Err(error) => Event::Failed(id, Failure::Storage(error.to_string())),
        }
    }

    /// With a bug that allows it: the cursor of a page is stored, and the crash comes before its documents.
    pub fn store_half(&mut self, write: &Write, now: Millis) -> bool {
        self.set_clock(now);
        let (Some(Bug::TwoTransactions), Write::Page { scope, page }) = (self.bug, write) else { return false };
        let cursor = Page { ops: Vec::new(), ..page.clone() };
        let write = Write::Page { scope: scope.clone(), page: cursor };
        self.database.replica().carry_out(&self.scope(), write).is_ok()
    }

    /// Where a planted bug puts the cursor after this write: a page without changes.
    fn misplaced(&self, write: &Write) -> Option<Page> {
        let (server_lsn, epoch, views) = match (self.bug?, write) {
            (Bug::CursorByPush, Write::Receipts { reply, .. }) => (reply.server_lsn, reply.epoch.clone(), Views::new()),
            (Bug::ResumedFromLast, Write::SnapshotFinish) => {
                self.snapshot.as_ref().map(|head| (head.server_lsn, head.epoch.clone(), head.views.clone()))?
            }
            _ => return None,
        };
        let ops = Vec::new();
        Some(Page { server_lsn, epoch, has_more: false, views, ops, conflicts: None, receipt: None })
    }

    /// With a bug that does so: what was not sent of the documents of a page goes.
    fn drop_edits(&self, write: &Write) {
        let (Some(Bug::RebaseForgotten), Write::Page { page, .. }) = (self.bug, write) else { return };
        for op in self.database.unsynced().expect("the database is whole") {
            let pulled = |other: &&syncline_core::model::PageOp| {
                other.collection == op.collection && Some(&other.id) == op.id.as_ref()
            };
            if page.ops.iter().any(|other| pulled(&other)) {
                drop(self.database.discard_unsynced(op.number));
            }
        }
    }

    pub fn backlog(&self) -> Backlog {
        self.database.replica().backlog(&self.scope()).expect("the database is whole")
    }

    /// What the app shows.
    pub fn documents(&mut self) -> Documents {
        let mut all = Documents::new();
        for name in self.part().types() {
            let documents = self.collection(name).find(&Query::new(Filter::all())).expect("the database is whole");
            for document in documents {
                let id = document["_id"].as_str().unwrap_or_default().to_owned();
                all.insert(((*name).to_owned(), id), document);
            }
        }
        all
    }

    /// Ops that it was told to take back.
    pub fn set_aside(&self) -> Vec<Quarantined> {
        self.database.quarantined().expect("the database is whole")
    }

    /// Values that must be somewhere in the end.
    pub fn written(&self) -> Vec<&String> {
        self.written.values().collect()
    }

    /// The user does something; tells what.
    pub fn act(&mut self, dice: &mut Rng, now: Millis) -> String {
        self.set_clock(now);
        if self.full {
            return "finds its disk full".to_owned();
        }
        let names = self.part().types();
        let (name, id) = (names[dice.usize(..names.len())], self.ids[dice.usize(..self.ids.len())]);
        let field = FIELDS[dice.usize(..FIELDS.len())];
        match dice.u32(0..20) {
            0..=8 => self.set(name, id, field),
            9..=11 => self.replace(name, id, field),
            12..=14 => self.remove(name, id),
            15 => self.clear(name),
            _ => self.transact(id, field),
        }
    }

    /// A value that nobody else writes, but for shared fields.
    fn value(&mut self, field: &str) -> String {
        self.edits += 1;
        if self.shared == Some(field) {
            return format!("shared-{}", self.edits % 3);
        }
        format!("d{}e{}.", self.number, self.edits)
    }

    fn set(&mut self, name: &str, id: &str, field: &str) -> String {
        let (collection, value) = (self.collection(name), self.value(field));
        let exists = collection.get(id).expect("the database is whole").is_some();
        let done = if exists {
            collection.update(id, &json!({ field: value }))
        } else {
            collection.insert(json!({ "_id": id, field: value }))
        };
        done.expect("the edit is valid");
        self.note(name, id, field, &value);
        format!("sets {name}/{id}.{field} = {value}")
    }

    fn replace(&mut self, name: &str, id: &str, field: &str) -> String {
        let (collection, value) = (self.collection(name), self.value(field));
        if collection.get(id).expect("the database is whole").is_none() {
            return format!("finds no {name}/{id} to replace");
        }
        collection.replace(id, json!({ "_id": id, field: value })).expect("the edit is valid");
        self.forget(name, Some(id));
        self.note(name, id, field, &value);
        format!("replaces {name}/{id} by {field} = {value}")
    }

    fn remove(&mut self, name: &str, id: &str) -> String {
        let there = self.collection(name).remove(id).expect("the database is whole");
        self.forget(name, Some(id));
        format!("removes {name}/{id} ({there})")
    }

    fn clear(&mut self, name: &str) -> String {
        let gone = self.collection(name).clear().expect("the database is whole");
        self.forget(name, None);
        format!("clears {name} ({gone} documents)")
    }

    /// One edit in each collection, together.
    fn transact(&mut self, id: &str, field: &str) -> String {
        let value = self.value(field);
        let document = json!({ "_id": id, field: value });
        let names = self.part().types();
        let done = self.database.transaction(|tx| {
            for name in names {
                tx.collection(name)?.upsert(document.clone())?;
            }
            Ok(())
        });
        done.expect("the transaction is valid");
        if names.len() > 1 && self.shared != Some(field) {
            self.together.push((value.clone(), id.to_owned()));
        }
        for name in names {
            self.forget(name, Some(id));
            self.note(name, id, field, &value);
        }
        format!("writes {value} to {id}.{field} of all collections in one transaction")
    }

    /// Its user looks after what was set aside, was lost, or waits. Tells what, and what need not be found again.
    pub fn look_after(&mut self, dice: &mut Rng, now: Millis) -> (String, String) {
        self.set_clock(now);
        let whole = "the database is whole";
        let (aside, lost) = (self.database.quarantined().expect(whole), self.database.conflicts().expect(whole));
        let waits: Vec<_> = self.database.unsynced().expect(whole);
        let waits: Vec<_> = waits.into_iter().filter(|op| op.transaction.is_none()).collect();
        let (turn, discard) = (dice.u32(0..3), dice.bool());
        match (turn, aside.first(), lost.last(), waits.last()) {
            (0, Some(op), _, _) if discard => {
                let gone = self.database.discard_quarantined(op.number).expect("it is there");
                (format!("discards {}", gone.operation), String::new())
            }
            (0, Some(op), _, _) => {
                let done = self.database.retry_quarantined(op.number);
                self.overwritten(&op.operation);
                (format!("tries {} again: {done:?}", op.operation), String::new())
            }
            (1, _, Some(edit), _) => {
                let done = self.database.restore_conflict(edit.number);
                self.overwritten(&edit.operation);
                (format!("wants its lost edit {} back: {done:?}", edit.operation), String::new())
            }
            (_, _, _, Some(op)) => match self.database.discard_unsynced(op.number) {
                Ok(gone) => {
                    let gone: Vec<String> = gone.iter().map(|op| op.operation.to_string()).collect();
                    // What goes with it may be a part of a transaction, and a copy of this database may send that still.
                    self.together.retain(|(value, _)| !gone.iter().any(|op| op.contains(value.as_str())));
                    (format!("gives {gone:?} up"), gone.concat())
                }
                Err(why) => (format!("cannot give {} up: {why}", op.operation), String::new()),
            },
            _ => ("finds nothing to look after".to_owned(), String::new()),
        }
    }

    /// An edit was made once more: what stood in its place meanwhile was given up for that.
    fn overwritten(&mut self, op: &Value) {
        let text = op.to_string();
        self.together.retain(|(value, _)| !text.contains(value.as_str()));
        let (name, id) = (op["collection"].as_str().unwrap_or_default(), op["id"].as_str());
        if op["op"] != "update" {
            return self.forget(name, id);
        }
        for field in op["set"].as_object().into_iter().flat_map(|set| set.keys()) {
            self.written.remove(&(name.to_owned(), id.unwrap_or_default().to_owned(), field.clone()));
        }
    }

    fn note(&mut self, name: &str, id: &str, field: &str, value: &str) {
        if self.shared == Some(field) {
            return;
        }
        self.written.insert((name.to_owned(), id.to_owned(), field.to_owned()), value.to_owned());
    }

    /// What a user takes away on purpose need not be found again.
    fn forget(&mut self, name: &str, id: Option<&str>) {
        self.written.retain(|(n, i, _), _| n != name || id.is_some_and(|id| i != id));
    }

    fn collection(&self, name: &str) -> Collection {
        self.database.collection(name).expect("a valid name")
    }

    fn scope(&self) -> BTreeSet<CollectionName> {
        self.part().types().iter().map(|name| CollectionName::new(*name).expect("a valid name")).collect()
    }

    fn set_clock(&self, now: Millis) {
        self.clock.store(now.0.saturating_add_signed(self.skew_ms), Ordering::Relaxed);
    }
}

/// A failure of the local disk as the session hears of it.
fn no_room() -> Failure {
    Failure::Storage("database or disk is full".to_owned())
}
