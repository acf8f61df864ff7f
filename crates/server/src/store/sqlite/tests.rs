//! What only the embedded store promises: its files, its lock, and what failures leave behind.

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
async fn a_full_disk_refuses_one_commit_and_not_the_next() {
    let dir = tempdir().unwrap();
    let store = open(dir.path()).await;
    write(&store, 100).await.unwrap();
    let file = store.file(&main_space()).await.unwrap();
    let limit_pages = |extra: i64| {
        file.write(move |writer| {
            writer.transaction("limiting the file", |conn, _| {
                let pages: i64 = conn.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
                conn.query_row(&format!("PRAGMA max_page_count = {}", pages + extra), [], |_| Ok(())).unwrap();
                Ok(())
            })
        })
    };

    limit_pages(2).await.unwrap();
    let refused = write(&store, 1 << 20).await.unwrap_err();
    assert!(matches!(refused, StoreError::NoRoom { .. }), "{refused:?}");
    assert_eq!(file.vitals().trouble.get(), Trouble::NoRoom);
    store.check().await.unwrap(); // The disk itself is not full here: looking for room finds some.
    assert!(!dir.path().join("room").exists(), "and leaves nothing behind");
    assert_eq!((store.head(&main_space()).await.unwrap().lsn, count(&store).await), (Lsn(1), 1));

    limit_pages(1_000).await.unwrap();
    assert_eq!(write(&store, 1 << 20).await.unwrap().lsn, Lsn(2));
    assert_eq!(file.vitals().trouble.get(), Trouble::None);
}

#[tokio::test]
async fn a_failure_nobody_can_vouch_for_stops_writing_but_not_reading() {
    let dir = tempdir().unwrap();
    let store = open(dir.path()).await;
    write(&store, 100).await.unwrap();
    let file = store.file(&main_space()).await.unwrap();
    let broken_disk = || {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
        StoreError::engine("committing")(rusqlite::Error::SqliteFailure(code, None))
    };

    let failed = file.write(move |writer| writer.transaction("committing", |_, _| Err::<(), _>(broken_disk()))).await;

    assert!(matches!(failed, Err(StoreError::Poisoned { .. })), "{failed:?}");
    assert!(matches!(write(&store, 100).await, Err(StoreError::Poisoned { .. })), "it does not guess");
    store.open_space(&named("other")).await.unwrap();
    let failed = store.check().await.unwrap();
    assert!(matches!(failed.get(&main_space()), Some(StoreError::Poisoned { .. })), "{failed:?}");
    assert!(!failed.contains_key(&named("other")), "another space goes on");
    assert_eq!(count(&store).await, 1, "reads go on");
}

#[tokio::test]
async fn a_writer_that_would_no_longer_wait_for_the_disk_stops() {
    let dir = tempdir().unwrap();
    let store = open(dir.path()).await;
    let file = store.file(&main_space()).await.unwrap();
    let refuse = |context: AuthContext<'_>| match context.action {
        AuthAction::Pragma { pragma_name: "synchronous", pragma_value: Some("FULL" | "'FULL'") } => Authorization::Deny,
        _ => Authorization::Allow,
    };
    let prepare = move |conn: &Connection| conn.authorizer(Some(refuse));
    let prepared = file.write(move |writer| writer.transaction("preparing", |conn, _| Ok(prepare(conn)))).await;
    prepared.unwrap().unwrap();

    let noted = store.note_cursors(&main_space(), vec![(NodeId::new("n1").unwrap(), Lsn(0), Millis(1))]).await;

    assert!(matches!(noted, Err(StoreError::Poisoned { .. })), "{noted:?}");
    let refused = write(&store, 10).await;
    assert!(matches!(refused, Err(StoreError::Poisoned { .. })), "a commit would not be durable: {refused:?}");
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

/// Reads texts apart, as dialects do that tell documents in another form.
struct Apart;

