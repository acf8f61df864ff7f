//! A first load, or a new start: documents in parts, resumable after a crash, with the app's own
//! edits kept on top.

use super::pull::{self, Source, Targets};
use super::{Applying, Scope, known, known_only};
use crate::error::{Error, Result};
use crate::outbox;
use crate::store::{Named, Unit, rows};
use rusqlite::{OptionalExtension, params};
use std::sync::Arc;
use syncline_core::model::{CollectionName, Cursor, Epoch, Lsn};
use syncline_core::session::positions::SnapshotProgress;
use syncline_core::wire::own::{PageOp, SnapshotHead};

/// Remembers the head of the first part. The collections' documents are told apart by a new generation.
pub(super) fn begin(unit: &mut Unit<'_>, scope: &Scope, head: &SnapshotHead) -> Result<()> {
    let members = known(unit, scope)?;
    // One at a time: another collection's may have been begun before the hub refused that collection.
    unit.conn.execute("DELETE FROM snapshots", [])?;
    unit.conn.execute("UPDATE collections SET snapshot = NULL WHERE snapshot IS NOT NULL", [])?;
    unit.renamed_all();
    unit.conn
        .prepare_cached("INSERT INTO snapshots(epoch, first_lsn) VALUES (?1, ?2)")?
        .execute(params![head.epoch.as_str(), head.server_lsn.0])?;
    let snapshot = unit.conn.last_insert_rowid();
    let strangers: Vec<Arc<Named>> = members.iter().filter(|named| named.epoch != head.epoch).cloned().collect();
    if strangers.iter().any(|named| !named.epoch.as_str().is_empty()) {
        // Batches name the history that they belong to, so these must be composed anew.
        outbox::dissolve_under_way(unit, &strangers)?;
    }
    for named in &members {
        if named.epoch != head.epoch && !named.epoch.as_str().is_empty() {
            outbox::offer_again(unit, named.cid)?;
        }
        unit.conn
            .prepare_cached(
                "UPDATE collections SET snapshot = ?2, generation = generation + 1, epoch = ?3, view = ?4,
                 lsn = NULL WHERE cid = ?1",
            )?
            .execute(params![
                named.cid,
                snapshot,
                head.epoch.as_str(),
                head.views.get(&named.name).map(|view| view.as_str())
            ])?;
        unit.renamed(&named.name);
    }
    Ok(())
}

/// Adds documents, and remembers the last one.
pub(super) fn part(unit: &mut Unit<'_>, applying: &mut Applying, scope: &Scope, ops: &[PageOp]) -> Result<()> {
    let members = loading(unit, scope)?;
    let mut targets = Targets::of(unit, &members, Source::Snapshot)?;
    for op in ops {
        let Some(target) = targets.of_name(&op.collection) else { continue };
        pull::apply(unit, applying, target, op)?;
    }
    if let (Some(last), Some(snapshot)) = (ops.last(), members.first().and_then(|named| named.snapshot)) {
        unit.conn
            .prepare_cached("UPDATE snapshots SET after_lsn = ?2, documents = documents + ?3 WHERE snapshot = ?1")?
            .execute(params![snapshot, last.lsn.0, ops.len()])?;
    }
    Ok(())
}

