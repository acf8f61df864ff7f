//! SQLite as an engine: its catalogue, its triggers, statements by `rusqlite`. Decides nothing.

mod catalogue;
mod tables;
mod triggers;

use crate::catalogue::Catalogue;
use crate::engine::{Engine, Fault, Purpose, Spellings, TAKEN, Trigger};
use crate::error::AttachError;
use crate::mapping::Added;
use crate::plan::{ColumnPlan, Plan, TypePlan};
use crate::sql::{Given, equals, list, marks, quoted, updating};
use crate::value::Cell;
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};
use rusqlite::{Connection, OpenFlags, Rows, ToSql, params_from_iter};
use std::cell::Cell as Flag;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Statements that stay prepared.
const STATEMENTS: usize = 512;

/// Memory for pages of the file. A packet writes pages all over the indexes: those that had to leave the memory would be
/// written, waited for and read again.
const CACHE_KIB: i64 = 4 << 10;

/// A trigger that the application has of its own.
const TRIGGERS_OF_OTHERS: &str =
    "SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name NOT IN (SELECT name FROM sync_triggers) LIMIT 1";

/// A database file of an application.
pub(crate) struct Sqlite {
    conn: Connection,
    path: PathBuf,
    busy_timeout_ms: u64,
    /// A transaction was begun and neither committed nor taken back.
    open: Flag<bool>,
    /// References are checked when it ends.
    deferred: Flag<bool>,
}

impl Sqlite {
    /// Opens the file of an application; makes none.
    pub(crate) fn open(path: &Path, busy_timeout_ms: u64) -> Result<Sqlite, AttachError> {
        if !path.is_file() {
            return Err(AttachError::NoDatabase(path.to_owned()));
        }
        let open = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let conn = Connection::open_with_flags(path, flags)?;
            conn.busy_timeout(Duration::from_millis(busy_timeout_ms))?;
            conn.set_prepared_statement_cache_capacity(STATEMENTS);
            conn.pragma_update(None, "foreign_keys", true)?;
            conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
            // What a savepoint would take back: each object has one, and a temporary file takes longer than the object.
            conn.pragma_update(None, "temp_store", "memory")?;
            Ok(conn)
        };
        let conn = open().map_err(|error| told(error, busy_timeout_ms))?;
        Ok(Sqlite { conn, path: path.to_owned(), busy_timeout_ms, open: Flag::new(false), deferred: Flag::new(false) })
    }

    /// One statement for each row. There is no way to a server that several in one would save.
    fn each(&self, sql: &str, rows: &[Vec<Given<'_>>]) -> Result<(), Fault> {
        let run = || {
            let mut statement = self.conn.prepare_cached(sql)?;
            rows.iter().try_for_each(|row| statement.execute(params_from_iter(row)).map(drop))
        };
        run().map_err(|error| self.fault(error))
    }

    /// Of this connection. Changes have all statements prepared anew.
    fn let_triggers_fire(&self, on: bool) -> rusqlite::Result<()> {
        self.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, on).map(drop)
    }

    fn fault(&self, error: rusqlite::Error) -> Fault {
        of_object(&error).unwrap_or_else(|| Fault::Failed(self.told(error)))
    }

    fn told(&self, error: rusqlite::Error) -> AttachError {
        told(error, self.busy_timeout_ms)
    }
}

impl Engine for Sqlite {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn catalogue(&self) -> Result<Catalogue, AttachError> {
        catalogue::catalogue(&self.conn).map_err(|error| self.told(error))
    }

