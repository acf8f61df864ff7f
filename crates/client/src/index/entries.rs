//! The entries of documents: which keys a document has, and keeping the table to it.

use super::limits::{ENTRIES_MAX, KEY_BYTES_MAX};
use super::{IndexDef, IndexError, IndexId, key};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;
use std::collections::BTreeSet;

/// A value that another document holds already in a unique index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniqueConflict {
    /// The unique index.
    pub index: IndexId,
    /// Rowid of the document that holds the value.
    pub holder: i64,
}

/// Brings the entries of the document in row `doc` from its `old` content to its `new` one; `None`
/// is a document that is not there. Only entries that differ are written.
///
/// # Errors
/// [`IndexError::Sqlite`].
pub fn write(
    conn: &Connection,
    defs: &[IndexDef],
    doc: i64,
    old: Option<&Value>,
    new: Option<&Value>,
) -> Result<(), IndexError> {
    for def in defs {
        let before = old.map(|document| keys(def, document)).unwrap_or_default();
        let after = new.map(|document| keys(def, document)).unwrap_or_default();
        for key in before.difference(&after) {
            conn.prepare_cached("DELETE FROM index_entries WHERE index_id = ?1 AND key = ?2 AND doc = ?3")?
                .execute(params![def.id.0, key, doc])?;
        }
        for key in after.difference(&before) {
            conn.prepare_cached("INSERT OR IGNORE INTO index_entries(index_id, key, doc) VALUES (?1, ?2, ?3)")?
                .execute(params![def.id.0, key, doc])?;
        }
    }
    Ok(())
}

/// Forgets the entries of a document whose content nobody can read any more.
///
/// # Errors
/// [`IndexError::Sqlite`].
pub fn forget(conn: &Connection, defs: &[IndexDef], doc: i64) -> Result<(), IndexError> {
    for def in defs {
        conn.prepare_cached("DELETE FROM index_entries WHERE index_id = ?1 AND doc = ?2")?
            .execute(params![def.id.0, doc])?;
    }
    Ok(())
}

/// The first unique index in which another row than `doc` holds one of the values of `new`. `doc` is
/// the document's own row, or `None` before it has one. Null and absent values never conflict; the
/// elements of an array do, one by one, and the array as a whole does not.
///
/// # Errors
/// [`IndexError::Sqlite`].
pub fn unique_conflict(
    conn: &Connection,
    defs: &[IndexDef],
    doc: Option<i64>,
    new: &Value,
) -> Result<Option<UniqueConflict>, IndexError> {
    for def in defs.iter().filter(|def| def.unique) {
        for key in keys(def, new).iter().filter(|key| key[0] < key::WHOLE) {
            let holder: Option<i64> = conn
                .prepare_cached(
                    "SELECT doc FROM index_entries WHERE index_id = ?1 AND key = ?2 AND doc IS NOT ?3 LIMIT 1",
                )?
                .query_row(params![def.id.0, key, doc], |row| row.get(0))
                .optional()?;
            if let Some(holder) = holder {
                return Ok(Some(UniqueConflict { index: def.id, holder }));
            }
        }
    }
    Ok(None)
}

/// Where keys of this index are cut.
pub(crate) fn key_bytes_max(def: &IndexDef) -> usize {
    if def.unique { usize::MAX } else { KEY_BYTES_MAX }
}

/// The keys that a document has in an index.
fn keys(def: &IndexDef, document: &Value) -> BTreeSet<Vec<u8>> {
    let mut keys = BTreeSet::new();
    let bytes_max = key_bytes_max(def);
    let entries_max = if def.unique { usize::MAX } else { ENTRIES_MAX };
    let too_many = def.path.any_leaf(document, &mut |leaf| {
        match leaf {
            None | Some(Value::Null) => {}
            Some(array @ Value::Array(elements)) => {
                keys.insert(key::of_whole_array(array, bytes_max));
                for element in elements.iter().filter(|element| !element.is_null()) {
                    keys.insert(key::of_value(element, bytes_max));
                    if keys.len() > entries_max {
                        break;
                    }
                }
            }
            Some(value) => {
                keys.insert(key::of_value(value, bytes_max));
            }
        }
        keys.len() > entries_max
    });
    if too_many {
        return BTreeSet::from([key::ANY.to_vec()]);
    }
    if keys.len() > 1 {
        keys.insert(key::MANY.to_vec());
    }
    keys
}
