//! What a group of pushes needs to know, read inside its transaction (steps 4 and 5 of the life of a
//! change). Prepared point lookups in key order: for an embedded engine this is one round trip.

use super::columns::{LIVE, int, lsn, nat, of_document, wrong_text};
use super::exchange;
use super::known::Known;
use crate::store::ledger::values;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeSet;
use syncline_core::hub::{AuthorState, KeptLoss, Loaded, StoredBatch, Touch};
use syncline_core::model::{Author, Body, CollectionName, DocId, Lsn, Mark, Meta, Receipt, Seq, Seqs, Stamp, Version};

/// Reads what `touch` names; new nodes get their number here.
pub(super) fn load(conn: &Connection, known: &mut Known, touch: &Touch) -> rusqlite::Result<Loaded> {
    let mut loaded = Loaded { head: known.head.lsn, horizon: known.head.horizon, ..Loaded::default() };
    for node in &touch.nodes {
        let row = known.author(conn, node)?;
        let forgotten = known.forgotten(node);
        let owner = known.owner(node);
        loaded.nodes.insert(node.clone(), AuthorState { author: row.author, forgotten, owner });
    }
    load_batches(conn, known, touch, &mut loaded)?;
    load_seen(conn, touch, &mut loaded)?;
    load_receipts(conn, known, touch, &mut loaded)?;
    load_docs(conn, known, touch, &mut loaded)?;
    load_whole(conn, known, touch, &mut loaded)?;
    for node in &touch.registered {
        if let Some((_, traffic)) = exchange::registered(conn, Some(node))?.pop() {
            loaded.traffic.insert(node.clone(), traffic);
        }
    }
    load_kept(conn, touch, &mut loaded)?;
    Ok(loaded)
}

/// Rows that a person decides about.
fn load_kept(conn: &Connection, touch: &Touch, loaded: &mut Loaded) -> rusqlite::Result<()> {
    let sql = "SELECT losing_kind, losing, winning_kind, winning, restored FROM ledger WHERE n = ?1";
    for n in &touch.ledger {
        let kept = conn.prepare_cached(sql)?.query_row([int(*n)], |row| {
            let side = |kind: usize| {
                let (word, text) = (row.get_ref(kind)?.as_str()?, row.get_ref(kind + 1)?.as_str_or_null()?);
                values(word, text).map_err(|e| wrong_text(kind + 1, e))
            };
            let restored = row.get::<_, Option<i64>>(4)?.map(|lsn| Lsn(nat(lsn)));
            Ok(KeptLoss { losing: side(0)?, winning: side(2)?, restored })
        });
        loaded.ledger.extend(kept.optional()?.map(|kept| (*n, kept)));
    }
    for n in &touch.quarantine {
        if conn.prepare_cached("SELECT 1 FROM quarantine WHERE n = ?1")?.exists([int(*n)])? {
            loaded.quarantine.insert(*n);
        }
    }
    Ok(())
}

fn load_batches(conn: &Connection, known: &mut Known, touch: &Touch, loaded: &mut Loaded) -> rusqlite::Result<()> {
    let mut find = conn.prepare_cached("SELECT digest, lsn FROM batches WHERE author = ?1 AND id = ?2")?;
    for key in &touch.batches {
        let row = known.author(conn, &key.0)?;
        let stored = find.query_row(params![row.author.0, key.1.as_str()], |row| {
            Ok(StoredBatch { digest: row.get::<_, i64>(0)?.cast_unsigned(), lsn: lsn(row, 1)? })
        });
        if let Some(stored) = stored.optional()? {
            loaded.batches.insert(key.clone(), stored);
        }
    }
    Ok(())
}

fn load_seen(conn: &Connection, touch: &Touch, loaded: &mut Loaded) -> rusqlite::Result<()> {
    let mut find = conn.prepare_cached("SELECT 1 FROM seen WHERE key = ?1")?;
    for key in &touch.keys {
        if find.exists([key.as_slice()])? {
            loaded.seen.insert(*key);
        }
    }
    Ok(())
}

