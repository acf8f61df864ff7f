//! Rows of the application, read and written as cells.

use super::{Fault, Work, cell_at, equals, list, parameters, quoted};
use crate::identity::Key;
use crate::plan::{LinesPlan, TypePlan};
use crate::value::Cell;
use rusqlite::ToSql;

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
        let columns = plan.columns.iter().map(|column| &column.name);
        let uuid = plan.uuid.iter().map(|(name, _)| name);
        let links = plan.lines.iter().map(|lines| &lines.parent.1);
        // A table of keys alone has no column to read.
        let sql = format!(
            "SELECT {}, 1 FROM {} WHERE {}",
            list(columns.chain(uuid).chain(links).chain(&plan.key[..1])),
            quoted(&plan.table),
            equals(&plan.key, 1)
        );
        let mut find = self.conn.prepare_cached(&sql)?;
        let mut rows = find.query(&*key.parameters())?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let width = plan.columns.len();
        let cells = (0..width).map(|n| cell_at(row, n)).collect::<Result<_, _>>()?;
        let uuid = plan.uuid.as_ref().map(|_| cell_at(row, width)).transpose()?;
        let from = width + usize::from(uuid.is_some());
        let links = (from..from + plan.lines.len()).map(|n| cell_at(row, n)).collect::<Result<_, _>>()?;
        Ok(Some(Row { cells, uuid, links }))
    }

    /// Whether there is a row of a key, as it is stored.
    pub(crate) fn is_there(&self, plan: &TypePlan, key: &Cell) -> Result<bool, Fault> {
        let Some(key) = Key::parse(key) else { return Ok(false) };
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {} WHERE {})", quoted(&plan.table), equals(&plan.key, 1));
        Ok(self.conn.prepare_cached(&sql)?.query_row(&*key.parameters(), |row| row.get(0))?)
    }

    /// The lines of a row, in their order.
    pub(crate) fn read_lines(&self, plan: &LinesPlan, link: &Cell) -> Result<Vec<Line>, Fault> {
        let columns = plan.columns.iter().map(|column| &column.name);
        let sql = format!(
            "SELECT {} FROM {} WHERE {} ORDER BY {}",
            list(plan.key.iter().chain(columns)),
            quoted(&plan.table),
            equals([&plan.parent.0], 1),
            list(&plan.order)
        );
        let mut find = self.conn.prepare_cached(&sql)?;
        let mut rows = find.query([link])?;
        let (mut lines, width) = (Vec::new(), plan.key.len());
        while let Some(row) = rows.next()? {
            let key = Key((0..width).map(|n| cell_at(row, n)).collect::<Result<_, _>>()?);
            let cells = (width..width + plan.columns.len()).map(|n| cell_at(row, n)).collect::<Result<_, _>>()?;
            lines.push(Line { key, cells });
        }
        Ok(lines)
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
        let assigned = set.iter().enumerate().map(|(n, (name, _))| format!("{} = ?{}", quoted(name), n + 1));
        let sql = format!(
            "UPDATE {} SET {} WHERE {}",
            quoted(table),
            assigned.collect::<Vec<_>>().join(", "),
            equals(columns, set.len() + 1)
        );
        let mut values = parameters(set.iter().map(|(_, cell)| cell));
        values.extend(key.parameters());
        self.conn.prepare_cached(&sql)?.execute(&*values)?;
        Ok(())
    }

    /// Makes a row.
    pub(crate) fn insert_row(&self, table: &str, set: &[(&String, Cell)]) -> Result<(), Fault> {
        let marks = (1..=set.len()).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
        let sql = match set.is_empty() {
            true => format!("INSERT INTO {} DEFAULT VALUES", quoted(table)),
            false => {
                let names = list(set.iter().map(|(name, _)| *name));
                format!("INSERT INTO {} ({names}) VALUES ({marks})", quoted(table))
            }
        };
        let values: Vec<&dyn ToSql> = parameters(set.iter().map(|(_, cell)| cell));
        self.conn.prepare_cached(&sql)?.execute(&*values)?;
        Ok(())
    }

    /// Takes a row away; whether it was there.
    pub(crate) fn delete_row(&self, table: &str, columns: &[String], key: &Key) -> Result<bool, Fault> {
        let sql = format!("DELETE FROM {} WHERE {}", quoted(table), equals(columns, 1));
        Ok(self.conn.prepare_cached(&sql)?.execute(&*key.parameters())? > 0)
    }

    /// The key of the row that was made last.
    pub(crate) fn last_key(&self, plan: &TypePlan) -> Result<Cell, Fault> {
        let sql = format!("SELECT {} FROM {} WHERE rowid = last_insert_rowid()", plan.key_sql(""), quoted(&plan.table));
        let mut find = self.conn.prepare_cached(&sql)?;
        let mut rows = find.query([])?;
        rows.next()?.map_or(Ok(Cell::Null), |row| cell_at(row, 0))
    }

    /// A number for a new row that no row has.
    pub(crate) fn next_number(&self, plan: &TypePlan) -> Result<i64, Fault> {
        let (table, key) = (quoted(&plan.table), quoted(&plan.key[0]));
        let mut sql = format!("SELECT max(0, ifnull((SELECT max({key}) FROM {table}), 0)");
        if plan.never_again {
            sql.push_str(", ifnull((SELECT seq FROM sqlite_sequence WHERE name = ?1), 0)) WHERE ?1 IS NOT NULL");
        } else {
            sql.push_str(") WHERE ?1 IS NOT NULL");
        }
        Ok(self.conn.prepare_cached(&sql)?.query_row([&plan.table], |row| row.get(0))?)
    }
}
