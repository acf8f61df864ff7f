//! What the files are called, and whether they are still where they were opened. A directory that is taken away under an open file
//! leaves a file that takes every write and that nobody ever finds again.

use crate::store::StoreError;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use syncline_core::model::SpaceName;

/// The hub's own file, in a backup as in a data directory.
pub(super) const HUB_FILE: &str = "hub.db";

/// A file that must stay where it is.
#[derive(Debug)]
pub(super) struct FixedFile {
    path: PathBuf,
    identity: Identity,
}

impl FixedFile {
    /// Remembers the file that is at `path` now.
    pub fn of(path: &Path) -> Result<FixedFile, StoreError> {
        let found = fs::metadata(path).map_err(StoreError::engine("looking at a data file"))?;
        Ok(FixedFile { path: path.to_path_buf(), identity: identity(&found) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
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

/// Names that differ only in case are different spaces, on file systems that fold case as well.
pub(super) fn file_name(space: &SpaceName) -> String {
    let (name, folded) = (space.as_str(), space.as_str().to_lowercase());
    if name == folded {
        return format!("{name}.db");
    }
    let digest = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("{folded}~{digest:016x}.db")
}

/// A file that must be there. That it is not is another matter than that it cannot be read.
pub(super) fn look_for(path: &Path) -> Result<(), StoreError> {
    fs::metadata(path).map(drop).map_err(|error| match error.kind() {
        ErrorKind::NotFound => StoreError::Missing { path: path.display().to_string() },
        _ => StoreError::engine("opening a space")(error).of_file(path),
    })
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