fn load_receipts(conn: &Connection, known: &mut Known, touch: &Touch, loaded: &mut Loaded) -> rusqlite::Result<()> {
    for (node, seqs) in &touch.seqs {
        let row = known.author(conn, node)?;
        let Some((first, _)) = seqs.bounds() else { continue };
        if first > row.last_seq {
            continue;
        }
        let mut find = conn.prepare_cached("SELECT body FROM receipts WHERE n = ?1")?;
        for n in receipt_rows(conn, row.author, seqs)? {
            let text: String = find.query_row([n], |row| row.get(0))?;
            for receipt in receipts_of(&text)?.into_iter().filter(|receipt| seqs.contains(receipt.seq)) {
                // Where a number was answered twice, the first answer counts.
                loaded.receipts.entry((node.clone(), receipt.seq)).or_insert(receipt);
            }
        }
    }
    Ok(())
}

/// Rows with receipts that may be asked for, oldest first. Looks at the index only: what lies between
/// the numbers is not read.
fn receipt_rows(conn: &Connection, author: Author, seqs: &Seqs) -> rusqlite::Result<BTreeSet<i64>> {
    let Some((first, last)) = seqs.bounds() else { return Ok(BTreeSet::new()) };
    let mut find = conn.prepare_cached(
        "SELECT n, first_seq, last_seq FROM receipts WHERE author = ?1 AND last_seq >= ?2 AND first_seq <= ?3",
    )?;
    let mut rows = find.query(params![author.0, int(first.0), int(last.0)])?;
    let mut found = BTreeSet::new();
    while let Some(row) = rows.next()? {
        if seqs.meets(Seq(nat(row.get(1)?)), Seq(nat(row.get(2)?))) {
            found.insert(row.get(0)?);
        }
    }
    Ok(found)
}

/// The receipts of one row.
pub(super) fn receipts_of(text: &str) -> rusqlite::Result<Vec<Receipt>> {
    serde_json::from_str(text).map_err(|e| wrong_text(0, e))
}

fn load_docs(conn: &Connection, known: &Known, touch: &Touch, loaded: &mut Loaded) -> rusqlite::Result<()> {
    let mut find = conn.prepare_cached(
        "SELECT l.lsn, l.author, l.stamp, l.meta, l.body
         FROM heads h CROSS JOIN log l ON l.lsn = h.lsn WHERE h.cid = ?1 AND h.id = ?2",
    )?;
    for key in &touch.docs {
        let Some(cid) = known.collection(&key.0) else { continue };
        let found = find.query_row(params![cid, key.1.as_str()], version_of).map_err(|error| of_document(error, key));
        let version = match found.optional()? {
            None if known.buried => exchange::buried(conn, cid, &key.1)?,
            version => version,
        };
        loaded.docs.extend(version.map(|version| (key.clone(), version)));
    }
    Ok(())
}

fn load_whole(conn: &Connection, known: &Known, touch: &Touch, loaded: &mut Loaded) -> rusqlite::Result<()> {
    let mut find = conn.prepare_cached(
        "SELECT l.lsn, l.author, l.stamp, l.meta, l.body, h.id
         FROM heads h CROSS JOIN log l ON l.lsn = h.lsn WHERE h.cid = ?1 AND l.kind = ?2",
    )?;
    for name in &touch.whole {
        let Some(cid) = known.collection(name) else { continue };
        let mut rows = find.query(params![cid, LIVE])?;
        while let Some(row) = rows.next()? {
            let id = DocId::new(row.get_ref(5)?.as_str()?).map_err(|e| wrong_text(5, e))?;
            let key = (CollectionName::clone(name), id);
            let version = version_of(row).map_err(|error| of_document(error, &key))?;
            loaded.docs.insert(key, version);
        }
    }
    Ok(())
}

/// Columns: lsn, author, stamp, meta, body.
pub(super) fn version_of(row: &Row<'_>) -> rusqlite::Result<Version> {
    let (lsn, author, stamp) = (lsn(row, 0)?, Author(row.get(1)?), Stamp(nat(row.get(2)?)));
    let meta = match row.get_ref(3)?.as_str_or_null()? {
        Some(text) => serde_json::from_str(text).map_err(|e| wrong_text(3, e))?,
        None => Meta::inserted(Mark { stamp, lsn, author }),
    };
    let body = Body::stored(row.get_ref(4)?.as_str()?).map_err(|e| wrong_text(4, e))?;
    Ok(Version { lsn, author, body, meta })
}
