//! The histories of spaces. A database that was set back to an earlier moment hands out positions that devices have
//! seen already, for other changes; so a space whose log ends before what was committed gets a new epoch, and so do all
//! in a database that was filled from a dump.

use super::authors::Authors;
use super::known;
use super::nodes;
use super::pipeline::text;
use super::pool::{Pools, Session};
use super::space::{self, State};
use super::trouble::Failure;
use crate::store::{Head, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use syncline_core::model::{Epoch, Lsn, NodeId, SpaceName};

/// How far logs have come, as this process knows from commits and readings that have ended.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<BTreeMap<SpaceName, (Epoch, Lsn)>>);

impl Seen {
    /// What every reading that begins now must find, or more.
    pub fn now(&self, space: &SpaceName) -> Option<(Epoch, Lsn)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(space).cloned()
    }

    /// Takes note of a log's end.
    pub fn note(&self, space: &SpaceName, head: &Head) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.entry(space.clone()).or_insert_with(|| (head.epoch.clone(), head.lsn));
        if known.0 != head.epoch || known.1 < head.lsn {
            *known = (head.epoch.clone(), head.lsn);
        }
    }
}

/// Whether a log ends before where it was seen.
pub(super) fn is_set_back(before: Option<&(Epoch, Lsn)>, head: &Head) -> bool {
    before.is_some_and(|(epoch, lsn)| *epoch == head.epoch && head.lsn < *lsn)
}

/// Gives a space whose log was set back a new epoch, once, and tells.
pub(super) async fn set_back(pools: &Pools, space: &SpaceName, seen: (Epoch, Lsn)) -> Failure {
    let begun = async {
        let session = pools.writing(space).await?;
        let done = begin_if_set_back(&session, space, &seen).await;
        session.finish(done).await
    };
    match begun.await {
        Ok(found) => {
            let why = format!(
                "the log of space `{space}` ends at {found} and was at {} before: the database was set back to an earlier \
                 moment, and the space has begun a new history",
                seen.1
            );
            StoreError::SetBack { why }.into()
        }
        Err(failure) => failure,
    }
}

async fn begin_if_set_back(session: &Session, space: &SpaceName, seen: &(Epoch, Lsn)) -> Result<Lsn, Failure> {
    let mut pipeline = session.begin();
    let asked = space::lock(&mut pipeline, space);
    let state = space::found(&mut pipeline.answers().await?, asked, space)?;
    if is_set_back(Some(seen), &state.head) {
        begin(session, space, &state).await?;
    }
    session.commit(session.pipeline()).await?;
    Ok(state.head.lsn)
}

/// Begins new histories in all spaces: the tables came here from elsewhere. The transaction goes on.
pub(super) async fn begin_all(session: &Session) -> Result<(), Failure> {
    let mut pipeline = session.pipeline();
    let asked = pipeline.send("SELECT space FROM syncline.spaces ORDER BY space", vec![]);
    for row in pipeline.answers().await?.take(Some(asked)) {
        let space = SpaceName::new(row.try_get::<_, String>(0)?).map_err(super::rows::damaged)?;
        let mut pipeline = session.pipeline();
        let asked = space::lock(&mut pipeline, &space);
        let state = space::found(&mut pipeline.answers().await?, asked, &space)?;
        begin(session, &space, &state).await?;
        tracing::warn!(%space, "the database came here from a dump: the space begins a new history, and its devices start from what stands");
    }
    Ok(())
}

/// Another epoch tells own clients, and places that are forgotten tell other readers, to start from what stands.
async fn begin(session: &Session, space: &SpaceName, state: &State) -> Result<(), Failure> {
    let mut pipeline = session.pipeline();
    let sql = format!("SELECT {} FROM syncline.nodes WHERE space = $1", nodes::COLUMNS);
    let asked = pipeline.send(sql, vec![text(space.as_str())]);
    let mut registered = nodes::found(&pipeline.answers().await?.take(Some(asked)))?;
    let ids: BTreeSet<NodeId> = registered.iter().map(|(registration, _)| registration.id.clone()).collect();
    let mut pipeline = session.pipeline();
    let known = known::ask_nodes(&mut pipeline, space, &ids);
    let authors = Authors::of(&pipeline.answers().await?.take(Some(known)), state.last.author)?;
    registered.iter_mut().for_each(|(_, traffic)| traffic.fill_again(state.head.lsn));
    let epoch = uuid::Uuid::new_v4().to_string();
    let mut pipeline = session.pipeline();
    let sql = "UPDATE syncline.spaces SET epoch = $2 WHERE space = $1";
    pipeline.send(sql, vec![text(space.as_str()), text(&epoch)]);
    pipeline.send("UPDATE syncline.authors SET cursor = 0 WHERE space = $1", vec![text(space.as_str())]);
    nodes::write_traffic(&mut pipeline, space, &authors, registered.iter().map(|(who, traffic)| (&who.id, traffic)));
    pipeline.answers().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_set_back_where_it_ends_before_what_was_seen_of_the_same_history() {
        let space = SpaceName::new("main").unwrap();
        let at = |epoch: &str, lsn| Head { epoch: Epoch::new(epoch).unwrap(), lsn: Lsn(lsn), ..Head::default() };
        let seen = Seen::default();
        assert!(!is_set_back(seen.now(&space).as_ref(), &at("a", 1)), "nothing was seen");
        seen.note(&space, &at("a", 7));
        seen.note(&space, &at("a", 5));
        let before = seen.now(&space);
        assert!(is_set_back(before.as_ref(), &at("a", 6)));
        assert!(!is_set_back(before.as_ref(), &at("a", 7)) && !is_set_back(before.as_ref(), &at("b", 1)));
    }
}
