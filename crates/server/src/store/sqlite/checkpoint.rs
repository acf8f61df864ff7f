//! Moves what the write-ahead log holds into the data file, off the writer's path: a background
//! thread copies while commits go on, and only the short rest is finished by the writer itself, so
//! that the log can start over. Never decides what is durable: the log alone is.

use rusqlite::{Connection, OpenFlags};
use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

/// Pages in the log from which on the background thread copies (32 MiB).
const COPY_PAGES: u32 = 4 << 10;
/// Pages in the log at which the writer stops for a full checkpoint (256 MiB).
const HARD_PAGES: u32 = 32 << 10;
/// A rest of so many pages (2 MiB) is left to the writer.
const REST_PAGES: u32 = 256;
/// Copying is given up after so many rounds without coming close to the end of the log.
const ROUNDS: u32 = 8;

thread_local! {
    /// Pages in the log after this thread's last commit: a space's writer has its thread to itself.
    static PAGES: Cell<u32> = const { Cell::new(0) };
}

/// The background thread of a store. Ends when the store and its spaces are gone.
#[derive(Clone)]
pub(super) struct Checkpointer {
    requests: mpsc::Sender<(PathBuf, Arc<Progress>)>,
}

#[derive(Debug, Default)]
struct Progress {
    running: AtomicBool,
    rest_is_short: AtomicBool,
}

/// A writer's view of its log.
pub(super) struct WalWatch {
    checkpointer: Checkpointer,
    path: PathBuf,
    progress: Arc<Progress>,
    next_full: u32,
}

impl Checkpointer {
    /// Starts the thread.
    pub fn start() -> std::io::Result<Checkpointer> {
        let (requests, queue) = mpsc::channel::<(PathBuf, Arc<Progress>)>();
        thread::Builder::new().name("checkpoints".into()).spawn(move || {
            for (path, progress) in queue {
                match copy(&path) {
                    Ok(short) => progress.rest_is_short.store(short, Ordering::Release),
                    Err(error) => tracing::warn!(path = %path.display(), %error, "checkpoint failed; will try again"),
                }
                progress.running.store(false, Ordering::Release);
            }
        })?;
        Ok(Checkpointer { requests })
    }

    /// Watches the log of one file.
    pub fn watch(&self, path: PathBuf) -> WalWatch {
        WalWatch { checkpointer: self.clone(), path, progress: Arc::default(), next_full: HARD_PAGES }
    }
}

/// Copies until little is left. Writers go on meanwhile, so "all" may never be reached from here. A file that
/// got lost meanwhile is not made anew.
pub(super) fn copy(path: &std::path::Path) -> rusqlite::Result<bool> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    let mut copied = 0;
    for _ in 0..ROUNDS {
        let (in_log, now_copied) = checkpoint(&conn, "PASSIVE")?;
        let round = in_log.saturating_sub(copied);
        if now_copied < in_log {
            return Ok(false);
        }
        copied = now_copied;
        if round <= REST_PAGES {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Pages in the log, and how many of them are in the data file now.
fn checkpoint(conn: &Connection, mode: &str) -> rusqlite::Result<(u32, u32)> {
    conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        let pages = |column| row.get::<_, i64>(column).map(|n| u32::try_from(n).unwrap_or(0));
        Ok((pages(1)?, pages(2)?))
    })
}

impl WalWatch {
    /// Hears of the commits of this connection, which stays on this thread.
    pub fn attach(&self, conn: &Connection) {
        conn.wal_hook(Some(|_, pages| {
            PAGES.set(u32::try_from(pages).unwrap_or(0));
            Ok(())
        }));
    }

    /// Looks at the log after a commit, and does or orders what is due.
    pub fn after_commit(&mut self, conn: &Connection) {
        let pages = PAGES.get();
        if pages < COPY_PAGES {
            self.next_full = HARD_PAGES;
        } else if pages >= self.next_full {
            self.finish(conn, "TRUNCATE");
            self.next_full = pages + COPY_PAGES;
        } else if self.progress.rest_is_short.swap(false, Ordering::AcqRel) {
            self.finish(conn, "PASSIVE");
        } else if !self.progress.running.swap(true, Ordering::AcqRel) {
            let request = (self.path.clone(), Arc::clone(&self.progress));
            if self.checkpointer.requests.send(request).is_err() {
                tracing::error!(path = %self.path.display(), "the checkpoint thread is gone");
            }
        }
    }

    /// A log that a reader still needs cannot start over; that is tried again later.
    fn finish(&self, conn: &Connection, mode: &str) {
        match checkpoint(conn, mode) {
            Ok((in_log, copied)) if in_log == copied => PAGES.set(0),
            Ok(_) => {}
            Err(error) => tracing::warn!(path = %self.path.display(), %error, "checkpoint failed; will try again"),
        }
    }
}
