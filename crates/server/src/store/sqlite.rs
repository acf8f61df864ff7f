//! The embedded store: one SQLite file per space.

/// Keeps spaces in SQLite files.
#[derive(Debug)]
pub struct SqliteStore;
