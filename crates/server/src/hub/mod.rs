//! The hub (steps 4 to 8 of the life of a change): one store, its spaces, and for each space a
//! committer that puts concurrent pushes into one commit. Dialects call it; it knows none of them
//! and holds no rule about data: those are `syncline_core::hub`.

mod committer;
mod lag;
mod log_state;
mod looks;
mod reading;
mod space;
mod upkeep;

pub use committer::{Memory, Pushed, Share};
pub use lag::{Lag, NodeView, Sighting, Stall, nodes};
pub use looks::Look;
pub use reading::Reading;
pub use space::Space;

use crate::error::ServerError;
use crate::meters::Meters;
use crate::options::Settings;
use crate::store::{FailedSpaces, Store};
use looks::Looks;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use syncline_core::model::SpaceName;
use tokio::sync::watch;

/// The spaces of one store.
pub struct Hub {
    store: Arc<dyn Store>,
    settings: Settings,
    meters: Arc<Meters>,
    spaces: RwLock<BTreeMap<SpaceName, Arc<Space>>>,
    in_use: watch::Sender<usize>,
    leaving: watch::Sender<bool>,
    closing: watch::Sender<bool>,
    set_back: watch::Sender<bool>,
    looks: Arc<Looks>,
}

impl Hub {
    /// Takes over a store. Must be called inside a Tokio runtime, which then also runs the upkeep.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, settings: Settings, meters: Arc<Meters>) -> Arc<Hub> {
        let (leaving, closing) = (watch::channel(false).0, watch::channel(false).0);
        let (spaces, in_use) = (RwLock::default(), watch::channel(0).0);
        let set_back = watch::channel(false).0;
        let looks = Arc::default();
        let hub = Arc::new(Hub { store, settings, meters, spaces, in_use, leaving, closing, set_back, looks });
        tokio::spawn(looks::run(Arc::downgrade(&hub), hub.closing.subscribe()));
        tokio::spawn(upkeep::run(Arc::downgrade(&hub), hub.closing.subscribe()));
        hub
    }

    /// The store below.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The hub's settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A space that exists.
    ///
    /// # Errors
    /// [`StoreError::UnknownSpace`](crate::store::StoreError::UnknownSpace).
    pub async fn space(&self, name: &SpaceName) -> Result<Arc<Space>, ServerError> {
        if let Some(space) = self.opened(name) {
            return Ok(space);
        }
        self.store.head(name).await?;
        self.create_space(name).await
    }

    /// A space, made when it is missing.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn create_space(&self, name: &SpaceName) -> Result<Arc<Space>, ServerError> {
        if let Some(space) = self.opened(name) {
            return Ok(space);
        }
        if *self.closing.borrow() {
            return Err(ServerError::Closing);
        }
        let head = self.store.open_space(name).await?;
        let nodes = self.store.nodes(name).await?;
        let mut spaces = self.spaces.write().unwrap_or_else(PoisonError::into_inner);
        let open = || {
            let (store, meters) = (Arc::clone(&self.store), Arc::clone(&self.meters));
            let parts = (store, meters, Arc::clone(&self.looks));
            Space::start(name.clone(), parts, self.settings, (head, nodes), self.closing.subscribe())
        };
        let space = Arc::clone(spaces.entry(name.clone()).or_insert_with(open));
        self.in_use.send_if_modified(|known| std::mem::replace(known, spaces.len()) != spaces.len());
        Ok(space)
    }

    /// Changes when a space is taken into use that was not in use since the hub started.
    #[must_use]
    pub fn spaces_in_use(&self) -> watch::Receiver<usize> {
        self.in_use.subscribe()
    }

    /// The spaces in use since the hub started.
    #[must_use]
    pub fn open_spaces(&self) -> Vec<Arc<Space>> {
        self.spaces.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Whether the hub can do its work. Answers with the spaces that take no commits while others do.
    ///
    /// # Errors
    /// What is in the way of all: the shutdown, or what [`Store::check`] finds.
    pub async fn check(&self) -> Result<FailedSpaces, ServerError> {
        if *self.leaving.borrow() {
            return Err(ServerError::Closing);
        }
        let mut failed = self.store.check().await?;
        let stopped = self.open_spaces().into_iter().filter_map(|space| Some((space.name().clone(), space.failure()?)));
        failed.extend(stopped);
        Ok(failed)
    }

    /// What is known of the data of a space.
    #[must_use]
    pub fn look(&self, space: &SpaceName) -> Look {
        self.looks.of(space)
    }

    /// What is known of the data that belong to no space: which spaces there are, tokens, rules.
    #[must_use]
    pub fn records_look(&self) -> Look {
        self.looks.of_records()
    }

    /// Spaces with a damaged document, and what is wrong with it. They take commits.
    #[must_use]
    pub fn damaged(&self) -> BTreeMap<SpaceName, String> {
        self.looks.damaged()
    }

    /// Becomes true when the hub goes down; waiting polls then answer at once.
    #[must_use]
    pub fn leaving(&self) -> watch::Receiver<bool> {
        self.leaving.subscribe()
    }

    /// Becomes true when the shared store was set back to an earlier moment: nothing is committed any more, and whoever
    /// runs the hub starts it anew, because readers stand at positions of a history that has ended.
    #[must_use]
    pub fn set_back(&self) -> watch::Receiver<bool> {
        self.set_back.subscribe()
    }

    /// Looks whether a space was.
    pub(crate) fn note_set_back(&self, space: &Space) {
        if space.is_set_back() {
            self.set_back.send_replace(true);
        }
    }

    /// Becomes true when the hub closes; background work then ends.
    #[must_use]
    pub fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// Tells everything that waits to come to its end. Pushes are still committed.
    pub fn leave(&self) {
        self.leaving.send_replace(true);
    }

    /// Commits what was accepted, writes what was put off, and closes the store.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn close(&self) -> Result<(), ServerError> {
        self.leave();
        self.closing.send_replace(true);
        for space in self.open_spaces() {
            space.finish().await;
        }
        Ok(self.store.close().await?)
    }

    /// A space, if it was in use since the hub started.
    #[must_use]
    pub fn opened(&self, name: &SpaceName) -> Option<Arc<Space>> {
        self.spaces.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}
