//! A connection to a PostgreSQL server for code that waits: the client's side here, the wire on a thread of its own.

use super::trouble::told;
use crate::error::AttachError;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use syncline_postgres::Url;
use tokio_postgres::{Client, Error, Statement};

/// Statements that stay prepared.
const STATEMENTS: usize = 512;

/// What every session is told first: values are spelled in one way, whatever server and user have chosen.
const SETTINGS: &str = "SET datestyle = 'ISO, YMD'; SET timezone = 'UTC'; SET intervalstyle = 'iso_8601';
  SET bytea_output = 'hex'; SET extra_float_digits = 1; SET standard_conforming_strings = on;
  SET client_min_messages = warning";

/// A connection, and the statements that it has prepared.
pub(super) struct Connection {
    pub client: Arc<Client>,
    statements: HashMap<String, Arc<Statement>>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// [`AttachError::NoServer`].
    pub(super) fn open(url: &Url) -> Result<Connection, AttachError> {
        let no_server = |reason: String| AttachError::NoServer { place: url.to_string(), reason };
        let (send, receive) = sync_channel(1);
        let (config, connector) = (url.config().clone(), url.connector());
        let wire = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(send.send(Err(error.to_string()))),
            };
            runtime.block_on(async {
                match config.connect(connector).await {
                    Err(error) => drop(send.send(Err(told(&error)))),
                    Ok((client, connection)) => {
                        // Nobody waits any more where that fails. How the connection ends is told to who uses the client.
                        if send.send(Ok(client)).is_ok() {
                            let _ = connection.await;
                        }
                    }
                }
            });
        };
        thread::Builder::new().name("postgres".into()).spawn(wire).map_err(|error| no_server(error.to_string()))?;
        let client = receive.recv().map_err(|error| no_server(error.to_string()))?.map_err(no_server)?;
        pollster::block_on(client.batch_execute(SETTINGS)).map_err(|error| no_server(told(&error)))?;
        Ok(Connection { client: Arc::new(client), statements: HashMap::new() })
    }

    pub(super) fn has_prepared(&self, sql: &str) -> bool {
        self.statements.contains_key(sql)
    }

    /// A statement, with values named `?1`, that gives cells which can be read.
    pub(super) fn prepared(&mut self, sql: &str) -> Result<Arc<Statement>, Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(Arc::clone(statement));
        }
        if self.statements.len() >= STATEMENTS {
            self.statements.clear();
        }
        let spelled = numbered(sql);
        let mut statement = pollster::block_on(self.client.prepare(&spelled))?;
        if sql.starts_with("SELECT") && statement.columns().iter().any(|column| !super::cells::is_read(column.type_()))
        {
            statement = pollster::block_on(self.client.prepare(&as_texts(&spelled, &statement)))?;
        }
        let statement = Arc::new(statement);
        self.statements.insert(sql.to_owned(), Arc::clone(&statement));
        Ok(statement)
    }

    /// Tables may have changed.
    pub(super) fn forget_statements(&mut self) {
        self.statements.clear();
    }
}

/// The same rows, with values of types that only the server knows as texts.
fn as_texts(sql: &str, statement: &Statement) -> String {
    let names: Vec<String> = (0..statement.columns().len()).map(|n| format!("c{n}")).collect();
    let read = statement.columns().iter().zip(&names).map(|(column, name)| {
        if super::cells::is_read(column.type_()) { name.clone() } else { format!("{name}::text") }
    });
    let read = read.collect::<Vec<_>>().join(", ");
    format!("SELECT {read} FROM ({sql}) AS q({})", names.join(", "))
}

/// `?1` as `$1`, outside of quotes.
fn numbered(sql: &str) -> String {
    let mut quote = None;
    let spell = |letter: char| {
        match (quote, letter) {
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            _ => {}
        }
        if letter == '?' && quote.is_none() { '$' } else { letter }
    };
    sql.chars().map(spell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbered_outside_of_quotes() {
        assert_eq!(numbered("SELECT \"a?1\" = ?1, '?2''?' || ?12"), "SELECT \"a?1\" = $1, '?2''?' || $12");
    }
}
