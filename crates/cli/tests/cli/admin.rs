//! Administration: in the data directory while no hub runs, through the hub when one does.

use crate::shell::{Hub, Shell};
use serde_json::Value;

fn names(tokens: &Value) -> Vec<&str> {
    tokens.as_array().unwrap().iter().map(|token| token["name"].as_str().unwrap()).collect()
}

#[test]
fn tokens_are_made_used_rotated_and_removed_through_a_running_hub() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    let admin = ["--hub", &hub.url, "--token", hub.admin()];
    let with = |args: &[&str]| shell.json(&[args, &admin].concat());

    let made = with(&["token", "add", "phone", "--access", "read", "--collections", "notes,tasks", "--expires", "30d"]);
    assert_eq!(made["name"], "phone");
    let listed = with(&["token", "list"]);
    assert_eq!(names(&listed), ["admin", "phone"]);
    assert_eq!(listed[1]["collections"], serde_json::json!(["notes", "tasks"]));
    assert!(!listed.to_string().contains(made["token"].as_str().unwrap()), "a list never shows secrets");

    let again = shell.fails(1, &[&["token", "add", "phone"], &admin[..]].concat());
    assert!(again.contains("phone") && again.contains("rotate"), "{again}");

    let second = with(&["token", "add", "ops", "--access", "admin"])["token"].as_str().unwrap().to_owned();
    shell.ok(&["status", "--hub", &hub.url, "--token", &second]);
    let rotated = with(&["token", "rotate", "ops"])["token"].as_str().unwrap().to_owned();
    let refusal = shell.fails(1, &["status", "--hub", &hub.url, "--token", &second]);
    assert!(refusal.contains("401") && refusal.contains("next:"), "{refusal}");
    shell.ok(&["status", "--hub", &hub.url, "--token", &rotated]);

    with(&["token", "remove", "ops"]);
    assert_eq!(names(&with(&["token", "list"])), ["admin", "phone"]);
}

