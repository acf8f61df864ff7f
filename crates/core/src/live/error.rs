//! Why a query or an update cannot be carried out here.

use super::{
    CONDITIONS_MAX, IN_VALUES_MAX, LIST_GAP_MAX, PATH_NAMES_MAX, PATTERN_BYTES_MAX, PATTERN_MEMORY_MAX, PATTERNS_MAX,
    QUERY_DEPTH_MAX,
};
use thiserror::Error;

/// What is wrong with a query or an update, and what its sender can do about it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// Something else stands where a query must.
    #[error("a query must be an object, also inside `$and`, `$or` and `$not`")]
    Query,
    /// The query is nested too deep.
    #[error("the query nests deeper than {QUERY_DEPTH_MAX} levels; write it flatter")]
    TooDeep,
    /// A way into a document is too long.
    #[error("a name of a field leads through more than {PATH_NAMES_MAX} dots, deeper than documents go")]
    Path,
    /// The query has too many conditions.
    #[error("the query has more than {CONDITIONS_MAX} conditions; send several smaller ones")]
    TooManyConditions,
    /// The query has too many values in lists.
    #[error("the query lists more than {IN_VALUES_MAX} values in `$in` and `$nin`; send several smaller ones")]
    TooManyValues,
    /// The query has too many patterns.
    #[error("the query has more than {PATTERNS_MAX} `$regex` patterns; send several smaller ones")]
    TooManyPatterns,
    /// The pattern asks for what takes time without bound.
    #[error("the pattern `{pattern}` uses {construct}, which the hub does not carry out; name the documents otherwise")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What it uses.
        construct: &'static str,
    },
    /// The pattern is too long.
    #[error("a `$regex` pattern has {actual} bytes; the limit is {PATTERN_BYTES_MAX}")]
    PatternTooLong {
        /// What it has.
        actual: usize,
    },
    /// The pattern is short and large.
    #[error("the pattern `{pattern}` takes more than {PATTERN_MEMORY_MAX} bytes of memory; repeat less in it")]
    PatternTooLarge {
        /// The pattern.
        pattern: String,
    },
    /// Something else stands where an update must.
    #[error("an update must be an object, and the operand of `{operator}` an object of fields")]
    Update {
        /// Which operator; empty for the update itself.
        operator: String,
    },
    /// A list would get an element far behind its end.
    #[error("the update names place {place} of a list, more than {LIST_GAP_MAX} behind its end; fill the list first")]
    ListGap {
        /// The place.
        place: usize,
    },
}

impl Unreadable {
    /// A short, stable word for the quarantine.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Unreadable::Query => "malformed_query",
            Unreadable::TooDeep
            | Unreadable::TooManyConditions
            | Unreadable::TooManyValues
            | Unreadable::TooManyPatterns => "query_too_large",
            Unreadable::Pattern { .. } => "unsupported_pattern",
            Unreadable::PatternTooLong { .. } | Unreadable::PatternTooLarge { .. } => "pattern_too_large",
            Unreadable::Update { .. } => "malformed_update",
            Unreadable::ListGap { .. } => "update_too_large",
            Unreadable::Path => "path_too_long",
        }
    }
}
