//! What can go wrong with indexes.

use thiserror::Error;

/// An index that cannot be defined, or whose tables cannot be read or written.
#[derive(Debug, Error)]
pub enum IndexError {
    /// The name is taken by an index that differs.
    #[error("index `{name}` exists already on `{path}`, {uniqueness}; drop it first, or choose another name", uniqueness = if *.unique { "unique" } else { "not unique" })]
    NameTaken {
        /// The name.
        name: String,
        /// The path of the existing index.
        path: String,
        /// Whether the existing index is unique.
        unique: bool,
    },
    /// A name that is empty or too long.
    #[error("an index name has 1 to {LIMIT} bytes; `{shown}` has {bytes}", LIMIT = super::limits::NAME_BYTES_MAX)]
    Name {
        /// The name's beginning.
        shown: String,
        /// Its length.
        bytes: usize,
    },
    /// The collection has as many indexes as it may.
    #[error("the collection has {LIMIT} indexes already, which is the limit; drop one first", LIMIT = super::limits::INDEXES_MAX)]
    TooMany,
    /// A path that cannot be one.
    #[error("index `{name}`: {source}")]
    Path {
        /// The index.
        name: String,
        /// What is wrong with its path.
        source: crate::filter::FilterError,
    },
    /// SQLite refused.
    #[error("the index tables cannot be read or written: {0}")]
    Sqlite(#[from] rusqlite::Error),
}
