//! A data directory from a backup. Checks every file before anything gets the directory's name. Each space begins a new
//! history: whoever has read on after the backup would else take other changes for those that it knows.

use super::backup::{Copied, Stage, space_path};
use super::building::{Building, at, sync};
use super::exchange::{registered, write_traffic};
use super::home::{HUB_FILE, look_for};
use super::known::Known;
use super::lock::DirLock;
use super::manifest::{Manifest, SavedFile, SavedSpace, digest, refuse_backup};
use super::registry::Registry;
use super::sound::{self, Content};
use super::{columns, schema};
use crate::store::StoreError;
use rusqlite::{Connection, params};
use serde::Serialize;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use syncline_core::model::SpaceName;

/// Where a space is made ready, below the data directory.
const INCOMING: &str = "incoming";

/// SQLite's cache while a file is looked over.
const CACHE_BYTES: u64 = 4 << 20;

/// Rows that the ledger may have got between a backup and its restoration. Devices know up to which number they were told;
/// new rows under numbers that were told already would never reach them.
const LEDGER_GAP: i64 = 1_000_000;

/// Makes a data directory of a backup; the hub that is started on it goes on from there. Blocks.
///
/// # Errors
/// The backup is cut, changed or newer than this program, or there is something in the directory.
pub fn restore(backup: &Path, data: &Path, report: &mut dyn FnMut(Copied<'_>)) -> Result<Manifest, StoreError> {
    let manifest = Manifest::read(backup)?;
    let building = Building::begin(data)?;
    fs::create_dir(building.part().join("spaces")).map_err(building.failed("making a directory"))?;
    bring_all(backup, building.part(), &manifest, report).map_err(|error| building.blamed(error))?;
    building.finish()?;
    Ok(manifest)
}

/// Puts one space of a backup into the data of a hub that does not run, in the place of the one that is there, which is moved
/// aside and never deleted. Tokens, rules and the other spaces stay as they are. Blocks.
///
/// # Errors
/// As [`restore`]; the backup does not have the space; a hub runs on the data.
pub fn restore_space(
    backup: &Path,
    data: &Path,
    space: &SpaceName,
    report: &mut dyn FnMut(Copied<'_>),
) -> Result<Replaced, StoreError> {
    let manifest = Manifest::read(backup)?;
    let refuse = |reason: String| StoreError::Backup { place: backup.display().to_string(), reason };
    let saved = manifest.spaces.iter().find(|saved| saved.space == *space).ok_or_else(|| {
        match manifest.left_out.iter().find(|left| left.space == *space) {
            Some(left) => refuse(format!("space `{space}` is not in it: {}; take an earlier backup", left.reason)),
            None => {
                let names: Vec<String> = manifest.spaces.iter().map(|saved| format!("`{}`", saved.space)).collect();
                refuse(format!("there is no space `{space}` in it; it has {}", names.join(", ")))
            }
        }
    })?;
    refuse_backup(data)?;
    look_for(&data.join(HUB_FILE))?;
    let _lock = DirLock::take(data)?;
    clear(data)?;
    let (part, name) = (data.join(INCOMING), space_path(space));
    fs::create_dir_all(part.join("spaces")).map_err(at(&part, "making a directory"))?;
    bring(backup, &part, (&name, Content::Space), &saved.file, report)?;
    begin_history(&part.join(&name), saved, &backup.join(&name))?;
    let file = data.join(&name);
    let aside = move_aside(&file)?;
    fs::rename(part.join(&name), &file).map_err(at(&file, "putting the space in its place"))?;
    fs::File::open(data.join("spaces")).and_then(|dir| dir.sync_all()).map_err(at(&file, "writing a directory"))?;
    Registry::open(&data.join(HUB_FILE))?.add(space)?;
    clear(data)?;
    Ok(Replaced { space: saved.clone(), made_at: manifest.made_at, aside })
}

/// A space that was brought back by itself.
#[derive(Clone, Debug, Serialize)]
pub struct Replaced {
    /// It, and where it stood when the backup was made.
    #[serde(flatten)]
    pub space: SavedSpace,
    /// When the backup was complete (ISO 8601).
    pub made_at: String,
    /// Where the file is that stood in its place.
    pub aside: Option<PathBuf>,
}

/// Takes away what a restoration that was killed has left.
pub(super) fn clear(data: &Path) -> Result<(), StoreError> {
    let part = data.join(INCOMING);
    match fs::remove_dir_all(&part) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(at(&part, "clearing away a restoration")(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Gives a space's file, and the log beside it, a name that no space has.
fn move_aside(file: &Path) -> Result<Option<PathBuf>, StoreError> {
    if !file.exists() {
        return Ok(None);
    }
    let named = |path: &Path, end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let free = (1..).map(|n| named(file, &format!(".replaced-{n}"))).find(|path| !path.exists());
    let aside = free.expect("some number is free");
    // The log first: without it the file is an older one, and with another's it would be nothing.
    for end in ["-wal", ""] {
        match fs::rename(named(file, end), named(&aside, end)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            moved => moved.map_err(at(file, "moving a space's file aside"))?,
        }
    }
    // What readers share of the log; SQLite makes it anew.
    let _removed = fs::remove_file(named(file, "-shm"));
    Ok(Some(aside))
}

fn bring_all(
    backup: &Path,
    part: &Path,
    manifest: &Manifest,
    report: &mut dyn FnMut(Copied<'_>),
) -> Result<(), StoreError> {
    bring(backup, part, (HUB_FILE, Content::Hub), &manifest.hub, report)?;
    check_spaces(&part.join(HUB_FILE), manifest, backup)?;
    manifest.spaces.iter().try_for_each(|saved| {
        let name = space_path(&saved.space);
        bring(backup, part, (&name, Content::Space), &saved.file, report)?;
        begin_history(&part.join(&name), saved, &backup.join(&name))
    })
}

/// Copies a file that is what the manifest says, and sound.
fn bring(
    backup: &Path,
    part: &Path,
    (name, content): (&str, Content),
    saved: &SavedFile,
    report: &mut dyn FnMut(Copied<'_>),
) -> Result<(), StoreError> {
    let (from, to) = (backup.join(name), part.join(name));
    report(Copied { stage: Stage::Copying, file: name, bytes: 0, of: saved.bytes });
    let bytes = fs::copy(&from, &to).map_err(|error| match error.kind() {
        ErrorKind::StorageFull => at(&to, "copying a file of the backup")(error),
        ErrorKind::NotFound => {
            let reason = "the manifest names it and it is not there: files were taken away; take another backup";
            StoreError::Backup { place: from.display().to_string(), reason: reason.into() }
        }
        _ => at(&from, "copying a file of the backup")(error),
    })?;
    if bytes != saved.bytes {
        let reason =
            format!("it has {bytes} bytes and the manifest says {}: it is cut; take another backup", saved.bytes);
        return Err(StoreError::Backup { place: from.display().to_string(), reason });
    }
    // Of the copy: it is what will be used.
    if digest(&to)? != saved.sha256 {
        return Err(changed(&from, "its SHA-256 is not the manifest's"));
    }
    report(Copied { stage: Stage::Copying, file: name, bytes, of: saved.bytes });
    let mut tell =
        |looked: u64| report(Copied { stage: Stage::Checking, file: name, bytes: looked.min(bytes), of: bytes });
    match sound::damage(&to, content, &mut tell)? {
        Some(cause) => {
            let reason = format!("it was damaged already when the backup was made ({cause}); take an earlier backup");
            Err(StoreError::Backup { place: from.display().to_string(), reason })
        }
        None => Ok(()),
    }
}

fn changed(file: &Path, how: &str) -> StoreError {
    let reason = format!("{how}: it or the manifest was changed; take another backup");
    StoreError::Backup { place: file.display().to_string(), reason }
}

/// The hub's file and the manifest name the same spaces.
fn check_spaces(hub: &Path, manifest: &Manifest, backup: &Path) -> Result<(), StoreError> {
    let conn = schema::open_to_write(hub, schema::HUB, CACHE_BYTES)?;
    let names = || -> rusqlite::Result<Vec<String>> {
        conn.prepare("SELECT name FROM spaces ORDER BY name")?.query_map([], |row| row.get(0))?.collect()
    };
    let listed =
        names().map_err(StoreError::engine("reading the list of spaces")).map_err(|error| error.of_file(hub))?;
    let left_out = manifest.left_out.iter().map(|left| left.space.as_str());
    let mut saved: Vec<&str> = manifest.spaces.iter().map(|saved| saved.space.as_str()).chain(left_out).collect();
    saved.sort_unstable();
    if listed != saved {
        return Err(changed(&backup.join(HUB_FILE), "it lists other spaces than the manifest"));
    }
    close(conn, hub)
}

/// Another epoch tells own clients, and places that are forgotten tell other readers, to start from what stands.
fn begin_history(file: &Path, saved: &SavedSpace, from: &Path) -> Result<(), StoreError> {
    let conn = schema::open_to_write(file, schema::SPACE, CACHE_BYTES)?;
    let action = "giving a space a new epoch";
    let head = columns::head(&conn).map_err(StoreError::engine(action)).map_err(|error| error.of_file(file))?;
    if (&head.epoch, head.lsn) != (&saved.epoch, saved.lsn) {
        return Err(changed(from, "it stands elsewhere than the manifest says"));
    }
    let begin = || -> rusqlite::Result<()> {
        let transaction = conn.unchecked_transaction()?;
        transaction.execute("UPDATE state SET epoch = ?1", params![uuid::Uuid::new_v4().to_string()])?;
        transaction.execute("UPDATE authors SET cursor = 0", [])?;
        if transaction.execute("UPDATE sqlite_sequence SET seq = seq + ?1 WHERE name = 'ledger'", [LEDGER_GAP])? == 0 {
            transaction.execute("INSERT INTO sqlite_sequence VALUES ('ledger', ?1)", [LEDGER_GAP])?;
        }
        let mut known = Known::read(&transaction)?;
        for (node, mut traffic) in registered(&transaction, None)? {
            traffic.fill_again(head.lsn);
            write_traffic(&transaction, &mut known, &node.id, &traffic)?;
        }
        transaction.commit()
    };
    begin().map_err(StoreError::engine(action)).map_err(|error| error.of_file(file))?;
    close(conn, file)
}

/// Leaves one file, without a log beside it.
fn close(conn: Connection, file: &Path) -> Result<(), StoreError> {
    let closed = conn.close().map_err(|(_, error)| error);
    closed.map_err(StoreError::engine("closing a data file")).map_err(|error| error.of_file(file))?;
    sync(file)
}
