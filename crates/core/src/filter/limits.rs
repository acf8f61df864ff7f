//! How large a filter may be. Every refusal names one of these.

/// Levels of `$and`, `$or` and `$not` inside one another.
pub const DEPTH_MAX: usize = 32;
/// Conditions in one filter, in all its branches.
pub const CONDITIONS_MAX: usize = 1_000;
/// Values in one `$in` or `$nin`.
pub const IN_VALUES_MAX: usize = 10_000;
/// Nesting of arrays and objects in one operand.
pub const OPERAND_DEPTH_MAX: usize = 64;
/// Bytes of a path.
pub const PATH_BYTES_MAX: usize = 1024;
/// Segments of a path: names between dots.
pub const PATH_SEGMENTS_MAX: usize = 64;
