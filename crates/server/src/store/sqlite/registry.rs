//! The hub's own file: which spaces exist, and the administrative records.

use super::columns::record_kind;
use super::schema;
use super::writer::no_room;
use crate::store::rules::RuleBook;
use crate::store::{Record, RecordKind, StoreError};
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use syncline_core::hub::Touch;
use syncline_core::model::{CollectionName, Demands, SpaceName};

/// SQLite's cache for this small file.
const CACHE_BYTES: u64 = 1 << 20;

/// The registry; what pushes ask of it is also in memory.
pub(super) struct Registry {
    state: Mutex<State>,
}

struct State {
    conn: Connection,
    spaces: BTreeSet<SpaceName>,
    rules: RuleBook,
}

impl Registry {
    /// Opens the file; errors name it.
    pub fn open(path: &Path) -> Result<Registry, StoreError> {
        Registry::read(path).map_err(|e| e.of_file(path))
    }

    fn read(path: &Path) -> Result<Registry, StoreError> {
        let conn = schema::open_to_write(path, schema::HUB, CACHE_BYTES)?;
        conn.pragma_update(None, "wal_autocheckpoint", 100).map_err(StoreError::engine("opening the registry"))?;
        let spaces = read_spaces(&conn).map_err(StoreError::engine("reading the list of spaces"))?;
        let rules = read_records(&conn, RecordKind::Collection).map_err(StoreError::engine("reading records"))?;
        let rules = RuleBook::of(rules);
        Ok(Registry { state: Mutex::new(State { conn, spaces, rules }) })
    }

    pub fn spaces(&self) -> Vec<SpaceName> {
        self.lock().spaces.iter().cloned().collect()
    }

    pub fn has(&self, space: &SpaceName) -> bool {
        self.lock().spaces.contains(space)
    }

    /// Adds a space whose file exists.
    pub fn add(&self, space: &SpaceName) -> Result<(), StoreError> {
        let mut state = self.lock();
        if !state.spaces.contains(space) {
            let sql = "INSERT INTO spaces VALUES (?1) ON CONFLICT DO NOTHING";
            state.conn.execute(sql, [space.as_str()]).map_err(unwritten("listing a space"))?;
            state.spaces.insert(space.clone());
        }
        Ok(())
    }

    /// The rules that the hub sets for the touched collections.
    pub fn rules(&self, space: &SpaceName, touch: &Touch) -> BTreeMap<CollectionName, Arc<Demands>> {
        self.lock().rules.touched(space, touch)
    }

    pub fn records(&self, kind: RecordKind) -> Result<Vec<Record>, StoreError> {
        read_records(&self.lock().conn, kind).map_err(StoreError::engine("reading records"))
    }

    pub fn put(&self, kind: RecordKind, key: String, value: Option<&str>) -> Result<(), StoreError> {
        let mut state = self.lock();
        let name = record_kind(kind);
        let done = match value {
            Some(value) => state.conn.execute(
                "INSERT INTO records VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = excluded.value",
                params![name, key, value],
            ),
            None => state.conn.execute("DELETE FROM records WHERE kind = ?1 AND key = ?2", params![name, key]),
        };
        done.map_err(unwritten("writing a record"))?;
        if kind == RecordKind::Collection {
            state.rules.put(key, value);
        }
        Ok(())
    }

    /// Writes a record where there is none; `false`: there is one.
    pub fn put_new(&self, kind: RecordKind, key: &str, value: &str) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let sql = "INSERT INTO records VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        let added = state.conn.execute(sql, params![record_kind(kind), key, value]);
        let added = added.map_err(unwritten("writing a record"))? > 0;
        if added && kind == RecordKind::Collection {
            state.rules.put(key.to_owned(), Some(value));
        }
        Ok(added)
    }

    /// Writes a record over the one that was read; `false`: it does not stand there.
    pub fn put_over(&self, kind: RecordKind, key: &str, before: &str, value: &str) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let sql = "UPDATE records SET value = ?4 WHERE kind = ?1 AND key = ?2 AND value = ?3";
        let replaced = state.conn.execute(sql, params![record_kind(kind), key, before, value]);
        let replaced = replaced.map_err(StoreError::engine("writing a record"))? > 0;
        if replaced && kind == RecordKind::Collection {
            state.rules.put(key.to_owned(), Some(value));
        }
        Ok(replaced)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A full disk is told from a broken one.
fn unwritten(action: &'static str) -> impl FnOnce(rusqlite::Error) -> StoreError {
    move |error| {
        let error = StoreError::engine(action)(error);
        no_room(&error).map_or(error, |cause| StoreError::NoRoom { cause })
    }
}

fn read_spaces(conn: &Connection) -> rusqlite::Result<BTreeSet<SpaceName>> {
    let mut find = conn.prepare("SELECT name FROM spaces")?;
    let names = find
        .query_map([], |row| SpaceName::new(row.get::<_, String>(0)?).map_err(|e| super::columns::wrong_text(0, e)))?;
    names.collect()
}

fn read_records(conn: &Connection, kind: RecordKind) -> rusqlite::Result<Vec<Record>> {
    let mut find = conn.prepare_cached("SELECT key, value FROM records WHERE kind = ?1 ORDER BY key")?;
    let records = find.query_map([record_kind(kind)], |row| Ok(Record { key: row.get(0)?, value: row.get(1)? }))?;
    records.collect()
}
