//! Everything that is SQLite: its catalogue, the tables and triggers of Syncline, rows in and rows out. Decides nothing:
//! which packet goes and what an answer means is above.
//!
//! The seam for a second engine is what this module offers upwards: [`Sqlite`] (open, install, one transaction at a
//! time) and [`Work`] (what is done in one).

mod adopt;
mod aside;
mod catalogue;
mod delete;
mod entities;
mod install;
mod put;
mod queue;
mod rows;
mod state;
mod swap;
mod triggers;
mod wire;
mod write_lines;

pub(crate) use aside::Held;
pub use aside::{Aside, Conflict};
pub(crate) use entities::Known;
pub(crate) use put::{Arrivals, full};
pub(crate) use queue::Folded;
pub(crate) use state::Standing;

use crate::error::AttachError;
use crate::identity::Key;
use crate::plan::{Plan, TypePlan};
use crate::value::Cell;
use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};
use rusqlite::{Connection, OpenFlags, ToSql, Transaction, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::time::Duration;
use syncline_core::model::Rejection;

/// Statements that stay prepared.
const STATEMENTS: usize = 512;

/// A database file of an application.
pub(crate) struct Sqlite {
    conn: Connection,
    path: PathBuf,
    busy_timeout_ms: u64,
}

/// What is done in one transaction.
pub(crate) struct Work<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) plan: &'a Plan,
}

/// Why one object cannot be read or written.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It refers to an object that is not here yet.
    Waits { kind: String, uuid: String },
    /// It can never be, as things stand.
    Aside(Rejection),
    /// The database itself.
    Failed(rusqlite::Error),
}

impl Sqlite {
    /// Opens the file of an application; makes none.
    pub(crate) fn open(path: &Path, busy_timeout_ms: u64) -> Result<Sqlite, AttachError> {
        if !path.is_file() {
            return Err(AttachError::NoDatabase(path.to_owned()));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(Duration::from_millis(busy_timeout_ms))?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS);
        conn.pragma_update(None, "foreign_keys", true)?;
        Ok(Sqlite { conn, path: path.to_owned(), busy_timeout_ms })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads at one moment.
    pub(crate) fn read<T>(
        &self,
        plan: &Plan,
        work: impl FnOnce(&Work<'_>) -> Result<T, AttachError>,
    ) -> Result<T, AttachError> {
        let behavior = TransactionBehavior::Deferred;
        let transaction = Transaction::new_unchecked(&self.conn, behavior).map_err(|e| self.named(e.into()))?;
        work(&Work { conn: &transaction, plan }).map_err(|e| self.named(e))
    }

    /// Writes all or nothing. Capturing is off in between: what is written here is no change of the application.
    pub(crate) fn write<T>(
        &self,
        plan: &Plan,
        work: impl FnOnce(&Work<'_>) -> Result<T, AttachError>,
    ) -> Result<T, AttachError> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = Transaction::new_unchecked(&self.conn, behavior).map_err(|e| self.named(e.into()))?;
        let unit = Work { conn: &transaction, plan };
        unit.capture(false).map_err(|e| self.named(e.into()))?;
        let done = work(&unit).map_err(|e| self.named(e))?;
        unit.capture(true)?;
        transaction.commit().map_err(|e| self.named(e.into()))?;
        Ok(done)
    }

    /// A lock says how long it was waited for.
    fn named(&self, error: AttachError) -> AttachError {
        match error {
            AttachError::Locked { .. } => AttachError::Locked { waited_ms: self.busy_timeout_ms },
            error => error,
        }
    }

    /// Counts up when another connection has written.
    pub(crate) fn data_version(&self) -> Result<i64, AttachError> {
        Ok(self.conn.query_row("PRAGMA data_version", [], |row| row.get(0))?)
    }
}

impl Work<'_> {
    /// Whether triggers register what is done from now on.
    pub(crate) fn capture(&self, on: bool) -> rusqlite::Result<()> {
        let sql = "UPDATE sync_attached SET applying = ?1";
        self.conn.prepare_cached(sql)?.execute([!on]).map(drop)
    }

    /// References may point nowhere until the transaction ends.
    pub(crate) fn defer(&self, on: bool) -> rusqlite::Result<()> {
        self.conn.pragma_update(None, "defer_foreign_keys", on)
    }

    /// Whether a rule of the application (`RAISE(ROLLBACK)`) has undone the whole transaction.
    pub(crate) fn is_undone(&self) -> bool {
        self.conn.is_autocommit()
    }

    /// Does something to one object: all of it or nothing.
    pub(crate) fn whole<T>(&self, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        self.conn.prepare_cached("SAVEPOINT object")?.execute([])?;
        let done = work();
        match &done {
            // The whole transaction goes; it may be gone already.
            Err(Fault::Failed(_)) => return done,
            Err(_) if self.is_undone() => return done,
            Err(_) => drop(self.conn.prepare_cached("ROLLBACK TO object")?.execute([])?),
            Ok(_) => {}
        }
        self.conn.prepare_cached("RELEASE object")?.execute([])?;
        done
    }
}

impl Fault {
    pub(crate) fn aside(code: &str, reason: impl Into<String>) -> Fault {
        Fault::Aside(Rejection { code: code.to_owned(), reason: reason.into() })
    }

