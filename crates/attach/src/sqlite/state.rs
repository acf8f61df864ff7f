//! How far the exchange has come: counters, fills, columns that were seen.

use super::{Work, cell_at};
use crate::error::AttachError;
use crate::value::Cell;
use rusqlite::{OptionalExtension, params};
use std::collections::{BTreeMap, BTreeSet};

/// The counters of an attached database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub node: String,
    pub hub: String,
    /// The last number given to an own packet.
    pub issued: u64,
    /// The last packet of the hub that is stored.
    pub received: u64,
    /// The last own packet that the hub has confirmed.
    pub confirmed: u64,
    /// Everything that the hub had at first contact has arrived.
    pub filled_in: bool,
    pub last_in: Option<String>,
    pub last_out: Option<String>,
}

impl Work<'_> {
    pub(crate) fn standing(&self) -> Result<Standing, AttachError> {
        let sql =
            "SELECT node_id, hub_id, issued, received_packet_no, sent_packet_no, filled_in, last_sync_in, last_sync_out
                   FROM sync_attached JOIN sync_nodes ON sync_nodes.id = hub_id";
        Ok(self.conn.prepare_cached(sql)?.query_row([], |row| {
            Ok(Standing {
                node: row.get(0)?,
                hub: row.get(1)?,
                issued: row.get(2)?,
                received: row.get(3)?,
                confirmed: row.get(4)?,
                filled_in: row.get(5)?,
                last_in: row.get(6)?,
                last_out: row.get(7)?,
            })
        })?)
    }

    /// A number that no packet of this node has had.
    pub(crate) fn draw(&self) -> Result<u64, AttachError> {
        let sql = "UPDATE sync_attached SET issued = issued + 1 RETURNING issued";
        Ok(self.conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }

    /// The hub has confirmed own packets up to a number.
    pub(crate) fn confirmed(&self, upto: u64, now: &str) -> Result<(), AttachError> {
        let sql = "UPDATE sync_attached SET issued = max(issued, ?1)";
        self.conn.prepare_cached(sql)?.execute([upto])?;
        let sql = "UPDATE sync_nodes SET sent_packet_no = ?1, last_sync_out = ?2 WHERE sent_packet_no < ?1";
        self.conn.prepare_cached(sql)?.execute(params![upto, now])?;
        Ok(())
    }

    /// A packet of the hub is stored.
    pub(crate) fn received(&self, number: u64, now: &str) -> Result<(), AttachError> {
        let sql = "UPDATE sync_nodes SET received_packet_no = ?1, last_sync_in = ?2";
        self.conn.prepare_cached(sql)?.execute(params![number, now])?;
        Ok(())
    }

    pub(crate) fn filled_in(&self) -> Result<(), AttachError> {
        self.conn.prepare_cached("UPDATE sync_attached SET filled_in = 1")?.execute([])?;
        Ok(())
    }

    /// The packet under way: its number and text.
    pub(crate) fn under_way(&self) -> Result<Option<(u64, String)>, AttachError> {
        let sql = "SELECT packet_no, packet FROM sync_packets ORDER BY packet_no DESC LIMIT 1";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        Ok(self.conn.prepare_cached(sql)?.query_row([], read).optional()?)
    }

    /// Keeps a packet until it is confirmed; it tells the registrations up to `upto`.
    pub(crate) fn keep_packet(&self, number: u64, text: &str, upto: i64) -> Result<(), AttachError> {
        let sql = "INSERT INTO sync_packets(packet_no, packet, upto) VALUES (?1, ?2, ?3)";
        self.conn.prepare_cached(sql)?.execute(params![number, text, upto])?;
        Ok(())
    }

    pub(crate) fn forget_packet(&self) -> Result<(), AttachError> {
        self.conn.prepare_cached("DELETE FROM sync_packets")?.execute([])?;
        Ok(())
    }

    /// The next type whose rows were not all registered yet, and behind which key it goes on.
    pub(crate) fn fill(&self) -> Result<Option<(String, Cell)>, AttachError> {
        let sql = "SELECT entity_type, after_key FROM sync_fill WHERE done = 0 ORDER BY entity_type LIMIT 1";
        let mut find = self.conn.prepare_cached(sql)?;
        let mut rows = find.query([])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(Some((row.get(0)?, cell_at(row, 1).unwrap_or(Cell::Null))))
    }

    pub(crate) fn fill_stands(&self, kind: &str, after: &Cell, done: bool) -> Result<(), AttachError> {
        let sql = "UPDATE sync_fill SET after_key = ?2, done = ?3 WHERE entity_type = ?1";
        self.conn.prepare_cached(sql)?.execute(params![kind, after, done])?;
        Ok(())
    }

    /// Everything that stood in the tables at first contact has been sent.
    pub(crate) fn filled_out(&self) -> Result<(), AttachError> {
        self.conn.prepare_cached("UPDATE sync_fill SET done = 2 WHERE done = 1")?.execute([])?;
        Ok(())
    }

    /// Registers every row of every table again.
    pub(crate) fn fill_again(&self) -> Result<(), AttachError> {
        self.conn.execute("UPDATE sync_fill SET after_key = NULL, done = 0", [])?;
        Ok(())
    }

    /// The fields of each type when somebody last looked; lists of lines have names of their own.
    pub(crate) fn columns_seen(&self) -> Result<BTreeMap<String, BTreeSet<String>>, AttachError> {
        let mut find = self.conn.prepare_cached("SELECT entity_type, field FROM sync_columns")?;
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut rows = find.query([])?;
        while let Some(row) = rows.next()? {
            all.entry(row.get(0)?).or_default().insert(row.get(1)?);
        }
        Ok(all)
    }

    pub(crate) fn see_columns(&self, kind: &str, fields: &BTreeSet<String>) -> Result<(), AttachError> {
        self.conn.execute("DELETE FROM sync_columns WHERE entity_type = ?1", [kind])?;
        for field in fields {
            self.conn.execute("INSERT INTO sync_columns(entity_type, field) VALUES (?1, ?2)", [kind, field])?;
        }
        Ok(())
    }
}
