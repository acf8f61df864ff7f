//! What the database takes for the hub's versions, for those who hold them against the hub, and putting single ones
//! right. Edits that wait are not in these versions, and stay on top of them.

use super::pull::{self, Source, Stale, Targets};
use super::{Replica, Scope, known, snapshot};
use crate::error::Result;
use crate::store::rows;
use rusqlite::params;
use syncline_core::model::{Body, CollectionName, Cursor, DocId, Lsn, Millis};
use syncline_core::wire::own::PageOp;

/// What the hub has in the place of documents that differ here.
#[derive(Debug, Default)]
pub struct Correction {
    /// Its documents.
    pub stands: Vec<PageOp>,
    /// Documents that it does not have.
    pub gone: Vec<(CollectionName, DocId)>,
}

impl Correction {
    /// How many documents it is about.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stands.len() + self.gone.len()
    }

    /// Whether it is about none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Replica {
    /// The hub's version of a document as it is known here: the change that made it, and its text.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn hub_version(&self, collection: &CollectionName, id: &DocId) -> Result<Option<(Lsn, String)>> {
        self.store.read(|unit| {
            let Some(named) = unit.find(collection)? else { return Ok(None) };
            let Some(row) = rows::by_id(unit.conn, named.cid, id)? else { return Ok(None) };
            Ok(row.hub_text().map(|text| (row.lsn(), text.to_owned())))
        })
    }

    /// Shows every version of the hub that is known here, but for those that expire until `until`: id, LSN and text. One is
    /// in memory at a time.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn each_hub_version(
        &self,
        collection: &CollectionName,
        until: Millis,
        mut show: impl FnMut(&str, Lsn, &str),
    ) -> Result<()> {
        self.store.read(|unit| {
            let Some(named) = unit.find(collection)? else { return Ok(()) };
            let sql =
                "SELECT id, lsn, coalesce(shadow, body), expires, shadow IS NULL FROM docs WHERE cid = ?1 AND lsn > 0";
            let mut find = unit.conn.prepare_cached(sql)?;
            let mut found = find.query([named.cid])?;
            while let Some(row) = found.next()? {
                // A row that has lost its text differs from every other.
                let text = row.get_ref(2)?.as_str_or_null().map_err(rusqlite::Error::from)?.unwrap_or_default();
                let expires = match row.get::<_, bool>(4)? {
                    true => row.get::<_, Option<u64>>(3)?.map(Millis),
                    false => Body::stored(text).ok().and_then(|body| body.facts().expires),
                };
                if expires.is_none_or(|at| at > until) {
                    show(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?, Lsn(row.get(1)?), text);
                }
            }
            Ok(())
        })
    }

    /// Puts documents right that differ from the hub's at a position. Edits that wait are rebased on what stands there.
    /// `false`: the collections do not stand at this position any more, and nothing was changed.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn correct(&self, scope: &Scope, at: &Cursor, correction: &Correction) -> Result<bool> {
        let mut done = false;
        self.edit(|unit, applying| {
            let members = known(unit, scope)?;
            if members.iter().any(|named| named.cursor().as_ref() != Some(at)) {
                return Ok(());
            }
            done = true;
            let mut targets = Targets::of(unit, &members, Source::Snapshot)?;
            // What changed later comes with the pages that follow.
            for op in correction.stands.iter().filter(|op| op.lsn <= at.lsn) {
                if let Some(target) = targets.of_name(&op.collection) {
                    pull::apply(unit, applying, target, op)?;
                }
            }
            let mut stale = Stale::default();
            for named in &members {
                for (_, id) in correction.gone.iter().filter(|(name, _)| *name == named.name) {
                    let sql = "SELECT doc FROM docs WHERE cid = ?1 AND id = ?2 AND lsn > 0";
                    let doc = unit
                        .conn
                        .prepare_cached(sql)?
                        .query_map(params![named.cid, id.as_str()], |row| row.get(0))?
                        .next()
                        .transpose()?;
                    stale.docs.extend(doc.map(|doc| snapshot::drop_one(unit, named, doc)).transpose()?.flatten());
                }
            }
            pull::refold_stale(unit, &stale)
        })?;
        Ok(done)
    }
}
