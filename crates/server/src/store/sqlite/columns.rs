//! How positions and texts stand in SQLite's columns.

pub(super) use crate::store::columns::{BURIED, EVENTFUL, LIVE, REMOVED, RETURN, TICKET};
pub(super) use crate::store::columns::{flags, int, nat, record_kind, times};

use crate::store::{Head, Kept};
use rusqlite::{Connection, Row};
use syncline_core::hub::DocKey;
use syncline_core::model::{Epoch, Lsn, Seqs};

/// A position column.
pub(super) fn lsn(row: &Row<'_>, column: usize) -> rusqlite::Result<Lsn> {
    Ok(Lsn(nat(row.get(column)?)))
}

/// Where the log stands, as the current transaction sees it.
pub(super) fn head(conn: &Connection) -> rusqlite::Result<Head> {
    let mut read = conn.prepare_cached(
        "SELECT epoch, lsn, last_change, horizon, conflicts, quarantined,
                (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'ledger') FROM state",
    )?;
    read.query_row([], |row| {
        let epoch: String = row.get(0)?;
        let epoch = Epoch::new(epoch).map_err(|e| wrong_text(0, e))?;
        let (conflicts, quarantined, last_conflict) = (nat(row.get(4)?), nat(row.get(5)?), nat(row.get(6)?));
        let kept = Kept { conflicts, quarantined, last_conflict };
        Ok(Head { epoch, lsn: lsn(row, 1)?, last_change: lsn(row, 2)?, horizon: lsn(row, 3)?, kept })
    })
}

/// Text in the file that breaks a rule of the model: the file is damaged.
pub(super) fn wrong_text<E>(column: usize, error: E) -> rusqlite::Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}

/// The same with the document that the text is of.
pub(super) fn of_document(error: rusqlite::Error, key: &DocKey) -> rusqlite::Error {
    match error {
        rusqlite::Error::FromSqlConversionFailure(column, kind, source) => {
            let named = format!("document `{}` in `{}` is damaged: {source}", key.1, key.0);
            rusqlite::Error::FromSqlConversionFailure(column, kind, named.into())
        }
        other => other,
    }
}

/// A set of op numbers.
pub(super) fn seqs(text: &str, column: usize) -> rusqlite::Result<Seqs> {
    serde_json::from_str(text).map_err(|e| wrong_text(column, e))
}
