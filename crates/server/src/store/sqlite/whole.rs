//! Data directories as a whole, for those who take them elsewhere or bring them: one that no hub uses, and one that
//! is being made.

use super::building::{Building, sync};
use super::home::{HUB_FILE, file_name};
use super::lock::DirLock;
use super::manifest::refuse_backup;
use super::{SqliteStore, schema};
use crate::store::StoreError;
use rusqlite::Connection;
use std::fs;
use std::path::{Path, PathBuf};
use syncline_core::model::SpaceName;

/// SQLite's cache while files are written from front to back.
const CACHE_BYTES: u64 = 16 << 20;

/// A directory that no hub uses.
pub(in crate::store) struct Directory {
    dir: PathBuf,
    _lock: DirLock,
}

/// A space and its file.
pub(in crate::store) struct SpacePlace {
    pub name: String,
    pub file: PathBuf,
}

impl Directory {
    /// Takes it for this process.
    pub fn take(dir: &Path) -> Result<Directory, StoreError> {
        refuse_backup(dir)?;
        if !SqliteStore::is_in(dir) {
            let reason = "there is no hub data in it; name the hub's directory".to_owned();
            return Err(StoreError::Backup { place: dir.display().to_string(), reason });
        }
        Ok(Directory { dir: dir.to_owned(), _lock: DirLock::take(dir)? })
    }

    /// The hub's own file.
    pub fn hub(&self) -> Result<Connection, StoreError> {
        schema::open_to_write(&self.dir.join(HUB_FILE), schema::HUB, CACHE_BYTES)
    }

    /// A space's file, brought to the newest schema.
    pub fn open(&self, file: &Path) -> Result<Connection, StoreError> {
        if !file.exists() {
            return Err(StoreError::Missing { path: file.display().to_string() });
        }
        schema::open_to_write(file, schema::SPACE, CACHE_BYTES)
    }

    /// The spaces by name.
    pub fn spaces(&self) -> Result<Vec<SpacePlace>, StoreError> {
        let action = "reading the list of spaces";
        let hub = self.hub()?;
        let mut find = hub.prepare("SELECT name FROM spaces ORDER BY name").map_err(StoreError::engine(action))?;
        let names = find.query_map([], |row| row.get::<_, String>(0)).map_err(StoreError::engine(action))?;
        let place = |name: rusqlite::Result<String>| {
            let name = name.map_err(StoreError::engine(action))?;
            Ok(SpacePlace { file: space_file(&self.dir, &name)?, name })
        };
        names.map(place).collect()
    }
}

fn space_file(dir: &Path, name: &str) -> Result<PathBuf, StoreError> {
    let space = SpaceName::new(name).map_err(StoreError::engine("reading the name of a space"))?;
    Ok(dir.join("spaces").join(file_name(&space)))
}

/// A directory that is being made.
pub(in crate::store) struct NewDirectory(Building);

/// A file in it.
pub(in crate::store) struct NewFile {
    pub conn: Connection,
    path: PathBuf,
}

impl NewDirectory {
    /// Makes room for it.
    pub fn begin(dir: &Path) -> Result<NewDirectory, StoreError> {
        let building = Building::begin(dir)?;
        fs::create_dir(building.part().join("spaces")).map_err(building.failed("making a directory"))?;
        Ok(NewDirectory(building))
    }

    /// The hub's own file.
    pub fn hub(&self) -> Result<NewFile, StoreError> {
        NewFile::open(self.0.part().join(HUB_FILE), schema::HUB)
    }

    /// A space's file.
    pub fn space(&self, name: &str) -> Result<NewFile, StoreError> {
        NewFile::open(space_file(self.0.part(), name)?, schema::SPACE)
    }

    /// What went wrong while something was written here.
    pub fn blamed(&self, error: StoreError) -> StoreError {
        self.0.blamed(error.of_file(self.0.part()))
    }

    /// Gives it its name. All files must be closed.
    pub fn finish(self) -> Result<(), StoreError> {
        self.0.finish()
    }
}

impl NewFile {
    fn open(path: PathBuf, steps: &[&str]) -> Result<NewFile, StoreError> {
        let conn = schema::open_to_write(&path, steps, CACHE_BYTES)?;
        // It counts as a whole, when it has its name.
        conn.pragma_update(None, "synchronous", "OFF").map_err(StoreError::engine("making a data file"))?;
        conn.pragma_update(None, "wal_autocheckpoint", 1_000).map_err(StoreError::engine("making a data file"))?;
        Ok(NewFile { conn, path })
    }

    /// Leaves one file on disk, without a log beside it.
    pub fn close(self) -> Result<(), StoreError> {
        let closed = self.conn.close().map_err(|(_, error)| error);
        closed.map_err(StoreError::engine("closing a data file")).map_err(|error| error.of_file(&self.path))?;
        sync(&self.path)
    }
}
