//! The one place where the hub reads the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};
use syncline_core::model::Millis;

/// The hub's time.
#[must_use]
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
