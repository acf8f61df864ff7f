//! Connections to the database: lent for one transaction each, and never given back with one open.

use super::pipeline::{Answers, Pipeline};
use super::trouble::{Failure, spoils};
use super::{Options, Url};
use crate::store::StoreError;
use deadpool_postgres::{Client, ClientWrapper, Manager, ManagerConfig, Object, Pool, Runtime, Timeouts};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_postgres::Config;

/// The two sets of connections: reading, which may take long, never keeps commits waiting.
#[derive(Clone)]
pub(super) struct Pools {
    reading: Pool,
    writing: Pool,
    begin_writing: String,
    begin_reading: String,
}

impl Pools {
    /// Connects nowhere yet.
    pub fn new(url: &Url, options: &Options) -> Result<Pools, StoreError> {
        let writing = (options.connections / 4).max(1);
        let reading = options.connections.saturating_sub(writing).max(1);
        let waits = |stalled: u128| {
            format!(
                "SET LOCAL lock_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = {stalled}",
                options.lock_timeout.as_millis()
            )
        };
        Ok(Pools {
            reading: pool(url, options, reading)?,
            writing: pool(url, options, writing)?,
            begin_writing: format!("BEGIN ISOLATION LEVEL READ COMMITTED; {}", waits(options.lock_timeout.as_millis())),
            begin_reading: format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}",
                waits(2 * options.reader_stall.as_millis())
            ),
        })
    }

    /// A transaction that writes. Each of its statements sees what was committed before that statement began: so all
    /// that stand behind the one that waits for a space's turn see what the turn before left.
    pub async fn writing(&self) -> Result<Session, Failure> {
        Ok(Session::new(self.writing.get().await?, self.begin_writing.clone()))
    }

    /// A transaction that sees one state of the database.
    pub async fn reading(&self) -> Result<Session, Failure> {
        Ok(Session::new(self.reading.get().await?, self.begin_reading.clone()))
    }

    /// From now on nothing is lent.
    pub fn close(&self) {
        self.reading.close();
        self.writing.close();
    }
}

fn pool(url: &Url, options: &Options, size: usize) -> Result<Pool, StoreError> {
    let mut config = Config::clone(&url.config);
    config.connect_timeout(options.connect_timeout);
    let manager = Manager::from_config(config, url.trust.connector(), ManagerConfig::default());
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
}

impl Session {
    fn new(client: Client, begin: String) -> Session {
        Session { client: Some(client), open: AtomicBool::new(false), begin }
    }

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
            Err(error) => Err(Failure::Engine(error)),
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
