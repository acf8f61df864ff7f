//! Whether files are still where they were opened. A directory that is taken away under an open file
//! leaves a file that takes every write and that nobody ever finds again.

use crate::store::StoreError;
use std::fs;
use std::path::{Path, PathBuf};

/// A file that must stay where it is.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    identity: Identity,
}

impl Place {
    /// Remembers the file that is at `path` now.
    pub fn of(path: &Path) -> Result<Place, StoreError> {
        let found = fs::metadata(path).map_err(StoreError::engine("looking at a data file"))?;
        Ok(Place { path: path.to_path_buf(), identity: identity(&found) })
    }

    /// Looks whether it still is.
    ///
    /// # Errors
    /// [`StoreError::Gone`]. It is over when the file is back.
    pub fn check(&self) -> Result<(), StoreError> {
        match fs::metadata(&self.path) {
            Ok(found) if identity(&found) == self.identity => Ok(()),
            Ok(_) | Err(_) => Err(StoreError::Gone { path: self.path.display().to_string() }),
        }
    }
}

/// Device and number of a file; where the system has none, that there is one must do.
#[cfg(unix)]
type Identity = (u64, u64);
#[cfg(not(unix))]
type Identity = ();

#[cfg(unix)]
fn identity(of: &fs::Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (of.dev(), of.ino())
}

#[cfg(not(unix))]
fn identity(_of: &fs::Metadata) -> Identity {}
