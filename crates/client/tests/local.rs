//! The database as an app uses it, without any hub.
#![allow(clippy::unwrap_used)] // the helpers of tests are tests too

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use syncline::filter::Filter;
use syncline::query::Query;
use syncline::{Database, DatabaseOptions, Error};
use syncline_core::model::Millis;

fn all() -> Query {
    Query::new(Filter::all())
}

fn filter(json: Value) -> Filter {
    Filter::parse(&json).unwrap()
}

/// A database in memory whose clock the test moves.
fn with_clock() -> (Database, Arc<AtomicU64>) {
    let clock = Arc::new(AtomicU64::new(1_000_000));
    let time = clock.clone();
    let db = Database::open_with(DatabaseOptions::memory().time(move || Millis(time.load(Ordering::SeqCst)))).unwrap();
    (db, clock)
}

#[test]
fn documents_survive_closing_and_opening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let stored = {
        let db = Database::open(&path).unwrap();
        let users = db.collection("users").unwrap();
        users.insert(json!({"_id": "a", "n": 1})).unwrap();
        users.update("a", &json!({"n": 2, "tags": ["x"]})).unwrap()
    };

    let db = Database::open(&path).unwrap();

    assert_eq!(db.collection("users").unwrap().get("a").unwrap(), Some(stored));
}

#[test]
fn an_inserted_document_gets_an_id_and_times() {
    let db = Database::open_in_memory().unwrap();
    let stored = db.collection("users").unwrap().insert(json!({"name": "Ada"})).unwrap();

    assert_eq!(stored["_id"].as_str().unwrap().len(), 36);
    assert_eq!(stored["createdAt"], stored["updatedAt"]);
    assert!(stored["createdAt"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn a_second_opener_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let first = Database::open(&path).unwrap();

    let second = Database::open(&path);

    assert!(matches!(&second, Err(Error::InUse(at)) if *at == path));
    assert!(second.err().unwrap().to_string().contains("close it there first"));
    drop(first);
    Database::open(&path).unwrap();
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    drop(Database::open(&path).unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();

    assert!(matches!(Database::open(&path), Err(Error::NewerSchema { found: 99, .. })));
}

#[test]
fn a_file_of_another_program_is_refused_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("theirs.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs(x)").unwrap();
    let before = std::fs::read(&path).unwrap();

    assert!(matches!(Database::open(&path), Err(Error::NotOurs(at)) if at == path));
    let text = path.with_extension("txt");
    std::fs::write(&text, "a letter, longer than the head of any database file that SQLite knows: ".repeat(9)).unwrap();
    assert!(matches!(Database::open(&text), Err(Error::NoDatabase(at)) if at == text));
    assert!(std::fs::read_to_string(&text).unwrap().starts_with("a letter"), "and it stays as it is");

    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn every_committed_write_is_in_a_copy_of_the_files_taken_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let db = Database::open(&path).unwrap();
    let log = db.collection("log").unwrap();
    for n in 0..40_u64 {
        log.insert_many((0..=n % 3).map(|part| json!({"_id": format!("{n}.{part}"), "n": n}))).unwrap();
        if n % 7 == 0 {
            log.remove(&format!("{n}.0")).unwrap();
        }
        let copy = folder.path().join(format!("crash{n}"));
        copy_database(&path, &copy);

        let after_crash = Database::open(copy.join("app.db")).unwrap();

        let found = after_crash.collection("log").unwrap().find(&all()).unwrap();
        assert_eq!(found, log.find(&all()).unwrap(), "after write {n}");
    }
}

/// What a crash leaves: the database and its write-ahead log, without the shared memory.
fn copy_database(path: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for name in ["app.db", "app.db-wal"] {
        let from = path.with_file_name(name);
        if from.exists() {
            std::fs::copy(&from, to.join(name)).unwrap();
        }
    }
}

#[test]
fn a_transaction_is_all_or_nothing() {
    let db = Database::open_in_memory().unwrap();
    let accounts = db.collection("accounts").unwrap();
    accounts.insert_many([json!({"_id": "a", "sum": 10}), json!({"_id": "b", "sum": 0})]).unwrap();

    let failed = db.transaction(|tx| {
        tx.collection("accounts")?.update("a", &json!({"sum": 0}))?;
        tx.collection("history")?.insert(json!({"moved": 10}))?;
        tx.collection("accounts")?.update("nobody", &json!({"sum": 10}))
    });

    assert!(matches!(failed, Err(Error::NotFound { .. })));
    assert_eq!(accounts.get("a").unwrap().unwrap()["sum"], 10);
    assert_eq!(db.collection("history").unwrap().count(&Filter::all()).unwrap(), 0);
    db.transaction(|tx| {
        tx.collection("accounts")?.update("a", &json!({"sum": 0}))?;
        tx.collection("accounts")?.update("b", &json!({"sum": 10}))?;
        assert_eq!(tx.collection("accounts")?.get("b")?.unwrap()["sum"], 10, "it reads its own writes");
        Ok(())
    })
    .unwrap();
    assert_eq!(accounts.get("b").unwrap().unwrap()["sum"], 10);
}

#[test]
fn a_panic_inside_a_transaction_leaves_the_database_usable() {
    let db = Database::open_in_memory().unwrap();
    let users = db.collection("users").unwrap();

    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        db.transaction::<()>(|tx| {
            tx.collection("users")?.insert(json!({"_id": "a"}))?;
            panic!("the app's own mistake")
        })
    }));

    assert!(panicked.is_err());
    assert_eq!(users.get("a").unwrap(), None);
    users.insert(json!({"_id": "a"})).unwrap();
}

