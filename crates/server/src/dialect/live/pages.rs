//! What clients are told from the store: newcomers, those who were away for long, and documents that a query means.

use super::change::{Change, Changes};
use crate::error::ServerError;
use crate::hub::Space;
use crate::store::{Encoder, Head, Row, Scan, Scanned};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use syncline_core::live::Query;
use syncline_core::model::{DocId, LiveEdit, LiveEvent, Lsn, Rejection};

/// What one event by query may change, in documents and in bytes of their text: a commit holds all of it in memory.
const EFFECT_DOCUMENTS_MAX: usize = 100_000;
const EFFECT_BYTES_MAX: usize = 64 << 20;

/// Reads the rows of a scan.
pub(super) async fn collect(space: &Space, scan: Scan) -> Result<(Vec<Change>, Scanned), ServerError> {
    let rows = Arc::new(Mutex::new(Vec::new()));
    let scanned = space.read(scan, Box::new(Changes(Arc::clone(&rows)))).await?.scanned().await?;
    let rows = std::mem::take(&mut *rows.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((rows, scanned))
}

/// Looks for the documents that an event by query means now, by looking at all of its collection. One that means more
/// than a commit may take is set aside.
pub(crate) async fn resolve(space: &Space, event: &mut LiveEvent) -> Result<(), ServerError> {
    let Some((collection, query)) = event.unresolved() else { return Ok(()) };
    let found = Arc::new(Mutex::new(Found::default()));
    let scan = Scan::Snapshot {
        collections: Some([collection.clone()].into()),
        after: Lsn::ZERO,
        expired_by: None,
        max_rows: EFFECT_DOCUMENTS_MAX + 1,
        max_bytes: usize::MAX,
    };
    let search = Box::new(Search { query: query.clone(), found: Arc::clone(&found) });
    space.read(scan, search).await?.scanned().await?;
    let found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    if found.is_too_much() {
        event.edit = LiveEdit::Unusable(too_broad());
    } else {
        event.resolve(found.ids);
    }
    Ok(())
}

fn too_broad() -> Rejection {
    let megabytes = EFFECT_BYTES_MAX >> 20;
    let reason = format!(
        "the query means more than {EFFECT_DOCUMENTS_MAX} documents or {megabytes} MiB of them; send several smaller ones"
    );
    Rejection { code: "effect_too_large".to_owned(), reason }
}

/// What was found.
#[derive(Default)]
struct Found {
    ids: BTreeSet<DocId>,
    bytes: usize,
}

impl Found {
    fn add(&mut self, id: &str, bytes: usize) {
        self.bytes += bytes;
        self.ids.extend(DocId::new(id));
    }

    fn is_too_much(&self) -> bool {
        self.ids.len() > EFFECT_DOCUMENTS_MAX || self.bytes > EFFECT_BYTES_MAX
    }
}

/// Looks at documents and writes nothing.
struct Search {
    query: Query,
    found: Arc<Mutex<Found>>,
}

impl Encoder for Search {
    fn takes_apart(&self) -> bool {
        true
    }

    fn begin(&mut self, _head: &Head, _out: &mut Vec<u8>) {}

    fn row(&mut self, row: &Row<'_>, _out: &mut Vec<u8>) -> bool {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.is_too_much() || !self.query.matches_stored(row.body) {
            return false;
        }
        found.add(row.id, row.body.len());
        true
    }

    fn end(&mut self, _scanned: &Scanned, _out: &mut Vec<u8>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_may_mean_as_much_as_a_commit_takes() {
        let is_too_much = |documents: usize, bytes: usize| {
            let mut found = Found::default();
            (0..documents).for_each(|n| found.add(&n.to_string(), bytes));
            found.is_too_much()
        };
        assert!(!is_too_much(EFFECT_DOCUMENTS_MAX, 10) && is_too_much(EFFECT_DOCUMENTS_MAX + 1, 10));
        assert!(!is_too_much(6, 10 << 20) && is_too_much(7, 10 << 20));
    }
}
