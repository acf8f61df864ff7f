//! The rows of a decided group (step 6 of the life of a change): one statement for each table, however many rows, and
//! the COMMIT with them. The head of the space is written last. What is known by its key is found by it (see `load`),
//! also where it is changed: by `ON CONFLICT`, which leaves the planner no other way.

use super::authors::Authors;
use super::log_rows::LogRows;
use super::mark::Mark;
use super::nodes;
use super::pipeline::{Pipeline, blobs, long, longs, text, texts};
use super::space::{Numbers, State};
use super::unique::Keys;
use crate::store::Head;
use crate::store::columns::int;
use crate::store::ledger::side;
use std::collections::btree_map::Entry::{Occupied, Vacant};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use syncline_core::hub::{Entry, WriteSet};
use syncline_core::model::{CollectionName, DocId, NodeId, SpaceName};

/// A document's place, as a write set names it.
pub(super) type Place<'a> = (&'a CollectionName, &'a DocId);

/// What is written, and into what.
pub(super) struct Pen<'a> {
    pub space: &'a SpaceName,
    pub authors: &'a Authors,
    pub writes: &'a WriteSet,
    /// Values that must be unique.
    pub keys: &'a Keys,
    /// Documents that were looked for and have no head yet. Under the space's lock nobody else can give them one.
    pub fresh: &'a HashSet<Place<'a>>,
    /// By which the commit is known again; none where nothing goes to the log.
    pub mark: Option<Mark>,
}

/// How a head moves in this group.
struct Move {
    /// Where it was first.
    first: i64,
    to: i64,
    expires: Option<i64>,
}

/// Nodes that a write set names.
pub(super) fn named(writes: &WriteSet) -> BTreeSet<&NodeId> {
    let batches = writes.batches.iter().map(|((node, _), _)| node);
    let held = writes.held.iter().map(|(node, _)| node);
    let others = writes.owners.keys().chain(writes.receipts.keys()).chain(writes.traffic.keys());
    others.chain(batches).chain(held).collect()
}

/// Whether there is nothing to write.
pub(super) fn is_empty(writes: &WriteSet) -> bool {
    let WriteSet {
        at: _,
        entries,
        owners,
        batches,
        seen,
        receipts,
        conflicts,
        restored,
        quarantine,
        released,
        traffic,
        held,
        unique,
        asks: _,
    } = writes;
    entries.is_empty()
        && owners.is_empty()
        && batches.is_empty()
        && seen.is_empty()
        && receipts.is_empty()
        && conflicts.is_empty()
        && restored.is_empty()
        && quarantine.is_empty()
        && released.is_empty()
        && traffic.is_empty()
        && held.is_empty()
        && unique.is_empty()
}

impl<'a> Pen<'a> {
    /// Sends everything, and tells where the answer with the counts of kept rows will be.
    pub fn write(&self, pipeline: &mut Pipeline<'a>, state: &State) -> (Head, usize) {
        self.authors.write(pipeline, self.space);
        let mut head = state.head.clone();
        self.write_log(pipeline, &mut head);
        self.write_owners(pipeline);
        self.keys.write(pipeline, self.space, &self.writes.unique);
        self.write_repeats(pipeline);
        let mut last = Numbers { author: self.authors.last(), ..state.last };
        self.write_receipts(pipeline, &mut last);
        if !self.writes.held.is_empty() {
            nodes::write_held(pipeline, self.space, self.authors, self.writes);
        }
        if !self.writes.traffic.is_empty() {
            nodes::write_traffic(pipeline, self.space, self.authors, self.writes.traffic.iter());
        }
        self.write_ledger(pipeline, &mut last);
        self.write_quarantine(pipeline, &mut last);
        let counts = self.write_state(pipeline, &head, last);
        (head, counts)
    }

