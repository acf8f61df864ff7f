//! The store in memory: for tests and simulations.

/// Keeps spaces in memory.
#[derive(Debug, Default)]
pub struct MemoryStore;
