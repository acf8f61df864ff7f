//! Looks at what is stored, now and then, because what nobody reads would go bad unnoticed until a backup is due; and what was
//! found, by these and by readers.

use super::Hub;
use crate::store::StoreError;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;
use syncline_core::model::{Millis, SpaceName};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// A hub that has just started has better things to do.
const FIRST_AFTER: Duration = Duration::from_secs(60);

/// What is known of the data of a space, or of those of the hub that belong to no space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// When all of it was last looked at, since the hub started.
    pub at: Option<Millis>,
    /// What is wrong with it, in words, although it is in use.
    pub damage: Option<String>,
}

/// The same of every space of which something is known, and of the records.
#[derive(Default)]
pub(super) struct Looks {
    spaces: Mutex<BTreeMap<SpaceName, Look>>,
    records: Mutex<Look>,
}

impl Looks {
    /// Of one space.
    pub fn of(&self, space: &SpaceName) -> Look {
        self.all().get(space).cloned().unwrap_or_default()
    }

    /// Of what belongs to no space.
    pub fn of_records(&self) -> Look {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Spaces that are damaged, and how.
    pub fn damaged(&self) -> BTreeMap<SpaceName, String> {
        let damage = |(name, look): (&SpaceName, &Look)| Some((name.clone(), look.damage.clone()?));
        self.all().iter().filter_map(damage).collect()
    }

    /// A space was read, and this came of it.
    pub fn note_failure(&self, space: &SpaceName, error: &StoreError) {
        if let StoreError::DamagedText { .. } = error {
            tracing::error!(%space, %error, "a stored document is damaged");
            self.all().entry(space.clone()).or_default().damage = Some(error.to_string());
        }
    }

    /// All of it was looked at, and is sound.
    fn note_sound(&self, space: &SpaceName, at: Millis) {
        self.all().insert(space.clone(), Look { at: Some(at), damage: None });
    }

    fn all(&self) -> std::sync::MutexGuard<'_, BTreeMap<SpaceName, Look>> {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_records(&self, look: Look) {
        *self.records.lock().unwrap_or_else(PoisonError::into_inner) = look;
    }
}

/// Looks at one space after the other, again and again, until the hub closes or is gone.
pub(super) async fn run(hub: Weak<Hub>, mut closing: watch::Receiver<bool>) {
    let Some(every) = hub.upgrade().map(|hub| hub.settings.retention.look_every) else { return };
    let mut next = Instant::now() + FIRST_AFTER.min(every);
    loop {
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            () = sleep_until(next) => {}
        }
        next = Instant::now() + every;
        let Some(hub) = hub.upgrade() else { return };
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            () = look_at_all(&hub) => {}
        }
    }
}

async fn look_at_all(hub: &Hub) {
    match hub.store.examine_records().await {
        Ok(true) => hub.looks.note_records(Look { at: Some(hub.settings.clock.now()), damage: None }),
        Ok(false) => {}
        Err(error @ (StoreError::Damaged { .. } | StoreError::Missing { .. })) => {
            tracing::error!(%error, "the hub's own file is damaged");
            hub.looks.note_records(Look { damage: Some(error.to_string()), ..hub.looks.of_records() });
        }
        Err(error) => tracing::warn!(%error, "the hub's own file could not be looked at"),
    }
    let names = hub.store.spaces().await.unwrap_or_default();
    for name in names {
        match hub.store.examine(&name).await {
            Ok(true) => hub.looks.note_sound(&name, hub.settings.clock.now()),
            Ok(false) => {}
            Err(error @ StoreError::DamagedText { .. }) => hub.looks.note_failure(&name, &error),
            Err(error) => tracing::warn!(space = %name, %error, "what is stored could not be looked at"),
        }
    }
}
