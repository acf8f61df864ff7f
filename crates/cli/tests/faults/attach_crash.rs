//! Attached databases, and their hub, killed in the middle of rounds while their applications go on writing: afterwards
//! all hold the same rows, and no row was lost or doubled.

use crate::eventually::eventually;
use crate::http::{self, Request};
use crate::hub::{Hub, SYNCLINE, TOKEN};
use crate::proxy::{Proxy, Weather};
use fastrand::Rng;
use rusqlite::Connection;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const ROUNDS: usize = 6;
/// Rows that both applications edit.
const SHARED: usize = 4;

const SCHEMA: &str = "
PRAGMA journal_mode = WAL;
CREATE TABLE reports(id INTEGER PRIMARY KEY, title TEXT NOT NULL UNIQUE, n INTEGER);
CREATE TABLE report_lines(id INTEGER PRIMARY KEY, report_id INTEGER NOT NULL REFERENCES reports(id) ON DELETE CASCADE, k INTEGER);";

const MAPPING: &str = r#"
[types.Report]
table = "reports"
match = ["title"]
[types.Report.lines.lines]
table = "report_lines"
parent = "report_id"
"#;

/// An application and its file.
struct App {
    name: &'static str,
    file: PathBuf,
    conn: Connection,
    /// Titles of rows that it made and did not remove.
    made: BTreeSet<String>,
}

impl App {
    fn new(name: &'static str, home: &Path, hub: &Hub) -> App {
        let file = home.join(format!("{name}.db"));
        let conn = Connection::open(&file).unwrap();
        conn.busy_timeout(Duration::from_secs(60)).unwrap();
        conn.execute_batch(SCHEMA).unwrap();
        std::fs::write(home.join(format!("{name}.db.toml")), MAPPING).unwrap();
        let wish = json!({ "id": id(name), "code": name, "name": name, "token": token(name) }).to_string();
        let (method, path, body) = ("POST", "/admin/spaces/main/nodes", Some(wish.as_bytes()));
        let reply = http::send(&hub.address, &Request { method, path, token: TOKEN, body }).unwrap();
        assert_eq!(reply.status, 200, "{:?}", reply.json());
        App { name, file, conn, made: BTreeSet::new() }
    }

