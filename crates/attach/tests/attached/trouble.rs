//! Locks, strangers, refusals, crashes, and the way back.

use crate::centre::{App, Centre, step, sync, uuid};
use rusqlite::Connection;
use serde_json::json;
use syncline_attach::attachment::remove;
use syncline_attach::{AttachError, Attachment, Mapping, Options};

const NOTES: &str = "CREATE TABLE notes(id INTEGER PRIMARY KEY, t TEXT);";
const NOTE: &str = "[types.Note]\ntable = \"notes\"\n";

fn quickly() -> Options {
    Options { busy_timeout_ms: 20, ..Options::default() }
}

#[test]
fn a_database_that_its_application_locks_is_waited_for_and_then_left_alone() {
    let (centre, a) = (Centre::default(), App::new(NOTES, NOTE));
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
fn an_answer_that_another_process_has_taken_in_already_is_not_taken_twice() {
    let (centre, a) = (Centre::default(), App::new(NOTES, NOTE));
    let (mut first, mut second) = (a.attach().unwrap(), a.attach().unwrap());
    sync(&mut first, &centre);
    a.run("INSERT INTO notes(t) VALUES ('x')");
    let sent = first.compose().unwrap();
    let answer = centre.answer(&sent.text);
    let same = second.compose().unwrap();
    assert_eq!(same, sent);
    second.take(&same, answer.as_bytes()).unwrap();
    assert!(matches!(first.take(&sent, answer.as_bytes()), Err(AttachError::Overtaken)));
    sync(&mut first, &centre);
    assert_eq!(centre.all("Note").len(), 1);
}

#[test]
fn an_answer_that_is_none_changes_nothing() {
    let (centre, a) = (Centre::default(), App::new(NOTES, NOTE));
    let mut attached = a.attach().unwrap();
    sync(&mut attached, &centre);
    a.run("INSERT INTO notes(t) VALUES ('x')");
    let sent = attached.compose().unwrap();
    let answer = centre.answer(&sent.text);
    let acknowledged = format!("\"ack_packet_no\":{}", sent.number);
    assert!(answer.contains(&acknowledged), "{answer}");
    for (wrong, said) in [
        ("<html>".to_owned(), "JSON"),
        (answer.replace("00000000-0000-4000-8000-000000000000", "99999999-0000-4000-8000-000000000000"), "hub_id"),
        (answer.replace(&acknowledged, "\"ack_packet_no\":0"), "another one"),
        (answer.replace("1.0.0", "2.0.0"), "first numbers"),
    ] {
        let refused = attached.take(&sent, wrong.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
        assert_eq!(attached.status().unwrap().waiting["Note"], 1);
    }
    attached.take(&sent, answer.as_bytes()).unwrap();
    assert!(attached.status().unwrap().waiting.is_empty());
}

#[test]
fn an_object_that_the_hub_does_not_take_is_told_and_goes_again_when_it_is_edited() {
    let (centre, a) = (Centre::default(), App::new(NOTES, NOTE));
    a.sync(&centre);
    centre.reject("Note");
    a.run("INSERT INTO notes(t) VALUES ('x')");
    let taken = a.sync(&centre);
    assert_eq!((taken.confirmed, taken.aside), (0, 1));
    let status = a.attach().unwrap().status().unwrap();
    assert_eq!((status.aside[0].direction.as_str(), status.aside[0].reason.as_str()), ("out", "not here"));
    a.run("UPDATE notes SET t = 'y'");
    let (sent, _) = step(&mut a.attach().unwrap(), &centre);
    assert!(sent.text.contains(r#""operation":"INSERT","data":{"t":"y"}"#), "{}", sent.text);
}

#[test]
fn an_edit_that_lost_is_told_with_both_sides() {
    let (centre, a) = (Centre::default(), App::new(NOTES, NOTE));
    a.run("INSERT INTO notes(t) VALUES ('x')");
    let mut attached = a.attach().unwrap();
    sync(&mut attached, &centre);
    let (id, _) = centre.only("Note");
    a.run("UPDATE notes SET t = 'ours'");
    let sent = attached.compose().unwrap();
    centre.answer(&sent.text);
    centre.set("Note", &id, json!({"t": "theirs"}));
    let taken = attached.take(&sent, centre.answer(&sent.text).as_bytes()).unwrap();
    assert_eq!(taken.conflicts, 1);
    let told = &attached.status().unwrap().conflicts[0];
    assert_eq!((told.ours.as_deref(), told.theirs.as_deref()), (Some(r#"{"t":"ours"}"#), Some(r#"{"t":"theirs"}"#)));
    assert_eq!(a.rows("SELECT t FROM notes"), ["theirs"]);
}

#[test]
fn everything_is_taken_away_again() {
    let (centre, a) = (Centre::default(), App::new(NOTES, NOTE));
    let before = a.rows("SELECT name, sql FROM sqlite_schema ORDER BY name");
    a.run("INSERT INTO notes VALUES (5, 'x')");
    a.sync(&centre);
    assert!(a.traces().len() > 10);
    a.run("UPDATE notes SET t = 'unsent'");
    let refused = remove(&a.path(), 20, false).unwrap_err();
    assert!(matches!(refused, AttachError::Unsent(1)), "{refused}");
    remove(&a.path(), 20, true).unwrap();
    assert_eq!(a.rows("SELECT name, sql FROM sqlite_schema ORDER BY name"), before);
    assert_eq!(a.rows("SELECT * FROM notes"), ["5|unsent"]);
    a.run("UPDATE notes SET t = 'goes on'");
    assert!(matches!(remove(&a.path(), 20, false), Err(AttachError::NotAttached(_))));
}

#[test]
fn looking_writes_nothing() {
    let a = App::new(NOTES, NOTE);
    a.run("INSERT INTO notes VALUES (5, 'x')");
    let before = std::fs::read(a.path()).unwrap();
    let preview = Attachment::open(&a.path(), Mapping::parse(NOTE).unwrap(), quickly()).unwrap().preview().unwrap();
    assert!(!preview.attached);
    assert_eq!((preview.types[0].rows, &preview.types[0].fields), (1, &vec!["t".to_owned()]));
    let proposal = syncline_attach::propose(&a.path()).unwrap();
    assert_eq!(std::fs::read(a.path()).unwrap(), before);
    Attachment::open(&a.path(), Mapping::parse(&proposal).unwrap(), quickly()).unwrap();
}

#[test]
fn a_proposal_for_an_odd_schema_is_a_mapping_that_fits() {
    let schema = "
        CREATE TABLE customers(id CHAR(36) PRIMARY KEY, name TEXT, made DATETIME, updated_at DATETIME, is_deleted BOOLEAN);
        CREATE TABLE orders(id INTEGER PRIMARY KEY, uuid TEXT UNIQUE, number TEXT UNIQUE, customer_id CHAR(36) REFERENCES customers(id));
        CREATE TABLE order_lines(id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders(id) ON DELETE CASCADE, ttl INTEGER);
        CREATE TABLE 'odd \"name'(id INTEGER PRIMARY KEY, _id TEXT);
        CREATE TABLE log(line TEXT);
        CREATE VIEW recent AS SELECT * FROM orders;
        INSERT INTO customers VALUES ('22222222-2222-4222-8222-000000000001', 'n', '2025-12-12 10:00:00.000000', '2025-12-12 10:00:00', 0);";
    let a = App::new(schema, "");
    let proposal = syncline_attach::propose(&a.path()).unwrap();
    let attached = Attachment::open(&a.path(), Mapping::parse(&proposal).unwrap(), quickly());
    let preview = attached.unwrap_or_else(|error| panic!("{error}\n{proposal}")).preview().unwrap();
    let kinds: Vec<&str> = preview.types.iter().map(|of| of.kind.as_str()).collect();
    assert_eq!(kinds, ["Customer", "OddName", "Order"], "{proposal}");
    assert_eq!(preview.types[2].fields, ["number", "customer_id", "lines[]"]);
    assert!(proposal.contains("`log` has no primary key") && proposal.contains("# match = [\"number\"]"), "{proposal}");
    assert!(proposal.contains("made = \"datetime\", updated_at = \"datetime-seconds\""), "{proposal}");
}

#[test]
fn ids_that_do_not_belong_to_a_database_are_refused() {
    let a = App::new(NOTES, NOTE);
    let with = |node: &str| a.attach_with(Options { node: Some(node.into()), ..Options::default() }).map(drop);
    assert!(with("me").unwrap_err().to_string().contains("no UUID"));
    with(&uuid(1)).unwrap();
    with(&uuid(1)).unwrap();
    let other = with(&uuid(2)).unwrap_err().to_string();
    assert!(other.contains(&uuid(1)) && other.contains("attach remove"), "{other}");
    let moved = format!("hub_id = \"{}\"\n{NOTE}", uuid(3));
    let hub = Attachment::open(&a.path(), Mapping::parse(&moved).unwrap(), quickly()).unwrap().prepare().unwrap_err();
    assert!(hub.to_string().contains(&uuid(3)), "{hub}");
}

#[test]
fn files_that_are_no_database_or_may_not_be_written_are_named() {
    let a = App::new(NOTES, NOTE);
    let open = |path: &std::path::Path| {
        let mut attached = Attachment::open(path, Mapping::parse(NOTE).unwrap(), quickly())?;
        attached.prepare()
    };
    let nowhere = a.path().with_file_name("nowhere.db");
    assert!(matches!(open(&nowhere), Err(AttachError::NoDatabase(_))) && !nowhere.exists());
    let text = a.path().with_file_name("text.db");
    std::fs::write(&text, "no database, and long enough to be one: ".repeat(100)).unwrap();
    let refused = open(&text).unwrap_err().to_string();
    assert!(refused.contains("not a database"), "{refused}");
    // A newer program's tables are not touched.
    a.attach().unwrap();
    a.run("UPDATE sync_attached SET format = 9");
    assert!(matches!(open(&a.path()), Err(AttachError::Format { found: 9, .. })));
}

#[test]
fn a_process_that_dies_between_two_steps_loses_nothing_and_does_nothing_twice() {
    let (centre, a) = (Centre::default(), App::new(NOTES, NOTE));
    a.sync(&centre);
    for n in 0..20 {
        a.run(&format!("INSERT INTO notes(t) VALUES ('n{n}')"));
        let mut attached = a.attach().unwrap();
        let sent = attached.compose().unwrap();
        if n % 3 > 0 {
            let answer = centre.answer(&sent.text);
            if n % 3 == 2 {
                attached.take(&sent, answer.as_bytes()).unwrap();
            }
        }
    }
    a.sync(&centre);
    assert_eq!(centre.all("Note").len(), 20);
    let other = Connection::open(a.path()).unwrap();
    let left: i64 = other.query_row("SELECT count(*) FROM sync_changes", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}
