//! `syncline doctor` finds what is wrong, says what to do, and tells scripts by its exit code.

use super::shell::{Hub, Shell};
use serde_json::Value;
use std::fs;

/// A hub with four documents; the device `a.db` does not know of the last one.
fn hub_with_a_reader(shell: &Shell) -> Hub {
    let hub = Hub::start(shell, &[]);
    for file in ["a.db", "a.db", "a.db", "b.db"] {
        shell.ok(&["db", "insert", file, "notes", "{}"]);
        shell.json(&["db", "sync", file, "--hub", &hub.url, "--token", hub.admin(), "--collections", "notes"]);
    }
    hub
}

/// Levels by check.
fn levels(answer: &Value) -> Vec<(&str, &str)> {
    let findings = answer["findings"].as_array().unwrap().iter();
    findings.map(|found| (found["check"].as_str().unwrap(), found["level"].as_str().unwrap())).collect()
}

const WELL: [(&str, &str); 7] = [
    ("configuration", "fine"),
    ("store", "fine"),
    ("disk", "fine"),
    ("clock", "fine"),
    ("hub", "fine"),
    ("horizon", "fine"),
    ("stalls", "fine"),
];

#[test]
fn a_hub_that_is_well_is_said_to_be_while_it_runs_and_when_it_does_not() {
    let shell = Shell::new();
    let hub = hub_with_a_reader(&shell);
    let running = shell.json(&["doctor", "--token", hub.admin()]);
    assert_eq!((levels(&running), &running["well"]), (WELL.to_vec(), &true.into()), "{running}");
    let elsewhere = shell.ok(&["doctor", "--hub", &hub.url, "--token", hub.admin()]);
    assert!(elsewhere.contains("it runs") && !elsewhere.contains("store"), "{elsewhere}");
    let unasked = shell.ok(&["doctor"]);
    assert!(unasked.contains("nobody asked it") && unasked.contains("--token ADMIN_TOKEN"), "{unasked}");

    hub.stop("-TERM");
    let stopped = shell.json(&["doctor"]);
    assert_eq!(levels(&stopped), WELL, "{stopped}");
}

#[test]
fn a_damaged_file_and_a_lost_one_are_named() {
    let shell = Shell::new();
    hub_with_a_reader(&shell).stop("-TERM");
    let file = shell.path("syncline-data/spaces/main.db");
    shell.ok(&["backup", "saved"]);
    let mut bad = fs::read(shell.path("saved/spaces/main.db")).unwrap();
    bad[16 << 10..64 << 10].fill(0xa5);
    fs::remove_dir_all(shell.path("syncline-data/spaces")).unwrap();
    fs::create_dir(shell.path("syncline-data/spaces")).unwrap();
    fs::write(&file, bad).unwrap();
    let ran = shell.run(&["doctor"]);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(ran.stdout.contains("WRONG  store") && ran.stdout.contains("syncline restore"), "{}", ran.stdout);
    assert!(ran.stderr.contains("wrong"), "{}", ran.stderr);

    fs::remove_file(&file).unwrap();
    let lost = shell.run(&["doctor"]);
    assert!(lost.code == 1 && lost.stdout.contains("main.db is missing"), "{}", lost.stdout);
    assert_eq!(shell.run(&["doctor", "--data", "nowhere"]).code, 1);

    fs::remove_file(shell.path("syncline-data/hub.db")).unwrap();
    for _ in 0..2 {
        let ran = shell.run(&["doctor"]);
        assert!(ran.code == 1 && ran.stdout.contains("no hub data"), "{}", ran.stdout);
    }
    assert!(!shell.path("syncline-data/hub.db").exists(), "who looks makes nothing");
}

#[test]
fn a_silent_reader_a_strange_variable_and_an_open_address_want_a_look() {
    let shell = Shell::new();
    let hub = hub_with_a_reader(&shell);
    hub.stop("-TERM");
    let variables = [("SYNCLINE_LISTEM", "x"), ("SYNCLINE_LISTEN", "0.0.0.0:7460")];
    let ran = shell.run_with(&variables, &["--json", "doctor", "--set", "retention.log=1ms"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    let looks: Vec<_> =
        levels(&answer).into_iter().filter(|(_, level)| *level == "look").map(|(check, _)| check).collect();
    assert_eq!(looks, ["configuration", "configuration", "horizon"], "{answer}");
    assert!(ran.stdout.contains("SYNCLINE_LISTEM") && ran.stdout.contains("syncline node expire"), "{}", ran.stdout);
}

#[test]
fn a_configuration_that_cannot_be_read_and_a_hub_that_does_not_answer_are_wrong() {
    let shell = Shell::new();
    shell.write("syncline.toml", "listen = [");
    let ran = shell.run(&["--json", "doctor"]);
    assert!(ran.code == 1 && ran.stdout.contains("syncline.toml"), "{}", ran.stdout);
    fs::remove_file(shell.path("syncline.toml")).unwrap();
    let ran = shell.run(&["doctor", "--hub", "http://127.0.0.1:1", "--token", "none"]);
    assert!(ran.code == 1 && ran.stdout.contains("WRONG  hub"), "{}", ran.stdout);
}

#[test]
fn declared_filters_that_leave_other_collections_open_are_pointed_out() {
    let shell = Shell::new();
    let rows = r#"rows = '{"tasks": {"owner": "$sub"}}'"#;
    shell.write("jwt.secret", "a-secret-of-at-least-thirty-two-bytes");
    shell.write(
        "beside.toml",
        &format!(
            "[[tokens]]\nname = \"anna\"\nsecret = \"0123456789abcdef\"\n{rows}\n\
             [[tokens]]\nname = \"ben\"\nsecret = \"fedcba9876543210\"\ncollections = [\"tasks\"]\n{rows}\n\
             [auth.jwt]\nalgorithms = [\"HS256\"]\nsecret_file = \"jwt.secret\"\n\
             [[auth.jwt.grants]]\nname = \"everybody\"\n{rows}\n"
        ),
    );
    let ran = shell.run(&["doctor", "--config", "beside.toml"]);
    for what in ["token `anna`", "grant of signed tokens `everybody`"] {
        let said = format!("{what}: the filters limit `tasks` alone: all other collections of");
        assert!(ran.stdout.contains(&said), "{}", ran.stdout);
    }
    assert!(!ran.stdout.contains("`ben`"), "{}", ran.stdout);
}
