//! Why a filter is refused, and what to write instead.

use thiserror::Error;

/// A filter that cannot be parsed. Paths are shown as written; conditions outside a field are `the
/// filter`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FilterError {
    /// A filter, or a branch of `$and`, `$or` or `$not`, that is no object.
    #[error("{place} is {found}; a filter is a JSON object such as {{\"name\": \"Ada\"}}")]
    NotAnObject {
        /// `the filter`, or the operator whose branch it is.
        place: String,
        /// What stands there.
        found: &'static str,
    },
    /// An operator that does not exist, or not in this place.
    #[error("unknown operator `{operator}` in {place}; known here: {known}")]
    UnknownOperator {
        /// As written.
        operator: String,
        /// The field's path in backticks, or `the filter`.
        place: String,
        /// The operators that may stand there.
        known: &'static str,
    },
    /// An operator with a value that it cannot take.
    #[error("`{operator}` in {place} takes {expected}, not {found}")]
    Operand {
        /// The operator.
        operator: &'static str,
        /// The field's path in backticks, or `the filter`.
        place: String,
        /// What it takes.
        expected: &'static str,
        /// What was given.
        found: &'static str,
    },
    /// Operators and plain fields in one object.
    #[error(
        "`{path}` mixes operators with the plain field `{field}`; write {{\"{path}.{field}\": …}} for the field, or `$eq` for a whole object"
    )]
    Mixed {
        /// The field.
        path: String,
        /// The first plain key found.
        field: String,
    },
    /// Branches nested too deep.
    #[error("the filter nests `$and`, `$or` and `$not` more than {DEPTH} levels deep; flatten it", DEPTH = super::limits::DEPTH_MAX)]
    TooDeep,
    /// Too many conditions.
    #[error("the filter has more than {LIMIT} conditions; use `$in`, or ask in parts", LIMIT = super::limits::CONDITIONS_MAX)]
    TooManyConditions,
    /// A list with too many values.
    #[error("`{operator}` in {place} lists {found} values; the limit is {LIMIT}, ask in parts", LIMIT = super::limits::IN_VALUES_MAX)]
    TooManyValues {
        /// `$in` or `$nin`.
        operator: &'static str,
        /// The field's path in backticks.
        place: String,
        /// How many there are.
        found: usize,
    },
    /// A value nested too deep.
    #[error("`{operator}` in {place} has a value nested more than {LIMIT} levels deep", LIMIT = super::limits::OPERAND_DEPTH_MAX)]
    OperandTooDeep {
        /// The operator.
        operator: &'static str,
        /// The field's path in backticks.
        place: String,
    },
    /// A filter for a node asks for an attribute that the node does not have.
    #[error("the filter asks for `$node.{name}`, and the node has {known}; set the attribute, or correct its name")]
    UnknownAttribute {
        /// Its name, as written.
        name: String,
        /// The attributes that there are, or `no attributes`.
        known: String,
    },
    /// A filter for a token asks for a claim that the token does not have, or that is null.
    #[error(
        "the filter asks for the claim `{name}`, and the token has none; give it one, or write `$${name}` for the text `${name}` itself"
    )]
    MissingClaim {
        /// Its name, as written.
        name: String,
    },
    /// A filter for a token asks for a claim whose value is no plain one.
    #[error(
        "the claim `{name}` can stand in no filter: it is an object, or a list of more than texts, numbers, true and false"
    )]
    UnusableClaim {
        /// Its name, as written.
        name: String,
    },
    /// Claims that make a filter too large.
    #[error(
        "with the claim `{name}` filled in, the filter has more than {most} bytes; name long claims once, or shorten them"
    )]
    TooMuchOfClaims {
        /// The claim that was too much.
        name: String,
        /// Bytes that all claims together may fill in.
        most: usize,
    },
    /// A path over a limit.
    #[error("the path `{shown}…` is too long; the limits are {BYTES} bytes and {SEGMENTS} segments", BYTES = super::limits::PATH_BYTES_MAX, SEGMENTS = super::limits::PATH_SEGMENTS_MAX)]
    PathTooLong {
        /// Its beginning.
        shown: String,
    },
}
