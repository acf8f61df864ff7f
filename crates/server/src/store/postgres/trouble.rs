//! What the database refuses, in words for the person who runs it, and what is worth another attempt.

use super::Options;
use super::mark::Mark;
use crate::store::StoreError;
use deadpool_postgres::PoolError;
use std::error::Error as _;
use std::time::{Duration, Instant};
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// Why an attempt did not come to its end.
#[derive(Debug)]
pub(in crate::store) enum Failure {
    /// A reason of ours; another attempt would meet it again.
    Store(StoreError),
    /// The log ends before where it was seen.
    SetBack,
    /// No connection was to be had.
    Pool(PoolError),
    /// The engine said no, or went away, and nothing was committed.
    Engine(Error),
    /// The connection was lost while the commit was under way.
    InDoubt(Error),
    /// The same, and what tells whether it took place.
    Unanswered(Error, Mark),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Store(error)
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Failure {
        Failure::Pool(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Engine(error)
    }
}

/// Attempts of one call: how long they go on, and how they spread.
pub(super) struct Patience {
    until: Instant,
    pause: Duration,
}

/// The first pause between two attempts; each further one may be twice as long.
const PAUSE: Duration = Duration::from_millis(2);
/// The longest one.
const PAUSE_MAX: Duration = Duration::from_millis(500);

impl Patience {
    pub fn new(options: &Options) -> Patience {
        Patience { until: Instant::now() + options.patience, pause: PAUSE }
    }

    /// Pauses before another attempt, where one is worth it.
    ///
    /// # Errors
    /// What to tell the caller otherwise.
    pub async fn again(&mut self, place: &str, action: &'static str, failure: Failure) -> Result<(), StoreError> {
        if !passes(&failure) || Instant::now() >= self.until {
            return Err(told(place, action, failure));
        }
        tracing::debug!(?failure, action, "the database is asked again");
        tokio::time::sleep(self.pause.mul_f64(fastrand::f64())).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }
}

/// Whether it may go better in a moment, and trying again does no harm.
fn passes(failure: &Failure) -> bool {
    match failure {
        Failure::Store(_) | Failure::SetBack | Failure::Unanswered(..) => false,
        // Without a mark in the log everything is written so that a second time changes nothing.
        Failure::InDoubt(_) => true,
        Failure::Pool(PoolError::Backend(error)) => is_lost(error) || may_pass(error),
        Failure::Pool(_) => false,
        Failure::Engine(error) => is_lost(error) || may_pass(error),
    }
}

/// The connection is gone: there is no word of the engine.
fn is_lost(error: &Error) -> bool {
    error.as_db_error().is_none() && !is_of_ours(error)
}

/// Settings that make every attempt fail alike, and values that cannot be sent or read.
fn is_of_ours(error: &Error) -> bool {
    error.code().is_none() && !error.is_closed() && error.source().is_none_or(|source| !source.is::<std::io::Error>())
}

fn may_pass(error: &Error) -> bool {
    let Some(code) = error.code() else { return false };
    [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::READ_ONLY_SQL_TRANSACTION,
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ]
    .contains(code)
        || code.code().starts_with("08")
}

/// Whether the connection that met it is of no more use, though it is open.
pub(super) fn spoils(error: &Error) -> bool {
    error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
}

/// What a person is told.
pub(super) fn told(place: &str, action: &'static str, failure: Failure) -> StoreError {
    match failure {
        Failure::Store(error) => error,
        Failure::SetBack => StoreError::SetBack { why: "the database was set back to an earlier moment".to_owned() },
        Failure::Pool(PoolError::Closed) => StoreError::Closed,
        Failure::Pool(PoolError::Backend(error)) => of_engine(place, "connecting to the database", error),
        Failure::Pool(error) => StoreError::Database {
            place: place.to_owned(),
            reason: format!(
                "no connection became free in time ({error}); allow more by `postgres.connections`, as far as the \
                 server's max_connections goes"
            ),
        },
        Failure::Engine(error) => of_engine(place, action, error),
        Failure::InDoubt(error) | Failure::Unanswered(error, _) => StoreError::Database {
            place: place.to_owned(),
            reason: format!(
                "the connection was lost while a commit was under way ({}); whether it took place is not known, and a \
                 repeat of the push is answered either way",
                words(&error)
            ),
        },
    }
}

fn of_engine(place: &str, action: &'static str, error: Error) -> StoreError {
    let Some(advice) = advice(&error) else { return StoreError::Engine { action, source: words(&error).into() } };
    match error.code() {
        Some(&SqlState::DISK_FULL) => StoreError::NoRoom { cause: words(&error) },
        _ => StoreError::Database { place: place.to_owned(), reason: format!("{}; {advice}", words(&error)) },
    }
}

/// What to do about what the operator can do something about.
fn advice(error: &Error) -> Option<&'static str> {
    let Some(code) = error.code() else {
        if error.to_string().contains("TLS") {
            return Some(
                "see `sslmode` and `sslrootcert` in the store's URL, whether the server speaks TLS, and for which names its \
                 certificate is",
            );
        }
        return Some("see that the server runs, that its host and port are right, and what it asks of TLS (sslmode)");
    };
    Some(match code.code() {
        "28P01" | "28000" => "put the right user and password into the store's URL, and see the server's pg_hba.conf",
        "3D000" => "make the database (`createdb NAME`), or name another one in the store's URL",
        "42501" => {
            "give the user what it needs: `GRANT CREATE ON DATABASE name TO user`, or let it own the schema `syncline`"
        }
        "53300" => "allow more by the server's max_connections, or fewer for each hub by `postgres.connections`",
        "25006" => {
            "the server takes no writes; where it is a replica, name the primary in the store's URL, and where it is not, see \
             its default_transaction_read_only"
        }
        "57P03" | "57P01" | "57P02" => "the server is starting or stopping; the hub goes on by itself",
        "53100" => "make room",
        "55P03" | "57014" => "something else holds what is needed; see pg_stat_activity for who does",
        _ => return None,
    })
}

/// Why an attempt failed, in a few words.
pub(super) fn words_of(failure: &Failure) -> String {
    match failure {
        Failure::Store(error) => error.to_string(),
        Failure::SetBack => "the database was set back".to_owned(),
        Failure::Pool(PoolError::Backend(error)) => words(error),
        Failure::Pool(error) => error.to_string(),
        Failure::Engine(error) | Failure::InDoubt(error) | Failure::Unanswered(error, _) => words(error),
    }
}

/// The engine's own words, without what they were about.
pub(super) fn words(error: &Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} ({})", said.message(), said.code().code()),
        None => error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}")),
    }
}
