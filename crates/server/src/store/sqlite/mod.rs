//! The embedded store: a directory with one SQLite file per space and one for the hub itself. One
//! writer per space, readers beside it, and a lock on the directory so that two hubs never share it.

mod backup;
mod building;
mod checkpoint;
mod clients;
mod columns;
mod examine;
mod exchange;
mod health;
mod home;
mod known;
mod list;
mod load;
mod lock;
mod manifest;
mod open;
mod packets;
mod reader;
mod register;
mod registry;
mod restore;
mod scan;
mod schema;
mod scrub;
mod sound;
mod space;
mod strays;

#[cfg(test)]
mod tests;
mod transfer;
mod trim;
mod unique;
mod whole;
mod write;
mod writer;

pub use backup::{Copied, Stage, backup};
pub use examine::{Examined, examine};
pub use manifest::{LeftOut, Manifest, SavedFile, SavedSpace, Schemas};
pub use restore::{Replaced, restore, restore_space};
pub use strays::{adopt, strays};
pub use transfer::Arriving;
pub(in crate::store) use whole::{Directory, NewDirectory, NewFile, SpacePlace};

use super::feed::Feed;
use super::{
    ConflictRow, Decide, Encoder, ExpiredRow, FailedSpaces, Head, Holders, LateRows, ListQuery, NodeRow, QuarantineRow,
    Record, RecordKind, Scan, Scanned, Store, StoreError, Trim, Trimmed,
};
use bytes::Bytes;
use checkpoint::Checkpointer;
use futures_util::future::{BoxFuture, FutureExt};
use home::{FixedFile, HUB_FILE};
use lock::DirLock;
use open::OpenSpaces;
use registry::Registry;
use scan::Gone;
use scrub::{Found, Looked};
use space::SpaceFile;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, Instant};
use syncline_core::hub::{DocKey, Touch};
use syncline_core::model::{
    Author, Holding, Lsn, Millis, NodeId, Registration, SpaceName, Traffic, UniqueValue, Version,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use trim::Stage as TrimStage;

/// What can be chosen about the embedded store.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Memory that the writer of a space may use to hold pages.
    pub cache_bytes: u64,
    /// A scan whose reader takes nothing for so long is cut off: it holds back the log's clean-up.
    pub reader_stall: Duration,
    /// Space files open at once: each costs a thread, a cache and a few file handles.
    pub open_spaces: usize,
    /// A space file that nobody has used for so long is closed until somebody does.
    pub space_idle: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            cache_bytes: 32 << 20,
            reader_stall: Duration::from_secs(30),
            open_spaces: 128,
            space_idle: Duration::from_secs(60),
        }
    }
}

/// Keeps spaces in SQLite files. Needs a tokio runtime with time.
pub struct SqliteStore {
    dir: PathBuf,
    options: Options,
    registry: Arc<Registry>,
    home: Arc<FixedFile>,
    spaces: OpenSpaces,
    /// One backup leaves at a time.
    outgoing: Arc<Mutex<()>>,
}

impl SqliteStore {
    /// Whether a directory holds a hub's data.
    #[must_use]
    pub fn is_in(dir: &Path) -> bool {
        dir.join(HUB_FILE).exists()
    }

    /// Opens the directory, which is made when it is missing. Blocks shortly.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::NewerSchema`], [`StoreError::NoHubFile`], or the engine's own. A backup is not
    /// opened: it would go on with an old history under its old name.
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<SqliteStore, StoreError> {
        let dir = dir.as_ref().to_path_buf();
        manifest::refuse_backup(&dir)?;
        strays::refuse_without_hub(&dir)?;
        fs::create_dir_all(dir.join("spaces"))
            .map_err(|error| format!("{}: {error}; choose a directory that can be written", dir.display()))
            .map_err(StoreError::engine("making the data directory"))?;
        let lock = DirLock::take(&dir)?;
        let home = Arc::new(FixedFile::of(&dir.join(lock::FILE))?);
        let registry = Arc::new(Registry::open(&dir.join(HUB_FILE))?);
        let checkpointer = Checkpointer::start().map_err(StoreError::engine("starting the checkpoint thread"))?;
        let spaces = OpenSpaces::new(dir.clone(), options, checkpointer, lock);
        transfer::clear(&dir)?;
        restore::clear(&dir)?;
        Ok(SqliteStore { dir, options, registry, home, spaces, outgoing: Arc::default() })
    }