    /// Whether another row holds a value that is to be unique.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(self, Fault::Aside(why) if why.code == TAKEN)
    }
}

/// The code of a value that another row holds.
pub(crate) const TAKEN: &str = "not_unique";

/// A rule of the application's schema that one object breaks is that object's matter; all else is the database's.
impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        use rusqlite::ffi;
        let rusqlite::Error::SqliteFailure(failure, words) = &error else { return Fault::Failed(error) };
        let code = match failure.extended_code {
            ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => TAKEN,
            ffi::SQLITE_CONSTRAINT_CHECK => "check",
            ffi::SQLITE_CONSTRAINT_NOTNULL => "not_null",
            ffi::SQLITE_CONSTRAINT_FOREIGNKEY => "foreign_key",
            ffi::SQLITE_CONSTRAINT_DATATYPE => "datatype",
            ffi::SQLITE_CONSTRAINT_TRIGGER => "trigger",
            ffi::SQLITE_MISMATCH => "datatype",
            ffi::SQLITE_TOOBIG => "too_big",
            _ => return Fault::Failed(error),
        };
        Fault::aside(code, words.clone().unwrap_or_else(|| failure.to_string()))
    }
}

/// Where one object's matter is everybody's: it was to be in order.
impl From<Fault> for AttachError {
    fn from(fault: Fault) -> AttachError {
        match fault {
            Fault::Failed(error) => error.into(),
            Fault::Aside(why) => AttachError::Packet(why.reason),
            Fault::Waits { kind, uuid } => AttachError::Packet(format!("{kind} {uuid} is not there")),
        }
    }
}

/// Whether references that point nowhere kept a transaction from being committed.
pub(crate) fn dangles(error: &AttachError) -> bool {
    let by_schema = matches!(error, AttachError::Sqlite(rusqlite::Error::SqliteFailure(failure, _))
        if failure.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY);
    by_schema || matches!(error, AttachError::Dangling)
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Cell::Null => ToSqlOutput::Owned(SqlValue::Null),
            Cell::Integer(number) => ToSqlOutput::Owned(SqlValue::Integer(*number)),
            Cell::Real(number) => ToSqlOutput::Owned(SqlValue::Real(*number)),
            Cell::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Cell::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

/// What stands in a column of a row that was read.
fn cell_at(row: &rusqlite::Row<'_>, place: usize) -> Result<Cell, Fault> {
    Ok(match row.get_ref(place)? {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Integer(number),
        ValueRef::Real(number) => Cell::Real(number),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Cell::Text(text.to_owned()),
            Err(_) => {
                let name = row.as_ref().column_name(place).unwrap_or("?").to_owned();
                return Err(Fault::aside("not_utf8", format!("column `{name}` holds text that is not UTF-8")));
            }
        },
        ValueRef::Blob(bytes) => Cell::Blob(bytes.to_vec()),
    })
}

/// A name as SQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Names as a list in SQL.
fn list<'n>(names: impl IntoIterator<Item = &'n String>) -> String {
    names.into_iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

/// `"a" = ?1 AND "b" = ?2`, with numbers from one on.
fn equals<'n>(names: impl IntoIterator<Item = &'n String>, from: usize) -> String {
    let terms = names.into_iter().enumerate().map(|(n, name)| format!("{} = ?{}", quoted(name), from + n));
    terms.collect::<Vec<_>>().join(" AND ")
}

/// The key of a row as `entity_key` holds it; `of` is what stands before the columns (`NEW.`).
fn key_sql(columns: &[String], numbered: bool, of: &str) -> String {
    match columns {
        [one] if numbered => format!("{of}{}", quoted(one)),
        [one] => {
            let one = format!("{of}{}", quoted(one));
            format!("CASE typeof({one}) WHEN 'integer' THEN {one} ELSE quote({one}) END")
        }
        many => many.iter().map(|name| format!("quote({of}{})", quoted(name))).collect::<Vec<_>>().join("||','||"),
    }
}

impl TypePlan {
    fn key_sql(&self, of: &str) -> String {
        key_sql(&self.key, self.numbered, of)
    }
}

/// Values as parameters.
fn parameters<'c>(cells: impl IntoIterator<Item = &'c Cell>) -> Vec<&'c dyn ToSql> {
    cells.into_iter().map(|cell| cell as &dyn ToSql).collect()
}

impl Key {
    fn parameters(&self) -> Vec<&dyn ToSql> {
        parameters(&self.0)
    }
}
