//! The tables of the example, their mapping, and rows for them.

use super::app::Value;
use std::fmt;

/// Kinds of databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

impl fmt::Display for Dialect {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if *self == Dialect::Sqlite { "SQLite" } else { "PostgreSQL" })
    }
}

/// The example's mapping.
pub fn mapping(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => include_str!("../../../examples/construction/desktop.toml"),
        Dialect::Postgres => include_str!("../../../examples/construction/web.toml"),
    }
}

/// The tables, as SQLAlchemy makes those of the example.
pub fn schema(dialect: Dialect) -> String {
    let (id, uuid, time) = match dialect {
        Dialect::Sqlite => ("INTEGER NOT NULL PRIMARY KEY", "CHAR(32)", "DATETIME"),
        Dialect::Postgres => ("SERIAL PRIMARY KEY", "UUID", "TIMESTAMP WITHOUT TIME ZONE"),
    };
    let entity =
        format!("id {id}, uuid {uuid} NOT NULL UNIQUE, updated_at {time} NOT NULL, is_deleted BOOLEAN NOT NULL");
    format!(
        "CREATE TABLE work_specifications(code VARCHAR(20) NOT NULL UNIQUE, name VARCHAR NOT NULL,
           norm NUMERIC(12, 4), {entity});
         CREATE TABLE estimates(number VARCHAR NOT NULL UNIQUE, total NUMERIC(18, 2) NOT NULL,
           signed BOOLEAN NOT NULL, {entity});
         CREATE TABLE daily_reports(date DATE NOT NULL, estimate_id INTEGER REFERENCES estimates(id),
           remark VARCHAR, {entity});
         CREATE TABLE daily_report_lines(id {id},
           report_id INTEGER NOT NULL REFERENCES daily_reports(id) ON DELETE CASCADE,
           specification_id INTEGER NOT NULL REFERENCES work_specifications(id), qty NUMERIC(12, 3) NOT NULL);
         CREATE INDEX ix_report ON daily_report_lines(report_id);"
    )
}

/// Writes an [`estimate`].
pub const INSERT: &str = "INSERT INTO estimates(id, number, total, signed, uuid, updated_at, is_deleted)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

/// A row of `estimates`, counted from zero.
pub fn estimate(dialect: Dialect, n: u64, version: u64) -> Vec<Value> {
    let mut row = vec![Value::Integer(whole(n + 1)), Value::Text(format!("E-{n:06}"))];
    row.push(Value::Text(format!("{}.5", n + version)));
    row.push(Value::Flag(n.is_multiple_of(2)));
    row.extend(entity(dialect, 1, n, version));
    row
}

/// A row of `daily_reports`.
pub fn report(dialect: Dialect, n: u64, version: u64) -> Vec<Value> {
    let mut row = vec![Value::Integer(whole(n + 1)), Value::Text("2025-12-12".into())];
    row.push(Value::Integer(whole(n + 1)));
    row.push(Value::Text(remark(n, version)));
    row.extend(entity(dialect, 2, n, version));
    row
}

pub fn remark(n: u64, version: u64) -> String {
    format!("Concrete poured in section {n}, version {version}")
}

/// When a row was changed last, without a fraction of a second.
pub fn changed(version: u64) -> String {
    format!("2025-12-12T10:00:{:02}", version % 60)
}

/// The id of an object, in no order, as those are that somebody draws.
pub fn uuid(kind: u64, n: u64) -> String {
    let drawn = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{:08x}-{:04x}-4000-8000-{kind:04x}{n:08x}", drawn >> 32, drawn & 0xffff)
}

fn entity(dialect: Dialect, kind: u64, n: u64, version: u64) -> [Value; 3] {
    let (uuid, changed) = (uuid(kind, n), changed(version));
    let held = match dialect {
        Dialect::Sqlite => (uuid.replace('-', ""), format!("{}.000000", changed.replace('T', " "))),
        Dialect::Postgres => (uuid, changed),
    };
    [Value::Text(held.0), Value::Text(held.1), Value::Flag(false)]
}

fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
