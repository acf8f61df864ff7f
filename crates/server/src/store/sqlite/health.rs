//! What a writer last met, for those who ask whether it can still write.

use super::home::Place;
use crate::store::StoreError;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// As much as a usual group of pushes adds to a log.
const ROOM_BYTES: usize = 1 << 20;

/// What stands between a writer and its next commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nothing that is known.
    #[default]
    None,
    /// The last commit found the disk full. The next one may not.
    NoRoom,
    /// Nobody knows what reached the disk: nothing is written any more.
    Poisoned(String),
}

/// A writer's trouble, seen from elsewhere.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedTrouble(Arc<Mutex<Trouble>>);

impl SharedTrouble {
    pub fn get(&self) -> Trouble {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set(&self, trouble: Trouble) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// What can be asked of an open space without keeping it open.
#[derive(Clone, Debug)]
pub(super) struct Vitals {
    /// Where its file must stay.
    pub place: Arc<Place>,
    /// What its writer last met.
    pub trouble: SharedTrouble,
}

/// Finds out whether a full disk has room again, without risking anything that counts. Readiness must
/// not wait for the next push: while it says no, none may come.
pub(super) fn check_room(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join("room");
    let tried = File::create(&path).and_then(|mut file| {
        file.write_all(&[0; ROOM_BYTES])?;
        file.sync_all()
    });
    // What is left of it is overwritten by the next look.
    let _removed = fs::remove_file(&path);
    tried.map_err(|error| StoreError::NoRoom { cause: error.to_string() })
}
