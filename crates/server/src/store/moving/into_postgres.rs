//! Filling a database that holds no hub, in one transaction.

use super::tables::{COLLECTIONS, Kind, Table};
use super::{Moved, Part, Tally};
use crate::store::StoreError;
use crate::store::postgres::{Failure, Param, Session, Url, moving_into, said, text};
use rusqlite::types::Value;
use tokio::sync::mpsc;
use tokio_postgres::types::Type;

/// Takes everything and returns what it was.
pub(super) async fn receive(url: &Url, mut parts: mpsc::Receiver<Part>) -> Result<Vec<Moved>, StoreError> {
    let session = moving_into(url).await?;
    let received = write(&session, url, &mut parts).await;
    session.finish(received).await.map_err(|failure| said(url, "filling the database", failure))
}

async fn write(session: &Session, url: &Url, parts: &mut mpsc::Receiver<Part>) -> Result<Vec<Moved>, Failure> {
    let mut pipeline = session.begin();
    // The other side may take its time.
    pipeline.say("SET LOCAL idle_in_transaction_session_timeout = 0; LOCK TABLE syncline.spaces, syncline.records");
    let sql = "SELECT EXISTS (SELECT FROM syncline.spaces) OR EXISTS (SELECT FROM syncline.records)";
    let asked = pipeline.send(sql, vec![]);
    let found = pipeline.answers().await?.take(Some(asked));
    if found.first().is_some_and(|row| row.try_get(0).unwrap_or(true)) {
        let reason = "it holds a hub already, and nothing is overwritten; name an empty database".to_owned();
        return Err(StoreError::Database { place: url.to_string(), reason }.into());
    }
    let (mut tally, mut space) = (Tally::default(), String::new());
    loop {
        let part = parts.recv().await.ok_or(StoreError::Closed)?;
        tally.note(&part)?;
        match part {
            Part::Space(name) => space = name,
            Part::Rows(table, rows) if table.name != COLLECTIONS => insert(session, &space, table, rows).await?,
            Part::Rows(..) => {}
            Part::Record(record) => {
                let mut pipeline = session.pipeline();
                let params = record.iter().map(|value| text(value)).collect();
                pipeline.send("INSERT INTO syncline.records VALUES ($1, $2, $3)", params);
                pipeline.answers().await?;
            }
            Part::End => break,
        }
    }
    session.commit(session.pipeline()).await?;
    Ok(tally.0)
}

async fn insert(session: &Session, space: &str, table: &Table, rows: Vec<Vec<Value>>) -> Result<(), Failure> {
    let names: Vec<_> = table.columns.iter().map(|(name, _)| *name).collect();
    let kinds = |(place, (_, kind)): (usize, &(&str, Kind))| {
        let name = match kind {
            Kind::Number => "BIGINT",
            Kind::Text => "TEXT",
            Kind::Bytes => "BYTEA",
        };
        format!("${}::{name}[]", place + 2)
    };
    let arrays: Vec<_> = table.columns.iter().enumerate().map(kinds).collect();
    let sql = format!(
        "INSERT INTO syncline.{} (space, {}) SELECT $1, t.* FROM unnest({}) AS t",
        table.name,
        names.join(", "),
        arrays.join(", ")
    );
    let mut columns: Vec<Vec<Value>> = table.columns.iter().map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    let arrays = columns.into_iter().zip(table.columns).map(|(values, (_, kind))| array(*kind, values));
    let params = std::iter::once(text(space)).chain(arrays).collect();
    let mut pipeline = session.pipeline();
    pipeline.send(sql, params);
    pipeline.answers().await.map(drop).map_err(Failure::Engine)
}

/// What is of another kind than its column is none of this program's rows, and left out as null: the database refuses
/// that where it counts.
fn array(kind: Kind, values: Vec<Value>) -> Param<'static> {
    let values = values.into_iter();
    match kind {
        Kind::Number => {
            let number = |value| if let Value::Integer(number) = value { Some(number) } else { None };
            (Box::new(values.map(number).collect::<Vec<_>>()), Type::INT8_ARRAY)
        }
        Kind::Text => {
            let text = |value| if let Value::Text(text) = value { Some(text) } else { None };
            (Box::new(values.map(text).collect::<Vec<_>>()), Type::TEXT_ARRAY)
        }
        Kind::Bytes => {
            let bytes = |value| if let Value::Blob(bytes) = value { Some(bytes) } else { None };
            (Box::new(values.map(bytes).collect::<Vec<_>>()), Type::BYTEA_ARRAY)
        }
    }
}
