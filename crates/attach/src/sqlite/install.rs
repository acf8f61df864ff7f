//! The tables and triggers of Syncline in an application's database: made, looked after, taken away. Never touches what
//! is the application's.

use super::triggers::{Trigger, triggers};
use super::{Sqlite, quoted};
use crate::error::AttachError;
use crate::plan::Plan;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::collections::{BTreeMap, BTreeSet};

/// The format of the tables.
const FORMAT: i64 = 1;

const TABLES: &str = "
CREATE TABLE sync_nodes(
  id TEXT PRIMARY KEY NOT NULL, code TEXT, name TEXT, last_sync_in TEXT, last_sync_out TEXT,
  received_packet_no INTEGER NOT NULL DEFAULT 0, sent_packet_no INTEGER NOT NULL DEFAULT 0);
CREATE TABLE sync_log(
  id INTEGER PRIMARY KEY, entity_type TEXT NOT NULL, entity_key, operation TEXT NOT NULL, packet_no INTEGER,
  made_at REAL NOT NULL DEFAULT (julianday('now')));
CREATE TABLE sync_entities(
  entity_type TEXT NOT NULL, entity_uuid TEXT NOT NULL, entity_key, base TEXT, gone INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(entity_type, entity_uuid));
CREATE UNIQUE INDEX sync_entities_key ON sync_entities(entity_type, entity_key) WHERE entity_key IS NOT NULL;
CREATE TABLE sync_references(
  entity_type TEXT NOT NULL, entity_uuid TEXT NOT NULL, field TEXT NOT NULL, target_type TEXT NOT NULL,
  target_uuid TEXT NOT NULL, PRIMARY KEY(entity_type, entity_uuid, field));
CREATE INDEX sync_references_target ON sync_references(target_type, target_uuid);
CREATE TABLE sync_packets(packet_no INTEGER PRIMARY KEY, packet TEXT NOT NULL, upto INTEGER NOT NULL);
CREATE TABLE sync_aside(
  id INTEGER PRIMARY KEY, direction TEXT NOT NULL, entity_type TEXT NOT NULL, entity_uuid TEXT NOT NULL, data TEXT,
  code TEXT NOT NULL, reason TEXT NOT NULL, waits_type TEXT, waits_uuid TEXT, noted_at TEXT NOT NULL,
  UNIQUE(direction, entity_type, entity_uuid));
CREATE INDEX sync_aside_waits ON sync_aside(waits_type, waits_uuid);
CREATE TABLE sync_conflicts(
  id INTEGER PRIMARY KEY, entity_type TEXT NOT NULL, entity_uuid TEXT NOT NULL, ours TEXT, theirs TEXT,
  noted_at TEXT NOT NULL);
CREATE TABLE sync_columns(entity_type TEXT NOT NULL, field TEXT NOT NULL, PRIMARY KEY(entity_type, field));
CREATE TABLE sync_fill(entity_type TEXT PRIMARY KEY NOT NULL, after_key, done INTEGER NOT NULL DEFAULT 0);
CREATE TABLE sync_triggers(name TEXT PRIMARY KEY NOT NULL);
CREATE TABLE sync_attached(
  one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL, node_id TEXT NOT NULL,
  hub_id TEXT NOT NULL, issued INTEGER NOT NULL DEFAULT 0, filled_in INTEGER NOT NULL DEFAULT 0,
  applying INTEGER NOT NULL DEFAULT 0);
CREATE VIEW sync_changes AS
  SELECT id, (SELECT hub_id FROM sync_attached) AS node_id, entity_type, entity_uuid, entity_key, operation, packet_no,
    strftime('%Y-%m-%dT%H:%M:%fZ', made_at) AS created_at
  FROM sync_log LEFT JOIN sync_entities USING (entity_type, entity_key);
";

/// The tables, those that others need last.
const NAMES: [&str; 11] = [
    "sync_log",
    "sync_entities",
    "sync_references",
    "sync_packets",
    "sync_aside",
    "sync_conflicts",
    "sync_columns",
    "sync_fill",
    "sync_triggers",
    "sync_nodes",
    "sync_attached",
];

/// How the triggers of a plan stand.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// Somebody has dropped or changed them.
    pub broken: Vec<Trigger>,
    /// The mapping asks for them since it was changed.
    pub new: Vec<Trigger>,
    /// The mapping asks for them no more.
    pub left_over: Vec<String>,
}

