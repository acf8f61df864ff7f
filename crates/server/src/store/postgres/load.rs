//! What a group of pushes needs to know (steps 4 and 5 of the life of a change): one statement for each kind of thing,
//! all sent behind the one that takes the space's turn, so that they cost one round trip however many ops there are.
//!
//! What is asked for by name is looked up one by one (`LATERAL … LIMIT 1`). With a plain join it is the planner's choice to
//! read all of a space instead, and where a table has grown since it was last analyzed, that is what it does.

use super::authors::{self, Authors};
use super::nodes;
use super::pipeline::{Answers, Pipeline, blobs, long, longs, text, texts};
use super::rows::{damaged, key_of, node_of, receipts_of, version_of};
use super::rules::Rules;
use super::space::{self, State};
use super::trouble::Failure;
use super::unique::{self, Keys};
use crate::store::columns::{LIVE, int, nat, record_kind};
use crate::store::ledger::values;
use crate::store::{CollectionRule, RecordKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use syncline_core::hub::{AuthorState, DocKey, KeptLoss, Loaded, StoredBatch, Touch};
use syncline_core::model::{BatchId, CollectionName, Demands, Lsn, NodeId, Seq, SpaceName};
use tokio_postgres::Row;

/// Where the answers will be.
pub(super) struct Asked {
    state: usize,
    authors: Option<usize>,
    docs: Option<usize>,
    whole: Option<usize>,
    batches: Option<usize>,
    seen: Option<usize>,
    receipts: Option<usize>,
    registered: Option<usize>,
    ledger: Option<usize>,
    quarantine: Option<usize>,
    rules: Option<usize>,
    keys: Option<usize>,
}

/// Takes the space's turn and asks for what `touch` names.
pub(super) fn ask<'a>(pipeline: &mut Pipeline<'a>, space: &'a SpaceName, touch: &'a Touch) -> Asked {
    let state = space::lock(pipeline, space);
    Asked {
        state,
        authors: (!touch.nodes.is_empty()).then(|| authors::ask(pipeline, space, &touch.nodes)),
        docs: (!touch.docs.is_empty()).then(|| ask_docs(pipeline, space, &touch.docs)),
        whole: (!touch.whole.is_empty()).then(|| ask_whole(pipeline, space, &touch.whole)),
        batches: (!touch.batches.is_empty()).then(|| ask_batches(pipeline, space, touch)),
        seen: (!touch.keys.is_empty()).then(|| {
            let sql = "SELECT s.key FROM unnest($2::BYTEA[]) AS t (key) CROSS JOIN LATERAL (
                SELECT key FROM syncline.seen WHERE space = $1 AND key = t.key LIMIT 1) s";
            pipeline.send(sql, vec![text(space.as_str()), blobs(touch.keys.iter().map(<[u8; 16]>::as_slice))])
        }),
        receipts: (!touch.seqs.is_empty()).then(|| ask_receipts(pipeline, space, touch)),
        registered: (!touch.registered.is_empty()).then(|| nodes::ask(pipeline, space, &touch.registered)),
        ledger: (!touch.ledger.is_empty()).then(|| {
            let sql = "SELECT n, losing_kind, losing, winning_kind, winning, restored FROM syncline.ledger
                       WHERE space = $1 AND n = ANY($2)";
            pipeline.send(sql, vec![text(space.as_str()), longs(touch.ledger.iter().copied().map(int))])
        }),
        quarantine: (!touch.quarantine.is_empty()).then(|| {
            let sql = "SELECT n FROM syncline.quarantine WHERE space = $1 AND n = ANY($2)";
            pipeline.send(sql, vec![text(space.as_str()), longs(touch.quarantine.iter().copied().map(int))])
        }),
        rules: (!touch.collections.is_empty()).then(|| ask_rules(pipeline, space, &touch.collections)),
        keys: (!touch.collections.is_empty()).then(|| unique::ask(pipeline, space, touch)),
    }
}

