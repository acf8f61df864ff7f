//! Forgetting what retention no longer asks for, in steps small enough that pushes get their turn between them. The
//! horizon moves first, so that no reader starts where rows are going. Each step looks at one stretch of an index, and
//! begins with the space's turn: two workers that trim at once do each other's work and no harm.

use super::clients::Walk;
use super::pipeline::{Param, Pipeline, bytes, long, longs, text, texts};
use super::pool::Pools;
use super::rows::{damaged, receipts_of};
use super::space::State;
use super::trouble::Failure;
use super::turn::{self, Turn};
use crate::store::columns::{int, nat};
use crate::store::{Trim, Trimmed};
use std::collections::BTreeMap;
use syncline_core::model::{Seq, Seqs, SpaceName};

/// Rows that one step takes.
const STEP_ROWS: i64 = 2_000;
/// Receipts after which a step takes no further row.
const STEP_RECEIPTS: usize = 20_000;
/// Positions that one step looks at for tickets, returns and tombstones.
const STEP_POSITIONS: i64 = 5_000;

/// Where a trim stands. Lost in a crash, it starts again and finds what is left.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// Moving the horizon.
    Horizon,
    /// Rows that are nobody's head.
    Superseded,
    /// Tickets, returns and tombstones.
    Sweep,
    /// Receipts, oldest first.
    Receipts,
    /// Batch ids, oldest first.
    Batches,
    /// Foreign op ids, after this key.
    Seen(Vec<u8>),
    /// The conflict ledger, oldest first.
    Ledger,
    /// The quarantine, oldest first.
    Quarantine,
    /// Clients of event sync, which are listed first.
    Clients(Option<Walk>),
    /// Nothing is left.
    Done,
}

/// One bounded step; returns where to go on.
pub(super) async fn step(
    pools: &Pools,
    space: &SpaceName,
    stage: Stage,
    trim: Trim,
    trimmed: Trimmed,
) -> Result<(Stage, Trimmed), Failure> {
    let session = pools.writing(space).await?;
    let done = in_turn(Turn { session: &session, space, trim, trimmed }, stage).await;
    session.finish(done).await
}

async fn in_turn(mut step: Turn<'_>, stage: Stage) -> Result<(Stage, Trimmed), Failure> {
    let state = turn::take(step.session, step.space).await?;
    let before = int(step.trim.receipts_before.0);
    let next = match stage {
        Stage::Horizon => step.horizon(&state).await?,
        Stage::Superseded => step.superseded(&state).await?,
        Stage::Sweep => step.sweep(&state).await?,
        Stage::Receipts => step.receipts(before).await?,
        Stage::Batches => {
            let sql = "WITH gone AS (DELETE FROM syncline.batches WHERE space = $1 AND (author, id) IN
                    (SELECT author, id FROM syncline.batches WHERE space = $1 AND at < $2 ORDER BY at LIMIT $3)
                    RETURNING 1) SELECT count(*) FROM gone";
            let gone = step.count(sql, vec![long(before), long(STEP_ROWS)]).await?;
            step.trimmed.receipts += gone;
            if gone == 0 { Stage::Seen(Vec::new()) } else { Stage::Batches }
        }
        Stage::Seen(after) => step.seen(&after, before).await?,
        Stage::Ledger => {
            let gone = step.oldest("ledger", "conflicts", step.trim.ledger_before.0).await?;
            step.trimmed.conflicts += gone;
            if gone == 0 { Stage::Quarantine } else { Stage::Ledger }
        }
        Stage::Quarantine => {
            let gone = step.oldest("quarantine", "quarantined", step.trim.quarantine_before.0).await?;
            step.trimmed.quarantined += gone;
            if gone == 0 { Stage::Clients(None) } else { Stage::Quarantine }
        }
        Stage::Clients(walk) => match step.clients(walk).await? {
            Some(walk) => Stage::Clients(Some(walk)),
            None => Stage::Done,
        },
        Stage::Done => Stage::Done,
    };
    Ok((next, step.trimmed))
}

/// Removals up to here have been told to every registered node; null: there is no node.
const HEARD: &str = "SELECT min(CASE WHEN NOT (fill::JSON ->> 'again')::BOOLEAN
        THEN greatest(cursor, (fill::JSON ->> 'start')::BIGINT) ELSE cursor END)
    FROM syncline.nodes WHERE space = $1";

