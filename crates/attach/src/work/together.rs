//! Objects of one type that become rows together (step 9 of the life of a change): few statements for many rows. Only
//! those whose way is plain; others go one by one, as do all of a group that does not work together (`put`).

use super::ahead::is_told_apart;
use super::entities::Kept;
use super::put::{Planned, given_key};
use super::queue::mark_of;
use super::rows::{Line, Row, mark_of_link};
use super::wire::listed;
use super::write_lines::{differing_line, line_row, paired, wished};
use super::{Arrivals, Fault, Known, Work};
use crate::identity::Key;
use crate::plan::{LinesPlan, TypePlan};
use crate::value::Cell;
use foldhash::{HashMap, HashSet};
use std::borrow::Cow;
use std::collections::BTreeMap;
use syncline_core::model::Fields;

/// Lines of rows, by what names these.
type Lines = HashMap<String, Vec<Line>>;

/// Ids of objects that others refer to, by type.
type Targets<'g> = BTreeMap<&'g str, HashSet<Cow<'g, str>>>;

/// An object whose row could be written with others.
struct Draft<'g> {
    /// Its place among the objects.
    place: usize,
    uuid: &'g str,
    data: &'g Fields,
    base: Option<&'g Fields>,
    key: Key,
    is_new: bool,
    set: Vec<(&'g String, Cell)>,
    /// By the plan's lists.
    links: Vec<Cell>,
}

/// Rows of cells that fill the same columns.
struct Rows<'g> {
    columns: Vec<&'g String>,
    cells: Vec<Vec<Cell>>,
}

/// What becomes of rows of one table. Keys stand behind the values.
#[derive(Default)]
struct Writes<'g> {
    gone: Vec<Vec<Cell>>,
    changed: Vec<Rows<'g>>,
    made: Vec<Rows<'g>>,
}

/// What a group of objects becomes.
struct Group<'g> {
    rows: Writes<'g>,
    /// By the plan's lists.
    lines: Vec<Writes<'g>>,
    new: Vec<Kept<'g>>,
    /// Others, and how the hub has them.
    known: Vec<(&'g str, String)>,
}

