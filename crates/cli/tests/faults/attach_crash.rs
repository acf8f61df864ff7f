//! Attached databases, their hub, their applications and their server are killed in turn, in the middle of rounds, while
//! the applications go on writing: afterwards all hold the same rows, and no row was lost or doubled.

use crate::database::{Conversation, Postgres};
use crate::eventually::eventually;
use crate::http::{self, Request};
use crate::hub::{Hub, SYNCLINE, TOKEN};
use crate::proxy::{Proxy, Weather};
use fastrand::Rng;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Rows that both applications edit.
const SHARED: usize = 4;

const IN_A_FILE: &str = "
PRAGMA journal_mode = WAL;
CREATE TABLE reports(id INTEGER PRIMARY KEY, title TEXT NOT NULL UNIQUE, n INTEGER);
CREATE TABLE report_lines(id INTEGER PRIMARY KEY, report_id INTEGER NOT NULL REFERENCES reports(id) ON DELETE CASCADE, k INTEGER);";

const ON_A_SERVER: &str = "
CREATE TABLE reports(id bigserial PRIMARY KEY, title text NOT NULL UNIQUE, n bigint);
CREATE TABLE report_lines(id bigserial PRIMARY KEY, report_id bigint NOT NULL REFERENCES reports(id) ON DELETE CASCADE, k int);";

const MAPPING: &str = r#"
[types.Report]
table = "reports"
match = ["title"]
[types.Report.lines.lines]
table = "report_lines"
parent = "report_id"
"#;

/// Who is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    /// The round of a database.
    Round(usize),
    /// An application, in the middle of a transaction.
    App(usize),
    Hub,
    /// PostgreSQL, with whatever is connected to it.
    Server,
}

#[test]
fn databases_in_files_whose_rounds_hub_and_applications_are_killed_end_equal() {
    let order = [Victim::Round(0), Victim::Hub, Victim::App(1), Victim::Round(1), Victim::App(0), Victim::Hub];
    World::new(71, None).goes_through(&order);
}

#[test]
fn a_database_on_a_server_and_one_in_a_file_end_equal_whoever_is_killed() {
    let order = [Victim::Round(1), Victim::Server, Victim::App(1), Victim::Hub, Victim::Server, Victim::Round(0)];
    World::new(72, Some(Postgres::start(&[]))).goes_through(&order);
}

/// Two applications, and the hub behind a bad network.
struct World {
    home: TempDir,
    hub: Hub,
    proxy: Proxy,
    apps: [App; 2],
    /// Where the second one keeps its rows, if not in a file.
    server: Option<Postgres>,
    rng: Rng,
    blows: usize,
}

impl World {
    fn new(seed: u64, server: Option<Postgres>) -> World {
        let home = tempfile::tempdir().unwrap();
        let hub = Hub::start(&home.path().join("hub"));
        let proxy = Proxy::start(&hub.address, seed);
        let second = match &server {
            None => Rows::in_a_file(&home.path().join("bb.db")),
            Some(server) => Rows::on(server),
        };
        let apps = [("a", Rows::in_a_file(&home.path().join("a.db"))), ("bb", second)];
        let apps = apps.map(|(name, rows)| App::new(name, rows, home.path(), &hub));
        let world = World { home, hub, proxy, apps, server, rng: Rng::with_seed(seed), blows: 0 };
        for app in &world.apps {
            // Both have them before they ever meet.
            let shared = (0..SHARED).map(|n| format!("INSERT INTO reports(title, n) VALUES ('shared-{n}', {n});"));
            app.rows.run(world.server.as_ref(), &shared.collect::<String>());
        }
        world
    }

    fn goes_through(mut self, order: &[Victim]) {
        self.proxy.weather(Weather { refuse: 0, duplicate: 5, cut_within_bytes: 3_000, ..Weather::STORM });
        for (round, victim) in order.iter().enumerate() {
            self.round(round, *victim);
        }
        self.proxy.weather(Weather::CALM);
        self.settle();
        assert!(self.blows > 0, "nobody was killed at work");
        // Late copies of every packet change nothing.
        assert!(self.proxy.echo_every_push() > 0);
        let before = self.apps[0].all(self.server.as_ref());
        self.settle();
        assert_eq!(self.apps[0].all(self.server.as_ref()), before);
    }

