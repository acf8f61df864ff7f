//! An object of the hub becomes a row (step 9 of the life of a change).

use super::queue::mark_of;
use super::rows::Row;
use super::{Fault, Known, Named, Work};
use crate::error::AttachError;
use crate::identity::Key;
use crate::plan::{ColumnPlan, Refers, TypePlan};
use crate::value::{Cell, from_json};
use serde_json::value::RawValue;
use std::borrow::Cow;
use syncline_core::model::{Fields, Rejection};
use syncline_core::wire::exchange::is_uuid;

/// What arrives together, and what must not be overwritten by it.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// A reference counts only when its target's row is there; else a target that arrives in the same packet is enough.
    pub careful: bool,
    /// Objects of this packet that are no row yet, and the numbers that their rows will have.
    pub arriving: Named<Option<i64>>,
    /// Rows with own changes that no packet holds yet.
    pub unsent: Named<()>,
    /// Objects for which the application undoes whole transactions, and why.
    pub barred: Named<Rejection>,
    /// When this happens.
    pub now: String,
}

/// Columns with the cells to write, and references that wait.
pub(super) type Planned<'p> = (Vec<(&'p String, Cell)>, Vec<Later<'p>>);

/// A reference whose column stays empty until its target arrives.
pub(super) struct Later<'p> {
    column: &'p ColumnPlan,
    kind: String,
    uuid: String,
}

/// What a field would be in its column.
pub(crate) enum Meant {
    Cell(Cell),
    Later { kind: String, uuid: String },
}

impl Arrivals {
    /// Whether the application has changed a row, and no packet holds it.
    pub(super) fn is_unsent(&self, plan: &TypePlan, key: &Cell) -> bool {
        !self.unsent.is_empty() && self.unsent.contains(&plan.kind, &mark_of(key))
    }
}

