//! A look at the files of a data directory, whether a hub runs on it or not: whether they can be read, are whole, and
//! have all that they name. Changes nothing, and reads every page.

use super::columns::nat;
use super::home::{file_name, look_for};
use super::manifest::HUB_FILE;
use super::schema;
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

/// Looks at every file of a data directory. Blocks for as long as it takes to read them.
///
/// # Errors
/// The list of spaces cannot be read.
pub fn examine(data: &Path) -> Result<Vec<Examined>, StoreError> {
    let hub = data.join(HUB_FILE);
    look_for(&hub)?;
    let conn = open(&hub, schema::HUB)?;
    let names = || -> rusqlite::Result<Vec<String>> {
        conn.prepare("SELECT name FROM spaces ORDER BY name")?.query_map([], |row| row.get(0))?.collect()
    };
    let names =
        names().map_err(StoreError::engine("reading the list of spaces")).map_err(|error| error.of_file(&hub))?;
    let mut examined = vec![file(hub, |path| whole(&conn, path).map(|()| Millis(0)))];
    for name in names {
        let space =
            syncline_core::model::SpaceName::new(&name).map_err(StoreError::engine("reading a space's name"))?;
        examined.push(file(data.join("spaces").join(file_name(&space)), look));
    }
    Ok(examined)
}

fn file(path: PathBuf, look: impl FnOnce(&Path) -> Result<Millis, StoreError>) -> Examined {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    let found = look(&path);
    Examined { bytes: bytes(&path) + bytes(Path::new(&log)), path, found }
}

fn look(path: &Path) -> Result<Millis, StoreError> {
    look_for(path)?;
    let conn = open(path, schema::SPACE)?;
    whole(&conn, path)?;
    complete(&conn, path)?;
    let newest = conn.query_row("SELECT at FROM log ORDER BY lsn DESC LIMIT 1", [], |row| row.get(0)).optional();
    Ok(Millis(nat(newest
        .map_err(StoreError::engine("reading a log"))
        .map_err(|error| error.of_file(path))?
        .unwrap_or(0))))
}

fn open(path: &Path, steps: &[&str]) -> Result<Connection, StoreError> {
    let conn = schema::open_to_read(path)?;
    let (found, known) =
        (schema::version_of(&conn).map_err(|error| error.of_file(path))?, schema::newest_version(steps));
    if found > known {
        return Err(StoreError::NewerSchema { place: path.display().to_string(), found, known });
    }
    Ok(conn)
}

/// SQLite's own look at every page.
fn whole(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let action = "looking at every page";
    let said: Result<String, _> = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    match said.map_err(StoreError::engine(action)).map_err(|error| error.of_file(path))? {
        fine if fine == "ok" => Ok(()),
        damage => Err(StoreError::engine(action)(damage).of_file(path)),
    }
}

/// Every document has its text, and the log ends where the space says.
fn complete(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let action = "looking whether it is complete";
    let count = |sql: &str| -> Result<i64, StoreError> {
        conn.query_row(sql, [], |row| row.get(0))
            .map_err(StoreError::engine(action))
            .map_err(|error| error.of_file(path))
    };
    let lost = count("SELECT count(*) FROM heads h LEFT JOIN log l ON l.lsn = h.lsn WHERE l.lsn IS NULL")?;
    let beyond = count("SELECT count(*) FROM log WHERE lsn > (SELECT lsn FROM state)")?;
    match (lost, beyond) {
        (0, 0) => Ok(()),
        (0, n) => Err(StoreError::engine(action)(format!("{n} changes lie behind the end of its log")).of_file(path)),
        (n, _) => Err(StoreError::engine(action)(format!("{n} documents have no text")).of_file(path)),
    }
}
