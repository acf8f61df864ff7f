//! The queue of registered changes: `sync_log`, oldest first, one row for each change of the application.

use super::{Fault, Work, cell_at, equals, list, quoted};
use crate::error::AttachError;
use crate::identity::Key;
use crate::plan::TypePlan;
use crate::value::Cell;
use rusqlite::params;
use std::collections::{BTreeMap, BTreeSet};

/// Rows of the queue that are looked at for one packet.
const CHANGES_MAX: usize = 20_000;

/// What was registered of one row, taken together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Folded {
    pub kind: String,
    pub key: Cell,
    /// The first registration.
    pub first: i64,
    /// When the last change was made.
    pub at: String,
    /// The row went away and came back: where keys are numbers it is another one.
    pub reborn: bool,
}

/// Tells rows apart by their keys.
pub(crate) fn mark_of(key: &Cell) -> String {
    match key {
        Cell::Integer(number) => number.to_string(),
        Cell::Text(text) => text.clone(),
        _ => String::new(),
    }
}

impl Work<'_> {
    /// The oldest registrations, by row, at most so many rows. Also the last registration that was looked at.
    pub(crate) fn waiting(&self, rows_max: usize) -> Result<(Vec<Folded>, i64), AttachError> {
        let sql = "SELECT id, entity_type, entity_key, operation, strftime('%Y-%m-%dT%H:%M:%fZ', made_at) FROM sync_log
                   WHERE packet_no IS NULL ORDER BY id LIMIT ?1";
        let mut find = self.conn.prepare_cached(sql)?;
        let mut rows = find.query([CHANGES_MAX])?;
        let mut places: BTreeMap<(String, String), usize> = BTreeMap::new();
        let mut gone: BTreeSet<usize> = BTreeSet::new();
        let (mut all, mut upto): (Vec<Folded>, i64) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let (id, kind, operation): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(3)?);
            // A key that cannot be read belongs to no row that could be.
            let key = cell_at(row, 2).unwrap_or(Cell::Null);
            let name = (kind.clone(), mark_of(&key));
            let place = match places.get(&name) {
                Some(place) => *place,
                None if all.len() == rows_max => break,
                None => {
                    places.insert(name, all.len());
                    all.push(Folded { kind, key, first: id, at: String::new(), reborn: false });
                    all.len() - 1
                }
            };
            all[place].at = row.get(4)?;
            match operation.as_str() {
                "DELETE" => drop(gone.insert(place)),
                "INSERT" => all[place].reborn |= gone.contains(&place),
                _ => {}
            }
            upto = id;
        }
        Ok((all, upto))
    }

    /// Registrations up to here travel in a packet.
    pub(crate) fn send_changes(&self, upto: i64, packet: u64) -> Result<(), AttachError> {
        let sql = "UPDATE sync_log SET packet_no = ?2 WHERE packet_no IS NULL AND id <= ?1";
        self.conn.prepare_cached(sql)?.execute(params![upto, packet])?;
        Ok(())
    }

    /// Registrations up to here say nothing new.
    pub(crate) fn drop_changes(&self, upto: i64) -> Result<(), AttachError> {
        let sql = "DELETE FROM sync_log WHERE packet_no IS NULL AND id <= ?1";
        self.conn.prepare_cached(sql)?.execute([upto])?;
        Ok(())
    }

    /// The hub has what stood in the packet under way.
    pub(crate) fn confirm_changes(&self) -> Result<(), AttachError> {
        let sql = "DELETE FROM sync_log WHERE id <= (SELECT max(upto) FROM sync_packets) AND packet_no IS NOT NULL";
        self.conn.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// The packet under way was given up: its registrations wait again.
    pub(crate) fn release_changes(&self) -> Result<(), AttachError> {
        let sql = "UPDATE sync_log SET packet_no = NULL WHERE id <= (SELECT max(upto) FROM sync_packets)";
        self.conn.execute(sql, [])?;
        Ok(())
    }

    pub(crate) fn register(&self, kind: &str, key: &Cell, operation: &str) -> Result<(), Fault> {
        let sql = "INSERT INTO sync_log(entity_type, entity_key, operation) VALUES (?1, ?2, ?3)";
        self.conn.prepare_cached(sql)?.execute(params![kind, key, operation])?;
        Ok(())
    }

    /// What was registered of one row after a moment is no change of the application's.
    pub(crate) fn unregister(&self, kind: &str, key: &Cell, after: i64) -> Result<(), Fault> {
        let sql = "DELETE FROM sync_log WHERE id > ?3 AND entity_type = ?1 AND entity_key IS ?2";
        self.conn.prepare_cached(sql)?.execute(params![kind, key, after])?;
        Ok(())
    }

    /// The newest registration.
    pub(crate) fn last_change(&self) -> Result<i64, Fault> {
        let sql = "SELECT ifnull(max(id), 0) FROM sync_log";
        Ok(self.conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }

    /// Rows with changes that no packet holds.
    pub(crate) fn unsent(&self) -> Result<BTreeSet<(String, String)>, AttachError> {
        let sql = "SELECT DISTINCT entity_type, entity_key FROM sync_log WHERE packet_no IS NULL";
        let mut find = self.conn.prepare_cached(sql)?;
        let rows = find.query_map([], |row| Ok((row.get(0)?, mark_of(&cell_at(row, 1).unwrap_or(Cell::Null)))))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// How many changes wait, by type.
    pub(crate) fn backlog(&self) -> Result<BTreeMap<String, u64>, AttachError> {
        let mut find = self.conn.prepare_cached("SELECT entity_type, count(*) FROM sync_log GROUP BY 1")?;
        let rows = find.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Registers the rows of a table behind a key, at most so many, whether they have changed or not. The last key, or
    /// `None` where there were no more; and how many they were.
    pub(crate) fn register_rows(
        &self,
        plan: &TypePlan,
        after: &Cell,
        rows_max: usize,
    ) -> Result<(Option<Cell>, u64), AttachError> {
        let columns = list(&plan.key);
        let behind = match Key::parse(after) {
            Some(key) if key.0.len() == plan.key.len() => {
                let marks = (1..=key.0.len()).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
                Some((format!(" WHERE ({columns}) > ({marks})"), key))
            }
            _ => None,
        };
        let (condition, key) = behind.map_or((String::new(), Key(Vec::new())), |(sql, key)| (sql, key));
        let chosen = format!(
            "SELECT {} AS k FROM {}{condition} ORDER BY {columns} LIMIT {rows_max}",
            plan.key_sql(""),
            quoted(&plan.table)
        );
        let mut find = self.conn.prepare_cached(&chosen)?;
        let mut rows = find.query(&*key.parameters())?;
        let (mut last, mut count) = (None, 0);
        while let Some(row) = rows.next()? {
            let Ok(stored) = cell_at(row, 0) else { continue };
            let sql = "INSERT INTO sync_log(entity_type, entity_key, operation) VALUES (?1, ?2, 'UPDATE')";
            self.conn.prepare_cached(sql)?.execute(params![plan.kind, stored])?;
            (last, count) = (Some(stored), count + 1);
        }
        Ok((last.filter(|_| count == rows_max as u64), count))
    }

    /// Registers rows that were exchanged and are not there any more.
    pub(crate) fn register_missing(&self, plan: &TypePlan) -> Result<(), AttachError> {
        let sql = format!(
            "INSERT INTO sync_log(entity_type, entity_key, operation) SELECT entity_type, entity_key, 'DELETE'
             FROM sync_entities WHERE entity_type = ?1 AND entity_key IS NOT NULL
             AND entity_key NOT IN (SELECT {} FROM {})",
            plan.key_sql(""),
            quoted(&plan.table)
        );
        self.conn.execute(&sql, [&plan.kind])?;
        Ok(())
    }

    /// Whether a row of a table has this value.
    pub(crate) fn has_row(&self, table: &str, column: &String, value: &Cell) -> Result<bool, Fault> {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {} WHERE {})", quoted(table), equals([column], 1));
        Ok(self.conn.prepare_cached(&sql)?.query_row([value], |row| row.get(0))?)
    }
}
