//! Rows of the application, read and written as cells.

use super::queue::mark_of;
use super::{Fault, Work};
use crate::identity::Key;
use crate::plan::{ColumnPlan, LinesPlan, TypePlan};
use crate::sql::{equals, given, list, marks, quoted, updating};
use crate::value::Cell;
use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

/// A row of a mapped table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// By the plan's columns.
    pub cells: Vec<Cell>,
    pub uuid: Option<Cell>,
    /// By the plan's lists: what their rows name it by.
    pub links: Vec<Cell>,
}

/// A row of a child table.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub key: Key,
    pub cells: Vec<Cell>,
}

impl Work<'_> {
    /// The row of a key.
    pub(crate) fn read_row(&self, plan: &TypePlan, key: &Key) -> Result<Option<Row>, Fault> {
        let sql = format!("SELECT {} FROM {} WHERE {}", read_columns(plan), quoted(&plan.table), equals(&plan.key, 1));
        self.first(&sql, &given(&key.0))?.map(|cells| row_of(plan, cells)).transpose()
    }

    /// The rows of keys, by the marks of these.
    pub(crate) fn read_rows(&self, plan: &TypePlan, keys: &[Key]) -> Result<HashMap<String, Row>, Fault> {
        let (columns, mut rows) = (plan.key.iter().collect::<Vec<_>>(), HashMap::with_capacity(keys.len()));
        let wanted: Vec<_> = keys.iter().map(|key| given(&key.0)).collect();
        let (key, read, table) = (self.db.key_sql(plan, ""), read_columns(plan), quoted(&plan.table));
        let sql = |condition: &str| format!("SELECT {key}, {read} FROM {table} WHERE {condition}");
        for mut cells in self.db.among((&plan.table, &columns), &wanted, &[], &sql)? {
            let mark = mark_of(&cells.remove(0));
            rows.insert(mark, row_of(plan, cells)?);
        }
        Ok(rows)
    }

    /// Which of these keys rows have, as marks.
    pub(crate) fn read_marks(&self, plan: &TypePlan, keys: &[Key]) -> Result<HashSet<String>, Fault> {
        let columns: Vec<&String> = plan.key.iter().collect();
        let wanted: Vec<_> = keys.iter().map(|key| given(&key.0)).collect();
        let (key, table) = (self.db.key_sql(plan, ""), quoted(&plan.table));
        let sql = |condition: &str| format!("SELECT {key} FROM {table} WHERE {condition}");
        let rows = self.db.among((&plan.table, &columns), &wanted, &[], &sql)?;
        Ok(rows.iter().flatten().map(mark_of).collect())
    }

    /// Whether a table has a row with one of these values in its columns.
    pub(crate) fn has_any(&self, table: &str, columns: &[&String], values: &[Vec<Cell>]) -> Result<bool, Fault> {
        let wanted: Vec<_> = values.iter().map(given).collect();
        let sql = |condition: &str| format!("SELECT 1 FROM {} WHERE {condition} LIMIT 1", quoted(table));
        Ok(!self.db.among((table, columns), &wanted, &[], &sql)?.is_empty())
    }

    /// The lines of a row, in their order.
    pub(crate) fn read_lines(&self, plan: &LinesPlan, link: &Cell) -> Result<Vec<Line>, Fault> {
        if let Some(lines) = self.lines_ahead(plan, link) {
            return Ok(lines);
        }
        let columns = plan.columns.iter().map(|column| &column.name);
        let sql = format!(
            "SELECT {} FROM {} WHERE {} ORDER BY {}",
            list(plan.key.iter().chain(columns)),
            quoted(&plan.table),
            equals([&plan.parent.0], 1),
            list(&plan.order)
        );
        self.query(&sql, &[link.into()])?.into_iter().map(|row| line_of(plan, row)).collect()
    }

    /// The lines of several rows, in their order, by the marks of what names these.
    pub(crate) fn read_all_lines(&self, plan: &LinesPlan, links: &[Cell]) -> Result<HashMap<String, Vec<Line>>, Fault> {
        let columns = plan.columns.iter().map(|column| &column.name);
        let (columns, mut all) = (list([&plan.parent.0].into_iter().chain(&plan.key).chain(columns)), HashMap::new());
        let mut marks = HashSet::with_capacity(links.len());
        let once = links.iter().filter(|link| marks.insert(mark_of_link(link)));
        let wanted: Vec<_> = once.map(|link| vec![link.into()]).collect();
        let (table, order) = (quoted(&plan.table), list(&plan.order));
        let sql = |condition: &str| format!("SELECT {columns} FROM {table} WHERE {condition} ORDER BY {order}");
        for mut row in self.db.among((&plan.table, &[&plan.parent.0]), &wanted, &[], &sql)? {
            let (mark, line) = (mark_of_link(&row.remove(0)), line_of(plan, row)?);
            all.entry(mark).or_insert_with(Vec::new).push(line);
        }
        Ok(all)
    }

    /// Sets columns of a row.
    pub(crate) fn update_row(
        &self,
        table: &str,
        set: &[(&String, Cell)],
        (columns, key): (&[String], &Key),
    ) -> Result<(), Fault> {
        if set.is_empty() {
            return Ok(());
        }
        let sql = updating(table, &set.iter().map(|(name, _)| *name).collect::<Vec<_>>(), columns);
        self.execute(&sql, &given(set.iter().map(|(_, cell)| cell).chain(&key.0)))?;
        Ok(())
    }

    /// Sets columns of rows: their values, and behind them the keys.
    pub(crate) fn update_rows(
        &self,
        table: &str,
        set: &[&String],
        key: &[String],
        rows: &[Vec<Cell>],
    ) -> Result<(), Fault> {
        self.db.update_rows(table, set, key, &rows.iter().map(given).collect::<Vec<_>>())
    }

    /// Makes rows that fill the same columns.
    pub(crate) fn insert_rows(&self, table: &str, columns: &[&String], rows: &[Vec<Cell>]) -> Result<(), Fault> {
        self.db.insert_rows(table, columns, &rows.iter().map(given).collect::<Vec<_>>())
    }

    /// Makes a row.
    pub(crate) fn insert_row(&self, table: &str, set: &[(&String, Cell)]) -> Result<(), Fault> {
        self.execute(&self.inserting(table, set), &given(set.iter().map(|(_, cell)| cell)))?;
        Ok(())
    }

    /// Makes a row whose key the database gives, and tells it as it is stored.
    pub(crate) fn insert_keyless(&self, plan: &TypePlan, set: &[(&String, Cell)]) -> Result<Cell, Fault> {
        let sql = format!("{} RETURNING {}", self.inserting(&plan.table, set), self.db.key_sql(plan, ""));
        let row = self.first(&sql, &given(set.iter().map(|(_, cell)| cell)))?;
        Ok(row.into_iter().flatten().next().unwrap_or(Cell::Null))
    }

    fn inserting(&self, table: &str, set: &[(&String, Cell)]) -> String {
        let table = quoted(table);
        if set.is_empty() {
            return format!("INSERT INTO {table} DEFAULT VALUES");
        }
        let names = list(set.iter().map(|(name, _)| *name));
        format!("INSERT INTO {table} ({names}) {} VALUES ({})", self.db.spellings().inserting, marks(set.len()))
    }

    /// Takes a row away; whether it was there.
    pub(crate) fn delete_row(&self, table: &str, columns: &[String], key: &Key) -> Result<bool, Fault> {
        Ok(self.execute(&deleting(table, columns), &given(&key.0))? > 0)
    }

    /// Takes rows away.
    pub(crate) fn delete_rows(&self, table: &str, columns: &[String], keys: &[Vec<Cell>]) -> Result<(), Fault> {
        let sql = deleting(table, columns);
        self.db.execute_all(&keys.iter().map(|key| (&*sql, given(key))).collect::<Vec<_>>())
    }
}

