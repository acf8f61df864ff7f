//! Own edits that met a concurrent one at the hub and did not stand whole, at once or after they had been accepted: kept with
//! what they wanted until the app has restored or forgotten them. Owns the table `conflicts`. Both sides' values are in the
//! hub's ledger.

use crate::error::{Error, Result};
use crate::store::Unit;
use crate::text;
use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};
use serde_json::{Value, json};
use syncline_core::model::{CollectionName, DocId, LateConflict, LateConflicts, Lost, Lsn, Millis, Verdict};
use syncline_core::session::notice;
use syncline_core::wire::own::WireOp;

/// Rows that are kept; the oldest go first. The hub's ledger has them all.
const ROWS_MAX: i64 = 10_000;

/// An own edit that did not stand whole.
#[derive(Clone, Debug, PartialEq)]
pub struct LostEdit {
    /// Its number in this database.
    pub number: i64,
    /// Where.
    pub collection: CollectionName,
    /// Which document.
    pub id: DocId,
    /// Whether some of it stands (merged) or nothing (superseded).
    pub merged: bool,
    /// The change that stands.
    pub lsn: Lsn,
    /// The edit, as it stands on the wire.
    pub operation: Value,
    /// When this device heard of it.
    pub decided_at: Millis,
}

/// How far the hub's ledger has been told: its rows after this number are news.
pub(crate) fn told(conn: &Connection) -> Result<u64> {
    Ok(conn.prepare_cached("SELECT ledger FROM state")?.query_row([], |row| row.get(0))?)
}

/// Takes in which edits of this device lost after they were accepted. Returns what is news. A hub that was restored counts
/// from an earlier number on, and so does this.
pub(crate) fn take_late(unit: &Unit<'_>, late: &LateConflicts) -> Result<Vec<notice::Conflict>> {
    let told = told(unit.conn)?;
    let mut news = Vec::new();
    for row in late.rows.iter().filter(|row| row.n > told) {
        let merged = row.lost == Lost::Fields;
        let operation = operation_of(row).to_string();
        insert(unit, (row.collection.as_str(), row.id.as_str()), merged, row.lsn, &operation)?;
        let result = if merged { Verdict::Merged } else { Verdict::Superseded };
        news.push(notice::Conflict { collection: row.collection.clone(), id: row.id.clone(), result, lsn: row.lsn });
    }
    unit.conn.prepare_cached("UPDATE state SET ledger = ?1 WHERE ledger <> ?1")?.execute([late.upto])?;
    Ok(news)
}

/// What was lost, as an op that would make it again.
fn operation_of(row: &LateConflict) -> Value {
    let values = row.values.as_ref().and_then(|values| text::read(values.get()).ok()).unwrap_or_else(|| json!({}));
    let mut op = json!({ "seq": 0, "collection": row.collection, "id": row.id, "base": row.lsn, "stamp": 0 });
    match row.lost {
        Lost::Fields => {
            op["op"] = "update".into();
            op["set"] = values;
            if !row.unset.is_empty() {
                op["unset"] = json!(row.unset);
            }
        }
        Lost::Document => {
            op["op"] = "replace".into();
            op["doc"] = values;
        }
        Lost::Removal => op["op"] = "remove".into(),
    }
    op
}

/// Keeps an edit. Returns its number.
pub(crate) fn add(unit: &Unit<'_>, wire: &WireOp, id: &DocId, result: Verdict, lsn: Lsn) -> Result<i64> {
    let operation = serde_json::to_string(wire).expect("an op serializes");
    insert(unit, (wire.collection.as_str(), id.as_str()), result == Verdict::Merged, lsn, &operation)
}

fn insert(unit: &Unit<'_>, (collection, id): (&str, &str), merged: bool, lsn: Lsn, operation: &str) -> Result<i64> {
    unit.conn
        .prepare_cached(
            "INSERT INTO conflicts(collection, id, merged, lsn, operation, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![collection, id, merged, lsn.0, operation, unit.now.0])?;
    let number = unit.conn.last_insert_rowid();
    unit.conn.prepare_cached("DELETE FROM conflicts WHERE number <= ?1")?.execute([number - ROWS_MAX])?;
    Ok(number)
}

const COLUMNS: &str = "number, collection, id, merged, lsn, operation, at";

/// Every kept edit, oldest first; of one collection, or of all.
pub(crate) fn list(unit: &Unit<'_>, collection: Option<&CollectionName>) -> Result<Vec<LostEdit>> {
    unit.kept("conflicts", COLUMNS, collection, read)
}

/// Takes one out, with the text of its edit.
pub(crate) fn take(unit: &Unit<'_>, number: i64) -> Result<(LostEdit, String)> {
    let sql = format!("DELETE FROM conflicts WHERE number = ?1 RETURNING {COLUMNS}");
    let mut statement = unit.conn.prepare_cached(&sql)?;
    let taken = statement.query_row([number], |row| Ok((read(row), row.get(5)?))).optional()?;
    let (edit, text) = taken.ok_or(Error::NoConflict(number))?;
    Ok((edit?, text))
}

fn read(row: &SqlRow<'_>) -> Result<LostEdit> {
    let operation: String = row.get(5)?;
    Ok(LostEdit {
        number: row.get(0)?,
        collection: CollectionName::new(row.get::<_, String>(1)?)?,
        id: DocId::new(row.get::<_, String>(2)?)?,
        merged: row.get(3)?,
        lsn: Lsn(row.get(4)?),
        operation: text::read(&operation)?,
        decided_at: Millis(row.get(6)?),
    })
}
