//! How a commit is known again whose answer was lost.

use crate::store::columns::int;
use syncline_core::hub::WriteSet;
use uuid::Uuid;

/// What an attempt leaves in the last row that it writes to the log. It is drawn anew for each attempt, so that no other
/// one, of whomever and with whatever in it, is taken for this one. What stands in the database says it, and not what its
/// server remembers: that also holds after a failover to a replica, behind a pooler and on another engine.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Mark {
    /// Where the row stands.
    pub lsn: i64,
    pub drawn: i64,
}

impl Mark {
    /// For a write set that writes to the log.
    pub fn of(writes: &WriteSet) -> Option<Mark> {
        let last = writes.entries.last()?;
        Some(Mark { lsn: int(last.lsn().0), drawn: Uuid::new_v4().as_u64_pair().0.cast_signed() })
    }
}