impl Turn<'_> {
    /// Runs one statement that counts what it did, and commits.
    async fn count(&self, sql: &'static str, params: Vec<Param<'_>>) -> Result<u64, Failure> {
        let mut pipeline = self.session.pipeline();
        let asked = self.send(&mut pipeline, sql, params);
        let counted = self.session.commit(pipeline).await?.take(Some(asked));
        Ok(counted.first().map(|row| row.try_get(0)).transpose()?.map_or(0, nat))
    }

    /// The space is the first value of each statement.
    fn send<'p>(&'p self, pipeline: &mut Pipeline<'p>, sql: &'static str, params: Vec<Param<'p>>) -> usize {
        let params = std::iter::once(text(self.space.as_str())).chain(params).collect();
        pipeline.send(sql, params)
    }

    async fn heard(&self) -> Result<i64, Failure> {
        let mut pipeline = self.session.pipeline();
        let asked = self.send(&mut pipeline, HEARD, vec![]);
        let found = pipeline.answers().await?.take(Some(asked));
        let heard = found.first().map(|row| row.try_get::<_, Option<i64>>(0)).transpose()?;
        Ok(heard.flatten().unwrap_or(i64::MAX))
    }

    async fn horizon(&self, state: &State) -> Result<Stage, Failure> {
        let horizon = self.trim.horizon.min(state.head.last_change).max(state.head.horizon);
        let heard = self.heard().await?;
        let mut pipeline = self.session.pipeline();
        let moved = "UPDATE syncline.spaces SET horizon = $2 WHERE space = $1";
        self.send(&mut pipeline, moved, vec![long(int(horizon.0))]);
        let told = "DELETE FROM syncline.log WHERE space = $1 AND lsn IN
            (SELECT lsn FROM syncline.log WHERE space = $1 AND kind = 4 AND lsn <= $2 LIMIT $3)";
        self.send(&mut pipeline, told, vec![long(heard), long(STEP_POSITIONS)]);
        self.session.commit(pipeline).await?;
        Ok(Stage::Superseded)
    }

    async fn superseded(&mut self, state: &State) -> Result<Stage, Failure> {
        // What took the place of a row must be behind the horizon itself: a reader at the horizon still stands on the row.
        let sql = "WITH due AS (
                SELECT lsn FROM syncline.superseded WHERE space = $1 AND until <= $2 ORDER BY until LIMIT $3),
            rows AS (DELETE FROM syncline.log l USING due WHERE l.space = $1 AND l.lsn = due.lsn),
            gone AS (DELETE FROM syncline.superseded s USING due WHERE s.space = $1 AND s.lsn = due.lsn RETURNING 1)
            SELECT count(*) FROM gone";
        let gone = self.count(sql, vec![long(int(state.head.horizon.0)), long(STEP_ROWS)]).await?;
        self.trimmed.changes += gone;
        Ok(if gone == 0 { Stage::Sweep } else { Stage::Superseded })
    }

    /// Looks at each position once in the life of a space: `swept` remembers how far.
    async fn sweep(&mut self, state: &State) -> Result<Stage, Failure> {
        let (swept, horizon) = (state.swept, int(state.head.horizon.0));
        if swept >= horizon {
            return Ok(Stage::Receipts);
        }
        let (upto, heard) = (horizon.min(swept + STEP_POSITIONS), self.heard().await?);
        let mut pipeline = self.session.pipeline();
        let plain = "WITH gone AS (DELETE FROM syncline.log
                WHERE space = $1 AND lsn > $2 AND lsn <= $3 AND kind IN (2, 3) RETURNING 1)
            SELECT count(*) FROM gone";
        let plain = self.send(&mut pipeline, plain, vec![long(swept), long(upto)]);
        let stones = self.send(&mut pipeline, TOMBSTONES, vec![long(swept), long(upto), long(heard)]);
        let moved = "UPDATE syncline.spaces SET swept = $2 WHERE space = $1";
        self.send(&mut pipeline, moved, vec![long(upto)]);
        let mut answers = self.session.commit(pipeline).await?;
        for row in answers.take(Some(plain)) {
            self.trimmed.changes += nat(row.try_get(0)?);
        }
        for row in answers.take(Some(stones)) {
            self.trimmed.tombstones += nat(row.try_get(0)?);
            self.trimmed.changes += nat(row.try_get(1)?);
        }
        Ok(Stage::Sweep)
    }

    /// Receipts that go leave their numbers, so that repeats are still known.
    async fn receipts(&mut self, before: i64) -> Result<Stage, Failure> {
        let mut pipeline = self.session.pipeline();
        let sql = "SELECT n, at, author, body FROM syncline.receipts WHERE space = $1 ORDER BY n LIMIT $2";
        let asked = self.send(&mut pipeline, sql, vec![long(STEP_ROWS)]);
        let rows = pipeline.answers().await?.take(Some(asked));
        let (mut last, mut count) = (None, 0);
        let mut answered = BTreeMap::<i64, Vec<Seq>>::new();
        for row in rows {
            if row.try_get::<_, i64>(1)? >= before || count >= STEP_RECEIPTS {
                break;
            }
            last = Some(row.try_get::<_, i64>(0)?);
            let receipts = receipts_of(row.try_get(3)?)?;
            count += receipts.len();
            answered.entry(row.try_get(2)?).or_default().extend(receipts.iter().map(|receipt| receipt.seq));
        }
        let Some(last) = last else { return Ok(Stage::Batches) };
        let forgotten = self.forgotten(answered).await?;
        let mut pipeline = self.session.pipeline();
        let update = "UPDATE syncline.authors a SET forgotten = t.forgotten
            FROM unnest($2::BIGINT[], $3::TEXT[]) AS t (author, forgotten)
            WHERE a.space = $1 AND a.author = t.author";
        let (authors, texts_of): (Vec<_>, Vec<_>) = forgotten.into_iter().unzip();
        self.send(&mut pipeline, update, vec![longs(authors), texts(texts_of)]);
        self.send(&mut pipeline, "DELETE FROM syncline.receipts WHERE space = $1 AND n <= $2", vec![long(last)]);
        self.session.commit(pipeline).await?;
        self.trimmed.receipts += count as u64;
        Ok(Stage::Receipts)
    }

    /// What nodes were answered, with what is forgotten now.
    async fn forgotten(&self, answered: BTreeMap<i64, Vec<Seq>>) -> Result<Vec<(i64, String)>, Failure> {
        let mut pipeline = self.session.pipeline();
        let sql = "SELECT author, forgotten FROM syncline.authors WHERE space = $1 AND author = ANY($2)";
        let asked = self.send(&mut pipeline, sql, vec![longs(answered.keys().copied().collect::<Vec<_>>())]);
        let rows = pipeline.answers().await?.take(Some(asked));
        let mut forgotten = Vec::with_capacity(rows.len());
        for row in rows {
            let (author, known): (i64, Option<&str>) = (row.try_get(0)?, row.try_get(1)?);
            let mut seqs: Seqs = known.map(serde_json::from_str).transpose().map_err(damaged)?.unwrap_or_default();
            seqs.remember(answered.get(&author).into_iter().flatten().copied());
            forgotten.push((author, serde_json::to_string(&seqs).expect("ranges serialize")));
        }
        Ok(forgotten)
    }

    /// Keys are random, so this walks over all of them, a stretch at a time.
    async fn seen(&mut self, after: &[u8], before: i64) -> Result<Stage, Failure> {
        let mut pipeline = self.session.pipeline();
        let sql =
            "SELECT key FROM (SELECT key FROM syncline.seen WHERE space = $1 AND key > $2 ORDER BY key LIMIT $3) s
            ORDER BY key DESC LIMIT 1";
        let asked = self.send(&mut pipeline, sql, vec![bytes(after), long(STEP_POSITIONS)]);
        let found = pipeline.answers().await?.take(Some(asked));
        let Some(last) = found.first().map(|row| row.try_get::<_, Vec<u8>>(0)).transpose()? else {
            return Ok(Stage::Ledger);
        };
        let sql = "WITH gone AS (DELETE FROM syncline.seen
                WHERE space = $1 AND key > $2 AND key <= $3 AND at < $4 RETURNING 1)
            SELECT count(*) FROM gone";
        self.trimmed.receipts += self.count(sql, vec![bytes(after), bytes(&last), long(before)]).await?;
        Ok(Stage::Seen(last))
    }

    /// A portion of the oldest rows of a table with numbered rows, which stand in the order of their time: a portion
    /// without an old one ends the search. The space counts what is left.
    async fn oldest(&self, table: &'static str, counted: &'static str, before: u64) -> Result<u64, Failure> {
        let mut pipeline = self.session.pipeline();
        let sql = format!(
            "WITH gone AS (DELETE FROM syncline.{table} WHERE space = $1 AND at < $2 AND n IN
                    (SELECT n FROM syncline.{table} WHERE space = $1 ORDER BY n LIMIT $3) RETURNING 1),
                counted AS (UPDATE syncline.spaces SET {counted} = {counted} - (SELECT count(*) FROM gone)
                    WHERE space = $1)
            SELECT count(*) FROM gone"
        );
        let asked = pipeline.send(sql, vec![text(self.space.as_str()), long(int(before)), long(STEP_ROWS)]);
        let gone = self.session.commit(pipeline).await?.take(Some(asked));
        Ok(gone.first().map(|row| row.try_get(0)).transpose()?.map_or(0, nat))
    }
}

