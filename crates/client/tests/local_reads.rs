//! Reads and live queries beside writers, other connections and time.
#![allow(clippy::unwrap_used)] // the helpers of tests are tests too

use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use syncline::filter::Filter;
use syncline::query::Query;
use syncline::{Database, DatabaseOptions};
use syncline_core::model::Millis;

fn query(json: Value) -> Query {
    Query::from_json(&json).unwrap()
}

fn ids(documents: &[Value]) -> Vec<&str> {
    documents.iter().map(|document| document["_id"].as_str().unwrap()).collect()
}

/// The next answer of a live query; blocks this thread until there is one.
fn next(answers: &mut (impl futures_util::Stream<Item = syncline::Result<Vec<Value>>> + Unpin)) -> Vec<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(answers.next()).unwrap().unwrap()
}

#[test]
fn reads_of_a_file_do_not_wait_for_a_transaction_and_see_nothing_of_it_before_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let db = Database::open(folder.path().join("app.db")).unwrap();
    let notes = db.collection("notes").unwrap();
    notes.insert(json!({"_id": "a"})).unwrap();
    let writers = db.clone();

    std::thread::scope(|threads| {
        let (has_written, written) = mpsc::channel();
        let (may_commit, go_on) = mpsc::channel::<()>();
        let writer = threads.spawn(move || {
            writers.transaction(|tx| {
                tx.collection("notes")?.insert(json!({"_id": "b"}))?;
                has_written.send(()).unwrap();
                go_on.recv().unwrap();
                tx.collection("notes")?.count(&Filter::all())
            })
        });
        written.recv().unwrap();

        assert_eq!(ids(&notes.find(&query(json!({}))).unwrap()), ["a"]);
        assert_eq!(notes.get("b").unwrap(), None);
        assert_eq!(notes.count(&Filter::all()).unwrap(), 1);

        may_commit.send(()).unwrap();
        assert_eq!(writer.join().unwrap().unwrap(), 2, "the transaction reads its own writes");
        assert_eq!(ids(&notes.find(&query(json!({}))).unwrap()), ["a", "b"]);
    });
}

#[test]
fn a_read_of_a_file_sees_every_write_before_it_and_every_change_of_the_indexes() {
    let folder = tempfile::tempdir().unwrap();
    let db = Database::open(folder.path().join("app.db")).unwrap();
    let notes = db.collection("notes").unwrap();
    let of_ada = query(json!({"filter": {"owner": "ada"}}));
    assert_eq!(notes.find(&of_ada).unwrap().len(), 0, "no collection yet");

    for n in 0..20 {
        match n % 4 {
            0 => drop(notes.create_index(None, "owner", false).unwrap()),
            2 => drop(notes.drop_index("owner").unwrap()),
            _ => {}
        }
        notes.insert(json!({"_id": format!("{n:02}"), "owner": "ada"})).unwrap();
        assert_eq!(notes.find(&of_ada).unwrap().len(), n + 1);
        assert_eq!(notes.indexes().unwrap().len(), usize::from(n % 4 < 2));
    }
}

#[test]
fn a_watch_notices_that_a_document_has_expired_without_any_commit() {
    let clock = Arc::new(AtomicU64::new(1_000_000));
    let time = clock.clone();
    let options = DatabaseOptions::memory().time(move || Millis(time.load(Ordering::SeqCst)));
    let db = Database::open_with(options).unwrap();
    let sessions = db.collection("sessions").unwrap();
    sessions.insert(json!({"_id": "stays", "n": 1})).unwrap();
    sessions.insert(json!({"_id": "goes", "n": 2, "expireAt": 1_000_020})).unwrap();
    let mut two = sessions.watch(query(json!({"sort": {"n": -1}, "limit": 2}))).unwrap();
    let mut other = sessions.watch(query(json!({"filter": {"n": 1}}))).unwrap();
    assert_eq!(ids(&next(&mut two)), ["goes", "stays"]);
    assert_eq!(ids(&next(&mut other)), ["stays"]);

    clock.store(1_000_020, Ordering::SeqCst);

    assert_eq!(ids(&next(&mut two)), ["stays"]);
    assert!(other.next().now_or_never().is_none(), "an answer that did not change is not told");
}

