//! Registered nodes: who they are, how far their exchange has come, and what those with a row filter hold. A write of
//! documents touches none of it, however many nodes there are.

use super::authors::Authors;
use super::pipeline::{Pipeline, longs, text, texts};
use super::rows::{damaged, node_of};
use super::trouble::Failure;
use crate::store::columns::{int, nat};
use std::collections::BTreeSet;
use syncline_core::hub::WriteSet;
use syncline_core::model::{CollectionName, DocId, Holding, Lsn, Millis, NodeId, Registration, SpaceName, Traffic};
use tokio_postgres::Row;

pub(super) const COLUMNS: &str = "id, code, name, plan, received_packet_no, last_sync_in, sent_packet_no, last_sync_out, \
                                  issued_packet_no, cursor, sent, fill, last, known";

/// Asks for registered nodes by their ids.
pub(super) fn ask<'a>(pipeline: &mut Pipeline<'a>, space: &'a SpaceName, nodes: &'a BTreeSet<NodeId>) -> usize {
    let sql = format!("SELECT {COLUMNS} FROM syncline.nodes WHERE space = $1 AND id = ANY($2)");
    pipeline.send(sql, vec![text(space.as_str()), texts(nodes.iter().map(NodeId::as_str))])
}

/// Rows with [`COLUMNS`].
pub(super) fn found(rows: &[Row]) -> Result<Vec<(Registration, Traffic)>, Failure> {
    rows.iter().map(|row| Ok((registration_of(row)?, traffic_of(row)?))).collect()
}

fn registration_of(row: &Row) -> Result<Registration, Failure> {
    let (code, name) = (row.try_get(1)?, row.try_get(2)?);
    Ok(Registration { id: node_of(row, 0)?, code, name, plan: json(row, 3)? })
}

fn traffic_of(row: &Row) -> Result<Traffic, Failure> {
    let number = |column: usize| row.try_get(column).map(nat);
    Ok(Traffic {
        received: number(4)?,
        received_at: Millis(number(5)?),
        confirmed: number(6)?,
        confirmed_at: Millis(number(7)?),
        issued: number(8)?,
        cursor: Lsn(number(9)?),
        sent: json(row, 10)?,
        fill: if row.try_get::<_, Option<&str>>(11)?.is_some() { Some(json(row, 11)?) } else { None },
        last: json(row, 12)?,
        known: json(row, 13)?,
    })
}

fn json<T: serde::de::DeserializeOwned>(row: &Row, column: usize) -> Result<T, Failure> {
    serde_json::from_str(row.try_get(column)?).map_err(damaged)
}

/// Writes how far nodes' exchanges have come, and lets go of what the nodes have dropped. Of a node that is not
/// registered (any more) there is nothing to write.
pub(super) fn write_traffic<'a, 't>(
    pipeline: &mut Pipeline<'a>,
    space: &'a SpaceName,
    authors: &Authors,
    traffic: impl Iterator<Item = (&'t NodeId, &'t Traffic)> + Clone,
) {
    let numbers: Vec<_> = traffic.clone().map(|(node, _)| authors.of_known(node)).collect();
    let counts = |of: fn(&Traffic) -> u64| longs(traffic.clone().map(|(_, t)| int(of(t))).collect::<Vec<_>>());
    let gone = "DELETE FROM syncline.held h USING unnest($2::BIGINT[], $3::BIGINT[]) AS t (author, upto)
                WHERE h.space = $1 AND h.author = t.author AND h.gone <= t.upto";
    pipeline.send(gone, vec![text(space.as_str()), longs(numbers.clone()), counts(|t| t.known.upto.0)]);
    let update = "UPDATE syncline.nodes n SET received_packet_no = t.received, last_sync_in = t.received_at,
            sent_packet_no = t.confirmed, last_sync_out = t.confirmed_at, issued_packet_no = t.issued,
            cursor = t.cursor, sent = t.sent, fill = t.fill, last = t.last, known = t.known
        FROM unnest($2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[], $6::BIGINT[], $7::BIGINT[], $8::BIGINT[],
                $9::TEXT[], $10::TEXT[], $11::TEXT[], $12::TEXT[])
            AS t (author, received, received_at, confirmed, confirmed_at, issued, cursor, sent, fill, last, known)
        WHERE n.space = $1 AND n.author = t.author";
    let fill = |t: &Traffic| t.fill.map(|fill| serde_json::to_string(&fill).expect("a fill serializes"));
    let written = |of: fn(&Traffic) -> String| texts(traffic.clone().map(|(_, t)| of(t)).collect::<Vec<_>>());
    let params = vec![
        text(space.as_str()),
        longs(numbers),
        counts(|t| t.received),
        counts(|t| t.received_at.0),
        counts(|t| t.confirmed),
        counts(|t| t.confirmed_at.0),
        counts(|t| t.issued),
        counts(|t| t.cursor.0),
        written(|t| serde_json::to_string(&t.sent).expect("numbers serialize")),
        texts(traffic.clone().map(|(_, t)| fill(t)).collect::<Vec<_>>()),
        written(|t| serde_json::to_string(&t.last).expect("digests serialize")),
        written(|t| serde_json::to_string(&t.known).expect("numbers serialize")),
    ];
    pipeline.send(update, params);
}

/// Writes that nodes hold documents or are to drop them; what is held already keeps the earlier position. One
/// statement meets a document once: where a commit names it again, another statement follows.
pub(super) fn write_held<'a>(
    pipeline: &mut Pipeline<'a>,
    space: &'a SpaceName,
    authors: &Authors,
    writes: &'a WriteSet,
) {
    let mut left: Vec<&'a (NodeId, Holding)> = writes.held.iter().collect();
    while !left.is_empty() {
        let mut met = BTreeSet::<(&NodeId, &CollectionName, &DocId)>::new();
        let (now, later): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|(node, held)| met.insert((node, &held.collection, &held.id)));
        let put = "INSERT INTO syncline.held AS h (space, author, collection, id, since, gone)
            SELECT $1, t.author, t.collection, t.id, t.since, t.gone
            FROM unnest($2::BIGINT[], $3::TEXT[], $4::TEXT[], $5::BIGINT[], $6::BIGINT[])
                AS t (author, collection, id, since, gone)
            JOIN syncline.nodes n ON n.space = $1 AND n.author = t.author
            ON CONFLICT (space, author, collection, id) DO UPDATE SET
                since = CASE WHEN h.gone IS NOT NULL AND excluded.gone IS NULL THEN excluded.since
                        ELSE least(h.since, excluded.since) END,
                gone = excluded.gone";
        let params = vec![
            text(space.as_str()),
            longs(now.iter().map(|(node, _)| authors.of_known(node)).collect::<Vec<_>>()),
            texts(now.iter().map(|(_, held)| held.collection.as_str()).collect::<Vec<_>>()),
            texts(now.iter().map(|(_, held)| held.id.as_str()).collect::<Vec<_>>()),
            longs(now.iter().map(|(_, held)| int(held.since.0)).collect::<Vec<_>>()),
            longs(now.iter().map(|(_, held)| held.gone.map(|gone| int(gone.0))).collect::<Vec<_>>()),
        ];
        pipeline.send(put, params);
        left = later;
    }
}