/// Tombstones of a stretch: heads go, and their places stay for nodes that have not heard of them. What is no head was
/// brought back by a push since the step before.
const TOMBSTONES: &str = "
    WITH stones AS (
        SELECT lsn, collection, id FROM syncline.log WHERE space = $1 AND lsn > $2 AND lsn <= $3 AND kind = 1),
    heads AS (
        DELETE FROM syncline.heads h USING stones s
        WHERE h.space = $1 AND h.collection = s.collection AND h.id = s.id AND h.lsn = s.lsn RETURNING h.lsn),
    buried AS (
        UPDATE syncline.log l SET kind = 4, meta = NULL, body = '' FROM heads
        WHERE l.space = $1 AND l.lsn = heads.lsn AND l.lsn > $4),
    gone AS (
        DELETE FROM syncline.log l USING stones s
        WHERE l.space = $1 AND l.lsn = s.lsn AND NOT (s.lsn > $4 AND s.lsn IN (SELECT lsn FROM heads))),
    returned AS (
        DELETE FROM syncline.superseded d USING stones s
        WHERE d.space = $1 AND d.lsn = s.lsn AND s.lsn NOT IN (SELECT lsn FROM heads))
    SELECT (SELECT count(*) FROM heads), (SELECT count(*) FROM stones) - (SELECT count(*) FROM heads)";
