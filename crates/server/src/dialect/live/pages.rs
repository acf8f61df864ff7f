//! What clients are told from the store: newcomers, those who were away for long, and documents that a query means.

use super::change::{Change, Changes};
use super::sight::Sight;
use crate::error::ServerError;
use crate::hub::Space;
use crate::store::{Encoder, Head, Row, Scan, Scanned};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use syncline_core::hub::DocKey;
use syncline_core::live::{Query, document_of};
use syncline_core::model::{CollectionName, DocId, LiveEdit, LiveEvent, Lsn, Rejection, RowFilters};

/// What one event by query may change, in documents and in bytes of their text: a commit holds all of it in memory.
const EFFECT_DOCUMENTS_MAX: usize = 100_000;
const EFFECT_BYTES_MAX: usize = 64 << 20;

/// Which documents a client's events may find.
#[derive(Default)]
pub(crate) struct Open {
    pub rows: Arc<RowFilters>,
    pub readable: Arc<RowFilters>,
}

impl Open {
    pub(super) fn is_all(&self) -> bool {
        self.rows.is_empty() && self.readable.is_empty()
    }
}

/// Reads the rows of a scan, as somebody sees them.
pub(super) async fn collect(
    space: &Space,
    scan: Scan,
    sight: &Arc<Sight>,
) -> Result<(Vec<Change>, Scanned), ServerError> {
    let rows = Arc::new(Mutex::new(Vec::new()));
    let changes = Changes { rows: Arc::clone(&rows), sight: Arc::clone(sight) };
    let scanned = space.read(scan, Box::new(changes)).await?.scanned().await?;
    let rows = std::mem::take(&mut *rows.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((rows, scanned))
}

/// Which documents the rows of a scan are about.
pub(super) async fn names(space: &Space, scan: Scan) -> Result<BTreeSet<DocKey>, ServerError> {
    let found = Arc::new(Mutex::new(BTreeSet::new()));
    space.read(scan, Box::new(Names(Arc::clone(&found)))).await?.scanned().await?;
    Ok(std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// Notes documents, and writes nothing.
struct Names(Arc<Mutex<BTreeSet<DocKey>>>);

impl Encoder for Names {
    fn begin(&mut self, _head: &Head, _out: &mut Vec<u8>) {}

    fn row(&mut self, row: &Row<'_>, _out: &mut Vec<u8>) -> bool {
        if let (Ok(collection), Ok(id)) = (CollectionName::new(row.collection), DocId::new(row.id)) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((collection, id));
        }
        false
    }

    fn end(&mut self, _scanned: &Scanned, _out: &mut Vec<u8>) {}
}

/// Whether one look finds what both mean: behind a removal nothing means more than it did before.
pub(super) fn go_together(first: &LiveEvent, next: &LiveEvent) -> bool {
    let removes = |event: &LiveEvent| matches!(event.edit, LiveEdit::Remove { candidates: None, .. });
    removes(first) && removes(next) && first.collection == next.collection
}

/// Looks for the documents that events by query mean now, by looking at all of their collection; of several, which must
/// go together, each finds what those before it leave. One that means more than a commit may take is set aside. What their
/// client can neither read nor write is not among them.
pub(crate) async fn resolve(space: &Space, events: &mut [LiveEvent], open: &Open) -> Result<(), ServerError> {
    let mut rest = events;
    while !rest.is_empty() {
        if let Some(found) = look(space, rest, open).await? {
            rest.iter_mut().zip(found).for_each(|(event, ids)| event.resolve(ids));
            return Ok(());
        }
        let (first, others) = rest.split_first_mut().expect("it is not empty");
        let found = if others.is_empty() { None } else { look(space, std::slice::from_ref(first), open).await? };
        match found.and_then(|mut found| found.pop()) {
            Some(ids) => first.resolve(ids),
            None => first.edit = LiveEdit::Unusable(too_broad()),
        }
        rest = others;
    }
    Ok(())
}

/// What events mean together; `None`: more than a commit may take.
async fn look(space: &Space, events: &[LiveEvent], open: &Open) -> Result<Option<Vec<BTreeSet<DocId>>>, ServerError> {
    let asked: Vec<_> = events.iter().filter_map(LiveEvent::unresolved).collect();
    let Some((collection, _)) = asked.first() else { return Ok(Some(vec![BTreeSet::new(); events.len()])) };
    let scan = Scan::Snapshot {
        collections: Some([(*collection).clone()].into()),
        after: Lsn::ZERO,
        expired_by: None,
        max_rows: EFFECT_DOCUMENTS_MAX + 1,
        max_bytes: usize::MAX,
    };
    let queries: Vec<Query> = asked.into_iter().map(|(_, query)| query.clone()).collect();
    let found = Arc::new(Mutex::new(Found::of(queries.len())));
    let filters = [Arc::clone(&open.rows), Arc::clone(&open.readable)];
    let search = Box::new(Search { queries, filters, found: Arc::clone(&found) });
    space.read(scan, search).await?.scanned().await?;
    let found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((!found.is_too_much()).then_some(found.ids))
}

fn too_broad() -> Rejection {
    let megabytes = EFFECT_BYTES_MAX >> 20;
    let reason = format!(
        "the query means more than {EFFECT_DOCUMENTS_MAX} documents or {megabytes} MiB of them; send several smaller ones"
    );
    Rejection { code: "effect_too_large".to_owned(), reason }
}

/// What was found for each query.
#[derive(Default)]
struct Found {
    ids: Vec<BTreeSet<DocId>>,
    documents: usize,
    bytes: usize,
}

impl Found {
    fn of(queries: usize) -> Found {
        Found { ids: vec![BTreeSet::new(); queries], ..Found::default() }
    }

    fn add(&mut self, query: usize, id: &str, bytes: usize) {
        (self.documents, self.bytes) = (self.documents + 1, self.bytes + bytes);
        self.ids[query].extend(DocId::new(id));
    }

    fn is_too_much(&self) -> bool {
        self.documents > EFFECT_DOCUMENTS_MAX || self.bytes > EFFECT_BYTES_MAX
    }
}

/// Looks at documents and writes nothing.
struct Search {
    /// The first that means a document has it.
    queries: Vec<Query>,
    /// One of these must mean the document.
    filters: [Arc<RowFilters>; 2],
    found: Arc<Mutex<Found>>,
}

impl Encoder for Search {
    fn takes_apart(&self) -> bool {
        true
    }

    fn begin(&mut self, _head: &Head, _out: &mut Vec<u8>) {}

    fn row(&mut self, row: &Row<'_>, _out: &mut Vec<u8>) -> bool {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let is_open = || self.filters.iter().any(|rows| rows.mean(row.collection, row.body));
        if found.is_too_much() {
            return false;
        }
        let document = document_of(row.body);
        let means = |query: &Query| document.as_ref().is_some_and(|document| query.matches(document));
        match self.queries.iter().position(means) {
            Some(query) if is_open() => found.add(query, row.id, row.body.len()),
            _ => return false,
        }
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
            let mut found = Found::of(2);
            (0..documents).for_each(|n| found.add(n % 2, &n.to_string(), bytes));
            found.is_too_much()
        };
        assert!(!is_too_much(EFFECT_DOCUMENTS_MAX, 10) && is_too_much(EFFECT_DOCUMENTS_MAX + 1, 10));
        assert!(!is_too_much(6, 10 << 20) && is_too_much(7, 10 << 20));
    }
}