    /// Rounds begin, the applications write meanwhile, and a blow falls.
    fn round(&mut self, round: usize, victim: Victim) {
        let mut rounds: Vec<Option<Child>> = self.apps.iter().map(|app| Some(app.round(&self.proxy.address))).collect();
        for app in &mut self.apps {
            let script = app.script(round, &mut self.rng);
            app.rows.run(self.server.as_ref(), &script);
        }
        let writing = match victim {
            Victim::App(n) => Some(self.apps[n].rows.begin_something(self.server.as_ref())),
            Victim::Server => Some(self.apps[1].rows.begin_something(self.server.as_ref())),
            _ => None,
        };
        std::thread::sleep(Duration::from_micros(self.rng.u64(..60_000))); // sleep: the blow may fall at any moment
        match victim {
            Victim::App(_) => self.blows += 1,
            Victim::Round(n) => {
                let mut child = rounds[n].take().unwrap();
                self.blows += usize::from(child.try_wait().unwrap().is_none());
                child.kill().unwrap();
                child.wait().unwrap();
            }
            Victim::Hub => {
                self.blows += 1;
                self.hub.kill();
                self.hub = Hub::start(&self.home.path().join("hub"));
                self.proxy.lead_to(&self.hub.address);
            }
            Victim::Server => {
                self.blows += 1;
                let server = self.server.as_ref().unwrap();
                server.crash();
                server.start_again();
            }
        }
        // Whoever is in the middle of a transaction is killed.
        drop(writing);
        for child in rounds.iter_mut().flatten() {
            // It may have failed: that is what the next one is for.
            eventually("a round ends", || child.try_wait().unwrap());
        }
    }

    /// Without new edits everybody hears the last word in a few rounds.
    fn settle(&mut self) {
        let last = [0, 1, 0, 1].map(|n| self.apps[n].round_ends_well(&self.hub.address));
        assert_eq!(last[3]["sent"], 0, "what was stored is no change of its own: {}", last[3]);
        let [rows, others] = self.apps.each_ref().map(|app| app.all(self.server.as_ref()));
        let apart: Vec<_> = rows.symmetric_difference(&others).collect();
        assert!(apart.is_empty(), "{apart:?}");
        let there: BTreeSet<String> = rows.iter().map(|row| row.split(' ').next().unwrap().to_owned()).collect();
        let shared = (0..SHARED).map(|n| format!("shared-{n}"));
        let expected: BTreeSet<String> = self.apps.iter().flat_map(|app| app.made.clone()).chain(shared).collect();
        assert_eq!(there, expected, "every row that was made is there, and no other");
        for app in &self.apps {
            let left = "SELECT CAST((SELECT count(*) FROM sync_changes) + (SELECT count(*) FROM sync_aside) AS TEXT)";
            assert_eq!(app.rows.list(self.server.as_ref(), left), ["0"], "nothing waits and nothing was set aside");
            let twice = "SELECT title FROM reports GROUP BY title HAVING count(*) > 1";
            assert!(app.rows.list(self.server.as_ref(), twice).is_empty());
        }
    }
}

/// An application and its database.
struct App {
    name: &'static str,
    mapping: PathBuf,
    rows: Rows,
    /// Titles of rows that it made and did not remove.
    made: BTreeSet<String>,
}

impl App {
    fn new(name: &'static str, rows: Rows, home: &Path, hub: &Hub) -> App {
        let mapping = home.join(format!("{name}.toml"));
        std::fs::write(&mapping, MAPPING).unwrap();
        let wish = json!({ "id": id(name), "code": name, "name": name, "token": token(name) }).to_string();
        let (method, path, body) = ("POST", "/admin/spaces/main/nodes", Some(wish.as_bytes()));
        let reply = http::send(&hub.address, &Request { method, path, token: TOKEN, body }).unwrap();
        assert_eq!(reply.status, 200, "{:?}", reply.json());
        App { name, mapping, rows, made: BTreeSet::new() }
    }

