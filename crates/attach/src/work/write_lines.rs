//! Lists inside objects become rows of child tables.

use super::put::Meant;
use super::rows::Line;
use super::wire::{listed, same_line};
use super::{Arrivals, Fault, Work};
use crate::plan::{ColumnPlan, LinesPlan};
use crate::value::Cell;
use serde_json::value::RawValue;
use syncline_core::model::Fields;

/// The cells of a line, by the plan's columns; `None`: the line does not say.
pub(super) type LineCells = Vec<Option<Cell>>;

impl Work<'_> {
    /// The lines of a row become those of a list; `before` is what the list was when it was last heard of.
    pub(crate) fn write_lines(
        &self,
        plan: &LinesPlan,
        link: &Cell,
        (now, before): (Option<&RawValue>, Option<&RawValue>),
        arrivals: &Arrivals,
    ) -> Result<(), Fault> {
        let Some(list) = wished(plan, now, before)? else { return Ok(()) };
        let wanted = list.iter().map(|line| self.line_cells(plan, line, arrivals)).collect::<Result<Vec<_>, _>>()?;
        let ours = self.read_lines(plan, link)?;
        match self.within("lines", || self.pair_lines(plan, link, (&ours, &list, &wanted))) {
            // Values that are to be unique change places: all lines are made anew.
            Err(fault) if fault.is_taken() => self.renew_lines(plan, link, &ours, &wanted),
            done => done,
        }
    }

    /// Lines that are the same stay rows, the others come and go.
    fn pair_lines(
        &self,
        plan: &LinesPlan,
        link: &Cell,
        (ours, list, wanted): (&[Line], &[Fields], &[LineCells]),
    ) -> Result<(), Fault> {
        let (pairs, gone) = paired(plan, ours, list);
        for line in gone {
            self.delete_row(&plan.table, &plan.key, &line.key)?;
        }
        for (line, cells) in pairs.into_iter().zip(wanted) {
            match line {
                Some(line) => {
                    self.update_row(&plan.table, &differing_line(plan, cells, line), (&plan.key, &line.key))?;
                }
                None => self.insert_line(plan, link, cells)?,
            }
        }
        Ok(())
    }

    fn renew_lines(&self, plan: &LinesPlan, link: &Cell, ours: &[Line], wanted: &[LineCells]) -> Result<(), Fault> {
        for line in ours {
            self.delete_row(&plan.table, &plan.key, &line.key)?;
        }
        wanted.iter().try_for_each(|cells| self.insert_line(plan, link, cells))
    }

    fn insert_line(&self, plan: &LinesPlan, link: &Cell, cells: &LineCells) -> Result<(), Fault> {
        self.insert_row(&plan.table, &line_row(plan, link, cells))
    }

    pub(super) fn line_cells(&self, plan: &LinesPlan, line: &Fields, arrivals: &Arrivals) -> Result<LineCells, Fault> {
        let cell = |column: &ColumnPlan| match line.get(&column.field) {
            None => Ok(None),
            Some(field) => match self.meant(column, field, arrivals)? {
                Meant::Cell(cell) => Ok(Some(cell)),
                Meant::Later { kind, uuid } => Err(Fault::Waits { kind, uuid }),
            },
        };
        plan.columns.iter().map(cell).collect()
    }
}

/// The list that the lines are to become; `None`: nothing was ever said of it.
pub(super) fn wished(
    plan: &LinesPlan,
    now: Option<&RawValue>,
    before: Option<&RawValue>,
) -> Result<Option<Vec<Fields>>, Fault> {
    Ok(Some(match now {
        None if before.is_none() => return Ok(None),
        None => Vec::new(),
        Some(field) if field.get() == "null" => Vec::new(),
        Some(field) => listed(Some(field))
            .ok_or_else(|| Fault::aside("no_list", format!("field `{}` is to be a list of objects", plan.field)))?,
    }))
}

/// For each line of a list the one here that it is; also those that are none of them.
pub(super) fn paired<'l>(
    plan: &LinesPlan,
    ours: &'l [Line],
    list: &[Fields],
) -> (Vec<Option<&'l Line>>, Vec<&'l Line>) {
    let mut free: Vec<Option<&Line>> = ours.iter().map(Some).collect();
    let mut pairs: Vec<Option<&Line>> = Vec::with_capacity(list.len());
    for (n, object) in list.iter().enumerate() {
        let place = match plan.matching.is_empty() {
            true => (n < free.len()).then_some(n),
            false => free.iter().position(|line| line.is_some_and(|line| same_line(plan, &line.cells, object))),
        };
        pairs.push(place.and_then(|place| free[place].take()));
    }
    (pairs, free.into_iter().flatten().collect())
}

/// The columns of a line that are to be set.
pub(super) fn differing_line<'p>(plan: &'p LinesPlan, cells: &LineCells, line: &Line) -> Vec<(&'p String, Cell)> {
    let columns = plan.columns.iter().zip(cells).zip(&line.cells);
    let differs = columns.filter_map(|((column, new), old)| {
        let new = new.as_ref().unwrap_or(&Cell::Null);
        (new != old && !(column.not_null && *new == Cell::Null)).then(|| (&column.name, new.clone()))
    });
    differs.collect()
}

/// The columns of a new line.
pub(super) fn line_row<'p>(plan: &'p LinesPlan, link: &Cell, cells: &LineCells) -> Vec<(&'p String, Cell)> {
    let mut set = vec![(&plan.parent.0, link.clone())];
    let given = plan.columns.iter().zip(cells);
    set.extend(given.filter_map(|(column, cell)| Some((&column.name, cell.clone()?))));
    set
}
