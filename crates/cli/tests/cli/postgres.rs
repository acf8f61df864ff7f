//! Hubs that share a database.

#[path = "../../../server/tests/support/postgres.rs"]
pub mod server;

use crate::shell::{Hub, Shell};
use server::Postgres;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// A database that is empty, as a variable and its value.
pub fn database() -> (String, Vec<(&'static str, String)>) {
    let server = Postgres::shared();
    let name = server.database();
    let url = server.url(&name);
    (name, vec![("SYNCLINE_STORE", url)])
}

#[test]
fn two_hubs_on_one_database_are_one() {
    let (_, variables) = database();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let shell = Shell::new();
    let one = Hub::start_with(&shell, &variables, &[]);
    let two = Hub::start_with(&shell, &variables, &[]);
    assert!(one.admin.is_some() && two.admin.is_none(), "there is one first admin");
    let admin = one.admin();

    shell.ok(&["token", "add", "desk", "--hub", &one.url, "--token", admin]);
    let made = shell.json(&["token", "rotate", "desk", "--hub", &two.url, "--token", admin]);
    let desk = made["token"].as_str().unwrap();
    shell.ok(&["db", "insert", "a.db", "notes", r#"{"_id":"n1","title":"milk"}"#]);
    let sync = ["db", "sync", "a.db", "--hub", &one.url, "--token", desk, "--collections", "notes"];
    let until = Instant::now() + LONG;
    while shell.run(&sync).code != 0 {
        assert!(Instant::now() < until, "the first worker hears of the new token");
        sleep(Duration::from_millis(50)); // sleep: until another process has heard
    }
    shell.ok(&["db", "sync", "b.db", "--hub", &two.url, "--token", desk, "--collections", "notes"]);
    assert_eq!(shell.json(&["db", "find", "b.db", "notes"])[0]["title"], "milk");

    let beside = shell.run_with(&variables, &["--json", "status"]);
    assert_eq!(beside.code, 0, "{}", beside.stderr);
    assert!(beside.stdout.contains("\"head\": 1") || beside.stdout.contains("\"head\":1"), "{}", beside.stdout);
    let (status, _, log) = one.stop("-TERM");
    assert!(status.success(), "{log}");
    shell.ok(&["db", "insert", "b.db", "notes", r#"{"_id":"n2","title":"bread"}"#]);
    shell.ok(&["db", "sync", "b.db", "--hub", &two.url, "--token", desk, "--collections", "notes"]);
    assert!(!shell.path("syncline-data").exists(), "nothing is kept beside the database");
}

#[test]
fn of_workers_that_start_together_on_an_empty_database_one_makes_the_first_admin() {
    let (_, variables) = database();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let shell = Shell::new();
    let hubs: Vec<Hub> = thread::scope(|scope| {
        let starts: Vec<_> = (0..3).map(|_| scope.spawn(|| Hub::start_with(&shell, &variables, &[]))).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    let admins: Vec<&str> = hubs.iter().filter_map(|hub| hub.admin.as_deref()).collect();
    assert_eq!(admins.len(), 1, "{admins:?}");
    for hub in &hubs {
        let tokens = shell.json(&["token", "list", "--hub", &hub.url, "--token", admins[0]]);
        assert_eq!(tokens.as_array().unwrap().len(), 1, "{tokens}");
    }
}

#[test]
fn a_hub_that_is_configured_otherwise_than_the_one_before_says_where() {
    let (_, variables) = database();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let shell = Shell::new();
    let one = Hub::start_with(&shell, &variables, &[]);
    let other = ["--set", "retention.log=1d", "--set", "exchange.schema_version=2.0.0"];
    let two = Hub::start_with(&shell, &variables, &other);
    let (_, _, log) = two.stop("-TERM");
    for word in ["retention.log", "exchange.schema_version", "1.0.0", "2.0.0", "the same configuration"] {
        assert!(log.contains(word), "{word}: {log}");
    }
    let (_, _, log) = one.stop("-TERM");
    assert!(!log.contains("another setting"), "the first one has nobody to differ from: {log}");
}

#[test]
fn a_database_that_cannot_be_used_is_named_without_its_password() {
    let server = Postgres::shared();
    let database = server.database();
    let role = format!("user_of_{database}");
    server.run(&database, &format!("ALTER ROLE syncline PASSWORD 'x'; CREATE ROLE {role} LOGIN PASSWORD 'right'"));
    let shell = Shell::new();
    let serve = |store: &str| shell.fails(1, &["serve", "--listen", "127.0.0.1:0", "--store", store]);

    let nowhere = serve(&server.url("no_such_database"));
    assert!(nowhere.contains("no_such_database") && nowhere.contains("createdb"), "{nowhere}");
    let unreadable = serve("postgres://ann:s3cret@/hub?colour=red&host=/tmp");
    assert!(unreadable.contains("colour") && !unreadable.contains("s3cret"), "{unreadable}");
    let weak = serve(&server.url_as(&role, &database));
    assert!(weak.contains("permission denied") && weak.contains("GRANT CREATE"), "{weak}");
    shell.write("password", "also given\n");
    let twice = ["serve", "--store", "postgres://ann:s3cret@localhost/hub", "--set", "postgres.password_file=password"];
    let twice = shell.fails(1, &twice);
    assert!(twice.contains("given twice") && !twice.contains("s3cret"), "{twice}");

    let shown = shell.run_with(&[("SYNCLINE_STORE", "postgres://ann:s3cret@db/hub")], &["config"]);
    assert!(shown.stdout.contains("store") && !shown.stdout.contains("s3cret"), "{}", shown.stdout);
}

#[test]
fn a_hub_moves_to_a_database_and_back_and_devices_go_on() {
    let server = Postgres::shared();
    let database = server.database();
    let url = server.url(&database);
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    let admin = hub.admin().to_owned();
    let sync = |hub: &str, file: &str| {
        shell.ok(&["db", "sync", file, "--hub", hub, "--token", &admin, "--collections", "notes"])
    };
    shell.ok(&["db", "insert", "a.db", "notes", r#"{"_id":"n1","title":"milk"}"#]);
    sync(&hub.url, "a.db");
    sync(&hub.url, "b.db");
    let refused = shell.fails(1, &["migrate", "--from", "sqlite:syncline-data", "--to", &url]);
    assert!(refused.contains("is in use"), "{refused}");
    let before = shell.json(&["status", "--hub", &hub.url, "--token", &admin]);
    drop(hub.stop("-TERM"));

    let empty = shell.fails(1, &["migrate", "--from", &url, "--to", "sqlite:back"]);
    assert!(empty.contains("there is no hub in it"), "{empty}");

    let moved = shell.json(&["migrate", "--from", "sqlite:syncline-data", "--to", &url]);
    assert_eq!((&moved[0]["space"], &moved[0]["epoch"]), (&before[0]["space"], &before[0]["epoch"]));
    let again = shell.fails(1, &["migrate", "--from", "sqlite:syncline-data", "--to", &url]);
    assert!(again.contains("holds a hub already"), "{again}");
    let shared = Hub::start(&shell, &["--store", &url]);
    assert!(shared.admin.is_none(), "tokens have come along");
    shell.ok(&["db", "update", "a.db", "notes", "n1", r#"{"title":"oat milk"}"#]);
    sync(&shared.url, "a.db");
    sync(&shared.url, "b.db");
    assert_eq!(shell.json(&["db", "find", "b.db", "notes"])[0]["title"], "oat milk");
    let used = shell.fails(1, &["migrate", "--from", &url, "--to", "sqlite:back"]);
    assert!(used.contains("hubs use it"), "{used}");
    drop(shared.stop("-TERM"));

    shell.ok(&["migrate", "--from", &url, "--to", "sqlite:back"]);
    let hub = Hub::start(&shell, &["--data", "back"]);
    assert!(hub.admin.is_none());
    sync(&hub.url, "b.db");
    let after = shell.json(&["status", "--hub", &hub.url, "--token", &admin]);
    assert_eq!(after[0]["epoch"], before[0]["epoch"]);
    assert_eq!(after[0]["head"], 2);
}
