//! What a session does without for now, because the hub refuses it. Only keeps it: `refusal` decides.

use super::positions::Positions;
use crate::model::{CollectionName, Cursor, Millis};
use std::collections::BTreeMap;

/// What the hub refuses at the moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Refused {
    /// These collections, which are no part of the session's positions meanwhile.
    pub(super) collections: BTreeMap<CollectionName, Stopped>,
    /// Every push.
    pub(super) pushing: Option<Stopped>,
    /// Every snapshot and every pull.
    pub(super) pulling: Option<Stopped>,
}

/// One thing that the session does without for now.
#[derive(Clone, Debug)]
pub(super) struct Stopped {
    /// As the application was told.
    pub(super) message: String,
    /// When the hub is asked again.
    pub(super) due: Millis,
    /// Where the collection stands.
    pub(super) cursor: Option<Cursor>,
}

impl Refused {
    /// When the hub is to be asked again for any of it.
    pub(super) fn due(&self) -> Option<Millis> {
        self.collections.values().chain(&self.pushing).chain(&self.pulling).map(|stopped| stopped.due).min()
    }

    /// The collections that are refused leave these positions; those that left the session are forgotten.
    pub(super) fn leave(&mut self, positions: &mut Positions) {
        self.collections.retain(|name, stopped| match positions.cursors.remove(name) {
            Some(cursor) => {
                stopped.cursor = cursor;
                true
            }
            None => false,
        });
    }

    /// Takes back what is due, or everything.
    pub(super) fn release(&mut self, everything: bool, now: Millis) -> BTreeMap<CollectionName, Stopped> {
        let back = |stopped: &Stopped| everything || stopped.due <= now;
        self.pushing.take_if(|stopped| back(stopped));
        self.pulling.take_if(|stopped| back(stopped));
        let (back, still) = std::mem::take(&mut self.collections).into_iter().partition(|(_, stopped)| back(stopped));
        self.collections = still;
        back
    }
}
