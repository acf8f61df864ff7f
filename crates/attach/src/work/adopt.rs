//! First contact: a row that was there before and an object of the hub that are the same thing.

use super::put::Meant;
use super::queue::mark_of;
use super::rows::Row;
use super::{Arrivals, Fault, Work};
use crate::identity::{Key, UuidForm};
use crate::plan::TypePlan;
use crate::sql::{equals, given, quoted};
use crate::value::Cell;
use std::collections::BTreeSet;
use syncline_core::model::{Fields, Millis};

impl Work<'_> {
    /// The row that the object is, though nobody has said so yet: by its UUID, or by its natural key. Only one that the
    /// hub does not know as another object.
    pub(crate) fn twin(
        &self,
        plan: &TypePlan,
        uuid: &str,
        data: &Fields,
        arrivals: &Arrivals,
    ) -> Result<Option<(Key, Row)>, Fault> {
        if let Some((column, form)) = &plan.uuid {
            let held = form.write(uuid);
            if let Some(found) = self.only(plan, &[(column, held)])? {
                return Ok(Some(found));
            }
        }
        if plan.matching.is_empty() {
            return Ok(None);
        }
        let Some(wanted) = self.natural_key(plan, data, arrivals)? else { return Ok(None) };
        let Some((key, row)) = self.only(plan, &wanted)? else { return Ok(None) };
        if let Some(other) = self.known_by_key(&plan.kind, &key.stored())? {
            if other.base.is_some() || other.gone {
                return Ok(None);
            }
            self.forget(&plan.kind, &other.uuid)?;
        }
        if let (Some((column, form)), Some(held)) = (&plan.uuid, &row.uuid)
            && UuidForm::read(held).as_deref() != Some(uuid)
        {
            self.update_row(&plan.table, &[(column, form.write(uuid))], (&plan.key, &key))?;
        }
        Ok(Some((key, row)))
    }

    /// Whether some of these objects may be rows that nobody has said it of yet.
    pub(crate) fn have_twins(
        &self,
        plan: &TypePlan,
        objects: &[(&str, &Fields)],
        arrivals: &Arrivals,
    ) -> Result<bool, Fault> {
        if let Some((column, form)) = &plan.uuid {
            let held: Vec<Vec<Cell>> = objects.iter().map(|(uuid, _)| vec![form.write(uuid)]).collect();
            if self.has_any(&plan.table, &[column], &held)? {
                return Ok(true);
            }
        }
        let columns: Vec<&String> = plan.matching.iter().map(|place| &plan.columns[*place].name).collect();
        if columns.is_empty() {
            return Ok(false);
        }
        let mut wanted = Vec::with_capacity(objects.len());
        for (_, data) in objects {
            let natural = self.natural_key(plan, data, arrivals)?;
            wanted.extend(natural.map(|set| set.into_iter().map(|(_, cell)| cell).collect()));
        }
        self.has_any(&plan.table, &columns, &wanted)
    }

    /// The columns by which an object is found, as it says them; `None`: it does not say them all.
    fn natural_key<'p>(
        &self,
        plan: &'p TypePlan,
        data: &Fields,
        arrivals: &Arrivals,
    ) -> Result<Option<Vec<(&'p String, Cell)>>, Fault> {
        let mut wanted = Vec::new();
        for place in &plan.matching {
            let column = &plan.columns[*place];
            let Some(field) = data.get(&column.field) else { return Ok(None) };
            match self.meant(column, field, arrivals)? {
                Meant::Cell(cell) if cell != Cell::Null => wanted.push((&column.name, cell)),
                _ => return Ok(None),
            }
        }
        Ok(Some(wanted))
    }

    /// Notes which row a new object is, where there is one.
    pub(crate) fn claim(&self, plan: &TypePlan, uuid: &str, data: &Fields, arrivals: &Arrivals) -> Result<bool, Fault> {
        if plan.uuid.is_none() && plan.matching.is_empty() {
            return Ok(false);
        }
        let twin = self.twin(plan, uuid, data, arrivals)?;
        if let Some((key, _)) = &twin {
            self.keep(&plan.kind, uuid, Some(&key.stored()), None)?;
        }
        Ok(twin.is_some())
    }

    /// The row with these values, if it is the only one.
    fn only(&self, plan: &TypePlan, wanted: &[(&String, Cell)]) -> Result<Option<(Key, Row)>, Fault> {
        let sql = format!(
            "SELECT {} FROM {} WHERE {} LIMIT 2",
            self.db.key_sql(plan, ""),
            quoted(&plan.table),
            equals(wanted.iter().map(|(name, _)| *name), 1)
        );
        let found = self.query(&sql, &given(wanted.iter().map(|(_, cell)| cell)))?;
        let [row] = &found[..] else { return Ok(None) };
        let Some(key) = Key::parse(&row[0]) else { return Ok(None) };
        Ok(self.read_row(plan, &key)?.map(|row| (key, row)))
    }

    /// A row that the hub has not confirmed meets the hub's object: the later one stands where the row says when it was
    /// changed, else the hub's. What does not stand is noted.
    pub(crate) fn meet(
        &self,
        plan: &TypePlan,
        (uuid, key, row): (&str, &Key, &Row),
        data: &Fields,
        arrivals: &Arrivals,
    ) -> Result<(), Fault> {
        // Its row is known from here on, so that nothing is taken for a reference that waits.
        self.keep(&plan.kind, uuid, Some(&key.stored()), None)?;
        let ours = self.changed(plan, uuid, row, data)?;
        if ours.is_empty() {
            return self.write_over(plan, (uuid, key, row), (data, None), &ours, arrivals);
        }
        if self.is_later(plan, row, data)? {
            self.write_over(plan, (uuid, key, row), (data, None), &ours, arrivals)?;
            return self.register(&plan.kind, &key.stored(), "UPDATE");
        }
        let given = ours.iter().filter(|(name, _)| data.get(name).is_some());
        let given: Fields = given.map(|(name, value)| (name, value.to_owned())).collect();
        if !given.is_empty() {
            let (ours, theirs) = (given.to_body(), data.to_body());
            self.note_conflict((&plan.kind, uuid), Some(ours.text()), Some(theirs.text()), &arrivals.now)?;
        }
        // Fields that only the row has are news for the hub.
        let only_ours = ours.iter().filter(|(name, value)| data.get(name).is_none() && value.get() != "null");
        let only_ours: Fields = only_ours.map(|(name, value)| (name, value.to_owned())).collect();
        self.write_over(plan, (uuid, key, row), (data, None), &only_ours, arrivals)?;
        if only_ours.is_empty() { Ok(()) } else { self.register(&plan.kind, &key.stored(), "UPDATE") }
    }

    fn is_later(&self, plan: &TypePlan, row: &Row, data: &Fields) -> Result<bool, Fault> {
        let Some(place) = plan.updated_at else { return Ok(false) };
        let column = &plan.columns[place];
        let time = |text: &str| Millis::parse_utc(&serde_json::from_str::<String>(text).ok()?);
        let ours = time(self.wire(column, &row.cells[place])?.get());
        let theirs = data.get(&column.field).and_then(|field| time(field.get()));
        Ok(match (ours, theirs) {
            (Some(ours), Some(theirs)) => ours > theirs,
            _ => false,
        })
    }

    /// Which of these objects have rows here.
    pub(crate) fn have_rows<'u>(&self, plan: &TypePlan, uuids: &[&'u str]) -> Result<BTreeSet<&'u str>, Fault> {
        let keys = self.see(&plan.kind, uuids)?;
        let rows = self.read_marks(plan, &keys.values().cloned().collect::<Vec<_>>())?;
        let has_row = |uuid: &&str| keys.get(*uuid).is_some_and(|key| rows.contains(&mark_of(&key.stored())));
        Ok(uuids.iter().copied().filter(has_row).collect())
    }
}