    fn query(&self, sql: &str, values: &[Given<'_>]) -> Result<Vec<Vec<Cell>>, Fault> {
        let read = || {
            let (mut find, mut all) = (self.conn.prepare_cached(sql)?, Vec::new());
            rows_of(&mut find.query(params_from_iter(values))?, &mut all)?;
            Ok(all)
        };
        read().map_err(|error| self.fault(error))
    }

    fn execute(&self, sql: &str, values: &[Given<'_>]) -> Result<u64, Fault> {
        let run = || self.conn.prepare_cached(sql)?.execute(params_from_iter(values));
        run().map(|count| count as u64).map_err(|error| self.fault(error))
    }

    fn execute_all(&self, statements: &[(&str, Vec<Given<'_>>)]) -> Result<(), Fault> {
        statements.iter().try_for_each(|(sql, values)| self.execute(sql, values).map(drop))
    }

    fn among(
        &self,
        (_, columns): (&str, &[&String]),
        wanted: &[Vec<Given<'_>>],
        before: &[Given<'_>],
        sql: &dyn Fn(&str) -> String,
    ) -> Result<Vec<Vec<Cell>>, Fault> {
        // One by one: values for a thousand rows in one statement would be read and sorted first.
        let sql = sql(&equals(columns.iter().copied(), before.len() + 1));
        let read = || {
            let (mut find, mut all) = (self.conn.prepare_cached(&sql)?, Vec::new());
            for row in wanted {
                rows_of(&mut find.query(params_from_iter(before.iter().chain(row)))?, &mut all)?;
            }
            Ok(all)
        };
        read().map_err(|error| self.fault(error))
    }

    fn insert_rows(&self, table: &str, columns: &[&String], rows: &[Vec<Given<'_>>]) -> Result<(), Fault> {
        let (names, values) = (list(columns.iter().copied()), marks(columns.len()));
        self.each(&format!("INSERT INTO {} ({names}) VALUES ({values})", quoted(table)), rows)
    }

    fn update_rows(&self, table: &str, set: &[&String], key: &[String], rows: &[Vec<Given<'_>>]) -> Result<(), Fault> {
        self.each(&updating(table, set, key), rows)
    }

    fn batch(&self, sql: &str) -> Result<(), Fault> {
        self.conn.execute_batch(sql).map_err(|error| self.fault(error))
    }

    fn begin(&self, purpose: Purpose) -> Result<(), AttachError> {
        let sql = if purpose == Purpose::Reading { "BEGIN" } else { "BEGIN IMMEDIATE" };
        self.conn.execute_batch(sql).map_err(|error| self.told(error))?;
        self.open.set(true);
        self.deferred.set(false);
        if purpose == Purpose::Writing {
            // What Syncline's own triggers would register of its own writes does not count.
            let has_others = !self.query(TRIGGERS_OF_OTHERS, &[])?.is_empty();
            self.let_triggers_fire(has_others).map_err(|error| self.told(error))?;
        }
        Ok(())
    }

    fn commit(&self) -> Result<(), AttachError> {
        self.conn.execute_batch("COMMIT").map_err(|error| match of_object(&error) {
            Some(Fault::Aside(why)) => AttachError::Dangling(why.reason),
            _ => self.told(error),
        })?;
        self.open.set(false);
        Ok(())
    }

    fn roll_back(&self) {
        // It may have been undone already; what failed then has been told.
        if self.open.replace(false) && !self.conn.is_autocommit() {
            let _ = self.conn.execute_batch("ROLLBACK");
        }
    }

    fn is_undone(&self) -> bool {
        self.open.get() && self.conn.is_autocommit()
    }

    fn capture(&self, on: bool) -> Result<(), Fault> {
        // Nobody else writes meanwhile, and a trigger that looked here each time would cost the application more.
        if on {
            self.execute("DELETE FROM sync_log WHERE id > (SELECT kept_upto FROM sync_attached)", &[])?;
            return self.execute("UPDATE sync_attached SET kept_upto = NULL", &[]).map(drop);
        }
        let sql = "UPDATE sync_attached SET kept_upto = (SELECT ifnull(max(id), 0) FROM sync_log)";
        self.execute(sql, &[]).map(drop)
    }

    fn wake_triggers(&self) -> Result<(), Fault> {
        self.let_triggers_fire(true).map_err(|error| self.fault(error))
    }

    fn defer(&self, on: bool) -> Result<(), Fault> {
        // All statements are prepared anew after that.
        if self.deferred.replace(on) != on {
            self.conn.pragma_update(None, "defer_foreign_keys", on).map_err(|error| self.fault(error))?;
        }
        Ok(())
    }

    fn remove_strictly(&self, on: bool) -> Result<(), Fault> {
        // Those that are declared as deferred stay so.
        self.defer(!on)
    }

    fn has_written(&self, version: &mut i64) -> Result<bool, AttachError> {
        let now = self.conn.query_row("PRAGMA data_version", [], |row| row.get(0));
        let now = now.map_err(|error| self.told(error))?;
        Ok(std::mem::replace(version, now) != now)
    }

    fn spellings(&self) -> &'static Spellings {
        &SPELLINGS
    }

    fn triggers(&self, plan: &Plan) -> Vec<Trigger> {
        triggers::triggers(plan)
    }

    fn standing(&self) -> Result<BTreeMap<String, String>, Fault> {
        let sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'sync\\_%' ESCAPE '\\'";
        let read = |row: Vec<Cell>| {
            let mut texts = row.into_iter().filter_map(Cell::into_text);
            Some((texts.next()?, texts.next()?))
        };
        Ok(self.query(sql, &[])?.into_iter().filter_map(read).collect())
    }

    fn drop_trigger(&self, name: &str) -> Result<(), Fault> {
        self.batch(&format!("DROP TRIGGER IF EXISTS {}", quoted(name)))
    }

    fn add_column(&self, table: &str, added: Added) -> Result<(), Fault> {
        let (own, column) = (quoted(table), quoted(added.column()));
        let declared = match added {
            Added::Uuid => "CHAR(36)",
            Added::UpdatedAt => "DATETIME",
            Added::IsDeleted => "BOOLEAN NOT NULL DEFAULT 0",
        };
        self.batch(&format!("ALTER TABLE {own} ADD COLUMN {column} {declared}"))?;
        if added == Added::Uuid {
            self.batch(&format!("CREATE UNIQUE INDEX {} ON {own}({column})", index_of(table, added.column())))?;
        }
        Ok(())
    }

    fn drop_column(&self, table: &str, column: &str) -> Result<(), Fault> {
        self.batch(&format!("DROP INDEX IF EXISTS {}", index_of(table, column)))?;
        self.batch(&format!("ALTER TABLE {} DROP COLUMN {}", quoted(table), quoted(column)))
    }

    fn key_sql(&self, plan: &TypePlan, of: &str) -> String {
        key_sql(&plan.key, plan.numbered, of)
    }

    fn numbers(&self, plan: &TypePlan, count: usize) -> Result<Vec<i64>, Fault> {
        let (table, key) = (quoted(&plan.table), quoted(&plan.key[0]));
        let mut sql = format!("SELECT max(0, ifnull((SELECT max({key}) FROM {table}), 0)");
        if plan.never_again {
            sql.push_str(", ifnull((SELECT seq FROM sqlite_sequence WHERE name = ?1), 0)) WHERE ?1 IS NOT NULL");
        } else {
            sql.push_str(") WHERE ?1 IS NOT NULL");
        }
        let rows = self.query(&sql, &[(&plan.table).into()])?;
        let last = rows.first().map_or(0, |row| row[0].number());
        // Fewer, where the largest number has been given out.
        Ok((1..).map_while(|n| last.checked_add(n)).take(count).collect())
    }

    fn held(&self, _: &ColumnPlan, cell: Cell) -> Result<Cell, Fault> {
        Ok(cell)
    }

    fn late_references(&self, table: &str) -> Result<Vec<(String, String, Option<String>)>, Fault> {
        let sql = "SELECT m.name, f.\"from\", f.\"to\" FROM sqlite_schema AS m, pragma_foreign_key_list(m.name) AS f
                   WHERE m.type = 'table' AND f.\"table\" = ?1 COLLATE NOCASE
                   AND f.id NOT IN (SELECT id FROM pragma_foreign_key_list(m.name) WHERE seq > 0)";
        let read = |row: Vec<Cell>| {
            let mut texts = row.into_iter().map(Cell::into_text);
            Some((texts.next()??, texts.next()??, texts.next()?))
        };
        Ok(self.query(sql, &[table.into()])?.into_iter().filter_map(read).collect())
    }

    fn unchecked(&self, work: &mut dyn FnMut() -> Result<(), Fault>) -> Result<(), Fault> {
        let ignore =
            |on| self.conn.pragma_update(None, "ignore_check_constraints", on).map_err(|error| self.fault(error));
        ignore(true)?;
        let done = work();
        ignore(false)?;
        done
    }
}

static SPELLINGS: Spellings = Spellings {
    tables: tables::TABLES,
    has_table: "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1",
    made_at: "strftime('%Y-%m-%dT%H:%M:%fZ', made_at)",
    inserting: "",
};

/// A rule of the application's schema that one object breaks is that object's matter; all else is the database's.
fn of_object(error: &rusqlite::Error) -> Option<Fault> {
    use rusqlite::ffi;
    let rusqlite::Error::SqliteFailure(failure, words) = error else { return None };
    let code = match failure.extended_code {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => TAKEN,
        ffi::SQLITE_CONSTRAINT_CHECK => "check",
        ffi::SQLITE_CONSTRAINT_NOTNULL => "not_null",
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => "foreign_key",
        ffi::SQLITE_CONSTRAINT_DATATYPE => "datatype",
        ffi::SQLITE_CONSTRAINT_TRIGGER => "trigger",
        ffi::SQLITE_MISMATCH => "datatype",
        ffi::SQLITE_TOOBIG => "too_big",
        _ => return None,
    };
    Some(Fault::aside(code, words.clone().unwrap_or_else(|| failure.to_string())))
}

fn told(error: rusqlite::Error, waited_ms: u64) -> AttachError {
    use rusqlite::ErrorCode as Code;
    match error.sqlite_error_code() {
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => AttachError::Locked { waited_ms },
        Some(Code::DiskFull) => AttachError::Full,
        Some(Code::ReadOnly | Code::PermissionDenied | Code::CannotOpen | Code::AuthorizationForStatementDenied) => {
            AttachError::Rights(error.to_string())
        }
        _ => AttachError::Database(error.to_string()),
    }
}

impl ToSql for Given<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Given::Null => ToSqlOutput::Owned(SqlValue::Null),
            Given::Integer(number) => ToSqlOutput::Owned(SqlValue::Integer(*number)),
            Given::Real(number) => ToSqlOutput::Owned(SqlValue::Real(*number)),
            Given::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Given::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

/// Adds the rows that a statement gives.
fn rows_of(rows: &mut Rows<'_>, all: &mut Vec<Vec<Cell>>) -> rusqlite::Result<()> {
    let width = rows.as_ref().map_or(0, rusqlite::Statement::column_count);
    while let Some(row) = rows.next()? {
        all.push((0..width).map(|place| Ok(cell(row.get_ref(place)?))).collect::<rusqlite::Result<_>>()?);
    }
    Ok(())
}

fn cell(held: ValueRef<'_>) -> Cell {
    match held {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Integer(number),
        ValueRef::Real(number) => Cell::Real(number),
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).map_or(Cell::Garbled, |text| Cell::Text(text.to_owned())),
        ValueRef::Blob(bytes) => Cell::Blob(bytes.to_vec()),
    }
}

fn index_of(table: &str, column: &str) -> String {
    quoted(&format!("sync_{table}_{column}"))
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
