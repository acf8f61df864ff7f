//! The catalogue of a SQLite file, read by its pragmas.

use crate::catalogue::{Affinity, Catalogue, Column, ForeignKey, Table};
use crate::mapping::Form;
use crate::plan::RESERVED_PREFIX;
use rusqlite::Connection;
use std::collections::BTreeMap;

/// The tables of the application.
pub(super) fn catalogue(conn: &Connection) -> rusqlite::Result<Catalogue> {
    let sql = "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table'
               AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
    let mut find = conn.prepare(sql)?;
    let rows = find.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)))?;
    let named: Vec<(String, bool)> = rows.collect::<rusqlite::Result<_>>()?;
    let own = named.into_iter().filter(|(name, _)| !name.to_lowercase().starts_with(RESERVED_PREFIX));
    let tables = own.map(|(name, without_rowid)| table(conn, &name, without_rowid));
    Ok(Catalogue { tables: tables.collect::<rusqlite::Result<_>>()? })
}

fn table(conn: &Connection, name: &str, without_rowid: bool) -> rusqlite::Result<Table> {
    let sql = "SELECT name, type, \"notnull\", pk, hidden FROM pragma_table_xinfo(?1) WHERE hidden <> 1";
    let mut find = conn.prepare_cached(sql)?;
    let mut keys: BTreeMap<i64, String> = BTreeMap::new();
    let mut columns = Vec::new();
    let mut rows = find.query([name])?;
    while let Some(row) = rows.next()? {
        let column = Column {
            name: row.get(0)?,
            declared: row.get(1)?,
            affinity: affinity(&row.get::<_, String>(1)?),
            form: form(&row.get::<_, String>(1)?),
            respells: false,
            not_null: row.get::<_, bool>(2)? || row.get::<_, i64>(3)? > 0,
            generated: row.get::<_, i64>(4)? > 1,
        };
        match row.get(3)? {
            0 => {}
            place => drop(keys.insert(place, column.name.clone())),
        }
        columns.push(column);
    }
    let key: Vec<String> = keys.into_values().collect();
    let declared = |column: &&Column| key.len() == 1 && column.name == key[0];
    let numbered = !without_rowid
        && columns.iter().find(declared).is_some_and(|column| column.declared.eq_ignore_ascii_case("INTEGER"));
    let sql = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    let made: String = conn.prepare_cached(sql)?.query_row([name], |row| row.get(0))?;
    let never_again = numbered && made.to_uppercase().contains("AUTOINCREMENT");
    let (references, uniques) = (references(conn, name)?, uniques(conn, name)?);
    Ok(Table { name: name.to_owned(), columns, key, numbered, never_again, references, uniques })
}

fn references(conn: &Connection, table: &str) -> rusqlite::Result<Vec<ForeignKey>> {
    let sql = "SELECT id, \"table\", \"from\", \"to\", on_delete FROM pragma_foreign_key_list(?1) ORDER BY id, seq";
    let mut find = conn.prepare_cached(sql)?;
    let mut all: BTreeMap<i64, ForeignKey> = BTreeMap::new();
    let mut rows = find.query([table])?;
    while let Some(row) = rows.next()? {
        let (target, cascades): (String, bool) = (row.get(1)?, row.get::<_, String>(4)? == "CASCADE");
        let new = || ForeignKey { columns: Vec::new(), table: target, targets: Vec::new(), cascades, defers: true };
        let key = all.entry(row.get(0)?).or_insert_with(new);
        key.columns.push(row.get(2)?);
        key.targets.extend(row.get::<_, Option<String>>(3)?);
    }
    Ok(all.into_values().collect())
}

/// Unique indexes over plain columns and all rows, without the one of the primary key.
fn uniques(conn: &Connection, table: &str) -> rusqlite::Result<Vec<Vec<String>>> {
    let sql =
        "SELECT name FROM pragma_index_list(?1) WHERE \"unique\" AND NOT partial AND origin <> 'pk' ORDER BY name";
    let mut find = conn.prepare_cached(sql)?;
    let names: Vec<String> = find.query_map([table], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut all = Vec::new();
    for name in names {
        let mut find = conn.prepare_cached("SELECT name FROM pragma_index_info(?1) ORDER BY seqno")?;
        let columns: Vec<Option<String>> =
            find.query_map([name], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        all.extend(columns.into_iter().collect::<Option<Vec<String>>>());
    }
    Ok(all)
}

/// The rules of SQLite's documentation, in their order.
fn affinity(declared: &str) -> Affinity {
    let declared = declared.to_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    if has(&["INT"]) {
        Affinity::Integer
    } else if has(&["CHAR", "CLOB", "TEXT"]) {
        Affinity::Text
    } else if declared.is_empty() || has(&["BLOB"]) || declared == "ANY" {
        Affinity::None
    } else if has(&["REAL", "FLOA", "DOUB"]) {
        Affinity::Real
    } else {
        Affinity::Numeric
    }
}

/// The form that a declared type suggests.
fn form(declared: &str) -> Form {
    match declared.to_uppercase().as_str() {
        "BOOLEAN" | "BOOL" => Form::Boolean,
        "JSON" => Form::Json,
        _ => Form::Plain,
    }
}
