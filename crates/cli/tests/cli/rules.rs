//! Rules of collections from the shell: through a running hub and in its data directory, and as a device meets them.

use super::shell::{Hub, Shell};
use serde_json::json;

#[test]
fn a_rule_is_set_checked_and_met_by_a_device() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    let admin = ["--hub", &hub.url, "--token", hub.admin()];
    let with = |args: &[&str]| args.iter().chain(&admin).map(ToString::to_string).collect::<Vec<_>>();
    let ok = |args: &[&str]| shell.ok(&with(args).iter().map(String::as_str).collect::<Vec<_>>());
    let fails = |code, args: &[&str]| shell.fails(code, &with(args).iter().map(String::as_str).collect::<Vec<_>>());
    let sync = |file: &str| ok(&["db", "sync", file, "--collections", "users"]);
    shell.ok(&["db", "insert", "a.db", "users", r#"{"_id":"ann","email":"a@x"}"#, r#"{"_id":"eve","email":"a@x"}"#]);
    sync("a.db");
    shell.write("user.json", r#"{"required": ["email"], "properties": {"email": {"type": "string"}}}"#);

    assert!(ok(&["rules"]).contains("no collection has rules"));
    let said = ok(&["rules", "set", "users", "--unique", "email", "--schema", "user.json", "--max-bytes", "1 KiB"]);
    assert!(said.contains("1 of 2 documents breaks the rules") && said.contains("document `ann` has it"), "{said}");
    assert!(ok(&["rules", "list"]).contains("unique email; schema"), "{}", ok(&["rules"]));
    let shown = ok(&["rules", "show", "users"]);
    assert!(shown.contains("max-bytes") && shown.contains("\"required\""), "{shown}");

    let broken = fails(1, &["rules", "check", "users"]);
    assert!(broken.contains("documents of `users` that break its rules: 1"), "{broken}");
    let exported =
        shell.run(&with(&["rules", "check", "users", "--export"]).iter().map(String::as_str).collect::<Vec<_>>());
    let line: serde_json::Value = serde_json::from_str(exported.stdout.trim()).unwrap();
    assert_eq!((&line["id"], &line["code"]), (&json!("eve"), &json!("unique_violation")));

    shell.ok(&["db", "insert", "b.db", "users", r#"{"_id":"bob","email":"a@x"}"#, r#"{"_id":"tim","email":"t@x"}"#]);
    let synced = sync("b.db");
    assert!(synced.contains("set aside"), "{synced}");
    let aside = shell.ok(&["db", "quarantine", "b.db"]);
    assert!(aside.contains("(rule `unique`)") && aside.contains("`ann` has it"), "the holder is named: {aside}");
    assert!(ok(&["quarantine"]).contains("unique_violation"));

    ok(&["rules", "set", "users", "--drop", "unique"]);
    assert!(ok(&["rules", "check", "users"]).contains("all keep the rules"));
    for (args, words) in [
        (vec!["rules", "set", "users"], "nothing to change"),
        (vec!["rules", "set", "users", "--unique", "_id"], "_id"),
        (vec!["rules", "set", "users", "--retention", "90"], "90d"),
        (vec!["rules", "set", "users", "--schema", "none.json"], "none.json"),
        (vec!["rules", "set", "users", "--strategy", "mine"], "merge"),
        (vec!["rules", "set", "users", "--strategy", "merge", "--drop", "strategy"], "leave out one of them"),
    ] {
        let code = if words == "none.json" { 1 } else { 2 };
        assert!(fails(code, &args).contains(words), "{args:?}");
    }
    hub.stop("-TERM");

    let local = shell.ok(&["rules", "set", "users", "--unique", "email", "--unique", "country,number"]);
    assert!(
        local.contains("country,number") && local.contains("`ann` has it"),
        "in the data directory the same: {local}"
    );
    assert_eq!(shell.json(&["rules", "show", "users"])["unique"], json!([["country", "number"], "email"]));
}

#[test]
fn what_a_rule_would_do_that_may_not_be_meant_is_told_when_it_is_set_and_checked() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    let admin = ["--hub", &hub.url, "--token", hub.admin()];
    let ok = |args: &[&str]| shell.ok(&[args, &admin[..]].concat());
    shell.ok(&["db", "insert", "a.db", "users", r#"{"_id":"ann","a":{"b":1}}"#, r#"{"_id":"eve","a":{"b":1.0}}"#]);
    ok(&["db", "sync", "a.db", "--collections", "users"]);

    let said = ok(&["rules", "set", "users", "--retention", "1ms"]);
    assert!(said.contains("2 documents were changed last longer ago than `retention` (1ms)"), "{said}");
    assert!(ok(&["rules", "check", "users"]).contains("removes them for every reader"));
    ok(&["rules", "set", "users", "--drop", "retention"]);

    shell.write(
        "user.json",
        r#"{"propertys": {}, "properties": {"mail": {"format": "emial"}}, "additionalProperties": true}"#,
    );
    let said = ok(&["rules", "set", "users", "--schema", "user.json"]);
    assert!(said.contains("warning: `propertys` at the top") && said.contains("the format `emial`"), "{said}");

    let said = ok(&["rules", "set", "users", "--drop", "schema", "--unique", "a.b"]);
    assert!(said.contains("cannot have 1.0 in `a.b`") && said.contains("document `ann` has it"), "{said}");
}

#[test]
fn a_hub_that_goes_away_while_rules_are_set_leaves_no_doubt_about_the_doubt() {
    let shell = Shell::new();
    let door = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", door.local_addr().unwrap());
    let hub = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut asked, _) = door.accept().unwrap();
        let _ = asked.read(&mut [0; 4096]).unwrap();
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 18\r\nconnection: close\r\n\r\n{\"collections\":[]}";
        asked.write_all(answer.as_bytes()).unwrap();
        drop(asked);
        let (mut set, _) = door.accept().unwrap();
        let _ = set.read(&mut [0; 4096]).unwrap();
    });
    let said = shell.fails(1, &["rules", "set", "users", "--unique", "email", "--hub", &url, "--token", "t"]);
    hub.join().unwrap();
    assert!(said.contains("they may stand") && said.contains("syncline rules show users"), "{said}");
}

#[test]
fn rules_of_the_configuration_are_read_and_win() {
    let shell = Shell::new();
    shell.write("user.json", r#"{"required": ["email"]}"#);
    shell.write(
        "syncline.toml",
        "[[collections]]\nname = \"users\"\nunique = [\"email\", \"country,number\"]\nschema = \"user.json\"\n\
         max_bytes = \"64 KiB\"\nretention = \"30d\"\n",
    );
    let hub = Hub::start(&shell, &[]);
    let admin = ["--hub", &hub.url, "--token", hub.admin()];
    let shown = shell.json(&[&["rules", "show", "users"][..], &admin].concat());
    let expected = json!({
        "collection": "users", "unique": [["country", "number"], "email"], "schema": { "required": ["email"] },
        "max_bytes": 65_536, "retention_ms": 2_592_000_000_u64, "declared": true,
    });
    assert_eq!(shown, expected);
    let refused = shell.fails(1, &[&["rules", "set", "users", "--drop", "schema"][..], &admin].concat());
    assert!(refused.contains("configuration"), "{refused}");
    hub.stop("-TERM");

    shell.write("syncline.toml", "[[collections]]\nname = \"users\"\n");
    assert!(shell.fails(2, &["serve"]).contains("gives no rule"));
    shell.write("syncline.toml", "[[collections]]\nname = \"users\"\nschema = \"user.json\"\n");
    shell.write("user.json", r#"{"$ref": "https://example.com/user.json"}"#);
    assert!(shell.fails(2, &["serve", "--listen", "127.0.0.1:0"]).contains("points outside"));
}
