//! A backup of a data directory: each file copied as one moment of it, while a hub may run on it, and a manifest
//! that says what it holds. It reads the directory by SQLite's own locks and never writes into it. The copy gets its
//! name only once it is complete and on disk, so what bears a backup's name is one.

use super::building::{Building, sync};
use super::home::file_name;
use super::manifest::{FORMAT, HUB_FILE, Manifest, SavedFile, SavedSpace, Schemas, digest};
use super::{columns, schema};
use crate::clock;
use crate::store::StoreError;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, Transaction};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;
use syncline_core::model::SpaceName;

/// Pages copied between two reports (8 MiB in files of ours).
const STEP_PAGES: i32 = 1 << 10;
/// Before a locked page is tried again.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// How far a backup or a restoration is.
#[derive(Clone, Copy, Debug)]
pub struct Copied<'a> {
    /// The file, as the manifest names it.
    pub file: &'a str,
    /// Its bytes that are copied.
    pub bytes: u64,
    /// Its bytes.
    pub of: u64,
}

/// Copies the data of a hub, running or not, to a new directory. Each space is as it was at one moment of its own,
/// and all were made before the copy began. Blocks.
///
/// # Errors
/// There is no hub's data, some of it is gone or newer than this program, or the target is taken.
pub fn backup(data: &Path, target: &Path, report: &mut dyn FnMut(Copied<'_>)) -> Result<Manifest, StoreError> {
    let building = Building::begin(target)?;
    fs::create_dir(building.part().join("spaces")).map_err(building.failed("making a directory"))?;
    let manifest = copy_all(data, building.part(), report).map_err(|error| building.blamed(error))?;
    building.finish()?;
    Ok(manifest)
}

fn copy_all(data: &Path, part: &Path, report: &mut dyn FnMut(Copied<'_>)) -> Result<Manifest, StoreError> {
    let (mut saver, spaces) = Saver::begin(data, part, report)?;
    for space in spaces {
        saver.space(space, report)?;
    }
    let manifest = saver.manifest();
    manifest.write(part)?;
    Ok(manifest)
}

/// Copies a data directory file by file, and notes what it has copied.
pub(super) struct Saver<'a> {
    data: &'a Path,
    part: &'a Path,
    hub: SavedFile,
    saved: Vec<SavedSpace>,
}

impl<'a> Saver<'a> {
    /// Copies the hub's own file. Returns the spaces that it names.
    pub fn begin(
        data: &'a Path,
        part: &'a Path,
        report: &mut dyn FnMut(Copied<'_>),
    ) -> Result<(Saver<'a>, Vec<SpaceName>), StoreError> {
        let (bytes, spaces) = copy(
            &data.join(HUB_FILE),
            &part.join(HUB_FILE),
            schema::HUB,
            |snapshot| {
                let mut find = snapshot.prepare("SELECT name FROM spaces ORDER BY name")?;
                let names = find.query_map([], |row| {
                    SpaceName::new(row.get::<_, String>(0)?).map_err(|error| columns::wrong_text(0, error))
                })?;
                names.collect::<rusqlite::Result<Vec<_>>>()
            },
            &mut |bytes, of| report(Copied { file: HUB_FILE, bytes, of }),
        )?;
        let hub = SavedFile { bytes, sha256: digest(&part.join(HUB_FILE))? };
        Ok((Saver { data, part, hub, saved: Vec::with_capacity(spaces.len()) }, spaces))
    }

    /// Copies a space. Returns the name of its file.
    pub fn space(&mut self, space: SpaceName, report: &mut dyn FnMut(Copied<'_>)) -> Result<String, StoreError> {
        let name = space_path(&space);
        let (from, to) = (self.data.join(&name), self.part.join(&name));
        super::home::look_for(&from)?;
        let mut tell = |bytes, of| report(Copied { file: &name, bytes, of });
        let (bytes, head) = copy(&from, &to, schema::SPACE, |snapshot| columns::head(snapshot), &mut tell)?;
        self.saved.push(SavedSpace {
            space,
            epoch: head.epoch,
            lsn: head.lsn,
            last_change: head.last_change,
            horizon: head.horizon,
            file: SavedFile { bytes, sha256: digest(&to)? },
        });
        Ok(name)
    }

    /// What was copied.
    pub fn manifest(self) -> Manifest {
        Manifest {
            format: FORMAT,
            syncline: env!("CARGO_PKG_VERSION").into(),
            made_at: clock::now().iso(),
            schemas: Schemas::known(),
            hub: self.hub,
            spaces: self.saved,
        }
    }
}

/// Where a space's file stands in a backup, as in a data directory.
pub(super) fn space_path(space: &SpaceName) -> String {
    format!("spaces/{}", file_name(space))
}

/// Copies one file from one snapshot of it, and reads from the same; its size and what was read.
fn copy<T>(
    from: &Path,
    to: &Path,
    steps: &[&str],
    read: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    tell: &mut dyn FnMut(u64, u64),
) -> Result<(u64, T), StoreError> {
    let source = schema::open_to_read(from)?;
    let version = schema::version_of(&source).map_err(|error| error.of_file(from))?;
    let known = schema::newest_version(steps);
    if version > known {
        return Err(StoreError::NewerSchema { place: from.display().to_string(), found: version, known });
    }
    let action = "copying a data file";
    let failed = |error: rusqlite::Error| StoreError::engine(action)(error).of_file(from);
    // The copy below reads in this transaction too, so commits meanwhile neither mix in nor make it begin anew.
    let snapshot = source.unchecked_transaction().map_err(failed)?;
    let found = read(&snapshot).map_err(failed)?;
    let mut target = Connection::open(to).map_err(failed)?;
    copy_pages(&snapshot, &mut target, tell).map_err(failed)?;
    target.close().map_err(|(_, error)| failed(error))?;
    sync(to)?;
    let bytes = fs::metadata(to).map_err(StoreError::engine(action)).map_err(|error| error.of_file(to))?.len();
    Ok((bytes, found))
}

fn copy_pages(from: &Connection, to: &mut Connection, tell: &mut dyn FnMut(u64, u64)) -> rusqlite::Result<()> {
    let page_bytes: u64 = from.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let copying = Backup::new(from, to)?;
    loop {
        let step = copying.step(STEP_PAGES)?;
        let progress = copying.progress();
        let pages = |n: i32| u64::try_from(n).unwrap_or(0) * page_bytes;
        tell(pages(progress.pagecount - progress.remaining), pages(progress.pagecount));
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            _ => thread::sleep(LOCK_PAUSE),
        }
    }
}
