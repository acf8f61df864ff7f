//! How far the exchange has come: counters, fills, columns that were seen.

use super::Work;
use crate::error::AttachError;
use crate::value::Cell;
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
        let row = self.first(sql, &[])?.and_then(|row| <[Cell; 8]>::try_from(row).ok());
        let Some([node, hub, issued, received, confirmed, filled_in, last_in, last_out]) = row else {
            return Err(AttachError::Packet("`sync_attached` and `sync_nodes` do not fit together".into()));
        };
        Ok(Standing {
            node: node.into_text().unwrap_or_default(),
            hub: hub.into_text().unwrap_or_default(),
            issued: issued.number().unsigned_abs(),
            received: received.number().unsigned_abs(),
            confirmed: confirmed.number().unsigned_abs(),
            filled_in: filled_in.number() != 0,
            last_in: last_in.into_text(),
            last_out: last_out.into_text(),
        })
    }

    /// From now on it is another node.
    pub(crate) fn name_node(&self, id: &str) -> Result<(), AttachError> {
        self.execute("UPDATE sync_attached SET node_id = ?1", &[id.into()])?;
        Ok(())
    }

    /// A number that no packet of this node has had.
    pub(crate) fn draw(&self) -> Result<u64, AttachError> {
        self.execute("UPDATE sync_attached SET issued = issued + 1", &[])?;
        Ok(self.standing()?.issued)
    }

    /// The hub has confirmed own packets up to a number.
    pub(crate) fn confirmed(&self, upto: u64, now: &str) -> Result<(), AttachError> {
        self.execute("UPDATE sync_attached SET issued = ?1 WHERE issued < ?1", &[upto.into()])?;
        let sql = "UPDATE sync_nodes SET sent_packet_no = ?1, last_sync_out = ?2 WHERE sent_packet_no < ?1";
        self.execute(sql, &[upto.into(), now.into()])?;
        Ok(())
    }

    /// A packet of the hub is stored.
    pub(crate) fn received(&self, number: u64, now: &str) -> Result<(), AttachError> {
        let sql = "UPDATE sync_nodes SET received_packet_no = ?1, last_sync_in = ?2";
        self.execute(sql, &[number.into(), now.into()])?;
        Ok(())
    }

    pub(crate) fn filled_in(&self) -> Result<(), AttachError> {
        self.execute("UPDATE sync_attached SET filled_in = 1", &[])?;
        Ok(())
    }

    /// The packet under way: its number and text.
    pub(crate) fn under_way(&self) -> Result<Option<(u64, String)>, AttachError> {
        let sql = "SELECT packet_no, packet FROM sync_packets ORDER BY packet_no DESC LIMIT 1";
        let row = self.first(sql, &[])?.and_then(|row| <[Cell; 2]>::try_from(row).ok());
        Ok(row.and_then(|[number, packet]| Some((number.number().unsigned_abs(), packet.into_text()?))))
    }

    /// Keeps a packet until it is confirmed; it tells the registrations up to `upto`.
    pub(crate) fn keep_packet(&self, number: u64, text: &str, upto: i64) -> Result<(), AttachError> {
        let sql = "INSERT INTO sync_packets(packet_no, packet, upto) VALUES (?1, ?2, ?3)";
        self.execute(sql, &[number.into(), text.into(), upto.into()])?;
        Ok(())
    }

    pub(crate) fn forget_packet(&self) -> Result<(), AttachError> {
        self.execute("DELETE FROM sync_packets", &[])?;
        Ok(())
    }

    /// The next type whose rows were not all registered yet, and behind which key it goes on.
    pub(crate) fn fill(&self) -> Result<Option<(String, Cell)>, AttachError> {
        let sql = "SELECT entity_type, after_key FROM sync_fill WHERE done = 0 ORDER BY entity_type LIMIT 1";
        let row = self.first(sql, &[])?.and_then(|row| <[Cell; 2]>::try_from(row).ok());
        Ok(row.and_then(|[kind, after]| Some((kind.into_text()?, after))))
    }

    /// Whether some of what stood in the tables at first contact has not been sent.
    pub(crate) fn is_filling_any(&self) -> Result<bool, AttachError> {
        Ok(self.exists("SELECT EXISTS (SELECT 1 FROM sync_fill WHERE done < 2)", &[])?)
    }

    pub(crate) fn fill_stands(&self, kind: &str, after: &Cell, done: bool) -> Result<(), AttachError> {
        let sql = "UPDATE sync_fill SET after_key = ?2, done = ?3 WHERE entity_type = ?1";
        self.execute(sql, &[kind.into(), after.into(), i64::from(done).into()])?;
        Ok(())
    }

    /// Everything that stood in the tables at first contact has been sent.
    pub(crate) fn filled_out(&self) -> Result<(), AttachError> {
        self.execute("UPDATE sync_fill SET done = 2 WHERE done = 1", &[])?;
        Ok(())
    }

    /// Registers every row of every table again.
    pub(crate) fn fill_again(&self) -> Result<(), AttachError> {
        self.execute("UPDATE sync_fill SET after_key = NULL, done = 0", &[])?;
        Ok(())
    }

    /// The fields of each type when somebody last looked; lists of lines have names of their own.
    pub(crate) fn columns_seen(&self) -> Result<BTreeMap<String, BTreeSet<String>>, AttachError> {
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in self.query("SELECT entity_type, field FROM sync_columns", &[])? {
            let mut texts = row.into_iter().filter_map(Cell::into_text);
            if let (Some(kind), Some(field)) = (texts.next(), texts.next()) {
                all.entry(kind).or_default().insert(field);
            }
        }
        Ok(all)
    }

    pub(crate) fn see_columns(&self, kind: &str, fields: &BTreeSet<String>) -> Result<(), AttachError> {
        self.execute("DELETE FROM sync_columns WHERE entity_type = ?1", &[kind.into()])?;
        for field in fields {
            let sql = "INSERT INTO sync_columns(entity_type, field) VALUES (?1, ?2)";
            self.execute(sql, &[kind.into(), field.into()])?;
        }
        Ok(())
    }
}
