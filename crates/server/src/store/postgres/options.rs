//! How long the shared store waits for what, and how many connections it takes.

use std::time::Duration;

/// What can be chosen about the shared store.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Connections that this worker opens at most; a quarter of them is for commits.
    pub connections: usize,
    /// How long one connection may take to open.
    pub connect_timeout: Duration,
    /// How long a call goes on trying while the database is away, and waits for a connection.
    pub patience: Duration,
    /// How long a space's turn is waited for, and how long a worker that stands still may keep it.
    pub lock_timeout: Duration,
    /// A scan whose reader takes nothing for so long is cut off: it holds a connection.
    pub reader_stall: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            connections: 16,
            connect_timeout: Duration::from_secs(5),
            patience: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(10),
            reader_stall: Duration::from_secs(30),
        }
    }
}
