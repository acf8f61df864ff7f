//! A database's one connection to a hub: which collections sync, with which options, and the engine
//! that does it. Collections and whole-database handles share it, because the hub knows this device
//! as one node with one sequence of ops.

use super::engine::{Engine, Setup, Waiter};
use super::listeners::Listeners;
use super::local::Local;
use super::options::SyncOptions;
use super::status::{SyncOutcome, SyncStatus};
use crate::sync_error::SyncError;
use futures_util::FutureExt;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use syncline_core::model::{CollectionName, Millis};
use syncline_core::session::{Backlog, Refusals, Session, Settings};
use tokio::sync::{Notify, oneshot};

/// Held by the database; alive as long as it is.
#[derive(Default)]
pub(crate) struct Link {
    listeners: Arc<Listeners>,
    wrote: Arc<Notify>,
    active: Mutex<Option<Active>>,
}

/// What was last set up. Stays after `disable`, so that the status keeps telling.
struct Active {
    options: SyncOptions,
    settings: Settings,
    scope: BTreeSet<CollectionName>,
    engine: Engine,
    /// Engines that were told to end. Not waited for here: one of their listeners may be calling us.
    retired: Vec<Engine>,
}

impl Active {
    /// Ends the engine; those that are still ending are kept, so that the database can wait for them
    /// when it closes.
    fn retire(mut self) -> Vec<Engine> {
        self.engine.stop();
        self.retired.push(self.engine);
        self.retired.retain(|engine| !engine.has_ended());
        self.retired
    }
}

impl Link {
    /// Adds collections to what syncs and (re)starts the session. `open` gives access to the database.
    pub(super) fn enable(
        &self,
        options: SyncOptions,
        collections: BTreeSet<CollectionName>,
        open: impl FnOnce() -> Box<dyn Local>,
    ) -> Result<(), SyncError> {
        let (settings, api) = (options.settings()?, options.client()?);
        let mut active = self.lock();
        let joining = collections.clone();
        let mut scope = collections;
        if let Some(current) = active.as_ref() {
            if current.options.same_hub(&options) {
                scope.extend(current.scope.iter().cloned());
            } else if !current.scope.is_subset(&scope) {
                return Err(SyncError::OtherHub { collections: listed(&current.scope) });
            }
        }
        let mut local = open();
        local.join(&joining, options.conflict_resolution, options.resolver.as_ref())?;
        let same_way =
            |current: &SyncOptions| current.same_hub(&options) && current.use_web_sockets == options.use_web_sockets;
        let fits = |current: &Active| same_way(&current.options) && current.settings == settings;
        if let Some(current) = active.as_mut().filter(|current| fits(current)) {
            current.scope.clone_from(&scope);
            current.options = options;
            current.engine.enable(scope);
            return Ok(());
        }
        let retired = active.take().map_or_else(Vec::new, Active::retire);
        let (listeners, wrote) = (self.listeners.clone(), self.wrote.clone());
        let setup = Setup { local, api, settings, logging: options.logging, listeners, wrote };
        let engine = Engine::start(setup)?;
        engine.enable(scope.clone());
        *active = Some(Active { options, settings, scope, engine, retired });
        Ok(())
    }

    /// Takes collections out; without any left, the session is switched off.
    pub(super) fn disable(&self, collections: &BTreeSet<CollectionName>) -> bool {
        let mut active = self.lock();
        let Some(current) = active.as_mut() else { return false };
        let before = current.scope.len();
        current.scope.retain(|name| !collections.contains(name));
        match current.scope.len() {
            left if left == before => return false,
            0 => current.engine.disable(),
            _ => current.engine.rescope(current.scope.clone()),
        }
        true
    }

    /// Which collections sync.
    pub(super) fn scope(&self) -> BTreeSet<CollectionName> {
        self.lock().as_ref().map(|current| current.scope.clone()).unwrap_or_default()
    }

    /// A full cycle from now on, whose outcome is told for one collection or for all. The future may be
    /// dropped; the cycle goes on.
    pub(super) fn trigger(&self, only: Option<CollectionName>) -> impl Future<Output = SyncOutcome> + Send + use<> {
        let (told, outcome) = oneshot::channel();
        self.ask(Box::new(move |result, refused| {
            // The caller may have stopped waiting.
            let _ = told.send(SyncOutcome::new(result, refused, only.as_ref()));
        }));
        outcome.map(|outcome| outcome.unwrap_or_else(|_| stopped()))
    }

    /// As [`Link::trigger`], and waits on this thread, whatever runtime it may belong to.
    pub(super) fn trigger_blocking(&self, only: Option<CollectionName>) -> SyncOutcome {
        if self.lock().as_ref().is_some_and(|current| current.engine.is_own_thread()) {
            let reason = "a sync listener cannot wait for the cycle that it listens to; do not block in it";
            return SyncOutcome::failed(reason);
        }
        let (told, outcome) = mpsc::channel();
        self.ask(Box::new(move |result, refused| {
            // The receiver below waits until it is told.
            let _ = told.send(SyncOutcome::new(result, refused, only.as_ref()));
        }));
        outcome.recv().unwrap_or_else(|_| stopped())
    }

    fn ask(&self, waiter: Waiter) {
        match self.lock().as_ref() {
            Some(current) => current.engine.trigger(waiter),
            None => waiter(Err("sync is not enabled; enable it first".to_owned()), &Refusals::default()),
        }
    }

    /// How sync stands, for one collection or all.
    pub(super) fn status(&self, only: Option<&CollectionName>, backlog: Backlog, now: Millis) -> SyncStatus {
        let active = self.lock();
        let off = || Session::new(Settings::default()).status(now);
        let status = active.as_ref().map_or_else(off, |current| current.engine.status());
        let mut status = SyncStatus::new(status, only, backlog, now);
        let member = |name| active.as_ref().is_some_and(|current| current.scope.contains(name));
        if only.is_some_and(|name| !member(name)) {
            status.state = "disabled";
            (status.enabled, status.connected, status.is_syncing, status.stalled) = (false, false, false, false);
        }
        status
    }

    /// Something was written that may wait for the hub.
    pub(super) fn wrote(&self) {
        self.wrote.notify_one();
    }

    /// To be rung after a local write (step 2 begins).
    pub(super) fn bell(&self) -> Arc<Notify> {
        self.wrote.clone()
    }

    /// Who hears of events.
    pub(super) fn listeners(&self) -> &Arc<Listeners> {
        &self.listeners
    }

    fn lock(&self) -> MutexGuard<'_, Option<Active>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listed(scope: &BTreeSet<CollectionName>) -> String {
    let names: Vec<String> = scope.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn stopped() -> SyncOutcome {
    SyncOutcome::failed("sync has stopped")
}