impl Work<'_> {
    /// Stores an object as the hub has it.
    pub(crate) fn put(&self, plan: &TypePlan, uuid: &str, data: &Fields, arrivals: &Arrivals) -> Result<(), Fault> {
        let known = self.known(&plan.kind, uuid)?;
        if let Some(key) = known.as_ref().and_then(Known::row_key)
            && let Some(row) = self.read_row(plan, &key)?
        {
            return match known.and_then(|known| known.base) {
                Some(base) => self.renew(plan, (uuid, &key, &row), data, &base, arrivals),
                None => self.meet(plan, (uuid, &key, &row), data, arrivals),
            };
        }
        match self.twin(plan, uuid, data, arrivals)? {
            Some((key, row)) => self.meet(plan, (uuid, &key, &row), data, arrivals),
            None => self.make(plan, uuid, data, arrivals),
        }
    }

    /// A row that was exchanged before: own changes that were not sent yet stay on top.
    fn renew(
        &self,
        plan: &TypePlan,
        (uuid, key, row): (&str, &Key, &Row),
        data: &Fields,
        base: &Fields,
        arrivals: &Arrivals,
    ) -> Result<(), Fault> {
        let own = if arrivals.is_unsent(plan, &key.stored()) {
            self.changed(plan, uuid, row, base)?
        } else {
            Fields::default()
        };
        self.write_over(plan, (uuid, key, row), (data, Some(base)), &own, arrivals)
    }

    /// The row becomes what the fields say, but for those that are in `own`.
    pub(crate) fn write_over(
        &self,
        plan: &TypePlan,
        (uuid, key, row): (&str, &Key, &Row),
        (data, base): (&Fields, Option<&Fields>),
        own: &Fields,
        arrivals: &Arrivals,
    ) -> Result<(), Fault> {
        let (set, later) = self.differing(plan, row, (data, base), own, arrivals)?;
        self.update_row(&plan.table, &set, (&plan.key, key))?;
        let moved = plan.key.iter().zip(&key.0).map(|(name, old)| {
            let column = plan.columns.iter().find(|column| column.name == *name);
            match column.zip(set.iter().find(|(column, _)| *column == name)) {
                Some((column, (_, cell))) => self.db.held(column, cell.clone()),
                None => Ok(old.clone()),
            }
        });
        let moved = Key(moved.collect::<Result<_, _>>()?);
        for (lines, link) in plan.lines.iter().zip(&row.links) {
            if own.get(&lines.field).is_none() {
                let before = base.and_then(|base| base.get(&lines.field));
                self.write_lines(lines, link, (data.get(&lines.field), before), arrivals)?;
            }
        }
        self.settle(plan, uuid, &moved.stored(), data, &later)
    }

    /// The columns of a row that are to be written, but for fields that are in `own`, and references that wait.
    pub(super) fn differing<'p>(
        &self,
        plan: &'p TypePlan,
        row: &Row,
        (data, base): (&Fields, Option<&Fields>),
        own: &Fields,
        arrivals: &Arrivals,
    ) -> Result<Planned<'p>, Fault> {
        let (mut set, mut later) = (Vec::new(), Vec::new());
        for (column, cell) in plan.columns.iter().zip(&row.cells) {
            if own.get(&column.field).is_some() {
                continue;
            }
            let meant = match data.get(&column.field) {
                Some(field) if refers_as_before(column, (field, base), cell) => continue,
                Some(field) => self.meant(column, field, arrivals)?,
                None if column.not_null || base.is_none_or(|base| base.get(&column.field).is_none()) => continue,
                None => Meant::Cell(Cell::Null),
            };
            let new = placed(column, meant, &mut later)?;
            if new != *cell {
                set.push((&column.name, new));
            }
        }
        Ok((set, later))
    }

    /// A new row.
    fn make(&self, plan: &TypePlan, uuid: &str, data: &Fields, arrivals: &Arrivals) -> Result<(), Fault> {
        let (set, later) = self.new_row(plan, uuid, data, arrivals)?;
        let key = match given_key(plan, &set) {
            Some(key) => {
                self.insert_row(&plan.table, &set)?;
                key
            }
            None => Key::parse(&self.insert_keyless(plan, &set)?).unwrap_or(Key(vec![Cell::Null])),
        };
        if key.0.contains(&Cell::Null) {
            let columns = plan.key.join("`, `");
            return Err(Fault::aside(
                "no_key",
                format!("it has no value for `{columns}`, the key of `{}`", plan.table),
            ));
        }
        if !plan.lines.is_empty() {
            let row = self.read_row(plan, &key)?;
            let links = row.map(|row| row.links).unwrap_or_default();
            for (lines, link) in plan.lines.iter().zip(&links) {
                self.write_lines(lines, link, (data.get(&lines.field), None), arrivals)?;
            }
        }
        self.settle(plan, uuid, &key.stored(), data, &later)
    }

    /// The columns of a new row, and references that wait.
    pub(super) fn new_row<'p>(
        &self,
        plan: &'p TypePlan,
        uuid: &str,
        data: &Fields,
        arrivals: &Arrivals,
    ) -> Result<Planned<'p>, Fault> {
        let (mut set, mut later) = (Vec::with_capacity(plan.columns.len() + 2), Vec::new());
        let number = match arrivals.arriving.get(&plan.kind, uuid).copied().flatten() {
            Some(number) => Some(number),
            None if plan.numbered => self.numbers(plan, vec![()])?.first().map(|(_, number)| *number),
            None => None,
        };
        for column in &plan.columns {
            if let Some(field) = data.get(&column.field) {
                let meant = match itself(plan, uuid, number, column, field) {
                    Some(cell) => Meant::Cell(cell),
                    None => self.meant(column, field, arrivals)?,
                };
                set.push((&column.name, placed(column, meant, &mut later)?));
            }
        }
        if let Some((name, form)) = &plan.uuid {
            set.push((name, form.write(uuid)));
        }
        if let Some(number) = number {
            set.push((&plan.key[0], Cell::Integer(number)));
        }
        Ok((set, later))
    }

    /// Notes that the row is as the hub has it, and which references wait.
    fn settle(&self, plan: &TypePlan, uuid: &str, key: &Cell, data: &Fields, later: &[Later<'_>]) -> Result<(), Fault> {
        self.keep(&plan.kind, uuid, Some(key), Some(data))?;
        self.not_aside("in", &plan.kind, uuid)?;
        if !self.quiet.get() {
            let sql = "DELETE FROM sync_references WHERE entity_type = ?1 AND entity_uuid = ?2";
            self.execute(sql, &[(&plan.kind).into(), uuid.into()])?;
        }
        for Later { column, kind, uuid: target } in later {
            self.quiet.set(false);
            let sql = "INSERT INTO sync_references(entity_type, entity_uuid, field, target_type, target_uuid)
                       VALUES (?1, ?2, ?3, ?4, ?5)";
            let names = [(&plan.kind).into(), uuid.into(), (&column.field).into(), kind.into(), target.into()];
            self.execute(sql, &names)?;
        }
        Ok(())
    }

    /// Fills references that waited for an object that is here now.
    pub(crate) fn arrived(&self, kind: &str, uuid: &str) -> Result<(), Fault> {
        if self.quiet.get() {
            return Ok(());
        }
        let sql =
            "SELECT entity_type, entity_uuid, field FROM sync_references WHERE target_type = ?1 AND target_uuid = ?2";
        for row in self.query(sql, &[kind.into(), uuid.into()])? {
            let texts: Vec<String> = row.into_iter().filter_map(Cell::into_text).collect();
            let Ok([kind, uuid, field]) = <[String; 3]>::try_from(texts) else { continue };
            let Some(plan) = self.plan.named(&kind) else { continue };
            let Some(known) = self.known(&kind, &uuid)? else { continue };
            let (Some(key), Some(base)) = (known.row_key(), &known.base) else { continue };
            let column = plan.columns.iter().find(|column| column.field == field);
            let (Some(column), Some(value)) = (column, base.get(&field)) else { continue };
            if let Meant::Cell(cell) = self.meant(column, value, &Arrivals { careful: true, ..Arrivals::default() })? {
                let row = self.read_row(plan, &key)?;
                let place = plan.columns.iter().position(|other| other.name == column.name).unwrap_or_default();
                // Whoever has set it meanwhile has changed it.
                if row.is_some_and(|row| row.cells[place] == Cell::Null) {
                    self.update_row(&plan.table, &[(&column.name, cell)], (&plan.key, &key))?;
                }
                let sql = "DELETE FROM sync_references WHERE entity_type = ?1 AND entity_uuid = ?2 AND field = ?3";
                self.execute(sql, &[(&kind).into(), (&uuid).into(), (&field).into()])?;
            }
        }
        Ok(())
    }

    /// What a field would be in its column.
    pub(crate) fn meant(&self, column: &ColumnPlan, field: &RawValue, arrivals: &Arrivals) -> Result<Meant, Fault> {
        let held = |reason: String| Fault::aside("no_value", format!("field `{}` {reason}", column.field));
        let Some(kind) = column.target_kind() else {
            let cell = from_json(column.form, column.affinity, field).map_err(held)?;
            if let Refers::Row { table, column: target } = &column.refers
                && cell != Cell::Null
                && !self.has_row(table, target, &cell)?
            {
                let reason =
                    format!("field `{}` refers to {} in `{table}`, which is not there", column.field, field.get());
                return Err(Fault::aside("no_target", reason));
            }
            return Ok(Meant::Cell(cell));
        };
        if field.get() == "null" {
            return Ok(Meant::Cell(Cell::Null));
        }
        let uuid = string_of(field);
        if !is_uuid(&uuid) {
            return Err(held(format!("is {}, which is no UUID of a {kind}", field.get())));
        }
        let row = self.row_key(kind, &uuid)?;
        let arriving = arrivals.arriving.get(kind, &uuid).filter(|_| !arrivals.careful && column.defers);
        let cell = match &column.refers {
            Refers::Uuid { form, .. } => (row.is_some() || arriving.is_some()).then(|| form.write(&uuid)),
            _ => match row {
                Some(key) => key.0.into_iter().next(),
                None => arriving.copied().flatten().map(Cell::Integer),
            },
        };
        Ok(cell.map_or_else(|| Meant::Later { kind: kind.to_owned(), uuid: uuid.into_owned() }, Meant::Cell))
    }
}

