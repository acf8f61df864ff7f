//! What a registered node is to be told: one pass over the log after its cursor, without its own changes
//! (step 8 of the life of a change).

use super::columns::{self, BURIED, REMOVED, RETURN, int};
use super::scan::{COLUMNS, Gone, Pass, SUPERSEDED, Selection, Superseded, sql_list};
use crate::store::{Row, Scan};
use bytes::Bytes;
use rusqlite::{Connection, params};
use std::collections::HashSet;
use syncline_core::model::{Author, Lsn};

/// A document that returns, where, and which fields its node is to give up.
struct Back {
    lsn: Lsn,
    cid: i64,
    id: String,
    lost: String,
}

impl<S: FnMut(Bytes) -> Result<(), Gone>> Pass<'_, S> {
    /// Offers the rows of a [`Scan::Packet`].
    pub(super) fn packet(&mut self, conn: &Connection, wanted: &Selection, scan: &Scan) -> rusqlite::Result<()> {
        let Scan::Packet { after, author, .. } = *scan else { return Ok(()) };
        let among = wanted.cids.as_ref().map_or(String::new(), |cids| format!(" AND cid IN ({})", sql_list(cids)));
        let mut log = conn.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM log WHERE lsn > ?1
                 AND (kind <= {REMOVED} AND (author <> ?2 OR lsn <= ?3 OR created BETWEEN 1 AND ?3) OR kind = {RETURN} AND author = ?2
                      OR kind = {BURIED}){among}
             ORDER BY lsn"
        ))?;
        let mut dead = conn.prepare_cached(SUPERSEDED)?;
        let mut dead = Superseded::of(dead.query([int(after.0)])?);
        let mut told = HashSet::new();
        let mut rows = log.query(params![int(after.0), author.0, int(scan.own_upto().0)])?;
        while let Some(row) = rows.next()? {
            let goes_on = match row.get("kind")? {
                RETURN => {
                    let (cid, id, lost): (i64, String, String) = (row.get("cid")?, row.get("id")?, row.get("body")?);
                    let new = told.insert((cid, id.clone())) || !lost.is_empty();
                    !new || self.back(conn, wanted, scan, &Back { lsn: columns::lsn(row, 0)?, cid, id, lost })?
                }
                BURIED => {
                    let name = self.name(row.get("cid")?)?;
                    let gone = Row::gone(name, row.get_ref("id")?.as_str()?);
                    self.offer_row(&Row { lsn: columns::lsn(row, 0)?, ..gone })?
                }
                _ => dead.contains(row.get(0)?)? || self.offer(row, wanted)?,
            };
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// Offers the rows of a [`Scan::Returns`].
    pub(super) fn returns(
        &mut self,
        conn: &Connection,
        wanted: &Selection,
        (after, author): (Lsn, Author),
    ) -> rusqlite::Result<()> {
        let among = wanted.cids.as_ref().map_or(String::new(), |cids| format!(" AND cid IN ({})", sql_list(cids)));
        let mut log = conn.prepare_cached(&format!(
            "SELECT lsn, cid, id FROM log WHERE lsn > ?1 AND kind = {RETURN} AND author = ?2{among} ORDER BY lsn"
        ))?;
        let mut rows = log.query(params![int(after.0), author.0])?;
        while let Some(row) = rows.next()? {
            let name = self.name(row.get(1)?)?;
            let owed = Row { lsn: columns::lsn(row, 0)?, ..Row::gone(name, row.get_ref(2)?.as_str()?) };
            if !self.offer_row(&owed)? {
                break;
            }
        }
        Ok(())
    }

    /// Offers what stands of a document at the position of its return, unless it comes by itself and takes
    /// nothing away.
    fn back(&mut self, conn: &Connection, wanted: &Selection, scan: &Scan, back: &Back) -> rusqlite::Result<bool> {
        let Back { lsn, cid, ref id, ref lost } = *back;
        let other_columns = COLUMNS.strip_prefix("lsn,").expect("the position comes first");
        let mut find = conn.prepare_cached(&format!(
            "SELECT ?1,{other_columns}, lsn AS own FROM log WHERE lsn = (SELECT lsn FROM heads WHERE cid = ?2 AND id = ?3)"
        ))?;
        let mut rows = find.query(params![int(lsn.0), cid, id])?;
        match rows.next()? {
            Some(row) => {
                let removed = row.get::<_, i64>("kind")? == REMOVED;
                if comes(scan, row)? && (removed || lost.is_empty()) {
                    return Ok(true);
                }
                self.feed.lost(lost);
                self.offer(row, wanted)
            }
            None => {
                let name = self.name(cid)?;
                self.offer_row(&Row { lsn, ..Row::gone(name, id) })
            }
        }
    }
}

/// Whether the scan meets what stands, logged at `own`, without being pointed to it.
fn comes(scan: &Scan, row: &rusqlite::Row<'_>) -> rusqlite::Result<bool> {
    let Scan::Packet { after, author, .. } = *scan else { return Ok(false) };
    let (lsn, created) = (Lsn(columns::nat(row.get("own")?)), Lsn(columns::nat(row.get("created")?)));
    Ok(lsn > after && (Author(row.get("author")?) != author || scan.tells_own(lsn, created)))
}
