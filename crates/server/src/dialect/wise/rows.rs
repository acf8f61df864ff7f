//! Readers of the numbers of WiseJSON clients who see only some rows: what they may have of them, and what their cursors say
//! of that. The newest version of a document does not show what such a client had before: so the log is gone through from
//! where it stands, a bounded stretch for each request, and what lies behind that comes with the next one.

use super::super::Asked;
use super::StreamKey;
use crate::auth::Earlier;
use crate::error::ServerError;
use crate::store::{Encoder, Head, Row, Scan, Scanned};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use syncline_core::model::{Lsn, Meta, RowFilters, Stamp, TimeFields, View};
use syncline_core::wire::wise::{Holding, NetDoc};

/// Pages of the log that are gone through for one request.
const PAGES_MAX: usize = 10;

/// A cursor's fraction has so many digits; in them its view is told from others.
const VIEWS: u32 = 100_000;

/// A position as a client takes it and sends it back: behind the point stands which rows it was read under.
pub(super) fn number(lsn: Lsn, view: Option<&View>) -> String {
    match tag(view) {
        0 => lsn.to_string(),
        tag => format!("{lsn}.{tag:05}"),
    }
}

/// The position that a number stands for. One from under another view is none: what is new in this one may stand before it.
pub(super) fn position(number: f64, view: Option<&View>) -> Lsn {
    let number = number.max(0.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates, which is what is meant
    let (lsn, tag_sent) = (number.floor() as u64, (number.fract() * f64::from(VIEWS)).round() as u32);
    if tag_sent == tag(view) { Lsn(lsn) } else { Lsn::ZERO }
}

/// 0: the collection as a whole.
fn tag(view: Option<&View>) -> u32 {
    let hash = |view: &View| view.as_str().bytes().fold(7_u32, |hash, byte| hash.wrapping_mul(31) ^ u32::from(byte));
    view.map_or(0, |view| hash(view) % (VIEWS - 1) + 1)
}

/// Notes what the token sees now, and tells what it saw before.
pub(super) fn earlier(asked: &Asked, key: &StreamKey) -> Vec<Earlier> {
    asked.app.earlier.note(&asked.grant, &key.space, &key.collection, asked.space.head().lsn)
}

/// What a reader that begins anew may have of the rows.
pub(super) struct Anew {
    rows: Arc<RowFilters>,
    /// What else it saw before.
    earlier: Vec<Earlier>,
    /// How far the log was gone through, and whether it goes on there.
    pub upto: Lsn,
    pub more: bool,
    /// The documents that it could see at some time up to there.
    docs: HashMap<String, Met>,
}

impl Anew {
    /// Hands `put` what is to be told of a row; nothing, not even the id, of one that the reader never saw.
    pub fn ops(&self, row: &Row<'_>, put: impl FnOnce(&NetDoc<'_>) -> usize) -> usize {
        let doc = net_doc(row);
        if row.live && self.rows.mean(row.collection, row.body) {
            return put(&doc);
        }
        let meant = |view: &Earlier| view.meant(row.created, row.collection, row.body);
        let had = self.docs.contains_key(row.id) || self.earlier.iter().any(meant);
        if had { put(&gone(doc)) } else { 0 }
    }
}

/// Goes through what the log still knows, for a reader that begins anew.
///
/// # Errors
/// Those of the store.
pub(super) async fn anew(asked: &Asked, key: &StreamKey, earlier: Vec<Earlier>) -> Result<Anew, ServerError> {
    let horizon = asked.space.head_for(Lsn::ZERO).await?.horizon;
    let rows = asked.grant.read_rows();
    let past = Past { rows: Arc::clone(&rows), earlier: earlier.clone(), keeps: false, walked: Arc::default() };
    let (Walked { docs, .. }, upto, more) = walk(asked, key, horizon, past).await?;
    Ok(Anew { rows, earlier, upto, more, docs })
}

/// What changed for a reader after its position.
pub(super) struct Stretch {
    rows: Arc<RowFilters>,
    collection: String,
    /// How far the log was gone through, and whether it goes on there.
    pub upto: Lsn,
    pub more: bool,
    /// The documents that the reader could see at some time, in the order of their last versions.
    docs: Vec<(String, Met)>,
}

