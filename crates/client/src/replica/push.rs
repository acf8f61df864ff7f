//! What the hub made of a batch: receipted ops wait for the cursor, rejected ones are taken back.

use super::Applying;
use super::absorb::absorb;
use super::pull::{self, Stale};
use crate::conflicts;
use crate::error::Result;
use crate::fate::Fate;
use crate::outbox::{self, OpRow};
use crate::quarantine::{self, Aside};
use crate::rebase;
use crate::store::{Named, Unit, rows};
use std::collections::{BTreeMap, BTreeSet};
use syncline_core::model::{Author, BatchId, Lsn, Receipt, Rejection, Verdict};
use syncline_core::session::notice::{self, Renamed};
use syncline_core::wire::own::PushReply;

/// Takes the receipts of a batch in; `unread`: no page will bring what they tell of.
pub(super) fn receipts(
    unit: &mut Unit<'_>,
    applying: &mut Applying,
    batch: &BatchId,
    (reply, unread): (&PushReply, bool),
) -> Result<()> {
    let (number, ops) = outbox::find_batch(unit, batch)?;
    let mine = ops.iter().all(|op| op.wire_node.is_none());
    if mine && reply.author != Author::SELF && reply.author != unit.author() {
        unit.set_author(reply.author);
    }
    let (mut touched, mut known) = (BTreeSet::new(), BTreeSet::new());
    let mut strange = Vec::new();
    let by_seq: BTreeMap<_, _> = ops.iter().map(|op| (op.wire_seq, op)).collect();
    for receipt in &reply.receipts {
        let Some(op) = by_seq.get(&Some(receipt.seq)).copied() else { continue };
        if receipt.rejection.as_ref().is_some_and(Rejection::is_for_its_number) {
            strange.push(op);
            continue;
        }
        let named = unit.by_cid(op.cid)?;
        applying.settled += 1;
        touched.insert(op.cid);
        // Where a duplicate took effect is not told: a page that was read may hold it.
        if receipt.result != Verdict::Duplicate && receipt.result != Verdict::Rejected {
            known.insert(op.number());
        }
        match &receipt.rejection {
            Some(rejection) if receipt.result == Verdict::Rejected => reject(unit, applying, &named, op, rejection)?,
            None if receipt.result == Verdict::Rejected => reject(unit, applying, &named, op, &unexplained())?,
            _ => settle(unit, applying, &named, (op, receipt), reply.server_lsn)?,
        }
    }
    // Ops without a receipt, if any, are offered again by the next batch.
    outbox::dissolve(unit, number)?;
    applying.renumbered = strange.len();
    applying.renamed = outbox::part_from_node(unit, &strange)?.map(|(before, now)| Renamed { before, now });
    retire_seen(unit, reply, &touched)?;
    if unread { absorb_receipted(unit, &ops, &known) } else { Ok(()) }
}

/// Nothing may be read, so no page will retire these ops, and each edit of their documents would fold them again:
/// they become part of the hub's version as this device knows it, until a page brings the real one. Where an
/// earlier op stays, so do they, and so do those of a collection that was cleared: what the clear reaches hangs
/// on them.
fn absorb_receipted(unit: &mut Unit<'_>, ops: &[OpRow], known: &BTreeSet<i64>) -> Result<()> {
    let docs: BTreeMap<i64, i64> = ops.iter().filter_map(|op| Some((op.doc?, op.cid))).collect();
    for (doc, cid) in docs {
        let Some(row) = rows::by_doc(unit.conn, doc)? else { continue };
        let chain = outbox::of_doc(unit.conn, row.op)?;
        let done: Vec<&OpRow> = chain.iter().take_while(|op| known.contains(&op.number())).collect();
        if !done.is_empty() && outbox::clears(unit.conn, cid)?.is_empty() {
            let named = unit.by_cid(cid)?;
            // A row at 0 has no version of the hub.
            let lsn = if row.hub.is_some() { row.lsn() } else { named.read_up_to().max(Lsn(1)) };
            absorb(unit, &named, row, (&done, lsn))?;
        }
    }
    Ok(())
}

/// Every op of the batch is refused.
pub(super) fn refuse(
    unit: &mut Unit<'_>,
    applying: &mut Applying,
    batch: &BatchId,
    rejection: &Rejection,
) -> Result<()> {
    let (number, ops) = outbox::find_batch(unit, batch)?;
    outbox::dissolve(unit, number)?;
    for op in &ops {
        let named = unit.by_cid(op.cid)?;
        reject(unit, applying, &named, op, rejection)?;
        applying.settled += 1;
    }
    Ok(())
}

fn settle(
    unit: &mut Unit<'_>,
    applying: &mut Applying,
    named: &Named,
    (op, receipt): (&OpRow, &Receipt),
    head: Lsn,
) -> Result<()> {
    // The first receipt of a duplicate is forgotten; by the head at the latest its effect is visible.
    let lsn = if receipt.result == Verdict::Duplicate { head } else { receipt.lsn };
    outbox::set_receipted(unit, op, lsn)?;
    let mut fate = Fate::Accepted { lsn: receipt.lsn };
    if matches!(receipt.result, Verdict::Merged | Verdict::Superseded)
        && let Some(row) = op.doc.map(|doc| rows::by_doc(unit.conn, doc)).transpose()?.flatten()
    {
        let wire = outbox::wire_op(unit, named, op, None)?;
        let conflict = conflicts::add(unit, &wire, &row.id, receipt.result, lsn)?;
        fate = Fate::of_conflict(receipt.result, lsn, conflict);
        let (collection, id) = (named.name.clone(), row.id);
        applying.conflicts.push(notice::Conflict { collection, id, result: receipt.result, lsn });
    }
    unit.note_fate(op.number(), fate);
    Ok(())
}

/// Sets an op aside and brings its documents back to the hub's.
pub(super) fn reject(
    unit: &mut Unit<'_>,
    applying: &mut Applying,
    named: &Named,
    op: &OpRow,
    rejection: &Rejection,
) -> Result<()> {
    let wire = outbox::wire_op(unit, named, op, None)?;
    let operation = serde_json::to_value(&wire).expect("an op serializes");
    let aside = Aside { collection: &named.name, id: wire.id.as_ref(), seq: op.wire_seq, operation, rejection };
    let aside = quarantine::add(unit, aside)?;
    let (code, reason) = (rejection.code.clone(), rejection.reason.clone());
    unit.note_fate(op.number(), Fate::Rejected { code, reason, quarantined: aside.number });
    applying.quarantined.push(aside);
    unit.outbox_shrinks();
    unit.recount_waiting(named.cid);
    match op.doc {
        Some(doc) => rebase::take_back(unit, named, doc, &BTreeSet::from([op.number()])),
        None => {
            unit.conn.prepare_cached("DELETE FROM outbox WHERE seq = ?1")?.execute([op.number()])?;
            let docs = pull::covered(unit, named.cid)?.into_iter().collect();
            pull::refold_stale(unit, &Stale { docs })
        }
    }
}

/// A page may have brought the changes before this reply arrived.
fn retire_seen(unit: &mut Unit<'_>, reply: &PushReply, touched: &BTreeSet<i64>) -> Result<()> {
    for cid in touched {
        let named = unit.by_cid(*cid)?;
        if let Some(read) = named.lsn.filter(|_| named.epoch == reply.epoch) {
            let stale = pull::retire_passed(unit, &[named], read)?;
            pull::refold_stale(unit, &stale)?;
        }
    }
    Ok(())
}

fn unexplained() -> Rejection {
    Rejection { code: "rejected".into(), reason: "the hub rejected the op without a reason".into() }
}
