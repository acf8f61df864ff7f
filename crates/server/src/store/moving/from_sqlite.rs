//! Reading a data directory that no hub uses.

use super::tables::TABLES;
use super::{Batch, Part};
use crate::store::StoreError;
use crate::store::sqlite::{Directory, SpacePlace};
use rusqlite::Connection;
use rusqlite::types::Value;
use std::path::PathBuf;
use tokio::sync::mpsc;

/// Sends everything in it.
pub(super) async fn send(dir: PathBuf, parts: mpsc::Sender<Part>) -> Result<(), StoreError> {
    let reading = tokio::task::spawn_blocking(move || read(&Directory::take(&dir)?, &parts));
    reading.await.map_err(StoreError::engine("reading a data directory"))?
}

fn read(directory: &Directory, parts: &mpsc::Sender<Part>) -> Result<(), StoreError> {
    let action = "reading the hub's file";
    for SpacePlace { name, file } in directory.spaces()? {
        let send = |part| parts.blocking_send(part).map_err(|_| StoreError::Closed);
        send(Part::Space(name))?;
        let conn = directory.open(&file)?;
        read_space(&conn, send).map_err(|error| error.of_file(&file))?;
    }
    let hub = directory.hub()?;
    let mut find = hub.prepare("SELECT kind, key, value FROM records").map_err(StoreError::engine(action))?;
    let mut rows = find.query([]).map_err(StoreError::engine(action))?;
    while let Some(row) = rows.next().map_err(StoreError::engine(action))? {
        let text = |column: usize| row.get::<_, String>(column).map_err(StoreError::engine(action));
        let record = Part::Record([text(0)?, text(1)?, text(2)?]);
        parts.blocking_send(record).map_err(|_| StoreError::Closed)?;
    }
    parts.blocking_send(Part::End).map_err(|_| StoreError::Closed)
}

fn read_space(conn: &Connection, send: impl Fn(Part) -> Result<(), StoreError>) -> Result<(), StoreError> {
    let action = "reading a space";
    for table in TABLES {
        let mut batch = Batch::new(table);
        let mut select = conn.prepare(table.from_sqlite).map_err(StoreError::engine(action))?;
        let mut rows = select.query([]).map_err(StoreError::engine(action))?;
        while let Some(row) = rows.next().map_err(StoreError::engine(action))? {
            let values = (0..table.columns.len()).map(|column| row.get::<_, Value>(column));
            let values = values.collect::<rusqlite::Result<_>>().map_err(StoreError::engine(action))?;
            batch.add(values).map_or(Ok(()), &send)?;
        }
        send(batch.take())?;
    }
    Ok(())
}
