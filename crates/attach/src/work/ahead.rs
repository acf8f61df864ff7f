//! Looking ahead: what a packet's composition asks of each change is read for many at once, and rows that nobody knows
//! yet are given their ids together. What is not found here is read by itself.

use super::entities::Kept;
use super::queue::mark_of;
use super::rows::{Line, Row, mark_of_link};
use super::{Fault, Folded, Known, Named, Work};
use crate::identity::{Key, UuidForm, new_uuid};
use crate::plan::{LinesPlan, Refers, TypePlan};
use crate::value::Cell;
use foldhash::HashMap;
use std::collections::{BTreeMap, BTreeSet};

/// What was read ahead, by what rows are told apart by.
#[derive(Default)]
pub(super) struct Ahead {
    rows: Named<Option<Row>>,
    known: Named<Option<Known>>,
    /// By the tables of lines, and what these name their rows by.
    lines: Named<Vec<Line>>,
}

impl Work<'_> {
    /// Reads what is asked next of these changes.
    pub(crate) fn look_at(&self, changes: &[Folded]) -> Result<(), Fault> {
        self.near.take();
        let mut of_types: BTreeMap<&str, Vec<&Cell>> = BTreeMap::new();
        changes.iter().for_each(|change| of_types.entry(&change.kind).or_default().push(&change.key));
        for (kind, stored) in of_types {
            let Some(plan) = self.plan.named(kind) else { continue };
            match self.whole(|| self.look_at_rows(plan, &stored)) {
                // What is wrong with one of them is found when it is read by itself.
                Err(Fault::Aside(_)) => drop(self.near.take()),
                done => done?,
            }
        }
        Ok(())
    }

    fn look_at_rows(&self, plan: &TypePlan, stored: &[&Cell]) -> Result<(), Fault> {
        let is_whole = |key: &Key| !key.0.contains(&Cell::Null);
        let keys: Vec<Key> = stored.iter().filter_map(|stored| Key::parse(stored).filter(is_whole)).collect();
        let rows = self.read_rows(plan, &keys)?;
        for (lines, n) in plan.lines.iter().zip(0..) {
            self.look_at_lines(lines, rows.values().map(|row| &row.links[n]))?;
        }
        let mut targets: BTreeMap<&str, Vec<Cell>> = BTreeMap::new();
        targets.insert(&plan.kind, stored.iter().map(|stored| (*stored).clone()).collect());
        for (place, column) in plan.columns.iter().enumerate() {
            if let Refers::Key { kind } = &column.refers {
                let cells = rows.values().map(|row| &row.cells[place]).filter(|cell| **cell != Cell::Null);
                targets.entry(kind).or_default().extend(cells.map(|cell| Key(vec![cell.clone()]).stored()));
            }
        }
        for (kind, keys) in targets {
            let known = self.known_by_keys(kind, &keys)?;
            let mut near = self.near.borrow_mut();
            keys.iter().for_each(|key| near.known.insert(kind, mark_of(key), None));
            known.into_iter().for_each(|(mark, known)| near.known.insert(kind, mark, Some(known)));
        }
        self.introduce_all(plan, &keys, &rows)?;
        let mut near = self.near.borrow_mut();
        keys.iter().for_each(|key| near.rows.insert(&plan.kind, mark_of(&key.stored()), None));
        rows.into_iter().for_each(|(mark, row)| near.rows.insert(&plan.kind, mark, Some(row)));
        Ok(())
    }

    fn look_at_lines<'r>(&self, plan: &LinesPlan, links: impl Iterator<Item = &'r Cell>) -> Result<(), Fault> {
        let links: Vec<Cell> = links.filter(|link| is_told_apart(link)).cloned().collect();
        let mut found = self.read_all_lines(plan, &links)?;
        let mut near = self.near.borrow_mut();
        for mark in links.iter().map(mark_of_link) {
            let lines = found.remove(&mark).unwrap_or_default();
            near.lines.insert(&plan.table, mark, lines);
        }
        Ok(())
    }

    /// Gives rows ids that have none: those that they say, or new ones where the table has no column for it.
    fn introduce_all(&self, plan: &TypePlan, keys: &[Key], rows: &HashMap<String, Row>) -> Result<(), Fault> {
        if plan.uuid.is_none() && !plan.matching.is_empty() && self.is_filling(&plan.kind)? {
            return Ok(());
        }
        let mut new: BTreeMap<String, &Key> = BTreeMap::new();
        let mut twice = BTreeSet::new();
        for key in keys {
            let mark = mark_of(&key.stored());
            let (Some(row), Some(None)) = (rows.get(&mark), self.near.borrow().known.get(&plan.kind, &mark)) else {
                continue;
            };
            let uuid = match &plan.uuid {
                Some(_) => row.uuid.as_ref().and_then(UuidForm::read),
                None => Some(new_uuid()),
            };
            let Some(uuid) = uuid else { continue };
            if new.insert(uuid.clone(), key).is_some() {
                twice.insert(uuid);
            }
        }
        let known = self.known_all(&plan.kind, &new.keys().map(String::as_str).collect::<Vec<_>>())?;
        new.retain(|uuid, _| !known.contains_key(uuid) && !twice.contains(uuid));
        let kept: Vec<_> = new.iter().map(|(uuid, key)| Kept { uuid, key: key.stored(), base: None }).collect();
        self.keep_new(&plan.kind, &kept)?;
        let mut near = self.near.borrow_mut();
        for Kept { uuid, key, .. } in kept {
            let known = Known { uuid: uuid.to_owned(), key: Some(key.clone()), base: None, gone: false };
            near.known.insert(&plan.kind, mark_of(&key), Some(known));
        }
        Ok(())
    }

    /// The row of a key, once as it was read ahead.
    pub(crate) fn row_ahead(&self, plan: &TypePlan, key: &Key) -> Result<Option<Row>, Fault> {
        match self.near.borrow_mut().rows.of(&plan.kind).remove(&mark_of(&key.stored())) {
            Some(row) => Ok(row),
            None => self.read_row(plan, key),
        }
    }

    /// What was read ahead of the lines of a row.
    pub(super) fn lines_ahead(&self, plan: &LinesPlan, link: &Cell) -> Option<Vec<Line>> {
        self.near.borrow_mut().lines.of(&plan.table).remove(&mark_of_link(link))
    }

    /// What was read ahead of the object that a row is.
    pub(super) fn known_ahead(&self, kind: &str, key: &Cell) -> Option<Option<Known>> {
        self.near.borrow().known.get(kind, &mark_of(key)).cloned()
    }

    /// What was read of an object, or of that of a row, is so no longer.
    pub(super) fn look_again(&self, kind: &str, uuid: &str, key: Option<&Cell>) {
        self.seen.take();
        let (mut near, mark) = (self.near.borrow_mut(), key.map(mark_of));
        let is_it = |known: &Option<Known>| known.as_ref().is_some_and(|known| known.uuid == uuid);
        near.known.of(kind).retain(|other, known| mark.as_ref() != Some(other) && !is_it(known));
    }
}

/// Whether the value by which lines name a row is spelled alike in both tables, for sure.
pub(super) fn is_told_apart(link: &Cell) -> bool {
    matches!(link, Cell::Integer(_)) || UuidForm::read(link).is_some()
}
