//! What differs between a database and its hub at the LSN that the database has read to. Both sides count what stands in ranges of
//! documents; where the counts differ the ranges are parted, until few enough documents are left to be looked at one by one.

use super::found::{Compared, Difference, Kind};
use super::reading::Source;
use crate::error::CliError;
use crate::hub::now;
use indicatif::ProgressBar;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use syncline::sync::{Cursor, HttpApiClient};
use syncline::{Correction, Database, Replica, packet_of};
use syncline_core::model::{Body, CollectionName, DocId, Lsn, Millis, Views};
use syncline_core::wire::exchange::is_uuid;
use syncline_core::wire::own::PageOp;
use syncline_core::wire::ranges::{Range, Tallies, Tally, by_value, place};

/// Documents that expire so soon may be gone on one side alone, by the clocks.
const EXPIRY_SLACK_MS: u64 = 120_000;
/// Documents that one look at ranges may hold: their names are kept in memory.
const LOOK_DOCUMENTS: u64 = 16_384;
/// Ranges that one look names.
const LOOK_RANGES: usize = 256;
/// Documents that changed since the database has read: their names are kept in memory.
const UNREAD_MAX: usize = 200_000;
/// What differs is put right in steps of so many documents, or so many bytes.
const STEP_DOCUMENTS: usize = 200;
const STEP_BYTES: usize = 4 << 20;

/// A database, its hub, and what is to be done about differences.
pub struct Comparison<'a> {
    pub database: &'a Database,
    pub hub: &'a HttpApiClient,
    /// Whether what differs is put right.
    pub repair: bool,
    /// Shows how many documents were counted.
    pub bar: &'a ProgressBar,
}

impl Comparison<'_> {
    /// Compares the collections.
    ///
    /// # Errors
    /// The database has not read them to an end, or in another history, or is too far behind; the hub refuses or cannot be reached.
    pub async fn run(&self, names: &[String]) -> Result<Compared, CliError> {
        let scope: BTreeSet<CollectionName> = names.iter().map(CollectionName::new).collect::<Result<_, _>>()?;
        let replica = self.database.replica();
        let mut by_place: BTreeMap<(Lsn, String), (Cursor, BTreeSet<CollectionName>)> = BTreeMap::new();
        let positions = replica.positions(&scope)?;
        let views = positions.views;
        for (name, cursor) in positions.cursors {
            let cursor = cursor.ok_or_else(|| unread(&name))?;
            let key = (cursor.lsn, cursor.epoch.as_str().to_owned());
            by_place.entry(key).or_insert((cursor, BTreeSet::new())).1.insert(name);
        }
        let node = replica.node()?;
        let mut found =
            Compared { lsn: by_place.keys().next().map_or(Lsn::ZERO, |(lsn, _)| *lsn), ..Compared::default() };
        for (local, scope) in by_place.values() {
            let packet = packet_of(local);
            let at = if packet.is_some() { Cursor::default() } else { local.clone() };
            let source = Source { hub: self.hub, node: &node, scope, packet };
            let until = Millis(now().0.saturating_add(EXPIRY_SLACK_MS));
            let (known, changed) = (at.lsn, BTreeSet::new());
            let part = Part { of: self, source, replica: &replica, local, at, views: &views, until, known, changed };
            part.run(&mut found).await.map_err(|error| match error {
                CliError::SyncRefused(said) if said.contains("(410)") => {
                    scope.first().map_or(CliError::Sync(said), unread)
                }
                other => other,
            })?;
        }
        Ok(found)
    }
}

/// Collections that the database has read to one position.
struct Part<'a> {
    of: &'a Comparison<'a>,
    source: Source<'a>,
    replica: &'a Replica,
    /// Where the database stands by its own words.
    local: &'a Cursor,
    /// Where that is in the hub's log. Where packets brought it there, the hub says it with its first answer.
    at: Cursor,
    /// What the database was loaded with: the documents of which token.
    views: &'a Views,
    until: Millis,
    /// Up to here it is known what changed after `at`.
    known: Lsn,
    changed: BTreeSet<(CollectionName, DocId)>,
}

