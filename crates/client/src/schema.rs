//! The tables of a database file and how older files become current ones.
//!
//! Versions only go forward. A file of a newer version is refused before anything is read from it.

use crate::error::{Error, Result};
use crate::index;
use rusqlite::{Connection, ErrorCode};
use std::path::Path;

/// One step for each version: `STEPS[n]` brings version n to n + 1.
const STEPS: [&str; 1] = [TABLES];

/// - `state`: one row: who this replica is, and what must never be used twice. `ledger` is how far the hub's conflict ledger
///   has been told to it.
/// - `collections`: `lsn` is the cursor (NULL: never loaded), `view` which rows the token saw when it was loaded (NULL: all),
///   `generation` marks what the running
///   snapshot has brought.
/// - `docs`: `body` is what the app sees (NULL: removed here, not yet there); `lsn`, `stamp`,
///   `author`, `meta` and the text (`shadow`, or `body` when that is NULL) are the hub's version,
///   none while `lsn` is 0; `op` is the newest op of the document. `docs_order` holds the rows of a
///   collection in their order, so that a query with a limit ends early and none sorts texts.
/// - `packets`: none, or one row where sync goes by packets (`exchange`): with which hub, the last number
///   given to an own packet, the hub's packet that is stored here, and whether the hub has ever answered. `batches.packet` is the number of
///   a batch that leaves as a packet.
/// - `outbox`: `doc` is NULL for `clear`; `payload` is NULL while the `docs` row still holds the
///   inserted text; `prev` is the op before of the same document, so that no index is needed.
const TABLES: &str = "
CREATE TABLE state(
  one INTEGER PRIMARY KEY CHECK (one = 1), node TEXT NOT NULL, author INTEGER NOT NULL,
  last_seq INTEGER NOT NULL, clock INTEGER NOT NULL, ledger INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE collections(
  cid INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, syncable INTEGER NOT NULL DEFAULT 0,
  strategy TEXT NOT NULL DEFAULT 'last-write-wins', epoch TEXT NOT NULL DEFAULT '', lsn INTEGER,
  view TEXT, snapshot INTEGER, generation INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE docs(
  doc INTEGER PRIMARY KEY, cid INTEGER NOT NULL, id TEXT NOT NULL, body TEXT,
  lsn INTEGER NOT NULL DEFAULT 0, stamp INTEGER NOT NULL DEFAULT 0, author INTEGER NOT NULL DEFAULT 0,
  meta TEXT, shadow TEXT, expires INTEGER, op INTEGER, generation INTEGER NOT NULL DEFAULT 0,
  UNIQUE(cid, id)
);
CREATE INDEX docs_order ON docs(cid);
CREATE INDEX docs_expires ON docs(expires) WHERE expires IS NOT NULL;
CREATE TABLE outbox(
  seq INTEGER PRIMARY KEY, cid INTEGER NOT NULL, doc INTEGER, kind INTEGER NOT NULL, payload TEXT,
  base INTEGER NOT NULL, stamp INTEGER NOT NULL, txn INTEGER, batch INTEGER,
  state INTEGER NOT NULL DEFAULT 0, receipt_lsn INTEGER, prev INTEGER, wire_seq INTEGER,
  wire_node TEXT
);
CREATE INDEX outbox_clears ON outbox(cid, seq) WHERE doc IS NULL;
CREATE INDEX outbox_batches ON outbox(batch) WHERE batch IS NOT NULL;
CREATE INDEX outbox_receipted ON outbox(cid, receipt_lsn) WHERE state = 2;
CREATE TABLE batches(
  batch INTEGER PRIMARY KEY, batch_id TEXT NOT NULL UNIQUE, epoch TEXT NOT NULL, strategy TEXT NOT NULL,
  packet INTEGER
);
CREATE TABLE packets(
  one INTEGER PRIMARY KEY CHECK (one = 1), hub TEXT NOT NULL, sent INTEGER NOT NULL DEFAULT 0,
  received INTEGER NOT NULL DEFAULT 0, met INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE snapshots(
  snapshot INTEGER PRIMARY KEY, epoch TEXT NOT NULL, first_lsn INTEGER NOT NULL,
  after_lsn INTEGER, documents INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE quarantine(
  number INTEGER PRIMARY KEY AUTOINCREMENT, collection TEXT NOT NULL, id TEXT, seq INTEGER,
  operation TEXT NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL, at INTEGER NOT NULL
);
CREATE TABLE conflicts(
  number INTEGER PRIMARY KEY AUTOINCREMENT, collection TEXT NOT NULL, id TEXT NOT NULL, merged INTEGER NOT NULL,
  lsn INTEGER NOT NULL, operation TEXT NOT NULL, at INTEGER NOT NULL
);
";

/// Refuses a file that belongs to somebody else, before anything is written to it.
///
/// # Errors
/// [`Error::NotOurs`], or SQLite's own.
pub(crate) fn check_owner(conn: &Connection, path: &Path) -> Result<()> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'outbox'";
    let all = match count(conn, "SELECT count(*) FROM sqlite_schema") {
        Err(Error::Sqlite(why)) if why.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            return Err(Error::NoDatabase(path.to_owned()));
        }
        counted => counted?,
    };
    let ours = count(conn, sql)?;
    if all > 0 && ours == 0 { Err(Error::NotOurs(path.to_owned())) } else { Ok(()) }
}

fn count(conn: &Connection, sql: &str) -> Result<i64> {
    Ok(conn.query_row(sql, [], |row| row.get(0))?)
}

/// Brings the file to the current version, in one transaction.
///
/// # Errors
/// [`Error::NewerSchema`], or SQLite's own.
pub(crate) fn migrate(conn: &mut Connection, path: &Path) -> Result<()> {
    let found: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = i64::try_from(STEPS.len()).expect("few versions");
    if found == known {
        return Ok(());
    }
    let Some(steps) = usize::try_from(found).ok().and_then(|found| STEPS.get(found..)) else {
        return Err(Error::NewerSchema { path: path.to_owned(), found, known });
    };
    let transaction = conn.transaction()?;
    for step in steps {
        transaction.execute_batch(step)?;
    }
    transaction.execute_batch(index::SCHEMA)?;
    transaction.pragma_update(None, "user_version", known)?;
    Ok(transaction.commit()?)
}
