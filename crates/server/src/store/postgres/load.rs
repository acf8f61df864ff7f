//! What a group of pushes needs to know (steps 4 and 5 of the life of a change): one statement for what every push asks for,
//! and one for each other kind of thing, all sent behind the one that takes the space's turn, so that they cost one round
//! trip however many ops there are.
//!
//! What is asked for by name is looked up one by one (`LATERAL … LIMIT 1`). With a plain join it is the planner's choice to
//! read all of a space instead, and where a table has grown since it was last analyzed, that is what it does.

use super::authors::Authors;
use super::known::{self, Known};
use super::nodes;
use super::pipeline::{Answers, Pipeline, blobs, long, longs, text, texts};
use super::rows::{damaged, key_of, node_of, receipts_of, version_of};
use super::rules::Rules;
use super::space::State;
use super::trouble::Failure;
use super::unique::Keys;
use crate::store::columns::{LIVE, int, nat};
use crate::store::ledger::values;
use std::collections::BTreeSet;
use syncline_core::hub::{AuthorState, KeptLoss, Loaded, StoredBatch, Touch};
use syncline_core::model::{BatchId, CollectionName, Lsn, NodeId, Seq, SpaceName};
use tokio_postgres::Row;

/// Where the answers will be.
pub(super) struct Asked {
    known: usize,
    whole: Option<usize>,
    seen: Option<usize>,
    registered: Option<usize>,
    ledger: Option<usize>,
    quarantine: Option<usize>,
}

/// Asks for what `touch` names, behind what takes the space's turn.
pub(super) fn ask<'a>(pipeline: &mut Pipeline<'a>, space: &'a SpaceName, touch: &'a Touch) -> Asked {
    Asked {
        known: known::ask(pipeline, space, touch),
        whole: (!touch.whole.is_empty()).then(|| ask_whole(pipeline, space, &touch.whole)),
        seen: (!touch.keys.is_empty()).then(|| {
            let sql = "SELECT s.key FROM unnest($2::BYTEA[]) AS t (key) CROSS JOIN LATERAL (
                SELECT key FROM syncline.seen WHERE space = $1 AND key = t.key LIMIT 1) s";
            pipeline.send(sql, vec![text(space.as_str()), blobs(touch.keys.iter().map(<[u8; 16]>::as_slice))])
        }),
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
    }
}

fn ask_whole<'a>(pipeline: &mut Pipeline<'a>, space: &'a SpaceName, whole: &'a BTreeSet<CollectionName>) -> usize {
    let sql = "SELECT h.collection, h.id, l.kind, l.lsn, l.author, l.stamp, l.meta, l.body FROM syncline.heads h
        JOIN syncline.log l ON l.space = $1 AND l.lsn = h.lsn
        WHERE h.space = $1 AND h.collection = ANY($2) AND l.kind = $3";
    pipeline.send(sql, vec![text(space.as_str()), texts(whole.iter().map(CollectionName::as_str)), long(LIVE)])
}

/// What was found.
pub(super) struct Found {
    pub authors: Authors,
    /// What stands of the values that must be unique.
    pub keys: Keys,
    pub loaded: Loaded,
}

/// Puts the answers together. New nodes get their numbers here.
pub(super) fn loaded(
    asked: &Asked,
    answers: &mut Answers,
    (state, touch): (&State, &Touch),
    (space, rules): (&SpaceName, &Rules),
) -> Result<Found, Failure> {
    let known = Known::of(answers.take(Some(asked.known)))?;
    let mut authors = Authors::of(&known.authors, state.last.author)?;
    let keys = Keys::of(&known.keys, touch)?;
    let rules = rules.touched(space, touch, &known.rules)?;
    let mut loaded = Loaded { head: state.head.lsn, horizon: state.head.horizon, rules, ..Loaded::default() };
    for node in &touch.nodes {
        let row = authors.number(node);
        let known = AuthorState { author: row.author, forgotten: row.forgotten.clone(), owner: row.owner.clone() };
        loaded.nodes.insert(node.clone(), known);
    }
    for row in known.docs.iter().chain(&answers.take(asked.whole)) {
        loaded.docs.insert(key_of(row)?, version_of(row, 2)?);
    }
    for row in known.batches {
        let key = (node_of(&row, 0)?, BatchId::new(row.try_get::<_, String>(1)?).map_err(damaged)?);
        let digest = row.try_get::<_, i64>(2)?.cast_unsigned();
        loaded.batches.insert(key, StoredBatch { digest, lsn: Lsn(nat(row.try_get(3)?)) });
    }
    for row in answers.take(asked.seen) {
        loaded.seen.insert(row.try_get::<_, &[u8]>(0)?.try_into().map_err(damaged)?);
    }
    load_receipts(&known.receipts, touch, &mut loaded)?;
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
    Ok(Found { authors, keys, loaded })
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
