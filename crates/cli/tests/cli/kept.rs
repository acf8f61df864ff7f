//! The ledger and the quarantine of a hub from the shell: the same through a running hub and in its data directory.

use super::shell::{Hub, Shell};
use serde_json::json;

/// The command, for the running hub.
fn with<'a>(admin: &[&'a str], args: &[&'a str]) -> Vec<&'a str> {
    [args, admin].concat()
}

/// Two devices with the same note, edited on both; `b.db` was second.
fn contested(shell: &Shell, hub: &Hub) {
    both_name_the_milk(shell, hub);
    sync_notes(shell, hub, "a.db");
    sync_notes(shell, hub, "b.db");
}

#[test]
fn a_losing_edit_is_seen_field_by_field_and_comes_back_once() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    contested(&shell, &hub);
    let admin = ["--hub", &hub.url, "--token", hub.admin()];

    let shown = shell.ok(&with(&admin, &["conflicts", "show", "1"]));
    assert!(shown.contains("FIELD") && shown.contains("\"Oat milk\"") && shown.contains("\"Soy milk\""), "{shown}");
    assert!(shown.contains("syncline conflicts restore 1"), "{shown}");
    let fields = shell.json(&with(&admin, &["conflicts", "show", "1"]))["fields"].clone();
    assert_eq!(fields[0], json!({ "field": "title", "lost": "Oat milk", "won": "Soy milk", "now": "Soy milk" }));

    let restored = shell.ok(&with(&admin, &["conflicts", "restore", "1"]));
    assert!(restored.contains("conflict 1 is applied, as change"), "{restored}");
    let again = shell.ok(&with(&admin, &["conflicts", "restore", "1"]));
    assert!(again.contains("was already applied"), "{again}");
    shell.ok(&["db", "sync", "b.db", "--hub", &hub.url, "--token", hub.admin(), "--collections", "notes"]);
    assert_eq!(shell.json(&["db", "get", "b.db", "notes", "n1"])["title"], "Oat milk");
    assert!(shell.ok(&with(&admin, &["conflicts"])).contains("restored as change"));

    let unknown = shell.fails(1, &with(&admin, &["conflicts", "show", "9"]));
    assert!(unknown.contains("conflict 9") && unknown.contains("404"), "{unknown}");
    hub.stop("-TERM");
    assert_eq!(shell.json(&["conflicts", "restore", "1"])["repeated"], true, "in the data directory the same");
    assert!(shell.fails(1, &["conflicts", "restore", "9"]).contains("retention.ledger"));
}

#[test]
fn an_op_in_quarantine_is_shown_mended_dropped_and_exported() {
    let shell = Shell::new();
    let secret = "correct-horse-battery-staple";
    let hub = Hub::start_with(&shell, &[("SYNCLINE_ADMIN_TOKEN", secret)], &["--set", "limits.document_bytes=300"]);
    let long = |id: &str| format!(r#"{{"_id":"{id}","text":"{}"}}"#, "x".repeat(400));
    shell.ok(&["db", "insert", "a.db", "goods", &long("one"), &long("two"), &long("three"), &long("four")]);
    shell.json(&["db", "sync", "a.db", "--hub", &hub.url, "--token", secret, "--collections", "goods"]);
    let admin = ["--hub", &hub.url, "--token", secret];

    assert!(shell.ok(&with(&admin, &["quarantine", "show", "1"])).contains("limits.document_bytes"));
    let still = shell.fails(1, &with(&admin, &["quarantine", "retry", "1"]));
    assert!(still.contains("op 1 stays in quarantine") && still.contains("422"), "{still}");
    let mended = r#"{"op":"insert","id":"one","doc":{"_id":"one","n":1.50}}"#;
    let done = shell.json(&with(&admin, &["quarantine", "retry", "1", "--op", mended]));
    assert_eq!((&done["result"], &done["repeated"]), (&json!("applied"), &json!(false)));
    let other = r#"{"op":"insert","id":"one","doc":{"_id":"one","n":2}}"#;
    let again = shell.ok(&with(&admin, &["quarantine", "retry", "1", "--op", other]));
    assert!(again.contains("was already applied") && again.contains("was not applied"), "{again}");
    let gone = shell.fails(1, &with(&admin, &["quarantine", "show", "1"]));
    assert!(gone.contains("it was retried, as change"), "{gone}");
    assert!(shell.ok(&with(&admin, &["quarantine", "discard", "2"])).contains("op 2 is discarded"));
    assert!(shell.fails(1, &with(&admin, &["quarantine", "show", "2"])).contains("it was discarded"));
    assert!(shell.fails(1, &with(&admin, &["quarantine", "show", "77"])).contains("there never was one"));
    let discarded = shell.fails(1, &with(&admin, &["quarantine", "retry", "2"]));
    assert!(discarded.contains("was discarded"), "{discarded}");
    assert!(shell.fails(2, &with(&admin, &["quarantine", "retry", "3", "--op", "[1]"])).contains("it is a list"));
    let exported = shell.ok(&with(&admin, &["quarantine", "export"]));
    let rows: Vec<serde_json::Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.iter().map(|row| row["n"].as_u64().unwrap()).collect::<Vec<_>>(), [4, 3]);
    assert_eq!(shell.json(&with(&admin, &["status"]))[0]["quarantined"], 2);
    hub.stop("-TERM");

    assert_eq!(shell.json(&["quarantine", "retry", "3"])["result"], "applied", "the limit was raised");
    assert_eq!(shell.json(&["quarantine", "discard", "4"])["result"], "discarded");
    assert_eq!(shell.json(&["status"])[0]["quarantined"], 0);
}

