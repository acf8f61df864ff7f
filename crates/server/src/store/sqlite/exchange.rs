//! Registered nodes in a space's file: who they are, how far their exchange has come, and what those
//! with a row filter hold. A write of documents touches none of it, however many nodes there are.

use super::columns::{int, lsn, nat, wrong_text};
use super::known::Known;
use rusqlite::{Connection, OptionalExtension, Row, params};
use syncline_core::hub::DocKey;
use syncline_core::model::{Author, DocId, Holding, Lsn, Millis, NodeId, Registration, Traffic, Version};

const COLUMNS: &str = "id, code, name, plan, received_packet_no, last_sync_in, sent_packet_no, last_sync_out, \
                       issued_packet_no, cursor, sent, fill, last, known";

/// The registered nodes by their codes, or the one with this id.
pub(super) fn registered(conn: &Connection, node: Option<&NodeId>) -> rusqlite::Result<Vec<(Registration, Traffic)>> {
    let which = if node.is_some() { "WHERE id = ?1" } else { "WHERE ?1 IS NULL ORDER BY code" };
    let mut find = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM nodes {which}"))?;
    let rows = find.query_map([node.map(NodeId::as_str)], |row| Ok((registration_of(row)?, traffic_of(row)?)))?;
    rows.collect()
}

/// Removals up to here have been told to every registered node; `None`: there is no node.
pub(super) fn heard(conn: &Connection) -> rusqlite::Result<Option<i64>> {
    let mut least =
        conn.prepare_cached("SELECT min(iif(fill ->> 'again' = 0, max(cursor, fill ->> 'start'), cursor)) FROM nodes")?;
    least.query_row([], |row| row.get(0))
}

/// A removed document of which only the place is left.
pub(super) fn buried(conn: &Connection, cid: i64, id: &DocId) -> rusqlite::Result<Option<Version>> {
    let mut find = conn.prepare_cached("SELECT lsn, author FROM log WHERE kind = 4 AND cid = ?1 AND id = ?2")?;
    find.query_row(params![cid, id.as_str()], |row| Ok(Version::buried(lsn(row, 0)?, Author(row.get(1)?)))).optional()
}

/// Lets go of the place of a document that is written again: its versions tell that it was gone.
pub(super) fn unbury(conn: &Connection, cid: i64, id: &DocId) -> rusqlite::Result<()> {
    let mut forget = conn.prepare_cached("DELETE FROM log WHERE kind = 4 AND cid = ?1 AND id = ?2")?;
    forget.execute(params![cid, id.as_str()]).map(drop)
}

/// Which of these documents a node holds.
pub(super) fn held(conn: &Connection, node: &NodeId, docs: Vec<DocKey>) -> rusqlite::Result<Vec<Holding>> {
    let mut find = conn.prepare_cached(
        "SELECT h.since, h.gone FROM held h JOIN nodes n ON n.author = h.author JOIN collections c ON c.cid = h.cid
         WHERE n.id = ?1 AND c.name = ?2 AND h.id = ?3",
    )?;
    let mut found = Vec::new();
    for (collection, id) in docs {
        let row = find.query_row([node.as_str(), collection.as_str(), id.as_str()], |row| {
            Ok((lsn(row, 0)?, row.get::<_, Option<i64>>(1)?.map(|gone| Lsn(nat(gone)))))
        });
        if let Some((since, gone)) = row.optional()? {
            found.push(Holding { collection, id, since, gone });
        }
    }
    Ok(found)
}

/// Writes how far a node's exchange has come, and lets go of what the node has dropped. Of a node that is not registered
/// (any more) there is nothing to write.
pub(super) fn write_traffic(
    conn: &Connection,
    known: &mut Known,
    node: &NodeId,
    traffic: &Traffic,
) -> rusqlite::Result<()> {
    let author = known.author(conn, node)?.author;
    conn.prepare_cached("DELETE FROM held WHERE author = ?1 AND gone <= ?2")?
        .execute(params![author.0, int(traffic.known.upto.0)])?;
    let mut update = conn.prepare_cached(
        "UPDATE nodes SET received_packet_no = ?2, last_sync_in = ?3, sent_packet_no = ?4, last_sync_out = ?5,
             issued_packet_no = ?6, cursor = ?7, sent = ?8, fill = ?9, last = ?10, known = ?11 WHERE author = ?1",
    )?;
    update.execute(params![
        author.0,
        int(traffic.received),
        int(traffic.received_at.0),
        int(traffic.confirmed),
        int(traffic.confirmed_at.0),
        int(traffic.issued),
        int(traffic.cursor.0),
        serde_json::to_string(&traffic.sent).expect("numbers serialize"),
        traffic.fill.map(|fill| serde_json::to_string(&fill).expect("a fill serializes")),
        serde_json::to_string(&traffic.last).expect("digests serialize"),
        serde_json::to_string(&traffic.known).expect("numbers serialize"),
    ])?;
    Ok(())
}

/// Writes that a node holds a document or is to drop it; what it holds already keeps the earlier position.
pub(super) fn write_held(
    conn: &Connection,
    known: &mut Known,
    node: &NodeId,
    holding: &Holding,
) -> rusqlite::Result<()> {
    let author = known.author(conn, node)?.author;
    let cid = known.collection_or_new(conn, &holding.collection)?;
    let mut put = conn.prepare_cached(
        "INSERT INTO held (author, cid, id, since, gone) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET
             since = iif(gone IS NOT NULL AND excluded.gone IS NULL, excluded.since, min(since, excluded.since)),
             gone = excluded.gone",
    )?;
    let gone = holding.gone.map(|gone| int(gone.0));
    put.execute(params![author.0, cid, holding.id.as_str(), int(holding.since.0), gone])?;
    Ok(())
}

fn registration_of(row: &Row<'_>) -> rusqlite::Result<Registration> {
    let (code, name) = (row.get(1)?, row.get(2)?);
    Ok(Registration { id: node_id(row, 0)?, code, name, plan: json(row, 3)? })
}

fn traffic_of(row: &Row<'_>) -> rusqlite::Result<Traffic> {
    let number = |column| Ok::<_, rusqlite::Error>(nat(row.get(column)?));
    Ok(Traffic {
        received: number(4)?,
        received_at: Millis(number(5)?),
        confirmed: number(6)?,
        confirmed_at: Millis(number(7)?),
        issued: number(8)?,
        cursor: lsn(row, 9)?,
        sent: json(row, 10)?,
        fill: if row.get_ref(11)?.as_str_or_null()?.is_some() { Some(json(row, 11)?) } else { None },
        last: json(row, 12)?,
        known: json(row, 13)?,
    })
}

fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|e| wrong_text(column, e))
}

/// A node's id in a column.
pub(super) fn node_id(row: &Row<'_>, column: usize) -> rusqlite::Result<NodeId> {
    NodeId::new(row.get_ref(column)?.as_str()?).map_err(|e| wrong_text(column, e))
}
