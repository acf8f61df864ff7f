//! The one writer of a space: a thread with its own connection, which takes jobs in order and makes
//! each a durable transaction (step 6 of the life of a change). After a failure of which nobody can
//! say what reached the disk, it refuses to write and keeps saying so.

use super::checkpoint::WalWatch;
use super::health::{SharedTrouble, Trouble};
use super::home::FixedFile;
use super::known::Known;
use super::{load, sound, unique, write};
use crate::store::rules::decided;
use crate::store::{Decide, Head, StoreError, check_order};
use rusqlite::{Connection, ErrorCode};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use syncline_core::hub::Touch;
use syncline_core::model::{CollectionName, Demands, Lsn, Millis, NodeId};
use tokio::sync::mpsc;

/// A turn of the writer.
pub(super) enum Job {
    /// Work on the writer; it answers by its own channel.
    Run(Box<dyn FnOnce(&mut Writer) + Send>),
    /// The last turn.
    Stop,
}

/// The head as of the last commit, for everybody else.
pub(super) type SharedHead = Arc<Mutex<Head>>;

/// A space's connection for writing and what it remembers.
pub(super) struct Writer {
    conn: Connection,
    pub known: Known,
    head: SharedHead,
    wal: WalWatch,
    place: Arc<FixedFile>,
    trouble: SharedTrouble,
}

impl Writer {
    /// Takes over a connection whose schema is current.
    pub fn new(conn: Connection, wal: WalWatch, place: Arc<FixedFile>) -> Result<Writer, StoreError> {
        let known = Known::read(&conn).map_err(StoreError::engine("opening a space"))?;
        let head = Arc::new(Mutex::new(known.head.clone()));
        Ok(Writer { conn, known, head, wal, place, trouble: SharedTrouble::default() })
    }

    /// Where others see the head.
    pub fn shared_head(&self) -> SharedHead {
        Arc::clone(&self.head)
    }

    /// Where others see what it met.
    pub fn shared_trouble(&self) -> SharedTrouble {
        self.trouble.clone()
    }

    /// Takes jobs until it is stopped or nobody can send any more.
    pub fn serve(mut self, mut jobs: mpsc::Receiver<Job>) {
        self.wal.attach(&self.conn);
        while let Some(Job::Run(job)) = jobs.blocking_recv() {
            job(&mut self);
            self.wal.after_commit(&self.conn);
        }
    }

    /// Loads, decides, writes and commits.
    pub fn commit(
        &mut self,
        touch: &Touch,
        rules: BTreeMap<CollectionName, Arc<Demands>>,
        decide: &mut Decide,
    ) -> Result<Head, StoreError> {
        self.transaction("writing a group of pushes", |conn, known| {
            unique::keep(conn, known, touch, &rules)
                .map_err(StoreError::engine("building an index of unique values"))?;
            let mut loaded =
                load::load(conn, known, touch).map_err(StoreError::engine("loading what a push touches"))?;
            loaded.rules = rules;
            let head = loaded.head;
            let writes = decided(loaded, decide, |value, most, at| {
                unique::holders(conn, value, (most, at)).map_err(StoreError::engine("looking for a unique value"))
            })?;
            check_order(head, &writes)?;
            write::write(conn, known, &writes).map_err(StoreError::engine("writing a group of pushes"))
        })?;
        Ok(self.known.head.clone())
    }

    /// Notes how far nodes have read, without waiting for the disk.
    pub fn note_cursors(&mut self, cursors: &[(NodeId, Lsn, Millis)]) -> Result<(), StoreError> {
        let action = "noting cursors";
        self.conn.pragma_update(None, "synchronous", "NORMAL").map_err(StoreError::engine(action))?;
        let noted =
            self.transaction(action, |conn, known| note(conn, known, cursors).map_err(StoreError::engine(action)));
        match self.conn.pragma_update(None, "synchronous", "FULL") {
            Ok(()) => noted,
            Err(source) => Err(self.poison(format!("waiting for the disk again after {action}: {source}"))),
        }
    }

