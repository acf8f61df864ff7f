//! What holds for every live connection.

use crate::meters::Meters;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Limits, and where there is a count of what is used.
pub(super) struct Rules {
    /// Frames that may wait for one connection (`live.queued_messages`).
    pub(super) queued: usize,
    /// One message (`live.message_bytes`).
    pub(super) message_bytes: usize,
    /// Until a ping is answered (`live.ping_timeout`).
    pub(super) ping_timeout: Duration,
    /// What all that arrives may take (`limits.inflight_body_bytes`).
    pub(super) body_bytes: Arc<Semaphore>,
    pub(super) meters: Arc<Meters>,
    /// The hub goes down.
    pub(super) closing: AtomicBool,
}

impl Rules {
    /// Room for so many bytes that arrive; `None`: there is none.
    pub(super) fn share(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        Arc::clone(&self.body_bytes).try_acquire_many_owned(permits).ok()
    }

    /// For connections of tests.
    #[cfg(test)]
    pub(super) fn of(queued: usize, message_bytes: usize, body_bytes: usize) -> Arc<Rules> {
        Arc::new(Rules {
            queued,
            message_bytes,
            ping_timeout: Duration::from_secs(20),
            body_bytes: Arc::new(Semaphore::new(body_bytes)),
            meters: Arc::default(),
            closing: AtomicBool::new(false),
        })
    }
}
