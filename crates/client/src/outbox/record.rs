//! A local edit becomes an op, or part of one that no hub has seen.
//!
//! Folding keeps the outbox short without changing what the hub decides: an insert takes in every
//! later edit; an update takes in one that writes the same fields; a replacement and a removal take
//! the place of updates. Never across the border of a transaction, because its ops are accepted or
//! rejected together.

use super::payload::Payload;
use super::{OpKind, OpRow, OpState, load, number, save};
use crate::error::{Error, Result};
use crate::store::{Named, Row, Unit};
use rusqlite::params;
use std::collections::BTreeSet;
use syncline_core::model::{Fields, Lsn, Seq, Stamp};

/// The ops of one explicit transaction, which travel together.
#[derive(Debug, Default)]
pub(crate) struct Group {
    first: Option<i64>,
    count: usize,
}

/// A local edit of one document.
#[derive(Debug)]
pub(crate) struct NewOp<'a> {
    /// What it does.
    pub kind: OpKind,
    /// The document afterwards; of a removal, nothing.
    pub text: &'a str,
    /// New values by field; of a replacement, what differs.
    pub set: Fields,
    /// Fields that go away.
    pub unset: BTreeSet<String>,
}

impl NewOp<'_> {
    fn payload(&self) -> Payload {
        match self.kind {
            OpKind::Update => Payload { set: self.set.clone(), unset: self.unset.clone(), ..Payload::default() },
            _ => Payload::replacement(self.text, self.names()),
        }
    }

    fn names(&self) -> BTreeSet<String> {
        self.set.iter().map(|(name, _)| name.to_owned()).chain(self.unset.iter().cloned()).collect()
    }
}

/// Records an edit of the document in `row`, which still holds the text before. Returns the
/// document's newest op: `None` when nothing is left to tell the hub.
pub(crate) fn record(
    unit: &mut Unit<'_>,
    named: &Named,
    row: &Row,
    new: &NewOp<'_>,
    group: Option<&mut Group>,
) -> Result<Option<i64>> {
    if !named.syncable {
        return Ok(None);
    }
    let last = row.op.map(|seq| load(unit.conn, seq)).transpose()?.flatten();
    if let Some(last) = last {
        if may_fold(&last, row, group.as_deref())
            && let Some(newest) = fold(unit, &last, new)?
        {
            return Ok(newest);
        }
        materialise(unit, &last, row)?;
    }
    let payload = match new.kind {
        OpKind::Insert => Some(new.text.to_owned()),
        OpKind::Update | OpKind::Replace => Some(new.payload().to_text()),
        OpKind::Remove | OpKind::Clear => None,
    };
    let base = if row.hub.is_some() { row.lsn() } else { named.read_up_to() };
    let (seq, stamp) = (unit.next_seq(), unit.tick());
    let op = Appended { seq, doc: Some(row.doc), kind: new.kind, payload, base, stamp, prev: row.op };
    append(unit, named, op, group)?;
    Ok(Some(number(seq)))
}

/// Records the insert of the document in row `doc`, whose text the row itself holds.
pub(crate) fn append_insert(
    unit: &mut Unit<'_>,
    named: &Named,
    (seq, doc): (Seq, i64),
    group: Option<&mut Group>,
) -> Result<()> {
    let (base, stamp) = (named.read_up_to(), unit.tick());
    let op = Appended { seq, doc: Some(doc), kind: OpKind::Insert, payload: None, base, stamp, prev: None };
    append(unit, named, op, group)
}

/// Records that every document of the collection goes away.
pub(crate) fn record_clear(unit: &mut Unit<'_>, named: &Named, group: Option<&mut Group>) -> Result<()> {
    unit.conn
        .prepare_cached(
            "UPDATE outbox SET payload = (SELECT body FROM docs WHERE docs.doc = outbox.doc)
             WHERE cid = ?1 AND kind = ?2 AND payload IS NULL",
        )?
        .execute(params![named.cid, OpKind::Insert])?;
    let (seq, stamp) = (unit.next_seq(), unit.tick());
    let base = named.read_up_to();
    append(unit, named, Appended { seq, doc: None, kind: OpKind::Clear, payload: None, base, stamp, prev: None }, group)
}

