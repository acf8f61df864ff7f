//! Reading a space in memory.

use super::space::Space;
use crate::store::feed::Feed;
use crate::store::{
    ConflictRow, Encoder, ExpiredRow, LateRows, ListQuery, QuarantineRow, Row, Scan, Scanned, StoreError,
    behind_horizon, complete, lost,
};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};
use syncline_core::hub::{Change, DocKey, Entry, Return, Ticket};
use syncline_core::model::{Author, CollectionName, DocId, Lsn, Mark, Meta, Millis, Stamp, TimeFields, Version};

impl Space {
    pub fn scan(&self, scan: &Scan, encoder: Box<dyn Encoder>) -> Result<(Scanned, Vec<Bytes>), StoreError> {
        behind_horizon(scan, &self.head)?;
        let mut feed = Feed::new(encoder, scan);
        let (mut chunks, mut told) = (Vec::new(), BTreeSet::new());
        let after = scan.after();
        feed.begin(&self.head, after);
        for lsn in self.positions(scan) {
            let Some((at, entry)) = self.log.get(&lsn) else {
                if !offer_gone(&mut feed, lsn, &self.buried[&lsn].0) {
                    break;
                }
                continue;
            };
            let taken = match entry {
                Entry::Change(change) if self.selects(scan, change) => {
                    let before = if feed.compares() { self.stood(lsn) } else { None };
                    offer_version(&mut feed, *at, lsn, (change, before))
                }
                Entry::Ticket(ticket) if matches!(scan, Scan::Ticket { lsn: asked } if *asked == lsn) => {
                    offer_ticket(&mut feed, *at, ticket)
                }
                Entry::Return(back) if is_of(scan, back) => {
                    offer_gone(&mut feed, lsn, &(back.collection.clone(), back.id.clone()))
                }
                Entry::Return(back) if self.owes(scan, back, &mut told) => self.offer_return(&mut feed, back),
                Entry::Change(_) | Entry::Ticket(_) | Entry::Return(_) => true,
            };
            chunks.extend(feed.full_chunk());
            if !taken {
                break;
            }
        }
        let (scanned, last) = feed.end(complete(scan, &self.head))?;
        chunks.extend(last);
        Ok((scanned, chunks))
    }

    /// What readers saw in the place of a version.
    fn stood(&self, lsn: Lsn) -> Option<&str> {
        let version = &self.change(*self.befores.get(&lsn)?)?.version;
        version.meta.is_live().then(|| version.body.text())
    }

    fn selects(&self, scan: &Scan, change: &Change) -> bool {
        let among = |names: &Option<BTreeSet<CollectionName>>| {
            names.as_ref().is_none_or(|names| names.contains(&change.collection))
        };
        let key = (change.collection.clone(), change.id.clone());
        let newest = self.heads.get(&key) == Some(&change.version.lsn);
        match scan {
            Scan::Log { collections, .. } => among(collections),
            Scan::Net { collection, .. } => *collection == change.collection && newest,
            Scan::Snapshot { collections, expired_by, .. } => {
                let expired = change.facts.expires.is_some_and(|at| expired_by.is_some_and(|now| at <= now));
                among(collections) && newest && change.version.meta.is_live() && !expired
            }
            Scan::Packet { author, collections, .. } => {
                let left_out = change.version.author == *author && !tells_own(scan, &change.version);
                among(collections) && newest && !left_out
            }
            Scan::Returns { .. } | Scan::Ticket { .. } => false,
        }
    }

    /// Where there may be rows for a scan.
    fn positions(&self, scan: &Scan) -> BTreeSet<Lsn> {
        let after = (Excluded(scan.after()), Unbounded);
        let mut positions: BTreeSet<Lsn> = self.log.range(after).map(|(lsn, _)| *lsn).collect();
        if let Scan::Packet { collections, .. } = scan {
            let wanted = |key: &DocKey| collections.as_ref().is_none_or(|names| names.contains(&key.0));
            positions.extend(self.buried.range(after).filter(|(_, (key, _))| wanted(key)).map(|(lsn, _)| *lsn));
        }
        positions
    }