    fn write_log(&self, pipeline: &mut Pipeline<'a>, head: &mut Head) {
        let mut rows = LogRows::default();
        let mut moves = BTreeMap::<Place<'a>, Move>::new();
        let (mut superseded, mut until) = (Vec::new(), Vec::new());
        for entry in &self.writes.entries {
            rows.add(entry, int(self.writes.at.0));
            head.lsn = entry.lsn();
            if let Entry::Change(change) = entry {
                head.last_change = change.version.lsn;
                let expires = change.facts.expires.filter(|_| change.version.meta.is_live()).map(|at| int(at.0));
                let to = int(change.version.lsn.0);
                match moves.entry((&change.collection, &change.id)) {
                    Vacant(place) => drop(place.insert(Move { first: to, to, expires })),
                    Occupied(mut place) => {
                        superseded.push(place.get().to);
                        until.push(to);
                        *place.get_mut() = Move { to, expires, ..*place.get() };
                    }
                }
            }
        }
        let Some(mark) = self.mark else { return };
        rows.send(pipeline, self.space, mark);
        self.write_heads(pipeline, moves);
        if !superseded.is_empty() {
            let sql = "INSERT INTO syncline.superseded SELECT $1, t.* FROM unnest($2::BIGINT[], $3::BIGINT[]) AS t";
            pipeline.send(sql, vec![text(self.space.as_str()), longs(superseded), longs(until)]);
        }
    }