/// Names as arrays of the same length.
fn places(docs: &BTreeSet<DocKey>) -> (Vec<&str>, Vec<&str>) {
    docs.iter().map(|(collection, id)| (collection.as_str(), id.as_str())).unzip()
}

fn ask_docs<'a>(pipeline: &mut Pipeline<'a>, space: &'a SpaceName, docs: &'a BTreeSet<DocKey>) -> usize {
    let sql = "WITH asked AS (SELECT * FROM unnest($2::TEXT[], $3::TEXT[]) AS t (collection, id))
        SELECT asked.collection, asked.id, l.kind, l.lsn, l.author, l.stamp, l.meta, l.body FROM asked
            CROSS JOIN LATERAL (SELECT lsn FROM syncline.heads
                WHERE space = $1 AND collection = asked.collection AND id = asked.id LIMIT 1) h
            CROSS JOIN LATERAL (SELECT kind, lsn, author, stamp, meta, body FROM syncline.log
                WHERE space = $1 AND lsn = h.lsn LIMIT 1) l
        UNION ALL
        SELECT asked.collection, asked.id, 4, l.lsn, l.author, 0, NULL, '' FROM asked
            CROSS JOIN LATERAL (SELECT lsn, author FROM syncline.log
                WHERE space = $1 AND collection = asked.collection AND id = asked.id AND kind = 4 LIMIT 1) l";
    let (collections, ids) = places(docs);
    pipeline.send(sql, vec![text(space.as_str()), texts(collections), texts(ids)])
}

fn ask_whole<'a>(pipeline: &mut Pipeline<'a>, space: &'a SpaceName, whole: &'a BTreeSet<CollectionName>) -> usize {
    let sql = "SELECT h.collection, h.id, l.kind, l.lsn, l.author, l.stamp, l.meta, l.body FROM syncline.heads h
        JOIN syncline.log l ON l.space = $1 AND l.lsn = h.lsn
        WHERE h.space = $1 AND h.collection = ANY($2) AND l.kind = $3";
    pipeline.send(sql, vec![text(space.as_str()), texts(whole.iter().map(CollectionName::as_str)), long(LIVE)])
}

fn ask_batches<'a>(pipeline: &mut Pipeline<'a>, space: &'a SpaceName, touch: &'a Touch) -> usize {
    let sql = "SELECT t.node, t.id, b.digest, b.lsn FROM unnest($2::TEXT[], $3::TEXT[]) AS t (node, id)
        CROSS JOIN LATERAL (SELECT author FROM syncline.authors WHERE space = $1 AND node = t.node LIMIT 1) a
        CROSS JOIN LATERAL (SELECT digest, lsn FROM syncline.batches
            WHERE space = $1 AND author = a.author AND id = t.id LIMIT 1) b";
    let (nodes, ids): (Vec<_>, Vec<_>) = touch.batches.iter().map(|(node, id)| (node.as_str(), id.as_str())).unzip();
    pipeline.send(sql, vec![text(space.as_str()), texts(nodes), texts(ids)])
}

/// Rows with receipts that may be asked for, oldest first; what lies between the numbers is not read.
fn ask_receipts<'a>(pipeline: &mut Pipeline<'a>, space: &'a SpaceName, touch: &'a Touch) -> usize {
    let sql = "SELECT DISTINCT ON (r.n) t.node, r.body
        FROM unnest($2::TEXT[], $3::BIGINT[], $4::BIGINT[]) AS t (node, first, last)
        CROSS JOIN LATERAL (SELECT author, last_seq FROM syncline.authors WHERE space = $1 AND node = t.node LIMIT 1) a
        CROSS JOIN LATERAL (SELECT n, body FROM syncline.receipts
            WHERE a.last_seq >= t.first AND space = $1 AND author = a.author AND last_seq >= t.first
                AND first_seq <= t.last OFFSET 0) r
        ORDER BY r.n";
    let (mut nodes, mut firsts, mut lasts) = (Vec::new(), Vec::new(), Vec::new());
    for (node, seqs) in &touch.seqs {
        for (first, last) in seqs.ranges() {
            nodes.push(node.as_str());
            firsts.push(int(first.0));
            lasts.push(int(last.0));
        }
    }
    pipeline.send(sql, vec![text(space.as_str()), texts(nodes), longs(firsts), longs(lasts)])
}

