//! The one place where the hub reads the wall clock.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};
use syncline_core::model::Millis;

/// The wall clock.
#[must_use]
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The time by which a hub decides and forgets: the wall clock, or one that a simulation moves.
#[derive(Clone, Copy)]
pub struct Clock(fn() -> Millis);

impl Clock {
    /// A clock that is read by this function.
    #[must_use]
    pub fn of(read: fn() -> Millis) -> Clock {
        Clock(read)
    }

    /// What it shows.
    #[must_use]
    pub fn now(self) -> Millis {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock(now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now().0)
    }
}