    fn write_heads(&self, pipeline: &mut Pipeline<'a>, moves: BTreeMap<Place<'a>, Move>) {
        let (fresh, standing): (Vec<_>, Vec<_>) = moves.into_iter().partition(|(place, _)| self.fresh.contains(place));
        let names = |moves: &[(Place<'a>, Move)]| {
            let (collections, ids): (Vec<_>, Vec<_>) =
                moves.iter().map(|((collection, id), _)| (collection.as_str(), id.as_str())).unzip();
            vec![text(self.space.as_str()), texts(collections), texts(ids)]
        };
        let targets = |moves: &[(Place<'a>, Move)]| {
            let (lsns, expires): (Vec<_>, Vec<_>) = moves.iter().map(|(_, to)| (to.to, to.expires)).unzip();
            [longs(lsns), longs(expires)]
        };
        if !fresh.is_empty() {
            let mut params = names(&fresh);
            params.extend(targets(&fresh));
            pipeline.send(NEW_HEADS, params);
        }
        if !standing.is_empty() {
            let mut params = names(&standing);
            params.push(longs(standing.iter().map(|(_, to)| to.first).collect::<Vec<_>>()));
            pipeline.send(SUPERSEDE, params);
            let mut params = names(&standing);
            params.extend(targets(&standing));
            pipeline.send(format!("{NEW_HEADS} {MOVE_HEADS}"), params);
        }
    }

    fn write_owners(&self, pipeline: &mut Pipeline<'a>) {
        let owners = &self.writes.owners;
        if !owners.is_empty() {
            let sql = "INSERT INTO syncline.authors (space, node, author, owner)
                SELECT $1, t.* FROM unnest($2::TEXT[], $3::BIGINT[], $4::TEXT[]) AS t
                ON CONFLICT (space, node) DO UPDATE SET owner = excluded.owner";
            let params = vec![
                text(self.space.as_str()),
                texts(owners.keys().map(NodeId::as_str)),
                longs(owners.keys().map(|node| self.authors.of_known(node)).collect::<Vec<_>>()),
                texts(owners.values().map(NodeId::as_str)),
            ];
            pipeline.send(sql, params);
        }
    }

    /// Batch ids and foreign op ids.
    fn write_repeats(&self, pipeline: &mut Pipeline<'a>) {
        let (batches, seen, at) = (&self.writes.batches, &self.writes.seen, int(self.writes.at.0));
        if !batches.is_empty() {
            let sql = "INSERT INTO syncline.batches (space, author, id, digest, lsn, at)
                SELECT $1, t.author, t.id, t.digest, t.lsn, $6
                FROM unnest($2::BIGINT[], $3::TEXT[], $4::BIGINT[], $5::BIGINT[]) AS t (author, id, digest, lsn)
                ON CONFLICT DO NOTHING";
            let params = vec![
                text(self.space.as_str()),
                longs(batches.iter().map(|((node, _), _)| self.authors.of_known(node)).collect::<Vec<_>>()),
                texts(batches.iter().map(|((_, id), _)| id.as_str())),
                longs(batches.iter().map(|(_, stored)| stored.digest.cast_signed())),
                longs(batches.iter().map(|(_, stored)| int(stored.lsn.0))),
                long(at),
            ];
            pipeline.send(sql, params);
        }
        if !seen.is_empty() {
            let sql = "INSERT INTO syncline.seen SELECT $1, t.key, $3 FROM unnest($2::BYTEA[]) AS t (key)
                ON CONFLICT DO NOTHING";
            pipeline.send(sql, vec![text(self.space.as_str()), blobs(seen.iter().map(<[u8; 16]>::as_slice)), long(at)]);
        }
    }

    /// One row for all receipts that a node gets in this group.
    fn write_receipts(&self, pipeline: &mut Pipeline<'a>, last: &mut Numbers) {
        let (mut numbers, mut authors, mut firsts, mut lasts, mut bodies) = (vec![], vec![], vec![], vec![], vec![]);
        let mut nodes = vec![];
        for (node, receipts) in &self.writes.receipts {
            let seqs = || receipts.iter().map(|receipt| int(receipt.seq.0));
            let (Some(first), Some(until)) = (seqs().min(), seqs().max()) else { continue };
            last.receipts += 1;
            numbers.push(last.receipts);
            nodes.push(node.as_str());
            authors.push(self.authors.of_known(node));
            firsts.push(first);
            lasts.push(until);
            bodies.push(serde_json::to_string(receipts).expect("receipts serialize"));
        }
        if numbers.is_empty() {
            return;
        }
        let at = int(self.writes.at.0);
        let answer = "INSERT INTO syncline.authors AS a (space, node, author, last_seq, seen_at)
            SELECT $1, t.*, $5 FROM unnest($2::TEXT[], $3::BIGINT[], $4::BIGINT[]) AS t
            ON CONFLICT (space, node) DO UPDATE SET
                last_seq = greatest(a.last_seq, excluded.last_seq), seen_at = excluded.seen_at";
        let answered =
            vec![text(self.space.as_str()), texts(nodes), longs(authors.clone()), longs(lasts.clone()), long(at)];
        let insert = "INSERT INTO syncline.receipts (space, n, author, first_seq, last_seq, body, at)
            SELECT $1, t.n, t.author, t.first, t.last, t.body, $7
            FROM unnest($2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[], $6::TEXT[])
                AS t (n, author, first, last, body)";
        let params = vec![
            text(self.space.as_str()),
            longs(numbers),
            longs(authors),
            longs(firsts),
            longs(lasts),
            texts(bodies),
            long(at),
        ];
        pipeline.send(insert, params);
        pipeline.send(answer, answered);
    }

    fn write_ledger(&self, pipeline: &mut Pipeline<'a>, last: &mut Numbers) {
        let (conflicts, restored) = (&self.writes.conflicts, &self.writes.restored);
        if !conflicts.is_empty() {
            let sql = "INSERT INTO syncline.ledger (space, at, n, collection, id, lsn, rule, winner, loser,
                    losing_kind, losing, winning_kind, winning, late)
                SELECT $1, $2, t.* FROM unnest($3::BIGINT[], $4::TEXT[], $5::TEXT[], $6::BIGINT[], $7::TEXT[],
                    $8::BIGINT[], $9::BIGINT[], $10::TEXT[], $11::TEXT[], $12::TEXT[], $13::TEXT[], $14::BIGINT[]) AS t";
            let first = last.conflict + 1;
            last.conflict += int(conflicts.len() as u64);
            let params = vec![
                text(self.space.as_str()),
                long(int(self.writes.at.0)),
                longs(first..=last.conflict),
                texts(conflicts.iter().map(|conflict| conflict.collection.as_str())),
                texts(conflicts.iter().map(|conflict| conflict.id.as_str())),
                longs(conflicts.iter().map(|conflict| int(conflict.lsn.0))),
                texts(conflicts.iter().map(|conflict| conflict.rule.as_str())),
                longs(conflicts.iter().map(|conflict| i64::from(conflict.winner.0))),
                longs(conflicts.iter().map(|conflict| i64::from(conflict.loser.0))),
                texts(conflicts.iter().map(|conflict| side(&conflict.losing).0)),
                texts(conflicts.iter().map(|conflict| side(&conflict.losing).1)),
                texts(conflicts.iter().map(|conflict| side(&conflict.winning).0)),
                texts(conflicts.iter().map(|conflict| side(&conflict.winning).1)),
                longs(conflicts.iter().map(|conflict| i64::from(conflict.late))),
            ];
            pipeline.send(sql, params);
        }
        if !restored.is_empty() {
            let sql = "UPDATE syncline.ledger l SET restored = t.lsn
                FROM unnest($2::BIGINT[], $3::BIGINT[]) AS t (n, lsn) WHERE l.space = $1 AND l.n = t.n";
            let rows = longs(restored.keys().copied().map(int));
            pipeline.send(sql, vec![text(self.space.as_str()), rows, longs(restored.values().map(|lsn| int(lsn.0)))]);
        }
    }

    fn write_quarantine(&self, pipeline: &mut Pipeline<'a>, last: &mut Numbers) {
        let (ops, released) = (&self.writes.quarantine, &self.writes.released);
        if !ops.is_empty() {
            let sql = "INSERT INTO syncline.quarantine (space, at, n, collection, id, node, seq, code, reason, op)
                SELECT $1, $2, t.* FROM unnest($3::BIGINT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::BIGINT[],
                    $8::TEXT[], $9::BYTEA[], $10::BYTEA[]) AS t";
            let first = last.quarantined + 1;
            last.quarantined += int(ops.len() as u64);
            let params = vec![
                text(self.space.as_str()),
                long(int(self.writes.at.0)),
                longs(first..=last.quarantined),
                texts(ops.iter().map(|op| op.collection.as_ref().map(|name| name.as_str()))),
                texts(ops.iter().map(|op| op.id.as_ref().map(|id| id.as_str()))),
                texts(ops.iter().map(|op| op.node.as_str())),
                longs(ops.iter().map(|op| op.seq.map(|seq| int(seq.0)))),
                texts(ops.iter().map(|op| op.code.as_str())),
                blobs(ops.iter().map(|op| op.reason.as_bytes())),
                blobs(ops.iter().map(|op| op.op.as_bytes())),
            ];
            pipeline.send(sql, params);
        }
        if !released.is_empty() {
            let sql = "WITH gone AS (DELETE FROM syncline.quarantine WHERE space = $1 AND n = ANY($2) RETURNING n)
                UPDATE syncline.spaces SET quarantined = quarantined - (SELECT count(*) FROM gone) WHERE space = $1";
            pipeline.send(sql, vec![text(self.space.as_str()), longs(released.iter().copied().map(int))]);
        }
    }

    fn write_state(&self, pipeline: &mut Pipeline<'a>, head: &Head, last: Numbers) -> usize {
        let sql = "UPDATE syncline.spaces SET lsn = $2, last_change = $3, conflicts = conflicts + $4,
                quarantined = quarantined + $5, last_author = $6, last_receipts = $7, last_conflict = $8,
                last_quarantined = $9
            WHERE space = $1 RETURNING conflicts, quarantined";
        let params = vec![
            text(self.space.as_str()),
            long(int(head.lsn.0)),
            long(int(head.last_change.0)),
            long(int(self.writes.conflicts.len() as u64)),
            long(int(self.writes.quarantine.len() as u64)),
            long(last.author),
            long(last.receipts),
            long(last.conflict),
            long(last.quarantined),
        ];
        pipeline.send(sql, params)
    }
}

/// Heads that are about to move leave their positions; a document that is written again needs its place no more.
const SUPERSEDE: &str = "
    WITH met AS (SELECT * FROM unnest($2::TEXT[], $3::TEXT[], $4::BIGINT[]) AS t (collection, id, until)),
        unburied AS (
            DELETE FROM syncline.log WHERE space = $1 AND lsn = ANY(ARRAY(
                SELECT l.lsn FROM met CROSS JOIN LATERAL (SELECT lsn FROM syncline.log
                    WHERE space = $1 AND collection = met.collection AND id = met.id AND kind = 4 OFFSET 0) l)))
    INSERT INTO syncline.superseded SELECT $1, h.lsn, met.until FROM met CROSS JOIN LATERAL (
        SELECT lsn FROM syncline.heads WHERE space = $1 AND collection = met.collection AND id = met.id LIMIT 1) h";

/// Heads of documents that have none.
const NEW_HEADS: &str = "
    INSERT INTO syncline.heads (space, collection, id, lsn, expires)
        SELECT $1, t.* FROM unnest($2::TEXT[], $3::TEXT[], $4::BIGINT[], $5::BIGINT[]) AS t";

/// The same of documents that may have one. Looking first, for a row that is not there, takes twice as long.
const MOVE_HEADS: &str =
    "ON CONFLICT (space, collection, id) DO UPDATE SET lsn = excluded.lsn, expires = excluded.expires";