fn ask_rules<'a>(pipeline: &mut Pipeline<'a>, space: &SpaceName, collections: &BTreeSet<CollectionName>) -> usize {
    let sql = "SELECT key, value FROM syncline.records WHERE kind = $1 AND key = ANY($2)";
    let keys = texts(collections.iter().map(|name| CollectionRule::key(space, name)));
    pipeline.send(sql, vec![text(record_kind(RecordKind::Collection)), keys])
}

/// What stands of the values that must be unique, and what the rules ask for.
pub(super) fn demanded(
    asked: &Asked,
    answers: &mut Answers,
    (space, touch): (&SpaceName, &Touch),
    rules: &Rules,
) -> Result<(Keys, BTreeMap<CollectionName, Arc<Demands>>), Failure> {
    let touched = rules.touched(space, touch, &answers.take(asked.rules))?;
    Ok((Keys::of(&answers.take(asked.keys))?, touched))
}

/// Puts the answers together. New nodes get their numbers here.
pub(super) fn loaded(
    asked: &Asked,
    answers: &mut Answers,
    space: &SpaceName,
    touch: &Touch,
) -> Result<(State, Authors, Loaded), Failure> {
    let state = space::found(answers, asked.state, space)?;
    let mut authors = Authors::of(&answers.take(asked.authors), state.last.author)?;
    let mut loaded = Loaded { head: state.head.lsn, horizon: state.head.horizon, ..Loaded::default() };
    for node in &touch.nodes {
        let row = authors.number(node);
        let known = AuthorState { author: row.author, forgotten: row.forgotten.clone(), owner: row.owner.clone() };
        loaded.nodes.insert(node.clone(), known);
    }
    for row in answers.take(asked.docs).iter().chain(&answers.take(asked.whole)) {
        loaded.docs.insert(key_of(row)?, version_of(row, 2)?);
    }
    for row in answers.take(asked.batches) {
        let key = (node_of(&row, 0)?, BatchId::new(row.try_get::<_, String>(1)?).map_err(damaged)?);
        let digest = row.try_get::<_, i64>(2)?.cast_unsigned();
        loaded.batches.insert(key, StoredBatch { digest, lsn: Lsn(nat(row.try_get(3)?)) });
    }
    for row in answers.take(asked.seen) {
        loaded.seen.insert(row.try_get::<_, &[u8]>(0)?.try_into().map_err(damaged)?);
    }
    load_receipts(&answers.take(asked.receipts), touch, &mut loaded)?;
    for (registration, traffic) in nodes::found(&answers.take(asked.registered))? {
        loaded.traffic.insert(registration.id, traffic);
    }
    for row in answers.take(asked.ledger) {
        let side = |kind: usize| values(row.try_get(kind)?, row.try_get(kind + 1)?).map_err(damaged);
        let restored = row.try_get::<_, Option<i64>>(5)?.map(|lsn| Lsn(nat(lsn)));
        let kept = KeptLoss { losing: side(1)?, winning: side(3)?, restored };
        loaded.ledger.insert(nat(row.try_get(0)?), kept);
    }
    for row in answers.take(asked.quarantine) {
        loaded.quarantine.insert(nat(row.try_get(0)?));
    }
    Ok((state, authors, loaded))
}

/// Where a number was answered twice, the first answer counts.
fn load_receipts(rows: &[Row], touch: &Touch, loaded: &mut Loaded) -> Result<(), Failure> {
    for row in rows {
        let node = node_of(row, 0)?;
        let Some(seqs) = touch.seqs.get(&node) else { continue };
        for receipt in receipts_of(row.try_get(1)?)?.into_iter().filter(|receipt| seqs.contains(receipt.seq)) {
            let key: (NodeId, Seq) = (node.clone(), receipt.seq);
            loaded.receipts.entry(key).or_insert(receipt);
        }
    }
    Ok(())
}
