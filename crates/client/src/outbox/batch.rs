//! Ops leave in batches whose name is on disk before they are sent (step 2 of the life of a change).
//!
//! A batch is composed once: whoever asks again gets the same bytes until it is answered. The body
//! is built from its ops, which never change once they are offered.
//!
//! An op is known to hubs by a node and a number: those that it had when it was recorded, so that two copies of a
//! database call an op that both hold by the same name, whatever each of them did since. Only one that has waited for
//! long draws a new number: hubs remember the answered ones as ranges, and it could pass for one of them.

use super::payload::Payload;
use super::{OpKind, OpRow, damaged, select};
use crate::error::{Error, Result};
use crate::store::{Named, Unit, rows};
use rusqlite::{OptionalExtension, params};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use syncline_core::model::{BatchId, DocId, Epoch, Millis, NodeId, Stamp, Strategy};
use syncline_core::wire::own::{PushRequest, WireEdit, WireOp};
use uuid::Uuid;

/// Bytes of payload after which a batch takes no further op; a larger op travels alone.
const BATCH_BYTES: usize = 8 << 20;
/// How long an op may wait and be offered under the number that it was recorded with. Shorter than hubs keep receipts.
const NUMBER_LASTS_MS: u64 = 30 * 24 * 3_600_000;

/// A batch on its way to the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingBatch {
    /// Its name: the same for every attempt.
    pub batch_id: BatchId,
    /// The history that its bases belong to; empty before the first contact.
    pub epoch: Epoch,
    /// How many ops it holds.
    pub ops: usize,
    /// The request body.
    pub body: String,
}

pub(super) struct Batch {
    pub number: i64,
    pub id: BatchId,
    epoch: Epoch,
    strategy: Strategy,
}

/// The batch of these collections that is under way, or else a new one of at most `ops_max` ops (more
/// only for a single transaction that has more). `None`: nothing waits.
pub(crate) fn next_batch(unit: &mut Unit<'_>, scope: &[Arc<Named>], ops_max: usize) -> Result<Option<PendingBatch>> {
    let batch = match under_way(unit, scope)? {
        Some(batch) => batch,
        None => match compose(unit, scope, ops_max)? {
            Some(batch) => batch,
            None => return Ok(None),
        },
    };
    let ops = select(unit.conn, "WHERE batch = ?1 ORDER BY seq", [batch.number])?;
    let body = body(unit, &batch, &ops)?;
    Ok(Some(PendingBatch { batch_id: batch.id, epoch: batch.epoch, ops: ops.len(), body }))
}

/// The number of a batch under way.
pub(crate) fn find_batch(unit: &Unit<'_>, id: &BatchId) -> Result<(i64, Vec<OpRow>)> {
    let found: Option<i64> = unit
        .conn
        .prepare_cached("SELECT batch FROM batches WHERE batch_id = ?1")?
        .query_row([id.as_str()], |row| row.get(0))
        .optional()?;
    let number = found.ok_or_else(|| Error::UnknownBatch(id.clone()))?;
    Ok((number, select(unit.conn, "WHERE batch = ?1 ORDER BY seq", [number])?))
}

/// Forgets a batch. What is left of its ops will be offered again, by other batches, unchanged.
pub(crate) fn dissolve(unit: &Unit<'_>, number: i64) -> Result<()> {
    unit.conn.prepare_cached("UPDATE outbox SET batch = NULL WHERE batch = ?1")?.execute([number])?;
    unit.conn.prepare_cached("DELETE FROM batches WHERE batch = ?1")?.execute([number])?;
    Ok(())
}

/// Forgets the batch of these collections that is under way, if any.
pub(crate) fn dissolve_under_way(unit: &Unit<'_>, scope: &[Arc<Named>]) -> Result<()> {
    while let Some(batch) = under_way(unit, scope)? {
        dissolve(unit, batch.number)?;
    }
    Ok(())
}

/// The numbers of these ops stand for ops of another database that is the same node: they get new ones, in the name of
/// a new node. What was offered before, or recorded before them, keeps the name that the other database may know it
/// by. Returns the old name and the new one, unless there are none or this replica had given the old one up before.
pub(crate) fn part_from_node(unit: &mut Unit<'_>, strange: &[&OpRow]) -> Result<Option<(NodeId, NodeId)>> {
    let Some(first) = strange.first() else { return Ok(None) };
    let before = first.wire_node.is_none().then(|| unit.node().clone());
    if let Some(before) = &before {
        unit.conn.execute(
            "UPDATE outbox SET wire_node = ?1, wire_seq = coalesce(wire_seq, seq)
             WHERE wire_node IS NULL AND (wire_seq IS NOT NULL OR seq < ?2 AND stamp >= ?3)",
            params![before.as_str(), first.number(), oldest_by_its_number(unit).0],
        )?;
    }
    for op in strange {
        let sql = "UPDATE outbox SET wire_node = NULL, wire_seq = NULL WHERE seq = ?1";
        unit.conn.prepare_cached(sql)?.execute([op.number()])?;
    }
    before.map(|before| Ok((before, unit.become_new_node()?))).transpose()
}