#[test]
fn a_change_keeps_what_it_does_not_name_and_tells_what_the_token_allows_now() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    let rows = r#"{"tasks": {"owner": "$sub"}}"#;
    let admin = ["--hub", &hub.url, "--token", hub.admin()];
    let with = |args: &[&str]| shell.run(&[args, &admin].concat());
    let made = with(&["token", "add", "kiosk", "--access", "read", "--expires", "30d", "--rows", rows]);
    assert!(made.stderr.contains("all other collections of space `main` are open whole"), "{}", made.stderr);
    assert!(made.stderr.contains("nothing is in `tasks` of space `main` yet"), "{}", made.stderr);

    let before = shell.json(&[&["token", "list"], &admin[..]].concat())[1].clone();
    let said = with(&["token", "change", "kiosk", "--collections", "tasks"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    for line in ["access       read\n", "collections  tasks (some rows)", r#"rows         tasks: {"owner":"$sub"}"#] {
        assert!(said.stdout.contains(line), "{}", said.stdout);
    }
    let after = shell.json(&[&["token", "list"], &admin[..]].concat())[1].clone();
    assert_eq!(after, {
        let mut same = before;
        same["collections"] = serde_json::json!(["tasks"]);
        same
    });
    assert!(with(&["token", "list"]).stdout.contains(r#"tasks: {"owner":"$sub"}"#));

    let nothing = with(&["token", "change", "kiosk"]);
    assert!(nothing.code == 2 && nothing.stderr.contains("nothing to change is named"), "{}", nothing.stderr);
    let closed = with(&["token", "change", "kiosk", "--collections", "notes"]);
    assert!(closed.code == 2 && closed.stderr.contains("take the filter away"), "{}", closed.stderr);
    let malformed = with(&["token", "add", "x", "--rows", r#"{"tasks": []}"#]);
    assert!(malformed.code == 2 && malformed.stderr.contains("`tasks`"), "{}", malformed.stderr);
    hub.stop("-TERM");

    let local = shell.ok(&["token", "change", "kiosk", "--rows", r#"{"tasks": null}"#, "--expires", "never"]);
    assert!(local.contains("collections  tasks\n") && local.contains("expires      never"), "{local}");
}

#[test]
fn the_same_commands_work_in_the_data_directory_while_no_hub_runs() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    hub.stop("-TERM");

    let made = shell.json(&["token", "add", "ops", "--access", "admin"]);
    assert_eq!(names(&shell.json(&["token", "list"])), ["admin", "ops"]);
    assert_eq!(shell.json(&["status"])[0]["space"], "main");
    assert_eq!(shell.json(&["node", "list"]), serde_json::json!([]));
    shell.ok(&["token", "rotate", "admin"]);
    shell.ok(&["token", "remove", "admin"]);

    let hub = Hub::start(&shell, &[]);
    assert_eq!(hub.admin, None, "`ops` is an admin");
    shell.ok(&["status", "--hub", &hub.url, "--token", made["token"].as_str().unwrap()]);
}

#[test]
fn the_running_hub_of_a_data_directory_is_found_by_itself() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    let refusal = shell.fails(1, &["token", "list"]);
    assert!(refusal.contains("a hub runs on this data directory"), "{refusal}");
    assert!(refusal.contains(&format!("--hub {}", hub.url)), "{refusal}");

    let found = shell.run_with(&[("SYNCLINE_TOKEN", hub.admin())], &["token", "list"]);
    assert_eq!(found.code, 0, "{}", found.stderr);
    assert!(found.stdout.contains("admin"), "{}", found.stdout);
}

#[test]
fn what_is_not_there_is_named_with_the_next_step() {
    let shell = Shell::new();
    let nothing = shell.fails(1, &["status"]);
    assert!(nothing.contains("syncline-data") && nothing.contains("--hub"), "{nothing}");
    let unreachable = shell.fails(1, &["status", "--hub", "http://127.0.0.1:9", "--token", "t"]);
    assert!(unreachable.contains("127.0.0.1:9") && unreachable.contains("syncline serve"), "{unreachable}");
    let no_token = shell.fails(2, &["status", "--hub", "http://127.0.0.1:9"]);
    assert!(no_token.contains("SYNCLINE_TOKEN"), "{no_token}");
    let no_url = shell.fails(2, &["status", "--hub", "localhost", "--token", "t"]);
    assert!(no_url.contains("http://"), "{no_url}");

    let hub = Hub::start(&shell, &[]);
    let admin = ["--hub", &hub.url, "--token", hub.admin()];
    let node = shell.fails(1, &[&["node", "show", "nobody"], &admin[..]].concat());
    assert!(node.contains("nobody") && node.contains("node list"), "{node}");
    let space = shell.fails(1, &[&["status", "--space", "nowhere"], &admin[..]].concat());
    assert!(space.contains("nowhere"), "{space}");
    let expiry = shell.fails(2, &[&["token", "add", "x", "--expires", "soon"], &admin[..]].concat());
    assert!(expiry.contains("30d"), "{expiry}");
}

#[test]
fn a_space_that_cannot_be_read_is_shown_as_failed_beside_the_others() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    let admin = hub.admin().to_owned();
    shell.ok(&["token", "add", "t", "--space", "lost", "--hub", &hub.url, "--token", &admin]);
    hub.stop("-TERM");
    std::fs::remove_file(shell.path("syncline-data/spaces/lost.db")).unwrap();

    let shown = |link: &[&str]| {
        let args = [&["status", "--json"], link].concat();
        let ran = shell.run(&args);
        assert!(ran.code == 1 && ran.stderr.contains("`lost` cannot be read"), "{}", ran.stderr);
        let spaces: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert!(spaces[0]["failure"].as_str().unwrap().contains("lost.db"), "{spaces}");
        assert_eq!((&spaces[1]["space"], &spaces[1]["head"]), (&Value::from("main"), &Value::from(0)));
    };
    shown(&[]);
    assert!(shell.run(&["status"]).stdout.contains("failed: "));
    assert!(shell.fails(1, &["status", "--space", "lost"]).contains("lost.db"));

    let hub = Hub::start(&shell, &[]);
    shown(&["--hub", &hub.url, "--token", &admin]);
}

#[test]
fn errors_are_json_for_programs() {
    let shell = Shell::new();
    let said: Value = serde_json::from_str(&shell.fails(1, &["--json", "status"])).unwrap();
    assert_eq!(said["exit_code"], 1);
    assert!(said["error"].as_str().unwrap().contains("syncline-data"), "{said}");

    let said: Value = serde_json::from_str(&shell.fails(2, &["--json", "db", "fnd"])).unwrap();
    assert_eq!(said["exit_code"], 2);
    assert!(said["error"].as_str().unwrap().contains("fnd"), "{said}");
    assert!(said["next_step"].as_str().unwrap().contains("'find'"), "{said}");
}
