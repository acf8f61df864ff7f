//! Secondary indexes: which documents hold a value under a path, kept in two tables of the
//! collection's own database.
//!
//! Owns the tables of [`SCHEMA`], the byte keys and their upkeep. It never decides a query: an
//! index proposes documents, the filter decides. Entries change in the transaction of the document
//! they describe (steps 1 and 9 of a change); this module opens none.
//!
//! # What an entry means
//!
//! A document has one entry for each distinct value under the index's path: the value itself, and
//! for an array each distinct element and the array as a whole. Absent values and null have none.
//! Two marks tell what keys alone cannot: one (`FF`) stands beside the entries of a document with
//! several values, the other (`FE`) alone stands for a document with more than [`ENTRIES_MAX`]
//! entries.

mod definition;
mod entries;
mod error;
pub(crate) mod key;
mod limits;

#[cfg(test)]
mod tests;

pub use definition::{Created, IndexDef, IndexId, create, drop, list};
pub(crate) use entries::key_bytes_max;
pub use entries::{UniqueConflict, forget, unique_conflict, write};
pub use error::IndexError;
pub use limits::{ENTRIES_MAX, INDEXES_MAX, KEY_BYTES_MAX, NAME_BYTES_MAX};

/// The tables of all indexes. `doc` is the rowid of the document in the table `docs`.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS indexes(
  index_id INTEGER PRIMARY KEY,
  cid INTEGER NOT NULL,
  name TEXT NOT NULL,
  path TEXT NOT NULL,
  is_unique INTEGER NOT NULL,
  UNIQUE(cid, name)
);
CREATE TABLE IF NOT EXISTS index_entries(
  index_id INTEGER NOT NULL,
  key BLOB NOT NULL,
  doc INTEGER NOT NULL,
  PRIMARY KEY(index_id, key, doc)
) WITHOUT ROWID;
";