impl Work<'_> {
    /// Stores objects of one type as the hub has them, as far as their way is plain, and tells for which it is.
    ///
    /// # Errors
    /// When one of them cannot be stored: then what was done to the others is to be taken back.
    pub(crate) fn put_together(
        &self,
        plan: &TypePlan,
        objects: &[(&str, &Fields)],
        arrivals: &Arrivals,
    ) -> Result<Vec<bool>, Fault> {
        let uuids: Vec<&str> = objects.iter().map(|(uuid, _)| *uuid).collect();
        let known = self.known_all(&plan.kind, &uuids)?;
        self.look_ahead(plan, objects, &known)?;
        let group = self.group(plan, objects, &known, arrivals);
        self.ahead.take();
        let (plain, group) = group?;
        self.write_rows(&plan.table, &plan.key, &group.rows)?;
        for (lines, writes) in plan.lines.iter().zip(&group.lines) {
            self.write_rows(&lines.table, &lines.key, writes)?;
        }
        self.keep_new(&plan.kind, &group.new)?;
        self.keep_known(&plan.kind, &group.known)?;
        let stored = group.new.iter().map(|kept| kept.uuid).chain(group.known.iter().map(|(uuid, _)| *uuid));
        self.settle_all(&plan.kind, stored)?;
        Ok(plain)
    }

    /// Finds the rows that objects refer to, but for those that they referred to before.
    fn look_ahead(
        &self,
        plan: &TypePlan,
        objects: &[(&str, &Fields)],
        known: &HashMap<String, Known>,
    ) -> Result<(), Fault> {
        let mut targets = Targets::new();
        for (uuid, data) in objects {
            let base = known.get(*uuid).and_then(|known| known.base.as_ref());
            let columns = plan.columns.iter();
            let new = columns.filter(|column| base.and_then(|base| column.target(base)) != column.target(data));
            for (kind, uuid) in new.filter_map(|column| column.target(data)) {
                targets.entry(kind).or_default().insert(uuid.into());
            }
            for lines in
                plan.lines.iter().filter(|lines| lines.columns.iter().any(|column| column.target_kind().is_some()))
            {
                for line in listed(data.get(&lines.field)).unwrap_or_default() {
                    for (kind, uuid) in lines.columns.iter().filter_map(|column| column.target(&line)) {
                        targets.entry(kind).or_default().insert(uuid.to_owned().into());
                    }
                }
            }
        }
        for (kind, uuids) in targets {
            let mut found = self.row_keys(kind, &uuids.iter().map(|uuid| &**uuid).collect::<Vec<_>>())?;
            let mut ahead = self.ahead.borrow_mut();
            ahead.of(kind).extend(uuids.into_iter().map(|uuid| match found.remove_entry(&*uuid) {
                Some((uuid, key)) => (uuid, Some(key)),
                None => (uuid.into_owned(), None),
            }));
        }
        Ok(())
    }

    fn group<'g>(
        &self,
        plan: &'g TypePlan,
        objects: &[(&'g str, &'g Fields)],
        known: &'g HashMap<String, Known>,
        arrivals: &Arrivals,
    ) -> Result<(Vec<bool>, Group<'g>), Fault> {
        let keys: Vec<Key> = known.values().filter_map(|known| settled(plan, known, arrivals)).collect();
        let rows = self.read_rows(plan, &keys)?;
        let mut drafts = Vec::with_capacity(objects.len());
        for (place, object) in objects.iter().enumerate() {
            let draft = match known.get(object.0) {
                None => self.new_draft(plan, place, *object, arrivals)?,
                Some(known) => self.draft(plan, place, *object, (known, &rows), arrivals)?,
            };
            drafts.extend(draft);
        }
        let lines = plan.lines.iter().enumerate().map(|(n, lines)| {
            let links: Vec<Cell> = drafts.iter().map(|draft| draft.links[n].clone()).collect();
            self.read_all_lines(lines, &links)
        });
        let lines = lines.collect::<Result<Vec<Lines>, Fault>>()?;
        let mut plain = vec![false; objects.len()];
        let writes = plan.lines.iter().map(|_| Writes::default()).collect();
        let mut group = Group { rows: Writes::default(), lines: writes, new: Vec::new(), known: Vec::new() };
        for draft in drafts {
            let wanted = plan.lines.iter().enumerate();
            let wanted = wanted.map(|(n, list)| self.list_writes(list, &draft, n, &lines[n], arrivals));
            let Some(wanted) = unless_it_waits(wanted.collect::<Result<Vec<_>, Fault>>())? else { continue };
            plain[draft.place] = true;
            group.lines.iter_mut().zip(wanted).for_each(|(all, one)| all.add(one));
            group.add(draft);
        }
        Ok((plain, group))
    }

    /// An object that is new here, and that no row is already.
    fn new_draft<'g>(
        &self,
        plan: &'g TypePlan,
        place: usize,
        (uuid, data): (&'g str, &'g Fields),
        arrivals: &Arrivals,
    ) -> Result<Option<Draft<'g>>, Fault> {
        if !arrivals.arriving.contains(&plan.kind, uuid) {
            return Ok(None);
        }
        let Some(set) = at_once(self.new_row(plan, uuid, data, arrivals))? else { return Ok(None) };
        let Some(key) = given_key(plan, &set).filter(|key| !key.0.contains(&Cell::Null)) else { return Ok(None) };
        let link = |lines: &LinesPlan| {
            let link = set.iter().find(|(name, _)| **name == lines.parent.1);
            link.map(|(_, cell)| cell.clone()).filter(is_told_apart)
        };
        let Some(links) = plan.lines.iter().map(link).collect() else { return Ok(None) };
        Ok(Some(Draft { place, uuid, data, base: None, key, is_new: true, set, links }))
    }

    /// An object whose row is as the hub knows it.
    fn draft<'g>(
        &self,
        plan: &'g TypePlan,
        place: usize,
        (uuid, data): (&'g str, &'g Fields),
        (known, rows): (&'g Known, &HashMap<String, Row>),
        arrivals: &Arrivals,
    ) -> Result<Option<Draft<'g>>, Fault> {
        let Some((key, base)) = settled(plan, known, arrivals).zip(known.base.as_ref()) else { return Ok(None) };
        let Some(row) = rows.get(&mark_of(&key.stored())) else { return Ok(None) };
        let Some(set) = at_once(self.differing(plan, row, (data, Some(base)), &Fields::default(), arrivals))? else {
            return Ok(None);
        };
        if set.iter().any(|(name, _)| plan.key.contains(name)) || !row.links.iter().all(is_told_apart) {
            return Ok(None);
        }
        let links = row.links.clone();
        Ok(Some(Draft { place, uuid, data, base: Some(base), key, is_new: false, set, links }))
    }

    /// What the list of an object asks for in its child table.
    fn list_writes<'g>(
        &self,
        plan: &'g LinesPlan,
        draft: &Draft<'g>,
        n: usize,
        lines: &Lines,
        arrivals: &Arrivals,
    ) -> Result<Writes<'g>, Fault> {
        let (link, mut writes) = (&draft.links[n], Writes::default());
        let before = draft.base.and_then(|base| base.get(&plan.field));
        let Some(list) = wished(plan, draft.data.get(&plan.field), before)? else { return Ok(writes) };
        let ours = lines.get(&mark_of_link(link)).map_or(&[][..], Vec::as_slice);
        let (pairs, gone) = paired(plan, ours, &list);
        writes.gone.extend(gone.into_iter().map(|line| line.key.0.clone()));
        for (line, object) in pairs.into_iter().zip(&list) {
            let cells = self.line_cells(plan, object, arrivals)?;
            match line {
                Some(line) => writes.change(differing_line(plan, &cells, line), &line.key),
                None => writes.make(line_row(plan, link, &cells)),
            }
        }
        Ok(writes)
    }

    fn write_rows(&self, table: &str, key: &[String], writes: &Writes<'_>) -> Result<(), Fault> {
        self.delete_rows(table, key, &writes.gone)?;
        for rows in &writes.changed {
            self.update_rows(table, &rows.columns, key, &rows.cells)?;
        }
        writes.made.iter().try_for_each(|rows| self.insert_rows(table, &rows.columns, &rows.cells))
    }

    /// Objects that are stored are set aside no longer, and no reference of theirs waits.
    fn settle_all<'g>(&self, kind: &str, objects: impl Iterator<Item = &'g str>) -> Result<(), Fault> {
        if self.quiet.get() {
            return Ok(());
        }
        let name = "entity_uuid".to_owned();
        let uuids: Vec<_> = objects.map(|uuid| vec![uuid.into()]).collect();
        for (table, of_them) in [("sync_aside", "direction = 'in' AND "), ("sync_references", "")] {
            let sql = |condition: &str| format!("DELETE FROM {table} WHERE {of_them}entity_type = ?1 AND {condition}");
            self.db.among((table, &[&name]), &uuids, &[kind.into()], &sql)?;
        }
        Ok(())
    }
}

