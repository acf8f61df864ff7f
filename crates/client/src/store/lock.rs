//! One process, one handle: an exclusive lock on a file beside the database.
//!
//! The lock file stays when the lock goes: taking it away would let two openers lock two files.

use crate::error::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// Held as long as the database is open; the system releases it even after a crash.
#[derive(Debug)]
pub(crate) struct FileLock {
    _file: File,
}

impl FileLock {
    /// Locks `<path>.lock`.
    pub(crate) fn take(path: &Path) -> Result<FileLock> {
        let failed = |source| Error::Open { path: path.to_owned(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(beside(path)).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(FileLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}