/// Ops recorded since then are offered under the number that they were recorded with.
fn oldest_by_its_number(unit: &Unit<'_>) -> Stamp {
    Stamp::at(Millis(unit.now.0.saturating_sub(NUMBER_LASTS_MS)))
}

fn under_way(unit: &Unit<'_>, scope: &[Arc<Named>]) -> Result<Option<Batch>> {
    let mut statement = unit.conn.prepare_cached(
        "SELECT batch, batch_id, epoch, strategy FROM batches
         WHERE packet IS NULL AND EXISTS (SELECT 1 FROM outbox WHERE outbox.batch = batches.batch AND cid = ?1)
         ORDER BY batch LIMIT 1",
    )?;
    for named in scope {
        let found = statement.query_row([named.cid], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, String>(3)?))
        });
        if let Some((number, id, epoch, strategy)) = found.optional()? {
            let strategy = Strategy::parse(&strategy)
                .ok_or_else(|| Error::Damaged(format!("batch `{id}` has the unknown strategy `{strategy}`")))?;
            return Ok(Some(Batch { number, id: BatchId::new(id)?, epoch: Epoch::new(epoch)?, strategy }));
        }
    }
    Ok(None)
}

fn compose(unit: &mut Unit<'_>, scope: &[Arc<Named>], ops_max: usize) -> Result<Option<Batch>> {
    let chosen = choose(unit, scope, ops_max)?;
    name(unit, &chosen, None)
}

