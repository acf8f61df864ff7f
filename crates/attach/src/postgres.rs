//! PostgreSQL as an engine: a schema's catalogue, its triggers, statements by `tokio-postgres`. Decides nothing.
//!
//! Transactions see one state of the database, and the application goes on meanwhile: what it changes after that state
//! is registered and found by the next one, whenever it began and however late it commits. Rows that it holds locked are
//! not waited for long: locks that are held here could make it wait in turn.

mod catalogue;
mod cells;
mod connection;
mod sets;
mod tables;
mod triggers;
mod trouble;

use crate::catalogue::Catalogue;
use crate::engine::{Engine, Fault, Purpose, Spellings, Trigger, in_pieces};
use crate::error::AttachError;
use crate::mapping::Added;
use crate::plan::{ColumnPlan, Plan, TypePlan};
use crate::sql::{Given, list, literal, quoted, updating};
use crate::value::Cell;
use connection::Connection;
use futures_util::future::{join, try_join_all};
use sets::Set;
use std::cell::{Cell as Flag, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use syncline_postgres::{Url, UrlError};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row, Statement};

/// How long the first row that the application holds is waited for in a packet: less than the second after which
/// PostgreSQL looks for transactions that wait for each other and ends one, which would be the application's.
const FIRST_WAIT_MS: u64 = 500;

/// And every further one.
const NEXT_WAIT_MS: u64 = 1;

// How many rows are looked for is decided anew each time: a way that was chosen while a table was nearly empty would be
// kept while packets fill it.
const CUSTOM_PLAN: &str = "SET LOCAL plan_cache_mode = force_custom_plan;";
const ANY_PLAN: &str = "SET LOCAL plan_cache_mode = auto;";

/// A schema of a database.
pub(crate) struct Postgres {
    url: Url,
    schema: String,
    connection: RefCell<Connection>,
    busy_timeout_ms: u64,
    /// Savepoints that go with the next statement: nobody waits for an answer to them alone.
    ahead: RefCell<String>,
    /// The transaction under way.
    purpose: Flag<Option<Purpose>>,
    /// A row was waited for in it.
    has_waited: Flag<bool>,
}

impl Postgres {
    /// Connects to a database, for the first schema of the search path.
    pub(crate) fn open(url: &str, busy_timeout_ms: u64) -> Result<Postgres, AttachError> {
        let wrong = |error: UrlError| AttachError::NoServer { place: error.place, reason: error.reason };
        let mut url = Url::parse(url).map_err(wrong)?;
        if let (None, Ok(password)) = (url.config().get_password(), std::env::var("PGPASSWORD")) {
            url = url.with_password(&password).map_err(wrong)?;
        }
        let connection = RefCell::new(Connection::open(&url)?);
        let schema = String::new();
        let (ahead, purpose, has_waited) = (RefCell::default(), Flag::new(None), Flag::new(false));
        let mut db = Postgres { url, schema, connection, busy_timeout_ms, ahead, purpose, has_waited };
        let found = db.query("SELECT current_schema()", &[])?.into_iter().flatten().next();
        let Some(schema) = found.and_then(Cell::into_text) else {
            let reason = "none of the schemas of the search path exists; choose one: …?options=-csearch_path%3DNAME";
            return Err(AttachError::NoServer { place: db.place(), reason: reason.into() });
        };
        db.schema = schema;
        Ok(db)
    }

    fn fault(&self, error: &Error) -> Fault {
        trouble::fault(error, self.busy_timeout_ms)
    }

    fn say(&self, sql: &str) -> Result<(), Error> {
        let all = self.ahead.take() + sql;
        pollster::block_on(self.connection.borrow().client.batch_execute(&all))
    }