impl Encoder for Apart {
    fn begin(&mut self, _head: &Head, _out: &mut Vec<u8>) {}
    fn row(&mut self, row: &Row<'_>, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(Body::trusted(row.body).fields().to_body().text().as_bytes());
        true
    }
    fn takes_apart(&self) -> bool {
        true
    }
    fn end(&mut self, _scanned: &Scanned, _out: &mut Vec<u8>) {}
}

#[tokio::test]
async fn a_damaged_text_is_an_error_that_names_its_document_and_stops_no_other_one() {
    let dir = tempdir().unwrap();
    let store = open(dir.path()).await;
    write(&store, 10).await.unwrap();
    write(&store, 10).await.unwrap();
    for text in ["{broken", "[1]", "7"] {
        let other = Connection::open(dir.path().join("spaces/main.db")).unwrap();
        other.execute("UPDATE log SET body = ?1 WHERE lsn = 1", [text]).unwrap();

        let key = |id: &str| (CollectionName::new("a").unwrap(), DocId::new(id).unwrap());
        let said = store.documents(&main_space(), vec![key("d1")]).await.unwrap_err().to_string();
        assert!(said.contains("`d1` in `a`"), "{said}");
        let touch = Touch { docs: [key("d1")].into(), ..Touch::default() };
        let said = store.commit(&main_space(), touch, Box::new(|_| WriteSet::default())).await.unwrap_err().to_string();
        assert!(said.contains("`d1` in `a`"), "{said}");
        let (out, _chunks) = mpsc::channel(8);
        let said = store.scan(&main_space(), snapshot(), Box::new(Apart), out).await.unwrap_err().to_string();
        assert!(said.contains("`d1` in `a`") && said.contains("syncline restore"), "{said}");

        assert_eq!(store.documents(&main_space(), vec![key("d2")]).await.unwrap().len(), 1);
        write(&store, 10).await.unwrap();
    }
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

#[test]
fn copying_the_log_of_a_lost_file_makes_no_file() {
    let dir = tempdir().unwrap();
    let lost = dir.path().join("lost.db");

    assert!(super::checkpoint::copy(&lost).is_err());

    assert!(!lost.exists());
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_write_ahead_log_starts_over_while_writing_goes_on() {
    let dir = tempdir().unwrap();
    let store = open(dir.path()).await;

    // 200 MiB go through a log that is copied from 32 MiB on.
    let mut largest = 0;
    for _ in 0..200 {
        write(&store, 1 << 20).await.unwrap();
        largest = largest.max(fs::metadata(dir.path().join("spaces/main.db-wal")).unwrap().len());
    }

    assert!(largest < 160 << 20, "the log grew to {} MiB", largest >> 20);
    assert_eq!(count(&store).await, 200);
}

#[test]
fn names_that_differ_only_in_case_have_files_that_differ_in_more() {
    let file = |name: &str| super::home::file_name(&SpaceName::new(name).unwrap());
    assert_eq!(file("acme"), "acme.db");
    assert_ne!(file("Acme").to_lowercase(), file("acme"));
    assert_ne!(file("Acme").to_lowercase(), file("ACME").to_lowercase());
}

fn named(name: &str) -> SpaceName {
    SpaceName::new(name).unwrap()
}

#[tokio::test]
async fn only_so_many_spaces_are_open_and_none_is_closed_in_use() {
    let dir = tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), Options { open_spaces: 2, ..Options::default() }).unwrap();
    for n in 0..10 {
        store.open_space(&named(&format!("s{n}"))).await.unwrap();
    }
    assert_eq!(store.spaces.vitals().len(), 2);
    assert_eq!(store.head(&named("s0")).await.unwrap().lsn, Lsn(0), "opened again on demand");

    let looked_at = store.spaces.vitals();
    assert_eq!(store.head(&named("s4")).await.unwrap().lsn, Lsn(0), "who looks after a space does not use it");
    drop(looked_at);

    let in_use = (store.file(&named("s0")).await.unwrap(), store.file(&named("s4")).await.unwrap());
    let refused = store.head(&named("s5")).await.unwrap_err();
    assert!(matches!(refused, StoreError::TooManyOpen { most: 2 }), "{refused}");
    drop(in_use);
    assert_eq!(store.head(&named("s5")).await.unwrap().lsn, Lsn(0));
}

