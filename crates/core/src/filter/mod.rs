//! Which documents are meant: a filter in the style of MongoDB, parsed once, then asked about many
//! documents.
//!
//! Owns the operators, the paths, the comparison of JSON values and the limits on a filter's size.
//! It never reads storage and knows nothing of indexes; whatever an index proposes is asked here
//! again. Serves step 10 of a change (live queries), every `find`, and on the hub the row filters of
//! registered nodes and of tokens.
//!
//! # The rules
//!
//! - `{"a": 1}` is `{"a": {"$eq": 1}}`; several fields, or several operators of one field, must all
//!   hold. `{}` matches every document.
//! - Paths go through objects (`address.city`), positions (`tags.0`) and arrays of objects
//!   (`items.price` looks at each item). A number names the position when the array has it. A
//!   top-level key spelt exactly like the whole path wins over the path.
//! - An array matches when one of its elements does, or the array as a whole. So
//!   `{"a": {"$gt": 5, "$lt": 10}}` matches `[3, 12]`: each operator finds its own element.
//! - `null` equals a field that is absent. Elements of an array that are no objects do not count as
//!   lacking a field.
//! - `$gt $gte $lt $lte` compare only within a kind: numbers with numbers, strings with strings (by
//!   UTF-8 bytes), booleans with booleans, null with null or absent.
//! - Numbers are compared exactly, whatever mix of integers and floats: 1 equals 1.0, and
//!   9007199254740993 is greater than 9007199254740992.0.
//! - Objects are equal whatever the order of their fields, because merging two edits may reorder
//!   them. Arrays are equal element by element.
//! - `$ne`, `$nin` and `$not` match exactly what `$eq`, `$in` and the inner test do not.
//!
//! Cost is bounded: there are no patterns, and one match costs at most the number of conditions
//! times the size of the document (times the logarithm of a `$in` list).

mod error;
mod limits;
mod matching;
mod order;
mod parse;
mod path;
mod substitute;

#[cfg(any(test, feature = "arbitrary"))]
pub mod arbitrary;
#[cfg(test)]
mod tests;

pub use error::FilterError;
pub use limits::{CONDITIONS_MAX, DEPTH_MAX, IN_VALUES_MAX, OPERAND_DEPTH_MAX, PATH_BYTES_MAX, PATH_SEGMENTS_MAX};
pub use order::{NumberKey, compare};
pub use path::Path;
pub use substitute::{bind_claims, substitute};

use serde_json::Value;

/// A parsed filter.
///
/// ```
/// use serde_json::json;
/// use syncline_core::filter::Filter;
///
/// let adults = Filter::parse(&json!({"age": {"$gte": 18}, "tags": "vip"}))?;
/// assert!(adults.matches(&json!({"age": 30, "tags": ["new", "vip"]})));
/// assert!(!adults.matches(&json!({"age": "30", "tags": ["vip"]})));
/// # Ok::<(), syncline_core::filter::FilterError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    root: Node,
}

impl Filter {
    /// The filter `{}`, which matches every document.
    #[must_use]
    pub fn all() -> Filter {
        Filter { root: Node::And(Vec::new()) }
    }

    /// Reads a filter from its JSON form.
    ///
    /// # Errors
    /// [`FilterError`] naming the operator, the path and what is known or allowed there.
    pub fn parse(filter: &Value) -> Result<Filter, FilterError> {
        parse::parse(filter).map(|root| Filter { root })
    }

    /// Whether the document is meant.
    #[must_use]
    pub fn matches(&self, document: &Value) -> bool {
        matching::matches(&self.root, document)
    }

    /// Shows every path that a condition looks at.
    pub fn each_path<'f>(&'f self, show: &mut impl FnMut(&'f Path)) {
        self.root.each_path(show);
    }

    /// The conditions, for the planner.
    #[must_use]
    pub fn root(&self) -> &Node {
        &self.root
    }
}

impl Default for Filter {
    fn default() -> Filter {
        Filter::all()
    }
}

/// One condition or a combination of conditions.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// All hold; an empty list holds.
    And(Vec<Node>),
    /// At least one holds.
    Or(Vec<Node>),
    /// It does not hold.
    Not(Box<Node>),
    /// Some value under the path passes the test.
    Field {
        /// Where the value stands.
        path: Path,
        /// What it must be like.
        test: Test,
    },
}

impl Node {
    fn each_path<'f>(&'f self, show: &mut impl FnMut(&'f Path)) {
        match self {
            Node::And(nodes) | Node::Or(nodes) => nodes.iter().for_each(|node| node.each_path(show)),
            Node::Not(inner) => inner.each_path(show),
            Node::Field { path, .. } => show(path),
        }
    }
}

/// What one value must be like.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// Equal to the operand; null also equals absence.
    Equal(Value),
    /// Equal to one of the operands, which are sorted by [`compare`] and distinct.
    In(Vec<Value>),
    /// Of the operand's kind and on this side of it. The operand is null, a number, a string or a
    /// boolean.
    Compare(Comparison, Value),
    /// Present, be it as null.
    Exists,
}

/// The side of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Above it.
    Greater,
    /// Above it, or equal.
    GreaterOrEqual,
    /// Below it.
    Less,
    /// Below it, or equal.
    LessOrEqual,
}