/// A field that is a text; of another one nothing.
fn string_of(field: &RawValue) -> Cow<'_, str> {
    let plain = serde_json::from_str::<&str>(field.get()).map(Cow::Borrowed);
    plain.or_else(|_| serde_json::from_str(field.get()).map(Cow::Owned)).unwrap_or_default()
}

/// The key of a new row, where its columns say it as the table will hold it.
pub(super) fn given_key(plan: &TypePlan, set: &[(&String, Cell)]) -> Option<Key> {
    if plan.key_columns.iter().any(|column| column.respells) {
        return None;
    }
    let given = plan.key.iter().map(|name| set.iter().find(|(column, _)| *column == name).map(|(_, cell)| cell));
    Some(Key(given.map(|cell| cell.cloned()).collect::<Option<_>>()?))
}

/// Whether a row refers already to what a field says: nobody looks for the target again.
pub(super) fn refers_as_before(column: &ColumnPlan, (field, base): (&RawValue, Option<&Fields>), cell: &Cell) -> bool {
    let before = base.filter(|_| column.target_kind().is_some()).and_then(|base| base.get(&column.field));
    *cell != Cell::Null && before.is_some_and(|before| before.get() == field.get())
}

/// A reference of a new row to itself.
fn itself(plan: &TypePlan, uuid: &str, number: Option<i64>, column: &ColumnPlan, field: &RawValue) -> Option<Cell> {
    let is_own = |kind: &str| kind == plan.kind && field.get().trim_matches('"').eq_ignore_ascii_case(uuid);
    match &column.refers {
        Refers::Key { kind } if is_own(kind) => number.map(Cell::Integer),
        Refers::Uuid { kind, form } if is_own(kind) => Some(form.write(uuid)),
        _ => None,
    }
}

