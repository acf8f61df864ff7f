//! Objects that change places in values that are to be unique: no order of single updates leads there, so such values
//! are taken out of the way first.

use super::{Fault, Known, Work};
use crate::catalogue::Affinity;
use crate::identity::new_uuid;
use crate::mapping::Form;
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
        self.db.unchecked(&mut || self.update_row(&plan.table, &set, (&plan.key, &key)))
    }
}

fn placeholder(column: &ColumnPlan) -> Cell {
    if !column.not_null {
        return Cell::Null;
    }
    let random = fastrand::u32(1..);
    let declared = column.declared.to_lowercase();
    match (column.affinity, &*declared) {
        (Affinity::Integer, "smallint") => Cell::Integer(-i64::from(random >> 17) - 1),
        (Affinity::Integer, "integer") => Cell::Integer(-i64::from(random >> 1) - 1),
        (Affinity::Integer | Affinity::Numeric | Affinity::Real, _) => {
            Cell::Integer(-i64::from(random) - 0x7000_0000_0000)
        }
        (Affinity::Text, _) if column.form == Form::Decimal => Cell::Text(format!("-{}", random >> 12)),
        (Affinity::Text, _) if declared.starts_with("date") || declared.starts_with("timestamp") => {
            Cell::Text(format!("{}-01-01", 5_000 + random % 200_000))
        }
        _ => Cell::Text(unlikely(&declared).unwrap_or_else(new_uuid)),
    }
}

/// A text of exactly the length that a type allows, of letters that nobody uses.
fn unlikely(declared: &str) -> Option<String> {
    let (of, length) = declared.trim_end_matches(')').split_once('(')?;
    let length: usize = length.parse().ok().filter(|length| of.contains("char") && *length < 36)?;
    Some((0..length).map(|_| fastrand::char('\u{f0000}'..='\u{ffffd}')).collect())
}
