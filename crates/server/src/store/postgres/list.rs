//! Lists: the conflict ledger, the quarantine, nodes, documents by their places, what has expired.

use super::authors::author_of;
use super::nodes;
use super::pipeline::{Param, long, maybe_text, text, texts};
use super::pool::{Pools, Session};
use super::rows::{damaged, key_of, version_of};
use super::space::{self, State};
use super::trouble::Failure;
use super::unique;
use crate::store::columns::{int, nat};
use crate::store::ledger::json;
use crate::store::{ConflictRow, ExpiredRow, Holders, LateRows, ListQuery, NodeRow, QuarantineRow};
use std::borrow::Cow;
use syncline_core::hub::DocKey;
use syncline_core::model::{
    Author, CollectionName, DocId, Holding, Lsn, Millis, NodeId, Registration, SpaceName, Traffic, UniqueValue, Version,
};
use tokio_postgres::Row;

/// What one statement finds in a space that exists.
async fn rows<'a>(
    pools: &Pools,
    space: &'a SpaceName,
    sql: impl Into<Cow<'static, str>>,
    params: Vec<Param<'a>>,
) -> Result<Vec<Row>, Failure> {
    let session = pools.reading(space).await?;
    let found = ask(&session, space, sql.into(), params).await;
    Ok(session.finish(found).await?.1)
}

async fn ask<'a>(
    session: &'a Session,
    space: &'a SpaceName,
    sql: Cow<'static, str>,
    params: Vec<Param<'a>>,
) -> Result<(State, Vec<Row>), Failure> {
    let mut pipeline = session.begin();
    let state = space::look(&mut pipeline, space);
    let asked = pipeline.send(sql, params);
    let mut answers = pipeline.answers().await?;
    let state = space::found(&mut answers, state, space)?;
    Ok((state, answers.take(Some(asked))))
}

/// Live documents that expired by a time, in the order of expiry and LSN behind a place in it.
pub(super) async fn expired(
    pools: &Pools,
    space: &SpaceName,
    by: Millis,
    after: (Millis, Lsn),
    limit: usize,
) -> Result<Vec<ExpiredRow>, Failure> {
    let sql = "SELECT collection, id, expires, lsn FROM syncline.heads
        WHERE space = $1 AND expires <= $2 AND expires >= $3 AND (expires, lsn) > ($3, $4)
        ORDER BY expires, lsn LIMIT $5";
    let (at, lsn) = (int(after.0.0), int(after.1.0));
    let params = vec![text(space.as_str()), long(int(by.0)), long(at), long(lsn), long(int(limit as u64))];
    let row = |row: &Row| {
        let (collection, id) = key_of(row)?;
        Ok(ExpiredRow { at: Millis(nat(row.try_get(2)?)), lsn: Lsn(nat(row.try_get(3)?)), collection, id })
    };
    rows(pools, space, sql, params).await?.iter().map(row).collect()
}

/// Columns of the ledger with the names that they stand for.
const LEDGER: &str = "SELECT l.n, l.at, l.collection, l.id, l.lsn, l.rule, coalesce(w.node, ''), coalesce(o.node, ''),
        l.losing_kind, l.losing, l.winning_kind, l.winning, l.restored
    FROM syncline.ledger l
        LEFT JOIN syncline.authors w ON w.space = $1 AND w.author = l.winner
        LEFT JOIN syncline.authors o ON o.space = $1 AND o.author = l.loser
    WHERE l.space = $1";

/// Rows of the conflict ledger, newest first.
pub(super) async fn conflicts(
    pools: &Pools,
    space: &SpaceName,
    query: &ListQuery,
) -> Result<Vec<ConflictRow>, Failure> {
    let sql = format!(
        "{LEDGER} AND l.n < $2 AND ($3::TEXT IS NULL OR l.collection = $3) AND ($4::TEXT IS NULL OR l.id = $4)
         ORDER BY l.n DESC LIMIT $5"
    );
    rows(pools, space, sql, bounds(space, query)).await?.iter().map(conflict_of).collect()
}