    /// `syncline attach once`, as a process of its own.
    fn round(&self, address: &str) -> Child {
        let hub = format!("http://{address}");
        Command::new(SYNCLINE)
            .args(["--json", "attach", "once"])
            .arg(&self.file)
            .args(["--node", &id(self.name), "--token", &token(self.name), "--hub", &hub, "--busy-timeout", "60000"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// New rows with lines, edits and removals of some, edits of those that all share.
    fn write(&mut self, round: usize, rng: &mut Rng) {
        for n in 0..30 {
            let title = format!("{}-{round}-{n}", self.name);
            let lines =
                format!("INSERT INTO report_lines(report_id, k) SELECT id, {n} FROM reports WHERE title = '{title}';");
            let insert = format!("INSERT INTO reports(title, n) VALUES ('{title}', {n});");
            self.run(&format!("BEGIN IMMEDIATE; {insert} {lines} {lines} COMMIT"));
            match rng.u32(0..6) {
                0 => self.run(&format!("DELETE FROM reports WHERE title = '{title}'")),
                other => {
                    self.made.insert(title.clone());
                    if other == 1 {
                        self.run(&format!("UPDATE report_lines SET k = k + 1 WHERE report_id = (SELECT id FROM reports WHERE title = '{title}')"));
                    }
                }
            }
            if n % 6 == 0 {
                let shared = rng.usize(..SHARED);
                self.run(&format!("UPDATE reports SET n = {} WHERE title = 'shared-{shared}'", rng.u32(..)));
            }
        }
    }

    fn run(&self, sql: &str) {
        self.conn.execute_batch(sql).unwrap();
    }

    fn rows(&self) -> Vec<String> {
        let sql = "SELECT title || ' ' || n || ' ' || (SELECT ifnull(group_concat(k), '') FROM
                   (SELECT k FROM report_lines WHERE report_id = r.id ORDER BY id)) FROM reports r ORDER BY title";
        let mut find = self.conn.prepare(sql).unwrap();
        find.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }
}

fn id(name: &str) -> String {
    format!("11111111-1111-4111-8111-00000000000{}", name.len())
}

fn token(name: &str) -> String {
    format!("a-secret-of-{name}")
}

#[test]
fn attached_databases_and_their_hub_are_killed_at_random_moments_and_all_end_equal() {
    for seed in [71, 72] {
        let mut world = World::new(seed);
        world.proxy.weather(Weather { refuse: 0, duplicate: 5, cut_within_bytes: 3_000, ..Weather::STORM });
        for round in 0..ROUNDS {
            world.round(round);
        }
        world.proxy.weather(Weather::CALM);
        world.settle();
        assert!(world.blows > 0, "nobody was killed at work");
        // Late copies of every packet change nothing.
        assert!(world.proxy.echo_every_push() > 0);
        let before = world.apps[0].rows();
        world.settle();
        assert_eq!(world.apps[0].rows(), before);
    }
}

/// Two applications, and the hub behind a bad network.
struct World {
    home: TempDir,
    hub: Hub,
    proxy: Proxy,
    apps: [App; 2],
    rng: Rng,
    blows: usize,
}

impl World {
    fn new(seed: u64) -> World {
        let home = tempfile::tempdir().unwrap();
        let hub = Hub::start(&home.path().join("hub"));
        let proxy = Proxy::start(&hub.address, seed);
        let apps = [App::new("a", home.path(), &hub), App::new("bb", home.path(), &hub)];
        for app in &apps {
            // Both have them before they ever meet.
            (0..SHARED).for_each(|n| app.run(&format!("INSERT INTO reports(title, n) VALUES ('shared-{n}', {n})")));
        }
        World { home, hub, proxy, apps, rng: Rng::with_seed(seed), blows: 0 }
    }

    /// Rounds begin, the applications write meanwhile, and blows fall.
    fn round(&mut self, round: usize) {
        let mut rounds: Vec<Option<Child>> = self.apps.iter().map(|app| Some(app.round(&self.proxy.address))).collect();
        for app in &mut self.apps {
            app.write(round, &mut self.rng);
        }
        let victim = self.rng.usize(..2);
        std::thread::sleep(Duration::from_micros(self.rng.u64(..60_000))); // sleep: the blow may fall at any moment
        if let Some(mut child) = rounds[victim].take() {
            self.blows += usize::from(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
        }
        if self.rng.bool() {
            self.blows += 1;
            self.hub.kill();
            self.hub = Hub::start(&self.home.path().join("hub"));
            self.proxy.lead_to(&self.hub.address);
        }
        for child in rounds.iter_mut().flatten() {
            // It may have failed: that is what the next one is for.
            eventually("a round ends", || child.try_wait().unwrap());
        }
    }

    /// Without new edits everybody hears the last word in a few rounds.
    fn settle(&mut self) {
        for n in [0, 1, 0, 1] {
            let ended = self.apps[n].round(&self.hub.address).wait_with_output().unwrap();
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        }
        let [a, b] = &self.apps;
        let rows = a.rows();
        assert_eq!(rows, b.rows());
        let there: BTreeSet<String> = rows.iter().map(|row| row.split(' ').next().unwrap().to_owned()).collect();
        let shared = (0..SHARED).map(|n| format!("shared-{n}"));
        let expected: BTreeSet<String> = a.made.iter().chain(&b.made).cloned().chain(shared).collect();
        assert_eq!(there, expected, "every row that was made is there, and no other");
        let counts = "SELECT count(*) FROM sync_changes UNION ALL SELECT count(*) FROM sync_aside";
        for app in &self.apps {
            let mut find = app.conn.prepare(counts).unwrap();
            let left: Vec<i64> = find.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
            assert_eq!(left, [0, 0], "nothing waits and nothing was set aside");
        }
    }
}