    /// Runs `work` in a transaction: afterwards all of it is durable, or nothing of it is there.
    pub fn transaction<T>(
        &mut self,
        action: &'static str,
        work: impl FnOnce(&Connection, &mut Known) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.trouble.get().stops(self.place.path())?;
        self.place.check()?;
        let done = execute(&self.conn, "BEGIN IMMEDIATE", action).and_then(|()| work(&self.conn, &mut self.known));
        let committed = done.and_then(|value| execute(&self.conn, "COMMIT", action).map(|()| value));
        match committed {
            Ok(value) => {
                self.head.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&self.known.head);
                self.trouble.has_room();
                Ok(value)
            }
            Err(error) => Err(self.undo(error)),
        }
    }

    /// Rolls back and forgets what was remembered of the failed transaction. What cannot be known to
    /// be undone poisons the writer.
    fn undo(&mut self, error: StoreError) -> StoreError {
        let rolled_back = self.conn.is_autocommit() || self.conn.execute_batch("ROLLBACK").is_ok();
        let again = Known::read(&self.conn);
        if let Some(cause) = sound::damage_in(&error) {
            self.trouble.set(Trouble::Damaged(cause.clone()));
            return StoreError::Damaged { place: self.place.path().display().to_string(), cause };
        }
        match (rolled_back && is_harmless(&error), again) {
            (true, Ok(known)) => {
                self.known = known;
                if let Some(cause) = no_room(&error) {
                    self.trouble.set(Trouble::NoRoom);
                    return StoreError::NoRoom { cause };
                }
                error
            }
            _ => {
                let cause = match &error {
                    StoreError::Engine { action, source } => format!("{action}: {source}"),
                    other => other.to_string(),
                };
                self.poison(cause)
            }
        }
    }

    /// From now on nothing is written any more.
    fn poison(&self, cause: String) -> StoreError {
        self.trouble.set(Trouble::Poisoned(cause.clone()));
        StoreError::Poisoned { cause }
    }
}

fn execute(conn: &Connection, sql: &'static str, action: &'static str) -> Result<(), StoreError> {
    let run = conn.prepare_cached(sql).and_then(|mut statement| statement.execute([]).map(drop));
    run.map_err(StoreError::engine(action))
}

/// What a full disk is called.
pub(super) fn no_room(error: &StoreError) -> Option<String> {
    let StoreError::Engine { action, source } = error else { return None };
    let failure = source.downcast_ref::<rusqlite::Error>()?;
    (failure.sqlite_error_code() == Some(ErrorCode::DiskFull)).then(|| format!("{action}: {source}"))
}

/// Errors after which SQLite vouches that nothing was written: a full disk, a lock, a broken rule, or
/// one of ours. Anything else (I/O, corruption, memory) leaves the file's state unknown.
fn is_harmless(error: &StoreError) -> bool {
    let StoreError::Engine { source, .. } = error else { return true };
    match source.downcast_ref::<rusqlite::Error>() {
        Some(rusqlite::Error::SqliteFailure(failure, _)) => matches!(
            failure.code,
            ErrorCode::DiskFull
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::ConstraintViolation
                | ErrorCode::TooBig
                | ErrorCode::TypeMismatch
        ),
        Some(_) | None => true,
    }
}

fn note(conn: &Connection, known: &mut Known, cursors: &[(NodeId, Lsn, Millis)]) -> rusqlite::Result<()> {
    for (node, cursor, at) in cursors {
        let row = known.author(conn, node)?;
        let mut update = conn.prepare_cached("UPDATE authors SET cursor = ?2, seen_at = ?3 WHERE author = ?1")?;
        update.execute((row.author.0, super::columns::int(cursor.0), super::columns::int(at.0)))?;
    }
    Ok(())
}
