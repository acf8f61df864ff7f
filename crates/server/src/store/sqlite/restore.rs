//! A data directory from a backup. Checks every file before anything gets the directory's name. Each space begins a new
//! history: whoever has read on after the backup would else take other changes for those that it knows.

use super::backup::{Copied, Stage, space_path};
use super::building::{Building, at, sync};
use super::exchange::{registered, write_traffic};
use super::home::HUB_FILE;
use super::known::Known;
use super::manifest::{Manifest, SavedFile, SavedSpace, digest};
use super::sound::{self, Content};
use super::{columns, schema};
use crate::store::StoreError;
use rusqlite::{Connection, params};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

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
    let mut saved: Vec<&str> = manifest.spaces.iter().map(|saved| saved.space.as_str()).collect();
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
