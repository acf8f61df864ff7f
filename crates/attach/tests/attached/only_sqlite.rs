//! What only SQLite does: files, locks of a whole database, rows that a REPLACE takes away.

use crate::app::Engine;
use crate::centre::{Centre, sync, uuid};
use serde_json::json;
use std::path::Path;
use syncline_attach::{AttachError, Attachment, Mapping, Options};

const NOTES: &str = "CREATE TABLE notes(id INTEGER PRIMARY KEY, t TEXT);";
const NOTE: &str = "[types.Note]\ntable = \"notes\"\n";

fn quickly() -> Options {
    Options { busy_timeout_ms: 20, ..Options::default() }
}

#[test]
fn a_database_that_its_application_locks_is_waited_for_and_then_left_alone() {
    let (centre, a) = (Centre::default(), Engine::Sqlite.app(NOTES, NOTE));
    let mut attached = a.attach_with(quickly()).unwrap();
    sync(&mut attached, &centre);
    a.run("INSERT INTO notes(t) VALUES ('x')");
    let sent = attached.compose().unwrap();
    let answer = centre.answer(&sent.text);
    a.run("BEGIN IMMEDIATE; UPDATE notes SET t = 'y'");
    let locked = attached.take(&sent, answer.as_bytes()).unwrap_err();
    assert!(matches!(locked, AttachError::Locked { waited_ms: 20 }), "{locked}");
    assert!(matches!(attached.compose(), Err(AttachError::Locked { .. })));
    a.run("COMMIT");
    attached.take(&sent, answer.as_bytes()).unwrap();
    sync(&mut attached, &centre);
    assert_eq!(centre.only("Note").1, json!({"t": "y"}));
}

#[test]
fn files_that_are_no_database_or_may_not_be_written_are_named() {
    let a = Engine::Sqlite.app(NOTES, NOTE);
    let open = |path: &Path| {
        let mut attached = Attachment::open(path, Mapping::parse(NOTE).unwrap(), quickly())?;
        attached.prepare()
    };
    let nowhere = Path::new(&a.place()).with_file_name("nowhere.db");
    assert!(matches!(open(&nowhere), Err(AttachError::NoDatabase(_))) && !nowhere.exists());
    let text = Path::new(&a.place()).with_file_name("text.db");
    std::fs::write(&text, "no database, and long enough to be one: ".repeat(100)).unwrap();
    let refused = open(&text).unwrap_err().to_string();
    assert!(refused.contains("not a database"), "{refused}");
    // A newer program's tables are not touched.
    a.attach().unwrap();
    a.run("UPDATE sync_attached SET format = 9");
    assert!(matches!(open(Path::new(&a.place())), Err(AttachError::Format { found: 9, .. })));
}

#[test]
fn rows_that_a_replace_takes_away_without_a_word_are_removed_everywhere() {
    let schema = "CREATE TABLE parts(id INTEGER PRIMARY KEY, code TEXT UNIQUE, name TEXT);";
    let (centre, a) = (Centre::default(), Engine::Sqlite.app(schema, "[types.Part]\ntable = \"parts\"\n"));
    a.run("INSERT INTO parts VALUES (1, 'a', 'old'), (2, 'b', 'stays')");
    a.sync(&centre);
    a.run("INSERT OR REPLACE INTO parts(id, code, name) VALUES (9, 'a', 'new')");
    a.run("UPDATE OR REPLACE parts SET code = 'b' WHERE id = 9");
    a.sync(&centre);
    let (_, part) = centre.only("Part");
    assert_eq!(part, json!({"code": "b", "name": "new"}));
}

#[test]
fn triggers_that_undo_whole_transactions_hold_up_one_object_and_not_the_packet() {
    let schema = "CREATE TABLE notes(id INTEGER PRIMARY KEY, t TEXT);
                  CREATE TRIGGER strict BEFORE INSERT ON notes WHEN NEW.t LIKE 'bad%' BEGIN SELECT RAISE(ROLLBACK, 'never'); END;
                  CREATE TRIGGER keep BEFORE DELETE ON notes WHEN OLD.t = 'kept' BEGIN SELECT RAISE(ROLLBACK, 'kept'); END;";
    let (centre, a) = (Centre::default(), Engine::Sqlite.app(schema, "[types.Note]\ntable = \"notes\"\n"));
    a.sync(&centre);
    for (n, text) in ["first", "bad 1", "kept", "bad 2", "last"].iter().enumerate() {
        centre.set("Note", &uuid(n), json!({"t": text}));
    }
    a.sync(&centre);
    assert_eq!(a.rows("SELECT t FROM notes ORDER BY id"), ["first", "kept", "last"]);
    centre.remove("Note", &uuid(2));
    centre.set("Note", &uuid(1), json!({"t": "good 1"}));
    a.sync(&centre);
    assert_eq!(a.rows("SELECT t FROM notes ORDER BY t"), ["first", "good 1", "kept", "last"]);
    let status = a.status();
    let reasons: Vec<&str> = status.aside.iter().map(|aside| aside.reason.as_str()).collect();
    assert_eq!(reasons.iter().filter(|reason| **reason == "never").count(), 1, "{reasons:?}");
    assert_eq!(reasons.len(), 2, "{reasons:?}");
}
