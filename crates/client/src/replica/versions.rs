//! What the database takes for the hub's versions, for those who hold them against the hub. Edits that wait are not in it.

use super::Replica;
use crate::error::Result;
use crate::store::rows;
use rusqlite::params;
use std::collections::BTreeSet;
use syncline_core::model::{CollectionName, DocId, Lsn, Millis};

impl Replica {
    /// The hub's version of a document as it is known here: the change that made it, and its text.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn hub_version(&self, collection: &CollectionName, id: &DocId) -> Result<Option<(Lsn, String)>> {
        self.store.read(|unit| {
            let Some(named) = unit.find(collection)? else { return Ok(None) };
            let Some(row) = rows::by_id(unit.conn, named.cid, id)? else { return Ok(None) };
            Ok(row.version()?.map(|version| (version.lsn, version.body.text().to_owned())))
        })
    }

    /// The ids of all documents of which a version of the hub is known here, but for those that expire until `until`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn hub_ids(&self, collection: &CollectionName, until: Millis) -> Result<BTreeSet<DocId>> {
        self.store.read(|unit| {
            let Some(named) = unit.find(collection)? else { return Ok(BTreeSet::new()) };
            let sql = "SELECT id FROM docs WHERE cid = ?1 AND lsn > 0 AND (expires IS NULL OR expires > ?2)";
            let mut find = unit.conn.prepare_cached(sql)?;
            let ids = find.query_map(params![named.cid, until.0], |row| row.get::<_, String>(0))?;
            ids.map(|id| Ok(DocId::new(id?)?)).collect()
        })
    }
}