/// Rows of the conflict ledger by which an author lost what had been accepted, oldest first.
pub(super) async fn late_conflicts(
    pools: &Pools,
    space: &SpaceName,
    author: Author,
    after: u64,
    limit: usize,
) -> Result<LateRows, Failure> {
    let sql = format!("{LEDGER} AND l.late = 1 AND l.loser = $2 AND l.n > $3 ORDER BY l.n LIMIT $4");
    let params = vec![text(space.as_str()), long(i64::from(author.0)), long(int(after)), long(int(limit as u64))];
    let session = pools.reading(space).await?;
    let found = ask(&session, space, sql.into(), params).await;
    let (state, found) = session.finish(found).await?;
    let rows = found.iter().map(conflict_of).collect::<Result<Vec<_>, _>>()?;
    let upto = rows.last().filter(|_| rows.len() == limit).map_or(nat(state.last.conflict), |row| row.n);
    Ok(LateRows { rows, upto })
}

fn conflict_of(row: &Row) -> Result<ConflictRow, Failure> {
    Ok(ConflictRow {
        n: nat(row.try_get(0)?),
        at: Millis(nat(row.try_get(1)?)),
        collection: row.try_get(2)?,
        id: row.try_get(3)?,
        lsn: Lsn(nat(row.try_get(4)?)),
        rule: row.try_get(5)?,
        winner: row.try_get(6)?,
        loser: row.try_get(7)?,
        losing_kind: row.try_get(8)?,
        losing: json(row.try_get(9)?),
        winning_kind: row.try_get(10)?,
        winning: json(row.try_get(11)?),
        restored: row.try_get::<_, Option<i64>>(12)?.map(|lsn| Lsn(nat(lsn))),
    })
}

/// Who has these values at a time, and no more than so many.
pub(super) async fn holders(
    pools: &Pools,
    space: &SpaceName,
    values: &[UniqueValue],
    (most, at): (usize, Millis),
) -> Result<Holders, Failure> {
    let found = rows(pools, space, unique::HOLDERS, unique::asking(space, values, (most, at))).await?;
    unique::found(values.to_vec(), &found)
}

/// Rows of the quarantine, newest first.
pub(super) async fn quarantine(
    pools: &Pools,
    space: &SpaceName,
    query: &ListQuery,
) -> Result<Vec<QuarantineRow>, Failure> {
    let sql = "SELECT n, at, collection, id, node, seq, code, reason, op FROM syncline.quarantine
        WHERE space = $1 AND n < $2 AND ($3::TEXT IS NULL OR collection = $3) AND ($4::TEXT IS NULL OR id = $4)
        ORDER BY n DESC LIMIT $5";
    let odd_text = |row: &Row, column: usize| String::from_utf8(row.try_get(column)?).map_err(damaged);
    let row = |row: &Row| {
        Ok(QuarantineRow {
            n: nat(row.try_get(0)?),
            at: Millis(nat(row.try_get(1)?)),
            collection: row.try_get(2)?,
            id: row.try_get(3)?,
            node: row.try_get(4)?,
            seq: row.try_get::<_, Option<i64>>(5)?.map(nat),
            code: row.try_get(6)?,
            reason: odd_text(row, 7)?,
            op: odd_text(row, 8)?,
        })
    };
    rows(pools, space, sql, bounds(space, query)).await?.iter().map(row).collect()
}

fn bounds<'a>(space: &'a SpaceName, query: &'a ListQuery) -> Vec<Param<'a>> {
    vec![
        text(space.as_str()),
        long(query.before.map_or(i64::MAX, int)),
        maybe_text(query.collection.as_ref().map(CollectionName::as_str)),
        maybe_text(query.id.as_ref().map(DocId::as_str)),
        long(int(query.limit as u64)),
    ]
}

