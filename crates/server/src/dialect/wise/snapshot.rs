//! Every live document in one reply.

use super::super::Asked;
use super::encode::{SnapshotEncoder, Watch};
use super::lists::Since;
use super::pull::{Done, answer};
use super::{Foreign, StreamKey, rows};
use crate::error::ServerError;
use crate::store::Scan;
use axum::response::Response;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use syncline_core::model::Lsn;
use syncline_core::wire::wise::IsoTimes;
use tokio::time::Instant;

/// `GET …/sync/snapshot`
///
/// # Errors
/// Outside the grant, or those of the store.
pub async fn snapshot(asked: Asked) -> Result<Response, ServerError> {
    let key = StreamKey::of(&asked)?;
    let collections = Some(BTreeSet::from([key.collection.clone()]));
    let scan = Scan::Snapshot {
        collections,
        after: Lsn::ZERO,
        expired_by: Some(asked.space.now()),
        max_rows: usize::MAX,
        max_bytes: usize::MAX,
    };
    let served = Arc::new(Mutex::new(Lsn::ZERO));
    let watch = Newcomer { foreign: Arc::clone(&asked.foreign), key: key.clone(), served: Arc::clone(&served) };
    let rows = asked.grant.read_rows();
    rows::earlier(&asked, &key);
    let encoder = SnapshotEncoder { watch, rows, view: key.view.clone(), documents: 0, iso: IsoTimes::default() };
    let reading = asked.space.read(scan, Box::new(encoder)).await?;
    asked.app.meters.snapshots.increment(1);
    let foreign = Arc::clone(&asked.foreign);
    // The oldest clients go on from here without naming a position.
    let done: Done = Box::new(move || {
        let upto = *served.lock().unwrap_or_else(PoisonError::into_inner);
        foreign.lists.written(&key, Since::Last, (upto, upto), 0);
    });
    Ok(answer(reading, asked.slot, done))
}

/// A device that will come with the snapshot's number.
struct Newcomer {
    foreign: Arc<Foreign>,
    key: StreamKey,
    served: Arc<Mutex<Lsn>>,
}

impl Watch for Newcomer {
    fn begins(&mut self, served: Lsn, head: Lsn) {
        *self.served.lock().unwrap_or_else(PoisonError::into_inner) = served;
        let foreign = &self.foreign;
        // At 0 a mark would say nothing: every newcomer starts there, and none pushes before it pulls.
        if served > Lsn::ZERO {
            foreign.readers.arrive(&self.key, served, head, Instant::now());
        }
    }

    fn ends(&mut self, _documents: u64) {}
}
