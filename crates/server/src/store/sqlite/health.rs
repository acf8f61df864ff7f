//! What a writer last met, for those who ask whether it can still write; and what stands in the way of the
//! directory as a whole.

use super::home::{FixedFile, file_name, look_for};
use crate::store::{FailedSpaces, StoreError};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use syncline_core::model::SpaceName;

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
    /// The file is not what was written: nothing is written any more, and what can be read is.
    Damaged(String),
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

    /// There is room again. What else a reader has met meanwhile stays.
    pub fn has_room(&self) {
        let mut trouble = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *trouble == Trouble::NoRoom {
            *trouble = Trouble::None;
        }
    }
}

impl Trouble {
    /// Whether nothing is written to `file` any more, and why.
    pub fn stops(self, file: &Path) -> Result<(), StoreError> {
        match self {
            Trouble::None | Trouble::NoRoom => Ok(()),
            Trouble::Poisoned(cause) => Err(StoreError::Poisoned { cause }),
            Trouble::Damaged(cause) => Err(StoreError::Damaged { place: file.display().to_string(), cause }),
        }
    }
}

/// What can be asked of an open space without keeping it open.
#[derive(Clone, Debug)]
pub(super) struct Vitals {
    /// Where its file must stay.
    pub place: Arc<FixedFile>,
    /// What its writer last met.
    pub trouble: SharedTrouble,
}

/// Looks after the directory as a whole, then after each space: an open one must be where it was opened and
/// not have stopped, another one must be there. Opens nothing.
pub(super) fn check(
    home: &FixedFile,
    dir: &Path,
    names: Vec<SpaceName>,
    open: &HashMap<SpaceName, Vitals>,
) -> Result<FailedSpaces, StoreError> {
    home.check()?;
    let (mut full, mut failed) = (false, FailedSpaces::new());
    for name in names {
        let found = match open.get(&name) {
            Some(file) => file.place.check().and_then(|()| {
                let trouble = file.trouble.get();
                full |= trouble == Trouble::NoRoom;
                trouble.stops(file.place.path())
            }),
            None => look_for(&dir.join("spaces").join(file_name(&name))),
        };
        if let Err(error) = found {
            failed.insert(name, error);
        }
    }
    if full {
        check_room(dir)?;
    }
    Ok(failed)
}

/// Finds out whether a full disk has room again, without risking anything that counts. Readiness must
/// not wait for the next push: while it says no, none may come.
fn check_room(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join("room");
    let tried = File::create(&path).and_then(|mut file| {
        file.write_all(&[0; ROOM_BYTES])?;
        file.sync_all()
    });
    // What is left of it is overwritten by the next look.
    let _removed = fs::remove_file(&path);
    tried.map_err(|error| StoreError::NoRoom { cause: error.to_string() })
}