impl Sqlite {
    /// Whether the database has the tables of Syncline, in a format that is known.
    pub(crate) fn is_attached(&self) -> Result<bool, AttachError> {
        let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'sync_attached'";
        if self.conn.query_row(sql, [], |_| Ok(())).optional()?.is_none() {
            return Ok(false);
        }
        let found: i64 = self.conn.query_row("SELECT format FROM sync_attached", [], |row| row.get(0))?;
        if found == FORMAT { Ok(true) } else { Err(AttachError::Format { found, known: FORMAT }) }
    }

    /// Makes the tables and triggers.
    pub(crate) fn install(&self, plan: &Plan, node: &str, hub: &str) -> Result<(), AttachError> {
        self.schema(|conn| {
            conn.execute_batch(TABLES)?;
            let sql = "INSERT INTO sync_attached(one, format, node_id, hub_id) VALUES (1, ?1, ?2, ?3)";
            conn.execute(sql, params![FORMAT, node, hub])?;
            conn.execute("INSERT INTO sync_nodes(id, code, name) VALUES (?1, 'HUB', 'the hub')", [hub])?;
            for trigger in triggers(plan) {
                make(conn, &trigger)?;
            }
            for plan in &plan.types {
                conn.execute("INSERT INTO sync_fill(entity_type) VALUES (?1)", [&plan.kind])?;
            }
            Ok(())
        })
    }

    /// Looks whether everything that registers changes is in place.
    pub(crate) fn guard(&self, plan: &Plan) -> Result<Guard, AttachError> {
        let sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'sync\\_%' ESCAPE '\\'";
        let mut find = self.conn.prepare(sql)?;
        let rows = find.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut there: BTreeMap<String, String> = rows.collect::<rusqlite::Result<_>>()?;
        let mut find = self.conn.prepare("SELECT name FROM sync_triggers")?;
        let made: BTreeSet<String> = find.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        let mut guard = Guard::default();
        for trigger in triggers(plan) {
            let stands = there.remove(&trigger.name).is_some_and(|sql| sql == trigger.sql);
            match made.contains(&trigger.name) {
                _ if stands => {}
                true => guard.broken.push(trigger),
                false => guard.new.push(trigger),
            }
        }
        guard.left_over = made.into_iter().filter(|name| there.contains_key(name)).collect();
        Ok(guard)
    }

    /// Puts the triggers in place. Rows of types with new ones are registered once.
    pub(crate) fn mend(&self, guard: &Guard) -> Result<(), AttachError> {
        self.schema(|conn| {
            let wanted = guard.broken.iter().chain(&guard.new);
            for name in guard.left_over.iter().chain(wanted.clone().map(|trigger| &trigger.name)) {
                conn.execute_batch(&format!("DROP TRIGGER IF EXISTS {}", quoted(name)))?;
                conn.execute("DELETE FROM sync_triggers WHERE name = ?1", [name])?;
            }
            for trigger in wanted {
                make(conn, trigger)?;
                let sql = "INSERT OR REPLACE INTO sync_fill(entity_type) VALUES (?1)";
                conn.execute(sql, [&trigger.kind])?;
            }
            Ok(())
        })
    }

    /// Takes everything of Syncline away.
    pub(crate) fn uninstall(&self) -> Result<(), AttachError> {
        self.schema(|conn| {
            let sql = "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'sync\\_%' ESCAPE '\\'
                       AND sql LIKE '%sync\\_log%' ESCAPE '\\'";
            let names: Vec<String> =
                conn.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            for name in names {
                conn.execute_batch(&format!("DROP TRIGGER {}", quoted(&name)))?;
            }
            conn.execute_batch("DROP VIEW IF EXISTS sync_changes")?;
            for name in NAMES {
                conn.execute_batch(&format!("DROP TABLE IF EXISTS {name}"))?;
            }
            Ok(())
        })
    }

    fn schema(&self, work: impl FnOnce(&Connection) -> Result<(), AttachError>) -> Result<(), AttachError> {
        let transaction = Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate);
        let transaction = transaction.map_err(|e| self.named(e.into()))?;
        work(&transaction)?;
        transaction.commit().map_err(|e| self.named(e.into()))
    }
}

fn make(conn: &Connection, trigger: &Trigger) -> Result<(), AttachError> {
    conn.execute_batch(&trigger.sql)?;
    conn.execute("INSERT INTO sync_triggers(name) VALUES (?1)", [&trigger.name])?;
    Ok(())
}
