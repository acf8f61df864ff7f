//! Changes of a collection as a whole: its indexes, and whether its edits are recorded for a hub.

use crate::error::Result;
use crate::index::{self, Created, IndexDef};
use crate::outbox;
use crate::store::{Named, Unit, rows};
use rusqlite::params;
use serde_json::Value;
use syncline_core::model::CollectionName;

/// Creates an index and its entries. A unique one is refused when two documents share a value.
pub(crate) fn create_index(
    unit: &mut Unit<'_>,
    collection: &CollectionName,
    name: Option<&str>,
    (path, unique): (&str, bool),
) -> Result<IndexDef> {
    let named = unit.make(collection)?;
    let def = match index::create(unit.conn, named.cid, name.unwrap_or(path), path, unique)? {
        Created::Existing(def) => return Ok(def),
        Created::New(def) => def,
    };
    unit.renamed(collection);
    let named = unit.make(collection)?;
    let defs = std::slice::from_ref(&def);
    let mut statement = unit.conn.prepare("SELECT doc, body FROM docs WHERE cid = ?1 AND body IS NOT NULL")?;
    let mut found = statement.query([named.cid])?;
    while let Some(row) = found.next()? {
        let (doc, text): (i64, String) = (row.get(0)?, row.get(1)?);
        if let Some(taken) = unit.not_unique(&only(&named, &def), Some(doc), &text)? {
            return Err(taken.into_error(collection));
        }
        let value: Value = crate::text::read(&text)?;
        index::write(unit.conn, defs, doc, None, Some(&value))?;
    }
    Ok(def)
}

/// The collection with this index alone.
fn only(named: &Named, def: &IndexDef) -> Named {
    Named {
        cid: named.cid,
        name: named.name.clone(),
        syncable: named.syncable,
        strategy: named.strategy,
        epoch: named.epoch.clone(),
        lsn: named.lsn,
        view: named.view.clone(),
        snapshot: named.snapshot,
        generation: named.generation,
        indexes: vec![def.clone()],
    }
}

/// Drops an index; `false`: there is none of this name.
pub(crate) fn drop_index(unit: &mut Unit<'_>, collection: &CollectionName, name: &str) -> Result<bool> {
    let Some(named) = unit.find(collection)? else { return Ok(false) };
    unit.renamed(collection);
    Ok(index::drop(unit.conn, named.cid, name)?)
}

/// From now on edits of the collection are recorded; what it holds already is recorded as inserts.
pub(crate) fn enqueue_all(unit: &mut Unit<'_>, collection: &CollectionName) -> Result<()> {
    let named = unit.make(collection)?;
    if named.syncable {
        return Ok(());
    }
    unit.conn.execute("UPDATE collections SET syncable = 1 WHERE cid = ?1", [named.cid])?;
    unit.renamed(collection);
    let named = unit.make(collection)?;
    let docs: Vec<i64> = {
        let sql = "SELECT doc FROM docs WHERE cid = ?1 AND lsn = 0 AND op IS NULL AND body IS NOT NULL ORDER BY doc";
        let mut statement = unit.conn.prepare(sql)?;
        statement.query_map([named.cid], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
    };
    for doc in docs {
        let Some(row) = rows::by_doc(unit.conn, doc)?.filter(|row| row.is_visible(unit.now)) else { continue };
        let seq = unit.next_seq();
        outbox::append_insert(unit, &named, (seq, row.doc), None)?;
        unit.conn
            .prepare_cached("UPDATE docs SET op = ?2 WHERE doc = ?1")?
            .execute(params![row.doc, outbox::number(seq)])?;
    }
    unit.wrote(&named);
    Ok(())
}