/// A new row of the outbox.
pub(super) struct Appended {
    pub seq: Seq,
    pub doc: Option<i64>,
    pub kind: OpKind,
    pub payload: Option<String>,
    pub base: Lsn,
    pub stamp: Stamp,
    pub prev: Option<i64>,
}

pub(super) fn append(unit: &mut Unit<'_>, named: &Named, op: Appended, group: Option<&mut Group>) -> Result<()> {
    let txn = group.map(|group| group.take_in(unit, number(op.seq))).transpose()?.flatten();
    unit.conn
        .prepare_cached(
            "INSERT INTO outbox(seq, cid, doc, kind, payload, base, stamp, txn, prev)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            number(op.seq),
            named.cid,
            op.doc,
            op.kind,
            op.payload,
            op.base.0,
            op.stamp.0,
            txn,
            op.prev
        ])?;
    unit.one_waits(named.cid);
    unit.recorded(number(op.seq));
    Ok(())
}

impl Group {
    /// The transaction's number for one more op. A transaction of a single op needs none.
    fn take_in(&mut self, unit: &Unit<'_>, seq: i64) -> Result<Option<i64>> {
        self.count += 1;
        let limit = syncline_core::model::Limits::default().batch_ops;
        if self.count > limit {
            return Err(Error::TransactionTooLarge { limit });
        }
        let first = *self.first.get_or_insert(seq);
        if self.count == 2 {
            unit.conn.prepare_cached("UPDATE outbox SET txn = ?1 WHERE seq = ?1")?.execute([first])?;
        }
        Ok((self.count > 1).then_some(first))
    }
}

/// Whether a new edit may become part of this op. Not once the hub has shown a newer version than the
/// op was made on: what the op lost against that version must still reach the hub's ledger, and the text
/// that the app sees now is no longer the op's alone.
fn may_fold(last: &OpRow, row: &Row, group: Option<&Group>) -> bool {
    let same_border = match group {
        Some(group) => group.first.is_some_and(|first| last.number() >= first),
        None => last.txn.is_none(),
    };
    let undisturbed = row.hub.is_none() || row.lsn() <= last.base;
    last.state == OpState::Fresh && same_border && undisturbed
}

/// Makes the edit part of `last`; `None`: it cannot be.
fn fold(unit: &mut Unit<'_>, last: &OpRow, new: &NewOp<'_>) -> Result<Option<Option<i64>>> {
    use OpKind::{Insert, Remove, Replace, Update};
    let mut op = OpRow { stamp: unit.tick(), ..last.clone() };
    match (last.kind, new.kind) {
        (Insert, Update | Replace) => op.payload = last.payload.as_ref().map(|_| new.text.to_owned()),
        (Insert, Remove) => {
            unit.outbox_shrinks();
            unit.one_settled(last.cid);
            unit.conn.prepare_cached("DELETE FROM outbox WHERE seq = ?1")?.execute([last.number()])?;
            return Ok(Some(last.prev));
        }
        (Update, Update) => {
            let (mut old, payload) = (Payload::of(last)?.names(), new.payload());
            old.retain(|name| payload.set.get(name).is_none() && !payload.unset.contains(name));
            if !old.is_empty() {
                return Ok(None);
            }
            op.payload = Some(payload.to_text());
        }
        (Replace, Update | Replace) | (Update, Replace) => {
            let mut changed = Payload::of(last)?.names();
            changed.extend(new.names());
            op.kind = Replace;
            op.payload = Some(Payload::replacement(new.text, changed).to_text());
        }
        (Update | Replace, Remove) => (op.kind, op.payload) = (Remove, None),
        _ => return Ok(None),
    }
    save(unit.conn, &op)?;
    unit.recorded(op.number());
    Ok(Some(Some(op.number())))
}

/// The row is about to hold another text: an insert that relied on it keeps its own from now on.
pub(crate) fn materialise(unit: &Unit<'_>, op: &OpRow, row: &Row) -> Result<()> {
    if op.kind == OpKind::Insert && op.payload.is_none() {
        save(unit.conn, &OpRow { payload: row.body.clone(), ..op.clone() })?;
    }
    Ok(())
}
