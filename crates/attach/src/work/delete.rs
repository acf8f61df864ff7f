//! What the hub has removed goes from the tables.

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
        if arrivals.is_unsent(plan, &stored) {
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
        self.db.wake_triggers()?;
        self.capturing(|| {
            let before = self.last_change()?;
            self.delete_row(&plan.table, &plan.key, &key)?;
            self.unregister(&plan.kind, &stored, before)
        })?;
        if arrivals.careful {
            self.check_left_behind(plan, (&key, &row))?;
        }
        self.forget(&plan.kind, uuid)
    }

    /// Rows that still refer to a row that was removed: foreign keys that are checked at the end of a transaction would
    /// undo all of it.
    fn check_left_behind(&self, plan: &TypePlan, (key, row): (&Key, &Row)) -> Result<(), Fault> {
        for (table, column, target) in self.db.late_references(&plan.table)? {
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
