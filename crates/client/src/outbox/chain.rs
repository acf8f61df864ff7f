//! The ops of one document: each names the one before, the document names the newest.

use super::{OpRow, load, select};
use crate::error::Result;
use rusqlite::{Connection, params};
use std::collections::BTreeSet;
use syncline_core::model::Lsn;

/// The ops of a document whose newest is `newest`, oldest first.
pub(crate) fn of_doc(conn: &Connection, newest: Option<i64>) -> Result<Vec<OpRow>> {
    let (mut ops, mut at) = (Vec::new(), newest);
    while let Some(op) = at.map(|seq| load(conn, seq)).transpose()?.flatten() {
        at = op.prev;
        ops.push(op);
    }
    ops.reverse();
    Ok(ops)
}

/// Receipted ops of a collection whose effect a reader at `lsn` has seen.
pub(crate) fn passed(conn: &Connection, cid: i64, lsn: Lsn) -> Result<Vec<OpRow>> {
    select(conn, "WHERE cid = ?1 AND state = 2 AND receipt_lsn <= ?2 ORDER BY seq", params![cid, lsn.0])
}

/// Deletes some ops of a document and links the others. Returns the newest that is left.
pub(crate) fn retire(conn: &Connection, newest: Option<i64>, gone: &BTreeSet<i64>) -> Result<Option<i64>> {
    let chain = of_doc(conn, newest)?;
    let mut prev = None;
    for op in &chain {
        if gone.contains(&op.number()) {
            conn.prepare_cached("DELETE FROM outbox WHERE seq = ?1")?.execute([op.number()])?;
            continue;
        }
        if op.prev != prev {
            conn.prepare_cached("UPDATE outbox SET prev = ?2 WHERE seq = ?1")?.execute(params![op.number(), prev])?;
        }
        prev = Some(op.number());
    }
    Ok(prev)
}
