//! The definitions of a collection's indexes. Creating one writes no entries: the caller then calls
//! [`write`](super::write) for every document, in the same transaction.

use super::IndexError;
use super::limits::{INDEXES_MAX, NAME_BYTES_MAX};
use crate::filter::Path;
use rusqlite::{Connection, OptionalExtension, params};

/// An index's number in its database file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexId(pub i64);

/// One index of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexDef {
    /// Its number in this file.
    pub id: IndexId,
    /// Its name, unique in its collection.
    pub name: String,
    /// The path of the values that it holds.
    pub path: Path,
    /// Whether two documents may not share a value.
    pub unique: bool,
}

/// What [`create`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// A new definition, still without entries.
    New(IndexDef),
    /// The same index was there before, with its entries.
    Existing(IndexDef),
}

/// Defines an index of the collection `cid`. Asking again for the same index is harmless.
///
/// # Errors
/// [`IndexError`] when the name is taken by a different index, breaks a limit, or SQLite refuses.
pub fn create(conn: &Connection, cid: i64, name: &str, path: &str, unique: bool) -> Result<Created, IndexError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(IndexError::Name { shown: name.chars().take(40).collect(), bytes: name.len() });
    }
    let path = parse_path(name, path)?;
    let defs = list(conn, cid)?;
    if let Some(def) = defs.iter().find(|def| def.name == name) {
        if def.path == path && def.unique == unique {
            return Ok(Created::Existing(def.clone()));
        }
        return Err(IndexError::NameTaken { name: name.into(), path: def.path.to_string(), unique: def.unique });
    }
    if defs.len() >= INDEXES_MAX {
        return Err(IndexError::TooMany);
    }
    conn.prepare_cached("INSERT INTO indexes(cid, name, path, is_unique) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![cid, name, path.as_str(), unique])?;
    Ok(Created::New(IndexDef { id: IndexId(conn.last_insert_rowid()), name: name.to_owned(), path, unique }))
}

/// Removes an index with its entries; `false` when the collection has none of this name.
///
/// # Errors
/// [`IndexError::Sqlite`].
pub fn drop(conn: &Connection, cid: i64, name: &str) -> Result<bool, IndexError> {
    let id: Option<i64> = conn
        .prepare_cached("DELETE FROM indexes WHERE cid = ?1 AND name = ?2 RETURNING index_id")?
        .query_row(params![cid, name], |row| row.get(0))
        .optional()?;
    if let Some(id) = id {
        conn.prepare_cached("DELETE FROM index_entries WHERE index_id = ?1")?.execute([id])?;
    }
    Ok(id.is_some())
}

/// The indexes of a collection, oldest first.
///
/// # Errors
/// [`IndexError::Sqlite`].
pub fn list(conn: &Connection, cid: i64) -> Result<Vec<IndexDef>, IndexError> {
    let mut statement =
        conn.prepare_cached("SELECT index_id, name, path, is_unique FROM indexes WHERE cid = ?1 ORDER BY index_id")?;
    let mut rows = statement.query([cid])?;
    let mut defs = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(1)?;
        let path = parse_path(&name, row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?)?;
        defs.push(IndexDef { id: IndexId(row.get(0)?), name, path, unique: row.get(3)? });
    }
    Ok(defs)
}

fn parse_path(name: &str, path: &str) -> Result<Path, IndexError> {
    Path::new(path).map_err(|source| IndexError::Path { name: name.to_owned(), source })
}
