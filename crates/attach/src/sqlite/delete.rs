//! What the hub has removed goes from the tables.

use super::queue::mark_of;
use super::{Arrivals, Fault, Work};
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
        self.capture(false)?;
        done?;
        self.unregister(&plan.kind, &stored, before)?;
        self.forget(&plan.kind, uuid)
    }
}