/// The cell to write now.
fn placed<'p>(column: &'p ColumnPlan, meant: Meant, later: &mut Vec<Later<'p>>) -> Result<Cell, Fault> {
    match meant {
        Meant::Cell(cell) => Ok(cell),
        Meant::Later { kind, uuid } if column.not_null => Err(Fault::Waits { kind, uuid }),
        Meant::Later { kind, uuid } => {
            later.push(Later { column, kind, uuid });
            Ok(Cell::Null)
        }
    }
}

pub(super) fn full(plan: &TypePlan) -> Fault {
    Fault::aside("no_number", format!("`{}` has given out its largest number", plan.table))
}

impl Work<'_> {
    /// A column is new here, and others have filled its field before: what they said is written.
    pub(crate) fn spread(&self, plan: &TypePlan, field: &str, now: &str) -> Result<(), AttachError> {
        let Some(place) = plan.columns.iter().position(|column| column.field == field) else { return Ok(()) };
        let arrivals = Arrivals { careful: true, now: now.to_owned(), ..Arrivals::default() };
        for uuid in self.with_field(&plan.kind, field)? {
            let Some(known) = self.known(&plan.kind, &uuid)? else { continue };
            let Some((key, value)) = known.row_key().zip(known.base.as_ref().and_then(|base| base.get(field))) else {
                continue;
            };
            let done = self.whole(|| match self.meant(&plan.columns[place], value, &arrivals)? {
                Meant::Cell(cell) => {
                    self.update_row(&plan.table, &[(&plan.columns[place].name, cell)], (&plan.key, &key))
                }
                Meant::Later { kind, uuid } => Err(Fault::Waits { kind, uuid }),
            });
            match done {
                Err(Fault::Failed(error)) => return Err(error),
                Err(fault) => {
                    let data = known.base.as_ref().map(|base| base.to_text());
                    self.set_aside(&plan.kind, &uuid, data.as_deref(), &fault, now)?;
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }
}
