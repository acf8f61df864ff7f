//! A look at the files of a data directory, whether a hub runs on it or not: whether they can be read, are whole, and
//! have all that they name. Changes nothing, and reads every page.

use super::columns::nat;
use super::home::{HUB_FILE, file_name, look_for};
use super::manifest::is_backup;
use super::schema;
use super::sound::{self, Content};
use crate::store::StoreError;
use rusqlite::{Connection, OptionalExtension};
use std::fs;
use std::path::{Path, PathBuf};
use syncline_core::model::Millis;

/// A file of a data directory.
#[derive(Debug)]
pub struct Examined {
    /// Where it is.
    pub path: PathBuf,
    /// Its size with its log, in bytes.
    pub bytes: u64,
    /// When its newest change was made by the hub's clock (0: it has none), or what is wrong with it.
    pub found: Result<Millis, StoreError>,
}

/// Looks at every file of a data directory, or of a backup, which then stays as it is. Blocks for as long as it takes to
/// read them.
///
/// # Errors
/// The list of spaces cannot be read.
pub fn examine(data: &Path) -> Result<Vec<Examined>, StoreError> {
    let (hub, still) = (data.join(HUB_FILE), is_backup(data));
    look_for(&hub)?;
    let conn = open(&hub, Content::Hub, still)?;
    let names = || -> rusqlite::Result<Vec<String>> {
        conn.prepare("SELECT name FROM spaces ORDER BY name")?.query_map([], |row| row.get(0))?.collect()
    };
    let names =
        names().map_err(StoreError::engine("reading the list of spaces")).map_err(|error| named(error, &hub))?;
    let mut examined = vec![file(hub, |path| whole(&conn, Content::Hub, path).map(|()| Millis(0)))];
    for name in names {
        let space =
            syncline_core::model::SpaceName::new(&name).map_err(StoreError::engine("reading a space's name"))?;
        examined.push(file(data.join("spaces").join(file_name(&space)), |path| look(path, still)));
    }
    Ok(examined)
}

/// Looks at the hub's own file, which a hub may have open. Blocks.
pub(super) fn hub_file(path: &Path) -> Result<(), StoreError> {
    look_for(path)?;
    whole(&open(path, Content::Hub, false)?, Content::Hub, path)
}

fn file(path: PathBuf, look: impl FnOnce(&Path) -> Result<Millis, StoreError>) -> Examined {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    let found = look(&path);
    Examined { bytes: bytes(&path) + bytes(Path::new(&log)), path, found }
}

fn look(path: &Path, still: bool) -> Result<Millis, StoreError> {
    look_for(path)?;
    let conn = open(path, Content::Space, still)?;
    whole(&conn, Content::Space, path)?;
    let newest = conn.query_row("SELECT at FROM log ORDER BY lsn DESC LIMIT 1", [], |row| row.get(0)).optional();
    Ok(Millis(nat(newest
        .map_err(StoreError::engine("reading a log"))
        .map_err(|error| named(error, path))?
        .unwrap_or(0))))
}

fn open(path: &Path, content: Content, still: bool) -> Result<Connection, StoreError> {
    let conn = if still { schema::open_still(path)? } else { schema::open_to_read(path)? };
    let found = schema::version_of(&conn).map_err(|error| named(error, path))?;
    let known = schema::newest_version(content.schema());
    if found > known {
        return Err(StoreError::NewerSchema { place: path.display().to_string(), found, known });
    }
    Ok(conn)
}

fn whole(conn: &Connection, content: Content, path: &Path) -> Result<(), StoreError> {
    match sound::damage_by(conn, content).map_err(|error| error.of_file(path))? {
        Some(cause) => Err(StoreError::Damaged { place: path.display().to_string(), cause }),
        None => Ok(()),
    }
}

fn named(error: StoreError, path: &Path) -> StoreError {
    match sound::damage_in(&error) {
        Some(cause) => StoreError::Damaged { place: path.display().to_string(), cause },
        None => error.of_file(path),
    }
}
