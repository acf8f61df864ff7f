//! Lists for people: the conflict ledger, the quarantine, the nodes of a space.

use super::columns::{int, lsn, nat, of_document, wrong_text};
use super::load::version_of;
use crate::store::ledger::json;
use crate::store::{ConflictRow, ExpiredRow, LateRows, ListQuery, NodeRow, QuarantineRow};
use rusqlite::{Connection, OptionalExtension, Row, params};
use syncline_core::hub::DocKey;
use syncline_core::model::{Author, CollectionName, DocId, Lsn, Millis, NodeId, Version};

/// Live documents that expired by a time, in the order of expiry and LSN behind a place in it.
pub(super) fn expired(
    conn: &Connection,
    by: Millis,
    after: (Millis, Lsn),
    limit: usize,
) -> rusqlite::Result<Vec<ExpiredRow>> {
    let mut find = conn.prepare_cached(
        "SELECT e.expires, e.lsn, c.name, l.id FROM expiring e
             CROSS JOIN log l ON l.lsn = e.lsn JOIN collections c ON c.cid = l.cid
         WHERE e.expires <= ?1 AND (e.expires, e.lsn) > (?2, ?3)
         ORDER BY e.expires, e.lsn LIMIT ?4",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = find.query_map(params![int(by.0), int(after.0.0), int(after.1.0), limit], |row| {
        let collection = CollectionName::new(row.get_ref(2)?.as_str()?).map_err(|e| wrong_text(2, e))?;
        let id = DocId::new(row.get_ref(3)?.as_str()?).map_err(|e| wrong_text(3, e))?;
        Ok(ExpiredRow { at: Millis(nat(row.get(0)?)), lsn: lsn(row, 1)?, collection, id })
    })?;
    rows.collect()
}

/// Columns of the ledger with the names that they stand for.
const LEDGER: &str = "SELECT l.n, l.at, c.name, l.id, l.lsn, l.rule, coalesce(w.node, ''), coalesce(o.node, ''),
        l.losing_kind, l.losing, l.winning_kind, l.winning, l.restored
    FROM ledger l JOIN collections c ON c.cid = l.cid
    LEFT JOIN authors w ON w.author = l.winner LEFT JOIN authors o ON o.author = l.loser";

/// Rows of the conflict ledger, newest first.
pub(super) fn conflicts(conn: &Connection, query: &ListQuery) -> rusqlite::Result<Vec<ConflictRow>> {
    let mut find = conn.prepare_cached(&format!(
        "{LEDGER} WHERE l.n < ?1 AND (?2 IS NULL OR c.name = ?2) AND (?3 IS NULL OR l.id = ?3)
         ORDER BY l.n DESC LIMIT ?4"
    ))?;
    find.query_map(bounds(query), conflict_of)?.collect()
}

/// Rows of the conflict ledger by which an author lost what had been accepted, oldest first.
pub(super) fn late_conflicts(
    conn: &Connection,
    author: Author,
    after: u64,
    limit: usize,
) -> rusqlite::Result<LateRows> {
    let mut last = conn.prepare_cached("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'ledger'")?;
    let last = nat(last.query_row([], |row| row.get(0))?);
    let mut find =
        conn.prepare_cached(&format!("{LEDGER} WHERE l.late = 1 AND l.loser = ?1 AND l.n > ?2 ORDER BY l.n LIMIT ?3"))?;
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows: Vec<ConflictRow> =
        find.query_map(params![author.0, int(after), most], conflict_of)?.collect::<rusqlite::Result<_>>()?;
    let upto = rows.last().filter(|_| rows.len() == limit).map_or(last, |row| row.n);
    Ok(LateRows { rows, upto })
}

fn conflict_of(row: &Row<'_>) -> rusqlite::Result<ConflictRow> {
    Ok(ConflictRow {
        n: nat(row.get(0)?),
        at: Millis(nat(row.get(1)?)),
        collection: row.get(2)?,
        id: row.get(3)?,
        lsn: lsn(row, 4)?,
        rule: row.get(5)?,
        winner: row.get(6)?,
        loser: row.get(7)?,
        losing_kind: row.get(8)?,
        losing: json(row.get_ref(9)?.as_str_or_null()?),
        winning_kind: row.get(10)?,
        winning: json(row.get_ref(11)?.as_str_or_null()?),
        restored: row.get::<_, Option<i64>>(12)?.map(|lsn| Lsn(nat(lsn))),
    })
}

/// Rows of the quarantine, newest first.
pub(super) fn quarantine(conn: &Connection, query: &ListQuery) -> rusqlite::Result<Vec<QuarantineRow>> {
    let mut find = conn.prepare_cached(
        "SELECT n, at, collection, id, node, seq, code, reason, op FROM quarantine
         WHERE n < ?1 AND (?2 IS NULL OR collection = ?2) AND (?3 IS NULL OR id = ?3)
         ORDER BY n DESC LIMIT ?4",
    )?;
    let rows = find.query_map(bounds(query), |row| {
        Ok(QuarantineRow {
            n: nat(row.get(0)?),
            at: Millis(nat(row.get(1)?)),
            collection: row.get(2)?,
            id: row.get(3)?,
            node: row.get(4)?,
            seq: row.get::<_, Option<i64>>(5)?.map(nat),
            code: row.get(6)?,
            reason: row.get(7)?,
            op: row.get(8)?,
        })
    })?;
    rows.collect()
}

/// The newest versions of documents.
pub(super) fn documents(conn: &Connection, docs: Vec<DocKey>) -> rusqlite::Result<Vec<(DocKey, Version)>> {
    let mut find = conn.prepare_cached(
        "SELECT l.lsn, l.author, l.stamp, l.meta, l.body FROM collections c
         CROSS JOIN heads h ON h.cid = c.cid CROSS JOIN log l ON l.lsn = h.lsn WHERE c.name = ?1 AND h.id = ?2",
    )?;
    let mut found = Vec::with_capacity(docs.len());
    for key in docs {
        let version = find.query_row([key.0.as_str(), key.1.as_str()], version_of);
        let version = version.map_err(|error| of_document(error, &key)).optional()?;
        found.extend(version.map(|version| (key, version)));
    }
    Ok(found)
}

/// The nodes and tokens that the space knows, by their id.
pub(super) fn nodes(conn: &Connection) -> rusqlite::Result<Vec<NodeRow>> {
    let mut find =
        conn.prepare_cached("SELECT author, node, last_seq, cursor, seen_at, owner FROM authors ORDER BY node")?;
    find.query_map(params![], node_row)?.collect()
}

/// One of them.
pub(super) fn node(conn: &Connection, node: &NodeId) -> rusqlite::Result<Option<NodeRow>> {
    let mut find =
        conn.prepare_cached("SELECT author, node, last_seq, cursor, seen_at, owner FROM authors WHERE node = ?1")?;
    find.query_row(params![node.as_str()], node_row).optional()
}

fn node_row(row: &Row<'_>) -> rusqlite::Result<NodeRow> {
    Ok(NodeRow {
        author: Author(row.get(0)?),
        node: row.get(1)?,
        last_seq: nat(row.get(2)?),
        cursor: lsn(row, 3)?,
        seen_at: Millis(nat(row.get(4)?)),
        owner: row.get(5)?,
    })
}

fn bounds(query: &ListQuery) -> (i64, Option<&str>, Option<&str>, i64) {
    (
        query.before.map_or(i64::MAX, int),
        query.collection.as_ref().map(|name| name.as_str()),
        query.id.as_ref().map(|id| id.as_str()),
        i64::try_from(query.limit).unwrap_or(i64::MAX),
    )
}
