//! A packet knows no `clear`: before one is composed, waiting clears become removals of the documents
//! that they mean, so that each is answered for itself and any number of them can be sent.

use super::record::{Appended, append};
use super::{OpKind, OpRow, Payload, clears, damaged, number, of_doc, save};
use crate::error::Result;
use crate::store::{Named, Row, Unit, rows};
use rusqlite::params;
use serde_json::value::RawValue;
use std::sync::Arc;
use syncline_core::model::{Author, Body, Version};

/// Does so for these collections.
pub(crate) fn spell_out_clears(unit: &mut Unit<'_>, scope: &[Arc<Named>]) -> Result<()> {
    for named in scope {
        for clear in clears(unit.conn, named.cid)? {
            spell_out(unit, named, &clear)?;
        }
    }
    Ok(())
}

fn spell_out(unit: &mut Unit<'_>, named: &Named, clear: &OpRow) -> Result<()> {
    let docs: Vec<i64> = {
        let sql = "SELECT doc FROM docs WHERE cid = ?1 AND (body IS NULL OR lsn > 0 OR op IS NOT NULL) ORDER BY doc";
        let mut statement = unit.conn.prepare_cached(sql)?;
        statement.query_map([named.cid], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
    };
    for doc in docs {
        let Some(row) = rows::by_doc(unit.conn, doc)? else { continue };
        if row.body.is_none() {
            remove(unit, named, clear, &row)?;
        } else {
            start_anew(unit, clear, &row)?;
        }
    }
    unit.outbox_shrinks();
    unit.recount_waiting(named.cid);
    unit.conn.prepare_cached("DELETE FROM outbox WHERE seq = ?1")?.execute([clear.number()])?;
    Ok(())
}

/// The document is gone here, by the clear or before it.
fn remove(unit: &mut Unit<'_>, named: &Named, clear: &OpRow, row: &Row) -> Result<()> {
    let chain = of_doc(unit.conn, row.op)?;
    if chain.last().is_some_and(|op| op.kind == OpKind::Remove) {
        return Ok(());
    }
    let seq = unit.next_seq();
    let (kind, base, stamp) = (OpKind::Remove, clear.base, clear.stamp);
    append(unit, named, Appended { seq, doc: Some(row.doc), kind, payload: None, base, stamp, prev: row.op }, None)?;
    unit.conn.prepare_cached("UPDATE docs SET op = ?2 WHERE doc = ?1")?.execute(params![row.doc, number(seq)])?;
    Ok(())
}

/// The document was inserted again after the clear: nothing of what that has removed may shine through,
/// neither the hub's nor of own earlier ops.
fn start_anew(unit: &Unit<'_>, clear: &OpRow, row: &Row) -> Result<()> {
    let chain = of_doc(unit.conn, row.op)?;
    let own_before = chain.iter().any(|op| op.seq < clear.seq);
    if !own_before && !clear_reaches(row.version()?.as_ref(), clear, unit.author()) {
        return Ok(());
    }
    let Some(insert) = chain.iter().find(|op| op.seq > clear.seq && op.kind == OpKind::Insert) else { return Ok(()) };
    let text = insert.payload.as_deref().or(row.body.as_deref());
    let text = text.ok_or_else(|| damaged(insert.seq, "has lost its document"))?;
    let body = Body::stored(text).map_err(|why| damaged(insert.seq, &format!("has a damaged document: {why}")))?;
    let names = body.fields().iter().map(|(name, _): (&str, &RawValue)| name.to_owned()).collect();
    let payload = Some(Payload::replacement(body.text(), names).to_text());
    save(unit.conn, &OpRow { kind: OpKind::Replace, payload, ..insert.clone() })
}

/// A clear spares what others changed after it was made.
pub(crate) fn clear_reaches(version: Option<&Version>, clear: &OpRow, me: Author) -> bool {
    version.is_some_and(|version| version.lsn <= clear.base || version.author == me)
}
