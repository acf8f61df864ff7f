//! Connections to the database: lent for one transaction each, and never given back with one open.

use super::pipeline::{Answers, Pipeline};
use super::trouble::{Failure, spoils};
use super::{Options, Url};
use crate::store::StoreError;
use deadpool_postgres::{
    Client, ClientWrapper, Manager, ManagerConfig, Object, Pool, PoolError, Runtime, TimeoutType, Timeouts,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use syncline_core::model::SpaceName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres::error::{DbError, Severity};

/// The two sets of connections: reading, which may take long, never keeps commits waiting. A space has at most half of
/// each: however many want something of it, others find a connection.
#[derive(Clone)]
pub(super) struct Pools {
    reading: Reading,
    writing: Shared,
    begin_writing: String,
}

impl Pools {
    /// Connects nowhere yet.
    pub fn new(url: &Url, options: &Options) -> Result<Pools, StoreError> {
        let stalled = options.lock_timeout;
        Ok(Pools {
            reading: Reading::new(url, options)?,
            writing: Shared::new(url, options, for_commits(options))?,
            begin_writing: format!("BEGIN ISOLATION LEVEL READ COMMITTED; {}", waits(options, stalled)),
        })
    }

    /// A transaction that writes. Each of its statements sees what was committed before that statement began: so all
    /// that stand behind the one that waits for a space's turn see what the turn before left.
    pub async fn writing(&self, space: impl Into<Option<&SpaceName>>) -> Result<Session, Failure> {
        self.writing.session(space.into(), self.begin_writing.clone()).await
    }

    /// A transaction that sees one state of the database.
    pub async fn reading(&self, space: impl Into<Option<&SpaceName>>) -> Result<Session, Failure> {
        self.reading.session(space).await
    }

    /// From now on nothing is lent.
    pub fn close(&self) {
        self.reading.close();
        self.writing.pool.close();
    }
}

fn for_commits(options: &Options) -> usize {
    (options.connections / 4).max(1)
}

fn waits(options: &Options, stalled: Duration) -> String {
    format!(
        "SET LOCAL lock_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = {}",
        options.lock_timeout.as_millis(),
        stalled.as_millis()
    )
}

/// The connections to one server that read.
#[derive(Clone)]
pub(super) struct Reading {
    shared: Shared,
    begin: String,
}

impl Reading {
    /// Connects nowhere yet.
    pub fn new(url: &Url, options: &Options) -> Result<Reading, StoreError> {
        let size = options.connections.saturating_sub(for_commits(options)).max(1);
        let waits = waits(options, 2 * options.reader_stall);
        let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {waits}");
        Ok(Reading { shared: Shared::new(url, options, size)?, begin })
    }

    /// A transaction that sees one state of the database.
    pub async fn session(&self, space: impl Into<Option<&SpaceName>>) -> Result<Session, Failure> {
        self.shared.session(space.into(), self.begin.clone()).await
    }

    /// From now on nothing is lent.
    pub fn close(&self) {
        self.shared.pool.close();
    }
}

/// Connections, and who of the spaces has how many.
#[derive(Clone)]
struct Shared {
    pool: Pool,
    /// Of one space.
    most: usize,
    wait: Duration,
    /// Spaces that have one now, or wait for one.
    spaces: Arc<Mutex<HashMap<SpaceName, Arc<Semaphore>>>>,
}

/// Spaces after which those that want nothing are forgotten.
const MANY_SPACES: usize = 1_024;

impl Shared {
    fn new(url: &Url, options: &Options, size: usize) -> Result<Shared, StoreError> {
        let (most, wait) = ((size / 2).max(1), options.patience);
        Ok(Shared { pool: pool(url, options, size)?, most, wait, spaces: Arc::default() })
    }

    async fn session(&self, space: Option<&SpaceName>, begin: String) -> Result<Session, Failure> {
        let share = match space {
            Some(space) => Some(self.share(space).await?),
            None => None,
        };
        let client = Some(self.pool.get().await?);
        Ok(Session { client, open: AtomicBool::new(false), begin, _share: share })
    }

    async fn share(&self, space: &SpaceName) -> Result<OwnedSemaphorePermit, Failure> {
        let share = {
            let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
            if spaces.len() >= MANY_SPACES {
                spaces.retain(|_, share| share.available_permits() < self.most || Arc::strong_count(share) > 1);
            }
            Arc::clone(spaces.entry(space.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.most))))
        };
        match timeout(self.wait, share.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Failure::Pool(PoolError::Timeout(TimeoutType::Wait))),
        }
    }
}

