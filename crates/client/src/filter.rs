//! Filters, as `find`, live queries and indexes use them.
//!
//! The language itself is `syncline_core::filter`, because a hub asks the same of documents; see there for its
//! rules. This module only says which part of it belongs to the library's own interface.

pub use syncline_core::filter::{
    CONDITIONS_MAX, DEPTH_MAX, Filter, FilterError, IN_VALUES_MAX, OPERAND_DEPTH_MAX, PATH_BYTES_MAX,
    PATH_SEGMENTS_MAX, Path,
};

#[cfg(test)]
pub(crate) use syncline_core::filter::arbitrary;
pub(crate) use syncline_core::filter::{Comparison, Node, NumberKey, Test, compare};
