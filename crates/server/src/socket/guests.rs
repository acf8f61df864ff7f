//! Who was let in, until nothing of the connection is left.

use super::line::Line;
use socketioxide::socket::Sid;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Clients that were let in. The library does not tell of the end of a connection that ends while its client is being
/// let in, nor does it keep the end apart from a message that is being taken in: so the door keeps its own list.
#[derive(Default)]
pub(crate) struct Guests(Mutex<HashMap<Sid, Arc<Line>>>);

impl Guests {
    pub(super) fn enter(&self, line: &Arc<Line>) {
        self.lock().insert(line.sid, Arc::clone(line));
    }

    pub(super) fn all(&self) -> Vec<Arc<Line>> {
        self.lock().values().cloned().collect()
    }

    /// Those of whose connection nothing is left, nobody who takes in its messages either. They are struck off.
    pub(super) fn gone(&self) -> Vec<Arc<Line>> {
        let mut gone = Vec::new();
        self.lock().retain(|_, line| {
            let stays = !line.is_gone();
            if !stays {
                gone.push(Arc::clone(line));
            }
            stays
        });
        gone
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Sid, Arc<Line>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
