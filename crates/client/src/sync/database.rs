//! Sync of a whole database with a set of collections, with the names of seed 004 (`syncNow`,
//! `addCollection`, `getStatus`, …).

use super::desk::Desk;
use super::listeners::{ListenerId, SyncEvents};
use super::options::SyncOptions;
use super::status::{SyncOutcome, SyncStatus};
use crate::error::Result;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use syncline_core::model::CollectionName;
use syncline_core::session::SyncEvent;

/// A handle on a database's sync. Sync goes on when the handle is dropped, until
/// [`DatabaseSync::disable`] or the end of the database.
#[derive(Clone)]
pub struct DatabaseSync {
    desk: Arc<Desk>,
    state: Arc<Mutex<State>>,
}

struct State {
    options: SyncOptions,
    collections: BTreeSet<CollectionName>,
    enabled: bool,
}

impl DatabaseSync {
    /// Keeps the collections of the options in step from now on.
    pub(crate) fn start(desk: Arc<Desk>, options: SyncOptions) -> Result<DatabaseSync> {
        let collections = options.collections.iter().map(CollectionName::new).collect::<Result<_, _>>()?;
        let state = State { options, collections, enabled: false };
        let sync = DatabaseSync { desk, state: Arc::new(Mutex::new(state)) };
        sync.enable()?;
        Ok(sync)
    }

    /// Adds a collection; `false`: it was there.
    ///
    /// # Errors
    /// When the name breaks its rule or sync cannot start with it.
    pub fn add_collection(&self, name: &str) -> Result<bool> {
        let name = CollectionName::new(name)?;
        let mut state = self.lock();
        if state.collections.contains(&name) {
            return Ok(false);
        }
        if state.enabled {
            self.desk.enable(state.options.clone(), BTreeSet::from([name.clone()]))?;
        }
        Ok(state.collections.insert(name))
    }

    /// Takes a collection out; its documents stay. `false`: it was not there.
    pub fn remove_collection(&self, name: &str) -> bool {
        let mut state = self.lock();
        let Some(name) = CollectionName::new(name).ok().filter(|name| state.collections.remove(name)) else {
            return false;
        };
        self.desk.disable(&BTreeSet::from([name]));
        true
    }

    /// The collections that sync, or will when enabled.
    #[must_use]
    pub fn collections(&self) -> Vec<CollectionName> {
        self.lock().collections.iter().cloned().collect()
    }

    /// Starts a full cycle now. The future needs no runtime and may be dropped.
    pub fn sync_now(&self) -> impl Future<Output = SyncOutcome> + Send + use<> {
        self.desk.trigger(None)
    }

    /// As [`DatabaseSync::sync_now`], and blocks this thread until the cycle is over.
    #[must_use]
    pub fn sync_now_blocking(&self) -> SyncOutcome {
        self.desk.trigger_blocking(None)
    }

    /// Switches sync on, or starts it anew (after a refused token, say).
    ///
    /// # Errors
    /// As [`Collection::enable_sync`](crate::Collection::enable_sync).
    pub fn enable(&self) -> Result<()> {
        let mut state = self.lock();
        self.desk.enable(state.options.clone(), state.collections.clone())?;
        state.enabled = true;
        Ok(())
    }

    /// Switches sync of these collections off. Edits go on being recorded.
    pub fn disable(&self) {
        let mut state = self.lock();
        state.enabled = false;
        self.desk.disable(&state.collections);
    }

    /// Gives up every edit that waits for the hub; the documents go back to the hub's version.
    /// Returns how many ops went.
    ///
    /// # Errors
    /// When the database file cannot be written.
    pub fn clear_pending(&self) -> Result<u64> {
        let collections = self.lock().collections.clone();
        self.desk.clear_pending(&collections)
    }

    /// How sync stands.
    ///
    /// # Errors
    /// When the database file cannot be read.
    pub fn status(&self) -> Result<SyncStatus> {
        self.desk.status(None)
    }

    /// Calls back for every event of this name (`sync:error`, …; `*`: all), on the engine's thread:
    /// be quick there.
    ///
    /// # Errors
    /// [`SyncError::UnknownEvent`](crate::sync::SyncError::UnknownEvent) for any other name.
    pub fn on(&self, event: &str, callback: impl Fn(&SyncEvent) + Send + Sync + 'static) -> Result<ListenerId> {
        self.desk.on(event, None, callback)
    }

    /// Takes a callback away; `false`: it was not there.
    #[must_use = "an unknown id takes nothing away"]
    pub fn off(&self, listener: ListenerId) -> bool {
        self.desk.off(listener)
    }

    /// Every event from now on.
    #[must_use]
    pub fn events(&self) -> SyncEvents {
        self.desk.events(None)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
