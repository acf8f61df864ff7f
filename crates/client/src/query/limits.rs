//! How large a query and its plan may be. Every refusal names one of these.

/// Paths that one query sorts by.
pub const SORT_PATHS_MAX: usize = 32;
/// Paths that one projection names.
pub const PROJECTION_PATHS_MAX: usize = 256;
/// Scans in one plan; a filter that needs more looks at the whole collection.
pub const SCANS_MAX: usize = 1_000;
/// Candidates by index above which looking at the whole collection is the better way, and bounded in
/// memory.
pub const CANDIDATES_MAX: usize = 250_000;