    /// `syncline attach once`, as a process of its own.
    fn round(&self, address: &str) -> Child {
        let hub = format!("http://{address}");
        Command::new(SYNCLINE)
            .args(["--json", "attach", "once", self.rows.place(), "--mapping"])
            .arg(&self.mapping)
            .args(["--node", &id(self.name), "--token", &token(self.name), "--hub", &hub, "--busy-timeout", "60000"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// What the round tells.
    fn round_ends_well(&self, address: &str) -> Value {
        let ended = self.round(address).wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        serde_json::from_slice(&ended.stdout).unwrap()
    }

    /// New rows with lines, edits and removals of some, edits of those that all share.
    fn script(&mut self, round: usize, rng: &mut Rng) -> String {
        let mut script = String::new();
        for n in 0..30 {
            let title = format!("{}-{round}-{n}", self.name);
            let report = format!("(SELECT id FROM reports WHERE title = '{title}')");
            let lines = format!("INSERT INTO report_lines(report_id, k) VALUES ({report}, {n}), ({report}, {n});");
            let insert = format!("INSERT INTO reports(title, n) VALUES ('{title}', {n});");
            writeln!(script, "BEGIN; {insert} {lines} COMMIT;").unwrap();
            match rng.u32(0..6) {
                0 => writeln!(script, "DELETE FROM reports WHERE title = '{title}';").unwrap(),
                other => {
                    self.made.insert(title);
                    if other == 1 {
                        writeln!(script, "UPDATE report_lines SET k = k + 1 WHERE report_id = {report};").unwrap();
                    }
                }
            }
            if n % 6 == 0 {
                let (shared, value) = (rng.usize(..SHARED), rng.u32(..));
                writeln!(script, "UPDATE reports SET n = {value} WHERE title = 'shared-{shared}';").unwrap();
            }
        }
        script
    }

    /// Each report with its lines.
    fn all(&self, server: Option<&Postgres>) -> BTreeSet<String> {
        let lines = match &self.rows {
            Rows::File { .. } => "group_concat(k) FROM (SELECT k FROM report_lines WHERE report_id = r.id ORDER BY id)",
            Rows::Server { .. } => "string_agg(k::text, ',' ORDER BY id) FROM report_lines WHERE report_id = r.id",
        };
        let sql = format!("SELECT title || ' ' || n || ' ' || coalesce((SELECT {lines}), '') FROM reports r");
        self.rows.list(server, &sql).into_iter().collect()
    }
}

/// Where an application keeps its rows. The server is the world's, and is killed now and then.
enum Rows {
    File { path: String, conn: Connection },
    Server { url: String, database: String },
}

impl Rows {
    fn in_a_file(path: &Path) -> Rows {
        let conn = Connection::open(path).unwrap();
        conn.busy_timeout(Duration::from_secs(60)).unwrap();
        conn.execute_batch(IN_A_FILE).unwrap();
        Rows::File { path: path.display().to_string(), conn }
    }

    fn on(server: &Postgres) -> Rows {
        let database = server.database();
        server.run(&database, ON_A_SERVER);
        Rows::Server { url: server.url(&database), database }
    }

    /// How `syncline attach` names it.
    fn place(&self) -> &str {
        match self {
            Rows::File { path, .. } => path,
            Rows::Server { url, .. } => url,
        }
    }

    fn run(&self, server: Option<&Postgres>, sql: &str) {
        match self {
            Rows::File { conn, .. } => conn.execute_batch(sql).unwrap(),
            Rows::Server { database, .. } => drop(server.unwrap().run(database, sql)),
        }
    }

    fn list(&self, server: Option<&Postgres>, sql: &str) -> Vec<String> {
        match self {
            Rows::File { conn, .. } => {
                let mut find = conn.prepare(sql).unwrap();
                find.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
            }
            Rows::Server { database, .. } => server.unwrap().run(database, sql).lines().map(str::to_owned).collect(),
        }
    }

    /// A process of the application that is in the middle of a transaction, and writes what must never be seen.
    fn begin_something(&self, server: Option<&Postgres>) -> Conversation {
        let (mut process, begin) = match self {
            Rows::File { path, .. } => {
                let mut shell = Command::new("sqlite3");
                shell.arg(path);
                (Conversation::with(shell), ".timeout 60000\nBEGIN IMMEDIATE;")
            }
            Rows::Server { database, .. } => (server.unwrap().transaction(database), "BEGIN;"),
        };
        process.say(begin);
        process.say("INSERT INTO reports(title, n) VALUES ('never', 0); UPDATE reports SET n = -1;");
        process.say("DELETE FROM report_lines; SELECT 'written';");
        process.hears("written");
        process
    }
}

fn id(name: &str) -> String {
    format!("11111111-1111-4111-8111-00000000000{}", name.len())
}

fn token(name: &str) -> String {
    format!("a-secret-of-{name}")
}
