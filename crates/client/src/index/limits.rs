//! How many indexes there may be, and how large their entries. Every refusal names one of these.

/// Indexes of one collection.
pub const INDEXES_MAX: usize = 64;
/// Bytes of an index's name.
pub const NAME_BYTES_MAX: usize = 256;
/// Entries of one document in an index that is not unique. A document with more has one entry that
/// stands for any value, and every query looks at it.
pub const ENTRIES_MAX: usize = 1_000;
/// Bytes of a key in an index that is not unique; longer ones are cut there. Cutting keeps the
/// order, though not its strictness. Keys of unique indexes are never cut: equal keys must mean
/// equal values.
pub const KEY_BYTES_MAX: usize = 256;
