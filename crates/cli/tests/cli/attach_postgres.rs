//! A PostgreSQL database as the centre and a SQLite file as a desktop, both of applications that know nothing of Syncline,
//! through a real hub.

use crate::attach::{Running, node, rows, token};
use crate::eventually::eventually;
use crate::postgres::server::Postgres;
use crate::shell::{Hub, Shell};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::time::Duration;

const CENTRE: &str = "
CREATE TABLE brigades(id bigserial PRIMARY KEY, uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(), name text NOT NULL UNIQUE);
CREATE TABLE work_specifications(
  id bigserial PRIMARY KEY, code varchar(20) NOT NULL UNIQUE, name text NOT NULL, norm numeric(12, 4), props jsonb,
  is_deleted boolean NOT NULL DEFAULT false);
CREATE TABLE estimates(
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(), number text NOT NULL UNIQUE, total numeric(18, 2), signed boolean,
  plan bytea, updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE daily_reports(
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, date date NOT NULL, brigade_id bigint NOT NULL REFERENCES brigades(id),
  estimate_id uuid REFERENCES estimates(id), remark text);
CREATE TABLE daily_report_lines(
  id bigserial PRIMARY KEY, report_id bigint NOT NULL REFERENCES daily_reports(id) ON DELETE CASCADE,
  specification_id bigint NOT NULL REFERENCES work_specifications(id), qty numeric(12, 3) NOT NULL CHECK (qty > 0));";

const DESKTOP: &str = "
CREATE TABLE brigades(id INTEGER PRIMARY KEY, uuid CHAR(32) NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE);
CREATE TABLE work_specifications(
  id INTEGER PRIMARY KEY, code VARCHAR(20) NOT NULL UNIQUE, name TEXT NOT NULL, norm NUMERIC(12, 4), props JSON,
  is_deleted BOOLEAN NOT NULL DEFAULT 0);
CREATE TABLE estimates(
  id CHAR(36) PRIMARY KEY, number TEXT NOT NULL UNIQUE, total NUMERIC(18, 2), signed BOOLEAN, plan BLOB,
  updated_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE daily_reports(
  id INTEGER PRIMARY KEY, date DATE NOT NULL, brigade_id INTEGER NOT NULL REFERENCES brigades(id),
  estimate_id CHAR(36) REFERENCES estimates(id), remark TEXT);
CREATE TABLE daily_report_lines(
  id INTEGER PRIMARY KEY, report_id INTEGER NOT NULL REFERENCES daily_reports(id) ON DELETE CASCADE,
  specification_id INTEGER NOT NULL REFERENCES work_specifications(id), qty NUMERIC(12, 3) NOT NULL);";

/// One file for both, but for the form of times, which SQLite does not know.
const MAPPING: &str = r#"
schema_version = "1.2.0"
[types.Brigade]
table = "brigades"
uuid = "uuid"
match = ["name"]
[types.WorkSpecification]
table = "work_specifications"
match = ["code"]
is_deleted = "is_deleted"
[types.Estimate]
table = "estimates"
uuid = "id"
updated_at = "updated_at"
[types.DailyReport]
table = "daily_reports"
[types.DailyReport.lines.lines]
table = "daily_report_lines"
parent = "report_id"
"#;

struct World {
    shell: Shell,
    hub: Hub,
    database: String,
    desktop: Connection,
}

impl World {
    fn new() -> World {
        let shell = Shell::new();
        let hub = Hub::start(&shell, &[]);
        let database = Postgres::shared().database();
        Postgres::shared().run(&database, CENTRE);
        shell.write(&format!("{database}.toml"), MAPPING);
        shell.write(
            "2.db.toml",
            &MAPPING
                .replace("table = \"estimates\"", "table = \"estimates\"\nas = { updated_at = \"datetime-seconds\" }"),
        );
        let desktop = Connection::open(shell.path("2.db")).unwrap();
        desktop.busy_timeout(Duration::from_secs(60)).unwrap();
        desktop.execute_batch(DESKTOP).unwrap();
        for n in [1, 2] {
            let (id, code, token) = (node(n), format!("APP-{n}"), token(n));
            let admin = ["--hub", &hub.url, "--admin-token", hub.admin()];
            shell.ok(&[&["node", "add", "--id", &id, "--code", &code, "--token", &token], &admin[..]].concat());
        }
        World { shell, hub, database, desktop }
    }

    fn place(&self, n: usize) -> String {
        if n == 1 { Postgres::shared().url(&self.database) } else { "2.db".into() }
    }

    #[track_caller]
    fn once(&self, n: usize) -> Value {
        let (place, id, token) = (self.place(n), node(n), token(n));
        let place = ["attach", "once", &place, "--node", &id];
        self.shell.json(&[&place[..], &["--token", &token, "--hub", &self.hub.url]].concat())
    }

    /// A document database on the hub's log.
    fn a_device_reads_along_and_edits(&self) {
        let link = ["--hub", &self.hub.url, "--token", self.hub.admin(), "--collections", "DailyReport"];
        self.shell.ok(&[&["db", "sync", "device.db"], &link[..]].concat());
        let report = &self.shell.json(&["db", "find", "device.db", "DailyReport"])[0];
        assert_eq!(
            (&report["lines"][1]["qty"], &report["estimate_id"]),
            (&json!(9.125), &json!("22222222-2222-4222-8222-000000000001"))
        );
        self.shell.ok(&[
            "db",
            "update",
            "device.db",
            "DailyReport",
            report["_id"].as_str().unwrap(),
            r#"{"remark": "from a device"}"#,
        ]);
        self.shell.ok(&[&["db", "sync", "device.db"], &link[..]].concat());
        for n in [1, 2] {
            self.once(n);
        }
        assert_eq!(self.centre("SELECT remark FROM daily_reports"), ["from a device"]);
        assert_eq!(rows(&self.desktop, REPORTS), self.centre(REPORTS));
    }

    fn centre(&self, sql: &str) -> Vec<String> {
        Postgres::shared().run(&self.database, sql).lines().map(str::to_owned).collect()
    }
}

/// A report with its lines, as both kinds of databases show it.
const REPORTS: &str =
    "SELECT r.date || ' ' || b.name || ' ' || coalesce(e.number, '-') || ' ' || coalesce(r.remark, '-') || ' ' ||
  s.code || '=' || CAST(l.qty * 1000 AS INTEGER)
  FROM daily_reports r JOIN brigades b ON b.id = r.brigade_id LEFT JOIN estimates e ON e.id = r.estimate_id
  JOIN daily_report_lines l ON l.report_id = r.id JOIN work_specifications s ON s.id = l.specification_id ORDER BY 1";

#[test]
fn a_postgresql_centre_and_a_sqlite_desktop_hold_the_same() {
    let world = World::new();
    world.centre(
        "INSERT INTO brigades(id, name) VALUES (10, 'north'), (11, 'south');
         INSERT INTO work_specifications(id, code, name, norm, props) VALUES (70, 'W-1', 'digging', 1.2500, '{\"unit\": \"m3\"}'), (71, 'W-2', 'filling', 2, NULL);
         INSERT INTO estimates VALUES ('22222222-2222-4222-8222-000000000001', 'E-1', 12345678901234.56, true, '\\x00ff', '2025-12-01 12:00:00+02')",
    );
    world.desktop.execute_batch(
        "INSERT INTO brigades VALUES (1, '33333333333343338333000000000001', 'north');
         INSERT INTO work_specifications(id, code, name, norm) VALUES (1, 'W-2', 'filling', 2), (2, 'W-3', 'paving', 0.5);
         INSERT INTO daily_reports VALUES (1, '2025-12-12', 1, NULL, 'rain');
         INSERT INTO daily_report_lines(report_id, specification_id, qty) VALUES (1, 1, 2.5), (1, 2, 4);",
    ).unwrap();
    for n in [1, 2, 1, 2] {
        world.once(n);
    }
    assert_eq!(
        world.centre("SELECT count(*) FROM brigades UNION ALL SELECT count(*) FROM work_specifications"),
        ["2", "3"]
    );
    let reports = ["2025-12-12 north - rain W-2=2500", "2025-12-12 north - rain W-3=4000"];
    assert_eq!(world.centre(REPORTS), reports);
    assert_eq!(rows(&world.desktop, REPORTS), reports);
    let estimate = "SELECT number || ' ' || signed || ' ' || hex(plan) || ' ' || updated_at FROM estimates";
    assert_eq!(rows(&world.desktop, estimate), ["E-1 1 00FF 2025-12-01 10:00:00"]);

    world.centre("UPDATE daily_reports SET estimate_id = (SELECT id FROM estimates); UPDATE daily_report_lines SET qty = 9.125 WHERE qty = 4");
    world
        .desktop
        .execute_batch(
            "UPDATE daily_reports SET remark = 'dry'; DELETE FROM work_specifications WHERE code = 'W-1';
         UPDATE estimates SET signed = 0, updated_at = '2026-11-01 00:00:00';",
        )
        .unwrap();
    for n in [1, 2, 1] {
        world.once(n);
    }
    let reports = ["2025-12-12 north E-1 dry W-2=2500", "2025-12-12 north E-1 dry W-3=9125"];
    assert_eq!(world.centre(REPORTS), reports);
    assert_eq!(rows(&world.desktop, REPORTS), reports);
    assert_eq!(
        world.centre("SELECT total, signed, plan, updated_at AT TIME ZONE 'UTC' FROM estimates"),
        ["12345678901234.56|f|\\x00ff|2026-11-01 00:00:00"]
    );
    assert_eq!(world.centre("SELECT code FROM work_specifications WHERE is_deleted"), ["W-1"], "marked, not deleted");

    world.a_device_reads_along_and_edits();
    for n in [1, 2] {
        let round = world.once(n);
        assert_eq!((&round["sent"], &round["stored"], &round["aside"]), (&json!(0), &json!(0), &json!(0)), "{round}");
    }
    let status = world.shell.json(&["attach", "status", &world.place(1)]);
    assert_eq!((&status["aside"], &status["conflicts"]), (&json!([]), &json!([])), "{status}");
}

#[test]
fn running_databases_of_both_kinds_hear_of_each_other_and_go_back_to_what_they_were() {
    let world = World::new();
    let before = world.centre("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1");
    let running = [1, 2].map(|n| Running::on(&world.shell, &world.hub, &world.place(n), n));
    eventually("both are attached", || {
        let there = world.centre("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'sync_brigades%'") == ["5"];
        (there && rows(&world.desktop, "SELECT name FROM sqlite_schema WHERE name = 'sync_log'").len() == 1)
            .then_some(())
    });
    world.centre("INSERT INTO brigades(name) VALUES ('from the centre')");
    world
        .desktop
        .execute_batch("INSERT INTO brigades VALUES (5, '33333333333343338333000000000005', 'from a desktop')")
        .unwrap();
    let names = "SELECT name FROM brigades ORDER BY 1";
    let both = ["from a desktop", "from the centre"];
    eventually("rows arrive", || (rows(&world.desktop, names) == both && world.centre(names) == both).then_some(()));
    drop(running);
    world.once(1);
    let (place, refused) = (world.place(1), "UPDATE brigades SET name = name || '!'");
    world.centre(refused);
    let unsent = world.shell.fails(1, &["attach", "remove", &place]);
    assert!(unsent.contains("2 changes have not reached the hub"), "{unsent}");
    world.once(1);
    world.shell.ok(&["attach", "remove", &place]);
    assert_eq!(
        world.centre("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"),
        before
    );
    assert_eq!(world.centre("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'sync%'"), ["0"]);
}

#[test]
fn a_mapping_is_proposed_beside_the_caller_and_what_cannot_work_is_said_without_the_password() {
    let world = World::new();
    let (shell, place) = (&world.shell, world.place(1));
    let there = shell.fails(2, &["attach", "init", &place]);
    assert!(there.contains(&format!("{}.toml is there already", world.database)), "{there}");
    std::fs::remove_file(shell.path(&format!("{}.toml", world.database))).unwrap();
    let said = shell.ok(&["attach", "init", &place]);
    assert!(said.contains("postgres://syncline@") && said.contains("--dry-run"), "{said}");
    let preview = shell.json(&["attach", "once", &place, "--dry-run"]);
    assert_eq!((&preview["attached"], preview["types"].as_array().unwrap().len()), (&json!(false), 4), "{preview}");
    let ann = "postgres://ann:s3cret@127.0.0.1:1/shop";
    let away = shell.fails(1, &["attach", "init", ann]);
    assert!(away.contains("postgres://ann@127.0.0.1:1/shop") && !away.contains("s3cret"), "{away}");
    let none = shell.fails(1, &["attach", "status", &place]);
    assert!(none.contains("is not attached"), "{none}");
}
