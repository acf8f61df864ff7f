//! Ops that the hub refused, and pulled changes that break a rule here: kept aside with the reason,
//! so that nothing behind them waits.
//!
//! Owns the table `quarantine` and, beside a database file, `quarantine_<collection>.log`: one JSON
//! object a line, for people and log shippers. The table is the truth; the log is only written to.

use crate::error::{Error, Result};
use crate::store::Unit;
use crate::text;
use rusqlite::{OptionalExtension, Row as SqlRow, params};
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use syncline_core::model::{CollectionName, DocId, Millis, Rejection, Seq};

/// Something that was set aside.
#[derive(Clone, Debug, PartialEq)]
pub struct Quarantined {
    /// Its number in this database.
    pub number: i64,
    /// Where.
    pub collection: CollectionName,
    /// Which document; `None`: all of them (`clear`).
    pub id: Option<DocId>,
    /// The op's number in the outbox; `None`: a pulled change.
    pub seq: Option<Seq>,
    /// The op or the change, as it stands on the wire.
    pub operation: Value,
    /// A short, stable word.
    pub code: String,
    /// Why, and what to do.
    pub message: String,
    /// When.
    pub quarantined_at: Millis,
}

/// What is about to be set aside.
pub(crate) struct Aside<'a> {
    /// Where.
    pub collection: &'a CollectionName,
    /// Which document.
    pub id: Option<&'a DocId>,
    /// The op's number.
    pub seq: Option<Seq>,
    /// The op or the change.
    pub operation: Value,
    /// Why.
    pub rejection: &'a Rejection,
}

/// Sets something aside.
pub(crate) fn add(unit: &Unit<'_>, aside: Aside<'_>) -> Result<Quarantined> {
    let Aside { collection, id, seq, operation, rejection } = aside;
    unit.conn
        .prepare_cached(
            "INSERT INTO quarantine(collection, id, seq, operation, code, message, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            collection.as_str(),
            id.map(DocId::as_str),
            seq.map(|seq| seq.0),
            operation.to_string(),
            rejection.code,
            rejection.reason,
            unit.now.0
        ])?;
    Ok(Quarantined {
        number: unit.conn.last_insert_rowid(),
        collection: collection.clone(),
        id: id.cloned(),
        seq,
        operation,
        code: rejection.code.clone(),
        message: rejection.reason.clone(),
        quarantined_at: unit.now,
    })
}

const COLUMNS: &str = "number, collection, id, seq, operation, code, message, at";

/// Everything that is set aside, oldest first; of one collection, or of all.
pub(crate) fn list(unit: &Unit<'_>, collection: Option<&CollectionName>) -> Result<Vec<Quarantined>> {
    unit.kept("quarantine", COLUMNS, collection, read)
}

/// Takes one out of the quarantine.
pub(crate) fn take(unit: &Unit<'_>, number: i64) -> Result<Quarantined> {
    let sql = format!("DELETE FROM quarantine WHERE number = ?1 RETURNING {COLUMNS}");
    let mut statement = unit.conn.prepare_cached(&sql)?;
    let taken = statement.query_row([number], |row| Ok(read(row))).optional()?;
    taken.ok_or(Error::NotQuarantined(number))?
}

fn read(row: &SqlRow<'_>) -> Result<Quarantined> {
    let operation: String = row.get(4)?;
    Ok(Quarantined {
        number: row.get(0)?,
        collection: CollectionName::new(row.get::<_, String>(1)?)?,
        id: row.get::<_, Option<String>>(2)?.map(DocId::new).transpose()?,
        seq: row.get::<_, Option<u64>>(3)?.map(Seq),
        operation: text::read(&operation)?,
        code: row.get(5)?,
        message: row.get(6)?,
        quarantined_at: Millis(row.get(7)?),
    })
}

/// Writes what was set aside to the logs beside the database, after the commit. A log that cannot be
/// written is no reason to fail: the table has it all.
pub(crate) fn log(database: Option<&Path>, asides: &[Quarantined]) {
    let Some(folder) = database.map(|path| path.parent().unwrap_or(Path::new("."))) else { return };
    for aside in asides {
        let path = folder.join(format!("quarantine_{}.log", aside.collection));
        let line = json!({
            "quarantinedAt": aside.quarantined_at.iso(),
            "operation": aside.operation,
            "error": { "message": aside.message, "code": aside.code },
        });
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "the quarantine's log cannot be written");
        }
    }
}
