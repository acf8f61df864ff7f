//! A database file that is damaged anywhere: it opens, or is refused in words; nothing panics, and a file of another kind
//! stays as it is.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use syncline::filter::Filter;
use syncline::query::Query;
use syncline::{Database, Error};

/// Each case writes and opens files.
const CASES_AT_ONCE: u32 = 4;

/// A small database as its file: everything in it, and nothing beside it.
fn file() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(make)
}

fn make() -> Vec<u8> {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("d.db");
    let database = Database::open(&path).unwrap();
    let notes = database.collection("notes").unwrap();
    for n in 0..20 {
        drop(notes.insert(json!({"_id": format!("d{n}"), "n": n, "text": "x".repeat(300)})).unwrap());
    }
    drop((notes, database));
    fs::read(path).unwrap()
}

/// Opens it and uses it as an app does.
fn use_it(path: &Path) -> syncline::Result<usize> {
    let database = Database::open(path)?;
    let notes = database.collection("notes")?;
    drop(notes.insert(json!({"after": true}))?);
    notes.count(&Filter::default())
}

fn cases() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases / CASES_AT_ONCE, ..usual }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_damaged_database_file_is_refused_in_words_or_works(
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..6),
        in_head in any::<bool>(),
        cut in prop::option::of(any::<Index>()),
    ) {
        let mut bytes = file().to_vec();
        let reach = if in_head { 100 } else { bytes.len() };
        changes.iter().for_each(|(at, byte)| bytes[at.index(reach)] = *byte);
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("d.db");
        fs::write(&path, &bytes).unwrap();

        match use_it(&path) {
            Ok(_) => {}
            Err(error) => {
                prop_assert!(!error.to_string().is_empty());
                if matches!(error, syncline::Error::NoDatabase(_) | syncline::Error::NotOurs(_)) {
                    prop_assert_eq!(fs::read(&path).unwrap(), bytes, "it stays as it is");
                }
            }
        }
    }
}

/// A database of two documents; the text of `d1` is another one in the file.
fn with_text(home: &Path, text: &str, indexed: bool) -> Database {
    let path = home.join("d.db");
    let database = Database::open(&path).unwrap();
    let notes = database.collection("notes").unwrap();
    for id in ["d1", "d2"] {
        notes.insert(json!({"_id": id, "v": id})).unwrap();
    }
    if indexed {
        notes.create_index(None, "v", true).unwrap();
    }
    drop((notes, database));
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute("UPDATE docs SET body = ?1 WHERE id = 'd1'", [text]).unwrap();
    drop(file);
    Database::open(path).unwrap()
}

#[test]
fn a_damaged_text_is_an_error_that_names_database_document_and_the_way_on() {
    for (text, indexed) in [("{broken", false), ("{broken", true), ("[1]", false), ("7", false), ("", true)] {
        let home = tempfile::tempdir().unwrap();
        let database = with_text(home.path(), text, indexed);
        let notes = database.collection("notes").unwrap();
        let named = |error: Error| {
            let said = error.to_string();
            assert!(said.contains("document `d1` in `notes`") && said.contains("d.db"), "{said}");
            assert!(said.contains("syncline verify") && said.contains("--repair"), "{said}");
        };
        named(notes.update("d1", &json!({"v": 2})).unwrap_err());
        if text.starts_with('{') {
            named(notes.get("d1").unwrap_err());
            named(notes.find(&Query::default()).unwrap_err());
            if !indexed {
                named(notes.count(&Filter::parse(&json!({"v": 1})).unwrap()).unwrap_err());
            }
        }

        assert_eq!(notes.update("d2", &json!({"v": 3})).unwrap()["v"], 3, "another one is as it was");
        notes.replace("d1", json!({"v": "new"})).unwrap();
        assert_eq!(notes.get("d1").unwrap().unwrap()["v"], "new", "a whole document takes its place");
    }
}

#[test]
fn a_document_with_a_damaged_text_can_be_removed() {
    for indexed in [false, true] {
        let home = tempfile::tempdir().unwrap();
        let notes = with_text(home.path(), "{broken", indexed).collection("notes").unwrap();
        assert!(notes.remove("d1").unwrap());
        notes.insert(json!({"_id": "d3", "v": "d1"})).unwrap();
    }
}