/// The newest versions of documents, in the order in which they were asked for.
pub(super) async fn documents(
    pools: &Pools,
    space: &SpaceName,
    docs: &[DocKey],
) -> Result<Vec<(DocKey, Version)>, Failure> {
    let sql = "SELECT t.collection, t.id, l.kind, l.lsn, l.author, l.stamp, l.meta, l.body
        FROM unnest($2::TEXT[], $3::TEXT[]) WITH ORDINALITY AS t (collection, id, place)
            CROSS JOIN LATERAL (SELECT lsn FROM syncline.heads
                WHERE space = $1 AND collection = t.collection AND id = t.id LIMIT 1) h
            CROSS JOIN LATERAL (SELECT kind, lsn, author, stamp, meta, body FROM syncline.log
                WHERE space = $1 AND lsn = h.lsn LIMIT 1) l
        ORDER BY t.place";
    let (collections, ids) = places(docs);
    let found = rows(pools, space, sql, vec![text(space.as_str()), collections, ids]).await?;
    found.iter().map(|row| Ok((key_of(row)?, version_of(row, 2)?))).collect()
}

fn places(docs: &[DocKey]) -> (Param<'_>, Param<'_>) {
    (texts(docs.iter().map(|(collection, _)| collection.as_str())), texts(docs.iter().map(|(_, id)| id.as_str())))
}

/// The nodes and tokens that the space knows, by their id.
pub(super) async fn nodes(pools: &Pools, space: &SpaceName) -> Result<Vec<NodeRow>, Failure> {
    let sql =
        "SELECT author, node, last_seq, cursor, seen_at, owner FROM syncline.authors WHERE space = $1 ORDER BY node";
    rows(pools, space, sql, vec![text(space.as_str())]).await?.iter().map(node_row).collect()
}

/// One of them.
pub(super) async fn node(pools: &Pools, space: &SpaceName, node: &NodeId) -> Result<Option<NodeRow>, Failure> {
    let sql =
        "SELECT author, node, last_seq, cursor, seen_at, owner FROM syncline.authors WHERE space = $1 AND node = $2";
    let found = rows(pools, space, sql, vec![text(space.as_str()), text(node.as_str())]).await?;
    found.first().map(node_row).transpose()
}

fn node_row(row: &Row) -> Result<NodeRow, Failure> {
    Ok(NodeRow {
        author: author_of(row.try_get(0)?),
        node: row.try_get(1)?,
        last_seq: nat(row.try_get(2)?),
        cursor: Lsn(nat(row.try_get(3)?)),
        seen_at: Millis(nat(row.try_get(4)?)),
        owner: row.try_get(5)?,
    })
}

/// The registered nodes by their codes, or the one with this id.
pub(super) async fn registered(
    pools: &Pools,
    space: &SpaceName,
    node: Option<&NodeId>,
) -> Result<Vec<(Registration, Traffic)>, Failure> {
    let sql = format!(
        "SELECT {} FROM syncline.nodes WHERE space = $1 AND ($2::TEXT IS NULL OR id = $2) ORDER BY code",
        nodes::COLUMNS
    );
    let params = vec![text(space.as_str()), maybe_text(node.map(NodeId::as_str))];
    nodes::found(&rows(pools, space, sql, params).await?)
}

/// Which of these documents a node holds.
pub(super) async fn held(
    pools: &Pools,
    space: &SpaceName,
    node: &NodeId,
    docs: &[DocKey],
) -> Result<Vec<Holding>, Failure> {
    let sql = "SELECT h.collection, h.id, h.since, h.gone
        FROM unnest($3::TEXT[], $4::TEXT[]) WITH ORDINALITY AS t (collection, id, place)
            JOIN syncline.nodes n ON n.space = $1 AND n.id = $2
            JOIN syncline.held h
                ON h.space = $1 AND h.author = n.author AND h.collection = t.collection AND h.id = t.id
        ORDER BY t.place";
    let (collections, ids) = places(docs);
    let params = vec![text(space.as_str()), text(node.as_str()), collections, ids];
    let row = |row: &Row| {
        let (collection, id) = key_of(row)?;
        let gone = row.try_get::<_, Option<i64>>(3)?.map(|gone| Lsn(nat(gone)));
        Ok(Holding { collection, id, since: Lsn(nat(row.try_get(2)?)), gone })
    };
    rows(pools, space, sql, params).await?.iter().map(row).collect()
}
