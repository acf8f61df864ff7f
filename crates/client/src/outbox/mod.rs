//! The durable queue of ops that the hub has not receipted (steps 1, 2 and 9 of the life of a change).
//!
//! Owns the tables `outbox` and `batches`. An op is *fresh* until it joins a batch, *offered* once a
//! hub may have seen it (then it never changes again), and *receipted* until the cursor has passed
//! its receipt: only then does the pulled document show its effect. Numbers are never used twice.

mod batch;
mod chain;
mod net;
mod packet;
mod payload;
mod record;
mod spell;

pub use batch::PendingBatch;
pub(crate) use batch::{dissolve, dissolve_under_way, find_batch, next_batch, part_from_node, wire_op};
pub(crate) use chain::{of_doc, passed, retire};
pub(crate) use net::entities;
pub(crate) use packet::{
    PacketOps, Traffic, accepted, any_waits, dissolve_packets, next_packet, packet_under_way, unfit,
};
pub(crate) use payload::{Payload, edit_of};
pub(crate) use record::{Group, NewOp, append_insert, materialise, record, record_clear};
pub(crate) use spell::{clear_reaches, spell_out_clears};

use crate::error::{Error, Result};
use crate::store::Unit;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};
use syncline_core::model::{Lsn, NodeId, Seq, Stamp};

/// What an op does, as its number in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpKind {
    /// A new document.
    Insert,
    /// Fields set and taken away.
    Update,
    /// The whole document anew.
    Replace,
    /// The document goes away.
    Remove,
    /// Every document that was known goes away.
    Clear,
}

const KINDS: [OpKind; 5] = [OpKind::Insert, OpKind::Update, OpKind::Replace, OpKind::Remove, OpKind::Clear];

impl ToSql for OpKind {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok((*self as i64).into())
    }
}

impl FromSql for OpKind {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        let kind = usize::try_from(number).ok().and_then(|number| KINDS.get(number));
        kind.copied().ok_or(FromSqlError::OutOfRange(number))
    }
}

/// How far an op has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpState {
    /// No hub has seen it.
    Fresh,
    /// It is, or was, part of a batch.
    Offered,
    /// The hub has decided it, in the change at this LSN.
    Receipted(Lsn),
}

/// One op of the outbox.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OpRow {
    /// Its number.
    pub seq: Seq,
    /// Its collection.
    pub cid: i64,
    /// Its document; `None`: all.
    pub doc: Option<i64>,
    /// What it does.
    pub kind: OpKind,
    /// With what; see [`Payload`]. `None` also while the document's row still holds the inserted text.
    pub payload: Option<String>,
    /// The hub's version that it was made on.
    pub base: Lsn,
    /// When it was made.
    pub stamp: Stamp,
    /// Its transaction.
    pub txn: Option<i64>,
    /// The batch that it is part of.
    pub batch: Option<i64>,
    /// How far it has got.
    pub state: OpState,
    /// The op before of the same document, if it is still there.
    pub prev: Option<i64>,
    /// Its number on the wire, once it was offered; see [`batch`].
    pub wire_seq: Option<Seq>,
    /// The node in whose name it bears that number, where this replica has another name now.
    pub wire_node: Option<NodeId>,
}

const COLUMNS: &str =
    "seq, cid, doc, kind, payload, base, stamp, txn, batch, state, receipt_lsn, prev, wire_seq, wire_node";

impl OpRow {
    fn read(row: &SqlRow<'_>) -> rusqlite::Result<OpRow> {
        let state = match row.get::<_, i64>(9)? {
            0 => OpState::Fresh,
            1 => OpState::Offered,
            _ => OpState::Receipted(Lsn(row.get(10)?)),
        };
        Ok(OpRow {
            seq: Seq(row.get(0)?),
            cid: row.get(1)?,
            doc: row.get(2)?,
            kind: row.get(3)?,
            payload: row.get(4)?,
            base: Lsn(row.get(5)?),
            stamp: Stamp(row.get(6)?),
            txn: row.get(7)?,
            batch: row.get(8)?,
            state,
            prev: row.get(11)?,
            wire_seq: row.get::<_, Option<u64>>(12)?.map(Seq),
            wire_node: row.get::<_, Option<String>>(13)?.and_then(|node| NodeId::new(node).ok()),
        })
    }

