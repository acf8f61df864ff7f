//! Forgetting what retention no longer asks for, in steps small enough that pushes get their turn
//! between them. The horizon moves first, so that no reader starts where rows are going.

use super::clients::Walk;
use super::columns::{BURIED, REMOVED, RETURN, TICKET, int};
use super::exchange;
use super::known::Known;
use super::load::receipts_of;
use super::writer::Writer;
use crate::store::{Kept, StoreError, Trim, Trimmed};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use syncline_core::model::{Author, Millis, Seq};

/// Rows that one step takes.
const STEP_ROWS: i64 = 2_000;
/// Receipts after which a step takes no further row.
const STEP_RECEIPTS: usize = 20_000;
/// Positions that one step looks at for tickets, returns and tombstones.
const STEP_POSITIONS: i64 = 5_000;

/// Where a trim stands. Lost in a crash, it starts again and finds what is left.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// Moving the horizon.
    Horizon,
    /// Rows that are nobody's head, behind this position.
    Superseded(i64),
    /// Tickets, returns and tombstones.
    Sweep,
    /// Receipts, oldest first.
    Receipts,
    /// Batch ids, oldest first.
    Batches,
    /// Foreign op ids, after this key.
    Seen(Option<[u8; 16]>),
    /// The conflict ledger, oldest first.
    Ledger,
    /// The quarantine, oldest first.
    Quarantine,
    /// Clients of event sync.
    Clients(Walk),
    /// Nothing is left.
    Done,
}

impl Writer {
    /// One bounded step; returns where to go on.
    pub fn trim_step(&mut self, stage: Stage, trim: Trim, trimmed: &mut Trimmed) -> Result<Stage, StoreError> {
        let action = "trimming";
        let mut counted = *trimmed;
        let next = self.transaction(action, |conn, known| {
            step(conn, known, stage, trim, &mut counted).map_err(StoreError::engine(action))
        })?;
        *trimmed = counted;
        Ok(next)
    }
}

fn step(
    conn: &Connection,
    known: &mut Known,
    stage: Stage,
    trim: Trim,
    trimmed: &mut Trimmed,
) -> rusqlite::Result<Stage> {
    let before = int(trim.receipts_before.0);
    match stage {
        Stage::Horizon => {
            let horizon = trim.horizon.min(known.head.last_change).max(known.head.horizon);
            conn.execute("UPDATE state SET horizon = ?1", [int(horizon.0)])?;
            known.head.horizon = horizon;
            let heard = exchange::heard(conn)?.unwrap_or(i64::MAX);
            let told = "SELECT lsn FROM log WHERE kind = 4 AND lsn <= ?1 ORDER BY lsn LIMIT ?2";
            conn.execute(&format!("DELETE FROM log WHERE lsn IN ({told})"), [heard, STEP_POSITIONS])?;
            known.buried = conn.prepare_cached("SELECT 1 FROM log WHERE kind = 4")?.exists([])?;
            Ok(Stage::Superseded(0))
        }
        Stage::Superseded(after) => superseded(conn, after, int(known.head.horizon.0), trimmed),
        Stage::Sweep => sweep(conn, known, trimmed),
        Stage::Receipts => receipts(conn, known, before, trimmed),
        Stage::Batches => {
            let gone = oldest(conn, "batches", trim.receipts_before)?;
            trimmed.receipts += gone;
            Ok(if gone == 0 { Stage::Seen(None) } else { Stage::Batches })
        }
        Stage::Seen(after) => seen(conn, after, before, trimmed),
        Stage::Ledger => {
            let gone = oldest(conn, "ledger", trim.ledger_before)?;
            trimmed.conflicts += gone;
            let kept = known.head.kept;
            known.keep(conn, Kept { conflicts: kept.conflicts.saturating_sub(gone), ..kept })?;
            Ok(if gone == 0 { Stage::Quarantine } else { Stage::Ledger })
        }
        Stage::Quarantine => {
            let gone = oldest(conn, "quarantine", trim.quarantine_before)?;
            trimmed.quarantined += gone;
            let kept = known.head.kept;
            known.keep(conn, Kept { quarantined: kept.quarantined.saturating_sub(gone), ..kept })?;
            Ok(if gone == 0 { Stage::Clients(Walk::begin(conn, trim.clients_before)?) } else { Stage::Quarantine })
        }
        Stage::Clients(mut walk) => {
            Ok(if walk.step(conn, known, trimmed)? { Stage::Clients(walk) } else { Stage::Done })
        }
        Stage::Done => Ok(Stage::Done),
    }
}

/// What took the place of a row must be behind the horizon itself: a reader at the horizon still stands on the row.
fn superseded(conn: &Connection, after: i64, horizon: i64, trimmed: &mut Trimmed) -> rusqlite::Result<Stage> {
    let last: Option<i64> = conn.query_row(
        "SELECT max(lsn) FROM (SELECT lsn FROM superseded WHERE lsn > ?1 AND lsn <= ?2 ORDER BY lsn LIMIT ?3)",
        [after, horizon, STEP_ROWS],
        |row| row.get(0),
    )?;
    let Some(last) = last else { return Ok(Stage::Sweep) };
    let gone = "FROM superseded WHERE lsn > ?1 AND lsn <= ?2 AND until <= ?3";
    conn.execute(&format!("DELETE FROM log WHERE lsn IN (SELECT lsn {gone})"), [after, last, horizon])?;
    trimmed.changes += conn.execute(&format!("DELETE {gone}"), [after, last, horizon])? as u64;
    Ok(Stage::Superseded(last))
}

