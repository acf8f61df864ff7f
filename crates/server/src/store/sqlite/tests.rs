//! What only the embedded store promises: its files, its lock, and what failures leave behind.

mod damage;
mod files;
mod writing;

use super::health::Trouble;
use super::{Options, SqliteStore, schema};
use crate::store::{Encoder, Head, Row, Scan, Scanned, Store, StoreError};
use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use std::fs;
use std::path::Path;
use std::time::Duration;
use syncline_core::hub::{Change, Entry, Touch, WriteSet};
use syncline_core::model::{
    Author, Body, CollectionName, DocId, Facts, Lsn, Mark, Meta, Millis, NodeId, SpaceName, Stamp, Version,
};
use tempfile::tempdir;
use tokio::sync::mpsc;

fn main_space() -> SpaceName {
    SpaceName::new("main").unwrap()
}

fn named(name: &str) -> SpaceName {
    SpaceName::new(name).unwrap()
}

async fn open(dir: &Path) -> SqliteStore {
    let store = SqliteStore::open(dir, Options::default()).unwrap();
    store.open_space(&main_space()).await.unwrap();
    store
}

/// Writes one document of about so many bytes.
async fn write(store: &SqliteStore, bytes: usize) -> Result<Head, StoreError> {
    let touch = Touch { nodes: [NodeId::new("n1").unwrap()].into(), ..Touch::default() };
    let decide = move |loaded: syncline_core::hub::Loaded| {
        let lsn = loaded.head.next();
        let mark = Mark { stamp: Stamp(lsn.0), lsn, author: Author(1) };
        let body = Body::trusted(format!(r#"{{"text":"{}"}}"#, "x".repeat(bytes)));
        let change = Change {
            collection: CollectionName::new("a").unwrap(),
            id: DocId::new(format!("d{lsn}")).unwrap(),
            version: Version { lsn, author: Author(1), body, meta: Meta::inserted(mark) },
            facts: Facts::default(),
        };
        WriteSet { entries: vec![Entry::Change(change)], ..WriteSet::default() }
    };
    store.commit(&main_space(), touch, Box::new(decide)).await
}

struct Texts;

impl Encoder for Texts {
    fn begin(&mut self, _head: &Head, _out: &mut Vec<u8>) {}
    fn row(&mut self, row: &Row<'_>, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(row.body.as_bytes());
        true
    }
    fn end(&mut self, _scanned: &Scanned, _out: &mut Vec<u8>) {}
}

fn snapshot() -> Scan {
    Scan::Snapshot { collections: None, after: Lsn(0), expired_by: None, max_rows: usize::MAX, max_bytes: usize::MAX }
}

async fn count(store: &SqliteStore) -> u64 {
    let (out, mut chunks) = mpsc::channel(1);
    let space = main_space();
    let drain = async { while chunks.recv().await.is_some() {} };
    let (scanned, ()) = tokio::join!(store.scan(&space, snapshot(), Box::new(Texts), out), drain);
    scanned.unwrap().rows
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let dir = tempdir().unwrap();
    open(dir.path()).await.close().await.unwrap();
    let file = dir.path().join("spaces/main.db");
    Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();

    let store = SqliteStore::open(dir.path(), Options::default()).unwrap();
    let refused = store.open_space(&main_space()).await.unwrap_err();

    let known = i64::try_from(schema::SPACE.len()).unwrap();
    assert!(matches!(refused, StoreError::NewerSchema { found: 99, known: k, .. } if k == known), "{refused}");
    assert!(refused.to_string().contains("main.db"), "{refused}");
    let version: i64 = Connection::open(&file).unwrap().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 99);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named() {
    let dir = tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), Options::default()).unwrap();
    let text = b"a page of notes, longer than what SQLite takes for the head of a new file. ".repeat(20);
    fs::write(dir.path().join("spaces/main.db"), &text).unwrap();
    let refused = store.open_space(&main_space()).await.unwrap_err().to_string();
    assert!(refused.contains("main.db") && refused.contains("not a database"), "{refused}");
    assert_eq!(fs::read(dir.path().join("spaces/main.db")).unwrap(), text, "left as it is");

    let other = tempdir().unwrap();
    fs::write(other.path().join("hub.db"), &text).unwrap();
    let Err(refused) = SqliteStore::open(other.path(), Options::default()) else { panic!("notes are no registry") };
    assert!(refused.to_string().contains("hub.db"), "{refused}");
}

