//! The open database file: connection, lock, clock and what is kept in memory of it.
//!
//! Owns begin, commit and roll-back: every write of this crate runs inside [`Store::write`], so data,
//! ops and cursors move together. After a commit that failed for anything but a full disk the handle is
//! poisoned. Must never decide what an edit means.

mod alarm;
mod lock;
mod names;
mod reader;
pub(crate) mod rows;
mod unit;
mod view;
mod watchers;

pub(crate) use names::Named;
pub(crate) use rows::{HubVersion, Row};
pub(crate) use unit::Unit;
pub(crate) use view::View;
pub(crate) use watchers::Watcher;

use crate::error::{Error, Result};
use crate::fate::{Waiting, WriteReceipt};
use crate::schema;
use alarm::Alarm;
use lock::FileLock;
use names::Names;
use reader::Reader;
use rusqlite::{Connection, ErrorCode, OptionalExtension};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;
use syncline_core::model::{Author, Clock, CollectionName, Limits, Millis, NodeId, Seq, Stamp};
use uuid::Uuid;
use watchers::Watchers;

/// Where the time comes from.
pub(crate) type TimeSource = Arc<dyn Fn() -> Millis + Send + Sync>;

/// Called with the collections that the app wrote, after the commit.
pub(crate) type CommitHook = Arc<dyn Fn(&BTreeSet<CollectionName>) + Send + Sync>;

/// The open file, shared by every handle.
pub(crate) struct Store {
    /// `None`: reads go by the writer's connection. Closes before it, so that the last to close can
    /// tidy the file up.
    reader: Option<Mutex<Reader>>,
    core: Mutex<Core>,
    /// Who holds `core`, so that a call from inside of a transaction is an error and not a deadlock.
    holder: Mutex<Option<ThreadId>>,
    poison: OnceLock<Arc<str>>,
    hooks: Mutex<Vec<(u64, CommitHook)>>,
    alarm: Alarm,
    waiting: Waiting,
    time: TimeSource,
    path: Option<PathBuf>,
    limits: Limits,
    timestamps: bool,
    _lock: Option<FileLock>,
}

/// What a store is opened with.
pub(crate) struct StoreOptions {
    /// The file; `None`: memory.
    pub path: Option<PathBuf>,
    /// Where the time comes from.
    pub time: TimeSource,
    /// What a document may weigh.
    pub limits: Limits,
    /// Whether `createdAt` and `updatedAt` are kept.
    pub timestamps: bool,
}

struct Core {
    conn: Connection,
    memory: Memory,
}

/// What is kept in memory of the file.
pub(crate) struct Memory {
    /// This replica.
    pub node: NodeId,
    /// Its number at the hub, once it is known.
    pub author: Author,
    clock: Clock,
    last_seq: Seq,
    names: Names,
    watchers: Watchers,
    /// Ops that wait for the hub, by collection; absent: to be counted. Counting each time would make
    /// every write of a device that has long been offline slower.
    waiting: HashMap<i64, u64>,
}

impl Store {
    /// Opens or creates the file.
    pub(crate) fn open(options: StoreOptions) -> Result<Store> {
        let path = options.path.clone();
        Store::make(options).map_err(|error| error.on(path.as_deref()))
    }

    fn make(options: StoreOptions) -> Result<Store> {
        let lock = options.path.as_deref().map(FileLock::take).transpose()?;
        let shown = options.path.clone().unwrap_or_else(|| ":memory:".into());
        let mut conn = match &options.path {
            Some(path) => Connection::open(path)?,
            None => Connection::open_in_memory()?,
        };
        schema::check_owner(&conn, &shown)?;
        prepare(&conn)?;
        schema::migrate(&mut conn, &shown)?;
        let memory = Memory::load(&conn)?;
        let reader = options.path.as_deref().map(|path| Reader::beside(&conn, path)).transpose()?.flatten();
        Ok(Store {
            reader: reader.map(Mutex::new),
            core: Mutex::new(Core { conn, memory }),
            holder: Mutex::new(None),
            poison: OnceLock::new(),
            hooks: Mutex::new(Vec::new()),
            alarm: Alarm::default(),
            waiting: Waiting::default(),
            time: options.time,
            path: options.path,
            limits: options.limits,
            timestamps: options.timestamps,
            _lock: lock,
        })
    }

