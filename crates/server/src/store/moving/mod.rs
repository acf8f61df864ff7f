//! Moving a hub from one engine to another: every row as it is, with epochs, positions and numbers, so that clients go
//! on as if nothing had happened. Nobody may use either side meanwhile, and the target has all of it or nothing.

mod from_postgres;
mod from_sqlite;
mod into_postgres;
mod into_sqlite;
mod tables;

use super::StoreError;
use super::postgres::Url;
use rusqlite::types::Value;
use serde::Serialize;
use std::path::PathBuf;
use syncline_core::model::{Epoch, Lsn, SpaceName};
use tables::Table;
use tokio::sync::mpsc;

/// One side of a move.
#[derive(Clone, Debug)]
pub enum Place {
    /// A data directory.
    Directory(PathBuf),
    /// A database.
    Database(Url),
}

/// A space that was moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Its name.
    pub space: SpaceName,
    /// Its history, which goes on.
    pub epoch: Epoch,
    /// Where its log stands.
    pub lsn: Lsn,
    /// Rows of all its tables.
    pub rows: u64,
}

/// What goes over, in order.
enum Part {
    /// A space begins; the rows that follow are its own.
    Space(String),
    /// Rows of one table.
    Rows(&'static Table, Vec<Vec<Value>>),
    /// An administrative record: kind, key, value.
    Record([String; 3]),
    /// That was all. Without it nothing of it counts.
    End,
}

/// Rows that go over together.
const TOGETHER: usize = 1_000;
/// About as many bytes of text go over together.
const TOGETHER_BYTES: usize = 4 << 20;
/// Parts on their way.
const QUEUE: usize = 4;

/// Moves everything.
///
/// # Errors
/// Somebody uses the source; there is something at the target; either cannot be used.
pub async fn migrate(from: &Place, to: &Place) -> Result<Vec<Moved>, StoreError> {
    let (parts, arriving) = mpsc::channel(QUEUE);
    let source = async {
        match from {
            Place::Directory(dir) => from_sqlite::send(dir.clone(), parts).await,
            Place::Database(url) => from_postgres::send(url, parts).await,
        }
    };
    let sink = async {
        match to {
            Place::Directory(dir) => into_sqlite::receive(dir.clone(), arriving).await,
            Place::Database(url) => into_postgres::receive(url, arriving).await,
        }
    };
    let (sent, received) = tokio::join!(source, sink);
    // Where the target fails, the source only finds that nobody takes its rows.
    match (sent, received) {
        (Ok(()), received) => received,
        (Err(error), Err(StoreError::Closed) | Ok(_)) => Err(error),
        (Err(_), Err(error)) => Err(error),
    }
}

/// Counts what goes over.
#[derive(Default)]
struct Tally(Vec<Moved>);

impl Tally {
    fn note(&mut self, part: &Part) -> Result<(), StoreError> {
        match part {
            Part::Space(name) => {
                let space = SpaceName::new(name).map_err(StoreError::engine("reading the name of a space"))?;
                self.0.push(Moved { space, epoch: Epoch::default(), lsn: Lsn::ZERO, rows: 0 });
            }
            Part::Rows(table, rows) => {
                let Some(moved) = self.0.last_mut() else { return Ok(()) };
                moved.rows += rows.len() as u64;
                if table.name == tables::STATE
                    && let Some([Value::Text(epoch), Value::Integer(lsn), ..]) = rows.first().map(Vec::as_slice)
                {
                    moved.epoch = Epoch::new(epoch).map_err(StoreError::engine("reading an epoch"))?;
                    moved.lsn = Lsn(super::columns::nat(*lsn));
                }
            }
            Part::Record(_) | Part::End => {}
        }
        Ok(())
    }
}

/// Rows of one table on their way into parts.
struct Batch {
    table: &'static Table,
    rows: Vec<Vec<Value>>,
    bytes: usize,
}

impl Batch {
    fn new(table: &'static Table) -> Batch {
        Batch { table, rows: Vec::new(), bytes: 0 }
    }

    /// Takes a row; gives back a part when enough have come together.
    fn add(&mut self, row: Vec<Value>) -> Option<Part> {
        let bytes = |value: &Value| match value {
            Value::Text(text) => text.len(),
            Value::Blob(blob) => blob.len(),
            Value::Null | Value::Integer(_) | Value::Real(_) => 8,
        };
        self.bytes += row.iter().map(bytes).sum::<usize>();
        self.rows.push(row);
        (self.rows.len() >= TOGETHER || self.bytes >= TOGETHER_BYTES).then(|| self.take())
    }

    fn take(&mut self) -> Part {
        self.bytes = 0;
        Part::Rows(self.table, std::mem::take(&mut self.rows))
    }
}