#[tokio::test]
async fn an_older_schema_is_brought_forward() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("x.db");
    drop(schema::open_to_write(&path, &["CREATE TABLE one (a)"], 1 << 20).unwrap());

    let steps = ["CREATE TABLE one (a)", "CREATE TABLE two (a)", "INSERT INTO two VALUES (7)"];
    let conn = schema::open_to_write(&path, &steps, 1 << 20).unwrap();

    assert_eq!(conn.query_row("SELECT a FROM two", [], |row| row.get::<_, i64>(0)).unwrap(), 7);
    assert_eq!(conn.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).unwrap(), 3);
}

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_has_closed() {
    let dir = tempdir().unwrap();
    let first = open(dir.path()).await;

    let Err(refused) = SqliteStore::open(dir.path(), Options::default()) else { panic!("two hubs share a directory") };
    assert!(matches!(refused, StoreError::InUse(_)), "{refused}");

    first.close().await.unwrap();
    let second = open(dir.path()).await;
    write(&second, 10).await.unwrap();
    assert!(matches!(first.head(&main_space()).await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn what_was_committed_is_on_the_disk() {
    let (dir, copy) = (tempdir().unwrap(), tempdir().unwrap());
    let store = open(dir.path()).await;
    for _ in 0..20 {
        write(&store, 100).await.unwrap();
    }

    // A crash leaves the files as they are at this moment; nothing is closed or flushed.
    fs::create_dir(copy.path().join("spaces")).unwrap();
    for file in ["hub.db", "hub.db-wal", "spaces/main.db", "spaces/main.db-wal"] {
        fs::copy(dir.path().join(file), copy.path().join(file)).unwrap();
    }

    let found = SqliteStore::open(copy.path(), Options::default()).unwrap();
    assert_eq!(found.head(&main_space()).await.unwrap(), store.head(&main_space()).await.unwrap());
    assert_eq!(count(&found).await, 20);
}

#[tokio::test]
async fn a_document_that_was_prolonged_is_looked_at_once() {
    let dir = tempdir().unwrap();
    let store = open(dir.path()).await;
    let file = store.file(&main_space()).await.unwrap();
    let prolong = |n: u64, expires: Option<u64>| {
        let decide = move |loaded: syncline_core::hub::Loaded| {
            let lsn = loaded.head.next();
            let mark = Mark { stamp: Stamp(n), lsn, author: Author(1) };
            let (body, meta) = (Body::trusted(r#"{"_id":"d"}"#.to_owned()), Meta::inserted(mark));
            let change = Change {
                collection: CollectionName::new("a").unwrap(),
                id: DocId::new("d").unwrap(),
                version: Version { lsn, author: Author(1), body, meta },
                facts: Facts { expires: expires.map(Millis), ..Facts::default() },
            };
            WriteSet { entries: vec![Entry::Change(change)], ..WriteSet::default() }
        };
        let touch = Touch { nodes: [NodeId::new("n1").unwrap()].into(), ..Touch::default() };
        let (store, space) = (&store, main_space());
        async move { store.commit(&space, touch, Box::new(decide)).await.unwrap() }
    };
    let listed = || {
        let sql = "SELECT group_concat(expires) FROM expiring";
        file.read(move |reader| {
            Ok(reader.connection().query_row(sql, [], |row| row.get::<_, Option<String>>(0)).unwrap())
        })
    };

    for n in 1..=5 {
        prolong(n, Some(100 + n)).await;
    }
    assert_eq!(listed().await.unwrap().as_deref(), Some("105"));

    prolong(6, None).await;
    assert_eq!(listed().await.unwrap(), None, "it has no time to live any more");
}

#[tokio::test]
async fn a_backup_that_broke_down_does_not_stand_in_the_way_of_the_next() {
    let dir = tempdir().unwrap();
    let store = open(dir.path()).await;
    let outgoing = std::sync::Arc::clone(&store.outgoing);
    let broken = std::thread::spawn(move || {
        let _alone = outgoing.lock();
        panic!("in the middle of a backup");
    });
    assert!(broken.join().is_err());

    let (out, mut pieces) = mpsc::channel(1);
    let taken = async { while pieces.recv().await.is_some() {} };
    let (handed, ()) = tokio::join!(store.hand_out(out), taken);

    handed.unwrap();
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut_off() {
    let dir = tempdir().unwrap();
    let options = Options { reader_stall: Duration::from_millis(1), ..Options::default() };
    let store = SqliteStore::open(dir.path(), options).unwrap();
    store.open_space(&main_space()).await.unwrap();
    for _ in 0..4 {
        write(&store, 1 << 20).await.unwrap();
    }
    let (out, _chunks_that_nobody_takes) = mpsc::channel(1);

    let cut = store.scan(&main_space(), snapshot(), Box::new(Texts), out).await;

    assert!(matches!(cut, Err(StoreError::SlowReader { .. })), "{cut:?}");
}
