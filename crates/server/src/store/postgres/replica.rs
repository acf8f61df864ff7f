//! A replica for long readings (step 8 of the life of a change). It serves only where nobody could tell it from the
//! primary: the primary says where the log stands, and the replica's transaction must have come as far in the same
//! history. One that is away, behind or no replica costs a moment, and the primary serves.

use super::hub;
use super::pipeline::BY_KEY;
use super::pool::{Pools, Reading, Session};
use super::space;
use super::trouble::{Failure, words_of};
use super::{Options, Url};
use crate::store::{Head, Scan, StoreError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use syncline_core::model::{Lsn, SpaceName};
use tokio::time::{sleep, timeout};

/// With fewer positions ahead of a reader, asking two servers costs more than it saves.
const LONG: u64 = 1_000;
/// How long a connection is waited for.
const CONNECT: Duration = Duration::from_secs(1);
/// How long the replica may take to come as far as the primary.
const CATCH_UP: Duration = Duration::from_millis(200);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// After trouble it is left alone for so long.
const REST: Duration = Duration::from_secs(5);

/// The replica of a store.
pub(super) struct Replica {
    reading: Reading,
    place: String,
    /// After trouble: until when nobody asks it.
    rests: Mutex<Option<Instant>>,
}

/// Why the primary serves.
enum Unfit {
    /// It will be as far in a moment, perhaps.
    Behind,
    /// Something is wrong with it.
    Trouble(String),
}

impl From<Failure> for Unfit {
    fn from(failure: Failure) -> Unfit {
        Unfit::Trouble(words_of(&failure))
    }
}

impl Replica {
    /// Connects nowhere yet.
    pub fn new(url: &Url, options: &Options) -> Result<Replica, StoreError> {
        let url = url.for_a_replica();
        Ok(Replica { reading: Reading::new(&url, options)?, place: url.to_string(), rests: Mutex::default() })
    }

    /// A transaction here that sees all of a space's log, with where that stands, if the scan is worth it and the replica
    /// can give one. `seen`: how far the log is known to go.
    pub async fn session(
        &self,
        pools: &Pools,
        (space, seen): (&SpaceName, Option<Lsn>),
        scan: &Scan,
    ) -> Option<(Session, Head)> {
        let ahead = seen.unwrap_or_default().0.saturating_sub(scan.after().0);
        if matches!(scan, Scan::Ticket { .. }) || ahead < LONG || self.is_resting() {
            return None;
        }
        // What is wrong with the primary is said by the reading there.
        let wanted = hub::state(pools, space).await.ok()?.head;
        let until = Instant::now() + CATCH_UP;
        loop {
            match self.begin(space, &wanted).await {
                Ok(found) => return Some(found),
                Err(Unfit::Behind) if Instant::now() < until => sleep(LOOK_EVERY).await,
                Err(Unfit::Behind) => {
                    tracing::debug!(%space, replica = self.place, "the replica is behind, and the primary serves");
                    return None;
                }
                Err(Unfit::Trouble(error)) => {
                    self.rest(&error);
                    return None;
                }
            }
        }
    }

    async fn begin(&self, space: &SpaceName, wanted: &Head) -> Result<(Session, Head), Unfit> {
        let late = |_| Unfit::Trouble("it does not answer".to_owned());
        let session = timeout(CONNECT, self.reading.session(space)).await.map_err(late)??;
        let looked = timeout(CONNECT, look(&session, space, wanted)).await.map_err(late)?;
        match looked {
            Ok(head) => Ok((session, head)),
            Err(unfit) => {
                session.finish(Ok(())).await?;
                Err(unfit)
            }
        }
    }

    /// It failed: for a while nobody asks it.
    pub fn rest(&self, error: &str) {
        let mut rests = self.rests.lock().unwrap_or_else(PoisonError::into_inner);
        if rests.replace(Instant::now() + REST).is_none() {
            tracing::warn!(replica = self.place, error, "the replica cannot be used; the primary serves meanwhile");
        }
    }

    /// It served.
    pub fn served(&self) {
        if self.rests.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            tracing::info!(replica = self.place, "the replica serves again");
        }
    }

    fn is_resting(&self) -> bool {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| Instant::now() < until)
    }

    /// From now on nothing is lent.
    pub fn close(&self) {
        self.reading.close();
    }
}

/// Begins a transaction that has come as far as wanted. A server that takes writes is no replica, or not any more: its
/// history may be another one under the same name.
async fn look(session: &Session, space: &SpaceName, wanted: &Head) -> Result<Head, Unfit> {
    let mut pipeline = session.begin();
    pipeline.say(BY_KEY);
    let (recovers, asked) = (pipeline.send("SELECT pg_is_in_recovery()", vec![]), space::look(&mut pipeline, space));
    let mut answers = pipeline.answers().await.map_err(Failure::from)?;
    let rows = answers.take(Some(recovers));
    if !rows.first().is_some_and(|row| row.try_get(0).unwrap_or(false)) {
        return Err(Unfit::Trouble("it is no replica: it takes writes itself".to_owned()));
    }
    match space::found(&mut answers, asked, space) {
        Ok(state) if state.head.epoch == wanted.epoch && state.head.lsn >= wanted.lsn => Ok(state.head),
        Ok(_) | Err(Failure::Store(StoreError::UnknownSpace(_))) => Err(Unfit::Behind),
        Err(failure) => Err(failure.into()),
    }
}