    /// A space that exists; its file is opened at first use.
    async fn space(&self, name: &SpaceName) -> Result<Arc<SpaceFile>, StoreError> {
        self.spaces.check_open()?;
        if self.registry.has(name) { self.file(name).await } else { Err(StoreError::UnknownSpace(name.clone())) }
    }

    async fn file(&self, name: &SpaceName) -> Result<Arc<SpaceFile>, StoreError> {
        self.spaces.file(name, !self.registry.has(name), &self.home).await
    }

    async fn registry<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Registry) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.spaces.check_open()?;
        let registry = Arc::clone(&self.registry);
        blocking(move || work(&registry)).await
    }

    async fn trim_space(&self, space: &SpaceName, trim: Trim) -> Result<Trimmed, StoreError> {
        let space = self.space(space).await?;
        let (mut stage, mut trimmed) = (TrimStage::Horizon, Trimmed::default());
        while !matches!(stage, TrimStage::Done) {
            let mut counted = trimmed;
            (stage, trimmed) = space
                .write(move |writer| writer.trim_step(stage, trim, &mut counted).map(|next| (next, counted)))
                .await?;
        }
        Ok(trimmed)
    }
}

/// Runs work that blocks on a thread made for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(StoreError::engine("running blocking work"))?
}

/// Hands chunks to a reader from a blocking thread, for as long as it takes them.
fn sender(out: mpsc::Sender<Bytes>, stall: Duration) -> impl FnMut(Bytes) -> Result<(), Gone> {
    move |chunk| match out.try_send(chunk) {
        Ok(()) => Ok(()),
        Err(mpsc::error::TrySendError::Closed(_)) => Err(Gone::Away),
        Err(mpsc::error::TrySendError::Full(chunk)) => {
            match Handle::current().block_on(async { tokio::time::timeout(stall, out.send(chunk)).await }) {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(Gone::Away),
                Err(_) => Err(Gone::Slow(StoreError::SlowReader { waited_s: stall.as_secs() })),
            }
        }
    }
}

impl Store for SqliteStore {
    fn open_space<'a>(&'a self, space: &'a SpaceName) -> BoxFuture<'a, Result<Head, StoreError>> {
        async move {
            let file = self.file(space).await?;
            let name = space.clone();
            self.registry(move |registry| registry.add(&name)).await?;
            Ok(file.head())
        }
        .boxed()
    }

