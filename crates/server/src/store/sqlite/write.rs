//! The rows of a decided group, written inside its transaction (step 6 of the life of a change).

use super::columns::{LIVE, REMOVED, RETURN, TICKET, flags, int, nat};
use super::known::Known;
use super::{exchange, unique};
use crate::store::ledger::side;
use crate::store::{Kept, lost};
use rusqlite::{CachedStatement, Connection, params};
use syncline_core::hub::{Change, Conflict, Entry, Quarantined, Return, Ticket, WriteSet};
use syncline_core::model::{Mark, Meta, Millis, NodeId, Receipt, Seq};

/// Writes all rows and moves the remembered head along.
pub(super) fn write(conn: &Connection, known: &mut Known, writes: &WriteSet) -> rusqlite::Result<()> {
    write_log(conn, known, writes)?;
    for (node, token) in &writes.owners {
        known.give(conn, node, token)?;
    }
    unique::write(conn, known, &writes.unique)?;
    write_batches(conn, known, writes)?;
    write_seen(conn, writes)?;
    for (node, receipts) in &writes.receipts {
        write_receipts(conn, known, node, receipts, writes.at)?;
    }
    for (node, holding) in &writes.held {
        exchange::write_held(conn, known, node, holding)?;
    }
    for (node, traffic) in &writes.traffic {
        exchange::write_traffic(conn, known, node, traffic)?;
    }
    write_kept(conn, known, writes)
}

/// Rows of the ledger and of the quarantine: new ones, and what a person decided about old ones.
fn write_kept(conn: &Connection, known: &mut Known, writes: &WriteSet) -> rusqlite::Result<()> {
    let Kept { conflicts, quarantined, mut last_conflict } = known.head.kept;
    for conflict in &writes.conflicts {
        last_conflict = write_conflict(conn, known, conflict, writes.at)?;
    }
    for op in &writes.quarantine {
        write_quarantined(conn, op, writes.at)?;
    }
    for (n, lsn) in &writes.restored {
        conn.prepare_cached("UPDATE ledger SET restored = ?2 WHERE n = ?1")?.execute([int(*n), int(lsn.0)])?;
    }
    let mut released = 0;
    for n in &writes.released {
        released += conn.prepare_cached("DELETE FROM quarantine WHERE n = ?1")?.execute([int(*n)])? as u64;
    }
    let conflicts = conflicts + writes.conflicts.len() as u64;
    let quarantined = (quarantined + writes.quarantine.len() as u64).saturating_sub(released);
    known.keep(conn, Kept { conflicts, quarantined, last_conflict })
}

struct Statements<'c> {
    log: CachedStatement<'c>,
    new_head: CachedStatement<'c>,
    old_head: CachedStatement<'c>,
    move_head: CachedStatement<'c>,
    supersede: CachedStatement<'c>,
}

fn write_log(conn: &Connection, known: &mut Known, writes: &WriteSet) -> rusqlite::Result<()> {
    if writes.entries.is_empty() {
        return Ok(());
    }
    let mut statements = Statements {
        log: conn
            .prepare_cached("INSERT INTO log VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)")?,
        new_head: conn.prepare_cached("INSERT INTO heads VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?,
        old_head: conn.prepare_cached("SELECT lsn FROM heads WHERE cid = ?1 AND id = ?2")?,
        move_head: conn.prepare_cached("UPDATE heads SET lsn = ?3 WHERE cid = ?1 AND id = ?2")?,
        supersede: conn.prepare_cached("INSERT INTO superseded VALUES (?1, ?2)")?,
    };
    for entry in &writes.entries {
        match entry {
            Entry::Change(change) => {
                let cid = known.collection_or_new(conn, &change.collection)?;
                known.expiring |= change.facts.expires.is_some();
                let old = write_change(&mut statements, cid, change, writes.at)?;
                if known.expiring {
                    write_expiry(conn, change, old)?;
                }
                if known.buried {
                    exchange::unbury(conn, cid, &change.id)?;
                }
                known.head.last_change = change.version.lsn;
            }
            Entry::Ticket(ticket) => {
                let cid = known.collection_or_new(conn, &ticket.collection)?;
                write_ticket(&mut statements.log, cid, ticket, writes.at)?;
            }
            Entry::Return(back) => {
                let cid = known.collection_or_new(conn, &back.collection)?;
                write_return(conn, cid, back, writes.at)?;
            }
        }
        known.head.lsn = entry.lsn();
    }
    let mut state = conn.prepare_cached("UPDATE state SET lsn = ?1, last_change = ?2")?;
    state.execute(params![int(known.head.lsn.0), int(known.head.last_change.0)])?;
    Ok(())
}

/// Returns the position of the version that is superseded.
fn write_change(
    statements: &mut Statements<'_>,
    cid: i64,
    change: &Change,
    at: Millis,
) -> rusqlite::Result<Option<i64>> {
    let (version, facts, id) = (&change.version, &change.facts, change.id.as_str());
    let (lsn, meta) = (int(version.lsn.0), &version.meta);
    let mark = Mark { stamp: meta.stamp(), lsn: version.lsn, author: version.author };
    let meta_text = (*meta != Meta::inserted(mark)).then(|| serde_json::to_string(meta).expect("a meta serializes"));
    let born = (meta.born != mark.stamp).then(|| int(meta.born.0));
    let old = match statements.new_head.execute(params![cid, id, lsn])? {
        0 => {
            let old: i64 = statements.old_head.query_row(params![cid, id], |row| row.get(0))?;
            statements.move_head.execute(params![cid, id, lsn])?;
            statements.supersede.execute([old, lsn])?;
            Some(old)
        }
        _ => None,
    };
    statements.log.execute(params![
        lsn,
        cid,
        if meta.is_live() { LIVE } else { REMOVED },
        version.author.0,
        int(at.0),
        int(mark.stamp.0),
        int(meta.created.0),
        born,
        flags(facts.times, meta),
        facts.expires.map(|at| int(at.0)),
        id,
        meta_text,
        version.body.text(),
        old,
    ])?;
    Ok(old)
}

fn write_expiry(conn: &Connection, change: &Change, old: Option<i64>) -> rusqlite::Result<()> {
    if let Some(old) = old {
        let sql = "DELETE FROM expiring WHERE lsn = ?1 AND expires = (SELECT expires FROM log WHERE lsn = ?1)";
        conn.prepare_cached(sql)?.execute([old])?;
    }
    if let (Some(at), true) = (change.facts.expires, change.version.meta.is_live()) {
        let mut add = conn.prepare_cached("INSERT INTO expiring VALUES (?1, ?2)")?;
        add.execute([int(at.0), int(change.version.lsn.0)])?;
    }
    Ok(())
}

fn write_ticket(log: &mut CachedStatement<'_>, cid: i64, ticket: &Ticket, at: Millis) -> rusqlite::Result<()> {
    let body = serde_json::to_string(ticket).expect("a ticket serializes");
    let none: Option<&str> = None;
    log.execute(params![
        int(ticket.lsn.0),
        cid,
        TICKET,
        ticket.author.0,
        int(at.0),
        0,
        0,
        none,
        0,
        none,
        "",
        none,
        body,
        none
    ])?;
    Ok(())
}

fn write_return(conn: &Connection, cid: i64, back: &Return, at: Millis) -> rusqlite::Result<()> {
    let mut add = conn.prepare_cached(
        "INSERT INTO log (lsn, cid, kind, author, at, stamp, created, flags, id, body)
         VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0, ?6, ?7)",
    )?;
    let lost = lost(back);
    add.execute(params![int(back.lsn.0), cid, RETURN, back.author.0, int(at.0), back.id.as_str(), lost])?;
    Ok(())
}

