//! Rows as the fields of objects, and what of them the hub does not have yet (step 2 of the life of a change).

use super::rows::{Line, Row};
use super::{Fault, Work};
use crate::identity::{Key, UuidForm};
use crate::plan::{ColumnPlan, LinesPlan, Refers, TypePlan};
use crate::value::{self, Cell, from_json, to_json};
use serde_json::value::RawValue;
use syncline_core::model::{Fields, Value};

impl Work<'_> {
    /// The whole object that a row is.
    pub(crate) fn fields(&self, plan: &TypePlan, row: &Row) -> Result<Fields, Fault> {
        self.changed(plan, "", row, &Fields::default())
    }

    /// The fields in which a row differs from what the hub has.
    pub(crate) fn changed(&self, plan: &TypePlan, uuid: &str, row: &Row, base: &Fields) -> Result<Fields, Fault> {
        let whole = base.is_empty();
        let mut changed = Fields::default();
        for (column, cell) in plan.columns.iter().zip(&row.cells) {
            if whole || !self.stands(column, cell, base.get(&column.field), uuid)? {
                changed.set(&column.field, self.wire(column, cell)?);
            }
        }
        for (lines, link) in plan.lines.iter().zip(&row.links) {
            let ours = self.read_lines(lines, link)?;
            let theirs = listed(base.get(&lines.field)).unwrap_or_default();
            if whole || !self.same_lines(lines, &ours, &theirs)? {
                changed.set(&lines.field, self.lines_wire(lines, &ours, &theirs)?);
            }
        }
        Ok(changed)
    }

    /// Whether a column holds what a field says.
    fn stands(&self, column: &ColumnPlan, cell: &Cell, field: Option<&RawValue>, uuid: &str) -> Result<bool, Fault> {
        let Some(field) = field else { return Ok(*cell == Cell::Null) };
        match &column.refers {
            Refers::Key { .. } | Refers::Uuid { .. } if *cell == Cell::Null => {
                Ok(field.get() == "null" || self.awaits(uuid, &column.field)?)
            }
            Refers::Key { .. } | Refers::Uuid { .. } => {
                Ok(self.wire(column, cell)?.get().eq_ignore_ascii_case(field.get()))
            }
            _ => match from_json(column.form, column.affinity, field) {
                Ok(said) if said == *cell => Ok(true),
                Ok(Cell::Null) | Err(_) => Ok(false),
                Ok(said) => Ok(*cell != Cell::Null && self.db.held(column, said)? == *cell),
            },
        }
    }

    /// A column's value as JSON.
    pub(crate) fn wire(&self, column: &ColumnPlan, cell: &Cell) -> Result<Value, Fault> {
        match &column.refers {
            _ if *cell == Cell::Null => Ok(value::raw("null")),
            Refers::Key { kind } => {
                let plan = self.plan.named(kind).expect("references were resolved against the mapping");
                let key = Key(vec![cell.clone()]).stored();
                let uuid = self.identify(plan, &key)?.ok_or_else(|| dangling(column, cell, &plan.table))?;
                Ok(value::text(&uuid))
            }
            Refers::Uuid { kind, .. } => {
                let uuid = UuidForm::read(cell).ok_or_else(|| dangling(column, cell, kind))?;
                Ok(value::text(&uuid))
            }
            _ => Ok(to_json(column.form, cell)),
        }
    }

    fn same_lines(&self, plan: &LinesPlan, ours: &[Line], theirs: &[Fields]) -> Result<bool, Fault> {
        if ours.len() != theirs.len() {
            return Ok(false);
        }
        for (n, line) in ours.iter().enumerate() {
            let Some(other) = partner(plan, line, n, theirs) else { return Ok(false) };
            for (column, cell) in plan.columns.iter().zip(&line.cells) {
                if !self.stands(column, cell, other.get(&column.field), "")? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The lines as a list. What the hub's lines say beyond the columns is kept.
    fn lines_wire(&self, plan: &LinesPlan, ours: &[Line], theirs: &[Fields]) -> Result<Value, Fault> {
        let mut texts = Vec::with_capacity(ours.len());
        for (n, line) in ours.iter().enumerate() {
            let mut object = partner(plan, line, n, theirs).cloned().unwrap_or_default();
            for (column, cell) in plan.columns.iter().zip(&line.cells) {
                if !self.stands(column, cell, object.get(&column.field), "")? || object.get(&column.field).is_none() {
                    object.set(&column.field, self.wire(column, cell)?);
                }
            }
            texts.push(object.to_text());
        }
        Ok(value::raw(&format!("[{}]", texts.join(","))))
    }

    /// Whether a reference waits for its target, so that the column is empty for now.
    fn awaits(&self, uuid: &str, field: &str) -> Result<bool, Fault> {
        if self.quiet.get() {
            return Ok(false);
        }
        let sql = "SELECT EXISTS (SELECT 1 FROM sync_references WHERE entity_uuid = ?1 AND field = ?2)";
        self.exists(sql, &[uuid.into(), field.into()])
    }
}

/// The hub's line that is the same one as a line here.
pub(crate) fn partner<'f>(plan: &LinesPlan, line: &Line, place: usize, theirs: &'f [Fields]) -> Option<&'f Fields> {
    if plan.matching.is_empty() {
        return theirs.get(place);
    }
    theirs.iter().find(|other| same_line(plan, &line.cells, other))
}

/// Whether the columns that tell lines apart say the same.
pub(crate) fn same_line(plan: &LinesPlan, cells: &[Cell], other: &Fields) -> bool {
    plan.matching.iter().all(|place| {
        let column = &plan.columns[*place];
        let held = other.get(&column.field).map(|field| from_json(column.form, column.affinity, field));
        cells[*place] != Cell::Null && held.is_some_and(|held| held.as_ref() == Ok(&cells[*place]))
    })
}

/// A field that is a list of objects; `None`: it is not there, or something else.
pub(crate) fn listed(field: Option<&RawValue>) -> Option<Vec<Fields>> {
    serde_json::from_str(field?.get()).ok()
}

fn dangling(column: &ColumnPlan, cell: &Cell, target: &str) -> Fault {
    Fault::aside(
        "no_target",
        format!("column `{}` refers to `{cell:?}` of `{target}`, which is not there", column.name),
    )
}
