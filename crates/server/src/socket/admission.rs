//! How many live connections there are, and whether there may be one more.

use crate::meters::Meters;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places for live connections (`live.connections`).
pub(super) struct Admission {
    free: Arc<Semaphore>,
    all: usize,
    meters: Arc<Meters>,
}

/// A connection's place. The engine keeps it with the request that opened the connection, and so for as long as
/// that lives.
pub(crate) struct Admitted {
    meters: Arc<Meters>,
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    pub(super) fn new(all: usize, meters: Arc<Meters>) -> Admission {
        let all = all.min(Semaphore::MAX_PERMITS);
        Admission { free: Arc::new(Semaphore::new(all)), all, meters }
    }

    pub(super) fn take(&self) -> Option<Arc<Admitted>> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        self.meters.live_connections.increment(1.0);
        Some(Arc::new(Admitted { meters: Arc::clone(&self.meters), _permit: permit }))
    }

    pub(super) fn taken(&self) -> usize {
        self.all - self.free.available_permits()
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.meters.live_connections.decrement(1.0);
    }
}
