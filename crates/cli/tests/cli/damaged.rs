//! Data that is not what was written: damaged files, files without a hub, backups that somebody would start a hub on. Who looks
//! is told, and nothing makes it worse.

use super::eventually::eventually;
use super::shell::{Hub, Ran, Shell};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

const TOKEN: &str = "correct-horse-battery-staple";

fn start(shell: &Shell) -> Hub {
    Hub::start_with(shell, &[("SYNCLINE_ADMIN_TOKEN", TOKEN)], &[])
}

fn sync(shell: &Shell, hub: &Hub, file: &str, token: &str) -> Ran {
    shell.run(&["db", "sync", file, "--hub", &hub.url, "--token", token, "--collections", "notes"])
}

/// A stopped hub with documents of some length in the spaces `main` and `shop`, and a backup of it. The token of `shop`.
fn filled(shell: &Shell) -> String {
    let hub = start(shell);
    let added = shell.json(&["token", "add", "till", "--space", "shop", "--hub", &hub.url, "--token", TOKEN]);
    let till = added["token"].as_str().unwrap().to_owned();
    let lines: Vec<String> = (0..200).map(|n| format!(r#"{{"_id":"n{n}","text":"{}"}}"#, "x".repeat(2_000))).collect();
    shell.write("notes.ndjson", &lines.join("\n"));
    for (file, token) in [("a.db", TOKEN), ("b.db", &till)] {
        shell.ok(&["db", "import", file, "notes", "notes.ndjson"]);
        let ran = sync(shell, &hub, file, token);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    shell.ok(&["backup", "good"]);
    hub.stop("-TERM");
    assert!(!shell.path("syncline-data/spaces/main.db-wal").exists(), "a hub that has stopped leaves whole files");
    till
}

/// Overwrites the second half of a space's file, which holds documents; the schema is at its beginning.
fn damage(file: &Path) {
    let pages = fs::metadata(file).unwrap().len() / 8_192;
    let open = fs::OpenOptions::new().write(true).open(file).unwrap();
    for page in pages / 2..pages {
        open.write_all_at(&[0xa5; 8_192], page * 8_192).unwrap();
    }
}

/// Writes other bytes where these stand first.
fn spoil(file: &Path, these: &[u8], others: &[u8]) {
    let bytes = fs::read(file).unwrap();
    let at = bytes.windows(these.len()).position(|here| here == these).expect("they stand there");
    let open = fs::OpenOptions::new().write(true).open(file).unwrap();
    open.write_all_at(others, at as u64).unwrap();
}

fn get(hub: &Hub, path: &str) -> (u16, String) {
    let url = format!("{}{path}", hub.url);
    let header = format!("Authorization: Bearer {TOKEN}");
    let output = Command::new("curl").args(["-s", "-w", "\n%{http_code}", "-H", &header, &url]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

#[test]
fn a_damaged_space_is_left_out_of_a_backup_and_brought_back_by_itself_from_an_earlier_one() {
    let shell = Shell::new();
    let till = filled(&shell);
    let hub = start(&shell);
    shell.ok(&["db", "insert", "b.db", "notes", r#"{"_id":"later"}"#]);
    assert_eq!(sync(&shell, &hub, "b.db", &till).code, 0);
    hub.stop("-TERM");
    damage(&shell.path("syncline-data/spaces/main.db"));

    let said = shell.fails(1, &["backup", "part"]);
    assert!(said.contains("lacks space `main`") && said.contains("spaces/main.db is damaged"), "{said}");
    assert!(said.contains("the other spaces are saved") && said.contains("--space NAME"), "{said}");
    let hub = start(&shell);
    let afar = shell.fails(1, &["backup", "afar", "--hub", &hub.url, "--token", TOKEN]);
    assert!(afar.contains("lacks space `main`"), "{afar}");
    hub.stop("-TERM");
    for backup in ["part", "afar"] {
        let ran = shell.run(&["restore", backup, "--data", &format!("from-{backup}")]);
        assert!(ran.code == 0 && ran.stdout.contains("It lacks space `main`"), "{} {}", ran.stdout, ran.stderr);
        assert!(!shell.path(&format!("{backup}/spaces/main.db")).exists(), "no half copy");
        let said = shell.fails(1, &["restore", backup, "--space", "main"]);
        assert!(said.contains("`main` is not in it") && said.contains("earlier backup"), "{said}");
    }

    for data in ["syncline-data", "from-afar"] {
        let ran = shell.run(&["restore", "good", "--data", data, "--space", "main"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(ran.stdout.contains("main.db.replaced-1"), data == "syncline-data", "{}", ran.stdout);
        let doctor = shell.run(&["doctor", "--data", data]);
        assert_eq!(doctor.code, 0, "{}", doctor.stdout);
    }
    let hub = start(&shell);
    let status = shell.json(&["status", "--hub", &hub.url, "--token", TOKEN]);
    let heads: Vec<_> = status.as_array().unwrap().iter().map(|space| &space["head"]).collect();
    assert_eq!(heads, [200, 201], "the other space keeps what came after the backup: {status}");
    assert_eq!(sync(&shell, &hub, "a.db", TOKEN).code, 0, "devices begin anew");
    let said = shell.fails(1, &["restore", "good", "--space", "main"]);
    assert!(said.contains("is in use"), "{said}");
}

#[test]
fn one_space_is_brought_back_only_from_a_backup_that_has_it_into_data_that_are_there() {
    let shell = Shell::new();
    filled(&shell);
    let said = shell.fails(1, &["restore", "good", "--space", "garden"]);
    assert!(said.contains("no space `garden` in it"), "{said}");
    assert!(shell.fails(1, &["restore", "good", "--space", "main", "--data", "nowhere"]).contains("hub.db is missing"));
    assert!(shell.fails(1, &["restore", "good", "--space", "main", "--data", "good"]).contains("this is a backup"));
    let file = fs::OpenOptions::new().write(true).open(shell.path("good/spaces/main.db")).unwrap();
    file.set_len(8_192).unwrap();
    let said = shell.fails(1, &["restore", "good", "--space", "main"]);
    assert!(said.contains("it is cut"), "{said}");
    let doctor = shell.run(&["doctor"]);
    assert_eq!(doctor.code, 0, "what stands there stays: {}", doctor.stdout);
    let hub = start(&shell);
    assert!(!shell.path("syncline-data/incoming").exists(), "nothing is left behind");
    drop(hub);
}

#[test]
fn damage_that_nobody_reads_is_told_by_status_readiness_and_metrics() {
    let shell = Shell::new();
    filled(&shell);
    damage(&shell.path("syncline-data/spaces/main.db"));
    spoil(&shell.path("syncline-data/spaces/shop.db"), br#""_id":"n7""#, br#""_id" "n7""#);
    let hub = Hub::start_with(&shell, &[("SYNCLINE_ADMIN_TOKEN", TOKEN)], &["--set", "retention.look_every=300ms"]);

    let said = eventually("both are told", || {
        let said: Value = serde_json::from_str(&get(&hub, "/health/ready").1).unwrap();
        (said["failed"] == 1 && said["damaged"] == 1).then_some(said)
    });
    assert_eq!(said["status"], "degraded");
    assert!(said["spaces"]["shop"].as_str().unwrap().contains("`n7` in `notes` is damaged"), "{said}");
    let (_, metrics) = get(&hub, "/metrics");
    assert!(metrics.contains("\nsyncline_damaged_spaces 1\n"), "{metrics}");
    let status = shell.run(&["status", "--space", "shop", "--hub", &hub.url, "--token", TOKEN]);
    assert!(status.stdout.contains("damaged: document `n7` in `notes`"), "{} {}", status.stdout, status.stderr);
    let doctor = shell.run(&["doctor", "--hub", &hub.url, "--token", TOKEN]);
    assert!(doctor.code == 1 && doctor.stdout.contains("space `shop`: document `n7`"), "{}", doctor.stdout);
}

#[test]
fn the_hubs_own_file_is_looked_at_as_well() {
    let shell = Shell::new();
    filled(&shell);
    let hub = Hub::start_with(&shell, &[("SYNCLINE_ADMIN_TOKEN", TOKEN)], &["--set", "retention.look_every=300ms"]);
    eventually("it is found sound", || {
        let (_, metrics) = get(&hub, "/metrics");
        assert!(metrics.contains("\nsyncline_records_damaged 0\n"), "{metrics}");
        (!metrics.contains("\nsyncline_records_looked_at_seconds 0\n")).then_some(())
    });

    spoil(&shell.path("syncline-data/hub.db"), br#"{"hash":""#, br#"{"hash" ""#);

    let said = eventually("it is told", || {
        let said: Value = serde_json::from_str(&get(&hub, "/health/ready").1).unwrap();
        (said["store"] == "damaged").then_some(said)
    });
    assert_eq!(said["status"], "degraded");
    assert!(said["trouble"][0].as_str().unwrap().contains("the token `till` is no JSON any more"), "{said}");
    assert!(get(&hub, "/metrics").1.contains("\nsyncline_records_damaged 1\n"));
    let status = shell.run(&["status", "--hub", &hub.url, "--token", TOKEN]);
    assert!(status.code == 0 && status.stderr.contains("damaged: the data file"), "{}", status.stderr);
    let doctor = shell.run(&["doctor", "--hub", &hub.url, "--token", TOKEN]);
    assert!(doctor.code == 1 && doctor.stdout.contains("hub.db is damaged"), "{}", doctor.stdout);
    damage(&shell.path("syncline-data/hub.db"));
    eventually("damaged pages are told", || {
        let said: Value = serde_json::from_str(&get(&hub, "/health/ready").1).unwrap();
        (!said["trouble"][0].as_str()?.contains("is no JSON")).then_some(())
    });
    fs::remove_file(shell.path("syncline-data/hub.db")).unwrap();
    eventually("its loss is told", || {
        let said: Value = serde_json::from_str(&get(&hub, "/health/ready").1).unwrap();
        said["trouble"][0].as_str()?.contains("hub.db is missing").then_some(())
    });
}

#[test]
fn a_sound_space_says_when_it_was_looked_at() {
    let shell = Shell::new();
    filled(&shell);
    let hub = Hub::start_with(&shell, &[("SYNCLINE_ADMIN_TOKEN", TOKEN)], &["--set", "retention.look_every=300ms"]);
    let status = eventually("it is looked at", || {
        let status = shell.json(&["status", "--hub", &hub.url, "--token", TOKEN]);
        status.as_array().unwrap().iter().all(|space| space["looked_at"].is_string()).then_some(status)
    });
    assert!(status[0].get("damage").is_none(), "{status}");
    let (_, metrics) = get(&hub, "/metrics");
    assert!(metrics.contains("\nsyncline_space_damaged{space=\"main\"} 0\n"), "{metrics}");
    assert!(!metrics.contains("syncline_space_looked_at_seconds{space=\"main\"} 0\n"), "{metrics}");
}

#[test]
fn a_backup_that_was_damaged_when_it_was_made_is_not_brought_back() {
    let shell = Shell::new();
    filled(&shell);
    let file = shell.path("good/spaces/main.db");
    let sum = || {
        let output = Command::new("sha256sum").arg(&file).output().unwrap();
        String::from_utf8(output.stdout).unwrap()[..64].to_owned()
    };
    let before = sum();
    damage(&file);
    let manifest = fs::read_to_string(shell.path("good/manifest.json")).unwrap();
    shell.write("good/manifest.json", &manifest.replace(&before, &sum()));

    let said = shell.fails(1, &["restore", "good", "--data", "back"]);

    assert!(said.contains("main.db") && said.contains("take an earlier backup"), "{said}");
    assert!(!shell.path("back").exists());
}

#[test]
fn a_space_that_cannot_be_read_counts_in_readiness_and_metrics_and_takes_nothing_in() {
    let shell = Shell::new();
    let till = filled(&shell);
    damage(&shell.path("syncline-data/spaces/main.db"));
    let hub = start(&shell);

    assert_ne!(sync(&shell, &hub, "new.db", TOKEN).code, 0, "it cannot be read");

    let (status, body) = get(&hub, "/health/ready");
    let said: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &said["status"], &said["failed"]), (200, &json!("degraded"), &json!(1)), "{body}");
    assert!(said["spaces"]["main"].as_str().unwrap().contains("is damaged"), "{body}");
    let (_, metrics) = get(&hub, "/metrics");
    assert!(metrics.contains("\nsyncline_failed_spaces 1\n"), "{metrics}");
    assert!(metrics.contains("\nsyncline_space_failed{space=\"main\"} 1\n"), "{metrics}");
    shell.ok(&["db", "insert", "a.db", "notes", r#"{"_id":"later"}"#]);
    assert_ne!(sync(&shell, &hub, "a.db", TOKEN).code, 0, "what it took would go with the file");
    assert_eq!(shell.json(&["db", "unsynced", "a.db"]).as_array().unwrap().len(), 1, "it waits on the device");
    assert_eq!(sync(&shell, &hub, "new-shop.db", &till).code, 0, "the other space goes on");
    let doctor = shell.run(&["doctor", "--hub", &hub.url, "--token", TOKEN]);
    assert!(doctor.code == 1 && doctor.stdout.contains("WRONG  hub: space `main`"), "{}", doctor.stdout);
    assert!(!doctor.stdout.contains("fine   hub"), "{}", doctor.stdout);
}

#[test]
fn a_space_that_cannot_be_opened_counts_until_it_can() {
    let shell = Shell::new();
    let till = filled(&shell);
    let (file, good) = (shell.path("syncline-data/spaces/shop.db"), shell.path("good/spaces/shop.db"));
    fs::write(&file, "").unwrap();
    let hub = start(&shell);
    assert_eq!(get(&hub, "/health/ready").0, 200, "nobody has asked for it");

    assert_ne!(sync(&shell, &hub, "b.db", &till).code, 0);

    let (_, body) = get(&hub, "/health/ready");
    assert!(body.contains("degraded") && body.contains("shop.db"), "{body}");
    assert_eq!(fs::metadata(&file).unwrap().len(), 0, "it is not begun anew");
    fs::copy(good, file).unwrap();
    let (_, body) = get(&hub, "/health/ready");
    assert!(body.contains("\"ok\"") && !body.contains("degraded"), "{body}");
}

#[test]
fn files_of_spaces_without_a_hub_are_named_and_taken_up_only_when_somebody_says_so() {
    let shell = Shell::new();
    filled(&shell);
    fs::remove_file(shell.path("syncline-data/hub.db")).unwrap();
    let before = fs::read_dir(shell.path("syncline-data")).unwrap().count();

    let doctor = shell.run(&["doctor"]);
    assert!(doctor.code == 1 && doctor.stdout.contains("main.db, shop.db"), "{}", doctor.stdout);
    let said = shell.fails(1, &["serve", "--listen", "127.0.0.1:0"]);
    assert!(said.contains("main.db, shop.db") && said.contains("--adopt"), "{said}");
    assert!(said.contains("syncline restore"), "{said}");
    assert_eq!(fs::read_dir(shell.path("syncline-data")).unwrap().count(), before, "nothing is made");

    let hub = Hub::start_with(&shell, &[("SYNCLINE_ADMIN_TOKEN", TOKEN)], &["--adopt"]);
    let status = shell.json(&["status", "--hub", &hub.url, "--token", TOKEN]);
    let heads: Vec<_> = status.as_array().unwrap().iter().map(|space| &space["head"]).collect();
    assert_eq!(heads, [200, 200], "{status}");
}

#[test]
fn a_file_that_no_space_owns_is_named_by_doctor_and_serve() {
    let shell = Shell::new();
    filled(&shell);
    fs::copy(shell.path("good/spaces/shop.db"), shell.path("syncline-data/spaces/stray.db")).unwrap();

    let doctor = shell.run(&["doctor"]);
    assert_eq!(doctor.code, 0, "{}", doctor.stdout);
    assert!(doctor.stdout.contains("look   store: the file spaces/stray.db"), "{}", doctor.stdout);
    let (_, _, log) = start(&shell).stop("-TERM");
    assert!(log.contains("stray.db") && log.contains("--adopt"), "{log}");
}

#[test]
fn a_backup_is_looked_at_and_nobody_starts_a_hub_on_it() {
    let shell = Shell::new();
    filled(&shell);
    let names = || {
        let list = |dir| fs::read_dir(shell.path(dir)).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = list("good").chain(list("good/spaces")).collect();
        names.sort();
        names
    };
    let before = names();

    let doctor = shell.run(&["doctor", "--data", "good"]);
    assert!(doctor.code == 0 && doctor.stdout.contains("fine   store"), "{}", doctor.stdout);
    assert!(doctor.stdout.contains("is a backup") && doctor.stdout.contains("syncline restore"), "{}", doctor.stdout);
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["token", "list"], &["backup", "again"]] {
        let said = shell.fails(1, &[command, &["--data", "good"]].concat());
        assert!(said.contains("this is a backup") && said.contains("syncline restore good"), "{said}");
    }
    assert_eq!(names(), before, "nothing is left in it");
    damage(&shell.path("good/spaces/main.db"));
    let doctor = shell.run(&["doctor", "--data", "good"]);
    assert!(doctor.code == 1 && doctor.stdout.contains("main.db is damaged"), "{}", doctor.stdout);
}

#[test]
fn no_backup_goes_into_data_and_no_data_into_a_backup() {
    let shell = Shell::new();
    filled(&shell);
    for command in [&["backup", "syncline-data/bk"][..], &["restore", "good", "--data", "good/spaces/back"]] {
        let said = shell.fails(1, command);
        assert!(said.contains("name a directory outside it"), "{said}");
    }
    assert!(!shell.path("syncline-data/bk").exists() && !shell.path("good/spaces/back").exists());
    fs::create_dir(shell.path("busy.part")).unwrap();
    let lock = fs::File::create(shell.path("busy.part/lock")).unwrap();
    lock.lock().unwrap();
    let said = shell.fails(1, &["backup", "busy"]);
    assert!(said.contains("right now") && !said.contains("--hub"), "{said}");

    fs::remove_file(shell.path("good/hub.db")).unwrap();
    let said = shell.fails(1, &["restore", "good", "--data", "back"]);
    assert!(said.contains("hub.db") && said.contains("take another backup"), "{said}");
    assert!(shell.fails(1, &["restore", "nothing", "--data", "back"]).contains("check the path"));
}

#[test]
fn missing_rights_and_a_lost_file_are_told_with_the_way_on() {
    let shell = Shell::new();
    filled(&shell);
    fs::remove_file(shell.path("syncline-data/spaces/shop.db")).unwrap();
    let doctor = shell.run(&["doctor"]);
    assert!(doctor.code == 1 && doctor.stdout.contains("shop.db is missing"), "{}", doctor.stdout);
    assert!(doctor.stdout.contains("Without a backup"), "{}", doctor.stdout);
    assert!(!doctor.stdout.contains("fine   hub"), "{}", doctor.stdout);

    let hub = start(&shell);
    for flags in [&["--token", "a-wrong-token"][..], &[]] {
        let ran = shell.run(&[&["doctor", "--hub", &hub.url], flags].concat());
        assert!(ran.code == 0 && ran.stdout.contains("look   hub"), "{}", ran.stdout);
    }
}
