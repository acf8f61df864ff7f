//! One space's file: its writer thread, its readers, and the way to them from async code.

use super::checkpoint::Checkpointer;
use super::health::{Trouble, Vitals};
use super::home::FixedFile;
use super::lock::DirLock;
use super::reader::{Reader, Readers};
use super::writer::{Job, SharedHead, Writer};
use super::{Options, schema, sound};
use crate::store::{Head, StoreError};
use rusqlite::params;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use tokio::sync::{mpsc, oneshot};

/// Jobs that may wait for the writer; more wait in their callers.
const QUEUE: usize = 256;

pub(super) struct SpaceFile {
    path: PathBuf,
    jobs: mpsc::Sender<Job>,
    head: SharedHead,
    vitals: Vitals,
    readers: Readers,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl SpaceFile {
    /// Opens the file, makes it when it is missing, and starts its writer. The writer holds on to
    /// `lock`, so that the data directory stays ours until the last byte is written.
    pub fn open(
        path: PathBuf,
        options: &Options,
        checkpointer: &Checkpointer,
        lock: Arc<DirLock>,
    ) -> Result<SpaceFile, StoreError> {
        let action = "opening a space";
        let conn = schema::open_to_write(&path, schema::SPACE, options.cache_bytes)?;
        let epoch = uuid::Uuid::new_v4().to_string();
        conn.execute("INSERT INTO state VALUES (1, ?1, 0, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING", params![epoch])
            .map_err(|e| StoreError::engine(action)(e).of_file(&path))?;
        let place = Arc::new(FixedFile::of(&path)?);
        let writer =
            Writer::new(conn, checkpointer.watch(path.clone()), Arc::clone(&place)).map_err(|e| e.of_file(&path))?;
        let (head, trouble) = (writer.shared_head(), writer.shared_trouble());
        let (jobs, queue) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new()
            .name("space-writer".into())
            .spawn(move || {
                writer.serve(queue);
                drop(lock);
            })
            .map_err(StoreError::engine(action))?;
        Ok(SpaceFile {
            path,
            jobs,
            head,
            vitals: Vitals { place, trouble },
            readers: Readers::default(),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// How it does.
    pub fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// Whether the writer has stopped. Opening the file again would hide that.
    pub fn has_stopped(&self) -> bool {
        matches!(self.vitals.trouble.get(), Trouble::Poisoned(_) | Trouble::Damaged(_))
    }

    /// Where the log stands as of the last commit.
    pub fn head(&self) -> Head {
        self.head.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives the writer a job and waits for its result. Once it is queued it runs, even if the caller
    /// goes away; until then the file counts as used.
    pub async fn write<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let used = Arc::clone(self);
        let job = Job::Run(Box::new(move |writer| {
            let done = work(writer);
            drop(used);
            drop(reply.send(done));
        }));
        self.jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs `work` with a connection for reading, on a thread that may block. A file that turns out to be damaged takes
    /// no more writes: they would be receipted, and go when a backup takes its place.
    pub async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let space = Arc::clone(self);
        let done = super::blocking(move || space.readers.with(&space.path, work)).await;
        done.map_err(|error| match sound::damage_in(&error) {
            Some(cause) => self.is_damaged(cause),
            None => error,
        })
    }

    /// Stops the writer of a file that is not what was written.
    pub fn is_damaged(&self, cause: String) -> StoreError {
        tracing::error!(path = %self.path.display(), cause, "a data file is damaged");
        self.vitals.trouble.set(Trouble::Damaged(cause.clone()));
        StoreError::Damaged { place: self.path.display().to_string(), cause }
    }

    /// Lets the writer finish its queue and end, and closes the file.
    pub async fn close(self: Arc<Self>) {
        // The writer's connection is to be the last one: a reader cannot bring home what the log beside the file holds.
        self.readers.clear();
        // A send that fails means that the writer has ended already.
        let _ended = self.jobs.send(Job::Stop).await;
        let space = Arc::clone(&self);
        let joined = super::blocking(move || {
            space.readers.clear();
            let thread = space.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            if thread.is_some_and(|thread| thread.join().is_err()) {
                tracing::error!(path = %space.path.display(), "the writer of a space panicked");
            }
            Ok(())
        });
        if let Err(error) = joined.await {
            tracing::error!(%error, "closing a space");
        }
    }
}