    /// Its number as the file has it.
    pub(crate) fn number(&self) -> i64 {
        number(self.seq)
    }
}

/// A number as the file has it.
pub(crate) fn number(seq: Seq) -> i64 {
    i64::try_from(seq.0).expect("numbers count up from 1")
}

/// The op with this number.
pub(crate) fn load(conn: &Connection, seq: i64) -> Result<Option<OpRow>> {
    let sql = format!("SELECT {COLUMNS} FROM outbox WHERE seq = ?1");
    Ok(conn.prepare_cached(&sql)?.query_row([seq], OpRow::read).optional()?)
}

/// Ops found by a condition on the outbox.
fn select(conn: &Connection, rest: &str, parameters: impl rusqlite::Params) -> Result<Vec<OpRow>> {
    let mut statement = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM outbox {rest}"))?;
    let ops: rusqlite::Result<Vec<OpRow>> = statement.query_map(parameters, OpRow::read)?.collect();
    Ok(ops?)
}

/// Writes what may change of a fresh op.
pub(crate) fn save(conn: &Connection, op: &OpRow) -> Result<()> {
    conn.prepare_cached("UPDATE outbox SET kind = ?2, payload = ?3, base = ?4, stamp = ?5 WHERE seq = ?1")?
        .execute(params![op.number(), op.kind, op.payload, op.base.0, op.stamp.0])?;
    Ok(())
}

/// The hub has decided the op.
pub(crate) fn set_receipted(unit: &mut Unit<'_>, op: &OpRow, lsn: Lsn) -> Result<()> {
    unit.one_settled(op.cid);
    unit.conn
        .prepare_cached("UPDATE outbox SET state = 2, receipt_lsn = ?2, batch = NULL WHERE seq = ?1")?
        .execute(params![op.number(), lsn.0])?;
    Ok(())
}

/// What waits for the hub in one collection: how many ops, and when the oldest was made.
pub(crate) fn backlog(unit: &mut Unit<'_>, cid: i64) -> Result<(u64, Option<Stamp>)> {
    let count = match unit.waiting(cid) {
        Some(count) => count,
        None => {
            let sql = "SELECT count(*) FROM outbox WHERE cid = ?1 AND state < 2";
            let count = unit.conn.prepare_cached(sql)?.query_row([cid], |row| row.get(0))?;
            unit.set_waiting(cid, count);
            count
        }
    };
    if count == 0 {
        return Ok((0, None));
    }
    let oldest = unit
        .conn
        .prepare_cached("SELECT stamp FROM outbox WHERE cid = ?1 AND state < 2 ORDER BY seq LIMIT 1")?
        .query_row([cid], |row| row.get(0))
        .optional()?;
    Ok((count, oldest.map(Stamp)))
}

/// Every op of a collection that the hub has not receipted, oldest first.
pub(crate) fn unreceipted(conn: &Connection, cid: i64) -> Result<Vec<OpRow>> {
    select(conn, "WHERE cid = ?1 AND state < 2 ORDER BY seq", [cid])
}

/// Every op that the hub has not receipted, oldest first.
pub(crate) fn all_unreceipted(conn: &Connection) -> Result<Vec<OpRow>> {
    select(conn, "WHERE state < 2 ORDER BY seq", [])
}

/// Whether a batch leaves, or has left, as a packet.
pub(crate) fn is_packet(conn: &Connection, batch: i64) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM batches WHERE batch = ?1 AND packet IS NOT NULL)";
    Ok(conn.prepare_cached(sql)?.query_row([batch], |row| row.get(0))?)
}

/// Every `clear` of a collection, oldest first.
pub(crate) fn clears(conn: &Connection, cid: i64) -> Result<Vec<OpRow>> {
    select(conn, "WHERE cid = ?1 AND doc IS NULL ORDER BY seq", [cid])
}

/// Every op of a collection was decided in a history that is gone: the hub must see it again.
pub(crate) fn offer_again(unit: &mut Unit<'_>, cid: i64) -> Result<()> {
    unit.recount_waiting(cid);
    unit.conn.execute("UPDATE outbox SET state = 1, receipt_lsn = NULL WHERE cid = ?1 AND state = 2", [cid])?;
    Ok(())
}

fn damaged(seq: Seq, what: &str) -> Error {
    Error::Damaged(format!("op {} of the outbox {what}", seq.0))
}
