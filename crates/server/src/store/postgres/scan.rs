//! Streams rows out of one state of the database (step 8 of the life of a change), portion by portion, so that memory
//! stays flat and a page that is full early leaves little behind.

use super::pipeline::{BY_KEY, Param, stream};
use super::pool::{Pools, Session};
use super::replica::Replica;
use super::select::{
    BEFORE, LOG, Shape, Stretch, brief_row_of, collections, heads_sql, is_newest_only, only, row_of, rows_sql,
};
use super::space;
use super::trouble::{Failure, words_of};
use crate::store::columns::{int, nat};
use crate::store::feed::Feed;
use crate::store::{Encoder, Head, Row, Scan, Scanned, StoreError, behind_horizon, complete};
use bytes::Bytes;
use futures_util::TryStreamExt;
use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;
use syncline_core::model::{Lsn, SpaceName};
use tokio::sync::mpsc;

/// Below this many positions, listing the heads first never pays.
const WORTH_LISTING: u64 = 4_096;
/// Heads are listed when there are at most this many positions for each of them.
const POSITIONS_PER_HEAD: u64 = 16;
/// At most so many positions are held in memory (8 MiB).
const MAX_LISTED: u64 = 1 << 20;
/// Rows of the first portion, of which nobody knows how long they are.
const FIRST_ROWS: usize = 256;
/// Rows of any portion.
const MOST_ROWS: usize = 65_536;
/// About as many bytes make a portion at first; later ones are as long as all before them. So what is left on the wire
/// by a page that is full is no more than what it took, and a long stream is seldom interrupted.
const PORTION_BYTES: usize = 4 << 20;

/// How a scan went on the way to its reader.
enum Gone {
    /// Nobody listens any more.
    Away,
    /// The reader took nothing for too long.
    Slow(StoreError),
}

/// Who reads.
pub(super) struct Reader {
    pub encoder: Box<dyn Encoder>,
    pub out: mpsc::Sender<Bytes>,
    pub stall: Duration,
}

impl Reader {
    async fn send(out: &mpsc::Sender<Bytes>, stall: Duration, chunk: Bytes) -> Result<(), Gone> {
        match tokio::time::timeout(stall, out.send(chunk)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Gone::Away),
            Err(_) => Err(Gone::Slow(StoreError::SlowReader { waited_s: stall.as_secs() })),
        }
    }
}

/// Runs a scan, on the replica where that can serve. It may be tried again until it has taken its reader.
pub(super) async fn run(
    (pools, replica): (&Pools, Option<&Replica>),
    (space, seen): (&SpaceName, Option<Lsn>),
    scan: &Scan,
    reader: &mut Option<Reader>,
) -> Result<Scanned, Failure> {
    if let Some(replica) = replica
        && let Some((session, head)) = replica.session(pools, (space, seen), scan).await
    {
        let done = in_one_state(&session, space, (scan, &head), reader).await;
        match &done {
            Ok(_) => replica.served(),
            Err(Failure::Store(_)) => {}
            Err(failure) => replica.rest(&words_of(failure)),
        }
        let done = session.finish(done).await;
        if reader.is_none() || matches!(done, Err(Failure::Store(_))) {
            return done;
        }
    }
    let session = pools.reading(space).await?;
    let done = async {
        let mut pipeline = session.begin();
        pipeline.say(BY_KEY);
        let asked = space::look(&mut pipeline, space);
        let head = space::found(&mut pipeline.answers().await?, asked, space)?.head;
        in_one_state(&session, space, (scan, &head), reader).await
    };
    let done = done.await;
    session.finish(done).await
}

/// Reads in a transaction that has found the log's end.
async fn in_one_state(
    session: &Session,
    space: &SpaceName,
    (scan, head): (&Scan, &Head),
    reader: &mut Option<Reader>,
) -> Result<Scanned, Failure> {
    behind_horizon(scan, head)?;
    let list = list_heads(session, space, scan, head).await?;
    let Reader { encoder, out, stall } = reader.take().expect("a scan begins once");
    let mut feed = Feed::new(encoder, scan);
    feed.begin(head, scan.after());
    let mut pass = Pass { session, space, scan, feed, out, stall, gone: None, bytes: 0, told: BTreeSet::new() };
    match list {
        Some(list) => pass.listed(&list).await?,
        None => pass.along_the_log(head).await?,
    }
    pass.end(head).await
}

/// A scan under way.
pub(super) struct Pass<'s> {
    session: &'s Session,
    space: &'s SpaceName,
    pub(super) scan: &'s Scan,
    pub(super) feed: Feed,
    out: mpsc::Sender<Bytes>,
    stall: Duration,
    gone: Option<Gone>,
    /// What came so far.
    bytes: usize,
    /// Documents whose return was met.
    pub(super) told: BTreeSet<(String, String)>,
}

/// What one portion came to.
struct Portion {
    rows: usize,
    bytes: usize,
    last: i64,
    ended: bool,
}

