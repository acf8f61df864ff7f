//! Writes and reads stores in a few words, so that the stories stay short. Write sets are made by
//! hand: the contract does not depend on the hub's decisions.

use super::AnyStore;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use syncline_core::hub::{Change, Entry, Loaded, Return, Ticket, Touch, WriteSet};
use syncline_core::model::{Author, Body, CollectionName, DocId, Lsn, Mark, Meta, Millis, NodeId, SpaceName, Stamp};
use syncline_core::model::{Seq, TimeFields, Version};
use syncline_server::store::{Encoder, Head, Row, Scan, Scanned, StoreError};
use tokio::sync::mpsc;

/// Everything that one commit does to documents.
#[derive(Clone, Copy, Debug)]
pub(super) enum Do {
    /// Writes `{"n":value}` under `collection`, `id`.
    Put(&'static str, &'static str, u64),
    Remove(&'static str, &'static str),
    /// Logs what stands once more, as its author's.
    Again(&'static str, &'static str),
    Ticket(&'static str),
    /// The writer is owed what stands.
    Return(&'static str, &'static str),
    /// The same, and a field goes that it sent.
    ReturnWithout(&'static str, &'static str, &'static str),
}

pub(super) fn space() -> SpaceName {
    SpaceName::new("main").expect("a good name")
}

pub(super) fn collection(name: &str) -> CollectionName {
    CollectionName::new(name).expect("a good name")
}

pub(super) fn id(text: &str) -> DocId {
    DocId::new(text).expect("a good id")
}

pub(super) fn node(text: &str) -> NodeId {
    NodeId::new(text).expect("a good id")
}

pub(super) fn among(names: &[&str]) -> Option<BTreeSet<CollectionName>> {
    Some(names.iter().map(|name| collection(name)).collect())
}

/// A fresh space in the store.
pub(super) async fn open(store: &AnyStore) -> Head {
    store.open_space(&space()).await.expect("a space opens")
}

/// What the store loads for a touch; nothing is written.
pub(super) async fn load(store: &AnyStore, touch: Touch) -> Loaded {
    let seen = Arc::new(Mutex::new(Loaded::default()));
    let inside = Arc::clone(&seen);
    let decide = move |loaded| {
        *inside.lock().expect("no panic inside") = loaded;
        WriteSet::default()
    };
    store.commit(&space(), touch, Box::new(decide)).await.expect("an empty commit succeeds");
    seen.lock().expect("no panic inside").clone()
}

/// Commits a write set that does not depend on what is loaded.
pub(super) async fn commit(store: &AnyStore, touch: Touch, writes: WriteSet) -> Result<Head, StoreError> {
    store.commit(&space(), touch, Box::new(move |_| writes.clone())).await
}

/// One commit by `n1` at time 1000.
pub(super) async fn write(store: &AnyStore, steps: &[Do]) -> Head {
    write_in(store, &space(), "n1", steps).await
}

pub(super) async fn write_in(store: &AnyStore, space: &SpaceName, by: &str, steps: &[Do]) -> Head {
    let by = node(by);
    let mut touch = Touch { nodes: [by.clone()].into(), ..Touch::default() };
    for step in steps {
        if let Do::Put(c, i, _) | Do::Remove(c, i) | Do::Again(c, i) = step {
            touch.docs.insert((collection(c), id(i)));
        }
    }
    let steps = steps.to_vec();
    let decide = move |loaded: Loaded| {
        let author = loaded.nodes[&by].author;
        apply(loaded, author, &steps)
    };
    store.commit(space, touch, Box::new(decide)).await.expect("a commit succeeds")
}

/// The write set of some steps, in the order given.
fn apply(mut loaded: Loaded, author: Author, steps: &[Do]) -> WriteSet {
    let mut writes = WriteSet { at: Millis(1000), ..WriteSet::default() };
    for step in steps {
        let lsn = loaded.head.next();
        loaded.head = lsn;
        let mark = Mark { stamp: Stamp(1000 + lsn.0), lsn, author };
        let entry = match step {
            Do::Put(c, i, value) => {
                let body = Body::trusted(format!(r#"{{"_id":"{i}","n":{value}}}"#));
                change(&mut loaded, (c, i), Version { lsn, author, body, meta: Meta::inserted(mark) })
            }
            Do::Remove(c, i) => {
                let old = loaded.docs.get(&(collection(c), id(i))).cloned().expect("only what exists is removed");
                let meta = Meta { removed: Some(mark), ..old.meta };
                change(&mut loaded, (c, i), Version { lsn, author, body: old.body, meta })
            }
            Do::Again(c, i) => {
                let old = loaded.docs.get(&(collection(c), id(i))).cloned().expect("only what exists is logged again");
                change(&mut loaded, (c, i), Version { lsn, ..old })
            }
            Do::Return(c, i) => give_back((c, i), (lsn, author), None),
            Do::ReturnWithout(c, i, field) => give_back((c, i), (lsn, author), Some(field)),
            Do::Ticket(c) => Entry::Ticket(Ticket {
                lsn,
                collection: collection(c),
                author,
                node: NodeId::new("ticket-holder").expect("a name"),
                from: Lsn(1),
                own: vec![(Lsn(2), Lsn(3))],
            }),
        };
        writes.entries.push(entry);
    }
    writes
}

fn change(loaded: &mut Loaded, (c, i): (&str, &str), version: Version) -> Entry {
    loaded.docs.insert((collection(c), id(i)), version.clone());
    let facts = version.body.facts().clone();
    Entry::Change(Change { collection: collection(c), id: id(i), version, facts })
}

fn give_back((c, i): (&str, &str), (lsn, author): (Lsn, Author), field: Option<&str>) -> Entry {
    let lost = field.into_iter().map(str::to_owned).collect();
    Entry::Return(Return { lsn, collection: collection(c), id: id(i), author, lost })
}

/// A touch of one node and nothing else.
pub(super) fn by(name: &str) -> Touch {
    Touch { nodes: [node(name)].into(), ..Touch::default() }
}

/// A touch of one node's op numbers.
pub(super) fn seqs(name: &str, numbers: impl IntoIterator<Item = u64>) -> Touch {
    Touch { seqs: [(node(name), numbers.into_iter().map(Seq).collect())].into(), ..by(name) }
}

/// A row, kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub lsn: Lsn,
    pub at: Millis,
    pub collection: String,
    pub id: String,
    pub live: bool,
    pub author: Author,
    pub stamp: Stamp,
    pub born: Stamp,
    pub meta: String,
    pub eventful: bool,
    pub created: Lsn,
    pub times: TimeFields,
    pub body: String,
    pub before: Option<String>,
}

/// What a scan told its encoder.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    pub head: Head,
    pub rows: Vec<Kept>,
    /// What was to be taken away, each with the position of the row that followed.
    pub lost: Vec<(String, Lsn)>,
    pub scanned: Scanned,
}

impl Heard {
    /// The rows as `lsn:id` words, removed ones with a minus.
    pub fn words(&self) -> String {
        let word = |row: &Kept| format!("{}:{}{}", row.lsn, if row.live { "" } else { "-" }, row.id);
        self.rows.iter().map(word).collect::<Vec<_>>().join(" ")
    }
}

/// Keeps rows whose id does not start with `skip`, and writes each LSN as a line.
struct Keeper {
    heard: Arc<Mutex<Heard>>,
    skip: Option<char>,
    lost: Option<String>,
    compares: bool,
}

impl Encoder for Keeper {
    fn begin(&mut self, head: &Head, out: &mut Vec<u8>) {
        self.heard.lock().expect("no panic inside").head = head.clone();
        out.extend(b"begin\n");
    }

    fn row(&mut self, row: &Row<'_>, out: &mut Vec<u8>) -> bool {
        if self.skip.is_some_and(|skip| row.id.starts_with(skip)) {
            return false;
        }
        out.extend(format!("{}\n", row.lsn).bytes());
        let lost = self.lost.take().map(|names| (names, row.lsn));
        self.heard.lock().expect("no panic inside").lost.extend(lost);
        self.heard.lock().expect("no panic inside").rows.push(Kept {
            lsn: row.lsn,
            at: row.at,
            collection: row.collection.into(),
            id: row.id.into(),
            live: row.live,
            author: row.author,
            stamp: row.stamp,
            born: row.born,
            meta: row.meta.into(),
            eventful: row.eventful,
            created: row.created,
            times: row.times,
            body: row.body.into(),
            before: row.before.map(str::to_owned),
        });
        true
    }

    fn compares(&self) -> bool {
        self.compares
    }

    fn lost(&mut self, names: &str) {
        self.lost = Some(names.to_owned());
    }

    fn end(&mut self, scanned: &Scanned, out: &mut Vec<u8>) {
        self.heard.lock().expect("no panic inside").scanned = *scanned;
        out.extend(b"end\n");
    }
}

/// Runs a scan to its end and checks that bytes arrive in the order in which rows were encoded.
pub(super) async fn scan(store: &AnyStore, scan: Scan) -> Result<Heard, StoreError> {
    scan_with(store, scan, None, false).await
}

/// Without the documents whose id starts with a character.
pub(super) async fn scan_without(store: &AnyStore, scan: Scan, skip: Option<char>) -> Result<Heard, StoreError> {
    scan_with(store, scan, skip, false).await
}

/// With what stood in the place of each row before.
pub(super) async fn scan_comparing(store: &AnyStore, scan: Scan) -> Result<Heard, StoreError> {
    scan_with(store, scan, None, true).await
}

async fn scan_with(store: &AnyStore, scan: Scan, skip: Option<char>, compares: bool) -> Result<Heard, StoreError> {
    let heard = Arc::new(Mutex::new(Heard::default()));
    let encoder = Box::new(Keeper { heard: Arc::clone(&heard), skip, lost: None, compares });
    let (out, chunks) = mpsc::channel(4);
    let space = space();
    let (scanned, bytes) = tokio::join!(store.scan(&space, scan, encoder, out), receive(chunks));
    let scanned = scanned?;
    let heard = heard.lock().expect("no panic inside").clone();
    assert_eq!(heard.scanned, scanned, "the encoder and the caller hear the same");
    let lines: String = heard.rows.iter().map(|row| format!("{}\n", row.lsn)).collect();
    assert_eq!(String::from_utf8(bytes).expect("text"), format!("begin\n{lines}end\n"));
    Ok(heard)
}

async fn receive(mut chunks: mpsc::Receiver<impl AsRef<[u8]>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.recv().await {
        bytes.extend_from_slice(chunk.as_ref());
    }
    bytes
}

/// An encoder that keeps nothing.
pub(super) fn deaf() -> Box<dyn Encoder> {
    Box::new(Keeper { heard: Arc::default(), skip: None, lost: None, compares: false })
}

/// The whole log after a position.
pub(super) fn log_after(after: u64) -> Scan {
    Scan::Log { after: Lsn(after), collections: None, max_rows: usize::MAX, max_bytes: usize::MAX }
}

/// Each document of a collection after a position.
pub(super) fn net_after(name: &str, after: u64) -> Scan {
    Scan::Net { collection: collection(name), after: Lsn(after), brief: false }
}

/// Live documents after a position.
pub(super) fn snapshot_after(after: u64) -> Scan {
    Scan::Snapshot {
        collections: None,
        after: Lsn(after),
        expired_by: None,
        max_rows: usize::MAX,
        max_bytes: usize::MAX,
    }
}
