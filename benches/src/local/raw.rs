//! Raw SQLite: one table of texts, the pragmas of the embedded database, statements prepared once.

use super::{BATCH, per_second};
use rusqlite::{Connection, params};
use serde_json::Value;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

/// One document per row.
pub(super) fn open(dir: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(dir.join("raw.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;
         PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -32768; PRAGMA temp_store = MEMORY;
         CREATE TABLE docs(id TEXT PRIMARY KEY, body TEXT);",
    )?;
    Ok(connection)
}

/// Durable inserts. Returns documents per second.
pub(super) fn insert(texts: &[String]) -> Result<f64, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let mut connection = open(dir.path())?;
    let began = Instant::now();
    fill(&mut connection, texts, BATCH)?;
    Ok(per_second(texts.len(), began))
}

/// Inserts or replaces, so many in one transaction. The texts are documents in order from the first.
pub(super) fn fill(connection: &mut Connection, texts: &[String], per_transaction: usize) -> rusqlite::Result<()> {
    let mut first = 0;
    for batch in texts.chunks(per_transaction) {
        let transaction = connection.transaction()?;
        {
            let mut upsert = transaction.prepare_cached(
                "INSERT INTO docs VALUES (?1, ?2) ON CONFLICT(id) DO UPDATE SET body = excluded.body",
            )?;
            for (n, text) in (first..).zip(batch) {
                upsert.execute(params![crate::documents::id(n), text])?;
            }
        }
        transaction.commit()?;
        first += batch.len() as u64;
    }
    Ok(())
}

/// The documents that a statement finds, parsed.
pub(super) fn select(connection: &Connection, sql: &str, wanted: &Value) -> Result<Vec<Value>, Box<dyn Error>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = match wanted {
        Value::String(text) => statement.query([text])?,
        other => statement.query([other.as_i64()])?,
    };
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(serde_json::from_str(row.get_ref(0)?.as_str()?)?);
    }
    Ok(found)
}
