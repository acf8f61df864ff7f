//! Bytes of a scan on their way to one reader (step 8 of the life of a change). What is one chunk
//! is handed over whole; more than that streams, never held in memory.

use super::looks::Looks;
use crate::store::{Encoder, Scan, Scanned, Store, StoreError};
use bytes::Bytes;
use futures_util::stream;
use futures_util::{Stream, StreamExt};
use std::sync::Arc;
use syncline_core::model::SpaceName;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Chunks between the store and the connection: enough to keep both busy.
const CHUNKS_AHEAD: usize = 2;

/// A scan that has begun well.
pub enum Reading {
    /// All of it, in one piece.
    Whole(Bytes, Scanned),
    /// Its beginning; the rest follows as it is read.
    Parts(Parts),
}

/// A scan in progress.
pub struct Parts {
    ahead: Vec<Bytes>,
    chunks: mpsc::Receiver<Bytes>,
    scan: JoinHandle<Result<Scanned, StoreError>>,
}

impl Reading {
    pub(super) async fn start(
        (store, looks): (Arc<dyn Store>, Arc<Looks>),
        space: SpaceName,
        scan: Scan,
        encoder: Box<dyn Encoder>,
    ) -> Result<Reading, StoreError> {
        let (out, mut chunks) = mpsc::channel(CHUNKS_AHEAD);
        let scan = tokio::spawn(async move {
            let scanned = store.scan(&space, scan, encoder, out).await;
            scanned.inspect_err(|error| looks.note_failure(&space, error))
        });
        let first = chunks.recv().await;
        let second = if first.is_some() { chunks.recv().await } else { None };
        match (first, second) {
            // In reverse: taken from the end.
            (Some(first), Some(second)) => Ok(Reading::Parts(Parts { ahead: vec![second, first], chunks, scan })),
            (first, _) => {
                let scanned = ended(scan).await?;
                Ok(Reading::Whole(first.unwrap_or_default(), scanned))
            }
        }
    }
}

impl Reading {
    /// Waits for the end of a scan whose encoder keeps what it needs and writes little.
    ///
    /// # Errors
    /// Those of the scan.
    pub async fn scanned(self) -> Result<Scanned, StoreError> {
        match self {
            Reading::Whole(_, scanned) => Ok(scanned),
            Reading::Parts(mut parts) => {
                while parts.chunks.recv().await.is_some() {}
                ended(parts.scan).await
            }
        }
    }
}

impl Parts {
    /// The bytes as they come. A scan that breaks off ends the stream with an error, so that the
    /// reader's connection is cut and no half answer looks whole. `held` is dropped at the end.
    pub fn into_stream<T: Send + 'static>(self, held: T) -> impl Stream<Item = Result<Bytes, StoreError>> + Send {
        stream::unfold(Some((self, held)), |state| async move {
            let (mut parts, held) = state?;
            let next = match parts.ahead.pop() {
                Some(chunk) => Some(chunk),
                None => parts.chunks.recv().await,
            };
            match next {
                Some(chunk) => Some((Ok(chunk), Some((parts, held)))),
                None => ended(parts.scan).await.err().map(|error| (Err(error), None)),
            }
        })
        // Compressing bodies ask again after the end.
        .fuse()
    }
}

async fn ended(scan: JoinHandle<Result<Scanned, StoreError>>) -> Result<Scanned, StoreError> {
    scan.await.unwrap_or_else(|e| Err(StoreError::Engine { action: "scanning", source: Box::new(e) }))
}
