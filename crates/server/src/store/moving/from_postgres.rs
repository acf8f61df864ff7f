//! Reading a database that no hub uses, as it is at one moment.

use super::tables::{COLLECTIONS, Kind, STATE, TABLES, Table};
use super::{Batch, Part};
use crate::store::StoreError;
use crate::store::postgres::{Failure, Param, Session, Url, moving_from, said, stream, text};
use futures_util::TryStreamExt;
use rusqlite::types::Value;
use std::pin::pin;
use tokio::sync::mpsc;
use tokio_postgres::Row;

/// Sends everything in it.
pub(super) async fn send(url: &Url, parts: mpsc::Sender<Part>) -> Result<(), StoreError> {
    let session = moving_from(url).await?;
    let sent = read(&session, &parts).await;
    session.finish(sent).await.map_err(|failure| said(url, "reading the database", failure))
}

async fn read(session: &Session, parts: &mpsc::Sender<Part>) -> Result<(), Failure> {
    session.begin().answers().await?;
    let mut names = Vec::new();
    let mut spaces = pin!(stream(session.client(), "SELECT space FROM syncline.spaces ORDER BY space", &[]).await?);
    while let Some(row) = spaces.try_next().await? {
        names.push(row.try_get::<_, String>(0)?);
    }
    for name in names {
        give(parts, Part::Space(name.clone())).await?;
        for table in TABLES {
            read_table(session, parts, &name, table).await?;
        }
    }
    let mut records = pin!(stream(session.client(), "SELECT kind, key, value FROM syncline.records", &[]).await?);
    while let Some(row) = records.try_next().await? {
        give(parts, Part::Record([row.try_get(0)?, row.try_get(1)?, row.try_get(2)?])).await?;
    }
    give(parts, Part::End).await
}

async fn read_table(
    session: &Session,
    parts: &mpsc::Sender<Part>,
    space: &str,
    table: &'static Table,
) -> Result<(), Failure> {
    let params: Vec<Param<'_>> = vec![text(space)];
    let mut rows = pin!(stream(session.client(), &select(table), &params).await?);
    let mut batch = Batch::new(table);
    while let Some(row) = rows.try_next().await? {
        if let Some(part) = batch.add(values(table, &row)?) {
            give(parts, part).await?;
        }
    }
    give(parts, batch.take()).await
}

fn select(table: &Table) -> String {
    let columns: Vec<_> = table.columns.iter().map(|(name, _)| *name).collect();
    match table.name {
        COLLECTIONS => "SELECT collection FROM syncline.log WHERE space = $1
            UNION SELECT collection FROM syncline.heads WHERE space = $1
            UNION SELECT collection FROM syncline.ledger WHERE space = $1
            UNION SELECT collection FROM syncline.unique_keys WHERE space = $1
            UNION SELECT collection FROM syncline.held WHERE space = $1 ORDER BY 1"
            .to_owned(),
        STATE => format!("SELECT {} FROM syncline.spaces WHERE space = $1", columns.join(", ")),
        // The first columns are what orders most of them, and where they are not, no order counts.
        name => format!("SELECT {} FROM syncline.{name} WHERE space = $1 ORDER BY {}", columns.join(", "), columns[0]),
    }
}

fn values(table: &Table, row: &Row) -> Result<Vec<Value>, Failure> {
    let value = |(column, (_, kind)): (usize, &(&str, Kind))| {
        Ok(match kind {
            Kind::Number => row.try_get::<_, Option<i64>>(column)?.map_or(Value::Null, Value::Integer),
            Kind::Text => row.try_get::<_, Option<String>>(column)?.map_or(Value::Null, Value::Text),
            Kind::Bytes => row.try_get::<_, Option<Vec<u8>>>(column)?.map_or(Value::Null, Value::Blob),
        })
    };
    table.columns.iter().enumerate().map(value).collect()
}

async fn give(parts: &mpsc::Sender<Part>, part: Part) -> Result<(), Failure> {
    parts.send(part).await.map_err(|_| StoreError::Closed.into())
}