    /// Runs `work` in a transaction of its own: everything it writes is durable when this returns
    /// `Ok`, and none of it when it returns an error or panics.
    pub(crate) fn write<T>(&self, work: impl FnOnce(&mut Unit<'_>) -> Result<T>) -> Result<T> {
        self.run(work).map(|(result, _)| result)
    }

    /// The same, with what becomes of its edits at the hub.
    pub(crate) fn write_tracked<T>(&self, work: impl FnOnce(&mut Unit<'_>) -> Result<T>) -> Result<(T, WriteReceipt)> {
        let tracked = |unit: &mut Unit<'_>| {
            unit.track();
            work(unit)
        };
        self.run(tracked)
            .map(|(result, receipt)| (result, receipt.unwrap_or_else(|| self.waiting.begin(&BTreeSet::new()))))
    }

    fn run<T>(&self, work: impl FnOnce(&mut Unit<'_>) -> Result<T>) -> Result<(T, Option<WriteReceipt>)> {
        let done = self.transact(work);
        done.map_err(|error| error.on(self.path()))
    }

    fn transact<T>(&self, work: impl FnOnce(&mut Unit<'_>) -> Result<T>) -> Result<(T, Option<WriteReceipt>)> {
        let (result, finished, receipt) = {
            let mut held = self.hold()?;
            let Core { conn, memory } = &mut *held.core;
            conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            let mut open = Open { conn, memory, committed: false };
            let (result, mut finished) = {
                let mut unit = Unit::new(open.conn, open.memory, self.now());
                let result = work(&mut unit)?;
                (result, unit.finish(&self.waiting.ops())?)
            };
            if let Err(error) = open.conn.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])) {
                drop(open);
                return Err(self.uncommitted(error, conn));
            }
            open.committed = true;
            drop(open);
            held.core.memory.watchers.ring();
            // While nobody else can write: no fate passes by.
            let receipt = finished.tracked.take().map(|ops| self.waiting.begin(&ops));
            (result, finished, receipt)
        };
        self.waiting.tell(finished.fates);
        if !finished.written.is_empty() {
            let hooks: Vec<CommitHook> = locked(&self.hooks).iter().map(|(_, hook)| hook.clone()).collect();
            hooks.iter().for_each(|hook| hook(&finished.written));
        }
        Ok((result, receipt))
    }

    /// Reads the newest committed state. Does not wait for writers where the file can be read beside them.
    pub(crate) fn view<T>(&self, work: impl FnOnce(&mut View<'_>) -> Result<T>) -> Result<T> {
        let Some(reader) = &self.reader else {
            return self.read(|unit| work(&mut unit.view()));
        };
        self.check()?;
        let mut reader = locked(reader);
        reader.view(self.now(), work).map_err(|error| error.on(self.path()))
    }

    /// Reads one consistent state and what is kept in memory of it, when no writer is at work.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&mut Unit<'_>) -> Result<T>) -> Result<T> {
        let mut held = self.hold()?;
        let Core { conn, memory } = &mut *held.core;
        work(&mut Unit::new(conn, memory, self.now())).map_err(|error| error.on(self.path()))
    }

    /// The time.
    pub(crate) fn now(&self) -> Millis {
        (self.time)()
    }

    /// Rings the watcher when its answer may have changed by time alone.
    pub(crate) fn ring_at(&self, watcher: &Arc<Watcher>, at: Millis) {
        self.alarm.ring_after(watcher, Duration::from_millis(at.0.saturating_sub(self.now().0)));
    }