#[test]
fn the_database_inside_of_its_own_transaction_is_an_error_and_no_deadlock() {
    let db = Database::open_in_memory().unwrap();
    let users = db.collection("users").unwrap();
    let result = db.transaction(|_| users.insert(json!({})));
    assert!(matches!(result, Err(Error::InsideTransaction)));
}

#[test]
fn mistakes_are_named_with_the_next_step() {
    let db = Database::open_in_memory().unwrap();
    let users = db.collection("users").unwrap();
    users.insert(json!({"_id": "a"})).unwrap();
    let message = |result: syncline::Result<Value>| result.unwrap_err().to_string();

    assert!(message(users.insert(json!({"_id": "a"}))).contains("`upsert`"));
    assert!(message(users.update("b", &json!({}))).contains("`b` does not exist in `users`"));
    assert!(message(users.update("a", &json!({"_id": "c"}))).contains("keeps its `_id`"));
    assert!(message(users.insert(json!([1]))).contains("an array"));
    assert!(message(users.insert(json!({"_id": "x".repeat(513)}))).contains("1 to 512 bytes"));
    assert!(message(users.insert(json!({"_id": 1}))).contains("must be a string"));
    assert!(matches!(db.collection("no/slash").err().unwrap(), Error::Malformed(_)));
}

#[test]
fn replace_upsert_remove_and_clear() {
    let db = Database::open_in_memory().unwrap();
    let users = db.collection("users").unwrap();
    let first = users.upsert(json!({"_id": "a", "x": 1, "createdAt": "2020-01-01T00:00:00.000Z"})).unwrap();

    let second = users.upsert(json!({"_id": "a", "y": 2})).unwrap();

    assert_eq!(second["createdAt"], first["createdAt"], "a replacement keeps the time of creation");
    assert_eq!((second.get("x"), &second["y"]), (None, &json!(2)));
    assert!(users.remove("a").unwrap());
    assert!(!users.remove("a").unwrap());
    users.insert_many((0..5).map(|n| json!({"n": n}))).unwrap();
    assert_eq!(users.update_many(&filter(json!({"n": {"$gte": 3}})), &json!({"big": true})).unwrap(), 2);
    assert_eq!(users.remove_many(&filter(json!({"big": true}))).unwrap(), 2);
    assert_eq!(users.clear().unwrap(), 3);
    assert_eq!(users.count(&Filter::all()).unwrap(), 0);
}