#[test]
fn a_document_that_comes_later_is_noticed_to_expire_too() {
    let clock = Arc::new(AtomicU64::new(1_000_000));
    let time = clock.clone();
    let options = DatabaseOptions::memory().time(move || Millis(time.load(Ordering::SeqCst)));
    let db = Database::open_with(options).unwrap();
    let sessions = db.collection("sessions").unwrap();
    let mut all = sessions.watch(Query::new(Filter::all())).unwrap();
    assert!(next(&mut all).is_empty());
    sessions.insert(json!({"_id": "goes", "expireAt": 1_000_020})).unwrap();
    assert_eq!(ids(&next(&mut all)), ["goes"]);

    clock.store(1_000_020, Ordering::SeqCst);

    assert!(next(&mut all).is_empty());
}

#[test]
fn a_watch_that_cannot_read_says_so_and_ends() {
    // Given a live query that has answered once.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let db = Database::open(&path).unwrap();
    let notes = db.collection("notes").unwrap();
    notes.insert(json!({"_id": "a"})).unwrap();
    let mut all = notes.watch(Query::new(Filter::all())).unwrap();
    assert_eq!(ids(&next(&mut all)), ["a"]);

    // When something else damages the file, and a commit wakes the query.
    rusqlite::Connection::open(&path).unwrap().execute("UPDATE docs SET body = '{broken'", []).unwrap();
    notes.insert(json!({"_id": "b"})).unwrap();

    // Then the reader hears of it.
    let error = all.next().now_or_never().unwrap().unwrap().unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert!(all.next().now_or_never().unwrap().is_none());
}

#[test]
fn a_typed_collection_offers_what_the_untyped_one_does() {
    #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
    struct Note {
        text: String,
    }
    let note = |text: &str| Note { text: text.to_owned() };
    let db = Database::open_in_memory().unwrap();
    let notes = db.typed::<Note>("notes").unwrap();
    let mut all = notes.watch(Query::new(Filter::all())).unwrap();
    let mut now = || all.next().now_or_never().map(|answer| answer.unwrap());
    assert_eq!(now().unwrap().unwrap(), []);

    let ids = notes.insert_many(&[note("a"), note("b")]).unwrap();
    assert_eq!(now().unwrap().unwrap().len(), 2);
    assert_eq!(notes.update(&ids[0], &json!({"text": "c"})).unwrap(), note("c"));
    assert!(matches!(notes.update(&ids[0], &json!({"text": null})), Err(syncline::Error::Shape { .. })));
    assert_eq!(notes.get(&ids[0]).unwrap(), Some(note("c")), "what no longer fits is not stored");
    let with_c = Filter::parse(&json!({"text": "c"})).unwrap();
    assert_eq!(notes.count(&with_c).unwrap(), 1);
    assert_eq!(notes.update_many(&with_c, &json!({"text": "d"})).unwrap(), 1);
    let misfit = notes.update_many(&Filter::all(), &json!({"text": 1}));
    assert!(matches!(misfit, Err(syncline::Error::Shape { .. })), "{misfit:?}");
    assert_eq!(notes.count(&Filter::parse(&json!({"text": 1})).unwrap()).unwrap(), 0, "all or none");
    assert_eq!(notes.remove_many(&with_c).unwrap(), 0);
    assert_eq!(now().unwrap().unwrap().len(), 2);

    // A document of another shape is an error of that answer, not the end of the stream.
    notes.untyped().insert(json!({"_id": "odd", "text": 1})).unwrap();
    assert!(matches!(now(), Some(Err(syncline::Error::Shape { .. }))));
    assert_eq!(notes.clear().unwrap(), 3);
    assert_eq!(now().unwrap().unwrap(), []);
}
