//! The tables of Syncline in a PostgreSQL database: the same as in a SQLite file. Pages of `sync_entities` keep room for
//! another version of what they hold: an object that changes then costs no new entries in indexes.

/// Makes them.
pub(super) const TABLES: &str = "
CREATE TABLE sync_nodes(
  id TEXT PRIMARY KEY, code TEXT, name TEXT, last_sync_in TEXT, last_sync_out TEXT,
  received_packet_no BIGINT NOT NULL DEFAULT 0, sent_packet_no BIGINT NOT NULL DEFAULT 0);
CREATE TABLE sync_log(
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, entity_type TEXT NOT NULL, entity_key TEXT,
  operation TEXT NOT NULL, packet_no BIGINT, made_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp());
CREATE TABLE sync_entities(
  entity_hash BIGINT NOT NULL, entity_type TEXT NOT NULL, entity_uuid TEXT NOT NULL, entity_key TEXT, base TEXT,
  gone INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(entity_hash, entity_uuid, entity_type)) WITH (fillfactor = 50);
CREATE UNIQUE INDEX sync_entities_key ON sync_entities(entity_key, entity_type) WHERE entity_key IS NOT NULL;
CREATE TABLE sync_references(
  entity_type TEXT NOT NULL, entity_uuid TEXT NOT NULL, field TEXT NOT NULL, target_type TEXT NOT NULL,
  target_uuid TEXT NOT NULL, PRIMARY KEY(entity_type, entity_uuid, field));
CREATE INDEX sync_references_target ON sync_references(target_type, target_uuid);
CREATE TABLE sync_packets(packet_no BIGINT PRIMARY KEY, packet TEXT NOT NULL, upto BIGINT NOT NULL);
CREATE TABLE sync_aside(
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, direction TEXT NOT NULL, entity_type TEXT NOT NULL,
  entity_uuid TEXT NOT NULL, data TEXT, code TEXT NOT NULL, reason TEXT NOT NULL, waits_type TEXT, waits_uuid TEXT,
  noted_at TEXT NOT NULL, UNIQUE(direction, entity_type, entity_uuid));
CREATE INDEX sync_aside_waits ON sync_aside(waits_type, waits_uuid);
CREATE TABLE sync_conflicts(
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, entity_type TEXT NOT NULL, entity_uuid TEXT NOT NULL, ours TEXT,
  theirs TEXT, noted_at TEXT NOT NULL);
CREATE TABLE sync_columns(entity_type TEXT NOT NULL, field TEXT NOT NULL, PRIMARY KEY(entity_type, field));
CREATE TABLE sync_fill(entity_type TEXT PRIMARY KEY, after_key TEXT, done INTEGER NOT NULL DEFAULT 0);
CREATE TABLE sync_triggers(name TEXT PRIMARY KEY, made TEXT NOT NULL, stands TEXT NOT NULL);
CREATE TABLE sync_added(table_name TEXT NOT NULL, column_name TEXT NOT NULL);
CREATE TABLE sync_attached(
  one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL, node_id TEXT NOT NULL,
  hub_id TEXT NOT NULL, issued BIGINT NOT NULL DEFAULT 0, filled_in INTEGER NOT NULL DEFAULT 0);
CREATE VIEW sync_changes AS
  SELECT id, (SELECT hub_id FROM sync_attached) AS node_id, entity_type, entity_uuid, entity_key, operation, packet_no,
    to_char(made_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') AS created_at
  FROM sync_log LEFT JOIN sync_entities USING (entity_type, entity_key);
";