/// What is read of a row, behind each other.
fn read_columns(plan: &TypePlan) -> String {
    let columns = plan.columns.iter().map(|column| &column.name);
    let uuid = plan.uuid.iter().map(|(name, _)| name);
    let links = plan.lines.iter().map(|lines| &lines.parent.1);
    // A table of keys alone has no column to read.
    format!("{}, 1", list(columns.chain(uuid).chain(links).chain(&plan.key[..1])))
}

fn row_of(plan: &TypePlan, mut cells: Vec<Cell>) -> Result<Row, Fault> {
    are_text(&plan.table, &plan.columns, &cells)?;
    let mut rest = cells.split_off(plan.columns.len()).into_iter();
    let uuid = plan.uuid.as_ref().and_then(|_| rest.next());
    let links = rest.take(plan.lines.len()).collect();
    Ok(Row { cells, uuid, links })
}

fn line_of(plan: &LinesPlan, mut key: Vec<Cell>) -> Result<Line, Fault> {
    let cells = key.split_off(plan.key.len());
    are_text(&plan.table, &plan.columns, &cells)?;
    Ok(Line { key: Key(key), cells })
}

/// Tells what lines name their rows by apart.
pub(super) fn mark_of_link(link: &Cell) -> String {
    mark_of(&Key(vec![link.clone()]).stored())
}

fn deleting(table: &str, columns: &[String]) -> String {
    format!("DELETE FROM {} WHERE {}", quoted(table), equals(columns, 1))
}

/// JSON has no form for other text.
fn are_text(table: &str, columns: &[ColumnPlan], cells: &[Cell]) -> Result<(), Fault> {
    match columns.iter().zip(cells).find(|(_, cell)| **cell == Cell::Garbled) {
        None => Ok(()),
        Some((column, _)) => {
            let reason = format!("column `{}` of `{table}` holds text that is not UTF-8", column.name);
            Err(Fault::aside("not_utf8", reason))
        }
    }
}
