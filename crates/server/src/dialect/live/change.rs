//! A change of a document, as it is read from the log for live clients.

use super::sight::Sight;
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
    /// From where on the document exists, since its last absence.
    pub created: Lsn,
    pub body: Box<str>,
}

impl Change {
    /// `None`: a row of a name that no client can have.
    fn of(row: &Row<'_>, live: bool) -> Option<Change> {
        let key = (CollectionName::new(row.collection).ok()?, DocId::new(row.id).ok()?);
        let body = if live { row.body.into() } else { Box::default() };
        let Row { lsn, at, author, created, .. } = *row;
        Some(Change { lsn, at, key, live, author, created, body })
    }

    pub(super) fn weight(&self) -> usize {
        self.body.len() + self.key.1.as_str().len() + size_of::<Change>()
    }
}

/// Collects the rows of a scan as a client sees them; the scan bounds how many.
pub(super) struct Changes {
    pub rows: Arc<Mutex<Vec<Change>>>,
    pub sight: Arc<Sight>,
}

impl Encoder for Changes {
    fn takes_apart(&self) -> bool {
        true
    }

    fn compares(&self) -> bool {
        self.sight.compares()
    }

    fn begin(&mut self, _head: &Head, _out: &mut Vec<u8>) {}

    fn row(&mut self, row: &Row<'_>, _out: &mut Vec<u8>) -> bool {
        let Some(change) = self.sight.shows(row).and_then(|live| Change::of(row, live)) else { return false };
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).push(change);
        true
    }

    fn end(&mut self, _scanned: &Scanned, _out: &mut Vec<u8>) {}
}
