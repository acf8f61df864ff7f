//! What a node is to be told: rows of the log, held against its row filters and what it holds already.

use crate::nodes::Desk;
use crate::store::{Encoder, Head, Row, Scanned};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use syncline_core::hub::DocKey;
use syncline_core::model::{CollectionName, DocId, Fill, Holding, Lsn, Reached};
use syncline_core::wire::exchange::{Telling, is_uuid, put_entity};

/// A row that may have to be told.
pub(super) struct Found {
    key: DocKey,
    lsn: Lsn,
    created: Lsn,
    /// Whether the document is there.
    live: bool,
    /// Whether it is there, and matches the node's filter.
    shown: bool,
    meta: String,
    body: String,
    /// Fields that the node sent and that the document does not have.
    lost: Vec<String>,
}

/// What a scan found.
#[derive(Default)]
pub(super) struct Catch {
    pub rows: Vec<Found>,
    /// Documents that cannot travel, because their ids are no UUIDs.
    pub unsendable: u64,
}

/// Collects rows. The log's page holds as many as a packet may, so memory stays bounded.
pub(super) struct Net {
    pub desk: Arc<Desk>,
    pub fill: Option<Fill>,
    pub catch: Arc<Mutex<Catch>>,
    /// What the next row takes away.
    pub lost: Vec<String>,
}

impl Encoder for Net {
    fn takes_apart(&self) -> bool {
        true
    }

    fn begin(&mut self, _head: &Head, _out: &mut Vec<u8>) {}

    fn row(&mut self, row: &Row<'_>, _out: &mut Vec<u8>) -> bool {
        let mut catch = self.catch.lock().unwrap_or_else(PoisonError::into_inner);
        let (Ok(collection), Ok(id)) = (CollectionName::new(row.collection), DocId::new(row.id)) else { return false };
        if !is_uuid(row.id) {
            catch.unsendable += 1;
            return false;
        }
        let first_fill = self.fill.is_some_and(|fill| !fill.again && row.lsn <= fill.start);
        // Of a type with a filter it is known what the node holds, and that alone is told.
        if first_fill && !row.live && !self.desk.readable.limit(row.collection) {
            return false;
        }
        let shown = row.live && self.desk.readable.mean(row.collection, row.body);
        let (meta, body) = if shown { (row.meta.to_owned(), row.body.to_owned()) } else { Default::default() };
        let lost = std::mem::take(&mut self.lost);
        catch.rows.push(Found {
            key: (collection, id),
            lsn: row.lsn,
            created: row.created,
            live: row.live,
            shown,
            meta,
            body,
            lost,
        });
        true
    }

    fn lost(&mut self, names: &str) {
        self.lost = serde_json::from_str(names).unwrap_or_default();
    }

    fn end(&mut self, _scanned: &Scanned, _out: &mut Vec<u8>) {}
}

/// The entities of a packet, and what the node holds and loses with them.
#[derive(Default)]
pub(super) struct Told {
    pub entities: Vec<u8>,
    pub count: usize,
    pub held: Vec<Holding>,
}

/// To whom rows are told.
pub(super) struct Reader<'a> {
    pub desk: &'a Desk,
    pub reached: Reached,
    pub whole_objects: bool,
}

impl Reader<'_> {
    /// The documents of which it must be known whether the node holds them.
    pub fn to_look_up(&self, rows: &[Found]) -> Vec<DocKey> {
        let filtered = rows.iter().filter(|row| self.desk.readable.limit(row.key.0.as_str()));
        filtered.map(|row| row.key.clone()).collect()
    }

    /// Writes what is new for the node. `upto`: where the packet ends.
    pub fn tell(&self, rows: &[Found], held: Vec<Holding>, upto: Lsn) -> Told {
        let held: BTreeMap<DocKey, Holding> =
            held.into_iter().map(|holding| ((holding.collection.clone(), holding.id.clone()), holding)).collect();
        let mut told = Told::default();
        for row in rows {
            let new = if self.desk.readable.limit(row.key.0.as_str()) {
                let Some((new, holding)) = self.under_filter(row, held.get(&row.key), upto) else { continue };
                told.held.push(holding);
                new
            } else {
                row.created > self.reached.known
            };
            let telling = Telling {
                kind: row.key.0.as_str(),
                uuid: row.key.1.as_str(),
                live: row.shown,
                outside: row.live && !row.shown,
                new,
                confirmed: self.reached.known,
                created: row.created,
                whole_objects: self.whole_objects,
                meta: &row.meta,
                body: &row.body,
                lost: &row.lost,
            };
            let first = told.count == 0;
            told.count += put_entity(&mut told.entities, &telling, first);
        }
        told
    }

    /// Whether the document is new for the node, and what the node holds of it afterwards; `None`: the node
    /// has never heard of it and does not now.
    fn under_filter(&self, row: &Found, held: Option<&Holding>, upto: Lsn) -> Option<(bool, Holding)> {
        let ((collection, id), cursor) = (row.key.clone(), self.reached.cursor);
        if row.shown {
            let new = held.is_none_or(|holding| holding.since > cursor || holding.gone.is_some());
            return Some((new, Holding { collection, id, since: upto, gone: None }));
        }
        // Under its earlier plan it may have got what this one does not give.
        let earlier = self.reached.fill.is_some_and(|fill| fill.again && row.lsn <= fill.start);
        let since = held.map(|holding| holding.since).or(earlier.then_some(Lsn::ZERO))?;
        Some((false, Holding { collection, id, since, gone: Some(row.lsn) }))
    }
}