/// Looks at each position once in the life of a space: `swept` remembers how far.
fn sweep(conn: &Connection, known: &mut Known, trimmed: &mut Trimmed) -> rusqlite::Result<Stage> {
    let horizon = int(known.head.horizon.0);
    let swept: i64 = conn.query_row("SELECT swept FROM state", [], |row| row.get(0))?;
    if swept >= horizon {
        return Ok(Stage::Receipts);
    }
    let upto = horizon.min(swept + STEP_POSITIONS);
    let sql = "DELETE FROM log WHERE lsn > ?1 AND lsn <= ?2 AND kind IN (?3, ?4)";
    trimmed.changes += conn.execute(sql, [swept, upto, TICKET, RETURN])? as u64;
    let mut find = conn.prepare_cached("SELECT lsn, cid, id FROM log WHERE lsn > ?1 AND lsn <= ?2 AND kind = ?3")?;
    let mut rows = find.query([swept, upto, REMOVED])?;
    let mut gone = Vec::new();
    while let Some(row) = rows.next()? {
        gone.push((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?));
    }
    let heard = exchange::heard(conn)?;
    for (lsn, cid, id) in gone {
        let was_head = conn
            .prepare_cached("DELETE FROM heads WHERE cid = ?1 AND id = ?2 AND lsn = ?3")?
            .execute(params![cid, id, lsn])?;
        if was_head == 1 {
            trimmed.tombstones += 1;
            if heard.is_some_and(|heard| heard < lsn) {
                let bury = "UPDATE log SET kind = ?2, meta = NULL, body = '' WHERE lsn = ?1";
                conn.prepare_cached(bury)?.execute([lsn, BURIED])?;
                known.buried = true;
                continue;
            }
        } else {
            // A push brought the document back since the step before.
            trimmed.changes += 1;
            conn.prepare_cached("DELETE FROM superseded WHERE lsn = ?1")?.execute([lsn])?;
        }
        conn.prepare_cached("DELETE FROM log WHERE lsn = ?1")?.execute([lsn])?;
    }
    conn.execute("UPDATE state SET swept = ?1", [upto])?;
    Ok(Stage::Sweep)
}

/// Receipts that go leave their numbers, so that repeats are still known.
fn receipts(conn: &Connection, known: &mut Known, before: i64, trimmed: &mut Trimmed) -> rusqlite::Result<Stage> {
    let mut oldest = conn.prepare_cached("SELECT n, at, author, body FROM receipts ORDER BY n LIMIT ?1")?;
    let mut rows = oldest.query([STEP_ROWS])?;
    let (mut last, mut count) = (None, 0);
    let mut answered = BTreeMap::<Author, Vec<Seq>>::new();
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(1)? >= before || count >= STEP_RECEIPTS {
            break;
        }
        last = Some(row.get::<_, i64>(0)?);
        let receipts = receipts_of(row.get_ref(3)?.as_str()?)?;
        count += receipts.len();
        answered.entry(Author(row.get(2)?)).or_default().extend(receipts.iter().map(|receipt| receipt.seq));
    }
    let Some(last) = last else { return Ok(Stage::Batches) };
    for (author, seqs) in answered {
        known.forget(conn, author, seqs)?;
    }
    trimmed.receipts += count as u64;
    conn.execute("DELETE FROM receipts WHERE n <= ?1", [last])?;
    Ok(Stage::Receipts)
}

/// A portion of the oldest rows of a table with numbered rows, which stand in the order of their time:
/// a portion without an old one ends the search.
fn oldest(conn: &Connection, table: &'static str, before: Millis) -> rusqlite::Result<u64> {
    let sql = format!("DELETE FROM {table} WHERE at < ?1 AND n IN (SELECT n FROM {table} ORDER BY n LIMIT ?2)");
    Ok(conn.prepare_cached(&sql)?.execute([int(before.0), STEP_ROWS])? as u64)
}

/// Keys are random, so this walks over all of them, a stretch at a time.
fn seen(conn: &Connection, after: Option<[u8; 16]>, before: i64, trimmed: &mut Trimmed) -> rusqlite::Result<Stage> {
    let from: &[u8] = after.as_ref().map_or(&[], |key| key.as_slice());
    let last: Option<[u8; 16]> = conn.query_row(
        "SELECT max(key) FROM (SELECT key FROM seen WHERE key > ?1 ORDER BY key LIMIT ?2)",
        params![from, STEP_POSITIONS],
        |row| row.get(0),
    )?;
    let Some(last) = last else { return Ok(Stage::Ledger) };
    let gone = conn
        .execute("DELETE FROM seen WHERE key > ?1 AND key <= ?2 AND at < ?3", params![from, last.as_slice(), before])?;
    trimmed.receipts += gone as u64;
    Ok(Stage::Seen(Some(last)))
}
