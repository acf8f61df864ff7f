//! Which space files are open: each from its first use on, a bounded number at once, and none for long
//! after its last use. Never closes one that somebody uses, or one whose failure must stay visible.

use super::Options;
use super::checkpoint::Checkpointer;
use super::health::Vitals;
use super::home::{FixedFile, file_name, look_for};
use super::lock::DirLock;
use super::schema;
use super::space::SpaceFile;
use crate::store::StoreError;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use syncline_core::model::SpaceName;
use tokio::sync::OnceCell;

/// The open space files of a data directory.
pub(super) struct OpenSpaces {
    dir: PathBuf,
    options: Options,
    checkpointer: Checkpointer,
    state: Mutex<State>,
}

/// `lock` is gone once the store is closed.
struct State {
    lock: Option<Arc<DirLock>>,
    spaces: HashMap<SpaceName, Slot>,
    /// Those that could not be opened when somebody last tried.
    unopened: BTreeSet<SpaceName>,
}

/// Handles are cloned only under the lock of the state, so a count of one there stays one.
struct Slot {
    file: Arc<OnceCell<Arc<SpaceFile>>>,
    used: Instant,
}

impl OpenSpaces {
    pub fn new(dir: PathBuf, options: Options, checkpointer: Checkpointer, lock: DirLock) -> OpenSpaces {
        let state = State { lock: Some(Arc::new(lock)), spaces: HashMap::new(), unopened: BTreeSet::new() };
        OpenSpaces { dir, options, checkpointer, state: Mutex::new(state) }
    }

    /// Whether the store is in use.
    pub fn check_open(&self) -> Result<(), StoreError> {
        if self.state().lock.is_some() { Ok(()) } else { Err(StoreError::Closed) }
    }

    /// The file of a space, opened when it is not open. Only the file of a space that is `new` is made: an
    /// empty one in the place of one that got lost would tell every device that its documents are gone.
    pub async fn file(&self, name: &SpaceName, new: bool, home: &FixedFile) -> Result<Arc<SpaceFile>, StoreError> {
        let (cell, lock, closed) = {
            let mut state = self.state();
            let lock = state.lock.clone().ok_or(StoreError::Closed)?;
            let closed =
                if state.spaces.contains_key(name) { None } else { state.make_room(self.options.open_spaces)? };
            let slot = state.spaces.entry(name.clone()).or_insert_with(|| Slot::new(Instant::now()));
            slot.used = Instant::now();
            (Arc::clone(&slot.file), lock, closed)
        };
        if let Some(closed) = closed {
            closed.close().await;
        }
        if let Some(file) = cell.get() {
            return Ok(Arc::clone(file));
        }
        let path = self.dir.join("spaces").join(file_name(name));
        let (options, checkpointer) = (self.options, self.checkpointer.clone());
        let opening = || async {
            home.check()?;
            let open = move || {
                if !new {
                    look_for(&path)?;
                    refuse_empty(&path)?;
                }
                SpaceFile::open(path, &options, &checkpointer, lock).map(Arc::new)
            };
            super::blocking(open).await
        };
        let opened = cell.get_or_try_init(opening).await.cloned();
        let mut state = self.state();
        match &opened {
            Err(_) if !new => drop(state.unopened.insert(name.clone())),
            _ => drop(state.unopened.remove(name)),
        }
        opened
    }

    /// Those that could not be opened when somebody last tried.
    pub fn unopened(&self) -> BTreeSet<SpaceName> {
        self.state().unopened.clone()
    }

    /// How those do that are open now.
    pub fn vitals(&self) -> HashMap<SpaceName, Vitals> {
        let of = |(name, slot): (&SpaceName, &Slot)| Some((name.clone(), slot.file.get()?.vitals().clone()));
        self.state().spaces.iter().filter_map(of).collect()
    }

    /// Closes those that nobody has used for `limits.space_idle`.
    pub async fn close_idle(&self) {
        let idle = self.state().take_idle(self.options.space_idle);
        for file in idle {
            file.close().await;
        }
    }

    /// Closes all, and the store with them.
    pub async fn close(&self) {
        let (lock, spaces) = {
            let mut state = self.state();
            (state.lock.take(), std::mem::take(&mut state.spaces))
        };
        for file in spaces.values().filter_map(|slot| slot.file.get()) {
            Arc::clone(file).close().await;
        }
        drop(lock);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Makes room for one more: the file that was unused for longest gives way. Returns what is to be closed.
    fn make_room(&mut self, most: usize) -> Result<Option<Arc<SpaceFile>>, StoreError> {
        if self.spaces.len() < most {
            return Ok(None);
        }
        let unused = self.spaces.iter().filter(|(_, slot)| slot.is_unused());
        let oldest = unused.min_by_key(|(_, slot)| slot.used).map(|(name, _)| name.clone());
        let oldest = oldest.ok_or(StoreError::TooManyOpen { most })?;
        Ok(self.spaces.remove(&oldest).and_then(|slot| slot.file.get().cloned()))
    }

    fn take_idle(&mut self, idle: Duration) -> Vec<Arc<SpaceFile>> {
        let mut closed = Vec::new();
        self.spaces.retain(|_, slot| {
            let keep = slot.used.elapsed() < idle || !slot.is_unused();
            if !keep {
                closed.extend(slot.file.get().cloned());
            }
            keep
        });
        closed
    }
}

impl Slot {
    fn new(used: Instant) -> Slot {
        Slot { file: Arc::default(), used }
    }

    fn is_unused(&self) -> bool {
        let file_is_unused = |file: &Arc<SpaceFile>| Arc::strong_count(file) == 1 && !file.has_stopped();
        Arc::strong_count(&self.file) == 1 && self.file.get().is_none_or(file_is_unused)
    }
}

/// A file that was emptied or cut to nothing is as bad as one that got lost: it must not be begun anew either.
fn refuse_empty(path: &Path) -> Result<(), StoreError> {
    let conn = schema::open_to_read(path)?;
    match schema::version_of(&conn).map_err(|error| error.of_file(path))? {
        0 => Err(StoreError::Damaged { place: path.display().to_string(), cause: "it is empty".into() }),
        _ => Ok(()),
    }
}
