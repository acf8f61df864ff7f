//! Forgetting clients of event sync. A node stays as long as anything names it: a row of the log, a mark in one, a row
//! of the ledger. That is found by walking along both to their ends, in steps: what is appended meanwhile is walked
//! along as well, and what has been walked along never comes to name anybody else.

use super::authors::author_of;
use super::pipeline::{long, longs, text};
use super::rows::damaged;
use super::trouble::Failure;
use super::turn::Turn;
use crate::store::columns::int;
use std::collections::BTreeSet;
use syncline_core::model::{Author, Meta};

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

impl Turn<'_> {
    /// One bounded step; `None`: nothing is left to do.
    pub(super) async fn clients(&mut self, walk: Option<Walk>) -> Result<Option<Walk>, Failure> {
        let mut walk = match walk {
            Some(walk) => walk,
            None => self.silent().await?,
        };
        if walk.unnamed.is_empty() {
            return Ok(None);
        }
        let rows = self.along_the_log(&mut walk).await?.max(self.along_the_ledger(&mut walk).await?);
        if rows >= STEP_ROWS {
            return Ok(Some(walk));
        }
        let gone: Vec<i64> =
            std::iter::from_fn(|| walk.unnamed.pop_first()).take(STEP_ROWS).map(|author| i64::from(author.0)).collect();
        self.trimmed.clients += gone.len() as u64;
        let mut pipeline = self.session.pipeline();
        let sql = "DELETE FROM syncline.authors WHERE space = $1 AND author = ANY($2)";
        pipeline.send(sql, vec![text(self.space.as_str()), longs(gone)]);
        self.session.commit(pipeline).await?;
        Ok((!walk.unnamed.is_empty()).then_some(walk))
    }

    /// The clients that were not heard of since a time. Names with `(` in front are the hub's to give.
    async fn silent(&self) -> Result<Walk, Failure> {
        let mut pipeline = self.session.pipeline();
        let sql = "SELECT author FROM syncline.authors
            WHERE space = $1 AND node >= '(live:' AND node < '(live;' AND seen_at < $2 AND last_seq = 0
                AND owner IS NULL";
        let before = long(int(self.trim.clients_before.0));
        let asked = pipeline.send(sql, vec![text(self.space.as_str()), before]);
        let rows = pipeline.answers().await?.take(Some(asked));
        let unnamed = rows.iter().map(|row| Ok(author_of(row.try_get(0)?))).collect::<Result<_, Failure>>()?;
        Ok(Walk { unnamed, lsn: 0, n: 0 })
    }

    async fn along_the_log(&self, walk: &mut Walk) -> Result<usize, Failure> {
        let mut pipeline = self.session.pipeline();
        let sql = "SELECT lsn, author, meta FROM syncline.log WHERE space = $1 AND lsn > $2 ORDER BY lsn LIMIT $3";
        let asked = pipeline.send(sql, vec![text(self.space.as_str()), long(walk.lsn), long(int(STEP_ROWS as u64))]);
        let rows = pipeline.answers().await?.take(Some(asked));
        for row in &rows {
            walk.lsn = row.try_get(0)?;
            walk.unnamed.remove(&author_of(row.try_get(1)?));
            if let Some(text) = row.try_get::<_, Option<&str>>(2)? {
                let meta: Meta = serde_json::from_str(text).map_err(damaged)?;
                for mark in meta.marks() {
                    walk.unnamed.remove(&mark.author);
                }
            }
        }
        Ok(rows.len())
    }

    async fn along_the_ledger(&self, walk: &mut Walk) -> Result<usize, Failure> {
        let mut pipeline = self.session.pipeline();
        let sql = "SELECT n, winner, loser FROM syncline.ledger WHERE space = $1 AND n > $2 ORDER BY n LIMIT $3";
        let asked = pipeline.send(sql, vec![text(self.space.as_str()), long(walk.n), long(int(STEP_ROWS as u64))]);
        let rows = pipeline.answers().await?.take(Some(asked));
        for row in &rows {
            walk.n = row.try_get(0)?;
            walk.unnamed.remove(&author_of(row.try_get(1)?));
            walk.unnamed.remove(&author_of(row.try_get(2)?));
        }
        Ok(rows.len())
    }
}
