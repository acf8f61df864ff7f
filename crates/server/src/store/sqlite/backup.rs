//! A backup of a data directory: each file copied as one moment of it, while a hub may run on it, and a manifest
//! that says what it holds. It reads the directory by SQLite's own locks and never writes into it. The copy gets its
//! name only once it is complete and on disk, so what bears a backup's name is one.

use super::building::{Building, at, sync};
use super::home::{HUB_FILE, file_name};
use super::manifest::{FORMAT, LeftOut, Manifest, SavedFile, SavedSpace, Schemas, digest, refuse_backup};
use super::sound::{self, Content};
use super::{columns, schema};
use crate::clock;
use crate::store::StoreError;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, Transaction};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::thread;
use std::time::Duration;
use syncline_core::model::SpaceName;

/// Pages copied between two reports (8 MiB in files of ours).
const STEP_PAGES: i32 = 1 << 10;
/// Before a locked page is tried again.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// What is being done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is copied.
    Copying,
    /// The copy is looked at, page by page.
    Checking,
}

/// How far a backup or a restoration is.
#[derive(Clone, Copy, Debug)]
pub struct Copied<'a> {
    /// What is being done.
    pub stage: Stage,
    /// The file, as the manifest names it.
    pub file: &'a str,
    /// Its bytes that are done.
    pub bytes: u64,
    /// Its bytes.
    pub of: u64,
}

/// Copies the data of a hub, running or not, to a new directory. Each space is as it was at one moment of its own,
/// and all were made before the copy began. Every page of the copy is looked at: a space that is damaged or gone is left out
/// ([`Manifest::left_out`]), and the others are saved. Blocks.
///
/// # Errors
/// There is no hub's data, the hub's own file or every space is damaged, some of it is newer than this program, or the
/// target is taken.
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
    let manifest = saver.manifest()?;
    manifest.write(part)?;
    Ok(manifest)
}

/// Copies a data directory file by file, and notes what it has copied.
pub(super) struct Saver<'a> {
    data: &'a Path,
    part: &'a Path,
    hub: SavedFile,
    saved: Vec<SavedSpace>,
    left_out: Vec<LeftOut>,
}

impl<'a> Saver<'a> {
    /// Copies the hub's own file. Returns the spaces that it names.
    pub fn begin(
        data: &'a Path,
        part: &'a Path,
        report: &mut dyn FnMut(Copied<'_>),
    ) -> Result<(Saver<'a>, Vec<SpaceName>), StoreError> {
        refuse_backup(data)?;
        let copied = copy(
            (&data.join(HUB_FILE), &part.join(HUB_FILE)),
            Content::Hub,
            |snapshot| {
                let mut find = snapshot.prepare("SELECT name FROM spaces ORDER BY name")?;
                let names = find.query_map([], |row| {
                    SpaceName::new(row.get::<_, String>(0)?).map_err(|error| columns::wrong_text(0, error))
                })?;
                names.collect::<rusqlite::Result<Vec<_>>>()
            },
            &mut |stage, bytes, of| report(Copied { stage, file: HUB_FILE, bytes, of }),
        );
        let (bytes, spaces) = copied.map_err(|error| match error {
            StoreError::Damaged { place, cause } => {
                no_backup(place, format!("the hub's own file is damaged ({cause})"))
            }
            other => other,
        })?;
        let hub = SavedFile { bytes, sha256: digest(&part.join(HUB_FILE))? };
        Ok((Saver { data, part, hub, saved: Vec::with_capacity(spaces.len()), left_out: Vec::new() }, spaces))
    }

    /// Copies a space. Returns the name of its file; `None`: it is damaged or gone, and left out.
    pub fn space(
        &mut self,
        space: SpaceName,
        report: &mut dyn FnMut(Copied<'_>),
    ) -> Result<Option<String>, StoreError> {
        let name = space_path(&space);
        let (from, to) = (self.data.join(&name), self.part.join(&name));
        let mut tell = |stage, bytes, of| report(Copied { stage, file: &name, bytes, of });
        let copied = super::home::look_for(&from)
            .and_then(|()| copy((&from, &to), Content::Space, |snapshot| columns::head(snapshot), &mut tell));
        match copied {
            Ok((bytes, head)) => {
                self.saved.push(SavedSpace {
                    space,
                    epoch: head.epoch,
                    lsn: head.lsn,
                    last_change: head.last_change,
                    horizon: head.horizon,
                    file: SavedFile { bytes, sha256: digest(&to)? },
                });
                Ok(Some(name))
            }
            Err(StoreError::Damaged { place, cause }) => self.leave_out(space, format!("{place} is damaged ({cause})")),
            Err(StoreError::Missing { path }) => self.leave_out(space, format!("{path} is missing")),
            Err(error) => Err(error),
        }
    }

    fn leave_out(&mut self, space: SpaceName, reason: String) -> Result<Option<String>, StoreError> {
        let half = self.part.join(space_path(&space));
        match fs::remove_file(&half) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(at(&half, "clearing away a half copy")(error));
            }
            Ok(()) | Err(_) => {}
        }
        self.left_out.push(LeftOut { space, reason });
        Ok(None)
    }

