//! An application's own connection to its database: prepared statements, and transactions that last.

use super::Result;
use crate::server::Postgres;
use bytes::BytesMut;
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, params_from_iter};
use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, NoTls, Statement};

/// What a statement is given.
#[derive(Clone, Debug)]
pub enum Value {
    Integer(i64),
    Flag(bool),
    Text(String),
}

/// A connection.
pub trait App {
    /// The file or URL, as `syncline attach` takes it.
    fn place(&self) -> &str;

    /// The process that answers, where it is another one.
    fn server(&self) -> Option<i32> {
        None
    }

    /// Statements without values.
    fn run(&mut self, sql: &str) -> Result<()>;

    /// One statement for each row, in one transaction. Values are named `?1`, `?2`, ….
    fn each(&mut self, sql: &str, rows: &[Vec<Value>]) -> Result<()>;
}

/// A SQLite file.
pub struct OnSqlite {
    place: String,
    conn: Connection,
    _dir: TempDir,
}

impl OnSqlite {
    pub fn new() -> Result<OnSqlite> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("app.db");
        let conn = Connection::open(&path)?;
        Ok(OnSqlite { place: path.display().to_string(), conn, _dir: dir })
    }
}

impl App for OnSqlite {
    fn place(&self) -> &str {
        &self.place
    }

    fn run(&mut self, sql: &str) -> Result<()> {
        Ok(self.conn.execute_batch(sql)?)
    }

    fn each(&mut self, sql: &str, rows: &[Vec<Value>]) -> Result<()> {
        let transaction = self.conn.transaction()?;
        let mut statement = transaction.prepare_cached(sql)?;
        for row in rows {
            statement.execute(params_from_iter(row))?;
        }
        drop(statement);
        Ok(transaction.commit()?)
    }
}

/// A database of a PostgreSQL server.
pub struct OnPostgres {
    place: String,
    runtime: Runtime,
    client: Client,
    server: i32,
    statements: HashMap<String, Statement>,
}

impl OnPostgres {
    pub fn new(server: &Postgres) -> Result<OnPostgres> {
        let place = server.url(&server.database());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (client, connection) = runtime.block_on(tokio_postgres::connect(&place, NoTls))?;
        runtime.spawn(connection);
        let server = runtime.block_on(client.query_one("SELECT pg_backend_pid()", &[]))?.try_get(0)?;
        Ok(OnPostgres { place, runtime, client, server, statements: HashMap::new() })
    }
}

impl App for OnPostgres {
    fn place(&self) -> &str {
        &self.place
    }

    fn server(&self) -> Option<i32> {
        Some(self.server)
    }

    fn run(&mut self, sql: &str) -> Result<()> {
        Ok(self.runtime.block_on(self.client.batch_execute(sql))?)
    }

    fn each(&mut self, sql: &str, rows: &[Vec<Value>]) -> Result<()> {
        let (client, statements) = (&mut self.client, &mut self.statements);
        self.runtime.block_on(async {
            if !statements.contains_key(sql) {
                statements.insert(sql.to_owned(), client.prepare(&sql.replace('?', "$")).await?);
            }
            let transaction = client.transaction().await?;
            for row in rows {
                let values: Vec<&(dyn ToSql + Sync)> = row.iter().map(|value| value as _).collect();
                transaction.execute(&statements[sql], &values).await?;
            }
            Ok(transaction.commit().await?)
        })
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Value::Integer(number) => rusqlite::ToSql::to_sql(number),
            Value::Flag(flag) => rusqlite::ToSql::to_sql(flag),
            Value::Text(text) => rusqlite::ToSql::to_sql(text),
        }
    }
}

impl ToSql for Value {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> std::result::Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Value::Integer(number) => write!(out, "{number}")?,
            Value::Flag(flag) => write!(out, "{flag}")?,
            Value::Text(text) => out.write_str(text)?,
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}
