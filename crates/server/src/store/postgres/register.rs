//! What changes a space beside the commits of pushes: registrations, and how far nodes have read. Each takes its turn
//! under the space's lock.

use super::authors::Authors;
use super::known;
use super::nodes;
use super::pipeline::{Pipeline, bools, long, longs, text};
use super::pool::{Pools, Session};
use super::rows::node_of;
use super::space;
use super::trouble::Failure;
use super::turn;
use crate::store::StoreError;
use crate::store::columns::int;
use std::collections::{BTreeMap, BTreeSet};
use syncline_core::model::{Lsn, Millis, NodeId, Registration, SpaceName, Traffic};

/// Registers a node, or changes what is known of it; `false`: something else than `expected` is registered.
pub(super) async fn register(
    pools: &Pools,
    space: &SpaceName,
    registration: &Registration,
    expected: Option<&Registration>,
) -> Result<bool, Failure> {
    let session = pools.writing(space).await?;
    let done = write_registration(&session, space, registration, expected).await;
    session.finish(done).await
}

async fn write_registration(
    session: &Session,
    space: &SpaceName,
    registration: &Registration,
    expected: Option<&Registration>,
) -> Result<bool, Failure> {
    let Registration { id, code, name, plan } = registration;
    let which = BTreeSet::from([id.clone()]);
    let mut pipeline = session.begin();
    let state = space::lock(&mut pipeline, space);
    let taken = "SELECT id FROM syncline.nodes WHERE space = $1 AND code = $2 AND id <> $3";
    let taken = pipeline.send(taken, vec![text(space.as_str()), text(code), text(id.as_str())]);
    let known = known::ask_nodes(&mut pipeline, space, &which);
    let before = nodes::ask(&mut pipeline, space, &which);
    let mut answers = pipeline.answers().await?;
    let state = space::found(&mut answers, state, space)?;
    let before = nodes::found(&answers.take(Some(before)))?.pop();
    if before.as_ref().map(|(before, _)| before) != expected {
        return Ok(false);
    }
    if let Some(row) = answers.take(Some(taken)).first() {
        return Err(StoreError::CodeTaken { code: code.clone(), id: node_of(row, 0)? }.into());
    }
    let mut authors = Authors::of(&answers.take(Some(known)), state.last.author)?;
    let author = i64::from(authors.number(id).author.0);
    let replanned = before.as_ref().is_some_and(|(before, _)| before.plan != *plan);
    let mut traffic = before.map_or_else(|| Traffic::new(state.head.lsn), |(_, traffic)| traffic);
    if replanned {
        traffic.fill_otherwise(state.head.lsn);
    }
    let plan = serde_json::to_string(plan).expect("a plan serializes");
    let mut pipeline = session.pipeline();
    authors.write(&mut pipeline, space);
    let put = "INSERT INTO syncline.nodes (space, author, id, code, name, plan, last_sync_in, last_sync_out,
            received_packet_no, sent_packet_no, issued_packet_no, cursor, sent, last, known)
        VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0, 0, 0, 0, '[]', '{}', '{}')
        ON CONFLICT (space, author) DO UPDATE SET code = excluded.code, name = excluded.name, plan = excluded.plan";
    let params = vec![text(space.as_str()), long(author), text(id.as_str()), text(code), text(name), text(&plan)];
    pipeline.send(put, params);
    nodes::write_traffic(&mut pipeline, space, &authors, std::iter::once((id, &traffic)));
    write_last_author(&mut pipeline, space, &authors);
    session.commit(pipeline).await.map(|_| true)
}

fn write_last_author<'a>(pipeline: &mut Pipeline<'a>, space: &'a SpaceName, authors: &Authors) {
    let sql = "UPDATE syncline.spaces SET last_author = $2 WHERE space = $1";
    pipeline.send(sql, vec![text(space.as_str()), long(authors.last())]);
}

/// Ends a registration with all that it remembers; `false`: there was none.
pub(super) async fn unregister(pools: &Pools, space: &SpaceName, node: &NodeId) -> Result<bool, Failure> {
    let session = pools.writing(space).await?;
    let done = remove(&session, space, node).await;
    session.finish(done).await
}

async fn remove(session: &Session, space: &SpaceName, node: &NodeId) -> Result<bool, Failure> {
    turn::take(session, space).await?;
    let mut pipeline = session.pipeline();
    let sql = "WITH gone AS (DELETE FROM syncline.nodes WHERE space = $1 AND id = $2 RETURNING author),
        held AS (DELETE FROM syncline.held h USING gone WHERE h.space = $1 AND h.author = gone.author)
        SELECT author FROM gone";
    let gone = pipeline.send(sql, vec![text(space.as_str()), text(node.as_str())]);
    Ok(!session.commit(pipeline).await?.take(Some(gone)).is_empty())
}

/// Notes how far nodes have read, without waiting for the disk. What another worker has seen of a node since stays.
pub(super) async fn note_cursors(
    pools: &Pools,
    space: &SpaceName,
    cursors: &[(NodeId, Lsn, Millis)],
) -> Result<(), Failure> {
    let session = pools.writing(space).await?;
    let done = note(&session, space, cursors).await;
    session.finish(done).await
}

async fn note(session: &Session, space: &SpaceName, cursors: &[(NodeId, Lsn, Millis)]) -> Result<(), Failure> {
    let newest: BTreeMap<&NodeId, (i64, i64)> =
        cursors.iter().map(|(node, cursor, at)| (node, (int(cursor.0), int(at.0)))).collect();
    let mut pipeline = session.begin();
    pipeline.say("SET LOCAL synchronous_commit = off");
    let state = space::lock(&mut pipeline, space);
    let known = known::ask_nodes(&mut pipeline, space, newest.keys().copied());
    let mut answers = pipeline.answers().await?;
    let state = space::found(&mut answers, state, space)?;
    let mut authors = Authors::of(&answers.take(Some(known)), state.last.author)?;
    let numbers: Vec<i64> = newest.keys().map(|node| i64::from(authors.number(node).author.0)).collect();
    let mut pipeline = session.pipeline();
    if authors.has_new() {
        authors.write(&mut pipeline, space);
        write_last_author(&mut pipeline, space, &authors);
    }
    // A live client may be back at one worker before the other one has noted how far it came there.
    let update = "UPDATE syncline.authors a SET seen_at = t.at,
            cursor = CASE WHEN t.onward AND t.cursor > 0 THEN GREATEST(a.cursor, t.cursor) ELSE t.cursor END
        FROM unnest($2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BOOLEAN[]) AS t (author, cursor, at, onward)
        WHERE a.space = $1 AND a.author = t.author AND a.seen_at <= t.at";
    let cursors = longs(newest.values().map(|(cursor, _)| *cursor).collect::<Vec<_>>());
    let times = longs(newest.values().map(|(_, at)| *at).collect::<Vec<_>>());
    let onward = newest.keys().map(|node| node.is_live_place());
    pipeline.send(update, vec![text(space.as_str()), longs(numbers), cursors, times, bools(onward)]);
    session.commit(pipeline).await.map(drop)
}
