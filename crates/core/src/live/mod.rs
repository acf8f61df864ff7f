//! Queries and update operators of the `live` dialect, as its clients carry them out: JavaScript's comparisons and
//! all. Parsed once, then asked about many documents.
//!
//! Owns their meaning and the limits on their size; the table of forms is in `spec/live.md`. Never reads storage.
//! Serves step 5 of the life of a change: the hub carries out an update or a removal by query on what stands.
//! [`filter`](crate::filter), the query language of our own clients, means other documents by the same words (absent
//! fields, lists, paths, kinds), so the two share nothing.

mod content;
mod error;
mod javascript;
mod matching;
mod parse;
mod pattern;
#[cfg(test)]
mod tests;
mod update;
mod update_path;

pub use content::{digest, document_of, readable, same_document};
pub use error::Unreadable;
pub use javascript::{deep_equal, number_text};
pub use update::Update;

use matching::Node;
use serde_json::Value;
use std::collections::BTreeSet;

/// Levels of a query inside one another.
pub const QUERY_DEPTH_MAX: usize = 32;
/// Dots in the name of a field that leads into a document.
pub const PATH_NAMES_MAX: usize = 100;
/// Conditions in one query, in all its branches.
pub const CONDITIONS_MAX: usize = 1_000;
/// Values in all `$in` and `$nin` lists of one query.
pub const IN_VALUES_MAX: usize = 100_000;
/// Bytes of a `$regex` pattern.
pub const PATTERN_BYTES_MAX: usize = 1_000;
/// The memory that a compiled pattern may take, in bytes.
pub const PATTERN_MEMORY_MAX: usize = 256 << 10;
/// Patterns in one query.
pub const PATTERNS_MAX: usize = 50;
/// How many elements an update may add to a list by naming a place behind its end.
pub const LIST_GAP_MAX: usize = 1_000;

/// Which documents are meant.
///
/// ```
/// use serde_json::json;
/// use syncline_core::live::Query;
///
/// let query = Query::parse(&json!({"n": {"$gt": 1}}))?;
/// assert!(query.matches(&json!({"id": "4", "n": "2"})), "as JavaScript compares");
/// # Ok::<(), syncline_core::live::Unreadable>(())
/// ```
#[derive(Clone, Debug)]
pub struct Query {
    root: Node,
    patterns: usize,
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// [`Unreadable`]: not a query, over a limit, or with a pattern that cannot be carried out here.
    pub fn parse(query: &Value) -> Result<Query, Unreadable> {
        let (root, patterns) = parse::query(query)?;
        Ok(Query { root, patterns })
    }

    /// The document with this id and no other.
    #[must_use]
    pub fn of_id(id: &Value) -> Query {
        Query { root: Node::of_id(id), patterns: 0 }
    }

    /// Whether a document is meant, in the shape that the client knows (see [`document_of`]).
    #[must_use]
    pub fn matches(&self, document: &Value) -> bool {
        self.root.matches(document)
    }

    /// Whether a document is meant, by its stored text. One that cannot be read (a number without end) is in no query.
    #[must_use]
    pub fn matches_stored(&self, body: &str) -> bool {
        document_of(body).is_some_and(|document| self.matches(&document))
    }

    /// How many patterns it has.
    #[must_use]
    pub fn patterns(&self) -> usize {
        self.patterns
    }

    /// The ids, as text, of which every document that is meant has one; `None`: it may have any.
    #[must_use]
    pub fn pinned(&self) -> Option<BTreeSet<String>> {
        self.root.pinned()
    }
}

/// Ways into documents are followed one name after the other.
fn check_path(path: &str) -> Result<(), Unreadable> {
    if path.bytes().filter(|byte| *byte == b'.').count() > PATH_NAMES_MAX { Err(Unreadable::Path) } else { Ok(()) }
}