impl Pass<'_> {
    /// Reads the log from front to back.
    async fn along_the_log(&mut self, head: &Head) -> Result<(), Failure> {
        if collections(self.scan).is_some_and(|names| names.is_empty()) {
            return Ok(());
        }
        let (from, to) = match self.scan {
            Scan::Ticket { lsn } => (int(lsn.0).saturating_sub(1), int(lsn.0)),
            scan => (int(scan.after().0), int(head.lsn.0)),
        };
        let shape = self.shape();
        let (mut from, mut rows) = (from, max_rows(self.scan).saturating_add(1).min(FIRST_ROWS));
        loop {
            let (sql, params) = rows_sql(self.space, self.scan, shape, &Stretch::Between(from, to), rows);
            let portion = self.portion(&sql, params).await?;
            if portion.ended || portion.rows < rows {
                return Ok(());
            }
            (from, rows) = (portion.last, self.next_rows(&portion));
        }
    }

    /// Reads only the listed positions.
    async fn listed(&mut self, list: &[i64]) -> Result<(), Failure> {
        let (mut left, mut rows) = (list, FIRST_ROWS);
        while !left.is_empty() {
            let (now, later) = left.split_at(rows.min(left.len()));
            let (sql, params) = rows_sql(self.space, self.scan, self.shape(), &Stretch::At(now), now.len());
            let portion = self.portion(&sql, params).await?;
            if portion.ended {
                return Ok(());
            }
            (left, rows) = (later, if portion.rows == 0 { rows } else { self.next_rows(&portion) });
        }
        Ok(())
    }

    /// Offers the rows of one statement.
    async fn portion(&mut self, sql: &str, params: Vec<Param<'_>>) -> Result<Portion, Failure> {
        let mut rows = pin!(stream(self.session.client(), sql, &params).await?);
        let shape = self.shape();
        let mut portion = Portion { rows: 0, bytes: 0, last: 0, ended: false };
        while let Some(row) = rows.try_next().await? {
            portion.rows += 1;
            portion.bytes += row.raw_size_bytes();
            portion.last = row.try_get(0)?;
            let goes_on = match (self.scan, shape) {
                (Scan::Packet { .. }, _) => self.offer_of_packet(&row)?,
                (Scan::Returns { .. }, _) => self.offer_by_name(&row)?,
                (_, Shape::Compared) => {
                    let before = row.try_get(BEFORE)?;
                    self.offer_row(&Row { before, ..row_of(&row, LOG)? })
                }
                (_, Shape::Brief) => self.offer_row(&brief_row_of(&row, only(collections(self.scan)))?),
                (_, Shape::Whole) => self.offer_row(&row_of(&row, LOG)?),
            };
            if let Some(chunk) = self.feed.full_chunk() {
                self.gone = Reader::send(&self.out, self.stall, chunk).await.err();
            }
            if !goes_on || self.gone.is_some() {
                portion.ended = true;
                break;
            }
        }
        Ok(portion)
    }

    fn next_rows(&mut self, portion: &Portion) -> usize {
        self.bytes += portion.bytes;
        let row_bytes = (portion.bytes / portion.rows.max(1)).max(1);
        (self.bytes.max(PORTION_BYTES) / row_bytes).clamp(16, MOST_ROWS)
    }

    fn shape(&self) -> Shape {
        match self.scan {
            Scan::Log { .. } if self.feed.compares() => Shape::Compared,
            Scan::Snapshot { .. } if self.feed.is_brief() => Shape::Brief,
            _ => Shape::Whole,
        }
    }

    /// `false`: the scan ends here.
    pub(super) fn offer_row(&mut self, row: &Row<'_>) -> bool {
        self.feed.offer(row)
    }

    async fn end(self, head: &Head) -> Result<Scanned, Failure> {
        match self.gone {
            Some(Gone::Away) => return Ok(self.feed.abandon()),
            Some(Gone::Slow(error)) => return Err(error.into()),
            None => {}
        }
        let (scanned, last) = self.feed.end(complete(self.scan, head))?;
        let Some(last) = last else { return Ok(scanned) };
        match Reader::send(&self.out, self.stall, last).await {
            Ok(()) => Ok(scanned),
            Err(Gone::Away) => Ok(Scanned { more: true, ..scanned }),
            Err(Gone::Slow(error)) => Err(error.into()),
        }
    }
}

fn max_rows(scan: &Scan) -> usize {
    match scan {
        Scan::Log { max_rows, .. } | Scan::Packet { max_rows, .. } | Scan::Snapshot { max_rows, .. } => *max_rows,
        Scan::Net { .. } | Scan::Returns { .. } | Scan::Ticket { .. } => usize::MAX,
    }
}

/// Positions of the wanted heads in log order, where they are few beside what one pass would read.
async fn list_heads(
    session: &Session,
    space: &SpaceName,
    scan: &Scan,
    head: &Head,
) -> Result<Option<Vec<i64>>, Failure> {
    let positions = head.lsn.0.saturating_sub(scan.after().0);
    if !is_newest_only(scan) || positions < WORTH_LISTING {
        return Ok(None);
    }
    let limit = (positions / POSITIONS_PER_HEAD).min(MAX_LISTED);
    let (sql, params) = heads_sql(space, scan, int(limit + 1));
    // Most often there are too many, and that is all that needs to be told of them.
    let mut pipeline = session.pipeline();
    let counted = pipeline.send(format!("SELECT count(*) FROM ({sql}) h"), params);
    let counted = pipeline.answers().await?.take(Some(counted));
    let counted = counted.first().map(|row| row.try_get(0)).transpose()?.map_or(0, nat);
    if counted > limit {
        return Ok(None);
    }
    let (sql, params) = heads_sql(space, scan, int(limit + 1));
    let mut rows = pin!(stream(session.client(), &sql, &params).await?);
    let mut list = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let lsn: i64 = row.try_get(0)?;
        if nat(lsn) > scan.after().0 {
            list.push(lsn);
        }
    }
    list.sort_unstable();
    Ok(Some(list))
}