    /// Sends a statement, behind the savepoints that wait for one.
    fn send<'s, T, F: Future<Output = Result<T, Error>>>(
        &self,
        sql: &str,
        values: &'s [Given<'s>],
        ask: impl FnOnce(Arc<Statement>, Arc<Client>, Vec<&'s (dyn ToSql + Sync)>) -> F,
    ) -> Result<T, Error> {
        if !self.connection.borrow().has_prepared(sql) && !self.ahead.borrow().is_empty() {
            self.say("")?;
        }
        let (statement, client) = {
            let mut connection = self.connection.borrow_mut();
            (connection.prepared(sql)?, Arc::clone(&connection.client))
        };
        let finds_many = sql.contains(sets::RECORDS) || sql.contains(sets::ANY);
        if finds_many {
            self.ahead.borrow_mut().push_str(CUSTOM_PLAN);
        }
        let answer = self.sent(&client, ask(statement, Arc::clone(&client), parameters(values)));
        if finds_many && answer.is_ok() {
            self.ahead.borrow_mut().push_str(ANY_PLAN);
        }
        answer
    }

    fn run(&self, sets: &[Set<'_>]) -> Result<(), Fault> {
        self.execute_all(&sets.iter().map(Set::statement).collect::<Vec<_>>())
    }

    /// The types of these columns.
    fn types(&self, table: &str, columns: &[&String]) -> Result<Vec<Type>, Fault> {
        let sql = format!("SELECT {} FROM {}", list(columns.iter().copied()), quoted(table));
        let statement = self.connection.borrow_mut().prepared(&sql).map_err(|error| self.fault(&error))?;
        Ok(statement.columns().iter().map(|column| column.type_().clone()).collect())
    }

    /// Whether some of these columns hold JSON.
    fn has_json(&self, table: &str, columns: &[&String]) -> Result<bool, Fault> {
        Ok(self.types(table, columns)?.iter().any(sets::is_json))
    }

    fn sent<T>(&self, client: &Client, asked: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let ahead = self.ahead.take();
        if ahead.is_empty() {
            return pollster::block_on(asked);
        }
        // Both are on their way before either is answered.
        let (before, answer) = pollster::block_on(join(client.batch_execute(&ahead), asked));
        before.and(answer)
    }

    /// Notes where a row was waited for.
    fn waited<T>(&self, run: Result<T, Error>) -> Result<T, Fault> {
        let done = run.map_err(|error| self.fault(&error));
        if matches!(done, Err(Fault::Busy(_))) {
            self.has_waited.set(true);
        }
        done
    }

    /// The number by which Syncline's own transactions in this schema keep each other out.
    fn turn(&self) -> String {
        format!("hashtext('syncline attach'), hashtext({})", literal(&self.schema))
    }

    fn wait_at_most(&self, wait_ms: u64) -> String {
        format!("SET LOCAL lock_timeout = {}", wait_ms.clamp(1, i32::MAX.unsigned_abs().into()))
    }

    /// Waiting for the application, in the words of an error.
    fn begun(&self, error: &Error) -> AttachError {
        match self.fault(error) {
            Fault::Busy(_) => AttachError::Locked { waited_ms: self.busy_timeout_ms },
            fault => fault.into(),
        }
    }

    fn give_turn_back(&self) {
        // A connection that is gone has given it back.
        let _ = self.say(&format!("SELECT pg_advisory_unlock({})", self.turn()));
    }
}

impl Engine for Postgres {
    fn place(&self) -> String {
        self.url.to_string()
    }

    fn catalogue(&self) -> Result<Catalogue, AttachError> {
        self.connection.borrow_mut().forget_statements();
        Ok(catalogue::catalogue(self)?)
    }