    /// The file; `None`: memory.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What a document may weigh.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether `createdAt` and `updatedAt` are kept.
    pub(crate) fn timestamps(&self) -> bool {
        self.timestamps
    }

    /// Adds a hook under a key of its own.
    pub(crate) fn hook(&self, hook: CommitHook) -> u64 {
        let mut hooks = locked(&self.hooks);
        let key = hooks.last().map_or(1, |(last, _)| last + 1);
        hooks.push((key, hook));
        key
    }

    /// Takes a hook away.
    pub(crate) fn unhook(&self, key: u64) {
        locked(&self.hooks).retain(|(other, _)| *other != key);
    }

    fn hold(&self) -> Result<Held<'_>> {
        self.check()?;
        let core = locked(&self.core);
        if self.poison.get().is_some() {
            return Err(self.poisoned());
        }
        *locked(&self.holder) = Some(std::thread::current().id());
        Ok(Held { core, holder: &self.holder })
    }

    /// Whether this thread may use the database now.
    fn check(&self) -> Result<()> {
        if *locked(&self.holder) == Some(std::thread::current().id()) {
            return Err(Error::InsideTransaction);
        }
        if self.poison.get().is_some() { Err(self.poisoned()) } else { Ok(()) }
    }

    /// What a commit that failed and was rolled back leaves: of a full disk SQLite vouches that nothing was written,
    /// after anything else nobody knows.
    fn uncommitted(&self, error: rusqlite::Error, conn: &Connection) -> Error {
        let full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
        if !(full && conn.is_autocommit()) {
            drop(self.poison.set(error.to_string().into()));
            return self.poisoned();
        }
        error.into()
    }

    fn poisoned(&self) -> Error {
        Error::Poisoned(self.poison.get().cloned().unwrap_or_else(|| "unknown cause".into()))
    }
}

/// A panic inside a lock leaves nothing half done here: transactions roll back when they are dropped.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Held<'s> {
    core: MutexGuard<'s, Core>,
    holder: &'s Mutex<Option<ThreadId>>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *locked(self.holder) = None;
    }
}

/// An open transaction; undone when it is dropped uncommitted.
struct Open<'c> {
    conn: &'c Connection,
    memory: &'c mut Memory,
    committed: bool,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        if let Err(error) = self.conn.execute_batch("ROLLBACK") {
            tracing::debug!(%error, "SQLite had rolled the transaction back already");
        }
        self.memory.names.forget_all();
        self.memory.watchers.hush();
        self.memory.waiting.clear();
    }
}

fn prepare(conn: &Connection) -> Result<()> {
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;
         PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -32768; PRAGMA temp_store = MEMORY;",
    )?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.set_prepared_statement_cache_capacity(128);
    Ok(())
}

impl Memory {
    fn load(conn: &Connection) -> Result<Memory> {
        let read = "SELECT node, author, last_seq, clock FROM state";
        let found = conn.query_row(read, [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?, row.get::<_, u64>(2)?, row.get::<_, u64>(3)?))
        });
        let (node, author, last_seq, clock) = match found.optional()? {
            Some(found) => found,
            None => {
                let node = Uuid::new_v4().to_string();
                conn.execute("INSERT INTO state(one, node, author, last_seq, clock) VALUES (1, ?1, 0, 0, 0)", [&node])?;
                (node, 0, 0, 0)
            }
        };
        // A number that was offered before a crash is used up, whatever `state` knows of it.
        let newest =
            "SELECT max(coalesce(max(seq), 0), coalesce(max(wire_seq), 0)), coalesce(max(stamp), 0) FROM outbox";
        let (seq, stamp): (u64, u64) = conn.query_row(newest, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Memory {
            node: NodeId::new(node)?,
            author: Author(author),
            clock: Clock::starting_at(Stamp(clock.max(stamp))),
            last_seq: Seq(last_seq.max(seq)),
            names: Names::default(),
            watchers: Watchers::default(),
            waiting: HashMap::new(),
        })
    }
}
