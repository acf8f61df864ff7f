//! What clients are told from the store: newcomers, those who were away for long, and documents that a query means.

use super::change::{Change, Collect};
use crate::error::ServerError;
use crate::hub::Space;
use crate::store::{Encoder, Head, Row, Scan, Scanned};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use syncline_core::live::Query;
use syncline_core::model::{CollectionName, DocId, Lsn};

/// Reads the rows of a scan.
pub(super) async fn collect(space: &Space, scan: Scan) -> Result<(Vec<Change>, Scanned), ServerError> {
    let rows = Arc::new(Mutex::new(Vec::new()));
    let scanned = space.read(scan, Box::new(Collect(Arc::clone(&rows)))).await?.scanned().await?;
    let rows = std::mem::take(&mut *rows.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((rows, scanned))
}

/// The documents of a collection that a query means now, found by looking at all of them.
pub(crate) async fn meant(
    space: &Space,
    collection: &CollectionName,
    query: &Query,
) -> Result<BTreeSet<DocId>, ServerError> {
    let found = Arc::new(Mutex::new(BTreeSet::new()));
    let scan = Scan::Snapshot {
        collections: Some([collection.clone()].into()),
        after: Lsn::ZERO,
        expired_by: None,
        max_rows: usize::MAX,
        max_bytes: usize::MAX,
    };
    let search = Box::new(Search { query: query.clone(), found: Arc::clone(&found) });
    space.read(scan, search).await?.scanned().await?;
    Ok(std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// Looks at documents and writes nothing.
struct Search {
    query: Query,
    found: Arc<Mutex<BTreeSet<DocId>>>,
}

impl Encoder for Search {
    fn begin(&mut self, _head: &Head, _out: &mut Vec<u8>) {}

    fn row(&mut self, row: &Row<'_>, _out: &mut Vec<u8>) -> bool {
        if self.query.matches_stored(row.body) {
            self.found.lock().unwrap_or_else(PoisonError::into_inner).extend(DocId::new(row.id));
        }
        true
    }

    fn end(&mut self, _scanned: &Scanned, _out: &mut Vec<u8>) {}
}
