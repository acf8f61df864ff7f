//! First contact: a row that was there before and an object of the hub that are the same thing.

use super::rows::Row;
use super::{Arrivals, Fault, Known, Work, equals, parameters, quoted};
use crate::identity::{Key, UuidForm};
use crate::plan::TypePlan;
use crate::sqlite::put::Meant;
use crate::value::Cell;
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
        let mut wanted = Vec::new();
        for place in &plan.matching {
            let column = &plan.columns[*place];
            let Some(field) = data.get(&column.field) else { return Ok(None) };
            match self.meant(column, field, arrivals)? {
                Meant::Cell(cell) if cell != Cell::Null => wanted.push((&column.name, cell)),
                _ => return Ok(None),
            }
        }
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
            plan.key_sql(""),
            quoted(&plan.table),
            equals(wanted.iter().map(|(name, _)| *name), 1)
        );
        let mut find = self.conn.prepare_cached(&sql)?;
        let mut rows = find.query(&*parameters(wanted.iter().map(|(_, cell)| cell)))?;
        let Some(first) = rows.next()? else { return Ok(None) };
        let key = Key::parse(&super::cell_at(first, 0)?);
        if rows.next()?.is_some() {
            return Ok(None);
        }
        let Some(key) = key else { return Ok(None) };
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

    /// Whether an object has a row here.
    pub(crate) fn has_object(&self, plan: &TypePlan, uuid: &str) -> Result<bool, Fault> {
        match self.known(&plan.kind, uuid)?.as_ref().and_then(Known::row_key) {
            Some(key) => Ok(self.read_row(plan, &key)?.is_some()),
            None => Ok(false),
        }
    }
}