    fn spaces(&self) -> BoxFuture<'_, Result<Vec<SpaceName>, StoreError>> {
        self.registry(|registry| Ok(registry.spaces())).boxed()
    }

    fn head<'a>(&'a self, space: &'a SpaceName) -> BoxFuture<'a, Result<Head, StoreError>> {
        async move { Ok(self.space(space).await?.head()) }.boxed()
    }

    fn commit<'a>(
        &'a self,
        space: &'a SpaceName,
        touch: Touch,
        mut decide: Decide,
    ) -> BoxFuture<'a, Result<Head, StoreError>> {
        async move {
            let file = self.space(space).await?;
            let (registry, name) = (Arc::clone(&self.registry), space.clone());
            file.write(move |writer| writer.commit(&touch, registry.rules(&name, &touch), &mut decide)).await
        }
        .boxed()
    }

    fn scan<'a>(
        &'a self,
        space: &'a SpaceName,
        scan: Scan,
        encoder: Box<dyn Encoder>,
        out: mpsc::Sender<Bytes>,
    ) -> BoxFuture<'a, Result<Scanned, StoreError>> {
        async move {
            let file = self.space(space).await?;
            let send = sender(out, self.options.reader_stall);
            let feed = Feed::new(encoder, &scan);
            file.read(move |reader| scan::run(reader, &scan, feed, send)).await
        }
        .boxed()
    }

    fn trim<'a>(&'a self, space: &'a SpaceName, trim: Trim) -> BoxFuture<'a, Result<Trimmed, StoreError>> {
        self.trim_space(space, trim).boxed()
    }

    fn expired<'a>(
        &'a self,
        space: &'a SpaceName,
        by: Millis,
        after: (Millis, Lsn),
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<ExpiredRow>, StoreError>> {
        let read = move |reader: &mut reader::Reader| {
            list::expired(reader.connection(), by, after, limit).map_err(StoreError::engine("reading what has expired"))
        };
        async move { self.space(space).await?.read(read).await }.boxed()
    }

    fn conflicts<'a>(
        &'a self,
        space: &'a SpaceName,
        query: ListQuery,
    ) -> BoxFuture<'a, Result<Vec<ConflictRow>, StoreError>> {
        let read = move |reader: &mut reader::Reader| {
            list::conflicts(reader.connection(), &query).map_err(StoreError::engine("reading the conflict ledger"))
        };
        async move { self.space(space).await?.read(read).await }.boxed()
    }

    fn late_conflicts<'a>(
        &'a self,
        space: &'a SpaceName,
        author: Author,
        after: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<LateRows, StoreError>> {
        let read = move |reader: &mut reader::Reader| {
            let rows = list::late_conflicts(reader.connection(), author, after, limit);
            rows.map_err(StoreError::engine("reading the conflict ledger"))
        };
        async move { self.space(space).await?.read(read).await }.boxed()
    }

    fn quarantine<'a>(
        &'a self,
        space: &'a SpaceName,
        query: ListQuery,
    ) -> BoxFuture<'a, Result<Vec<QuarantineRow>, StoreError>> {
        let read = move |reader: &mut reader::Reader| {
            list::quarantine(reader.connection(), &query).map_err(StoreError::engine("reading the quarantine"))
        };
        async move { self.space(space).await?.read(read).await }.boxed()
    }

    fn documents<'a>(
        &'a self,
        space: &'a SpaceName,
        docs: Vec<DocKey>,
    ) -> BoxFuture<'a, Result<Vec<(DocKey, Version)>, StoreError>> {
        let read = move |reader: &mut reader::Reader| {
            list::documents(reader.connection(), docs).map_err(StoreError::engine("reading documents"))
        };
        async move { self.space(space).await?.read(read).await }.boxed()
    }

    fn holders<'a>(
        &'a self,
        space: &'a SpaceName,
        values: Vec<UniqueValue>,
        most: usize,
        at: Millis,
    ) -> BoxFuture<'a, Result<Holders, StoreError>> {
        let read = move |reader: &mut reader::Reader| {
            let conn = reader.connection();
            let found = values.into_iter().map(|value| Ok((unique::holders(conn, &value, (most, at))?, value)));
            let found = found.map(|found| found.map(|(ids, value)| (value, ids)));
            found.collect::<rusqlite::Result<_>>().map_err(StoreError::engine("reading unique values"))
        };
        async move { self.space(space).await?.read(read).await }.boxed()
    }

    fn nodes<'a>(&'a self, space: &'a SpaceName) -> BoxFuture<'a, Result<Vec<NodeRow>, StoreError>> {
        let read = |reader: &mut reader::Reader| {
            list::nodes(reader.connection()).map_err(StoreError::engine("reading the nodes"))
        };
        async move { self.space(space).await?.read(read).await }.boxed()
    }

    fn node<'a>(
        &'a self,
        space: &'a SpaceName,
        node: &'a NodeId,
    ) -> BoxFuture<'a, Result<Option<NodeRow>, StoreError>> {
        let node = node.clone();
        let read = move |reader: &mut reader::Reader| {
            list::node(reader.connection(), &node).map_err(StoreError::engine("reading a node"))
        };
        async move { self.space(space).await?.read(read).await }.boxed()
    }

    fn register<'a>(
        &'a self,
        space: &'a SpaceName,
        registration: Registration,
        before: Option<Registration>,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        let register = move |writer: &mut writer::Writer| writer.register(&registration, before.as_ref());
        async move { self.space(space).await?.write(register).await }.boxed()
    }

    fn unregister<'a>(&'a self, space: &'a SpaceName, node: &'a NodeId) -> BoxFuture<'a, Result<bool, StoreError>> {
        let node = node.clone();
        async move { self.space(space).await?.write(move |writer| writer.unregister(&node)).await }.boxed()
    }

    fn registered<'a>(
        &'a self,
        space: &'a SpaceName,
        node: Option<&'a NodeId>,
    ) -> BoxFuture<'a, Result<Vec<(Registration, Traffic)>, StoreError>> {
        let node = node.cloned();
        let read = move |reader: &mut reader::Reader| {
            exchange::registered(reader.connection(), node.as_ref())
                .map_err(StoreError::engine("reading registrations"))
        };
        async move { self.space(space).await?.read(read).await }.boxed()
    }

    fn held<'a>(
        &'a self,
        space: &'a SpaceName,
        node: &'a NodeId,
        docs: Vec<DocKey>,
    ) -> BoxFuture<'a, Result<Vec<Holding>, StoreError>> {
        let node = node.clone();
        let read = move |reader: &mut reader::Reader| {
            exchange::held(reader.connection(), &node, docs).map_err(StoreError::engine("reading what a node holds"))
        };
        async move { self.space(space).await?.read(read).await }.boxed()
    }

    fn note_cursors<'a>(
        &'a self,
        space: &'a SpaceName,
        cursors: Vec<(NodeId, Lsn, Millis)>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move { self.space(space).await?.write(move |writer| writer.note_cursors(&cursors)).await }.boxed()
    }

    fn records(&self, kind: RecordKind) -> BoxFuture<'_, Result<Vec<Record>, StoreError>> {
        self.registry(move |registry| registry.records(kind)).boxed()
    }

    fn put_record(
        &self,
        kind: RecordKind,
        key: String,
        value: Option<String>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.registry(move |registry| registry.put(kind, key, value.as_deref())).boxed()
    }

    fn add_record(&self, kind: RecordKind, key: String, value: String) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.registry(move |registry| registry.put_new(kind, &key, &value)).boxed()
    }

    fn replace_record(
        &self,
        kind: RecordKind,
        key: String,
        before: String,
        value: String,
    ) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.registry(move |registry| registry.put_over(kind, &key, &before, &value)).boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<FailedSpaces, StoreError>> {
        async move {
            self.spaces.check_open()?;
            let (names, open) = (self.registry.spaces(), self.spaces.vitals());
            let (home, dir) = (Arc::clone(&self.home), self.dir.clone());
            let mut failed = blocking(move || health::check(&home, &dir, names, &open)).await?;
            for name in self.spaces.unopened() {
                match self.space(&name).await {
                    Ok(_) | Err(StoreError::TooManyOpen { .. }) => {}
                    Err(error) => drop(failed.insert(name, error)),
                }
            }
            Ok(failed)
        }
        .boxed()
    }

    fn examine<'a>(&'a self, space: &'a SpaceName) -> BoxFuture<'a, Result<bool, StoreError>> {
        async move {
            let mut looked = Looked::default();
            while !looked.is_done() {
                let began = Instant::now();
                // Between two steps the file may be closed, and the log may be cleaned up.
                let file = self.space(space).await?;
                let step;
                (step, looked) = file.read(move |reader| scrub::step(reader, looked)).await?;
                match step {
                    Found::Sound => {}
                    Found::Pages(cause) => return Err(file.is_damaged(cause)),
                    Found::Text(error) => return Err(error),
                }
                drop(file);
                tokio::time::sleep(began.elapsed() * scrub::REST).await;
            }
            Ok(true)
        }
        .boxed()
    }

    fn examine_records(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        let path = self.dir.join(HUB_FILE);
        async move {
            self.spaces.check_open()?;
            blocking(move || examine::hub_file(&path)).await.map(|()| true)
        }
        .boxed()
    }

    fn hand_out(&self, out: mpsc::Sender<Bytes>) -> BoxFuture<'_, Result<(), StoreError>> {
        let (dir, outgoing, stall) = (self.dir.clone(), Arc::clone(&self.outgoing), self.options.reader_stall);
        blocking(move || {
            let _alone = match outgoing.try_lock() {
                Err(TryLockError::WouldBlock) => {
                    let reason = "another backup is on its way; take this one when that is over".into();
                    return Err(StoreError::Backup { place: "the hub".into(), reason });
                }
                // One that broke down has left nothing that the next one would not clear away.
                Err(TryLockError::Poisoned(alone)) => alone.into_inner(),
                Ok(alone) => alone,
            };
            let mut send = sender(out, stall);
            transfer::hand_out(&dir, &mut |piece| send(piece).is_ok())
        })
        .boxed()
    }

    fn close_idle(&self) -> BoxFuture<'_, ()> {
        self.spaces.close_idle().boxed()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            self.spaces.close().await;
            Ok(())
        }
        .boxed()
    }
}
