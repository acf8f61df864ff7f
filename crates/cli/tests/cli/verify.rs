//! `syncline verify` names what differs from the hub and loads it anew. The difference is one that only an operator can make:
//! a data directory that was copied back by hand, with its epoch, so that nobody notices that the history is another one.

use super::shell::{Hub, SYNCLINE, Shell};
use serde_json::{Value, json};
use std::process::{Command, Stdio};

const TOKEN: &str = "correct-horse-battery-staple";

fn start(shell: &Shell) -> Hub {
    Hub::start_with(shell, &[("SYNCLINE_ADMIN_TOKEN", TOKEN)], &[])
}

fn link<'a>(hub: &'a Hub, command: &[&'a str]) -> Vec<&'a str> {
    [command, &["--hub", &hub.url, "--token", TOKEN, "--collections", "notes"]].concat()
}

fn sync(shell: &Shell, hub: &Hub, file: &str) {
    for _ in 0..2 {
        shell.json(&link(hub, &["db", "sync", file]));
    }
}

fn copy(shell: &Shell, from: &str, to: &str) {
    let [from, to] = [from, to].map(|name| shell.path(name));
    let _absent = std::fs::remove_dir_all(&to);
    assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
}

/// A hub, and `a.db`, which knows changes that the hub has lost: n1 was edited, n3 made, and m1 was never heard of. An edit waits in it.
fn diverged(shell: &Shell) -> Hub {
    let hub = start(shell);
    shell.ok(&["db", "insert", "a.db", "notes", r#"{"_id":"n1","v":1}"#, r#"{"_id":"n2","v":1}"#]);
    sync(shell, &hub, "a.db");
    hub.stop("-TERM");
    copy(shell, "syncline-data", "old");
    let hub = start(shell);
    shell.ok(&["db", "update", "a.db", "notes", "n1", r#"{"v":2}"#]);
    shell.ok(&["db", "insert", "a.db", "notes", r#"{"_id":"n3"}"#]);
    sync(shell, &hub, "a.db");
    hub.stop("-TERM");
    copy(shell, "old", "syncline-data");
    let hub = start(shell);
    shell.ok(&["db", "insert", "b.db", "notes", r#"{"_id":"m1"}"#, r#"{"_id":"m2"}"#, r#"{"_id":"m3"}"#]);
    sync(shell, &hub, "b.db");
    shell.ok(&["db", "update", "a.db", "notes", "n2", r#"{"mine":true}"#]);
    hub
}

fn differences(answer: &str) -> Vec<(String, String)> {
    let answer: Value = serde_json::from_str(answer).unwrap();
    let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    let mut all: Vec<_> =
        answer["differences"].as_array().unwrap().iter().map(|one| (text(one, "id"), text(one, "kind"))).collect();
    all.sort();
    all
}

#[test]
fn what_differs_is_named_and_repaired_and_what_waits_is_kept() {
    let shell = Shell::new();
    let hub = diverged(&shell);
    let verify = link(&hub, &["verify", "a.db"]);
    let ran = shell.run(&[&["--json"], &verify[..]].concat());
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    let named = [("m1", "missing"), ("m2", "missing"), ("n1", "different"), ("n3", "extra")];
    assert_eq!(differences(&ran.stdout), named.map(|(id, kind)| (id.to_owned(), kind.to_owned())), "{}", ran.stdout);
    assert!(ran.stderr.contains("--repair"), "{}", ran.stderr);
    let text = shell.run(&verify);
    assert!(text.stdout.contains("not at the hub") && text.stdout.contains("missing here"), "{}", text.stdout);

    let repaired = shell.json(&link(&hub, &["verify", "a.db", "--repair"]));
    assert_eq!((&repaired["repaired"], &repaired["differences"]), (&json!(4), &json!([])), "{repaired}");
    assert_eq!(shell.json(&["db", "get", "a.db", "notes", "n1"])["v"], 1);
    assert!(shell.fails(1, &["db", "get", "a.db", "notes", "n3"]).contains("n3"));
    assert!(shell.ok(&verify).contains("are the hub's"));
    sync(&shell, &hub, "b.db");
    assert_eq!(shell.json(&["db", "get", "b.db", "notes", "n2"])["mine"], true, "the edit that waited has arrived");
}

#[test]
fn what_was_not_read_yet_is_no_difference() {
    let shell = Shell::new();
    let hub = start(&shell);
    shell.ok(&["db", "insert", "a.db", "notes", r#"{"_id":"n1"}"#, r#"{"_id":"n2"}"#, r#"{"_id":"n3"}"#]);
    let early = shell.fails(2, &link(&hub, &["verify", "a.db"]));
    assert!(early.contains("db sync"), "{early}");
    sync(&shell, &hub, "a.db");
    sync(&shell, &hub, "b.db");
    shell.ok(&["db", "remove", "b.db", "notes", "n1"]);
    shell.ok(&["db", "update", "b.db", "notes", "n2", r#"{"v":2}"#]);
    shell.ok(&["db", "insert", "b.db", "notes", r#"{"_id":"n4"}"#]);
    sync(&shell, &hub, "b.db");
    shell.ok(&["db", "update", "a.db", "notes", "n3", r#"{"mine":true}"#]);

    let compared = shell.json(&link(&hub, &["verify", "a.db"]));
    assert_eq!((&compared["differences"], &compared["documents"]), (&json!([]), &json!(1)), "{compared}");
    assert_eq!(compared["unread"], 3, "{compared}");
    let said = shell.ok(&link(&hub, &["verify", "a.db"]));
    assert!(said.contains("3 documents have changed at the hub") && said.contains("db sync a.db"), "{said}");
    assert!(said.contains("1 document is the hub's"), "{said}");
    assert!(shell.fails(1, &["verify", "none.db", "--hub", &hub.url, "--token", TOKEN]).contains("none.db"));
    let stranger = shell.fails(1, &["verify", "a.db", "--hub", &hub.url, "--token", "a-wrong-token"]);
    assert!(stranger.contains("401"), "{stranger}");
}

#[test]
fn two_repairs_at_once_leave_one_whole_database() {
    let shell = Shell::new();
    let hub = diverged(&shell);
    let repair = link(&hub, &["verify", "a.db", "--repair"]);
    let run = || shell.command(SYNCLINE).args(&repair).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let ended = [run(), run()].map(|child| child.wait_with_output().unwrap());
    assert!(ended.iter().any(|output| output.status.success()), "{ended:?}");
    for output in ended.iter().filter(|output| !output.status.success()) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("in use") || said.contains("is open"), "{said}");
    }
    assert!(shell.ok(&link(&hub, &["verify", "a.db"])).contains("are the hub's"));
}

#[test]
fn of_many_documents_only_those_beside_a_difference_are_sent() {
    let shell = Shell::new();
    let hub = start(&shell);
    let lines: Vec<String> = (0..4_000).map(|n| format!("{{\"_id\":\"n{n}\",\"v\":1}}")).collect();
    shell.write("many.ndjson", &lines.join("\n"));
    shell.ok(&["db", "import", "a.db", "notes", "many.ndjson"]);
    sync(&shell, &hub, "a.db");
    let compared = shell.json(&link(&hub, &["verify", "a.db"]));
    assert_eq!((&compared["documents"], &compared["sent"]), (&json!(4_000), &json!(0)), "{compared}");
    hub.stop("-TERM");
    copy(&shell, "syncline-data", "old");
    let hub = start(&shell);
    shell.ok(&["db", "update", "a.db", "notes", "n7", r#"{"v":2}"#]);
    sync(&shell, &hub, "a.db");
    hub.stop("-TERM");
    copy(&shell, "old", "syncline-data");
    let hub = start(&shell);

    let repaired = shell.json(&link(&hub, &["verify", "a.db", "--repair"]));
    assert_eq!((&repaired["repaired"], &repaired["differing"]), (&json!(1), &json!(0)), "{repaired}");
    assert!(repaired["sent"].as_u64().unwrap() < 100, "{repaired}");
    assert_eq!(shell.json(&["db", "get", "a.db", "notes", "n7"])["v"], 1);
}

#[test]
fn a_database_of_another_token_is_told_and_not_repaired() {
    let shell = Shell::new();
    let hub = start(&shell);
    shell.ok(&["db", "insert", "a.db", "notes", r#"{"_id":"n1","owner":"anna"}"#, r#"{"_id":"n2","owner":"ben"}"#]);
    sync(&shell, &hub, "a.db");
    let rows = r#"{"notes": {"owner": "$sub"}}"#;
    let added = ["token", "add", "anna", "--collections", "notes", "--rows", rows, "--hub", &hub.url, "--token", TOKEN];
    let anna = shell.json(&added)["token"].as_str().unwrap().to_owned();
    let as_anna = |args: &[&str]| {
        let link = ["--hub", &hub.url, "--token", &anna, "--collections", "notes"];
        shell.run(&[args, &link[..]].concat())
    };
    assert_eq!(as_anna(&["db", "sync", "anna.db"]).code, 0);
    for (file, token) in [("a.db", anna.as_str()), ("anna.db", TOKEN)] {
        for repair in [&[][..], &["--repair"]] {
            let link = ["verify", file, "--hub", &hub.url, "--token", token, "--collections", "notes"];
            let said = shell.fails(1, &[&link[..], repair].concat());
            assert!(said.contains("loaded with a token that sees other documents of `notes`"), "{said}");
            assert!(said.contains("next: compare with the token"), "{said}");
        }
    }
    assert_eq!(shell.json(&["db", "find", "a.db", "notes"]).as_array().unwrap().len(), 2, "nothing was dropped");
    assert_eq!(shell.json(&["db", "find", "anna.db", "notes"]).as_array().unwrap().len(), 1, "nor brought in");
    assert_eq!(as_anna(&["verify", "anna.db"]).code, 0);
}

#[test]
fn nothing_is_made_a_database_and_what_a_repair_sets_aside_is_said() {
    let shell = Shell::new();
    shell.write("empty.db", "");
    for command in
        [&["verify", "empty.db", "--hub", "http://127.0.0.1:1", "--token", TOKEN][..], &["db", "status", "empty.db"]]
    {
        assert!(shell.fails(1, command).contains("there is no database at empty.db"));
    }
    assert_eq!(std::fs::metadata(shell.path("empty.db")).unwrap().len(), 0);

    let hub = diverged(&shell);
    shell.ok(&["rules", "set", "notes", "--max-bytes", "200", "--hub", &hub.url, "--token", TOKEN]);
    let long = format!(r#"{{"_id":"long","text":"{}"}}"#, "x".repeat(300));
    shell.ok(&["db", "insert", "a.db", "notes", &long]);
    let said = shell.ok(&link(&hub, &["verify", "a.db", "--repair"]));
    assert!(said.contains("1 edit that waited was sent and not taken"), "{said}");
    assert!(said.contains("syncline db quarantine a.db"), "{said}");
}

#[test]
fn a_damaged_text_is_named_and_repaired() {
    let shell = Shell::new();
    let hub = start(&shell);
    shell.ok(&["db", "insert", "a.db", "notes", r#"{"_id":"n1","v":1}"#, r#"{"_id":"n2","v":1}"#]);
    shell.ok(&["db", "index", "add", "a.db", "notes", "v"]);
    sync(&shell, &hub, "a.db");
    let script = "import sqlite3; d = sqlite3.connect('a.db'); d.execute(\"UPDATE docs SET body = '{broken' WHERE id = 'n1'\"); d.commit()";
    assert!(shell.command("python3").args(["-c", script]).status().unwrap().success());

    let said = shell.fails(1, &["db", "update", "a.db", "notes", "n1", r#"{"v":2}"#]);
    assert!(said.contains("document `n1` in `notes`") && said.contains("syncline verify a.db --repair"), "{said}");
    let repaired = shell.json(&link(&hub, &["verify", "a.db", "--repair"]));
    assert_eq!((&repaired["repaired"], &repaired["differing"]), (&json!(1), &json!(0)), "{repaired}");
    assert_eq!(shell.json(&["db", "get", "a.db", "notes", "n1"])["v"], 1);
}

#[test]
fn a_database_that_goes_by_packets_is_held_against_what_its_node_gets() {
    let shell = Shell::new();
    let hub = start(&shell);
    let id = |n: u32| format!("22222222-2222-4222-8222-00000000000{n}");
    for (n, area) in [(1, "south"), (2, "south"), (3, "north")] {
        let note = format!(r#"{{"area": "{area}", "v": 1.50, "_id": "{}"}}"#, id(n));
        shell.ok(&["db", "insert", "log.db", "notes", &note]);
    }
    shell.ok(&["db", "insert", "log.db", "notes", r#"{"_id":"no-uuid","area":"south"}"#]);
    sync(&shell, &hub, "log.db");
    let own = format!(r#"{{"_id":"{}","area":"south"}}"#, id(4));
    shell.ok(&["db", "insert", "branch.db", "notes", &own]);
    let node = shell.json(&["db", "status", "branch.db"])["node"].as_str().unwrap().to_owned();
    let rows = r#"{"notes": {"area": "south"}}"#;
    let add = ["node", "add", "--id", &node, "--code", "B", "--rows", rows, "--hub", &hub.url, "--admin-token", TOKEN];
    let token = shell.json(&add)["token"].as_str().unwrap().to_owned();
    let branch = |args: &[&str]| {
        shell.run(&[&["--json"], args, &["--hub", &hub.url, "--token", &token, "--collections", "notes"]].concat())
    };
    let exchange =
        || (0..3).for_each(|_| assert_eq!(branch(&["db", "sync", "branch.db", "--protocol", "exchange"]).code, 0));
    exchange();
    let compared = || {
        let ran = branch(&["verify", "branch.db"]);
        let answer: Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}{}", ran.stdout, ran.stderr));
        (ran.code, differences(&ran.stdout), answer["documents"].as_u64().unwrap())
    };
    assert_eq!(compared(), (0, vec![], 3), "neither the north's nor what no packet can hold");

    shell.ok(&["db", "update", "log.db", "notes", &id(2), r#"{"v":2}"#]);
    sync(&shell, &hub, "log.db");
    assert_eq!(compared(), (0, vec![], 2), "what it has not heard of yet is no difference");
    exchange();
    let script = format!(
        "import sqlite3; d = sqlite3.connect('branch.db')\n\
         d.execute(\"UPDATE docs SET body = replace(body, 'south', 'sudden') WHERE id = '{}'\")\n\
         d.execute(\"UPDATE docs SET body = '{{broken' WHERE id = '{}'\"); d.commit()",
        id(1),
        id(4)
    );
    assert!(shell.command("python3").args(["-c", &script]).status().unwrap().success());
    let named = [id(1), id(4)].map(|id| (id, "different".to_owned()));
    assert_eq!(compared(), (1, named.to_vec(), 3));

    let repaired = branch(&["verify", "branch.db", "--repair"]);
    assert_eq!(repaired.code, 0, "{}{}", repaired.stdout, repaired.stderr);
    assert_eq!(compared(), (0, vec![], 3));
    assert_eq!(shell.json(&["db", "get", "branch.db", "notes", &id(1)])["area"], "south");
    shell.ok(&["db", "update", "branch.db", "notes", &id(1), r#"{"w":3}"#]);
    exchange();
    sync(&shell, &hub, "log.db");
    assert_eq!(shell.json(&["db", "get", "log.db", "notes", &id(1)])["w"], 3, "and it goes on");

    let stranger = ["verify", "branch.db", "--hub", &hub.url, "--token", "a-wrong-token", "--collections", "notes"];
    assert!(shell.fails(1, &stranger).contains("401"));
    let set = ["node", "set", "B", "--attribute", "again=1", "--hub", &hub.url, "--admin-token", TOKEN];
    shell.ok(&set);
    let anew = branch(&["verify", "branch.db"]);
    assert!(anew.code != 0 && anew.stderr.contains("given everything anew"), "{}", anew.stderr);
}
