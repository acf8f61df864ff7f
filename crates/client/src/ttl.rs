//! Documents with an end: hidden from reads at once, taken away by a sweep.
//!
//! Expiry is local: every replica computes it from the document itself, so no op is pushed. A
//! document with pending ops stays until the hub has decided them.

use crate::error::Result;
use crate::store::{Named, Row, Unit, rows};
use rusqlite::params;
use syncline_core::model::Millis;

/// Takes away what has expired, at most `documents_max` documents. Returns how many went.
pub(crate) fn sweep(unit: &mut Unit<'_>, documents_max: usize) -> Result<usize> {
    let expired: Vec<(i64, i64)> = {
        let mut statement = unit.conn.prepare_cached(
            "SELECT doc, cid FROM docs WHERE expires IS NOT NULL AND expires <= ?1 AND op IS NULL ORDER BY expires LIMIT ?2",
        )?;
        let rows = statement.query_map(params![unit.now.0, documents_max], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    for (doc, cid) in &expired {
        let named = unit.by_cid(*cid)?;
        if let Some(row) = rows::by_doc(unit.conn, *doc)? {
            take_away(unit, &named, &row)?;
        }
    }
    Ok(expired.len())
}

/// Takes one expired document away.
pub(crate) fn take_away(unit: &mut Unit<'_>, named: &Named, row: &Row) -> Result<()> {
    unit.changed(named, row.doc, row.body.as_deref(), None)?;
    rows::delete(unit.conn, row.doc)
}

/// When the next document expires.
pub(crate) fn next(unit: &Unit<'_>) -> Result<Option<Millis>> {
    let sql = "SELECT min(expires) FROM docs WHERE expires IS NOT NULL AND op IS NULL";
    let at: Option<u64> = unit.conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(at.map(Millis))
}