#[test]
fn a_device_lists_its_edits_that_lost_and_makes_one_again() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    let sync = |file: &str| sync_notes(&shell, &hub, file);
    both_name_the_milk(&shell, &hub);
    sync("b.db");
    sync("a.db");

    assert!(shell.ok(&["db", "status", "a.db"]).contains("1 edit lost"));
    let lost = shell.json(&["db", "conflicts", "a.db", "--collection", "notes"]);
    assert_eq!((&lost[0]["id"], &lost[0]["operation"]["set"]["title"]), (&json!("n1"), &json!("Oat milk")));
    let number = lost[0]["number"].to_string();
    assert!(shell.ok(&["db", "conflicts", "a.db"]).contains("Oat milk"));
    shell.ok(&["db", "conflicts", "a.db", "--restore", &number]);
    let twice = shell.fails(1, &["db", "conflicts", "a.db", "--restore", &number]);
    assert!(twice.contains("restored or discarded"), "{twice}");
    sync("a.db");
    sync("b.db");
    assert_eq!(shell.json(&["db", "get", "b.db", "notes", "n1"])["title"], "Oat milk");
    assert!(shell.fails(1, &["db", "conflicts", "a.db", "--discard", "77"]).contains("number 77"));
}

#[test]
fn a_device_hears_once_of_an_edit_that_was_accepted_and_beaten_later() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    let sync = |file: &str| sync_notes(&shell, &hub, file);
    both_name_the_milk(&shell, &hub);
    assert_eq!(sync("a.db")["conflicts"], 0, "accepted");
    sync("b.db");

    assert_eq!(sync("a.db")["conflicts"], 1, "the event was raised");
    assert_eq!(sync("a.db")["conflicts"], 0, "once");
    let lost = shell.json(&["db", "conflicts", "a.db"]);
    assert_eq!((lost.as_array().unwrap().len(), &lost[0]["operation"]["set"]["title"]), (1, &json!("Oat milk")));
    let number = lost[0]["number"].to_string();
    shell.ok(&["db", "conflicts", "a.db", "--restore", &number]);
    sync("a.db");
    sync("b.db");
    assert_eq!(shell.json(&["db", "get", "b.db", "notes", "n1"])["title"], "Oat milk");
    assert_eq!(shell.json(&["db", "conflicts", "a.db"]), json!([]), "nothing is told again");
}

#[test]
fn a_database_that_has_never_synced_says_that_its_documents_go_with_the_first_sync() {
    let shell = Shell::new();
    shell.ok(&["db", "insert", "a.db", "notes", r#"{"_id":"n1"}"#, r#"{"_id":"n2"}"#]);
    assert!(shell.ok(&["db", "unsynced", "a.db"]).contains("not synced yet: `notes`"));
    assert!(shell.ok(&["db", "status", "a.db"]).contains("2, with its first sync"));
    assert_eq!(shell.json(&["db", "status", "a.db"])["pending"], 2);
}

#[test]
fn a_device_lists_changes_and_gives_up_what_waits() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    let link = ["--hub", &hub.url, "--token", hub.admin(), "--collections", "notes"];
    shell.json(&[&["db", "sync", "a.db"], &link[..]].concat());
    shell.ok(&["db", "insert", "a.db", "notes", r#"{"_id":"n1","title":"Mlik"}"#, r#"{"_id":"n2"}"#]);

    let waiting = shell.json(&["db", "unsynced", "a.db"]);
    let number = |n: usize| waiting[n]["number"].to_string();
    assert_eq!((waiting.as_array().unwrap().len(), &waiting[0]["offered"]), (2, &json!(false)));
    shell.ok(&["db", "unsynced", "a.db", "--edit", &number(0), r#"{"_id":"n1","title":"Milk"}"#]);
    let given_up = shell.json(&["db", "unsynced", "a.db", "--discard", &number(1)]);
    assert_eq!(given_up["discarded"][0]["id"], "n2");

    let exported = shell.ok(&["db", "unsynced", "a.db", "--export"]);
    let line: serde_json::Value = serde_json::from_str(exported.trim()).unwrap();
    assert_eq!(line["operation"]["doc"]["title"], "Milk");
    assert!(shell.fails(1, &["db", "unsynced", "a.db", "--discard", &number(1)]).contains("receipted or discarded"));
    assert!(shell.fails(2, &["db", "unsynced", "a.db", "--edit", &number(0), "7"]).contains("it is a number"));
    assert!(shell.fails(2, &["db", "unsynced", "a.db", "--edit", &number(0)]).contains("JSON"));
    shell.json(&[&["db", "sync", "a.db"], &link[..]].concat());
    assert_eq!(shell.json(&["db", "unsynced", "a.db"]), json!([]));
    shell.json(&[&["db", "sync", "b.db"], &link[..]].concat());
    assert_eq!(shell.json(&["db", "get", "b.db", "notes", "n1"])["title"], "Milk");
}

fn sync_notes(shell: &Shell, hub: &Hub, file: &str) -> serde_json::Value {
    shell.json(&["db", "sync", file, "--hub", &hub.url, "--token", hub.admin(), "--collections", "notes"])
}

/// Two devices have the same document, and edit its title without having seen each other's edit.
fn both_name_the_milk(shell: &Shell, hub: &Hub) {
    shell.ok(&["db", "insert", "a.db", "notes", r#"{"_id":"n1","title":"Milk","done":false}"#]);
    sync_notes(shell, hub, "a.db");
    sync_notes(shell, hub, "b.db");
    shell.ok(&["db", "update", "a.db", "notes", "n1", r#"{"title":"Oat milk"}"#]);
    shell.ok(&["db", "update", "b.db", "notes", "n1", r#"{"title":"Soy milk"}"#]);
}
