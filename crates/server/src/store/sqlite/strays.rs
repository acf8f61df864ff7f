//! Files of spaces that no space owns: what is left when the hub's own file was lost or begun anew. They are named, never
//! taken up unasked: whoever starts a hub without its tokens and rules should know.

use super::SqliteStore;
use super::home::{HUB_FILE, file_name};
use super::lock::DirLock;
use super::manifest::{is_backup, refuse_backup};
use super::registry::Registry;
use super::schema;
use crate::store::StoreError;
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use syncline_core::model::SpaceName;

/// The files in `spaces/` of a data directory that belong to no space of its hub, by their names.
///
/// # Errors
/// The directory or the list of spaces cannot be read.
pub fn strays(data: &Path) -> Result<Vec<String>, StoreError> {
    let mut owned = BTreeSet::new();
    if has_hub(data)? {
        let hub = data.join(HUB_FILE);
        let conn = open_hub(data)?;
        let names = || -> rusqlite::Result<Vec<String>> {
            conn.prepare("SELECT name FROM spaces")?.query_map([], |row| row.get(0))?.collect()
        };
        let names = names().map_err(StoreError::engine("reading the list of spaces"));
        let names = names.map_err(|error| error.of_file(&hub))?;
        owned.extend(names.iter().filter_map(|name| SpaceName::new(name).ok()).map(|name| file_name(&name)));
    }
    let action = "looking for files of spaces";
    let spaces = data.join("spaces");
    let entries = match fs::read_dir(&spaces) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        found => found.map_err(StoreError::engine(action)).map_err(|error| error.of_file(&spaces))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StoreError::engine(action)).map_err(|error| error.of_file(&spaces))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".db") && !owned.contains(&name) {
            found.push(name);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Makes spaces of the files that no space owns, and the hub's own file where there is none. Blocks.
///
/// # Errors
/// The directory is in use, or cannot be written; a file whose space's name cannot be told from its own: capitals are
/// not in it.
pub fn adopt(data: &Path) -> Result<Vec<SpaceName>, StoreError> {
    refuse_backup(data)?;
    let found = strays(data)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let adopted = found.iter().map(|file| space_of(data, file)).collect::<Result<Vec<_>, _>>()?;
    let _lock = DirLock::take(data)?;
    let registry = Registry::open(&data.join(HUB_FILE))?;
    for space in &adopted {
        registry.add(space)?;
    }
    Ok(adopted)
}

/// Whether there is the hub's own file, and more than an empty one.
fn has_hub(data: &Path) -> Result<bool, StoreError> {
    if !SqliteStore::is_in(data) {
        return Ok(false);
    }
    Ok(schema::version_of(&open_hub(data)?).map_err(|error| error.of_file(&data.join(HUB_FILE)))? > 0)
}

fn open_hub(data: &Path) -> Result<Connection, StoreError> {
    let hub = data.join(HUB_FILE);
    if is_backup(data) { schema::open_still(&hub) } else { schema::open_to_read(&hub) }
}

fn space_of(data: &Path, file: &str) -> Result<SpaceName, StoreError> {
    let name = file.strip_suffix(".db").and_then(|name| SpaceName::new(name).ok());
    name.filter(|name| file_name(name) == file).ok_or_else(|| {
        let reason = "which space this file was cannot be told from its name; move it away, begin the hub without it, \
                      put it back with the hub stopped, and add a token for the space under its name";
        StoreError::Backup { place: data.join("spaces").join(file).display().to_string(), reason: reason.into() }
    })
}

/// A directory that lost the hub's own file is not begun anew.
pub(super) fn refuse_without_hub(data: &Path) -> Result<(), StoreError> {
    if has_hub(data)? {
        return Ok(());
    }
    let found = strays(data)?;
    if found.is_empty() {
        return Ok(());
    }
    Err(StoreError::NoHubFile { dir: data.display().to_string(), files: found.join(", ") })
}