#[tokio::test]
async fn an_idle_space_is_closed_and_what_it_holds_is_there_when_it_is_used_again() {
    let dir = tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), Options { space_idle: Duration::ZERO, ..Options::default() }).unwrap();
    store.open_space(&main_space()).await.unwrap();
    let before = write(&store, 10).await.unwrap();

    store.close_idle().await;

    assert!(store.spaces.vitals().is_empty());
    assert_eq!(store.head(&main_space()).await.unwrap(), before);
    assert_eq!(write(&store, 10).await.unwrap().lsn, Lsn(2));
    assert_eq!(count(&store).await, 2);
}

#[tokio::test]
async fn a_space_is_not_idle_before_its_time_or_while_it_is_read() {
    let dir = tempdir().unwrap();
    let store = open(dir.path()).await;
    store.close_idle().await;
    assert_eq!(store.spaces.vitals().len(), 1, "its time is not over");

    let store = {
        store.close().await.unwrap();
        SqliteStore::open(dir.path(), Options { space_idle: Duration::ZERO, ..Options::default() }).unwrap()
    };
    write(&store, 600_000).await.unwrap();
    write(&store, 600_000).await.unwrap();
    let (out, mut chunks) = mpsc::channel(1);
    let space = main_space();
    let scan = store.scan(&space, snapshot(), Box::new(Texts), out);
    let read = async {
        let mut bytes = chunks.recv().await.unwrap().len();
        store.close_idle().await;
        assert_eq!(store.spaces.vitals().len(), 1, "a reader is at it");
        while let Some(chunk) = chunks.recv().await {
            bytes += chunk.len();
        }
        bytes
    };
    let (scanned, bytes) = tokio::join!(scan, read);
    assert!(scanned.unwrap().rows == 2 && bytes > 1_200_000);
}

#[tokio::test]
async fn a_space_whose_file_got_lost_is_not_begun_anew() {
    let dir = tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), Options { space_idle: Duration::ZERO, ..Options::default() }).unwrap();
    store.open_space(&main_space()).await.unwrap();
    let before = write(&store, 10).await.unwrap();
    store.close_idle().await;
    let (file, away) = (dir.path().join("spaces/main.db"), dir.path().join("away"));
    fs::rename(&file, &away).unwrap();

    for asked in [store.head(&main_space()).await, store.open_space(&main_space()).await, write(&store, 10).await] {
        let refused = asked.unwrap_err().to_string();
        assert!(refused.contains("main.db") && refused.contains("backup"), "{refused}");
    }
    assert!(!file.exists());
    let failed = store.check().await.unwrap();
    assert!(matches!(failed.get(&main_space()), Some(StoreError::Missing { .. })), "{failed:?}");

    fs::rename(&away, &file).unwrap();
    assert!(store.check().await.unwrap().is_empty());
    assert_eq!(store.head(&main_space()).await.unwrap(), before);
}

#[tokio::test]
async fn data_that_was_taken_away_takes_no_writes_until_it_is_back() {
    let home = tempdir().unwrap();
    let (dir, away) = (home.path().join("hub"), home.path().join("away"));
    let store = open(&dir).await;
    write(&store, 10).await.unwrap();
    store.check().await.unwrap();

    fs::rename(&dir, &away).unwrap();
    assert!(matches!(store.check().await, Err(StoreError::Gone { .. })));
    assert!(matches!(write(&store, 10).await, Err(StoreError::Gone { .. })), "nobody would find it again");
    fs::create_dir_all(dir.join("spaces")).unwrap();
    assert!(matches!(store.check().await, Err(StoreError::Gone { .. })), "an empty directory is another one");

    fs::remove_dir_all(&dir).unwrap();
    fs::rename(&away, &dir).unwrap();
    store.check().await.unwrap();
    assert_eq!(write(&store, 10).await.unwrap().lsn, Lsn(2));
}
