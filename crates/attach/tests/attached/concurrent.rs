//! Applications that are in the middle of something, on a server, while packets are composed and stored.

use crate::app::Engine;
use crate::centre::{Centre, step, sync, uuid};
use serde_json::json;
use syncline_attach::{AttachError, Options};

const NOTES: &str = "CREATE TABLE notes(id int PRIMARY KEY, a text, b text);";
const NOTE: &str = "[types.Note]\ntable = \"notes\"\nshare_key = true\n";

/// What stands at the hub, in the order of their numbers.
fn told(centre: &Centre, field: &str) -> Vec<String> {
    let mut notes: Vec<_> = centre.all("Note").into_values().collect();
    notes.sort_by_key(|note| note["id"].as_i64());
    notes.iter().map(|note| note[field].as_str().unwrap_or("-").to_owned()).collect()
}

#[test]
fn a_change_whose_transaction_commits_late_is_sent_then_and_not_passed_over() {
    let (centre, a) = (Centre::default(), Engine::Postgres.app(NOTES, NOTE));
    a.run("INSERT INTO notes VALUES (1, 'one'), (2, 'two'), (3, 'three')");
    let mut attached = a.attach().unwrap();
    sync(&mut attached, &centre);
    let mut late = a.session();
    late.run("BEGIN; UPDATE notes SET a = 'late' WHERE id = 1");
    // Later numbers of the log are committed, sent and confirmed meanwhile.
    a.run("UPDATE notes SET a = 'second' WHERE id = 2");
    sync(&mut attached, &centre);
    assert_eq!(told(&centre, "a"), ["one", "second", "three"]);
    a.run("UPDATE notes SET a = 'third' WHERE id = 3");
    let sent = attached.compose().unwrap();
    late.run("COMMIT");
    // The packet that was composed before the commit is confirmed after it.
    attached.take(&sent, centre.answer(&sent.text).as_bytes()).unwrap();
    assert_eq!(told(&centre, "a"), ["one", "second", "third"]);
    sync(&mut attached, &centre);
    assert_eq!(told(&centre, "a"), ["late", "second", "third"]);
    assert!(attached.status().unwrap().waiting.is_empty());
}

#[test]
fn a_row_that_the_application_holds_waits_alone_and_its_edit_is_not_overwritten() {
    let (centre, a) = (Centre::default(), Engine::Postgres.app(NOTES, NOTE));
    a.run("INSERT INTO notes SELECT n, 'old', 'old' FROM generate_series(1, 4) AS n");
    let mut attached = a.attach().unwrap();
    sync(&mut attached, &centre);
    let mut busy = a.session();
    busy.run("BEGIN; UPDATE notes SET a = 'ours' WHERE id IN (2, 3)");
    for (id, note) in centre.all("Note") {
        let n = note["id"].as_i64().unwrap();
        centre.set("Note", &id, json!({"b": format!("theirs {n}"), "a": format!("theirs {n}")}));
    }
    let (_, taken) = step(&mut attached, &centre);
    assert_eq!((taken.stored, taken.aside), (2, 2));
    let aside = attached.status().unwrap().aside;
    assert_eq!(aside[0].code, "busy", "{aside:?}");
    busy.run("COMMIT");
    sync(&mut attached, &centre);
    let rows = ["theirs 1|theirs 1", "ours|theirs 2", "ours|theirs 3", "theirs 4|theirs 4"];
    assert_eq!(a.rows("SELECT a, b FROM notes ORDER BY id"), rows);
    assert_eq!(told(&centre, "a"), ["theirs 1", "ours", "ours", "theirs 4"]);
    assert!(attached.status().unwrap().aside.is_empty());
}

#[test]
fn a_removal_by_the_hub_does_not_take_an_edit_that_it_has_not_seen() {
    let (centre, a) = (Centre::default(), Engine::Postgres.app(NOTES, NOTE));
    a.run("INSERT INTO notes VALUES (1, 'a', 'b')");
    let mut attached = a.attach().unwrap();
    sync(&mut attached, &centre);
    let (id, _) = centre.only("Note");
    let mut busy = a.session();
    busy.run("BEGIN; UPDATE notes SET a = 'edited'");
    centre.remove("Note", &id);
    let (_, taken) = step(&mut attached, &centre);
    assert_eq!((taken.removed, taken.aside), (0, 1));
    busy.run("COMMIT");
    sync(&mut attached, &centre);
    assert_eq!(a.rows("SELECT a FROM notes"), ["edited"]);
    assert_eq!(centre.object("Note", &id).unwrap()["a"], "edited", "the hub decides about the whole object");
}

#[test]
fn a_row_that_appears_under_a_unique_value_meanwhile_sets_one_object_aside() {
    let schema = "CREATE TABLE parts(id serial PRIMARY KEY, code text UNIQUE, name text);";
    let (centre, a) = (Centre::default(), Engine::Postgres.app(schema, "[types.Part]\ntable = \"parts\"\n"));
    let mut attached = a.attach().unwrap();
    sync(&mut attached, &centre);
    let mut busy = a.session();
    busy.run("BEGIN; INSERT INTO parts(code, name) VALUES ('x', 'ours')");
    centre.set("Part", &uuid(1), json!({"code": "x", "name": "theirs"}));
    centre.set("Part", &uuid(2), json!({"code": "y", "name": "theirs"}));
    let (_, taken) = step(&mut attached, &centre);
    assert_eq!((taken.stored, taken.aside), (1, 1));
    busy.run("ROLLBACK");
    sync(&mut attached, &centre);
    assert_eq!(a.rows("SELECT code, name FROM parts ORDER BY code"), ["x|theirs", "y|theirs"]);
}

#[test]
fn triggers_wait_for_transactions_of_the_application_and_say_so() {
    let a = Engine::Postgres.app(NOTES, NOTE);
    let mut busy = a.session();
    busy.run("BEGIN; INSERT INTO notes VALUES (1)");
    let quickly = Options { busy_timeout_ms: 50, ..Options::default() };
    let refused = a.attach_with(quickly).err().unwrap();
    assert!(matches!(refused, AttachError::Locked { waited_ms: 50 } | AttachError::Busy(_)), "{refused}");
    assert!(a.traces().is_empty(), "nothing is half done: {:?}", a.traces());
    busy.run("COMMIT");
    let centre = Centre::default();
    a.sync(&centre);
    assert_eq!(centre.all("Note").len(), 1);
}
