//! One hub, one data directory: an exclusive lock on a file in it.
//!
//! The lock file stays when the lock goes: taking it away would let two hubs lock two files.

use crate::store::StoreError;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

/// The file's name.
pub(super) const FILE: &str = "lock";

/// Held until the last byte is written; the system releases it even after a crash.
#[derive(Debug)]
pub(super) struct DirLock {
    file: File,
}

impl DirLock {
    /// Takes the directory for this process.
    pub fn take(dir: &Path) -> Result<DirLock, StoreError> {
        let action = "locking the data directory";
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join(FILE));
        let file = open.map_err(StoreError::engine(action))?;
        match file.try_lock() {
            Ok(()) => Ok(DirLock { file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(dir.display().to_string())),
            Err(TryLockError::Error(error)) => Err(StoreError::engine(action)(error)),
        }
    }
}

impl Drop for DirLock {
    /// To close the file would not do: a process that the embedding program is starting right now
    /// has a copy of the handle, and with it the lock, until it runs its own program.
    fn drop(&mut self) {
        // When that fails, the end of the last copy releases it.
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_handle_does_not_hold_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DirLock::take(dir.path()).unwrap();
        assert!(matches!(DirLock::take(dir.path()), Err(StoreError::InUse(_))));

        let copy = lock.file.try_clone().unwrap();
        drop(lock);
        DirLock::take(dir.path()).unwrap();
        drop(copy);
    }
}
