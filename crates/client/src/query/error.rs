//! Why a query is refused, and what to write instead.

use crate::filter::FilterError;
use thiserror::Error;

/// A query that cannot be parsed, or a plan that cannot be run.
#[derive(Debug, Error)]
pub enum QueryError {
    /// The query is no object.
    #[error("a query is a JSON object with any of `filter`, `sort`, `skip`, `limit`, `projection`")]
    NotAnObject,
    /// A part that does not exist.
    #[error("unknown part `{0}` of a query; known: filter, sort, skip, limit, projection")]
    UnknownPart(String),
    /// A part of the wrong form.
    #[error("`{part}` takes {expected}")]
    Part {
        /// The part.
        part: &'static str,
        /// What it takes.
        expected: &'static str,
    },
    /// A path in `sort` with something else than a direction.
    #[error("`sort` by `{path}` takes 1 (ascending) or -1 (descending)")]
    Direction {
        /// The path.
        path: String,
    },
    /// Too many paths to sort by.
    #[error("a query sorts by at most {LIMIT} paths", LIMIT = super::limits::SORT_PATHS_MAX)]
    TooManyOrders,
    /// A path in `projection` with something else than a choice.
    #[error("`projection` of `{path}` takes 1 or true (include), or 0 or false (exclude)")]
    Choice {
        /// The path.
        path: String,
    },
    /// Included and excluded paths in one projection.
    #[error("`projection` both includes and excludes fields, at `{path}`; only `_id` may differ from the others")]
    MixedProjection {
        /// The first path that differs.
        path: String,
    },
    /// One path of a projection lies inside another.
    #[error("`projection` names `{outer}` and, inside it, `{inner}`; keep one of them")]
    Overlap {
        /// The shorter path.
        outer: String,
        /// The longer path.
        inner: String,
    },
    /// Too many paths in a projection.
    #[error("`projection` names more than {LIMIT} paths", LIMIT = super::limits::PROJECTION_PATHS_MAX)]
    TooManyFields,
    /// The filter, or a path, is refused.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// SQLite refused to read the index.
    #[error("the index cannot be read: {0}")]
    Sqlite(#[from] rusqlite::Error),
}
