//! A change of a document, as it is read from the log for live clients.

use crate::store::{Encoder, Head, Row, Scanned};
use std::sync::{Arc, Mutex, PoisonError};
use syncline_core::hub::DocKey;
use syncline_core::model::{Author, CollectionName, DocId, Lsn, Millis};

/// A change as clients are told of it.
#[derive(Debug)]
pub(super) struct Change {
    pub lsn: Lsn,
    pub at: Millis,
    pub key: DocKey,
    pub live: bool,
    pub author: Author,
    pub body: Box<str>,
}

impl Change {
    /// `None`: a row of a name that no client can have.
    pub(super) fn of(row: &Row<'_>) -> Option<Change> {
        let key = (CollectionName::new(row.collection).ok()?, DocId::new(row.id).ok()?);
        let body = if row.live { row.body.into() } else { Box::default() };
        Some(Change { lsn: row.lsn, at: row.at, key, live: row.live, author: row.author, body })
    }

    pub(super) fn weight(&self) -> usize {
        self.body.len() + self.key.1.as_str().len() + size_of::<Change>()
    }
}

/// Collects the rows of a scan; the scan bounds how many.
pub(super) struct Changes(pub Arc<Mutex<Vec<Change>>>);

impl Encoder for Changes {
    fn takes_apart(&self) -> bool {
        true
    }

    fn begin(&mut self, _head: &Head, _out: &mut Vec<u8>) {}

    fn row(&mut self, row: &Row<'_>, _out: &mut Vec<u8>) -> bool {
        let Some(change) = Change::of(row) else { return false };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(change);
        true
    }

    fn end(&mut self, _scanned: &Scanned, _out: &mut Vec<u8>) {}
}
