//! The table of documents. Knows columns, not rules.

use crate::error::{Error, Result};
use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};
use syncline_core::model::{Author, Body, DocId, Lsn, Mark, Meta, Millis, Stamp, Version};

/// One document of the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// Its row.
    pub doc: i64,
    /// Its id.
    pub id: DocId,
    /// What the app sees; `None`: removed here, and the hub does not know yet.
    pub body: Option<String>,
    /// The hub's version; `None`: the hub has none that is known here.
    pub hub: Option<HubVersion>,
    /// When the app stops seeing it.
    pub expires: Option<Millis>,
    /// Its newest op in the outbox.
    pub op: Option<i64>,
}

/// The hub's version of a document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HubVersion {
    /// The change that made it.
    pub lsn: Lsn,
    /// Its newest stamp.
    pub stamp: Stamp,
    /// Who made that change.
    pub author: Author,
    /// Who wrote what when, as JSON; `None`: one insert wrote it all.
    pub meta: Option<String>,
    /// The text, when it differs from what the app sees.
    pub shadow: Option<String>,
}

const COLUMNS: &str = "doc, id, body, lsn, stamp, author, meta, shadow, expires, op";

impl Row {
    fn read(row: &SqlRow<'_>) -> rusqlite::Result<(String, Row)> {
        let lsn: u64 = row.get(3)?;
        let hub = HubVersion {
            lsn: Lsn(lsn),
            stamp: Stamp(row.get(4)?),
            author: Author(row.get(5)?),
            meta: row.get(6)?,
            shadow: row.get(7)?,
        };
        let read = Row {
            doc: row.get(0)?,
            id: DocId::default(),
            body: row.get(2)?,
            hub: (lsn > 0).then_some(hub),
            expires: row.get::<_, Option<u64>>(8)?.map(Millis),
            op: row.get(9)?,
        };
        Ok((row.get(1)?, read))
    }

    /// Whether the app sees it at this time.
    pub(crate) fn is_visible(&self, now: Millis) -> bool {
        self.body.is_some() && self.expires.is_none_or(|at| now < at)
    }

    /// The LSN of the hub's version; 0: none.
    pub(crate) fn lsn(&self) -> Lsn {
        self.hub.as_ref().map_or(Lsn::ZERO, |hub| hub.lsn)
    }

    /// The text of the hub's version as it stands in the file, whole or damaged.
    pub(crate) fn hub_text(&self) -> Option<&str> {
        self.hub.as_ref().and_then(|hub| hub.shadow.as_deref().or(self.body.as_deref()))
    }

    /// The hub's version with its text.
    pub(crate) fn version(&self) -> Result<Option<Version>> {
        let Some(hub) = &self.hub else { return Ok(None) };
        let damaged = |reason: String| Error::damaged(None, &self.id, reason);
        let text = self.hub_text().ok_or_else(|| damaged("the hub's text is lost".into()))?;
        let body = Body::stored(text).map_err(|why| damaged(why.to_string()))?;
        let meta = hub.meta().map_err(|why| damaged(format!("who wrote what cannot be read ({why})")))?;
        Ok(Some(Version { lsn: hub.lsn, author: hub.author, body, meta }))
    }
}

impl HubVersion {
    /// Who wrote what when.
    fn meta(&self) -> serde_json::Result<Meta> {
        let whole = Mark { stamp: self.stamp, lsn: self.lsn, author: self.author };
        match &self.meta {
            None => Ok(Meta::inserted(whole)),
            Some(text) => serde_json::from_str(text),
        }
    }
}

/// The document with this id.
pub(crate) fn by_id(conn: &Connection, cid: i64, id: &DocId) -> Result<Option<Row>> {
    let sql = format!("SELECT {COLUMNS} FROM docs WHERE cid = ?1 AND id = ?2");
    finish(conn.prepare_cached(&sql)?.query_row(params![cid, id.as_str()], Row::read).optional()?)
}

/// The document in this row.
pub(crate) fn by_doc(conn: &Connection, doc: i64) -> Result<Option<Row>> {
    let sql = format!("SELECT {COLUMNS} FROM docs WHERE doc = ?1");
    finish(conn.prepare_cached(&sql)?.query_row([doc], Row::read).optional()?)
}

fn finish(read: Option<(String, Row)>) -> Result<Option<Row>> {
    let Some((id, row)) = read else { return Ok(None) };
    Ok(Some(Row { id: DocId::new(id)?, ..row }))
}

/// A new document of the app. `None`: the id has a row already.
pub(crate) fn insert_local(
    conn: &Connection,
    cid: i64,
    (id, body): (&DocId, &str),
    expires: Option<Millis>,
    op: Option<i64>,
) -> Result<Option<i64>> {
    let inserted = conn
        .prepare_cached(
            "INSERT INTO docs(cid, id, body, expires, op) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        )?
        .execute(params![cid, id.as_str(), body, expires.map(|at| at.0), op])?;
    Ok((inserted == 1).then(|| conn.last_insert_rowid()))
}

/// Writes everything of a row but its id.
pub(crate) fn save(conn: &Connection, row: &Row) -> Result<()> {
    let hub = row.hub.as_ref();
    conn.prepare_cached(
        "UPDATE docs SET body = ?2, lsn = ?3, stamp = ?4, author = ?5, meta = ?6, shadow = ?7, expires = ?8, op = ?9
         WHERE doc = ?1",
    )?
    .execute(params![
        row.doc,
        row.body,
        row.lsn().0,
        hub.map_or(0, |hub| hub.stamp.0),
        hub.map_or(0, |hub| hub.author.0),
        hub.and_then(|hub| hub.meta.as_deref()),
        hub.and_then(|hub| hub.shadow.as_deref()),
        row.expires.map(|at| at.0),
        row.op,
    ])?;
    Ok(())
}

/// Takes a row away.
pub(crate) fn delete(conn: &Connection, doc: i64) -> Result<()> {
    conn.prepare_cached("DELETE FROM docs WHERE doc = ?1")?.execute([doc])?;
    Ok(())
}
