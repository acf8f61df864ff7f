//! A second connection, so that reads do not wait while a writer waits for the disk.
//!
//! Sees the newest commit at the start of each read, so an app reads its own writes. Never writes.

use super::names::Names;
use super::view::View;
use crate::error::Result;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;
use syncline_core::model::Millis;

/// Reads beside the writer. Only for files in WAL mode: elsewhere a reader locks the writer out.
pub(super) struct Reader {
    conn: Connection,
    names: Names,
    /// SQLite's count of what others committed, as of `names`.
    version: i64,
}

impl Reader {
    /// A reader of the file that `writer` has open; `None`: it cannot be read beside its writer.
    pub(super) fn beside(writer: &Connection, path: &Path) -> Result<Option<Reader>> {
        let mode: String = writer.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
        if mode != "wal" {
            return Ok(None);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags)?;
        conn.execute_batch("PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY;")?;
        conn.busy_timeout(Duration::from_secs(5))?;
        conn.set_prepared_statement_cache_capacity(64);
        Ok(Some(Reader { conn, names: Names::default(), version: 0 }))
    }

    /// Reads the newest committed state.
    pub(super) fn view<T>(&mut self, now: Millis, work: impl FnOnce(&mut View<'_>) -> Result<T>) -> Result<T> {
        let conn = &self.conn;
        conn.prepare_cached("BEGIN")?.execute([])?;
        let _ends = Reading { conn };
        let version = conn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if version != self.version {
            self.names.forget_all();
            self.version = version;
        }
        work(&mut View::new(conn, now, &mut self.names))
    }
}

/// An open read; the state is let go when it is dropped.
struct Reading<'r> {
    conn: &'r Connection,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.conn.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])) {
            tracing::debug!(%error, "SQLite had ended the read already");
        }
    }
}
