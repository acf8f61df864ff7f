//! Sync of one collection, with the names of the seeds (`enableSync`, `disableSync`, `triggerSync`,
//! `getSyncStatus`, `on`).

use crate::collection::Collection;
use crate::error::Result;
use crate::sync::{ListenerId, SyncEvent, SyncEvents, SyncOptions, SyncOutcome, SyncStatus};
use std::collections::BTreeSet;
use std::future::Future;

impl Collection {
    /// Keeps this collection in step with a hub from now on. Documents that it holds already are
    /// pushed; the hub's are loaded first. Called again, it starts anew with these options. The
    /// `collections` of the options are not used here.
    ///
    /// # Errors
    /// When the options name no hub, are outside their limits, or name another hub or token than
    /// that of this database's other collections. Whether the hub can be reached is told by events.
    pub fn enable_sync(&self, options: SyncOptions) -> Result<()> {
        self.desk().enable(options, BTreeSet::from([self.name().clone()]))
    }

    /// Stops keeping it in step. Edits go on being recorded, and are pushed when sync is enabled again.
    pub fn disable_sync(&self) {
        self.desk().disable(&BTreeSet::from([self.name().clone()]));
    }

    /// Starts a full cycle now. The future resolves when it is over; it needs no runtime and may be
    /// dropped. A failure is told by its outcome and by `sync:error`, never by a panic.
    pub fn trigger_sync(&self) -> impl Future<Output = SyncOutcome> + Send + use<> {
        self.desk().trigger(Some(self.name().clone()))
    }

    /// As [`Collection::trigger_sync`], and blocks this thread until the cycle is over.
    #[must_use]
    pub fn trigger_sync_blocking(&self) -> SyncOutcome {
        self.desk().trigger_blocking(Some(self.name().clone()))
    }

    /// How sync of this collection stands.
    ///
    /// # Errors
    /// When the database file cannot be read.
    pub fn sync_status(&self) -> Result<SyncStatus> {
        self.desk().status(Some(self.name()))
    }

    /// Calls back for every event of this name (`sync:error`, …; `*`: all) that concerns this
    /// collection, on the engine's thread: be quick there. Listen before enabling sync.
    ///
    /// # Errors
    /// [`SyncError::UnknownEvent`](crate::sync::SyncError::UnknownEvent) for any other name.
    pub fn on(&self, event: &str, callback: impl Fn(&SyncEvent) + Send + Sync + 'static) -> Result<ListenerId> {
        self.desk().on(event, Some(self.name().clone()), callback)
    }

    /// Takes a callback away; `false`: it was not there.
    #[must_use = "an unknown id takes nothing away"]
    pub fn off(&self, listener: ListenerId) -> bool {
        self.desk().off(listener)
    }

    /// The events that concern this collection, from now on.
    #[must_use]
    pub fn events(&self) -> SyncEvents {
        self.desk().events(Some(self.name().clone()))
    }
}
