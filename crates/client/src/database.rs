//! The open database: where collections, transactions and the replica come from.

use crate::collection::Collection;
use crate::conflicts::LostEdit;
use crate::error::Result;
use crate::fate::WriteReceipt;
use crate::quarantine::Quarantined;
use crate::replica::{Replica, Resolvers, Unsynced};
use crate::store::{Store, StoreOptions, TimeSource};
use crate::sync::desk::Desk;
use crate::sync::{DatabaseSync, Imported, Protocol, SyncOptions};
use crate::transaction::Transaction;
use crate::ttl;
use crate::typed::TypedCollection;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use syncline_core::model::{CollectionName, Limits, Millis};

/// Expired documents that one sweep takes away at most, so that it never holds up writers for long.
const SWEEP_MAX: usize = 1_000;

/// An embedded database: one SQLite file, held by one handle. Cheap to clone; safe from any thread.
/// The file closes with the last clone and everything that came from it.
#[derive(Clone)]
pub struct Database {
    store: Arc<Store>,
    resolvers: Resolvers,
    desk: Arc<Desk>,
}

/// How a database is opened.
#[derive(Clone)]
pub struct DatabaseOptions {
    path: Option<PathBuf>,
    limits: Limits,
    timestamps: bool,
    time: TimeSource,
}

impl DatabaseOptions {
    /// A file, created when it does not exist.
    #[must_use]
    pub fn file(path: impl AsRef<Path>) -> DatabaseOptions {
        DatabaseOptions { path: Some(path.as_ref().to_owned()), ..DatabaseOptions::memory() }
    }

    /// Memory: everything is gone when the handle is.
    #[must_use]
    pub fn memory() -> DatabaseOptions {
        DatabaseOptions { path: None, limits: Limits::default(), timestamps: true, time: Arc::new(system_time) }
    }

    /// What a document may weigh (default: 16 MiB, nested 64 deep).
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> DatabaseOptions {
        self.limits = limits;
        self
    }

    /// Whether `createdAt` and `updatedAt` are set (default: yes).
    #[must_use]
    pub fn timestamps(mut self, kept: bool) -> DatabaseOptions {
        self.timestamps = kept;
        self
    }

    /// Another clock than the system's, for tests and simulations.
    #[must_use]
    pub fn time(mut self, time: impl Fn() -> Millis + Send + Sync + 'static) -> DatabaseOptions {
        self.time = Arc::new(time);
        self
    }
}

fn system_time() -> Millis {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}

/// A commit hook's registration; dropping it ends the calls.
pub struct CommitHook {
    store: Arc<Store>,
    key: u64,
}

impl Drop for CommitHook {
    fn drop(&mut self) {
        self.store.unhook(self.key);
    }
}

