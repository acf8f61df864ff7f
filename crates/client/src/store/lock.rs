//! One process, one handle: an exclusive lock on a file beside the database.
//!
//! The lock file stays when the lock goes: taking it away would let two openers lock two files.

use crate::error::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// Held as long as the database is open; the system releases it even after a crash.
#[derive(Debug)]
pub(crate) struct FileLock {
    file: File,
}

impl FileLock {
    /// Locks `<path>.lock`.
    pub(crate) fn take(path: &Path) -> Result<FileLock> {
        let failed = |source| Error::Open { path: path.to_owned(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(beside(path)).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(FileLock { file }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

impl Drop for FileLock {
    /// Closing the file would not be enough: a process that the application is just starting holds a
    /// copy of the handle until it runs its own program, and the lock with it.
    fn drop(&mut self) {
        // When that fails, the end of the last handle releases it.
        let _ = self.file.unlock();
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_handle_does_not_hold_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.db");
        let lock = FileLock::take(&path).unwrap();
        assert!(matches!(FileLock::take(&path), Err(Error::InUse(_))));

        let copy = lock.file.try_clone().unwrap();
        drop(lock);
        FileLock::take(&path).unwrap();
        drop(copy);
    }
}