    /// Whether a return is for the scan's node, and says more than the rows that come by themselves and those
    /// that were told.
    fn owes<'s>(&'s self, scan: &Scan, back: &'s Return, told: &mut BTreeSet<(&'s CollectionName, &'s DocId)>) -> bool {
        let Scan::Packet { after, author, collections, .. } = scan else { return false };
        let comes = |version: &Version| version.lsn > *after && (version.author != *author || tells_own(scan, version));
        let mine = back.author == *author && collections.as_ref().is_none_or(|names| names.contains(&back.collection));
        let newest = self.newest(back).map(|change| &change.version);
        let news = newest.is_none_or(|version| !comes(version));
        let lost = newest.is_some_and(|version| version.meta.is_live()) && !back.lost.is_empty();
        mine && (told.insert((&back.collection, &back.id)) && news || lost)
    }

    fn newest(&self, back: &Return) -> Option<&Change> {
        self.heads.get(&(back.collection.clone(), back.id.clone())).and_then(|lsn| self.change(*lsn))
    }

    fn offer_return(&self, feed: &mut Feed, back: &Return) -> bool {
        match self.newest(back) {
            Some(change) => {
                feed.lost(&lost(back));
                offer_version(feed, self.log[&change.version.lsn].0, back.lsn, (change, None))
            }
            None => offer_gone(feed, back.lsn, &(back.collection.clone(), back.id.clone())),
        }
    }

    pub fn expired(&self, by: Millis, after: (Millis, Lsn), limit: usize) -> Vec<ExpiredRow> {
        let mut rows: Vec<_> = (self.heads.iter())
            .filter_map(|((collection, id), lsn)| {
                let change = self.change(*lsn).filter(|change| change.version.meta.is_live())?;
                let at = change.facts.expires.filter(|at| *at <= by && (*at, *lsn) > after)?;
                Some(ExpiredRow { at, lsn: *lsn, collection: collection.clone(), id: id.clone() })
            })
            .collect();
        rows.sort_by_key(|row| (row.at, row.lsn));
        rows.truncate(limit);
        rows
    }

    pub fn documents(&self, docs: Vec<DocKey>) -> Vec<(DocKey, Version)> {
        let newest = |key: DocKey| Some((self.change(*self.heads.get(&key)?)?.version.clone(), key));
        docs.into_iter().filter_map(newest).map(|(version, key)| (key, version)).collect()
    }

    pub fn conflicts(&self, query: &ListQuery) -> Vec<ConflictRow> {
        let wanted = |row: &&ConflictRow| {
            query.before.is_none_or(|before| row.n < before)
                && query.collection.as_ref().is_none_or(|name| name.as_str() == row.collection)
                && query.id.as_ref().is_none_or(|id| id.as_str() == row.id)
        };
        self.ledger.iter().rev().filter(wanted).take(query.limit).cloned().collect()
    }

    pub fn late_conflicts(&self, author: Author, after: u64, limit: usize) -> LateRows {
        let wanted = |row: &&ConflictRow| row.n > after && self.late.get(&row.n) == Some(&author);
        let rows: Vec<ConflictRow> = self.ledger.iter().filter(wanted).take(limit).cloned().collect();
        let upto = rows.last().filter(|_| rows.len() == limit).map_or(self.last_listed.0, |row| row.n);
        LateRows { rows, upto }
    }

    pub fn quarantine(&self, query: &ListQuery) -> Vec<QuarantineRow> {
        let wanted = |row: &&QuarantineRow| {
            query.before.is_none_or(|before| row.n < before)
                && query.collection.as_ref().is_none_or(|name| Some(name.as_str()) == row.collection.as_deref())
                && query.id.as_ref().is_none_or(|id| Some(id.as_str()) == row.id.as_deref())
        };
        self.quarantine.iter().rev().filter(wanted).take(query.limit).cloned().collect()
    }
}

fn offer_version(feed: &mut Feed, at: Millis, lsn: Lsn, (change, before): (&Change, Option<&str>)) -> bool {
    let version = &change.version;
    let mark = Mark { stamp: version.meta.stamp(), lsn: version.lsn, author: version.author };
    let meta = if version.meta == Meta::inserted(mark) {
        String::new()
    } else {
        serde_json::to_string(&version.meta).expect("a meta serializes")
    };
    feed.offer(&Row {
        lsn,
        at,
        collection: change.collection.as_str(),
        id: change.id.as_str(),
        live: version.meta.is_live(),
        author: version.author,
        stamp: version.meta.stamp(),
        born: version.meta.born,
        meta: &meta,
        eventful: version.meta.is_eventful(),
        created: version.meta.created,
        times: change.facts.times,
        body: version.body.text(),
        before,
    })
}

/// Whether a return is one of those that are asked for by name.
fn is_of(scan: &Scan, back: &Return) -> bool {
    let Scan::Returns { author, collections, .. } = scan else { return false };
    back.author == *author && collections.contains(&back.collection)
}

fn tells_own(scan: &Scan, version: &Version) -> bool {
    scan.tells_own(version.lsn, version.meta.created)
}

/// A document whose removal is past the horizon.
fn offer_gone(feed: &mut Feed, lsn: Lsn, (collection, id): &DocKey) -> bool {
    feed.offer(&Row { lsn, ..Row::gone(collection.as_str(), id.as_str()) })
}

fn offer_ticket(feed: &mut Feed, at: Millis, ticket: &Ticket) -> bool {
    let body = serde_json::to_string(ticket).expect("a ticket serializes");
    feed.offer(&Row {
        lsn: ticket.lsn,
        at,
        collection: ticket.collection.as_str(),
        id: "",
        live: false,
        author: ticket.author,
        stamp: Stamp::ZERO,
        born: Stamp::ZERO,
        meta: "",
        eventful: false,
        created: Lsn::ZERO,
        times: TimeFields::default(),
        body: &body,
        before: None,
    })
}