    fn query(&self, sql: &str, values: &[Given<'_>]) -> Result<Vec<Vec<Cell>>, Fault> {
        let rows =
            self.send(sql, values, |statement, client, values| async move { client.query(&*statement, &values).await });
        let cells = |row: &Row| (0..row.len()).map(|place| row.try_get(place)).collect::<Result<Vec<Cell>, Error>>();
        let read = rows.and_then(|rows| rows.iter().map(cells).collect());
        read.map_err(|error| self.fault(&error))
    }

    fn execute(&self, sql: &str, values: &[Given<'_>]) -> Result<u64, Fault> {
        if sql.starts_with("SAVEPOINT ") || sql.starts_with("RELEASE ") {
            self.ahead.borrow_mut().push_str(sql);
            self.ahead.borrow_mut().push(';');
            return Ok(0);
        }
        let run = self
            .send(sql, values, |statement, client, values| async move { client.execute(&*statement, &values).await });
        let done = self.waited(run);
        if done.is_ok() && self.has_waited.get() && sql.starts_with("ROLLBACK TO") {
            // Whoever has waited once has waited enough.
            self.has_waited.set(false);
            self.batch(&self.wait_at_most(NEXT_WAIT_MS))?;
        }
        done
    }

    fn execute_all(&self, statements: &[(&str, Vec<Given<'_>>)]) -> Result<(), Fault> {
        if statements.is_empty() {
            return Ok(());
        }
        let run = || {
            if statements.iter().any(|(sql, _)| !self.connection.borrow().has_prepared(sql)) {
                self.say("")?;
            }
            let mut prepared = Vec::with_capacity(statements.len());
            for (sql, values) in statements {
                prepared.push((self.connection.borrow_mut().prepared(sql)?, parameters(values)));
            }
            let client = Arc::clone(&self.connection.borrow().client);
            // All are on their way before the first is answered.
            let asked = prepared.iter().map(|(statement, values)| client.execute(&**statement, values));
            self.sent(&client, try_join_all(asked))
        };
        self.waited(run()).map(drop)
    }

    fn among(
        &self,
        (table, columns): (&str, &[&String]),
        wanted: &[Vec<Given<'_>>],
        before: &[Given<'_>],
        sql: &dyn Fn(&str) -> String,
    ) -> Result<Vec<Vec<Cell>>, Fault> {
        let (kinds, n) = (self.types(table, columns)?, before.len() + 1);
        if kinds.iter().any(sets::is_json) {
            return in_pieces(self, columns, wanted, before, sql);
        }
        let (condition, given) = match (columns, &kinds[..]) {
            ([column], [kind]) if sets::is_plain(kind) => (sets::any(column, kind, n), sets::arrays(wanted)),
            _ => (sets::among(table, columns, n), sets::records(columns, wanted)),
        };
        let (sql, mut all) = (sql(&condition), Vec::new());
        for many in given {
            let values: Vec<Given<'_>> = before.iter().copied().chain([(&many).into()]).collect();
            all.extend(self.query(&sql, &values)?);
        }
        Ok(all)
    }

    fn insert_rows(&self, table: &str, columns: &[&String], rows: &[Vec<Given<'_>>]) -> Result<(), Fault> {
        self.run(&match self.has_json(table, columns)? {
            true => sets::inserting_values(table, columns, rows),
            false => sets::inserting(table, columns, rows),
        })
    }

    fn update_rows(&self, table: &str, set: &[&String], key: &[String], rows: &[Vec<Given<'_>>]) -> Result<(), Fault> {
        let all: Vec<&String> = set.iter().copied().chain(key).collect();
        if self.has_json(table, &all)? {
            let sql = updating(table, set, key);
            return self.execute_all(&rows.iter().map(|row| (&*sql, row.clone())).collect::<Vec<_>>());
        }
        self.ahead.borrow_mut().push_str(CUSTOM_PLAN);
        self.run(&sets::updating(table, set, key, rows))?;
        self.ahead.borrow_mut().push_str(ANY_PLAN);
        Ok(())
    }

    fn batch(&self, sql: &str) -> Result<(), Fault> {
        self.say(sql).map_err(|error| self.fault(&error))
    }

    fn begin(&self, purpose: Purpose) -> Result<(), AttachError> {
        if self.connection.borrow().client.is_closed() {
            let connection = Connection::open(&self.url)?;
            self.connection.replace(connection);
        }
        self.has_waited.set(false);
        let patience = self.busy_timeout_ms.clamp(1, i32::MAX.unsigned_abs().into());
        if purpose == Purpose::Reading {
            self.say("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").map_err(|error| self.begun(&error))?;
            self.purpose.set(Some(purpose));
            return Ok(());
        }
        // First the turn, then the state that is seen: what the turn before has left is in it.
        self.say(&format!("SET lock_timeout = {patience}; SELECT pg_advisory_lock({})", self.turn()))
            .map_err(|error| self.begun(&error))?;
        let wait_ms = if purpose == Purpose::Writing { patience.min(FIRST_WAIT_MS) } else { patience };
        let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ; {}", self.wait_at_most(wait_ms));
        if let Err(error) = self.say(&begin) {
            self.give_turn_back();
            return Err(self.begun(&error));
        }
        self.purpose.set(Some(purpose));
        Ok(())
    }

    fn commit(&self) -> Result<(), AttachError> {
        let done = self.say("COMMIT").map_err(|error| match error.as_db_error() {
            Some(refused) if trouble::of_object(refused.code()).is_some() => {
                AttachError::Dangling(trouble::words(refused))
            }
            _ => self.begun(&error),
        });
        if self.purpose.take() != Some(Purpose::Reading) {
            self.give_turn_back();
        }
        done
    }

    fn roll_back(&self) {
        let Some(purpose) = self.purpose.take() else { return };
        self.ahead.take();
        // A connection that is gone has taken it back.
        let _ = self.say("ROLLBACK");
        if purpose != Purpose::Reading {
            self.give_turn_back();
        }
    }

    fn is_undone(&self) -> bool {
        false
    }

    fn capture(&self, on: bool) -> Result<(), Fault> {
        let applying = if on { "0" } else { "1" };
        self.query("SELECT set_config('syncline.applying', ?1, true)", &[applying.into()]).map(drop)
    }

    fn wake_triggers(&self) -> Result<(), Fault> {
        // They always do.
        Ok(())
    }

    fn defer(&self, on: bool) -> Result<(), Fault> {
        if on {
            return self.batch("SET CONSTRAINTS ALL DEFERRED");
        }
        self.batch("SAVEPOINT defer")?;
        match self.batch("SET CONSTRAINTS ALL IMMEDIATE") {
            // Something points nowhere so far: the commit will tell.
            Err(Fault::Aside(_)) => self.batch("ROLLBACK TO defer; RELEASE defer"),
            Ok(()) => self.batch("RELEASE defer"),
            failed => failed,
        }
    }

    fn remove_strictly(&self, _: bool) -> Result<(), Fault> {
        // Those that are not declared as deferrable never wait.
        Ok(())
    }

    fn has_written(&self, _: &mut i64) -> Result<bool, AttachError> {
        Ok(true)
    }

    fn spellings(&self) -> &'static Spellings {
        &SPELLINGS
    }

    fn triggers(&self, plan: &Plan) -> Vec<Trigger> {
        triggers::triggers(&self.schema, plan)
    }

    fn standing(&self) -> Result<BTreeMap<String, String>, Fault> {
        let sql = "SELECT t.tgname::text, pg_get_triggerdef(t.oid) || ' ' || md5(pg_get_functiondef(t.tgfoid))
                   FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
                   WHERE p.pronamespace = current_schema()::regnamespace AND p.proname = t.tgname
                   AND t.tgname LIKE 'sync\\_%' AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')";
        let read = |row: Vec<Cell>| {
            let mut texts = row.into_iter().filter_map(Cell::into_text);
            Some((texts.next()?, texts.next()?))
        };
        Ok(self.query(sql, &[])?.into_iter().filter_map(read).collect())
    }

    fn drop_trigger(&self, name: &str) -> Result<(), Fault> {
        self.batch(&format!("DROP FUNCTION IF EXISTS {}.{} CASCADE", quoted(&self.schema), quoted(name)))
    }

    fn add_column(&self, table: &str, added: Added) -> Result<(), Fault> {
        let declared = match added {
            Added::Uuid => "uuid UNIQUE",
            Added::UpdatedAt => "timestamp",
            Added::IsDeleted => "boolean NOT NULL DEFAULT false",
        };
        self.batch(&format!("ALTER TABLE {} ADD COLUMN {} {declared}", quoted(table), quoted(added.column())))
    }

    fn drop_column(&self, table: &str, column: &str) -> Result<(), Fault> {
        self.batch(&format!("ALTER TABLE {} DROP COLUMN {}", quoted(table), quoted(column)))
    }

    fn key_sql(&self, plan: &TypePlan, of: &str) -> String {
        triggers::key_sql(&plan.key_columns, of)
    }

    fn numbers(&self, plan: &TypePlan, count: usize) -> Result<Vec<i64>, Fault> {
        let (table, key) = (quoted(&plan.table), quoted(&plan.key[0]));
        let sql = "SELECT CASE WHEN a.attidentity <> ''
                     THEN format('nextval(%L)', pg_get_serial_sequence(?1, a.attname))
                     ELSE pg_get_expr(d.adbin, d.adrelid) END
                   FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                   WHERE a.attrelid = ?1::text::regclass AND a.attname = ?2";
        let found = self.query(sql, &[(&table).into(), (&plan.key[0]).into()])?.into_iter().flatten().next();
        let Some(next) = found.and_then(Cell::into_text) else { return Ok(Vec::new()) };
        // A sequence may lag behind, as it does after an import: numbers that rows have already are passed over.
        let (mut numbers, mut ask) = (Vec::with_capacity(count), count);
        while numbers.len() < count {
            let sql = format!(
                "SELECT n FROM (SELECT {next} AS n FROM generate_series(1, ?1::bigint)) AS sync_drawn
                 WHERE NOT EXISTS (SELECT 1 FROM {table} AS o WHERE o.{key} = sync_drawn.n)"
            );
            numbers.extend(self.query(&sql, &[(ask as u64).into()])?.into_iter().flatten().map(|cell| cell.number()));
            ask *= 2;
        }
        numbers.truncate(count);
        Ok(numbers)
    }

    fn held(&self, column: &ColumnPlan, cell: Cell) -> Result<Cell, Fault> {
        if !column.respells {
            return Ok(cell);
        }
        self.batch("SAVEPOINT held")?;
        match self.query(&format!("SELECT CAST(?1 AS {})", column.declared), &[(&cell).into()]) {
            Ok(rows) => {
                self.batch("RELEASE held")?;
                Ok(rows.into_iter().flatten().next().unwrap_or(Cell::Null))
            }
            // It would not hold it at all.
            Err(Fault::Aside(_)) => {
                self.batch("ROLLBACK TO held; RELEASE held")?;
                Ok(cell)
            }
            Err(fault) => Err(fault),
        }
    }

    fn late_references(&self, _: &str) -> Result<Vec<(String, String, Option<String>)>, Fault> {
        Ok(Vec::new())
    }

    fn unchecked(&self, work: &mut dyn FnMut() -> Result<(), Fault>) -> Result<(), Fault> {
        work()
    }
}

static SPELLINGS: Spellings = Spellings {
    tables: tables::TABLES,
    has_table: "SELECT 1 FROM pg_class WHERE relname = ?1 AND relnamespace = current_schema()::regnamespace",
    made_at: "to_char(made_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')",
    inserting: "OVERRIDING SYSTEM VALUE",
};

fn parameters<'g>(values: &'g [Given<'g>]) -> Vec<&'g (dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}
