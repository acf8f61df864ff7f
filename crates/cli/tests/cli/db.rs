//! `syncline db`, alone and with a hub.

use crate::shell::{Hub, SYNCLINE, Shell};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

fn ids(documents: &Value) -> Vec<&str> {
    documents.as_array().unwrap().iter().map(|document| document["_id"].as_str().unwrap()).collect()
}

fn shop(shell: &Shell) {
    shell.ok(&[
        "db",
        "insert",
        "a.db",
        "goods",
        r#"{"_id":"nut","price":1,"tags":["small"]}"#,
        r#"{"_id":"saw","price":20,"box":{"size":3}}"#,
        r#"{"_id":"axe","price":20}"#,
    ]);
}

#[test]
fn documents_are_found_by_filter_order_page_and_fields() {
    let shell = Shell::new();
    shop(&shell);
    let find = |args: &[&str]| shell.json(&[&["db", "find", "a.db", "goods"], args].concat());

    assert_eq!(ids(&find(&[r#"{"price":{"$gte":20}}"#, "--sort", "_id"])), ["axe", "saw"]);
    assert_eq!(ids(&find(&["--sort", "-price,_id", "--skip", "1", "--limit", "1"])), ["saw"]);
    assert_eq!(ids(&find(&["--sort", r#"{"price":1,"_id":-1}"#])), ["nut", "saw", "axe"]);
    assert_eq!(find(&[r#"{"box.size":3}"#, "--project", "price"]), json!([{"_id": "saw", "price": 20}]));
    assert_eq!(ids(&find(&[r#"{"tags":"small"}"#])), ["nut"]);
    assert_eq!(shell.json(&["db", "count", "a.db", "goods", r#"{"price":20}"#])["count"], 2);
    assert_eq!(shell.json(&["db", "get", "a.db", "goods", "axe"])["price"], 20);
}

#[test]
fn documents_are_changed_replaced_and_removed_by_id_and_by_filter() {
    let shell = Shell::new();
    shop(&shell);
    shell.ok(&["db", "update", "a.db", "goods", "saw", r#"{"price":21,"box":null}"#]);
    let saw = shell.json(&["db", "get", "a.db", "goods", "saw"]);
    assert_eq!((&saw["price"], saw.get("box")), (&json!(21), None));
    let all = shell.json(&["db", "update", "a.db", "goods", r#"{"price":{"$gt":10}}"#, r#"{"dear":true}"#]);
    assert_eq!(all["updated"], 2);
    shell.ok(&["db", "replace", "a.db", "goods", "nut", r#"{"price":2}"#]);
    assert_eq!(shell.json(&["db", "get", "a.db", "goods", "nut"]).get("tags"), None);
    assert_eq!(shell.json(&["db", "remove", "a.db", "goods", r#"{"dear":true}"#])["removed"], 2);
    shell.ok(&["db", "remove", "a.db", "goods", "nut"]);
    assert_eq!(shell.json(&["db", "count", "a.db", "goods"])["count"], 0);
}

#[test]
fn standard_input_gives_documents_line_by_line_or_as_a_list() {
    let shell = Shell::new();
    for input in ["{\"_id\":\"a\"}\n{\"_id\":\"b\"}\n", "\u{feff}[{\"_id\":\"c\"},{\"_id\":\"d\"}]"] {
        let mut child = shell
            .command(SYNCLINE)
            .args(["db", "insert", "a.db", "c"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(ids(&shell.json(&["db", "find", "a.db", "c", "--sort", "_id"])), ["a", "b", "c", "d"]);
}

#[test]
fn what_cannot_be_read_is_named_with_the_next_step() {
    let shell = Shell::new();
    shell.ok(&["db", "insert", "a.db", "c", r#"{"_id":"x"}"#]);
    for args in [&["insert", "a.db", "c"][..], &["update", "a.db", "c", "x", "-"], &["exchange", "import", "a.db", "-"]]
    {
        let empty = shell.fails(2, &[&["db"], args].concat());
        assert!(empty.contains("standard input is empty") && empty.contains("next: "), "{empty}");
    }
    std::fs::write(shell.path("wide.json"), b"\xff\xfe{\0}\0").unwrap();
    std::fs::create_dir(shell.path("dir")).unwrap();
    let cases = [
        ("import", vec!["none.json"], "check the path"),
        ("import", vec!["dir"], "directory"),
        ("import", vec!["wide.json"], "UTF-16"),
        ("export", vec!["--output", "none/p.json"], "make the directory"),
    ];
    for (action, args, step) in cases {
        let refused = shell.fails(1, &[&["db", "exchange", action, "a.db"], &args[..]].concat());
        assert!(refused.contains("cannot") && refused.contains("next: ") && refused.contains(step), "{refused}");
    }
    shell.write("other.json", "{}");
    let other = shell.fails(1, &["db", "exchange", "import", "a.db", "other.json"]);
    assert!(other.contains("`header`") && other.contains("next: ") && other.contains("exchange export"), "{other}");
    let table = shell.fails(1, &["db", "import", "a.db", "c", "none.csv"]);
    assert!(table.contains("none.csv") && table.contains("check the path"), "{table}");
}

#[test]
fn wrong_input_is_named_and_changes_nothing() {
    let shell = Shell::new();
    shop(&shell);
    let broken = shell.fails(2, &["db", "insert", "a.db", "goods", r#"{"_id":"x"}"#, "{x}"]);
    assert!(broken.contains("document 2"), "{broken}");
    let operator = shell.fails(2, &["db", "find", "a.db", "goods", r#"{"price":{"$gtt":1}}"#]);
    assert!(operator.contains("$gtt"), "{operator}");
    let taken = shell.fails(1, &["db", "insert", "a.db", "goods", r#"{"_id":"new"}"#, r#"{"_id":"axe"}"#]);
    assert!(taken.contains("axe"), "{taken}");
    let absent = shell.fails(1, &["db", "remove", "a.db", "goods", "nothing"]);
    assert!(absent.contains("nothing"), "{absent}");
    let file = shell.fails(1, &["db", "find", "b.db", "goods"]);
    assert!(file.contains("b.db") && !shell.path("b.db").exists(), "{file}");
    assert_eq!(shell.json(&["db", "count", "a.db", "goods"])["count"], 3, "all or none");
}

#[test]
fn files_go_out_and_come_back_the_same() {
    let shell = Shell::new();
    shop(&shell);
    let sorted = |file: &str| shell.json(&["db", "find", file, "goods", "--sort", "_id"]);
    for (name, copy) in [("goods.json", "json.db"), ("goods.ndjson", "ndjson.db"), ("goods.csv", "csv.db")] {
        assert_eq!(shell.json(&["db", "export", "a.db", "goods", name])["exported"], 3);
        assert_eq!(shell.json(&["db", "import", copy, "goods", name])["imported"], 3);
        assert_eq!(sorted(copy), sorted("a.db"), "{name}");
        let again = shell.fails(1, &["db", "import", copy, "goods", name]);
        assert!(again.contains("0 documents before it are imported"), "{again}");
        shell.ok(&["db", "import", copy, "goods", name, "--upsert"]);
    }
    let printed = shell.ok(&["db", "export", "a.db", "goods", "--filter", r#"{"_id":"axe"}"#]);
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap()["_id"], "axe");
    let unknown = shell.fails(2, &["db", "export", "a.db", "goods", "goods.xml"]);
    assert!(unknown.contains("--format"), "{unknown}");
}

#[test]
fn two_shells_edit_offline_and_converge() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    let admin = ["--hub", &hub.url, "--token", hub.admin()];
    let token = shell.json(&[&["token", "add", "devices"], &admin[..]].concat())["token"].as_str().unwrap().to_owned();
    let sync =
        |file: &str| shell.json(&["db", "sync", file, "--hub", &hub.url, "--token", &token, "--collections", "goods"]);
    shop(&shell);
    shell.ok(&["db", "insert", "b.db", "goods", r#"{"_id":"rope","price":5}"#]);
    assert_eq!(sync("a.db")["pushed"], 3);
    let round = sync("b.db");
    assert_eq!((&round["pushed"], &round["pending"]), (&json!(1), &json!(0)));
    sync("a.db");

    // Both change the same document while they are apart, and one removes another.
    shell.ok(&["db", "update", "a.db", "goods", "saw", r#"{"price":30}"#]);
    shell.ok(&["db", "update", "b.db", "goods", "saw", r#"{"colour":"red"}"#]);
    shell.ok(&["db", "remove", "b.db", "goods", "nut"]);
    sync("a.db");
    sync("b.db");
    sync("a.db");
    let (a, b) = (
        shell.json(&["db", "find", "a.db", "goods", "--sort", "_id"]),
        shell.json(&["db", "find", "b.db", "goods", "--sort", "_id"]),
    );
    assert_eq!(a, b);
    assert_eq!(ids(&a), ["axe", "rope", "saw"]);
    assert_eq!((&a[2]["price"], &a[2]["colour"]), (&json!(30), &json!("red")));

    let nodes = shell.json(&[&["node", "list"], &admin[..]].concat());
    assert_eq!(nodes.as_array().unwrap().len(), 2, "{nodes}");
    let first = nodes[0]["node"].as_str().unwrap();
    let shown = shell.json(&[&["node", "show", first], &admin[..]].concat());
    assert_eq!((&shown["node"], &shown["author"]), (&nodes[0]["node"], &nodes[0]["author"]));
}

#[test]
fn a_sync_that_does_not_get_through_says_why_and_loses_nothing() {
    let shell = Shell::new();
    shop(&shell);
    let refused = shell.fails(1, &["db", "sync", "a.db", "--hub", "http://127.0.0.1:9", "--token", "t"]);
    assert!(refused.contains("did not get through") && refused.contains("syncline serve"), "{refused}");
    assert!(!refused.contains("node="), "the request's parameters help nobody: {refused}");
    let no_hub = shell.fails(2, &["db", "sync", "a.db"]);
    assert!(no_hub.contains("--hub"), "{no_hub}");
    let hub = Hub::start(&shell, &[]);
    let wrong = shell.fails(1, &["db", "sync", "a.db", "--hub", &hub.url, "--token", "wrong"]);
    assert!(wrong.contains("token list"), "{wrong}");
    let nothing = shell.fails(2, &["db", "sync", "new.db", "--hub", &hub.url, "--token", hub.admin()]);
    assert!(nothing.contains("--collections"), "{nothing}");
    assert_eq!(shell.json(&["db", "status", "a.db"])["pending"], 3);
    shell.ok(&["db", "sync", "a.db", "--hub", &hub.url, "--token", hub.admin()]);
    assert_eq!(shell.json(&["db", "status", "a.db"])["pending"], 0);
    assert_eq!(shell.json(&["db", "quarantine", "a.db"]), json!([]));
    let by_packets = shell.fails(1, &["db", "exchange", "export", "a.db"]);
    assert!(by_packets.contains("--protocol lsn"), "the way back in words of this program: {by_packets}");
}

#[test]
fn a_collection_outside_the_grants_is_named_and_the_others_arrive() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    let admin = ["--hub", &hub.url, "--token", hub.admin()];
    let added = shell.json(&[&["token", "add", "narrow", "--collections", "notes"], &admin[..]].concat());
    let narrow = added["token"].as_str().unwrap();
    shell.ok(&["db", "insert", "a.db", "notes", r#"{"_id":"n"}"#]);
    shell.ok(&["db", "insert", "a.db", "diary", r#"{"_id":"d"}"#]);

    let said = shell.fails(1, &["db", "sync", "a.db", "--hub", &hub.url, "--token", narrow]);
    assert!(said.contains("`diary`") && !said.contains("`notes`"), "{said}");
    assert_eq!(shell.json(&["db", "status", "a.db"])["pending"], 1, "the note has arrived, the diary waits");

    let sync = |file: &str| shell.json(&[&["db", "sync", file, "--collections", "diary,notes"], &admin[..]].concat());
    assert_eq!((&sync("a.db")["pushed"], &sync("b.db")["loaded"]), (&json!(1), &json!(2)));
    assert_eq!(sync("a.db")["pulled"], 0, "the own edit that comes back is no news");
}

#[test]
fn a_watch_hears_of_a_change_made_elsewhere() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    let link = ["--hub", &hub.url, "--token", hub.admin()];
    let mut watching = shell
        .command(SYNCLINE)
        .args(["--json", "db", "watch", "a.db", "goods", "--updates", "1"])
        .args(link)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answers = BufReader::new(watching.stdout.take().unwrap()).lines();
    assert_eq!(answers.next().unwrap().unwrap(), "[]");

    shell.ok(&["db", "insert", "b.db", "goods", r#"{"_id":"rope"}"#]);
    shell.ok(&[&["db", "sync", "b.db"], &link[..]].concat());
    let second: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
    assert_eq!(ids(&second), ["rope"]);
    assert!(watching.wait().unwrap().success());
}

#[test]
fn documents_are_put_in_place_or_added() {
    let shell = Shell::new();
    shop(&shell);
    let put = shell.json(&["db", "upsert", "a.db", "goods", r#"{"_id":"nut","price":2}"#, r#"{"_id":"bolt"}"#]);
    assert_eq!(put, json!({"upserted": 2, "ids": ["nut", "bolt"]}));
    let nut = shell.json(&["db", "get", "a.db", "goods", "nut"]);
    assert_eq!((&nut["price"], nut.get("tags")), (&json!(2), None));
    assert_eq!(shell.json(&["db", "count", "a.db", "goods"])["count"], 4);
}

#[test]
fn indexes_are_made_shown_used_and_taken_away() {
    let shell = Shell::new();
    shop(&shell);
    fn index<'a>(args: &[&'a str]) -> Vec<&'a str> {
        [&["db", "index"], args].concat()
    }
    shell.ok(&index(&["add", "a.db", "goods", "box.size"]));
    let twice = shell.fails(1, &index(&["add", "a.db", "goods", "price", "--unique"]));
    assert!(twice.contains("20"), "two goods have one price: {twice}");
    shell.ok(&index(&["add", "a.db", "goods", "label", "--unique", "--name", "one-label"]));
    let all = shell.json(&index(&["list", "a.db", "goods"]));
    assert_eq!(
        all,
        json!([{"name": "box.size", "path": "box.size", "unique": false}, {"name": "one-label", "path": "label", "unique": true}])
    );
    shell.ok(&["db", "insert", "a.db", "goods", r#"{"label":"A"}"#]);
    shell.fails(1, &["db", "insert", "a.db", "goods", r#"{"label":"A"}"#]);
    shell.ok(&index(&["remove", "a.db", "goods", "one-label"]));
    shell.ok(&["db", "insert", "a.db", "goods", r#"{"label":"A"}"#]);
    assert!(shell.fails(1, &index(&["remove", "a.db", "goods", "one-label"])).contains("index list"));
}

#[test]
fn a_watch_that_cannot_read_fails_with_the_reason() {
    let shell = Shell::new();
    shell.ok(&["db", "insert", "a.db", "goods", r#"{"_id":"rope","mark":"0123456789"}"#]);
    let file = shell.path("a.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let mark = br#""0123456789""#;
    let at = bytes.windows(mark.len()).position(|part| part == mark).unwrap();
    bytes[at] = b'x';
    std::fs::write(&file, bytes).unwrap();

    let watch = ["db", "watch", "a.db", "goods", "--hub", "http://127.0.0.1:9", "--token", "t"];
    let said = shell.fails(1, &watch);
    assert!(said.contains("damaged"), "{said}");
}

#[test]
fn a_table_with_an_open_quote_is_refused_by_its_line() {
    let shell = Shell::new();
    shell.write("header.csv", "\"_id,price\nnut,1\nsaw,20\n");
    shell.write("cell.csv", "_id,price\nnut,1\n\"saw,20\naxe,20\n");
    let header = shell.fails(1, &["db", "import", "a.db", "goods", "header.csv"]);
    assert!(header.contains("line 1 is never closed") && header.contains("0 documents"), "{header}");
    let cell = shell.fails(1, &["db", "import", "a.db", "goods", "cell.csv"]);
    assert!(cell.contains("line 3 is never closed"), "{cell}");
    assert_eq!(shell.json(&["db", "status", "a.db"])["pending"], 0, "nothing of it is stored");
}

#[test]
fn a_lasting_sync_pulls_what_comes_and_ends_by_signal() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    let link = ["--hub", &hub.url, "--token", hub.admin()];
    let mut lasting = shell
        .command(SYNCLINE)
        .args(["--json", "db", "sync", "a.db", "--collections", "goods", "--watch"])
        .args(link)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut events = BufReader::new(lasting.stdout.take().unwrap()).lines().map(|line| {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        event["event"].as_str().unwrap().to_owned()
    });
    assert!(events.any(|name| name == "sync:success"));
    let busy = shell.fails(1, &["db", "find", "a.db", "goods"]);
    assert!(busy.contains("open already"), "{busy}");

    shell.ok(&["db", "insert", "b.db", "goods", r#"{"_id":"rope"}"#]);
    shell.ok(&[&["db", "sync", "b.db"], &link[..]].concat());
    assert!(events.any(|name| name == "sync:pull_success"));
    let told = std::process::Command::new("kill").args(["-TERM", &lasting.id().to_string()]).status().unwrap();
    assert!(told.success());
    assert_eq!(lasting.wait().unwrap().code(), Some(0));
    assert_eq!(ids(&shell.json(&["db", "find", "a.db", "goods"])), ["rope"]);
}

#[test]
fn what_the_hub_refuses_is_set_aside_and_can_be_retried_or_given_up() {
    let shell = Shell::new();
    let secret = "correct-horse-battery-staple";
    let strict = Hub::start_with(&shell, &[("SYNCLINE_ADMIN_TOKEN", secret)], &["--set", "limits.document_bytes=300"]);
    let sync =
        |hub: &Hub| shell.json(&["db", "sync", "a.db", "--hub", &hub.url, "--token", secret, "--collections", "goods"]);
    let long = format!(r#"{{"_id":"long","text":"{}"}}"#, "x".repeat(400));
    let longer = format!(r#"{{"_id":"longer","text":"{}"}}"#, "x".repeat(500));
    shell.ok(&["db", "insert", "a.db", "goods", &long, &longer, r#"{"_id":"short"}"#]);
    let round = sync(&strict);
    assert_eq!((&round["quarantined"], &round["pending"]), (&json!(2), &json!(0)), "{round}");
    assert_eq!(ids(&shell.json(&["db", "find", "a.db", "goods"])), ["short"], "local documents are the hub's again");

    let aside = shell.json(&["db", "quarantine", "a.db"]);
    let numbers: Vec<String> = aside.as_array().unwrap().iter().map(|op| op["number"].to_string()).collect();
    assert_eq!((&aside[0]["id"], &aside[1]["id"]), (&json!("long"), &json!("longer")), "{aside}");
    assert!(aside[0]["message"].as_str().unwrap().contains("limits.document_bytes"), "{aside}");
    strict.stop("-TERM");

    let generous = Hub::start_with(&shell, &[("SYNCLINE_ADMIN_TOKEN", secret)], &[]);
    assert_eq!(shell.ok(&["db", "quarantine", "a.db", "--export"]).lines().count(), 2);
    let other = shell.fails(1, &["db", "quarantine", "a.db", "--retry", &numbers[0], r#"{"_id":"else"}"#]);
    assert!(other.contains("`long`"), "{other}");
    shell.ok(&["db", "quarantine", "a.db", "--retry", &numbers[0]]);
    shell.ok(&["db", "quarantine", "a.db", "--discard", &numbers[1]]);
    assert_eq!(sync(&generous)["pushed"], 1);
    assert_eq!(ids(&shell.json(&["db", "find", "a.db", "goods", "--sort", "_id"])), ["long", "short"]);
    assert_eq!(shell.json(&["db", "quarantine", "a.db"]), json!([]));
    let gone = shell.fails(1, &["db", "quarantine", "a.db", "--retry", &numbers[0]]);
    assert!(gone.contains(&numbers[0]), "{gone}");
}

#[test]
fn the_status_of_the_hub_counts_what_lost_and_what_was_set_aside() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &["--set", "limits.document_bytes=300"]);
    let link = ["--hub", &hub.url, "--token", hub.admin()];
    let sync = |file: &str| shell.ok(&[&["db", "sync", file, "--collections", "goods"], &link[..]].concat());
    shell.ok(&["db", "insert", "a.db", "goods", r#"{"_id":"saw","price":1}"#]);
    sync("a.db");
    sync("b.db");
    shell.ok(&["db", "update", "a.db", "goods", "saw", r#"{"price":2}"#]);
    shell.ok(&["db", "update", "b.db", "goods", "saw", r#"{"price":3}"#]);
    shell.ok(&["db", "insert", "b.db", "goods", &format!(r#"{{"_id":"long","text":"{}"}}"#, "x".repeat(400))]);
    sync("a.db");
    sync("b.db");

    let by_hub = shell.json(&[&["status"], &link[..]].concat());
    assert_eq!((&by_hub[0]["conflicts"], &by_hub[0]["quarantined"]), (&json!(1), &json!(1)), "{by_hub}");
    let (url, token) = (hub.url.clone(), hub.admin().to_owned());
    hub.stop("-TERM");
    let by_data = shell.json(&["status"]);
    for field in ["conflicts", "quarantined", "head", "last_change", "epoch"] {
        assert_eq!(by_hub[0][field], by_data[0][field], "{field}");
    }
    let gone = shell.fails(1, &["status", "--hub", &url, "--token", &token]);
    assert!(gone.contains("cannot reach"), "{gone}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error_to_talk_about() {
    let shell = Shell::new();
    let many: String = (0..3_000).map(|n| format!("{{\"_id\":\"d{n}\",\"text\":\"{}\"}}\n", "x".repeat(40))).collect();
    shell.write("many.ndjson", &many);
    shell.ok(&["db", "import", "a.db", "c", "many.ndjson"]);
    for command in ["db export a.db c", "db find a.db c"] {
        let piped = format!("{SYNCLINE} {command} | head -1");
        let output = shell.command("bash").args(["-c", &piped]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{command}");
    }
}

#[test]
fn what_lost_a_conflict_is_shown_with_both_sides_while_the_hub_runs_and_after() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    let admin = ["--hub", &hub.url, "--token", hub.admin()];
    let sync = |file: &str| shell.json(&[&["db", "sync", file, "--collections", "notes"], &admin[..]].concat());
    shell.ok(&["db", "insert", "a.db", "notes", r#"{"_id": "n1", "title": "first"}"#]);
    sync("a.db");
    sync("b.db");
    assert_eq!(shell.json(&[&["conflicts"], &admin[..]].concat()), json!([]));

    shell.ok(&["db", "update", "a.db", "notes", "n1", r#"{"title": "of a"}"#]);
    shell.ok(&["db", "update", "b.db", "notes", "n1", r#"{"title": "of b"}"#]);
    sync("b.db");
    assert_eq!(sync("a.db")["conflicts"], 1, "told by the pull and by the receipt, it is one");

    let shown = shell.json(&[&["conflicts", "--collection", "notes", "--id", "n1"], &admin[..]].concat());
    assert_eq!((&shown[0]["losing"]["title"], &shown[0]["winning"]["title"]), (&json!("of a"), &json!("of b")));
    let text = shell.ok(&[&["conflicts", "--limit", "1"], &admin[..]].concat());
    assert!(text.contains("of a") && text.contains("last-write-wins") && text.contains("--before 1"), "{text}");
    assert_eq!(shell.json(&[&["conflicts", "--before", "1"], &admin[..]].concat()), json!([]));
    assert_eq!(shell.json(&[&["conflicts", "--id", "other"], &admin[..]].concat()), json!([]));
    assert_eq!(shell.json(&[&["quarantine"], &admin[..]].concat()), json!([]));

    hub.stop("-TERM");
    assert_eq!(shell.json(&["conflicts"]), shown, "the data directory tells the same");
}

#[test]
fn a_collection_that_is_not_there_is_told_from_one_without_a_match() {
    let shell = Shell::new();
    shop(&shell);
    let find = |args: &[&str]| shell.run(&[&["db", "find", "a.db"], args].concat()).stderr;
    assert!(find(&["goods", r#"{"_id": "none"}"#]).contains("no document matches"));
    let said = find(&["godos"]);
    assert!(said.contains("`godos`") && said.contains("`goods`"), "{said}");
}

#[test]
fn an_import_of_documents_that_exist_names_the_option_that_replaces_them() {
    let shell = Shell::new();
    shop(&shell);
    shell.ok(&["db", "export", "a.db", "goods", "goods.csv"]);
    let said = shell.fails(1, &["db", "import", "a.db", "goods", "goods.csv"]);
    assert!(said.contains("--upsert"), "{said}");
}
