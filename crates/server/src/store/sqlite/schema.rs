//! What the files look like, how they are opened and how older ones are brought forward. A file with
//! a newer schema is refused, never touched.

use crate::store::StoreError;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// Steps from an empty space file to the newest schema; `user_version` counts the steps taken.
///
/// Bodies stand once, in the append-only log. Heads are narrow and point into it. `superseded` lists
/// the log rows that are no longer anybody's head, in log order and each with the row that took its place, so that a
/// snapshot is one pass over two ordered tables and trimming finds what may go; `before` is the way back, for readers who
/// see only some rows. `expiring` lists the
/// heads that are documents with a time to live, soonest first: what was prolonged is not looked at again.
/// `unique_values` says which documents have which values of the keys that rules ask for, those of `unique_keys`. People name rows
/// of the ledger and the quarantine by their numbers, so none is used again; `state`
/// counts them, because counting rows with texts reads all of them. `late` rows are those whose losing side had been accepted before. Meta is null for a document
/// that one insert wrote, `born` where it is the stamp.
///
/// `sync_nodes` and `sync_changes` show registered nodes and their queues under the names of the exchange's design
/// (seed 002). They are views, so that a write costs the same however many nodes there are; row filters of nodes are
/// not applied in them.
pub(super) const SPACE: &[&str] = &["
    CREATE TABLE state (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        epoch TEXT NOT NULL, lsn INTEGER NOT NULL, last_change INTEGER NOT NULL,
        horizon INTEGER NOT NULL, swept INTEGER NOT NULL,
        conflicts INTEGER NOT NULL, quarantined INTEGER NOT NULL);
    CREATE TABLE log (
        lsn INTEGER PRIMARY KEY, cid INTEGER NOT NULL, kind INTEGER NOT NULL, author INTEGER NOT NULL,
        at INTEGER NOT NULL, stamp INTEGER NOT NULL, created INTEGER NOT NULL, born INTEGER,
        flags INTEGER NOT NULL, expires INTEGER, id TEXT NOT NULL, meta TEXT, body TEXT NOT NULL, before INTEGER);
    CREATE INDEX log_buried ON log (cid, id) WHERE kind = 4;
    CREATE TABLE heads (
        cid INTEGER NOT NULL, id TEXT NOT NULL, lsn INTEGER NOT NULL, PRIMARY KEY (cid, id)) WITHOUT ROWID;
    CREATE TABLE superseded (lsn INTEGER PRIMARY KEY, until INTEGER NOT NULL);
    CREATE TABLE expiring (expires INTEGER NOT NULL, lsn INTEGER NOT NULL, PRIMARY KEY (expires, lsn)) WITHOUT ROWID;
    CREATE TABLE unique_keys (n INTEGER PRIMARY KEY AUTOINCREMENT, cid INTEGER NOT NULL, fields TEXT NOT NULL, UNIQUE (cid, fields));
    CREATE TABLE unique_values (
        n INTEGER NOT NULL, value TEXT NOT NULL, since INTEGER NOT NULL, id TEXT NOT NULL,
        PRIMARY KEY (n, value, since, id)) WITHOUT ROWID;
    CREATE INDEX unique_by_id ON unique_values (n, id);
    CREATE TABLE collections (cid INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE authors (
        author INTEGER PRIMARY KEY AUTOINCREMENT, node TEXT NOT NULL UNIQUE, last_seq INTEGER NOT NULL,
        forgotten TEXT, cursor INTEGER NOT NULL, seen_at INTEGER NOT NULL, owner TEXT);
    CREATE TABLE batches (
        n INTEGER PRIMARY KEY, author INTEGER NOT NULL, id TEXT NOT NULL, digest INTEGER NOT NULL,
        lsn INTEGER NOT NULL, at INTEGER NOT NULL, UNIQUE (author, id));
    CREATE TABLE receipts (
        n INTEGER PRIMARY KEY, author INTEGER NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
        at INTEGER NOT NULL, body TEXT NOT NULL);
    CREATE INDEX receipts_by_seq ON receipts (author, last_seq, first_seq);
    CREATE TABLE seen (key BLOB PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE nodes (
        author INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, code TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
        plan TEXT NOT NULL, last_sync_in INTEGER NOT NULL DEFAULT 0, last_sync_out INTEGER NOT NULL DEFAULT 0,
        received_packet_no INTEGER NOT NULL DEFAULT 0, sent_packet_no INTEGER NOT NULL DEFAULT 0,
        issued_packet_no INTEGER NOT NULL DEFAULT 0, cursor INTEGER NOT NULL DEFAULT 0, fill TEXT,
        sent TEXT NOT NULL DEFAULT '[]', last TEXT NOT NULL DEFAULT '{}', known TEXT NOT NULL DEFAULT '{}');
    CREATE TABLE held (
        author INTEGER NOT NULL, cid INTEGER NOT NULL, id TEXT NOT NULL, since INTEGER NOT NULL, gone INTEGER,
        PRIMARY KEY (author, cid, id)) WITHOUT ROWID;
    CREATE INDEX held_until ON held (author, gone) WHERE gone IS NOT NULL;
    CREATE TABLE ledger (
        n INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, cid INTEGER NOT NULL, id TEXT NOT NULL, lsn INTEGER NOT NULL,
        rule TEXT NOT NULL, winner INTEGER NOT NULL, loser INTEGER NOT NULL, losing_kind TEXT NOT NULL,
        losing TEXT, winning_kind TEXT NOT NULL, winning TEXT, restored INTEGER, late INTEGER NOT NULL);
    CREATE INDEX ledger_late ON ledger (loser, n) WHERE late = 1;
    CREATE TABLE quarantine (
        n INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, collection TEXT, id TEXT, node TEXT NOT NULL, seq INTEGER,
        code TEXT NOT NULL, reason TEXT NOT NULL, op TEXT NOT NULL);
    CREATE VIEW sync_nodes AS SELECT
        id, code, name,
        iif(last_sync_in > 0, strftime('%Y-%m-%dT%H:%M:%fZ', last_sync_in / 1000.0, 'unixepoch'), NULL) AS last_sync_in,
        iif(last_sync_out > 0, strftime('%Y-%m-%dT%H:%M:%fZ', last_sync_out / 1000.0, 'unixepoch'), NULL) AS last_sync_out,
        received_packet_no, sent_packet_no
    FROM nodes;
    CREATE VIEW sync_changes AS
    WITH due AS (
        SELECT n.author, l.lsn, l.cid, l.id, l.kind, l.created, l.at FROM nodes n
            JOIN log l ON l.lsn > n.cursor JOIN heads h ON h.cid = l.cid AND h.id = l.id AND h.lsn = l.lsn
        WHERE l.author <> n.author OR l.lsn <= coalesce(n.fill ->> 'start', 0)
        UNION ALL
        SELECT n.author, max(r.lsn), r.cid, r.id, coalesce(l.kind, 1), coalesce(l.created, 0), r.at FROM nodes n
            JOIN log r ON r.lsn > n.cursor AND r.kind = 3 AND r.author = n.author
            LEFT JOIN heads h ON h.cid = r.cid AND h.id = r.id LEFT JOIN log l ON l.lsn = h.lsn
        WHERE l.lsn IS NULL OR l.lsn <= n.cursor OR (l.author = n.author AND l.lsn > coalesce(n.fill ->> 'start', 0))
        GROUP BY n.author, r.cid, r.id
        UNION ALL
        SELECT n.author, l.lsn, l.cid, l.id, 1, 0, l.at FROM nodes n JOIN log l ON l.lsn > n.cursor AND l.kind = 4)
    SELECT
        d.lsn AS id, n.id AS node_id, c.name AS entity_type, d.id AS entity_uuid,
        CASE WHEN d.kind = 1 THEN 'DELETE' WHEN d.created > n.known ->> 'upto' THEN 'INSERT' ELSE 'UPDATE' END AS operation,
        (SELECT max(value ->> 0) FROM json_each(n.sent) WHERE value ->> 1 >= d.lsn) AS packet_no,
        strftime('%Y-%m-%dT%H:%M:%fZ', d.at / 1000.0, 'unixepoch') AS created_at
    FROM due d JOIN nodes n ON n.author = d.author JOIN collections c ON c.cid = d.cid
    WHERE (n.plan ->> 'types' IS NULL OR c.name IN (SELECT value FROM json_each(n.plan, '$.types')))
        AND d.id LIKE '________-____-____-____-____________' AND replace(d.id, '-', '') NOT GLOB '*[^0-9a-fA-F]*'
        AND NOT (d.kind = 1 AND d.lsn <= coalesce(n.fill ->> 'start', 0) AND n.fill ->> 'again' = 0);
"];

/// The same for the hub's own file: administrative records and the list of spaces.
pub(super) const HUB: &[&str] = &["
    CREATE TABLE spaces (name TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE records (
        kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
"];

/// Of new files. Half as many reads as with SQLite's 4 KiB when a log is read from front to back.
const PAGE_BYTES: u32 = 8 << 10;
/// Statements that one connection keeps prepared.
const PREPARED_STATEMENTS: usize = 64;
/// A log file that grew past this in a burst is cut back to it once it starts over.
const WAL_KEPT_BYTES: u64 = 64 << 20;
/// How long SQLite's own short locks are waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens a file for writing and brings it to the newest schema. Its commits are durable; nobody
/// checkpoints unasked. Errors name the file.
pub(super) fn open_to_write(path: &Path, steps: &[&str], cache_bytes: u64) -> Result<Connection, StoreError> {
    newest(path, steps, cache_bytes).map_err(|e| e.of_file(path))
}

fn newest(path: &Path, steps: &[&str], cache_bytes: u64) -> Result<Connection, StoreError> {
    let action = "opening a data file";
    let conn = Connection::open(path).map_err(StoreError::engine(action))?;
    let set_up = format!(
        "PRAGMA page_size = {PAGE_BYTES}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = {WAL_KEPT_BYTES}; PRAGMA cache_size = -{}; PRAGMA temp_store = MEMORY;",
        cache_bytes / 1024
    );
    conn.busy_timeout(BUSY_TIMEOUT).map_err(StoreError::engine(action))?;
    let version = version_of(&conn)?;
    let known = newest_version(steps);
    if version > known {
        return Err(StoreError::NewerSchema { place: path.display().to_string(), found: version, known });
    }
    conn.execute_batch(&set_up).map_err(StoreError::engine(action))?;
    conn.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
    migrate(&conn, steps, version)?;
    Ok(conn)
}

/// The schema after these steps.
pub(super) fn newest_version(steps: &[&str]) -> i64 {
    i64::try_from(steps.len()).expect("few steps")
}

/// Opens a file for reading only. Errors name the file.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    reading(path).map_err(|e| e.of_file(path))
}

fn reading(path: &Path) -> Result<Connection, StoreError> {
    let action = "opening a data file to read";
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(StoreError::engine(action))?;
    conn.busy_timeout(BUSY_TIMEOUT).map_err(StoreError::engine(action))?;
    conn.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
    Ok(conn)
}

/// Opens a file that nobody writes and that has no log beside it, and leaves nothing beside it either. Errors name
/// the file.
pub(super) fn open_still(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let open = Connection::open_with_flags(still_uri(path), flags);
    open.map_err(StoreError::engine("opening a data file to read")).map_err(|error| error.of_file(path))
}

fn still_uri(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri + "?immutable=1"
}

/// The schema of a file.
pub(super) fn version_of(conn: &Connection) -> Result<i64, StoreError> {
    let read = conn.query_row("PRAGMA user_version", [], |row| row.get(0));
    read.map_err(StoreError::engine("reading the schema version"))
}

/// Each step and its number move in one transaction.
fn migrate(conn: &Connection, steps: &[&str], version: i64) -> Result<(), StoreError> {
    for (done, step) in (0i64..).zip(steps).skip_while(|(done, _)| *done < version) {
        let sql = format!("BEGIN IMMEDIATE; {step}; PRAGMA user_version = {}; COMMIT;", done + 1);
        conn.execute_batch(&sql).map_err(StoreError::engine("bringing the schema forward"))?;
    }
    Ok(())
}
