//! What the hub has removed goes from the tables.

use super::queue::mark_of;
use super::rows::Row;
use super::{Arrivals, Fault, Work};
use crate::identity::Key;
use crate::plan::TypePlan;
use crate::value::Cell;

impl Work<'_> {
    /// Takes an object away. Rows of other objects that go with it, by rules of the application's own, are changes of
    /// this database and registered as such.
    pub(crate) fn remove(&self, plan: &TypePlan, uuid: &str, arrivals: &Arrivals) -> Result<(), Fault> {
        self.not_aside("in", &plan.kind, uuid)?;
        let Some(known) = self.known(&plan.kind, uuid)? else { return Ok(()) };
        let Some((key, row)) =
            known.row_key().and_then(|key| Some((key.clone(), self.read_row(plan, &key).transpose()?)))
        else {
            return self.forget(&plan.kind, uuid);
        };
        let (row, stored) = (row?, key.stored());
        if arrivals.unsent.contains(&(plan.kind.clone(), mark_of(&stored))) {
            // An edit that the hub has not seen: it decides whether the object comes back.
            return self.keep(&plan.kind, uuid, Some(&stored), None);
        }
        if let Some(place) = plan.is_deleted {
            self.update_row(&plan.table, &[(&plan.columns[place].name, Cell::Integer(1))], (&plan.key, &key))?;
            return self.keep_gone(&plan.kind, uuid);
        }
        for (lines, link) in plan.lines.iter().zip(&row.links) {
            for line in self.read_lines(lines, link)? {
                self.delete_row(&lines.table, &lines.key, &line.key)?;
            }
        }
        let before = self.last_change()?;
        self.capture(true)?;
        let done = self.delete_row(&plan.table, &plan.key, &key);
        if done.is_err() && self.is_undone() {
            return done.map(drop);
        }
        self.capture(false)?;
        done?;
        if arrivals.careful {
            self.check_left_behind(plan, (&key, &row))?;
        }
        self.unregister(&plan.kind, &stored, before)?;
        self.forget(&plan.kind, uuid)
    }
    /// Rows that still refer to a row that was removed: foreign keys that are checked at the end of a transaction would
    /// undo all of it.
    fn check_left_behind(&self, plan: &TypePlan, (key, row): (&Key, &Row)) -> Result<(), Fault> {
        let sql = "SELECT m.name, f.\"from\", f.\"to\" FROM sqlite_schema AS m, pragma_foreign_key_list(m.name) AS f
                   WHERE m.type = 'table' AND f.\"table\" = ?1 COLLATE NOCASE
                   AND f.id NOT IN (SELECT id FROM pragma_foreign_key_list(m.name) WHERE seq > 0)";
        let references: Vec<(String, String, Option<String>)> = {
            let mut find = self.conn.prepare_cached(sql)?;
            let rows = find.query_map([&plan.table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for (table, column, target) in references {
            let target = target.as_ref().unwrap_or(&plan.key[0]);
            let of_key = plan.key.iter().position(|name| name.eq_ignore_ascii_case(target)).map(|n| &key.0[n]);
            let named = plan.uuid.as_ref().filter(|(name, _)| name.eq_ignore_ascii_case(target));
            let of_column = plan.columns.iter().position(|column| column.name.eq_ignore_ascii_case(target));
            let value = of_key.or(named.and(row.uuid.as_ref())).or(of_column.map(|n| &row.cells[n]));
            if let Some(value) = value
                && self.has_row(&table, &column, value)?
            {
                let reason = format!("rows of `{table}` refer to it by `{column}`");
                return Err(Fault::aside("foreign_key", reason));
            }
        }
        Ok(())
    }
}