/// Everything is here: documents that the hub does not have go, the cursors stand at the first head.
pub(super) fn finish(unit: &mut Unit<'_>, _applying: &mut Applying, scope: &Scope) -> Result<()> {
    let members = loading(unit, scope)?;
    let Some(snapshot) = members.first().and_then(|named| named.snapshot) else {
        return Err(Error::Damaged("a snapshot is finished that was never begun".into()));
    };
    let (epoch, first): (String, u64) = unit
        .conn
        .prepare_cached("SELECT epoch, first_lsn FROM snapshots WHERE snapshot = ?1")?
        .query_row([snapshot], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut stale = pull::retire_passed(unit, &members, Lsn(first))?;
    for named in &members {
        stale.docs.extend(drop_unknown(unit, named)?);
    }
    pull::refold_stale(unit, &stale)?;
    for named in &members {
        unit.conn
            .prepare_cached("UPDATE collections SET lsn = ?2, epoch = ?3, snapshot = NULL WHERE cid = ?1")?
            .execute(params![named.cid, first, epoch])?;
        unit.renamed(&named.name);
    }
    unit.conn.prepare_cached("DELETE FROM snapshots WHERE snapshot = ?1")?.execute([snapshot])?;
    Ok(())
}

/// The hub has no document that the snapshot did not bring. Returns those with ops on top.
fn drop_unknown(unit: &mut Unit<'_>, named: &Named) -> Result<Vec<i64>> {
    let sql = "SELECT doc FROM docs WHERE cid = ?1 AND generation <> ?2 AND lsn > 0";
    let mut statement = unit.conn.prepare_cached(sql)?;
    let docs = statement.query_map(params![named.cid, named.generation], |row| row.get(0))?;
    let docs = docs.collect::<rusqlite::Result<_>>()?;
    drop_docs(unit, named, docs)
}

/// Documents that the hub does not have, or does not show. Returns those with ops on top.
fn drop_docs(unit: &mut Unit<'_>, named: &Named, docs: Vec<i64>) -> Result<Vec<i64>> {
    let mut left = Vec::new();
    for doc in docs {
        left.extend(drop_one(unit, named, doc)?);
    }
    Ok(left)
}

/// The hub does not have this document. Returns it if there are ops on top.
pub(super) fn drop_one(unit: &mut Unit<'_>, named: &Named, doc: i64) -> Result<Option<i64>> {
    let Some(mut row) = rows::by_doc(unit.conn, doc)? else { return Ok(None) };
    if row.op.is_none() {
        unit.changed(named, doc, row.body.as_deref(), None)?;
        rows::delete(unit.conn, doc)?;
        return Ok(None);
    }
    for op in outbox::of_doc(unit.conn, row.op)? {
        outbox::materialise(unit, &op, &row)?;
    }
    row.hub = None;
    rows::save(unit.conn, &row)?;
    Ok(Some(doc))
}

/// The snapshot of these collections that was begun and not finished.
pub(super) fn begun(unit: &mut Unit<'_>, scope: &Scope) -> Result<Option<SnapshotProgress>> {
    let members = known_only(unit, scope)?;
    let Some(snapshot) = members.iter().find_map(|named| named.snapshot) else { return Ok(None) };
    let sql = "SELECT epoch, first_lsn, after_lsn, documents FROM snapshots WHERE snapshot = ?1";
    let found = unit.conn.prepare_cached(sql)?.query_row([snapshot], |row| {
        let after = row.get::<_, Option<u64>>(2)?.map(Lsn);
        Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?, after, row.get::<_, u64>(3)?))
    });
    let Some((epoch, lsn, after, documents)) = found.optional()? else { return Ok(None) };
    let of_it = members.iter().filter(|named| named.snapshot == Some(snapshot));
    Ok(Some(SnapshotProgress {
        scope: of_it.map(|named| named.name.clone()).collect(),
        cursor: Cursor { epoch: Epoch::new(epoch)?, lsn: Lsn(lsn) },
        after,
        documents,
    }))
}

/// Forgets a collection that may not be read any more, as far as it is the hub's: what this device has written and not
/// yet told stays.
pub(super) fn withdraw(unit: &mut Unit<'_>, name: &CollectionName) -> Result<()> {
    let Some(named) = unit.find(name)? else { return Ok(()) };
    forget_begun(unit, std::slice::from_ref(&named))?;
    let mut stale = pull::retire_passed(unit, std::slice::from_ref(&named), Lsn(u64::MAX >> 1))?;
    let mut statement = unit.conn.prepare_cached("SELECT doc FROM docs WHERE cid = ?1 AND lsn > 0")?;
    let docs = statement.query_map([named.cid], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    stale.docs.extend(drop_docs(unit, &named, docs)?);
    pull::refold_stale(unit, &stale)?;
    unit.conn.prepare_cached("UPDATE collections SET lsn = NULL, view = NULL WHERE cid = ?1")?.execute([named.cid])?;
    unit.renamed(name);
    Ok(())
}

/// Forgets cursors and a begun snapshot.
pub(super) fn forget(unit: &mut Unit<'_>, scope: &Scope) -> Result<()> {
    let members = known(unit, scope)?;
    forget_begun(unit, &members)?;
    for named in &members {
        unit.conn.prepare_cached("UPDATE collections SET lsn = NULL WHERE cid = ?1")?.execute([named.cid])?;
        unit.renamed(&named.name);
    }
    Ok(())
}

fn forget_begun(unit: &mut Unit<'_>, members: &[Arc<Named>]) -> Result<()> {
    for named in members {
        let Some(snapshot) = named.snapshot else { continue };
        unit.conn.prepare_cached("DELETE FROM snapshots WHERE snapshot = ?1")?.execute([snapshot])?;
        unit.conn.prepare_cached("UPDATE collections SET snapshot = NULL WHERE snapshot = ?1")?.execute([snapshot])?;
    }
    // The snapshot may have held collections outside of the scope, which now start over too.
    unit.renamed_all();
    Ok(())
}

fn loading(unit: &mut Unit<'_>, scope: &Scope) -> Result<Vec<Arc<Named>>> {
    let members = known_only(unit, scope)?;
    let snapshot = members.iter().find_map(|named| named.snapshot);
    Ok(members.into_iter().filter(|named| named.snapshot.is_some() && named.snapshot == snapshot).collect())
}