impl Part<'_> {
    async fn run(mut self, found: &mut Compared) -> Result<(), CliError> {
        let mut open = vec![vec![Range::ALL]];
        let mut first = true;
        while let Some(ranges) = open.pop() {
            let bar = self.of.bar;
            let (head, theirs) =
                self.source.digests(&self.at, self.until, &ranges, |scanned| bar.set_position(scanned)).await?;
            self.check_views(&head.views)?;
            if let (Some(lsn), true) = (head.at, first) {
                (self.at, self.known, found.lsn) = (Cursor { epoch: head.epoch, lsn }, lsn, lsn);
            }
            self.catch_up(head.server_lsn).await?;
            if std::mem::take(&mut first) {
                found.documents += theirs.values().map(|tally| tally.documents).sum::<u64>();
            }
            let ours = self.count(ranges)?;
            let steps = next_steps(&theirs, ours.parts());
            for look in steps.looks {
                self.look(&look, found).await?;
            }
            open.extend(steps.deeper);
        }
        found.unread += self.changed.len() as u64;
        Ok(())
    }

    /// Under another view everything outside of it would look like a difference.
    fn check_views(&self, theirs: &Views) -> Result<(), CliError> {
        match self.source.scope.iter().find(|name| self.views.get(*name) != theirs.get(*name)) {
            None => Ok(()),
            Some(collection) => Err(CliError::OtherView { collection: collection.to_string() }),
        }
    }

    /// What changed since the database has read is no difference.
    async fn catch_up(&mut self, upto: Lsn) -> Result<(), CliError> {
        if upto <= self.known {
            return Ok(());
        }
        let (from, changed) = (Cursor { lsn: self.known, ..self.at.clone() }, &mut self.changed);
        let known = self.source.changes(from, upto, |op| {
            if changed.len() <= UNREAD_MAX {
                changed.insert((op.collection.clone(), op.id.clone()));
            }
        });
        self.known = known.await?.max(upto);
        if self.changed.len() > UNREAD_MAX {
            return Err(CliError::Usage(format!(
                "more than {UNREAD_MAX} documents changed since the database has read; `syncline db sync FILE` first, then compare"
            )));
        }
        Ok(())
    }

    fn count(&self, ranges: Vec<Range>) -> Result<Tallies, CliError> {
        let mut tallies = Tallies::of(ranges)?;
        let by_value = |text: &str| self.source.packet.map(|_| by_value(text));
        self.each(|collection, id, lsn, text| match by_value(text) {
            Some(text) => tallies.add((collection.as_str(), id), Lsn::ZERO, &text),
            None => tallies.add((collection.as_str(), id), lsn, text),
        })?;
        Ok(tallies)
    }

    fn each(&self, mut show: impl FnMut(&CollectionName, &str, Lsn, &str)) -> Result<(), CliError> {
        for name in self.source.scope {
            self.replica.each_hub_version(name, self.until, |id, lsn, text| {
                // Nothing has changed for most who compare.
                let is_news = !self.changed.is_empty()
                    && DocId::new(id).is_ok_and(|id| self.changed.contains(&(name.clone(), id)));
                if !is_news {
                    show(name, id, lsn, text);
                }
            })?;
        }
        Ok(())
    }

    /// Looks at the documents of some ranges one by one.
    async fn look(&mut self, ranges: &[Range], found: &mut Compared) -> Result<(), CliError> {
        let mut left: BTreeMap<(CollectionName, DocId), Lsn> = BTreeMap::new();
        self.each(|collection, id, lsn, _| {
            let place = place(collection.as_str(), id);
            if ranges.iter().any(|range| range.holds(place))
                && let Ok(id) = DocId::new(id)
            {
                left.insert((collection.clone(), id), lsn);
            }
        })?;
        let (mut correction, mut bytes, mut sent) = (Correction::default(), 0, 0);
        let head = self.source.documents(ranges, |op| {
            sent += 1;
            left.remove(&(op.collection.clone(), op.id.clone()));
            let Some(difference) = self.difference(&op)? else { return Ok(()) };
            found.add(difference);
            bytes += op.doc.as_ref().map_or(0, |doc| doc.get().len());
            // Where packets bring documents, their numbers stand in the place of the log's.
            let lsn = if self.source.packet.is_some() { self.local.lsn } else { op.lsn };
            correction.stands.push(PageOp { lsn, ..op });
            if correction.len() >= STEP_DOCUMENTS || bytes >= STEP_BYTES {
                bytes = 0;
                self.correct(&std::mem::take(&mut correction), found)?;
            }
            Ok(())
        });
        let head = head.await?;
        self.check_views(&head.views)?;
        found.sent += sent;
        self.catch_up(head.server_lsn).await?;
        for ((collection, id), lsn) in left {
            if !self.changed.contains(&(collection.clone(), id.clone())) {
                correction.gone.push((collection.clone(), id.clone()));
                found.add(Difference { collection, id, kind: Kind::Extra, here: Some(lsn), hub: None });
            }
        }
        self.correct(&correction, found)
    }

    fn difference(&self, op: &PageOp) -> Result<Option<Difference>, CliError> {
        let key = (op.collection.clone(), op.id.clone());
        let by_packets = self.source.packet.is_some();
        if by_packets && !is_uuid(op.id.as_str()) {
            return Ok(None); // No packet can hold it.
        }
        if op.lsn > self.at.lsn || self.changed.contains(&key) || expires_by(op, self.until) {
            return Ok(None);
        }
        let here = self.replica.hub_version(&op.collection, &op.id)?;
        let kind = match &here {
            None => Kind::Missing,
            Some((lsn, text)) if (*lsn != op.lsn && !by_packets) || !same(text, op) => Kind::Different,
            Some(_) => return Ok(None),
        };
        let (collection, id) = key;
        Ok(Some(Difference { collection, id, kind, here: here.map(|(lsn, _)| lsn), hub: Some(op.lsn) }))
    }

    fn correct(&self, correction: &Correction, found: &mut Compared) -> Result<(), CliError> {
        if !self.of.repair || correction.is_empty() {
            return Ok(());
        }
        if !self.replica.correct(self.source.scope, self.local, correction)? {
            return Err(CliError::Sync("the database has synced meanwhile; repair again".into()));
        }
        found.repaired += correction.len() as u64;
        Ok(())
    }
}

