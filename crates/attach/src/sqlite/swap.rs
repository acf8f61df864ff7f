//! Objects that change places in values that are to be unique: no order of single updates leads there, so such values
//! are taken out of the way first.

use super::{Fault, Known, Work};
use crate::catalogue::Affinity;
use crate::identity::new_uuid;
use crate::plan::{ColumnPlan, Refers, TypePlan};
use crate::value::Cell;

impl Work<'_> {
    /// Puts values that nobody has into the unique columns of an object's row. Checks do not look at them: they are gone
    /// before the transaction ends.
    pub(crate) fn step_aside(&self, plan: &TypePlan, uuid: &str) -> Result<(), Fault> {
        let Some(key) = self.known(&plan.kind, uuid)?.as_ref().and_then(Known::row_key) else { return Ok(()) };
        let unique = |column: &&ColumnPlan| {
            plan.uniques.iter().any(|unique| unique.contains(&column.name))
                && !plan.key.contains(&column.name)
                && column.refers == Refers::Nothing
        };
        let set: Vec<(&String, Cell)> =
            plan.columns.iter().filter(unique).map(|column| (&column.name, placeholder(column))).collect();
        self.conn.pragma_update(None, "ignore_check_constraints", true)?;
        let done = self.update_row(&plan.table, &set, (&plan.key, &key));
        self.conn.pragma_update(None, "ignore_check_constraints", false)?;
        done
    }
}

fn placeholder(column: &ColumnPlan) -> Cell {
    if !column.not_null {
        return Cell::Null;
    }
    match column.affinity {
        Affinity::Integer | Affinity::Numeric | Affinity::Real => {
            let random = uuid::Uuid::new_v4().as_u128().to_be_bytes();
            let mut low = [0; 4];
            low.copy_from_slice(&random[..4]);
            Cell::Integer(-i64::from(u32::from_be_bytes(low)) - 0x7000_0000_0000)
        }
        Affinity::Text | Affinity::None => Cell::Text(new_uuid()),
    }
}
