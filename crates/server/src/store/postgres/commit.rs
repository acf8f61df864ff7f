//! One group of pushes: a transaction under the space's lock, with the decision inside (steps 4 to 6 of the life of a
//! change). Two round trips: loading, and writing with the COMMIT. Where another worker writes to the space as well, a
//! third one before them waits for the turn, and what arrives meanwhile joins the group.

use super::authors::Authors;
use super::history;
use super::known;
use super::load::{self, Found};
use super::mark::Mark;
use super::pipeline::{long, text};
use super::pool::{Pools, Session};
use super::rules::Rules;
use super::space;
use super::trouble::Failure;
use super::turn::{self, Crowds};
use super::unique;
use super::write::{self, Pen, Place};
use crate::store::columns::nat;
use crate::store::rules::{Dialogue, Said};
use crate::store::{Decide, Gather, Head, Kept, StoreError, check_order};
use std::collections::HashSet;
use syncline_core::hub::{Loaded, WriteSet};
use syncline_core::model::{Epoch, Lsn, NodeId, SpaceName};

/// One attempt. Where it fails, nothing of it is there, and the decision may be asked again; where the connection is lost
/// while the COMMIT is under way, the log tells which of the two it is.
pub(super) async fn attempt(
    (pools, rules, crowds): (&Pools, &Rules, &Crowds),
    (space, seen): (&SpaceName, Option<(Epoch, Lsn)>),
    what: (&mut Gather, &mut Decide),
) -> Result<Head, Failure> {
    let session = pools.writing(space).await?;
    let mut mark = None;
    let done = in_turn((&session, rules, crowds), (space, seen.as_ref()), what, &mut mark).await;
    let done = session.finish(done).await;
    match (done, mark, seen) {
        (Err(Failure::InDoubt(error)), Some(mark), _) => Err(Failure::Unanswered(error, mark)),
        (Err(Failure::SetBack), _, Some(seen)) => Err(history::set_back(pools, space, seen).await),
        (done, ..) => done,
    }
}

async fn in_turn(
    (session, rules, crowds): (&Session, &Rules, &Crowds),
    (space, seen): (&SpaceName, Option<&(Epoch, Lsn)>),
    (gather, decide): (&mut Gather, &mut Decide),
    mark: &mut Option<Mark>,
) -> Result<Head, Failure> {
    let turn = if crowds.is_crowded(space) { Some(turn::take(session, space).await?) } else { None };
    let touch = gather();
    let mut pipeline = if turn.is_some() { session.pipeline() } else { session.begin() };
    let locked = turn.is_none().then(|| space::lock(&mut pipeline, space));
    let asked = load::ask(&mut pipeline, space, &touch);
    let mut answers = pipeline.answers().await?;
    let state = match turn {
        Some(state) => state,
        None => space::found(&mut answers, locked, space)?,
    };
    let Found { mut authors, mut keys, loaded } = load::loaded(&asked, &mut answers, (&state, &touch), (space, rules))?;
    if history::is_set_back(seen, &state.head) {
        return Err(Failure::SetBack);
    }
    crowds.found(space, state.head.lsn);
    keys.keep(session, space, &touch, &loaded.rules).await?;
    let fresh = touch.docs.iter().filter(|key| !loaded.docs.contains_key(*key));
    let fresh: HashSet<Place<'_>> = fresh.map(|(collection, id)| (collection, id)).collect();
    let writes = decided(session, space, loaded, decide).await?;
    check_order(state.head.lsn, &writes)?;
    if write::is_empty(&writes) && !authors.has_new() && !keys.changed {
        return Ok(state.head);
    }
    number_the_rest(session, space, &writes, &mut authors).await?;
    *mark = Mark::of(&writes);
    let mut pipeline = session.pipeline();
    let pen = Pen { space, authors: &authors, writes: &writes, keys: &keys, fresh: &fresh, mark: *mark };
    let (mut head, counts) = pen.write(&mut pipeline, &state);
    let counted = session.commit(pipeline).await?.take(Some(counts));
    let counted = counted.first().ok_or_else(|| StoreError::UnknownSpace(space.clone()))?;
    let last_conflict = nat(state.last.conflict) + writes.conflicts.len() as u64;
    head.kept = Kept { conflicts: nat(counted.try_get(0)?), quarantined: nat(counted.try_get(1)?), last_conflict };
    crowds.left(space, head.lsn);
    Ok(head)
}

/// Takes the decision, again where it asks who has a value.
async fn decided(
    session: &Session,
    space: &SpaceName,
    loaded: Loaded,
    decide: &mut Decide,
) -> Result<WriteSet, Failure> {
    let mut dialogue = Dialogue::new(loaded);
    loop {
        let (asked, at) = match dialogue.turn(decide)? {
            Said::Decided(writes) => return Ok(writes),
            Said::Asked(values, at) => (values.into_iter().collect::<Vec<_>>(), at),
        };
        let mut pipeline = session.pipeline();
        let place = pipeline.send(unique::HOLDERS, unique::asking(space, &asked, (dialogue.most(), at)));
        let rows = pipeline.answers().await?.take(Some(place));
        for (value, ids) in unique::found(asked, &rows)? {
            dialogue.answer(value, ids);
        }
    }
}

/// Nodes that are written and were not touched get their numbers, too.
async fn number_the_rest(
    session: &Session,
    space: &SpaceName,
    writes: &WriteSet,
    authors: &mut Authors,
) -> Result<(), Failure> {
    let unknown: Vec<&NodeId> = write::named(writes).into_iter().filter(|node| !authors.knows(node)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let mut pipeline = session.pipeline();
    let asked = known::ask_nodes(&mut pipeline, space, unknown.iter().copied());
    authors.add(&pipeline.answers().await?.take(Some(asked)))?;
    for node in unknown {
        authors.number(node);
    }
    Ok(())
}

/// Looks whether a commit took place that nobody answered. The space's turn is waited for: the server may still be at
/// it. `None`: it did not.
pub(super) async fn look_again(pools: &Pools, space: &SpaceName, mark: Mark) -> Result<Option<Head>, Failure> {
    let session = pools.writing(space).await?;
    let mut pipeline = session.begin();
    let asked = space::lock(&mut pipeline, space);
    let sql = "SELECT FROM syncline.log WHERE space = $1 AND lsn = $2 AND mark = $3";
    let params = vec![text(space.as_str()), long(mark.lsn), long(mark.drawn)];
    let ours = pipeline.send(sql, params);
    let found = match pipeline.answers().await {
        Ok(mut answers) => space::found(&mut answers, asked, space)
            .map(|state| (!answers.take(Some(ours)).is_empty()).then_some(state.head)),
        Err(error) => Err(error.into()),
    };
    session.finish(found).await
}
