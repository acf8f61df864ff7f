//! What is known of each collection, read once and kept until it changes.

use crate::error::{Error, Result};
use crate::index::{self, IndexDef};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;
use std::sync::Arc;
use syncline_core::model::{CollectionName, Cursor, Epoch, Lsn, Strategy, View};

/// One collection of the file.
#[derive(Debug)]
pub(crate) struct Named {
    /// Its number in the file.
    pub cid: i64,
    /// Its name.
    pub name: CollectionName,
    /// Whether its edits are recorded for a hub.
    pub syncable: bool,
    /// How concurrent edits are decided where the hub does not say.
    pub strategy: Strategy,
    /// The history of its last contact with a hub; empty before the first.
    pub epoch: Epoch,
    /// Up to where the hub's log has been read; `None`: a snapshot is needed.
    pub lsn: Option<Lsn>,
    /// Which rows the token saw when the collection was loaded, or its snapshot begun; `None`: all.
    pub view: Option<View>,
    /// The snapshot that was begun and not finished.
    pub snapshot: Option<i64>,
    /// Marks the documents that the snapshot has brought.
    pub generation: i64,
    /// Its indexes.
    pub indexes: Vec<IndexDef>,
}

impl Named {
    /// How far it has got.
    pub(crate) fn cursor(&self) -> Option<Cursor> {
        self.lsn.map(|lsn| Cursor { epoch: self.epoch.clone(), lsn })
    }

    /// What a new document of the app is based on: the log read so far did not hold it.
    pub(crate) fn read_up_to(&self) -> Lsn {
        self.lsn.unwrap_or_default()
    }
}

/// The collections in memory. Must be told when a row changes.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: HashMap<CollectionName, Arc<Named>>,
}

impl Names {
    /// The collection, if it exists.
    pub(crate) fn find(&mut self, conn: &Connection, name: &CollectionName) -> Result<Option<Arc<Named>>> {
        if let Some(known) = self.known.get(name) {
            return Ok(Some(known.clone()));
        }
        let found = load(conn, name)?.map(Arc::new);
        if let Some(named) = &found {
            self.known.insert(name.clone(), named.clone());
        }
        Ok(found)
    }

    /// The collection, made when it does not exist.
    pub(crate) fn make(&mut self, conn: &Connection, name: &CollectionName) -> Result<Arc<Named>> {
        if let Some(found) = self.find(conn, name)? {
            return Ok(found);
        }
        conn.prepare_cached("INSERT INTO collections(name) VALUES (?1)")?.execute([name.as_str()])?;
        let made = self.find(conn, name)?;
        made.ok_or_else(|| Error::Damaged(format!("collection `{name}` was created and is not there")))
    }

    /// Reads this collection again when it is next asked for.
    pub(crate) fn forget(&mut self, name: &CollectionName) {
        self.known.remove(name);
    }

    /// Reads all again.
    pub(crate) fn forget_all(&mut self) {
        self.known.clear();
    }
}

fn load(conn: &Connection, name: &CollectionName) -> Result<Option<Named>> {
    let mut statement = conn.prepare_cached(
        "SELECT cid, syncable, strategy, epoch, lsn, snapshot, generation, view FROM collections WHERE name = ?1",
    )?;
    let row = statement.query_row(params![name.as_str()], |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, bool>(1)?,
            row.get::<_, String>(2)?,
            row.get::<_, String>(3)?,
            row.get::<_, Option<u64>>(4)?,
            row.get::<_, Option<i64>>(5)?,
            row.get::<_, i64>(6)?,
            row.get::<_, Option<String>>(7)?,
        ))
    });
    let Some((cid, syncable, strategy, epoch, lsn, snapshot, generation, view)) = row.optional()? else {
        return Ok(None);
    };
    let strategy = Strategy::parse(&strategy)
        .ok_or_else(|| Error::Damaged(format!("collection `{name}` has the unknown strategy `{strategy}`")))?;
    let (name, epoch, lsn) = (name.clone(), Epoch::new(epoch)?, lsn.map(Lsn));
    let view = view.map(View::new).transpose()?;
    let indexes = index::list(conn, cid)?;
    Ok(Some(Named { cid, name, syncable, strategy, epoch, lsn, view, snapshot, generation, indexes }))
}
