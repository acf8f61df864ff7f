//! Forgetting clients of event sync. Every page session that writes makes a node, and every one that listens a place;
//! most are never heard of again. A node stays as long as anything names it: a row of the log, a mark in one, a row
//! of the ledger. That is found by walking along both to their ends, in steps: what is appended meanwhile is walked
//! along as well, and what has been walked along never comes to name anybody else.

use super::columns::{int, wrong_text};
use super::known::Known;
use crate::store::Trimmed;
use rusqlite::{Connection, params};
use std::collections::BTreeSet;
use syncline_core::model::{Author, Meta, Millis};

/// Rows of each table that one step looks at, and nodes that one takes.
const STEP_ROWS: usize = 5_000;

/// Where the search stands.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    /// Clients that nothing met so far names.
    unnamed: BTreeSet<Author>,
    /// The last row of the log that was looked at.
    lsn: i64,
    /// The same of the ledger.
    n: i64,
}

impl Walk {
    /// Begins with the clients that were not heard of since a time. Names with `(` in front are the hub's to give.
    pub fn begin(conn: &Connection, before: Millis) -> rusqlite::Result<Walk> {
        let mut find = conn.prepare_cached(
            "SELECT author FROM authors
             WHERE node >= '(live:' AND node < '(live;' AND seen_at < ?1 AND last_seq = 0 AND owner IS NULL",
        )?;
        let unnamed = find.query_map([int(before.0)], |row| row.get(0).map(Author))?;
        Ok(Walk { unnamed: unnamed.collect::<rusqlite::Result<_>>()?, lsn: 0, n: 0 })
    }

    /// One bounded step; `false`: nothing is left to do.
    pub fn step(&mut self, conn: &Connection, known: &mut Known, trimmed: &mut Trimmed) -> rusqlite::Result<bool> {
        if self.unnamed.is_empty() {
            return Ok(false);
        }
        let rows = self.along_the_log(conn)?.max(self.along_the_ledger(conn)?);
        if rows >= STEP_ROWS {
            return Ok(true);
        }
        for _ in 0..STEP_ROWS {
            let Some(author) = self.unnamed.pop_first() else { return Ok(false) };
            known.drop_author(conn, author)?;
            trimmed.clients += 1;
        }
        Ok(true)
    }

    fn along_the_log(&mut self, conn: &Connection) -> rusqlite::Result<usize> {
        let mut find = conn.prepare_cached("SELECT lsn, author, meta FROM log WHERE lsn > ?1 ORDER BY lsn LIMIT ?2")?;
        let mut rows = find.query(params![self.lsn, STEP_ROWS])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            (self.lsn, count) = (row.get(0)?, count + 1);
            self.unnamed.remove(&Author(row.get(1)?));
            if let Some(text) = row.get_ref(2)?.as_str_or_null()? {
                let meta: Meta = serde_json::from_str(text).map_err(|e| wrong_text(2, e))?;
                for mark in meta.marks() {
                    self.unnamed.remove(&mark.author);
                }
            }
        }
        Ok(count)
    }

    fn along_the_ledger(&mut self, conn: &Connection) -> rusqlite::Result<usize> {
        let mut find = conn.prepare_cached("SELECT n, winner, loser FROM ledger WHERE n > ?1 ORDER BY n LIMIT ?2")?;
        let mut rows = find.query(params![self.n, STEP_ROWS])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            (self.n, count) = (row.get(0)?, count + 1);
            self.unnamed.remove(&Author(row.get(1)?));
            self.unnamed.remove(&Author(row.get(2)?));
        }
        Ok(count)
    }
}
