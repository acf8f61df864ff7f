//! Ops leave as numbered packets (`exchange`; step 2 of the life of a change).
//!
//! A node has one stream of packets, whatever number of its collections sync, and one packet under way:
//! it is repeated until a hub has acknowledged its number. Owns the table `packets`.

use super::{OpRow, batch, select};
use crate::error::Result;
use crate::store::{Named, Row, Unit, rows};
use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};
use std::sync::Arc;
use syncline_core::model::BatchId;
use syncline_core::wire::exchange::is_uuid;

/// Ops that were given the number of a packet.
pub(crate) struct PacketOps {
    /// The batch that they are.
    pub batch: i64,
    /// Its name.
    pub id: BatchId,
    /// The packet's number.
    pub number: u64,
    /// The ops in their order.
    pub ops: Vec<OpRow>,
}

/// How far the exchange with the hub has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// UUID of the hub.
    pub hub: String,
    /// The last number given to an own packet.
    pub sent: u64,
    /// The hub's packet that is stored here.
    pub received: u64,
}

impl Traffic {
    /// As the file has it; `None`: no packet was ever exchanged.
    pub(crate) fn load(conn: &Connection) -> Result<Option<Traffic>> {
        let sql = "SELECT hub, sent, received FROM packets";
        let read = |row: &SqlRow<'_>| Ok(Traffic { hub: row.get(0)?, sent: row.get(1)?, received: row.get(2)? });
        Ok(conn.prepare_cached(sql)?.query_row([], read).optional()?)
    }

    /// Begins with a hub, also in place of one that has never answered: its id may have been a slip. Returns the one
    /// that was replaced.
    pub(crate) fn begin(conn: &Connection, hub: &str) -> Result<Option<String>> {
        let other = "SELECT hub FROM packets WHERE hub <> ?1 AND met = 0";
        let other = conn.prepare_cached(other)?.query_row([hub], |row| row.get(0)).optional()?;
        let sql = "INSERT INTO packets(one, hub) VALUES (1, ?1)
                   ON CONFLICT(one) DO UPDATE SET hub = excluded.hub WHERE met = 0";
        conn.prepare_cached(sql)?.execute([hub])?;
        Ok(other)
    }

    /// The hub has answered: from now on the file belongs to it.
    pub(crate) fn meet(conn: &Connection) -> Result<()> {
        conn.prepare_cached("UPDATE packets SET met = 1 WHERE met = 0")?.execute([])?;
        Ok(())
    }

    /// Writes the numbers.
    pub(crate) fn save(&self, conn: &Connection) -> Result<()> {
        let sql = "UPDATE packets SET sent = ?1, received = ?2";
        conn.prepare_cached(sql)?.execute(params![self.sent, self.received])?;
        Ok(())
    }

    /// A number that no packet of this node has had.
    pub(crate) fn draw(conn: &Connection) -> Result<u64> {
        let sql = "UPDATE packets SET sent = sent + 1 RETURNING sent";
        Ok(conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }
}

/// The packet that was composed and not acknowledged.
pub(crate) fn packet_under_way(unit: &Unit<'_>) -> Result<Option<PacketOps>> {
    Ok(find(unit, "WHERE packet IS NOT NULL ORDER BY packet DESC LIMIT 1", params![])?.pop())
}

/// Packets that a hub has accepted with this acknowledgement.
pub(crate) fn accepted(unit: &Unit<'_>, upto: u64) -> Result<Vec<PacketOps>> {
    find(unit, "WHERE packet <= ?1 ORDER BY packet", params![upto])
}

fn find(unit: &Unit<'_>, which: &str, parameters: impl rusqlite::Params) -> Result<Vec<PacketOps>> {
    let found: Vec<(i64, String, u64)> = {
        let mut statement =
            unit.conn.prepare_cached(&format!("SELECT batch, batch_id, packet FROM batches {which}"))?;
        let rows = statement.query_map(parameters, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    let with_ops = found.into_iter().map(|(batch, id, number)| {
        let ops = select(unit.conn, "WHERE batch = ?1 ORDER BY seq", [batch])?;
        Ok(PacketOps { batch, id: BatchId::new(id)?, number, ops })
    });
    with_ops.collect()
}

/// Forgets packets under way: a hub refused their form, or they are composed anew with more ops. Their
/// ops are offered again under another number.
pub(crate) fn dissolve_packets(unit: &Unit<'_>) -> Result<()> {
    for packet in find(unit, "WHERE packet IS NOT NULL", params![])? {
        batch::dissolve(unit, packet.batch)?;
    }
    Ok(())
}

/// Whether ops of these collections wait outside of any packet.
pub(crate) fn any_waits(unit: &Unit<'_>, scope: &[Arc<Named>]) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM outbox WHERE cid = ?1 AND state < 2 AND batch IS NULL)";
    for named in scope {
        if unit.conn.prepare_cached(sql)?.query_row([named.cid], |row| row.get(0))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A new packet of the oldest ops of these collections, at most so many. `None`: nothing waits.
pub(crate) fn next_packet(unit: &mut Unit<'_>, scope: &[Arc<Named>], ops_max: usize) -> Result<Option<PacketOps>> {
    let chosen = batch::choose(unit, scope, ops_max)?;
    if chosen.is_empty() {
        return Ok(None);
    }
    let number = Traffic::draw(unit.conn)?;
    let named = batch::name(unit, &chosen, Some(number))?;
    let Some(batch) = named else { return Ok(None) };
    let ops = select(unit.conn, "WHERE batch = ?1 ORDER BY seq", [batch.number])?;
    Ok(Some(PacketOps { batch: batch.number, id: batch.id, number, ops }))
}

/// The documents among the next ops that cannot travel, because their id is no UUID.
pub(crate) fn unfit(unit: &Unit<'_>, scope: &[Arc<Named>], ops_max: usize) -> Result<Vec<Row>> {
    let mut found: Vec<Row> = Vec::new();
    for op in batch::choose(unit, scope, ops_max)? {
        let known = op.doc.is_none_or(|doc| found.iter().any(|row| row.doc == doc));
        let row = if known { None } else { op.doc.map(|doc| rows::by_doc(unit.conn, doc)).transpose()?.flatten() };
        found.extend(row.filter(|row| !is_uuid(row.id.as_str())));
    }
    Ok(found)
}