/// Gives ops a common batch, which is a packet's when it has a `packet` number.
pub(super) fn name(unit: &mut Unit<'_>, chosen: &[OpRow], packet: Option<u64>) -> Result<Option<Batch>> {
    let Some(first) = chosen.first() else { return Ok(None) };
    let leader = unit.by_cid(first.cid)?;
    let (id, epoch, strategy) = (BatchId::new(Uuid::now_v7().to_string())?, leader.epoch.clone(), leader.strategy);
    unit.conn
        .prepare_cached("INSERT INTO batches(batch_id, epoch, strategy, packet) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![id.as_str(), epoch.as_str(), strategy.as_str(), packet])?;
    let number = unit.conn.last_insert_rowid();
    let (sql, oldest) =
        ("UPDATE outbox SET batch = ?2, state = 1, wire_seq = ?3 WHERE seq = ?1", oldest_by_its_number(unit));
    for op in chosen {
        let wire_seq = match op.wire_seq {
            Some(seq) => seq,
            None if op.stamp >= oldest => op.seq,
            None => unit.next_seq(),
        };
        unit.conn.prepare_cached(sql)?.execute(params![op.number(), number, wire_seq.0])?;
    }
    Ok(Some(Batch { number, id, epoch, strategy }))
}

/// The oldest waiting ops of the collections, of one node. A transaction is never split: one that also edited a
/// collection which does not sync now waits for it, and with it whatever was built on its documents.
pub(super) fn choose(unit: &Unit<'_>, scope: &[Arc<Named>], ops_max: usize) -> Result<Vec<OpRow>> {
    let sql = "SELECT seq, txn, coalesce(length(payload), 0), cid, doc, wire_node FROM outbox
               WHERE state < 2 AND batch IS NULL ORDER BY seq";
    let mut statement = unit.conn.prepare_cached(sql)?;
    let mut found = statement.query([])?;
    let (mut chosen, mut held) = (Vec::<Candidate>::new(), Held::default());
    let (mut bytes, mut strategy) = (0, None);
    while let Some(row) = found.next()? {
        let (seq, txn, cid, doc) = (row.get(0)?, row.get(1)?, row.get(3)?, row.get(4)?);
        let op = Candidate { seq, txn, cid, doc, node: row.get(5)? };
        let size: usize = row.get(2)?;
        let Some(named) = scope.iter().find(|named| named.cid == op.cid) else {
            held.tear(op.txn, &mut chosen);
            continue;
        };
        if held.holds(&op) {
            held.tear(op.txn, &mut chosen);
            held.hold(&op);
            continue;
        }
        let goes_on = op.txn.is_some() && chosen.last().is_some_and(|last| last.txn == op.txn);
        let full = chosen.len() >= ops_max
            || bytes + size > BATCH_BYTES
            || *strategy.get_or_insert(named.strategy) != named.strategy
            || chosen.last().is_some_and(|last| last.node != op.node);
        if full && !chosen.is_empty() {
            if !goes_on {
                break;
            }
            // The transaction does not fit any more: it waits for the next batch, unless it is alone.
            let begin = chosen.iter().position(|other| other.txn == op.txn).unwrap_or(0);
            if begin > 0 {
                chosen.truncate(begin);
                break;
            }
        }
        bytes += size;
        chosen.push(op);
    }
    let ops = chosen.into_iter().map(|op| super::load(unit.conn, op.seq));
    Ok(ops.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// A waiting op, as far as composing a batch looks at it.
struct Candidate {
    seq: i64,
    txn: Option<i64>,
    cid: i64,
    /// `None`: all of the collection.
    doc: Option<i64>,
    node: Option<String>,
}

/// What waits for a collection that does not sync now.
#[derive(Default)]
struct Held {
    /// The transaction that is passed just now; its ops follow each other.
    torn: Option<i64>,
    docs: BTreeSet<(i64, Option<i64>)>,
}

impl Held {
    /// The transaction cannot be sent whole: those of its ops that were chosen wait too.
    fn tear(&mut self, txn: Option<i64>, chosen: &mut Vec<Candidate>) {
        if txn.is_none() {
            return;
        }
        self.torn = txn;
        while let Some(op) = chosen.pop_if(|op| op.txn == txn) {
            self.hold(&op);
        }
    }

    fn hold(&mut self, op: &Candidate) {
        self.docs.insert((op.cid, op.doc));
    }

    fn holds(&self, op: &Candidate) -> bool {
        let all = (op.cid, None);
        let any = || self.docs.range(all..).next().is_some_and(|(cid, _)| *cid == op.cid);
        let torn = op.txn.is_some() && op.txn == self.torn;
        torn || self.docs.contains(&all) || if op.doc.is_none() { any() } else { self.docs.contains(&(op.cid, op.doc)) }
    }
}

fn body(unit: &mut Unit<'_>, batch: &Batch, ops: &[OpRow]) -> Result<String> {
    let mut txns = BTreeMap::new();
    let wire: Vec<Box<RawValue>> = ops
        .iter()
        .map(|op| {
            let next = u32::try_from(txns.len() + 1).expect("a batch has few transactions");
            let txn = op.txn.map(|txn| *txns.entry(txn).or_insert(next));
            let named = unit.by_cid(op.cid)?;
            Ok(to_raw_value(&wire_op(unit, &named, op, txn)?).expect("an op serializes"))
        })
        .collect::<Result<_>>()?;
    let request = PushRequest {
        node: ops.first().and_then(|op| op.wire_node.clone()).unwrap_or_else(|| unit.node().clone()),
        batch_id: batch.id.clone(),
        epoch: (!batch.epoch.as_str().is_empty()).then(|| batch.epoch.clone()),
        strategy: Some(batch.strategy),
        ops: wire.iter().map(AsRef::as_ref).collect(),
    };
    Ok(serde_json::to_string(&request).expect("a push serializes"))
}

/// An op as it stands on the wire.
pub(crate) fn wire_op(unit: &Unit<'_>, named: &Named, op: &OpRow, txn: Option<u32>) -> Result<WireOp> {
    let row = op.doc.map(|doc| rows::by_doc(unit.conn, doc)).transpose()?.flatten();
    let id: Option<DocId> = row.as_ref().map(|row| row.id.clone());
    if op.doc.is_some() && id.is_none() {
        return Err(damaged(op.seq, "names a row that is gone"));
    }
    let payload = match op.kind {
        OpKind::Update | OpKind::Replace => Payload::of(op)?,
        OpKind::Insert => {
            let text = op.payload.clone().or(row.and_then(|row| row.body));
            let text = text.ok_or_else(|| damaged(op.seq, "has lost its document"))?;
            let doc = RawValue::from_string(text).map_err(|e| damaged(op.seq, &format!("holds no JSON: {e}")))?;
            Payload { doc: Some(doc), ..Payload::default() }
        }
        OpKind::Remove | OpKind::Clear => Payload::default(),
    };
    let Payload { doc, changed, set, unset } = payload;
    let set = (op.kind == OpKind::Update).then_some(set);
    let (collection, edit) = (named.name.clone(), wire_kind(op.kind));
    let seq = op.wire_seq.unwrap_or_default();
    Ok(WireOp { seq, op: edit, collection, id, base: op.base, stamp: op.stamp, txn, doc, set, unset, changed })
}

fn wire_kind(kind: OpKind) -> WireEdit {
    match kind {
        OpKind::Insert => WireEdit::Insert,
        OpKind::Update => WireEdit::Update,
        OpKind::Replace => WireEdit::Replace,
        OpKind::Remove => WireEdit::Remove,
        OpKind::Clear => WireEdit::Clear,
    }
}