fn write_batches(conn: &Connection, known: &mut Known, writes: &WriteSet) -> rusqlite::Result<()> {
    let mut add = conn.prepare_cached(
        "INSERT INTO batches (author, id, digest, lsn, at) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
    )?;
    for ((node, batch), stored) in &writes.batches {
        let row = known.author(conn, node)?;
        let (digest, lsn) = (stored.digest.cast_signed(), int(stored.lsn.0));
        add.execute(params![row.author.0, batch.as_str(), digest, lsn, int(writes.at.0)])?;
    }
    Ok(())
}

fn write_seen(conn: &Connection, writes: &WriteSet) -> rusqlite::Result<()> {
    let mut add = conn.prepare_cached("INSERT INTO seen VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    for key in &writes.seen {
        add.execute(params![key.as_slice(), int(writes.at.0)])?;
    }
    Ok(())
}

/// One row for all receipts that a node gets in this group.
fn write_receipts(
    conn: &Connection,
    known: &mut Known,
    node: &NodeId,
    receipts: &[Receipt],
    at: Millis,
) -> rusqlite::Result<()> {
    let seqs = || receipts.iter().map(|receipt| receipt.seq);
    let (Some(first), Some(last)) = (seqs().min(), seqs().max()) else { return Ok(()) };
    let row = known.author(conn, node)?;
    let body = serde_json::to_string(receipts).expect("receipts serialize");
    conn.prepare_cached("INSERT INTO receipts (author, first_seq, last_seq, at, body) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![row.author.0, int(first.0), int(last.0), int(at.0), body])?;
    conn.prepare_cached("UPDATE authors SET last_seq = max(last_seq, ?2), seen_at = ?3 WHERE author = ?1")?
        .execute(params![row.author.0, int(last.0), int(at.0)])?;
    known.answered(node, last);
    Ok(())
}

/// Returns the row's number.
fn write_conflict(conn: &Connection, known: &mut Known, conflict: &Conflict, at: Millis) -> rusqlite::Result<u64> {
    let cid = known.collection_or_new(conn, &conflict.collection)?;
    let (losing_kind, losing) = side(&conflict.losing);
    let (winning_kind, winning) = side(&conflict.winning);
    let mut add = conn.prepare_cached(
        "INSERT INTO ledger (at, cid, id, lsn, rule, winner, loser, losing_kind, losing, winning_kind, winning, late)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    add.execute(params![
        int(at.0),
        cid,
        conflict.id.as_str(),
        int(conflict.lsn.0),
        conflict.rule.as_str(),
        conflict.winner.0,
        conflict.loser.0,
        losing_kind,
        losing,
        winning_kind,
        winning,
        conflict.late,
    ])?;
    Ok(nat(conn.last_insert_rowid()))
}

fn write_quarantined(conn: &Connection, op: &Quarantined, at: Millis) -> rusqlite::Result<()> {
    let mut add = conn.prepare_cached(
        "INSERT INTO quarantine (at, collection, id, node, seq, code, reason, op)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    add.execute(params![
        int(at.0),
        op.collection.as_ref().map(|name| name.as_str()),
        op.id.as_ref().map(|id| id.as_str()),
        op.node.as_str(),
        op.seq.map(|Seq(seq)| int(seq)),
        op.code,
        op.reason,
        op.op,
    ])?;
    Ok(())
}
