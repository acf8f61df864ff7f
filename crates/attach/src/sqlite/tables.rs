//! The tables of Syncline in a SQLite file. Objects are found by a number made of their ids: an index of ids themselves
//! would be four times as large, and each packet would write most of its pages.
//! Columns of `sync_log` have neither types nor conditions, which SQLite would look at with each write of the application:
//! nobody but Syncline writes there.

/// Makes them.
pub(super) const TABLES: &str = "
CREATE TABLE sync_nodes(
  id TEXT PRIMARY KEY NOT NULL, code TEXT, name TEXT, last_sync_in TEXT, last_sync_out TEXT,
  received_packet_no INTEGER NOT NULL DEFAULT 0, sent_packet_no INTEGER NOT NULL DEFAULT 0);
CREATE TABLE sync_log(
  id INTEGER PRIMARY KEY, entity_type, entity_key, operation, packet_no, made_at DEFAULT (julianday()));
CREATE TABLE sync_entities(
  entity_hash INTEGER NOT NULL, entity_type TEXT NOT NULL, entity_uuid TEXT NOT NULL, entity_key, base TEXT,
  gone INTEGER NOT NULL DEFAULT 0);
CREATE INDEX sync_entities_hash ON sync_entities(entity_hash);
CREATE UNIQUE INDEX sync_entities_key ON sync_entities(entity_key, entity_type) WHERE entity_key IS NOT NULL;
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
CREATE TABLE sync_triggers(name TEXT PRIMARY KEY NOT NULL, made TEXT NOT NULL, stands TEXT NOT NULL);
CREATE TABLE sync_added(table_name TEXT NOT NULL, column_name TEXT NOT NULL);
CREATE TABLE sync_attached(
  one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL, node_id TEXT NOT NULL,
  hub_id TEXT NOT NULL, issued INTEGER NOT NULL DEFAULT 0, filled_in INTEGER NOT NULL DEFAULT 0,
  kept_upto INTEGER);
CREATE VIEW sync_changes AS
  SELECT id, (SELECT hub_id FROM sync_attached) AS node_id, entity_type, entity_uuid, entity_key, operation, packet_no,
    strftime('%Y-%m-%dT%H:%M:%fZ', made_at) AS created_at
  FROM sync_log LEFT JOIN sync_entities USING (entity_type, entity_key);
";
