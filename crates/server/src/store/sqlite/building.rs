//! A directory that is built under another name and gets its own when it is complete and on disk. What a failure has
//! built so far goes away at once: its disk may be full. What a kill leaves behind is called `.part`; the next attempt
//! clears it away. Never replaces a directory that holds anything.

use super::home::HUB_FILE;
use super::lock::{self, DirLock};
use crate::store::StoreError;
use rusqlite::{ErrorCode, ffi};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A directory that is being built.
pub(super) struct Building {
    target: PathBuf,
    part: PathBuf,
    /// Until it has its name.
    lock: Option<DirLock>,
}

impl Building {
    /// Makes room for it.
    ///
    /// # Errors
    /// There is something at the target already, or somebody else builds it.
    pub fn begin(target: &Path) -> Result<Building, StoreError> {
        // Without a trailing slash, which would put the other name into the directory.
        let target: PathBuf = target.components().collect();
        let refuse = |reason: &str| StoreError::Backup { place: target.display().to_string(), reason: reason.into() };
        let name = target.file_name().ok_or_else(|| refuse("this names no new directory; name one, e.g. ./monday"))?;
        if !is_vacant(&target).map_err(at(&target, "looking at the target"))? {
            return Err(refuse(
                "there is something already, and nothing is overwritten; name a new or an empty directory",
            ));
        }
        if let Some(hub) = holds_hub(&target) {
            let reason = format!("it lies in {hub}, which holds a hub's data or a backup; name a directory outside it");
            return Err(refuse(&reason));
        }
        let mut part = name.to_owned();
        part.push(".part");
        let part = target.with_file_name(part);
        if !part.join(lock::FILE).exists() && !is_vacant(&part).map_err(at(&part, "looking at the target"))? {
            return Err(refuse(
                "a `.part` beside it was not left behind by a backup; move it away, or name another directory",
            ));
        }
        fs::create_dir_all(&part).map_err(at(&part, "making a directory"))?;
        let lock = DirLock::take(&part).map_err(|error| match error {
            StoreError::InUse(_) => {
                refuse("somebody else is making this directory right now; wait for that, or name another directory")
            }
            other => other,
        })?;
        clear(&part).map_err(at(&part, "clearing away what was left behind"))?;
        Ok(Building { target, part, lock: Some(lock) })
    }

    /// Where to put things meanwhile.
    pub fn part(&self) -> &Path {
        &self.part
    }

    /// Gives it its name. All files in it must be on disk.
    pub fn finish(mut self) -> Result<(), StoreError> {
        let Building { target, part, lock } = &mut self;
        let last = || -> io::Result<()> {
            sync_directories(part)?;
            if target.exists() {
                // Fails where somebody has put something into it by now.
                fs::remove_dir(&*target)?;
            }
            fs::rename(&*part, &*target)?;
            // Not before: by this file the next attempt knows what a kill has left behind. One that stays harms nobody.
            let _removed = fs::remove_file(target.join(lock::FILE));
            match target.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                Some(parent) => File::open(parent)?.sync_all(),
                None => File::open(".")?.sync_all(),
            }
        };
        let done = last().map_err(at(target, "giving the directory its name"));
        if done.is_ok() {
            *lock = None;
        }
        done
    }

    /// Names the place in an error.
    pub fn failed(&self, action: &'static str) -> impl FnOnce(io::Error) -> StoreError {
        at(&self.part, action)
    }

    /// What went wrong while something was written here: a full disk is no fault of the files that are read.
    pub fn blamed(&self, error: StoreError) -> StoreError {
        blamed(error, &self.part, "make room there, or name a directory on another disk")
    }
}

/// A full disk is the fault of where something is written, which `next` says more of.
pub(super) fn blamed(error: StoreError, part: &Path, next: &str) -> StoreError {
    match error {
        StoreError::File { action, source, .. } if is_unwritten(source.as_ref()) => {
            StoreError::Backup { place: part.display().to_string(), reason: format!("{action}: {source}; {next}") }
        }
        other => other,
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // What cannot be cleared away now is left to the next attempt.
            let _cleared = fs::remove_dir_all(&self.part);
        }
    }
}

/// Whether the engine could not write what it had.
fn is_unwritten(source: &(dyn std::error::Error + 'static)) -> bool {
    let failure = source.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error);
    failure
        .is_some_and(|failure| failure.code == ErrorCode::DiskFull || failure.extended_code == ffi::SQLITE_IOERR_WRITE)
}

/// Puts a file's bytes on disk.
pub(super) fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(at(path, "writing a file to disk"))
}

/// Names the file in an error of the system.
pub(super) fn at(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    let place = path.display().to_string();
    move |error| StoreError::Backup { place, reason: format!("{action}: {error}") }
}

/// The directory of a hub or of a backup in which `target` would lie.
fn holds_hub(target: &Path) -> Option<String> {
    let found = std::path::absolute(target).ok()?;
    let there = found.ancestors().skip(1).find_map(|dir| dir.canonicalize().ok())?;
    let hub = there.ancestors().find(|dir| dir.join(HUB_FILE).exists())?;
    Some(hub.display().to_string())
}

fn is_vacant(path: &Path) -> io::Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        Err(error) => Err(error),
    }
}

fn clear(part: &Path) -> io::Result<()> {
    for entry in fs::read_dir(part)? {
        let entry = entry?;
        if entry.file_name() == lock::FILE {
            continue;
        }
        if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
    }
    Ok(())
}

fn sync_directories(part: &Path) -> io::Result<()> {
    for dir in [part.join("spaces"), part.to_path_buf()] {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}