impl Stretch {
    /// Hands `put` what is to be told, in its order.
    pub fn tell(&self, holding: &Holding, mut put: impl FnMut(&NetDoc<'_>)) {
        for (id, met) in &self.docs {
            let doc = met.stood.net_doc(id);
            let own = holding.own.iter().any(|(first, last)| (*first..=*last).contains(&doc.created));
            if !doc.live || !self.rows.mean(&self.collection, doc.body) {
                put(&gone(doc));
            } else if met.always || own {
                put(&doc);
            } else {
                // It has come back, or for the first time: nobody knows which fields a copy from before has.
                let meta = Meta { again: true, ..serde_json::from_str(doc.meta).unwrap_or_default() };
                let meta = serde_json::to_string(&meta).expect("a meta serializes");
                put(&NetDoc { created: doc.lsn, eventful: true, meta: &meta, ..doc });
            }
        }
    }
}

/// Goes through what a reader has not read.
///
/// # Errors
/// Those of the store.
pub(super) async fn stretch(asked: &Asked, key: &StreamKey, after: Lsn) -> Result<Stretch, ServerError> {
    let rows = asked.grant.read_rows();
    let past = Past { rows: Arc::clone(&rows), earlier: Vec::new(), keeps: true, walked: Arc::default() };
    let (Walked { docs, .. }, upto, more) = walk(asked, key, after, past).await?;
    let mut docs: Vec<(String, Met)> = docs.into_iter().collect();
    docs.sort_by_key(|(_, met)| met.stood.lsn);
    Ok(Stretch { rows, collection: key.collection.to_string(), upto, more, docs })
}

/// The documents that could be seen after a position, how far the log was gone through, and whether it goes on there.
async fn walk(asked: &Asked, key: &StreamKey, after: Lsn, past: Past) -> Result<(Walked, Lsn, bool), ServerError> {
    let limits = &asked.app.options.settings.limits;
    let (mut upto, mut more) = (after, true);
    for _ in 0..PAGES_MAX {
        if !more || past.walked().is_full(limits.page_changes, limits.page_bytes) {
            break;
        }
        let scan = Scan::Log {
            after: upto,
            collections: Some(BTreeSet::from([key.collection.clone()])),
            max_rows: limits.page_changes,
            max_bytes: limits.page_bytes,
        };
        let scanned = asked.space.read(scan, Box::new(past.clone())).await?.scanned().await?;
        (upto, more) = (scanned.upto, scanned.more);
    }
    let walked = std::mem::take(&mut *past.walked());
    Ok((walked, upto, more))
}

/// What was met on the way.
#[derive(Default)]
struct Walked {
    docs: HashMap<String, Met>,
    bytes: usize,
}

impl Walked {
    fn is_full(&self, rows: usize, bytes: usize) -> bool {
        self.docs.len() >= rows || self.bytes >= bytes
    }
}

/// A document that could be seen at some time.
struct Met {
    /// Whether it could at all times.
    always: bool,
    /// Its last version that the reader could see, or the one that took its place; without texts where nobody tells it.
    stood: Stood,
}

/// A version, kept.
#[derive(Default)]
struct Stood {
    lsn: Lsn,
    live: bool,
    stamp: Stamp,
    born: Stamp,
    meta: String,
    eventful: bool,
    created: Lsn,
    times: TimeFields,
    body: String,
}

impl Stood {
    fn of(row: &Row<'_>) -> Stood {
        let Row { lsn, live, stamp, born, eventful, created, times, .. } = *row;
        Stood { lsn, live, stamp, born, meta: row.meta.into(), eventful, created, times, body: row.body.into() }
    }

    fn net_doc<'a>(&'a self, id: &'a str) -> NetDoc<'a> {
        let Stood { lsn, live, stamp, born, eventful, created, times, .. } = *self;
        NetDoc { id, lsn, live, stamp, born, meta: &self.meta, eventful, created, times, body: &self.body }
    }
}

/// Notes which documents could be seen, and writes nothing.
#[derive(Clone)]
struct Past {
    rows: Arc<RowFilters>,
    earlier: Vec<Earlier>,
    /// Whether what was seen will be told.
    keeps: bool,
    walked: Arc<Mutex<Walked>>,
}

impl Past {
    fn walked(&self) -> MutexGuard<'_, Walked> {
        self.walked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn means(&self, row: &Row<'_>, text: &str) -> bool {
        self.rows.mean(row.collection, text)
            || self.earlier.iter().any(|view| view.meant(row.created, row.collection, text))
    }
}

impl Encoder for Past {
    fn begin(&mut self, _head: &Head, _out: &mut Vec<u8>) {}

    fn compares(&self) -> bool {
        true
    }

    fn row(&mut self, row: &Row<'_>, _out: &mut Vec<u8>) -> bool {
        let before = row.before.is_some_and(|text| self.means(row, text));
        let now = row.live && self.means(row, row.body);
        if !before && !now {
            return false;
        }
        let mut walked = self.walked();
        let stood = if self.keeps { Stood::of(row) } else { Stood::default() };
        walked.bytes += stood.body.len() + stood.meta.len();
        let met = walked.docs.entry(row.id.to_owned()).or_insert(Met { always: before, stood: Stood::default() });
        (met.always, met.stood) = (met.always && now, stood);
        true
    }

    fn end(&mut self, _scanned: &Scanned, _out: &mut Vec<u8>) {}
}

/// A document that its reader does not see any more. Why, it is not told.
fn gone(doc: NetDoc<'_>) -> NetDoc<'_> {
    NetDoc { live: false, meta: "", ..doc }
}

/// A row as the codec takes it.
pub(super) fn net_doc<'a>(row: &Row<'a>) -> NetDoc<'a> {
    let Row { id, lsn, live, stamp, born, meta, eventful, created, times, body, .. } = *row;
    NetDoc { id, lsn, live, stamp, born, meta, eventful, created, times, body }
}
