//! What the hub has not receipted, op by op: listed, given up, or changed while no hub can have seen it.

use super::pull::{self, Stale};
use crate::error::{Error, Result};
use crate::outbox::{self, OpKind, OpRow, OpState, Payload};
use crate::rebase;
use crate::store::{Named, Store, Unit, rows};
use serde_json::Value;
use std::collections::BTreeSet;
use syncline_core::model::{Body, CollectionName, DocId, Fields, Limits, Malformed, Millis};

/// An op that waits for the hub.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsynced {
    /// Its number in this database; later ops have greater ones.
    pub number: i64,
    /// Where.
    pub collection: CollectionName,
    /// Which document; `None`: all of them (`clear`).
    pub id: Option<DocId>,
    /// The op, as it stands on the wire.
    pub operation: Value,
    /// When it was made, by this device's clock.
    pub made_at: Millis,
    /// Whether a hub may have seen it: then it cannot be changed any more.
    pub offered: bool,
    /// Ops with the same number here are accepted or rejected together.
    pub transaction: Option<i64>,
}

/// Every op that the hub has not receipted, oldest first; of one collection, or of all.
pub(super) fn list(unit: &mut Unit<'_>, collection: Option<&CollectionName>) -> Result<Vec<Unsynced>> {
    let ops = outbox::all_unreceipted(unit.conn)?;
    let mut found = Vec::with_capacity(ops.len());
    for op in ops {
        let named = unit.by_cid(op.cid)?;
        if collection.is_none_or(|only| *only == named.name) {
            found.push(shown(unit, &named, &op)?);
        }
    }
    Ok(found)
}

/// Gives an op up; the document goes back to what it is without. Later ops of a document go with its insert. Returns
/// what went.
pub(super) fn discard(unit: &mut Unit<'_>, number: i64) -> Result<Vec<Unsynced>> {
    let op = waiting(unit, number)?;
    let named = unit.by_cid(op.cid)?;
    let row = op.doc.map(|doc| rows::by_doc(unit.conn, doc)).transpose()?.flatten();
    let chain = outbox::of_doc(unit.conn, row.and_then(|row| row.op))?;
    let with_it = |other: &&OpRow| other.seq == op.seq || (op.kind == OpKind::Insert && other.seq > op.seq);
    let mut gone: Vec<OpRow> = chain.iter().filter(with_it).cloned().collect();
    if gone.is_empty() {
        gone.push(op.clone());
    }
    for op in &gone {
        if let Some(batch) = op.batch {
            if outbox::is_packet(unit.conn, batch)? {
                // Its hub may have accepted it, and would not bring the document back.
                return Err(Error::UnderWay(number));
            }
            outbox::dissolve(unit, batch)?;
        }
    }
    let told = gone.iter().map(|op| shown(unit, &named, op)).collect::<Result<Vec<_>>>()?;
    let numbers: BTreeSet<i64> = gone.iter().map(OpRow::number).collect();
    match op.doc {
        Some(doc) => rebase::take_back(unit, &named, doc, &numbers)?,
        None => {
            unit.outbox_shrinks();
            unit.recount_waiting(named.cid);
            unit.conn.prepare_cached("DELETE FROM outbox WHERE seq = ?1")?.execute([number])?;
            let docs = pull::covered(unit, named.cid)?.into_iter().collect();
            pull::refold_stale(unit, &Stale { docs })?;
        }
    }
    Ok(told)
}

/// Puts another content into an op that no hub has seen: of an insert or a replacement the document, of an update
/// `{"set": {…}, "unset": […]}`.
pub(super) fn edit(store: &Store, unit: &mut Unit<'_>, number: i64, content: &Value) -> Result<()> {
    let op = waiting(unit, number)?;
    if op.state != OpState::Fresh {
        return Err(Error::Offered(number));
    }
    let named = unit.by_cid(op.cid)?;
    let Some(row) = op.doc.map(|doc| rows::by_doc(unit.conn, doc)).transpose()?.flatten() else {
        return Err(Error::NoContent(number));
    };
    let payload = match op.kind {
        OpKind::Insert => document(content, &row.id, store.limits())?.text().to_owned(),
        OpKind::Replace => {
            let body = document(content, &row.id, store.limits())?;
            let mut changed = Payload::of(&op)?.names();
            changed.extend(body.fields().iter().map(|(name, _)| name.to_owned()));
            Payload::replacement(body.text(), changed).to_text()
        }
        OpKind::Update => update(content, store.limits())?.to_text(),
        OpKind::Remove | OpKind::Clear => return Err(Error::NoContent(number)),
    };
    outbox::save(unit.conn, &OpRow { payload: Some(payload), ..op })?;
    let (doc, clears) = (row.doc, outbox::clears(unit.conn, named.cid)?);
    rebase::refold(unit, &named, row, &clears, None)?;
    let text = rows::by_doc(unit.conn, doc)?.and_then(|row| row.body);
    let taken = text.map(|text| unit.not_unique(&named, Some(doc), &text)).transpose()?.flatten();
    taken.map_or(Ok(()), |taken| Err(taken.into_error(&named.name)))
}

fn waiting(unit: &Unit<'_>, number: i64) -> Result<OpRow> {
    let op = outbox::load(unit.conn, number)?.filter(|op| !matches!(op.state, OpState::Receipted(_)));
    op.ok_or(Error::NotUnsynced(number))
}

fn shown(unit: &Unit<'_>, named: &Named, op: &OpRow) -> Result<Unsynced> {
    let wire = outbox::wire_op(unit, named, op, None)?;
    Ok(Unsynced {
        number: op.number(),
        collection: named.name.clone(),
        id: wire.id.clone(),
        operation: serde_json::to_value(&wire).expect("an op serializes"),
        made_at: op.stamp.millis(),
        offered: op.state != OpState::Fresh,
        transaction: op.txn,
    })
}

fn document(content: &Value, id: &DocId, limits: &Limits) -> Result<Body> {
    let (body, facts) = Body::parse(&content.to_string(), limits)?;
    if facts.id.as_deref() == Some(id.as_str()) {
        return Ok(body);
    }
    Err(Malformed::json("the content", format!("must be the document with the `_id` `{id}`")).into())
}

fn update(content: &Value, limits: &Limits) -> Result<Payload> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Content {
        #[serde(default)]
        set: Fields,
        #[serde(default)]
        unset: BTreeSet<String>,
    }
    // By way of text, because raw JSON cannot be read from a tree.
    let content: Content = serde_json::from_str(&content.to_string())
        .map_err(|e| Malformed::json("the content of an update (an object with `set` and `unset`)", e))?;
    Body::parse(content.set.to_body().text(), limits)?;
    Ok(Payload { set: content.set, unset: content.unset, ..Payload::default() })
}
