//! Backups from the shell: what is refused, and in which words. That nothing gets lost is shown under faults.

use super::shell::{Hub, Shell};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use syncline_server::store::Arriving;

/// A hub that was stopped, with one document in its default space, and a backup of it.
fn backed_up() -> Shell {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    shell.ok(&["db", "insert", "a.db", "notes", r#"{"_id":"n1"}"#]);
    shell.json(&["db", "sync", "a.db", "--hub", &hub.url, "--token", hub.admin(), "--collections", "notes"]);
    shell.ok(&["backup", "saved"]);
    hub.stop("-TERM");
    shell
}

fn manifest(shell: &Shell) -> Value {
    serde_json::from_slice(&fs::read(shell.path("saved/manifest.json")).unwrap()).unwrap()
}

fn refused(shell: &Shell) -> String {
    let said = shell.fails(1, &["restore", "saved", "--data", "new"]);
    assert!(!shell.path("new").exists(), "nothing bears the name: {said}");
    said
}

#[test]
fn a_backup_says_what_it_holds_and_comes_back_with_its_tokens_under_a_new_epoch() {
    let shell = backed_up();
    let manifest = manifest(&shell);
    let before = shell.json(&["status"]);
    assert_eq!((&manifest["spaces"][0]["epoch"], &manifest["spaces"][0]["lsn"]), (&before[0]["epoch"], &1.into()));
    assert_eq!(manifest["spaces"][0]["bytes"], fs::metadata(shell.path("saved/spaces/main.db")).unwrap().len());
    assert!(!shell.path("saved.part").exists());

    let said = shell.ok(&["restore", "saved", "--data", "new"]);
    assert!(said.contains("syncline serve --data new") && said.contains("main"), "{said}");
    let after = shell.json(&["status", "--data", "new"]);
    assert_ne!(after[0]["epoch"], before[0]["epoch"]);
    assert_eq!((&after[0]["head"], &after[0]["horizon"]), (&before[0]["head"], &before[0]["horizon"]));
    let names = |data: &str| shell.json(&["token", "list", "--data", data]);
    assert_eq!(names("new"), names("syncline-data"));
}

#[test]
fn neither_a_backup_nor_a_restoration_overwrites_anything() {
    let shell = backed_up();
    let before = fs::read(shell.path("saved/manifest.json")).unwrap();
    let said = shell.fails(1, &["backup", "saved"]);
    assert!(said.contains("nothing is overwritten"), "{said}");
    assert_eq!(fs::read(shell.path("saved/manifest.json")).unwrap(), before);
    let said = shell.fails(1, &["restore", "saved"]);
    assert!(said.contains("syncline-data") && said.contains("nothing is overwritten"), "{said}");

    fs::create_dir(shell.path("mine.part")).unwrap();
    shell.write("mine.part/thesis", "of a person");
    let said = shell.fails(1, &["backup", "mine"]);
    assert!(said.contains("`.part`"), "{said}");
    assert!(shell.path("mine.part/thesis").exists());

    fs::create_dir(shell.path("empty")).unwrap();
    shell.ok(&["backup", "empty/"]);
    assert!(shell.fails(1, &["backup", "other", "--data", "nowhere"]).contains("no hub data in nowhere"));
    let elsewhere = [("SYNCLINE_HUB", "http://127.0.0.1:1")];
    let ran = shell.run_with(&elsewhere, &["backup", "of-files", "--data", "syncline-data"]);
    assert_eq!(ran.code, 0, "a flag comes before a variable: {}", ran.stderr);
}

#[test]
fn a_cut_or_changed_backup_is_refused_by_the_file() {
    let shell = backed_up();
    let (space, good) = (shell.path("saved/spaces/main.db"), fs::read(shell.path("saved/spaces/main.db")).unwrap());
    fs::write(&space, &good[..good.len() - 1]).unwrap();
    let said = refused(&shell);
    assert!(said.contains("main.db") && said.contains("cut"), "{said}");

    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    fs::write(&space, bad).unwrap();
    let said = refused(&shell);
    assert!(said.contains("main.db") && said.contains("SHA-256"), "{said}");

    fs::remove_file(&space).unwrap();
    assert!(refused(&shell).contains("main.db"));

    fs::write(&space, good).unwrap();
    let text = fs::read_to_string(shell.path("saved/manifest.json")).unwrap();
    shell.write("saved/manifest.json", &text.replace("\"lsn\": 1", "\"lsn\": 2"));
    assert!(refused(&shell).contains("stands elsewhere"));
    shell.write("saved/manifest.json", &text[..text.len() / 2]);
    assert!(refused(&shell).contains("cut or changed"));
    fs::remove_file(shell.path("saved/manifest.json")).unwrap();
    assert!(refused(&shell).contains("interrupted"));

    shell.write("saved/manifest.json", &text);
    shell.ok(&["restore", "saved", "--data", "new"]);
}

#[test]
fn a_backup_of_a_newer_program_is_refused() {
    let shell = backed_up();
    let good = manifest(&shell);
    for (key, value) in [("format", 99.into()), ("schemas", serde_json::json!({ "hub": 1, "space": 99 }))] {
        let mut newer = good.clone();
        newer[key] = value;
        shell.write("saved/manifest.json", &newer.to_string());
        let said = refused(&shell);
        assert!(said.contains("schema 99") && said.contains("use a newer syncline"), "{said}");
    }
}

#[test]
fn an_interrupted_backup_has_no_manifest_and_the_next_one_clears_it_away() {
    let shell = backed_up();
    // What a kill at the last moment leaves: everything but the manifest and the name.
    fs::create_dir_all(shell.path("later.part/spaces")).unwrap();
    shell.write("later.part/lock", "");
    fs::copy(shell.path("saved/hub.db"), shell.path("later.part/hub.db")).unwrap();
    shell.write("later.part/spaces/gone.db", "half a file");

    let said = shell.fails(1, &["restore", "later.part", "--data", "new"]);
    assert!(said.contains("interrupted"), "{said}");
    shell.ok(&["backup", "later"]);
    assert!(!shell.path("later.part").exists() && !shell.path("later/spaces/gone.db").exists());
    shell.ok(&["restore", "later", "--data", "new"]);
}

#[test]
fn a_running_hub_hands_out_a_backup_that_comes_back_as_one_of_its_directory_does() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    shell.ok(&["token", "add", "shop", "--space", "shop", "--hub", &hub.url, "--token", hub.admin()]);
    shell.ok(&["db", "insert", "a.db", "notes", r#"{"_id":"n1"}"#]);
    shell.json(&["db", "sync", "a.db", "--hub", &hub.url, "--token", hub.admin(), "--collections", "notes"]);
    let taken = shell.json(&["backup", "saved", "--hub", &hub.url, "--token", hub.admin()]);
    assert_eq!(taken["spaces"].as_array().unwrap().len(), 2, "{taken}");
    assert_eq!(manifest(&shell), taken);
    assert!(!shell.path("saved.part").exists() && !shell.path("syncline-data/outgoing").exists());
    let again = shell.fails(1, &["backup", "saved", "--hub", &hub.url, "--token", hub.admin()]);
    assert!(again.contains("nothing is overwritten"), "{again}");
    let stranger = shell.fails(1, &["backup", "other", "--hub", &hub.url, "--token", "a-wrong-token"]);
    assert!(stranger.contains("401") && !shell.path("other").exists(), "{stranger}");
    hub.stop("-TERM");

    shell.ok(&["restore", "saved", "--data", "new"]);
    let restored = shell.json(&["status", "--data", "new", "--space", "main"]);
    assert_eq!(restored[0]["head"], 1);
}

/// What the hub streams, without HTTP around it.
fn stream_of(hub: &Hub) -> Vec<u8> {
    let mut line = TcpStream::connect(hub.url.strip_prefix("http://").unwrap()).unwrap();
    // HTTP/1.0 knows no chunks.
    write!(line, "GET /admin/backup HTTP/1.0\r\nauthorization: Bearer {}\r\n\r\n", hub.admin()).unwrap();
    let mut answer = Vec::new();
    line.read_to_end(&mut answer).unwrap();
    let body = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    answer.split_off(body)
}

#[test]
fn a_backup_that_is_cut_or_changed_on_its_way_is_none() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    shell.ok(&["db", "insert", "a.db", "notes", r#"{"_id":"n1"}"#]);
    shell.json(&["db", "sync", "a.db", "--hub", &hub.url, "--token", hub.admin(), "--collections", "notes"]);
    let whole = stream_of(&hub);
    let last = whole.len() - 1;
    let middle = whole.windows(16).position(|bytes| bytes == b"SQLite format 3\0").unwrap() + 4_096;
    let mut changed = whole.clone();
    changed[middle] ^= 1;
    let took = |bytes: &[u8]| {
        let target = shell.path("saved");
        let mut arriving = Arriving::begin(&target).unwrap();
        let taken = arriving.take(bytes, &mut |_| {}).and_then(|()| arriving.finish());
        assert_eq!(target.exists(), taken.is_ok());
        taken.map(drop).map_err(|error| error.to_string())
    };
    for cut in [0, 10, middle, last] {
        assert!(took(&whole[..cut]).unwrap_err().contains("too early"), "cut at {cut}");
    }
    assert!(took(&changed).unwrap_err().contains("not what the hub's manifest says"));
    took(&whole).unwrap();
}

#[test]
fn after_a_restoration_devices_hear_of_edits_that_lose_from_then_on() {
    let shell = Shell::new();
    let token = "correct-horse-battery-staple";
    let start = |data| Hub::start_with(&shell, &[("SYNCLINE_ADMIN_TOKEN", token)], &["--data", data]);
    let hub = start("before");
    let sync = |hub: &Hub, file: &str| {
        shell.json(&["db", "sync", file, "--hub", &hub.url, "--token", token, "--collections", "notes"])
    };
    shell.ok(&["db", "insert", "a.db", "notes", r#"{"_id":"n1"}"#, r#"{"_id":"n2"}"#]);
    sync(&hub, "a.db");
    sync(&hub, "b.db");
    shell.ok(&["backup", "saved", "--data", "before"]);
    // The second edit was made later and without knowing the first one, which had been accepted.
    let lose = |hub: &Hub, id: &str| {
        shell.ok(&["db", "update", "a.db", "notes", id, r#"{"v":"a"}"#]);
        shell.ok(&["db", "update", "b.db", "notes", id, r#"{"v":"b"}"#]);
        sync(hub, "a.db");
        sync(hub, "b.db");
        sync(hub, "a.db")["conflicts"].clone()
    };
    assert_eq!(lose(&hub, "n1"), 1);
    hub.stop("-TERM");

    shell.ok(&["restore", "saved", "--data", "after"]);
    let hub = start("after");
    for file in ["a.db", "b.db", "a.db", "b.db"] {
        sync(&hub, file);
    }
    let known = shell.json(&["db", "conflicts", "a.db"]).as_array().unwrap().len();
    lose(&hub, "n2");
    let heard = shell.json(&["db", "conflicts", "a.db"]);
    let heard: Vec<_> = heard.as_array().unwrap()[known..].iter().map(|edit| edit["id"].clone()).collect();
    assert_eq!(heard, ["n2"]);
}
