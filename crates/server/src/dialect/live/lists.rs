//! Reads lists of events piece by piece (step 3 of the life of a change), and looks for what queries mean. Both can
//! take long: they are done beside the tasks that serve connections, and by a few clients at a time.

use super::pages::{Open, resolve};
use crate::error::ServerError;
use crate::hub::Space;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use syncline_core::model::{Limits, LiveEvent, NodeId};
use syncline_core::wire::live::{Piece, Place, read};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Longer lists are read beside the tasks that serve connections.
const BIG_BYTES: usize = 64 << 10;

/// How many clients may have something done that takes long: half of the machine is left to all others.
pub(super) struct Toil(Semaphore);

impl Default for Toil {
    fn default() -> Self {
        Toil(Semaphore::new(available_parallelism().map_or(1, NonZero::get).div_ceil(2)))
    }
}

impl Toil {
    /// Reads on in a client's list. Whether an event is allowed is asked after the echoes are taken out: who may only
    /// read echoes as well.
    pub(super) async fn read(
        &self,
        text: &Arc<str>,
        place: Place,
        client: &NodeId,
        limits: Limits,
    ) -> Result<Piece, String> {
        let quick = is_quick(text);
        let (text, client) = (Arc::clone(text), client.clone());
        let work = move || read(&text, place, client.as_str(), &limits).map_err(|error| error.to_string());
        if quick {
            return work();
        }
        let _turn = self.turn().await;
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err("the list cannot be read".to_owned()))
    }

    /// Looks for the documents that events mean, where that is not known.
    pub(super) async fn resolve(
        &self,
        space: &Space,
        events: &mut [LiveEvent],
        open: &Open,
    ) -> Result<(), ServerError> {
        let _turn = self.turn().await;
        resolve(space, events, open).await
    }

    async fn turn(&self) -> SemaphorePermit<'_> {
        self.0.acquire().await.expect("nobody closes it")
    }
}

/// Patterns take long to read, however short they are; their operator may be spelled with an escape.
fn is_quick(text: &str) -> bool {
    text.len() < BIG_BYTES && !text.contains("$regex") && !text.contains("\\u")
}
