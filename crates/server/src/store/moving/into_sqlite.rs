//! Making a data directory, which gets its name when it is complete.

use super::tables::{STATE, Table};
use super::{Moved, Part, Tally};
use crate::store::StoreError;
use crate::store::sqlite::{NewDirectory, NewFile};
use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};
use std::path::PathBuf;
use tokio::sync::mpsc;

/// Takes everything and returns what it was.
pub(super) async fn receive(dir: PathBuf, parts: mpsc::Receiver<Part>) -> Result<Vec<Moved>, StoreError> {
    let writing = tokio::task::spawn_blocking(move || write(NewDirectory::begin(&dir)?, parts));
    writing.await.map_err(StoreError::engine("writing a data directory"))?
}

fn write(directory: NewDirectory, mut parts: mpsc::Receiver<Part>) -> Result<Vec<Moved>, StoreError> {
    let hub = directory.hub()?;
    let (mut tally, mut space) = (Tally::default(), None::<Space>);
    loop {
        let part = parts.blocking_recv().ok_or(StoreError::Closed)?;
        tally.note(&part)?;
        let done = match part {
            Part::Space(name) => {
                finish(space.take(), &directory)?;
                let listed = hub.conn.execute("INSERT INTO spaces VALUES (?1)", params![name]);
                listed.map_err(StoreError::engine("listing a space"))?;
                let file = directory.space(&name)?;
                space = Some(Space { file, last: [Value::Null, Value::Null, Value::Null] });
                continue;
            }
            Part::Rows(table, rows) => {
                let space = space.as_mut().ok_or(StoreError::Closed)?;
                space.write(table, rows)
            }
            Part::Record(record) => hub.conn.execute("INSERT INTO records VALUES (?1, ?2, ?3)", record).map(drop),
            Part::End => break,
        };
        done.map_err(StoreError::engine("writing moved rows")).map_err(|error| directory.blamed(error))?;
    }
    finish(space, &directory)?;
    hub.close()?;
    directory.finish()?;
    Ok(tally.0)
}

/// A space under construction.
struct Space {
    file: NewFile,
    /// The last numbers of nodes, of the ledger and of the quarantine: none is used again.
    last: [Value; 3],
}

impl Space {
    fn write(&mut self, table: &Table, rows: Vec<Vec<Value>>) -> rusqlite::Result<()> {
        let transaction = self.file.conn.unchecked_transaction()?;
        let mut insert = transaction.prepare_cached(table.into_sqlite)?;
        let taken = insert.parameter_count();
        for row in rows {
            insert.execute(params_from_iter(row.iter().take(taken)))?;
            if table.name == STATE {
                self.last = [7, 8, 9].map(|place: usize| row.get(place).cloned().unwrap_or(Value::Integer(0)));
            }
        }
        drop(insert);
        transaction.commit()
    }
}

/// What follows from the rows, and the end of the file.
fn finish(space: Option<Space>, directory: &NewDirectory) -> Result<(), StoreError> {
    let Some(Space { file, last }) = space else { return Ok(()) };
    let derived = derive(&file.conn, &last).map_err(StoreError::engine("writing moved rows"));
    derived.map_err(|error| directory.blamed(error))?;
    file.close()
}

fn derive(conn: &Connection, last: &[Value; 3]) -> rusqlite::Result<()> {
    let expiring = "INSERT INTO expiring SELECT l.expires, l.lsn FROM heads h JOIN log l ON l.lsn = h.lsn
        WHERE l.kind = 0 AND l.expires IS NOT NULL";
    conn.execute(expiring, [])?;
    conn.execute("UPDATE log SET before = s.lsn FROM superseded s WHERE log.lsn = s.until", [])?;
    for (table, last) in ["authors", "ledger", "quarantine"].into_iter().zip(last) {
        conn.execute("DELETE FROM sqlite_sequence WHERE name = ?1", params![table])?;
        conn.execute("INSERT INTO sqlite_sequence VALUES (?1, ?2)", params![table, last])?;
    }
    Ok(())
}