/// What is to be done about ranges that differ.
struct Steps {
    /// Ranges whose documents are looked at, those of one look together.
    looks: Vec<Vec<Range>>,
    /// Ranges that are parted, those of one question together.
    deeper: Vec<Vec<Range>>,
}

/// Few documents are looked at, and so are those of ranges that differ nearly everywhere: to part these further would
/// cost another count each time and leave nothing out.
fn next_steps(theirs: &BTreeMap<Range, Tally>, ours: &BTreeMap<Range, Tally>) -> Steps {
    let of = |side: &BTreeMap<Range, Tally>, range: &Range| side.get(range).copied().unwrap_or_default();
    let ranges: BTreeSet<Range> = theirs.keys().chain(ours.keys()).copied().collect();
    let differing: Vec<(Range, u64)> = ranges
        .into_iter()
        .filter(|range| of(theirs, range) != of(ours, range))
        .map(|range| (range, of(theirs, &range).documents.max(of(ours, &range).documents)))
        .collect();
    let all: u64 = differing.iter().map(|(_, documents)| documents).sum();
    let everywhere = differing.len() > Tallies::RANGES_MAX;
    let mut steps = Steps { looks: Vec::new(), deeper: Vec::new() };
    let mut room = 0;
    for (range, documents) in differing {
        let fits = documents <= LOOK_DOCUMENTS && (everywhere || all <= LOOK_DOCUMENTS);
        if fits || range.depth() == Range::DEPTH_MAX {
            match steps.looks.last_mut().filter(|look| documents <= room && look.len() < LOOK_RANGES) {
                Some(look) => look.push(range),
                None => {
                    room = LOOK_DOCUMENTS;
                    steps.looks.push(vec![range]);
                }
            }
            room = room.saturating_sub(documents);
        } else {
            match steps.deeper.last_mut().filter(|group| group.len() < Tallies::RANGES_MAX) {
                Some(group) => group.push(range),
                None => steps.deeper.push(vec![range]),
            }
        }
    }
    steps
}

fn unread(collection: &CollectionName) -> CliError {
    CliError::Usage(format!(
        "the database has not read `{collection}` as the hub has it now; `syncline db sync FILE` first, then compare"
    ))
}

fn expires_by(op: &PageOp, soon: Millis) -> bool {
    let expires = op.doc.as_ref().and_then(|text| Body::trusted(text.get()).facts().expires);
    expires.is_some_and(|at| at <= soon)
}

/// Spelling may differ where the database has merged edits of its own.
fn same(text: &str, op: &PageOp) -> bool {
    let Some(theirs) = op.doc.as_ref().map(|doc| doc.get()) else { return false };
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    text == theirs || (read(text).is_some() && read(text) == read(theirs))
}
