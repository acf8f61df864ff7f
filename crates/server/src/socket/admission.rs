//! How many live connections there are, and whether there may be one more.

use crate::meters::Meters;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The places for live connections (`live.connections`).
pub(super) struct Admission {
    free: Arc<Semaphore>,
    all: usize,
    meters: Arc<Meters>,
}

/// A connection's place, for as long as it is held.
pub(crate) struct Admitted {
    meters: Arc<Meters>,
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    pub(super) fn new(all: usize, meters: Arc<Meters>) -> Admission {
        let all = all.min(u32::MAX as usize).min(Semaphore::MAX_PERMITS);
        Admission { free: Arc::new(Semaphore::new(all)), all, meters }
    }

    pub(super) fn take(&self) -> Option<Admitted> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        self.meters.live_connections.increment(1.0);
        Some(Admitted { meters: Arc::clone(&self.meters), _permit: permit })
    }

    pub(super) fn taken(&self) -> usize {
        self.all - self.free.available_permits()
    }

    /// Waits until all places are free; `false`: not within `patience`.
    pub(super) async fn empty(&self, patience: Duration) -> bool {
        let all = u32::try_from(self.all).unwrap_or(u32::MAX);
        timeout(patience, self.free.acquire_many(all)).await.is_ok()
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.meters.live_connections.decrement(1.0);
    }
}
