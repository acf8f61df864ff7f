//! A connection for reading. Each has its own view of the file and may be used while commits go on.

use super::schema;
use crate::store::StoreError;
use rusqlite::{Connection, Transaction};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Idle connections kept for each space; more are opened when more scans run at once.
const KEPT: usize = 8;

/// A read-only connection and the collection names it has met: the name of number n stands at n - 1.
pub(super) struct Reader {
    conn: Connection,
    names: Vec<String>,
}

impl Reader {
    /// Opens a transaction: everything read in it comes from one state of the space.
    pub fn begin(&mut self) -> rusqlite::Result<(Transaction<'_>, &[String])> {
        let Reader { conn, names } = self;
        let transaction = conn.unchecked_transaction()?;
        let mut newer = transaction.prepare_cached("SELECT name FROM collections WHERE cid > ?1 ORDER BY cid")?;
        let mut rows = newer.query([super::columns::int(names.len() as u64)])?;
        while let Some(row) = rows.next()? {
            names.push(row.get(0)?);
        }
        drop(rows);
        drop(newer);
        Ok((transaction, names))
    }

    /// The connection itself, for single statements.
    pub fn connection(&self) -> &Connection {
        &self.conn
    }
}

/// The idle connections of one space.
#[derive(Default)]
pub(super) struct Readers(Mutex<Vec<Reader>>);

impl Readers {
    /// Lends a connection to `work`.
    pub fn with<T>(
        &self,
        path: &Path,
        work: impl FnOnce(&mut Reader) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.lock().pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => Reader { conn: schema::open_to_read(path)?, names: Vec::new() },
        };
        let done = work(&mut reader)?;
        let mut idle = self.lock();
        if idle.len() < KEPT {
            idle.push(reader);
        }
        Ok(done)
    }

    /// Closes the idle ones.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Reader>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