#[test]
fn a_unique_index_names_index_value_and_holder() {
    let db = Database::open_in_memory().unwrap();
    let users = db.collection("users").unwrap();
    users.insert(json!({"_id": "a", "email": "x@y.z"})).unwrap();
    users.create_index(None, "email", true).unwrap();

    let error = users.insert(json!({"_id": "b", "email": "x@y.z"})).unwrap_err().to_string();

    for part in ["`email`", "x@y.z", "`a`", "`users`"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    users.update("a", &json!({"email": null})).unwrap();
    users.insert(json!({"_id": "b", "email": "x@y.z"})).unwrap();
    let error = users.update("a", &json!({"email": "x@y.z"})).unwrap_err();
    assert!(matches!(error, Error::NotUnique { .. }));
    users.insert(json!({"_id": "c", "other": 1})).unwrap();
    users.insert(json!({"_id": "d", "other": 1})).unwrap();
    assert!(matches!(users.create_index(None, "other", true), Err(Error::NotUnique { .. })));
    assert_eq!(users.indexes().unwrap().len(), 1, "a refused index leaves nothing behind");
}

#[test]
fn queries_answer_the_same_with_and_without_an_index() {
    let db = Database::open_in_memory().unwrap();
    let users = db.collection("users").unwrap();
    users.insert_many((0..200).map(|n| json!({"_id": format!("{n:03}"), "age": n % 50}))).unwrap();
    let query = Query::from_json(&json!({"filter": {"age": {"$gte": 10, "$lt": 13}}, "sort": {"_id": 1}})).unwrap();
    let before = users.find(&query).unwrap();

    users.create_index(Some("by-age"), "age", false).unwrap();
    users.remove("010").unwrap();
    users.update("011", &json!({"age": 99})).unwrap();

    let after = users.find(&query).unwrap();
    assert_eq!(before.len(), 12);
    let ids = |found: &[Value]| found.iter().map(|d| d["_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let left: Vec<String> = ids(&before).into_iter().filter(|id| id != "010" && id != "011").collect();
    assert_eq!(ids(&after), left);
    assert!(users.drop_index("by-age").unwrap());
    assert_eq!(users.find(&query).unwrap(), after);
}

#[test]
fn a_filter_that_names_an_id_still_asks_for_the_rest() {
    let db = Database::open_in_memory().unwrap();
    let users = db.collection("users").unwrap();
    users.insert_many([json!({"_id": "a", "n": 1}), json!({"_id": "b", "n": 1})]).unwrap();
    assert_eq!(users.count(&filter(json!({"_id": "a", "n": 1}))).unwrap(), 1);
    assert_eq!(users.count(&filter(json!({"_id": "a", "n": 2}))).unwrap(), 0);
    assert_eq!(users.count(&filter(json!({"_id": "c"}))).unwrap(), 0);
}

#[test]
fn expired_documents_are_hidden_at_once_and_swept_later() {
    let (db, clock) = with_clock();
    let sessions = db.collection("sessions").unwrap();
    sessions.create_index(None, "user", true).unwrap();
    sessions.insert(json!({"_id": "short", "user": 1, "ttl": 100})).unwrap();
    sessions.insert(json!({"_id": "fixed", "user": 2, "expireAt": 1_000_050})).unwrap();
    sessions.insert(json!({"_id": "lasting", "user": 3})).unwrap();

    clock.store(1_000_060, Ordering::SeqCst);
    assert_eq!(sessions.get("fixed").unwrap(), None);
    assert_eq!(sessions.count(&Filter::all()).unwrap(), 2);
    assert_eq!(sessions.count(&filter(json!({"user": 2}))).unwrap(), 0);

    clock.store(1_000_100, Ordering::SeqCst);
    sessions.insert(json!({"_id": "short", "user": 1})).expect("an expired id and its unique values are free");
    assert_eq!(db.sweep().unwrap(), 1);
    assert_eq!(sessions.count(&Filter::all()).unwrap(), 2);
}

#[test]
fn a_watch_gives_the_answer_now_and_after_each_commit_that_changes_it() {
    use futures_util::{FutureExt, StreamExt};
    let db = Database::open_in_memory().unwrap();
    let users = db.collection("users").unwrap();
    users.insert(json!({"_id": "a", "age": 20})).unwrap();
    let mut adults = users.watch(Query::from_json(&json!({"filter": {"age": {"$gte": 18}}})).unwrap()).unwrap();
    let mut now = || adults.next().now_or_never().map(|answer| answer.unwrap().unwrap().len());

    assert_eq!(now(), Some(1), "the answer now");
    users.insert(json!({"_id": "b", "age": 3})).unwrap();
    assert_eq!(now(), None, "no document of the answer changed");
    users.update("b", &json!({"age": 18})).unwrap();
    assert_eq!(now(), Some(2));
    users.insert(json!({"_id": "c", "age": 40})).unwrap();
    users.insert(json!({"_id": "d", "age": 50})).unwrap();
    assert_eq!(now(), Some(4), "a slow reader finds the newest answer only");
    assert_eq!(now(), None);
    drop(db.transaction::<()>(|tx| {
        tx.collection("users")?.remove("a")?;
        Err(Error::InsideTransaction)
    }));
    assert_eq!(now(), None, "what is rolled back is not told");
    users.remove("a").unwrap();
    assert_eq!(now(), Some(3));
    drop(users);
    drop(db);
    assert!(adults.next().now_or_never().unwrap().is_none(), "it ends with the database");
}

#[test]
fn a_commit_hook_hears_which_collections_were_written() {
    let db = Database::open_in_memory().unwrap();
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let writer = heard.clone();
    let hook =
        db.on_commit(move |written: &BTreeSet<_>| writer.lock().unwrap().extend(written.iter().map(|n| n.to_string())));
    db.transaction(|tx| {
        tx.collection("b")?.insert(json!({}))?;
        tx.collection("a")?.insert(json!({}))
    })
    .unwrap();
    drop(hook);
    db.collection("c").unwrap().insert(json!({})).unwrap();
    assert_eq!(*heard.lock().unwrap(), ["a", "b"]);
}

#[test]
fn typed_documents_come_back_as_their_type() {
    #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
    struct User {
        name: String,
    }
    let db = Database::open_in_memory().unwrap();
    let users = db.typed::<User>("users").unwrap();
    let id = users.insert(&User { name: "Ada".into() }).unwrap();
    assert_eq!(users.get(&id).unwrap(), Some(User { name: "Ada".into() }));
    users.untyped().insert(json!({"_id": "odd", "name": 1})).unwrap();
    assert!(matches!(users.get("odd"), Err(Error::Shape { .. })));
}
