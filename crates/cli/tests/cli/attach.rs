//! `syncline attach`: databases of applications that know nothing of Syncline, as nodes of a real hub.

use crate::eventually::eventually;
use crate::shell::{Hub, Ran, SYNCLINE, Shell};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

const SCHEMA: &str = "
CREATE TABLE brigades(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE daily_reports(
  id INTEGER PRIMARY KEY, date DATE NOT NULL, brigade_id INTEGER NOT NULL REFERENCES brigades(id), remark TEXT);
CREATE TABLE daily_report_lines(
  id INTEGER PRIMARY KEY, report_id INTEGER NOT NULL REFERENCES daily_reports(id) ON DELETE CASCADE, work TEXT, qty REAL);";

/// A hub, and the databases in a scratch directory.
struct World {
    shell: Shell,
    hub: Hub,
}

impl World {
    fn new() -> World {
        let shell = Shell::new();
        let hub = Hub::start(&shell, &[]);
        World { shell, hub }
    }

    /// An application's database, registered at the hub.
    fn app(&self, n: usize) -> Connection {
        let conn = Connection::open(self.shell.path(&format!("{n}.db"))).unwrap();
        conn.busy_timeout(Duration::from_secs(60)).unwrap();
        conn.execute_batch(SCHEMA).unwrap();
        self.shell.ok(&["attach", "init", &format!("{n}.db")]);
        self.register(n);
        conn
    }

    fn register(&self, n: usize) {
        let (id, code, token) = (node(n), format!("APP-{n}"), token(n));
        let admin = ["--hub", &self.hub.url, "--admin-token", self.hub.admin()];
        self.shell.ok(&[&["node", "add", "--id", &id, "--code", &code, "--token", &token], &admin[..]].concat());
    }

    fn attach(&self, command: &str, n: usize, more: &[&str]) -> Ran {
        let (file, id, token) = (format!("{n}.db"), node(n), token(n));
        let args = ["--json", "attach", command, &file, "--node", &id, "--token", &token, "--hub", &self.hub.url];
        self.shell.run(&[&args[..], more].concat())
    }

    /// One round that must work.
    #[track_caller]
    fn once(&self, n: usize) -> Value {
        let ran = self.attach("once", n, &[]);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        serde_json::from_str(&ran.stdout).unwrap()
    }

    /// A device of the library's own, by the hub's log.
    fn device(&self) -> Vec<Value> {
        let link = ["--hub", &self.hub.url, "--token", self.hub.admin(), "--collections", "DailyReport,Brigade"];
        self.shell.ok(&[&["db", "sync", "device.db"], &link[..]].concat());
        self.shell.json(&["db", "find", "device.db", "DailyReport", "--sort", "date"]).as_array().unwrap().clone()
    }
}

pub fn node(n: usize) -> String {
    format!("11111111-1111-4111-8111-{n:012}")
}

pub fn token(n: usize) -> String {
    format!("secret-of-app-{n}")
}

pub fn rows(conn: &Connection, sql: &str) -> Vec<String> {
    let mut find = conn.prepare(sql).unwrap();
    find.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

const REPORTS: &str = "SELECT date || ' ' || name || ' ' || ifnull(remark, '-') || ' '
  || (SELECT ifnull(group_concat(work || '=' || qty), '') FROM daily_report_lines WHERE report_id = r.id)
  FROM daily_reports r JOIN brigades b ON b.id = brigade_id ORDER BY date";

#[test]
fn two_attached_databases_and_a_device_of_the_log_hold_the_same() {
    let world = World::new();
    let (a, b) = (world.app(1), world.app(2));
    a.execute_batch(
        "INSERT INTO brigades VALUES (7, 'north'); INSERT INTO daily_reports VALUES (3, '2025-12-12', 7, NULL);
         INSERT INTO daily_report_lines(report_id, work, qty) VALUES (3, 'dig', 2.5), (3, 'fill', 4.0);",
    )
    .unwrap();
    b.execute_batch(
        "INSERT INTO brigades VALUES (7, 'south'); INSERT INTO daily_reports VALUES (3, '2025-12-13', 7, 'wet')",
    )
    .unwrap();
    assert_eq!(world.once(1)["sent"], 2);
    assert_eq!(world.once(2)["stored"], 2);
    assert_eq!(world.once(1)["stored"], 2);
    assert_eq!(rows(&a, REPORTS), ["2025-12-12 north - dig=2.5,fill=4.0", "2025-12-13 south wet "]);
    assert_eq!(rows(&b, REPORTS), rows(&a, REPORTS));

    let reports = world.device();
    assert_eq!(reports[0]["lines"], json!([{"work": "dig", "qty": 2.5}, {"work": "fill", "qty": 4.0}]));
    let id = reports[1]["_id"].as_str().unwrap();
    world.shell.ok(&["db", "update", "device.db", "DailyReport", id, r#"{"remark": "dry", "photo": "p.jpg"}"#]);
    world.device();
    a.execute_batch("UPDATE daily_report_lines SET qty = 9 WHERE work = 'dig'").unwrap();
    for n in [1, 2, 1] {
        world.once(n);
    }
    b.execute_batch("UPDATE daily_reports SET date = '2025-12-14' WHERE remark = 'dry'").unwrap();
    for n in [2, 1] {
        world.once(n);
    }
    assert_eq!(rows(&a, REPORTS), ["2025-12-12 north - dig=9.0,fill=4.0", "2025-12-14 south dry "]);
    assert_eq!(rows(&b, REPORTS), rows(&a, REPORTS));
    assert_eq!(world.device()[1]["photo"], "p.jpg", "a field without a column survives");

    a.execute_batch("DELETE FROM daily_reports WHERE remark = 'dry'").unwrap();
    for n in [1, 2] {
        world.once(n);
    }
    assert_eq!((rows(&b, REPORTS).len(), world.device().len()), (1, 1));
    for n in [1, 2] {
        let round = world.once(n);
        assert_eq!((&round["sent"], &round["stored"], &round["conflicts"]), (&json!(0), &json!(0), &json!(0)));
    }

    let before = rows(&b, REPORTS);
    let admin = ["--hub", &world.hub.url, "--admin-token", world.hub.admin()];
    world.shell.ok(&[&["node", "set", "APP-2", "--attribute", "again=1"], &admin[..]].concat());
    let round = world.once(2);
    assert_eq!((&round["sent"], &round["stored"]), (&json!(0), &json!(3)), "filled anew, it sends nothing back");
    assert_eq!(rows(&b, REPORTS), before);
}

#[test]
fn edits_of_the_same_row_meet_at_the_hub_and_the_loser_is_told() {
    let world = World::new();
    let (a, b) = (world.app(1), world.app(2));
    a.execute_batch(
        "INSERT INTO brigades VALUES (1, 'x'); INSERT INTO daily_reports VALUES (1, '2025-12-12', 1, 'old')",
    )
    .unwrap();
    for n in [1, 2] {
        world.once(n);
    }
    a.execute_batch("UPDATE daily_reports SET remark = 'from a'").unwrap();
    b.execute_batch("UPDATE daily_reports SET remark = 'from b', date = '2025-12-15'").unwrap();
    // The later edit arrives first.
    world.once(2);
    let round = world.once(1);
    world.once(2);
    assert_eq!(rows(&a, REPORTS), ["2025-12-15 x from b "]);
    assert_eq!(rows(&b, REPORTS), rows(&a, REPORTS));
    assert_eq!(round["conflicts"], 1);
    let status = world.shell.json(&["attach", "status", "1.db"]);
    assert!(status["conflicts"][0]["ours"].as_str().unwrap().contains("from a"), "{status}");
    assert!(world.shell.ok(&["attach", "status", "1.db"]).contains("from b"));
}

/// `attach run` in the background.
pub struct Running(Child);

impl Running {
    fn start(world: &World, n: usize) -> Running {
        Running::on(&world.shell, &world.hub, &format!("{n}.db"), n)
    }

    /// On a database of whatever kind.
    pub fn on(shell: &Shell, hub: &Hub, place: &str, n: usize) -> Running {
        let (id, token) = (node(n), token(n));
        let args = ["--json", "attach", "run", place, "--node", &id, "--token", &token, "--hub", &hub.url];
        let mut command = shell.command(SYNCLINE);
        command.args(args).args(["--interval", "1", "--max-interval", "1"]);
        Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Waits for a line that says this.
    fn says(&mut self, words: &str) {
        let mut lines = BufReader::new(self.0.stdout.as_mut().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains(words)), "it ended without saying {words}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn running_databases_hear_of_each_other_and_stop_when_they_are_told() {
    let world = World::new();
    let (a, b) = (world.app(1), world.app(2));
    let (mut first, second) = (Running::start(&world, 1), Running::start(&world, 2));
    a.execute_batch("INSERT INTO brigades VALUES (1, 'quick')").unwrap();
    first.says("\"event\":\"round\"");
    eventually("the row arrives", || (rows(&b, "SELECT name FROM brigades") == ["quick"]).then_some(()));
    for mut running in [first, second] {
        let sent = std::process::Command::new("kill").args(["-TERM", &running.0.id().to_string()]).status().unwrap();
        assert!(sent.success() && running.0.wait().unwrap().success());
    }
}

#[test]
fn a_locked_database_and_a_hub_that_is_away_cost_nothing_but_time() {
    let world = World::new();
    let a = world.app(1);
    world.once(1);
    a.execute_batch("BEGIN IMMEDIATE; INSERT INTO brigades VALUES (1, 'locked')").unwrap();
    let locked = world.attach("once", 1, &["--busy-timeout", "50"]);
    assert_eq!(locked.code, 1);
    assert!(locked.stderr.contains("locked by its application for 50 ms"), "{}", locked.stderr);
    a.execute_batch("COMMIT").unwrap();
    let nowhere = ["attach", "once", "1.db", "--token", "t", "--hub", "http://127.0.0.1:1"];
    let away = world.shell.fails(1, &nowhere);
    assert!(away.contains("cannot reach the hub at http://127.0.0.1:1") && away.contains("waits"), "{away}");
    assert_eq!(world.once(1)["sent"], 1);
}

#[test]
fn looking_first_and_taking_away_afterwards_leave_the_database_as_it_was() {
    let world = World::new();
    let a = world.app(1);
    a.execute_batch("INSERT INTO brigades VALUES (1, 'x')").unwrap();
    let schema = "SELECT name || ifnull(sql, '') FROM sqlite_schema ORDER BY name";
    let before = rows(&a, schema);
    let preview = world.shell.json(&["attach", "once", "1.db", "--dry-run"]);
    assert_eq!((&preview["attached"], &preview["types"][0]["rows"]), (&json!(false), &json!(1)));
    assert_eq!(rows(&a, schema), before);
    world.once(1);
    a.execute_batch("UPDATE brigades SET name = 'y'").unwrap();
    let refused = world.shell.fails(1, &["attach", "remove", "1.db"]);
    assert!(refused.contains("1 change has not reached the hub") && refused.contains("--force"), "{refused}");
    world.once(1);
    world.shell.ok(&["attach", "remove", "1.db"]);
    assert_eq!(rows(&a, schema), before);
    let gone = world.shell.fails(1, &["attach", "status", "1.db"]);
    assert!(gone.contains("is not attached"), "{gone}");
}

#[test]
fn what_cannot_work_is_answered_with_the_place_and_the_next_step() {
    let world = World::new();
    drop(world.app(1));
    let shell = &world.shell;
    let refused = |mapping: &str| {
        shell.write("wrong.toml", mapping);
        shell.fails(
            2,
            &["attach", "once", "1.db", "--mapping", "wrong.toml", "--token", "t", "--hub", "http://127.0.0.1:1"],
        )
    };
    for (mapping, said) in [
        ("types = 1", "wrong.toml"),
        ("[types.A]\ntable = \"nothing\"", "names `nothing`, which is no table of the database; it has: brigades"),
        ("[types.A]\ntable = \"brigades\"\nexclude = [\"nam\"]", "`types.A.exclude` names `nam`"),
        ("schema_version = \"new\"", "schema_version"),
    ] {
        let text = refused(mapping);
        assert!(text.contains(said) && text.contains("docs/attach.md"), "{text}");
    }
    let missing = shell.fails(2, &["attach", "status", "1.db", "--mapping", "no.toml"]);
    assert!(missing.contains("no mapping at no.toml") && missing.contains("attach init"), "{missing}");
    let there = shell.fails(2, &["attach", "init", "1.db"]);
    assert!(there.contains("1.db.toml is there already"), "{there}");
    assert!(shell.fails(1, &["attach", "init", "no.db"]).contains("no database at no.db"));
    let address = shell.fails(2, &["attach", "once", "mysql://localhost/shop", "--token", "t"]);
    assert!(address.contains("`mysql://…` cannot be attached"), "{address}");

    let stranger = world.attach("once", 1, &["--token", "wrong-token"]);
    assert_eq!(stranger.code, 2, "a flag twice is a mistake: {}", stranger.stderr);
    let stranger =
        shell.fails(1, &["attach", "once", "1.db", "--node", &node(1), "--token", "wrong", "--hub", &world.hub.url]);
    assert!(stranger.contains(&node(1)) && stranger.contains("syncline node add --id"), "{stranger}");
    world.once(1);
    let moved =
        shell.fails(1, &["attach", "once", "1.db", "--node", &node(2), "--token", "t", "--hub", &world.hub.url]);
    assert!(moved.contains(&format!("is node {}", node(1))), "{moved}");

    let schema = std::fs::read_to_string(shell.path("1.db.toml")).unwrap().replace("1.0.0", "7.0.0");
    shell.write("7.toml", &schema);
    let other = world.attach("once", 1, &["--mapping", "7.toml"]);
    assert!(other.code == 1 && other.stderr.contains("7.0.0") && other.stderr.contains("409"), "{}", other.stderr);
    assert_eq!(world.once(1)["sent"], 0, "none of it has done any harm");
}

#[test]
fn a_disk_without_room_stops_a_round_and_nothing_is_half_done() {
    let world = World::new();
    let conn = world.app(1);
    world.once(1);
    let name = "x".repeat(100_000);
    world.shell.ok(&["db", "insert", "device.db", "Brigade", &json!({ "name": name }).to_string()]);
    let link = ["--hub", &world.hub.url, "--token", world.hub.admin(), "--collections", "Brigade"];
    world.shell.ok(&[&["db", "sync", "device.db"], &link[..]].concat());

    // Files may grow by a few blocks. Without the trap the system would end the process, which a full disk does not do.
    let blocks = std::fs::metadata(world.shell.path("1.db")).unwrap().len() / 512 + 60;
    let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    let once = ["attach", "once", "1.db", "--hub", &world.hub.url, "--token", &token(1)];
    let ran = world.shell.command("sh").args(["-c", &limited, "sh", SYNCLINE]).args(once).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(!ran.status.success() && said.contains("disk"), "{said}");
    assert_eq!(rows(&conn, "SELECT name FROM brigades"), [""; 0]);
    assert_eq!(world.once(1)["stored"], 1);
    assert_eq!(rows(&conn, "SELECT name FROM brigades"), [name]);
}