    /// What was copied.
    ///
    /// # Errors
    /// It is nothing that anybody would bring back: there are spaces, and none could be copied.
    pub fn manifest(self) -> Result<Manifest, StoreError> {
        if let (true, Some(first)) = (self.saved.is_empty(), self.left_out.first()) {
            let what = format!("no space can be saved: of `{}`, {}", first.space, first.reason);
            return Err(no_backup(self.data.display().to_string(), what));
        }
        Ok(Manifest {
            format: FORMAT,
            syncline: env!("CARGO_PKG_VERSION").into(),
            made_at: clock::now().iso(),
            schemas: Schemas::known(),
            hub: self.hub,
            spaces: self.saved,
            left_out: self.left_out,
        })
    }
}

fn no_backup(place: String, what: String) -> StoreError {
    let reason = format!(
        "{what}, so this is no backup. Keep the backups that there are; `syncline doctor` looks at every file; stop the hub, \
         keep a copy of its data, and bring the newest good backup back (`syncline restore`)"
    );
    StoreError::Backup { place, reason }
}

/// Where a space's file stands in a backup, as in a data directory.
pub(super) fn space_path(space: &SpaceName) -> String {
    format!("spaces/{}", file_name(space))
}

/// Hears how far a file is.
type Tell<'a> = dyn FnMut(Stage, u64, u64) + 'a;

/// Copies one file from one snapshot of it, reads from the same, and looks whether the copy is sound; its size and what
/// was read.
fn copy<T>(
    (from, to): (&Path, &Path),
    content: Content,
    read: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    tell: &mut Tell<'_>,
) -> Result<(u64, T), StoreError> {
    let action = "copying a data file";
    let damaged = |cause: String| StoreError::Damaged { place: from.display().to_string(), cause };
    let failed = |error: rusqlite::Error| {
        let error = StoreError::engine(action)(error);
        sound::damage_in(&error).map_or_else(|| error.of_file(from), damaged)
    };
    let source = schema::open_to_read(from)?;
    let version = schema::version_of(&source).map_err(|error| match sound::damage_in(&error) {
        Some(cause) => damaged(cause),
        None => error.of_file(from),
    })?;
    let known = schema::newest_version(content.schema());
    if version > known {
        return Err(StoreError::NewerSchema { place: from.display().to_string(), found: version, known });
    }
    // The copy below reads in this transaction too, so commits meanwhile neither mix in nor make it begin anew.
    let snapshot = source.unchecked_transaction().map_err(failed)?;
    let found = read(&snapshot).map_err(failed)?;
    let mut target = Connection::open(to).map_err(failed)?;
    copy_pages(&snapshot, &mut target, &mut |bytes, of| tell(Stage::Copying, bytes, of)).map_err(failed)?;
    target.close().map_err(|(_, error)| failed(error))?;
    drop(snapshot);
    sync(to)?;
    let bytes = fs::metadata(to).map_err(StoreError::engine(action)).map_err(|error| error.of_file(to))?.len();
    match sound::damage(to, content, &mut |looked| tell(Stage::Checking, looked.min(bytes), bytes))? {
        Some(cause) => Err(damaged(cause)),
        None => Ok((bytes, found)),
    }
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