impl<'g> Writes<'g> {
    fn make(&mut self, set: Vec<(&'g String, Cell)>) {
        add(&mut self.made, set, &[]);
    }

    fn change(&mut self, set: Vec<(&'g String, Cell)>, key: &Key) {
        if !set.is_empty() {
            add(&mut self.changed, set, &key.0);
        }
    }

    fn add(&mut self, other: Writes<'g>) {
        self.gone.extend(other.gone);
        for (ours, theirs) in [(&mut self.changed, other.changed), (&mut self.made, other.made)] {
            for Rows { columns, cells } in theirs {
                rows_of(ours, columns.iter().copied()).extend(cells);
            }
        }
    }
}

/// Adds a row to those that fill the same columns.
fn add<'g>(all: &mut Vec<Rows<'g>>, set: Vec<(&'g String, Cell)>, key: &[Cell]) {
    let rows = rows_of(all, set.iter().map(|(name, _)| *name));
    let mut cells = Vec::with_capacity(set.len() + key.len());
    cells.extend(set.into_iter().map(|(_, cell)| cell).chain(key.iter().cloned()));
    rows.push(cells);
}

/// Those that fill these columns: there are few kinds of them.
fn rows_of<'r, 'g>(
    all: &'r mut Vec<Rows<'g>>,
    columns: impl Iterator<Item = &'g String> + Clone,
) -> &'r mut Vec<Vec<Cell>> {
    let same = |rows: &Rows<'g>| rows.columns.iter().copied().eq(columns.clone());
    let place = all.iter().position(same).unwrap_or_else(|| {
        all.push(Rows { columns: columns.clone().collect(), cells: Vec::new() });
        all.len() - 1
    });
    &mut all[place].cells
}

impl<'g> Group<'g> {
    fn add(&mut self, draft: Draft<'g>) {
        let (uuid, base) = (draft.uuid, draft.data.to_text());
        if draft.is_new {
            self.new.push(Kept { uuid, key: draft.key.stored(), base: Some(base) });
            self.rows.make(draft.set);
        } else {
            self.known.push((uuid, base));
            self.rows.change(draft.set, &draft.key);
        }
    }
}

/// The key of an object's row, where nothing was done to it that the hub has not confirmed.
fn settled(plan: &TypePlan, known: &Known, arrivals: &Arrivals) -> Option<Key> {
    let key = known.row_key().filter(|_| known.base.is_some())?;
    (!arrivals.is_unsent(plan, &key.stored())).then_some(key)
}

/// Columns of which none waits for a target.
fn at_once<'p>(planned: Result<Planned<'p>, Fault>) -> Result<Option<Vec<(&'p String, Cell)>>, Fault> {
    Ok(unless_it_waits(planned)?.filter(|(_, later)| later.is_empty()).map(|(set, _)| set))
}

fn unless_it_waits<T>(done: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match done {
        Err(Fault::Waits { .. }) => Ok(None),
        done => done.map(Some),
    }
}