impl Database {
    /// Opens or creates a file.
    ///
    /// # Errors
    /// [`Error::InUse`](crate::Error::InUse) when another handle has it, here or in another process;
    /// [`Error::NewerSchema`](crate::Error::NewerSchema); or when the file cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Database> {
        Database::open_with(DatabaseOptions::file(path))
    }

    /// A database in memory.
    ///
    /// # Errors
    /// When SQLite cannot start.
    pub fn open_in_memory() -> Result<Database> {
        Database::open_with(DatabaseOptions::memory())
    }

    /// Opens a database with options.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn open_with(options: DatabaseOptions) -> Result<Database> {
        let DatabaseOptions { path, limits, timestamps, time } = options;
        let store = Arc::new(Store::open(StoreOptions { path, time, limits, timestamps })?);
        let resolvers = Resolvers::default();
        let desk = Arc::new(Desk::new(&store, Replica::new(store.clone(), resolvers.clone())));
        let database = Database { store, resolvers, desk };
        database.sweep()?;
        Ok(database)
    }

    /// A collection. It comes into being with its first document.
    ///
    /// # Errors
    /// When the name breaks its rule.
    pub fn collection(&self, name: &str) -> Result<Collection> {
        Ok(Collection::new(self.store.clone(), self.desk.clone(), CollectionName::new(name)?))
    }

    /// A collection whose documents are values of a Rust type.
    ///
    /// # Errors
    /// When the name breaks its rule.
    pub fn typed<T: Serialize + DeserializeOwned>(&self, name: &str) -> Result<TypedCollection<T>> {
        Ok(TypedCollection::new(self.collection(name)?))
    }

    /// The names of all collections.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn collections(&self) -> Result<Vec<CollectionName>> {
        self.store.view(|view| {
            let mut statement = view.conn.prepare_cached("SELECT name FROM collections ORDER BY name")?;
            let names: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            names.into_iter().map(|name| Ok(CollectionName::new(name)?)).collect()
        })
    }

    /// Several edits that become durable and visible together, or, when `work` fails or panics, not at
    /// all. The hub accepts them together or rejects them together. Other writers wait meanwhile;
    /// inside of `work`, use the transaction and not the database.
    ///
    /// # Errors
    /// Those of `work`, or when the file cannot be written.
    pub fn transaction<T>(&self, work: impl FnOnce(&mut Transaction<'_, '_>) -> Result<T>) -> Result<T> {
        self.store.write(|unit| work(&mut Transaction::new(&self.store, unit)))
    }

    /// Takes expired documents away for good. Reads have not seen them since they expired. Returns how
    /// many went.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn sweep(&self) -> Result<usize> {
        let mut swept = 0;
        loop {
            let due = self.store.read(|unit| Ok(ttl::next(unit)?.is_some_and(|at| at <= unit.now)))?;
            if !due {
                return Ok(swept);
            }
            swept += self.store.write(|unit| ttl::sweep(unit, SWEEP_MAX))?;
        }
    }

    /// Calls `hook` after each commit of the app's own writes, with the collections that it wrote,
    /// on the thread that wrote. Ends when the registration is dropped.
    pub fn on_commit(&self, hook: impl Fn(&BTreeSet<CollectionName>) + Send + Sync + 'static) -> CommitHook {
        CommitHook { store: self.store.clone(), key: self.store.hook(Arc::new(hook)) }
    }

    /// Everything that was set aside with the reason, oldest first: own edits that the hub refused for
    /// good, and pulled changes that break a rule here.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn quarantined(&self) -> Result<Vec<Quarantined>> {
        self.replica().quarantined(None)
    }

    /// Makes an edit that was set aside once more, after its cause is gone.
    ///
    /// # Errors
    /// [`Error::NotQuarantined`](crate::Error::NotQuarantined), or those of the edit, which then stays set aside.
    pub fn retry_quarantined(&self, number: i64) -> Result<()> {
        self.replica().retry_quarantined(number, None)
    }

    /// As [`Database::retry_quarantined`] with another content in the place of the op's own: of an insert or a replacement
    /// the document, of an update an object with `set` and `unset`.
    ///
    /// # Errors
    /// As there, and [`Error::NoContent`](crate::Error::NoContent) for a removal.
    pub fn retry_quarantined_with(&self, number: i64, content: &Value) -> Result<()> {
        self.replica().retry_quarantined(number, Some(content))
    }

    /// Gives up what was set aside under this number. Returns it.
    ///
    /// # Errors
    /// [`Error::NotQuarantined`](crate::Error::NotQuarantined).
    pub fn discard_quarantined(&self, number: i64) -> Result<Quarantined> {
        self.replica().discard_quarantined(number)
    }

    /// As [`Database::transaction`], and says what becomes of its edits at the hub: see [`WriteReceipt`].
    ///
    /// # Errors
    /// As [`Database::transaction`].
    pub fn receipted<T>(&self, work: impl FnOnce(&mut Transaction<'_, '_>) -> Result<T>) -> Result<(T, WriteReceipt)> {
        self.store.write_tracked(|unit| work(&mut Transaction::new(&self.store, unit)))
    }

    /// Own edits that met concurrent ones at the hub and did not stand whole, oldest first; the newest 10,000 are kept.
    /// `sync:conflict` tells of each when it comes.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn conflicts(&self) -> Result<Vec<LostEdit>> {
        self.replica().conflicts(None)
    }

    /// Makes an edit that did not stand once more, as a new edit on top of what stands now; it leaves the list.
    ///
    /// # Errors
    /// [`Error::NoConflict`](crate::Error::NoConflict), or those of the edit, which is then kept in the list.
    pub fn restore_conflict(&self, number: i64) -> Result<()> {
        self.replica().restore_conflict(number)
    }

    /// Takes an edit that did not stand out of the list. Returns it.
    ///
    /// # Errors
    /// [`Error::NoConflict`](crate::Error::NoConflict).
    pub fn discard_conflict(&self, number: i64) -> Result<LostEdit> {
        self.replica().discard_conflict(number)
    }

    /// Every op that the hub has not receipted, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn unsynced(&self) -> Result<Vec<Unsynced>> {
        self.replica().unsynced(None)
    }

    /// Gives an op up that the hub has not receipted; its document becomes what it is without. Later ops of a document
    /// go with its insert. Returns what went. If the hub has the op already, its change comes back with the next page.
    ///
    /// # Errors
    /// [`Error::NotUnsynced`](crate::Error::NotUnsynced), [`Error::UnderWay`](crate::Error::UnderWay).
    pub fn discard_unsynced(&self, number: i64) -> Result<Vec<Unsynced>> {
        self.replica().discard_unsynced(number)
    }

    /// Puts another content into an op that no hub has seen: of an insert or a replacement the document, of an update
    /// an object with `set` (values by field) and `unset` (names).
    ///
    /// # Errors
    /// [`Error::NotUnsynced`](crate::Error::NotUnsynced), [`Error::Offered`](crate::Error::Offered) where a hub may have
    /// seen it, [`Error::NoContent`](crate::Error::NoContent) for a removal, or the content breaks a rule.
    pub fn edit_unsynced(&self, number: i64, content: &Value) -> Result<()> {
        self.replica().edit_unsynced(number, content)
    }

    /// The database as a sync engine sees it.
    #[must_use]
    pub fn replica(&self) -> Replica {
        Replica::new(self.store.clone(), self.resolvers.clone())
    }

    /// Keeps the collections of the options in step with a hub from now on.
    ///
    /// # Errors
    /// When a collection's name breaks its rule, and as [`Collection::enable_sync`].
    pub fn sync(&self, options: SyncOptions) -> Result<DatabaseSync> {
        DatabaseSync::start(self.desk.clone(), options)
    }

    /// How these collections have synced so far, or, where none of them has, the others of this database. A
    /// collection never goes on by another protocol. `None`: nothing here has synced.
    ///
    /// # Errors
    /// When a name breaks its rule, or the file cannot be read.
    pub fn protocol(&self, collections: &[String]) -> Result<Option<Protocol>> {
        let scope = collections.iter().map(CollectionName::new).collect::<std::result::Result<_, _>>()?;
        let by_packets = self.replica().goes_by_packets(&scope)?;
        Ok(by_packets.map(|by_packets| if by_packets { Protocol::Exchange } else { Protocol::Lsn }))
    }

    /// Everything of the options' collections that the hub has not confirmed, as one packet in a text, and
    /// which packet of the hub was imported last. For sites without a network: carry the text to the hub
    /// (`syncline exchange import`), and its answer back to [`Database::import_packet`]. A packet that got
    /// lost needs no care: the next one holds its edits too. At most 10,000 edits leave in one packet; the
    /// rest follows once it is confirmed.
    ///
    /// # Errors
    /// When a name or an option breaks its rule, when the database syncs in another way, or when the file
    /// cannot be written.
    pub fn export_packet(&self, options: &SyncOptions) -> Result<String> {
        self.desk.export_packet(options)
    }

    /// Takes a packet of the hub in: its documents, and what became of exported edits. A packet that is
    /// imported again, or after a later one, changes nothing.
    ///
    /// # Errors
    /// As [`Database::export_packet`], and [`SyncError::Packet`](crate::sync::SyncError::Packet) when the text
    /// is no packet of this hub for this database.
    pub fn import_packet(&self, options: &SyncOptions, text: &str) -> Result<Imported> {
        self.desk.import_packet(options, text)
    }

    /// The file; `None`: memory.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.store.path()
    }
}
