//! The queue of registered changes: `sync_log`, oldest first, one row for each change of the application.

use super::{Fault, Named, Work};
use crate::engine::in_pieces;
use crate::error::AttachError;
use crate::identity::Key;
use crate::plan::TypePlan;
use crate::sql::{equals, given, list, marks, quoted};
use crate::value::Cell;
use std::collections::{BTreeMap, BTreeSet};

/// Rows of the queue that are looked at for one packet, whatever its size.
const CHANGES_MIN: usize = 1_000;
/// And at most.
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
        // Some rows were changed more than once; what is read beyond the packet is read again for the next one.
        let changes = (2 * rows_max).clamp(CHANGES_MIN, CHANGES_MAX);
        let sql = format!(
            "SELECT id, entity_type, entity_key, operation, {} FROM sync_log
             WHERE packet_no IS NULL ORDER BY id LIMIT {changes}",
            self.db.spellings().made_at
        );
        let mut places: Named<usize> = Named::default();
        let mut gone: BTreeSet<usize> = BTreeSet::new();
        let (mut all, mut upto): (Vec<Folded>, i64) = (Vec::new(), 0);
        for row in self.query(&sql, &[])? {
            let Ok([id, kind, key, operation, at]) = <[Cell; 5]>::try_from(row) else { continue };
            let (id, kind) = (id.number(), kind.into_text().unwrap_or_default());
            let mark = mark_of(&key);
            let place = match places.get(&kind, &mark) {
                Some(place) => *place,
                None if all.len() == rows_max => break,
                None => {
                    places.insert(&kind, mark, all.len());
                    all.push(Folded { kind, key, first: id, at: String::new(), reborn: false });
                    all.len() - 1
                }
            };
            all[place].at = at.into_text().unwrap_or_default();
            match operation.into_text().as_deref() {
                Some("DELETE") => drop(gone.insert(place)),
                Some("INSERT") => all[place].reborn |= gone.contains(&place),
                _ => {}
            }
            upto = id;
        }
        Ok((all, upto))
    }

    /// Whether changes wait that no packet holds.
    pub(crate) fn is_waiting(&self) -> Result<bool, AttachError> {
        Ok(self.exists("SELECT EXISTS (SELECT 1 FROM sync_log WHERE packet_no IS NULL)", &[])?)
    }

    /// Registrations up to here travel in a packet.
    pub(crate) fn send_changes(&self, upto: i64, packet: u64) -> Result<(), AttachError> {
        let sql = "UPDATE sync_log SET packet_no = ?2 WHERE packet_no IS NULL AND id <= ?1";
        self.execute(sql, &[upto.into(), packet.into()])?;
        Ok(())
    }

    /// Registrations up to here say nothing new.
    pub(crate) fn drop_changes(&self, upto: i64) -> Result<(), AttachError> {
        let sql = "DELETE FROM sync_log WHERE packet_no IS NULL AND id <= ?1";
        self.capturing(|| self.execute(sql, &[upto.into()]))?;
        Ok(())
    }

    /// The hub has what stood in the packet under way.
    pub(crate) fn confirm_changes(&self) -> Result<(), AttachError> {
        let sql = "DELETE FROM sync_log WHERE id <= (SELECT max(upto) FROM sync_packets) AND packet_no IS NOT NULL";
        self.capturing(|| self.execute(sql, &[]))?;
        Ok(())
    }

    /// The packet under way was given up: its registrations wait again.
    pub(crate) fn release_changes(&self) -> Result<(), AttachError> {
        let sql = "UPDATE sync_log SET packet_no = NULL WHERE id <= (SELECT max(upto) FROM sync_packets)";
        self.execute(sql, &[])?;
        Ok(())
    }

    /// Does what counts as a change of the application, or changes the queue itself.
    pub(crate) fn capturing<T>(&self, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        self.db.capture(true)?;
        let done = work()?;
        self.db.capture(false)?;
        Ok(done)
    }

    /// Registers a row as the application's triggers would.
    pub(crate) fn register(&self, kind: &str, key: &Cell, operation: &str) -> Result<(), Fault> {
        let sql = "INSERT INTO sync_log(entity_type, entity_key, operation) VALUES (?1, ?2, ?3)";
        self.capturing(|| self.execute(sql, &[kind.into(), key.into(), operation.into()]))?;
        Ok(())
    }

    /// What was registered of one row after a moment is no change of the application's.
    pub(crate) fn unregister(&self, kind: &str, key: &Cell, after: i64) -> Result<(), Fault> {
        let sql = "DELETE FROM sync_log WHERE id > ?3 AND entity_type = ?1 AND entity_key = ?2";
        self.execute(sql, &[kind.into(), key.into(), after.into()])?;
        Ok(())
    }

    /// The newest registration.
    pub(crate) fn last_change(&self) -> Result<i64, Fault> {
        let row = self.first("SELECT coalesce(max(id), 0) FROM sync_log", &[])?;
        Ok(row.map_or(0, |row| row[0].number()))
    }

    /// Rows with changes that no packet holds, of these objects and of those that were set aside. Of others there may be
    /// very many.
    pub(crate) fn unsent(&self, uuids: &[&str]) -> Result<Named<()>, AttachError> {
        let sql = "SELECT DISTINCT l.entity_type, l.entity_key FROM sync_log AS l JOIN sync_entities AS o
                   ON o.entity_type = l.entity_type AND o.entity_key = l.entity_key
                   WHERE l.packet_no IS NULL AND";
        let of_aside = format!("{sql} o.entity_uuid IN (SELECT entity_uuid FROM sync_aside WHERE direction = 'in')");
        let mut rows = if self.has_asides()? { self.query(&of_aside, &[])? } else { Vec::new() };
        let uuids: Vec<_> = uuids.iter().map(|uuid| vec![(*uuid).into()]).collect();
        let of_these = |condition: &str| format!("{sql} {condition}");
        // The queue has no index by rows: it is gone through once for many.
        rows.extend(in_pieces(self.db, &[&"entity_uuid".to_owned()], &uuids, &[], &of_these)?);
        let mut unsent = Named::default();
        for row in rows {
            let Ok([kind, key]) = <[Cell; 2]>::try_from(row) else { continue };
            unsent.insert(&kind.into_text().unwrap_or_default(), mark_of(&key), ());
        }
        Ok(unsent)
    }

    /// How many changes wait, by type.
    pub(crate) fn backlog(&self) -> Result<BTreeMap<String, u64>, AttachError> {
        let rows = self.query("SELECT entity_type, count(*) FROM sync_log GROUP BY entity_type", &[])?;
        let count = |row: Vec<Cell>| {
            let [kind, count] = <[Cell; 2]>::try_from(row).ok()?;
            Some((kind.into_text()?, count.number().unsigned_abs()))
        };
        Ok(rows.into_iter().filter_map(count).collect())
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
                Some((format!(" WHERE ({columns}) > ({})", marks(key.0.len())), key))
            }
            _ => None,
        };
        let (condition, key) = behind.map_or((String::new(), Key(Vec::new())), |(sql, key)| (sql, key));
        let chosen = format!(
            "SELECT {} AS k FROM {}{condition} ORDER BY {columns} LIMIT {rows_max}",
            self.db.key_sql(plan, ""),
            quoted(&plan.table)
        );
        let rows = self.query(&chosen, &given(&key.0))?;
        let is_full = rows.len() == rows_max;
        // A key that cannot be read belongs to no row that could be.
        let keys: Vec<Cell> = rows.into_iter().flatten().filter(|stored| *stored != Cell::Garbled).collect();
        let columns = ["entity_type", "entity_key", "operation"].map(str::to_owned);
        let registered: Vec<_> =
            keys.iter().map(|key| vec![(&plan.kind).into(), key.into(), "UPDATE".into()]).collect();
        self.capturing(|| self.db.insert_rows("sync_log", &columns.each_ref(), &registered))?;
        Ok((keys.last().filter(|_| is_full).cloned(), keys.len() as u64))
    }

    /// Registers rows that were exchanged and are not there any more.
    pub(crate) fn register_missing(&self, plan: &TypePlan) -> Result<(), AttachError> {
        let sql = format!(
            "INSERT INTO sync_log(entity_type, entity_key, operation) SELECT entity_type, entity_key, 'DELETE'
             FROM sync_entities WHERE entity_type = ?1 AND entity_key IS NOT NULL
             AND entity_key NOT IN (SELECT {} FROM {})",
            self.db.key_sql(plan, ""),
            quoted(&plan.table)
        );
        self.capturing(|| self.execute(&sql, &[(&plan.kind).into()]))?;
        Ok(())
    }

    /// Whether a row of a table has this value.
    pub(crate) fn has_row(&self, table: &str, column: &String, value: &Cell) -> Result<bool, Fault> {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {} WHERE {})", quoted(table), equals([column], 1));
        self.exists(&sql, &[value.into()])
    }
}
