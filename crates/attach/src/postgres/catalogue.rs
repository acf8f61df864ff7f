//! The catalogue of a PostgreSQL schema: its tables, and what becomes of values in columns of each type.

use super::Postgres;
use crate::catalogue::{Affinity, Catalogue, Column, ForeignKey, Table};
use crate::engine::{Engine, Fault};
use crate::mapping::Form;
use crate::plan::RESERVED_PREFIX;
use crate::value::Cell;
use std::collections::BTreeMap;

/// Ordinary tables: a partition is reached without its parent's triggers.
const TABLES: &str = "
SELECT relname::text FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND NOT relispartition AND relpersistence = 'p'
ORDER BY relname";

/// Types without their domains; `given`: the database numbers new rows.
const COLUMNS: &str = "
SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), b.typname::text, b.typcategory::text,
  e.typcategory::text, a.attnotnull, a.attgenerated <> '',
  a.attidentity <> '' OR coalesce(pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%', false) AS given
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
  JOIN pg_type b ON b.oid = CASE t.typbasetype WHEN 0 THEN t.oid ELSE t.typbasetype END
  LEFT JOIN pg_type e ON e.oid = b.typelem
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated = ''
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum";

/// Over plain columns and all rows.
const UNIQUES: &str = "
SELECT c.relname::text, i.indexrelid, i.indisprimary, a.attname::text
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
  CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE c.relnamespace = current_schema()::regnamespace AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
  AND i.indexprs IS NULL AND k.place <= i.indnkeyatts
ORDER BY c.relname, i.indexrelid, k.place";

/// Within the schema.
const REFERENCES: &str = "
SELECT c.relname::text, f.oid, a.attname::text, r.relname::text, b.attname::text, f.confdeltype = 'c', f.condeferrable
FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_class r ON r.oid = f.confrelid
  CROSS JOIN LATERAL unnest(f.conkey, f.confkey) WITH ORDINALITY AS k(own, other, place)
  JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.own
  JOIN pg_attribute b ON b.attrelid = f.confrelid AND b.attnum = k.other
WHERE f.contype = 'f' AND c.relnamespace = current_schema()::regnamespace AND r.relnamespace = c.relnamespace
ORDER BY c.relname, f.oid, k.place";

/// The tables of the application.
pub(super) fn catalogue(db: &Postgres) -> Result<Catalogue, Fault> {
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    for name in db.query(TABLES, &[])?.into_iter().flatten().filter_map(Cell::into_text) {
        if !name.to_lowercase().starts_with(RESERVED_PREFIX) {
            tables.insert(name.clone(), Table { name, ..Table::default() });
        }
    }
    let mut given: Vec<(String, String)> = Vec::new();
    for row in db.query(COLUMNS, &[])? {
        let mut row = Reader(row.into_iter());
        let Some(table) = tables.get_mut(&row.text()) else { continue };
        let (name, declared) = (row.text(), row.text());
        let (affinity, form, respells) = kind(&row.text(), &row.text(), &row.text());
        let (not_null, generated) = (row.flag(), row.flag());
        if row.flag() && affinity == Affinity::Integer {
            given.push((table.name.clone(), name.clone()));
        }
        table.columns.push(Column { name, declared, affinity, form, respells, not_null, generated });
    }
    let mut last = -1;
    for row in db.query(UNIQUES, &[])? {
        let mut row = Reader(row.into_iter());
        let Some(table) = tables.get_mut(&row.text()) else { continue };
        let (index, is_key, column) = (row.number(), row.flag(), row.text());
        if is_key {
            table.key.push(column);
        } else if index == last {
            table.uniques.last_mut().expect("it was begun").push(column);
        } else {
            table.uniques.push(vec![column]);
        }
        last = index;
    }
    let mut last = -1;
    for row in db.query(REFERENCES, &[])? {
        let mut row = Reader(row.into_iter());
        let Some(table) = tables.get_mut(&row.text()) else { continue };
        let (constraint, column, other, target) = (row.number(), row.text(), row.text(), row.text());
        if constraint != last {
            let (cascades, defers) = (row.flag(), row.flag());
            let (columns, targets) = (Vec::new(), Vec::new());
            table.references.push(ForeignKey { columns, table: other, targets, cascades, defers });
        }
        let key = table.references.last_mut().expect("it was begun");
        key.columns.push(column);
        key.targets.push(target);
        last = constraint;
    }
    for (table, column) in given {
        if let Some(table) = tables.get_mut(&table).filter(|table| table.key == [column]) {
            (table.numbered, table.never_again) = (true, true);
        }
    }
    Ok(Catalogue { tables: tables.into_values().collect() })
}

/// What a type does to values, how they are written in packets, and whether one is spelled in several ways.
fn kind(name: &str, category: &str, of: &str) -> (Affinity, Form, bool) {
    match (name, category) {
        ("int2" | "int4" | "int8" | "oid", _) => (Affinity::Integer, Form::Plain, false),
        ("float8", _) => (Affinity::Real, Form::Plain, false),
        // It holds fewer digits than numbers of JSON have.
        ("float4", _) => (Affinity::Real, Form::Plain, true),
        ("numeric", _) => (Affinity::Text, Form::Decimal, true),
        ("bool", _) => (Affinity::Numeric, Form::Boolean, false),
        ("bytea", _) => (Affinity::None, Form::Plain, false),
        ("json", _) => (Affinity::Text, Form::Json, false),
        ("jsonb", _) => (Affinity::Text, Form::Json, true),
        ("timestamp", _) => (Affinity::Text, Form::Datetime, true),
        ("timestamptz", _) => (Affinity::Text, Form::Instant, true),
        ("text" | "varchar" | "bpchar" | "name" | "citext", _) | (_, "E") => (Affinity::Text, Form::Plain, false),
        (_, "A") if matches!(of, "N" | "B") => (Affinity::Text, Form::Array, true),
        (_, "A") => (Affinity::Text, Form::TextArray, true),
        _ => (Affinity::Text, Form::Plain, true),
    }
}

/// The cells of a row, one after the other.
struct Reader(std::vec::IntoIter<Cell>);

impl Reader {
    fn text(&mut self) -> String {
        self.0.next().and_then(Cell::into_text).unwrap_or_default()
    }

    fn number(&mut self) -> i64 {
        self.0.next().map_or(0, |cell| cell.number())
    }

    fn flag(&mut self) -> bool {
        self.number() != 0
    }
}
