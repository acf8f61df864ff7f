//! What holds for every live connection.

use crate::meters::Meters;
use crate::options::{Bounds, LiveOptions};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Limits, and what is counted.
pub(crate) struct Rules {
    pub(crate) live: LiveOptions,
    pub(crate) bounds: Bounds,
    /// What all that arrives may take (`limits.inflight_body_bytes`), bodies of other requests among it.
    pub(crate) body_bytes: Arc<Semaphore>,
    pub(crate) meters: Arc<Meters>,
}

impl Rules {
    /// Room for so many bytes that arrive; `None`: there is none.
    pub(super) fn share(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        Arc::clone(&self.body_bytes).try_acquire_many_owned(permits).ok()
    }

    /// For connections of tests.
    #[cfg(test)]
    pub(super) fn of(queued_messages: usize, message_bytes: usize, body_bytes: usize) -> Arc<Rules> {
        Arc::new(Rules {
            live: LiveOptions { queued_messages, message_bytes, ..LiveOptions::default() },
            bounds: Bounds::default(),
            body_bytes: Arc::new(Semaphore::new(body_bytes)),
            meters: Arc::default(),
        })
    }
}