fn pool(url: &Url, options: &Options, size: usize) -> Result<Pool, StoreError> {
    let mut config = Config::clone(url.config());
    config.connect_timeout(options.connect_timeout);
    let manager = Manager::from_config(config, url.connector(), ManagerConfig::default());
    let timeouts = Timeouts {
        wait: Some(options.patience),
        create: Some(options.connect_timeout),
        recycle: Some(options.connect_timeout),
    };
    let built = Pool::builder(manager).max_size(size).timeouts(timeouts).runtime(Runtime::Tokio1).build();
    built.map_err(StoreError::engine("making a pool of connections"))
}

/// A connection with at most one transaction.
pub(in crate::store) struct Session {
    client: Option<Client>,
    open: AtomicBool,
    begin: String,
    /// The space's place among those who have a connection.
    _share: Option<OwnedSemaphorePermit>,
}

impl Session {
    /// Begins the transaction; its first statements go with it.
    pub fn begin(&self) -> Pipeline<'_> {
        self.open.store(true, Ordering::Release);
        let mut pipeline = self.pipeline();
        pipeline.say(self.begin.clone());
        pipeline
    }

    /// Further statements.
    pub fn pipeline(&self) -> Pipeline<'_> {
        Pipeline::new(self.client())
    }

    /// The connection itself.
    pub fn client(&self) -> &tokio_postgres::Client {
        let client: &ClientWrapper = self.client.as_ref().expect("taken only when it ends");
        client
    }

    /// Commits together with the last statements. One that fails makes the engine take all of them back.
    pub async fn commit(&self, mut last: Pipeline<'_>) -> Result<Answers, Failure> {
        last.say("COMMIT");
        let sent = last.is_whole();
        match last.answers().await {
            Ok(answers) => {
                self.open.store(false, Ordering::Release);
                Ok(answers)
            }
            Err(error) if sent && error.as_db_error().is_none() => Err(Failure::InDoubt(error)),
            Err(error) => {
                let severity = error.as_db_error().and_then(DbError::parsed_severity);
                if sent && severity == Some(Severity::Error) && !spoils(&error) {
                    // The COMMIT behind what failed ends the transaction all the same: there is none to take back.
                    self.open.store(false, Ordering::Release);
                }
                Err(Failure::Engine(error))
            }
        }
    }

    /// Takes back what was not committed, so that the connection can be lent again. One that is of no more use is
    /// closed.
    pub async fn finish<T>(self, done: Result<T, Failure>) -> Result<T, Failure> {
        if self.open.load(Ordering::Acquire)
            && is_useful(&done)
            && self.client().batch_execute("ROLLBACK").await.is_ok()
        {
            self.open.store(false, Ordering::Release);
        }
        done
    }
}

fn is_useful<T>(done: &Result<T, Failure>) -> bool {
    match done {
        Ok(_) | Err(Failure::Store(_) | Failure::SetBack) => true,
        Err(Failure::Engine(error)) => error.as_db_error().is_some() && !spoils(error),
        Err(Failure::InDoubt(_) | Failure::Unanswered(..) | Failure::Pool(_)) => false,
    }
}

impl Drop for Session {
    /// Closing the connection ends whatever is open on it.
    fn drop(&mut self) {
        if self.open.load(Ordering::Acquire)
            && let Some(client) = self.client.take()
        {
            drop(Object::take(client));
        }
    }
}
