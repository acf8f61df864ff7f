//! Streams rows out of one read transaction (step 8 of the life of a change). Rows are borrowed from
//! SQLite and never collected, so memory stays flat however many there are.

use super::columns::{self, EVENTFUL, LIVE, REMOVED, TICKET, int, nat};
use super::reader::Reader;
use crate::store::feed::Feed;
use crate::store::{Head, Row, Scan, Scanned, StoreError, behind_horizon, complete};
use bytes::Bytes;
use rusqlite::{Connection, Rows, Statement, params};
use std::collections::BTreeSet;
use syncline_core::model::{Author, CollectionName, Lsn, Millis, Stamp};

pub(super) const COLUMNS: &str = "lsn, cid, kind, author, at, stamp, created, born, flags, id, meta, body, before";

/// [`COLUMNS`] without those that a brief scan leaves out; `?1` is the position that it comes after. What is not read
/// need not be copied, and metas are often as long as documents.
fn brief_columns() -> String {
    let meta = format!("iif(kind = {LIVE} AND flags & {EVENTFUL} = 0 AND created <= ?1, NULL, meta)");
    format!("lsn, cid, kind, 0, 0, stamp, created, born, flags, id, {meta}, body, NULL")
}

/// Below this many positions, listing the heads first never pays.
const WORTH_LISTING: u64 = 4_096;
/// Heads are listed when there are at most this many positions for each of them.
const POSITIONS_PER_HEAD: u64 = 16;
/// At most so many positions are held in memory (8 MiB).
const MAX_LISTED: u64 = 1 << 20;

/// How a scan went on the way to its reader.
pub(super) enum Gone {
    /// Nobody listens any more.
    Away,
    /// The reader took nothing for too long.
    Slow(StoreError),
}

/// What a scan selects, in terms of the file.
pub(super) struct Selection {
    pub cids: Option<BTreeSet<i64>>,
    kinds: (i64, i64),
    newest_only: bool,
    expired_by: Option<i64>,
    /// Only what a foreign reader is told is read.
    brief: bool,
    after: i64,
}

impl Selection {
    /// Columns of the log's rows at some positions.
    fn sql(&self, columns: &str, positions: &str) -> String {
        let among = self.cids.as_ref().map_or(String::new(), |cids| format!(" AND cid IN ({})", sql_list(cids)));
        format!(
            "SELECT {columns} FROM log WHERE {positions} AND kind BETWEEN ?2 AND ?3{among}
                 AND (?4 IS NULL OR expires IS NULL OR expires > ?4)
             ORDER BY lsn"
        )
    }

    fn query<'s>(&self, statement: &'s mut Statement<'_>, position: i64) -> rusqlite::Result<Rows<'s>> {
        statement.query(params![position, self.kinds.0, self.kinds.1, self.expired_by])
    }
}

/// Runs a scan; `send` hands a chunk to the reader.
pub(super) fn run(
    reader: &mut Reader,
    scan: &Scan,
    mut feed: Feed,
    mut send: impl FnMut(Bytes) -> Result<(), Gone>,
) -> Result<Scanned, StoreError> {
    let action = "reading the log";
    let (conn, names) = reader.begin().map_err(StoreError::engine(action))?;
    let head = columns::head(&conn).map_err(StoreError::engine(action))?;
    behind_horizon(scan, &head)?;
    feed.begin(&head, scan.after());
    let mut pass = Pass { names, feed, send: &mut send, gone: None };
    let selection = select(scan, names);
    pass.rows(&conn, &selection, scan, &head).map_err(StoreError::engine(action))?;
    let Pass { feed, gone, .. } = pass;
    match gone {
        Some(Gone::Away) => return Ok(feed.abandon()),
        Some(Gone::Slow(error)) => return Err(error),
        None => {}
    }
    let (scanned, last) = feed.end(complete(scan, &head))?;
    match last.map_or(Ok(()), send) {
        Ok(()) => Ok(scanned),
        Err(Gone::Away) => Ok(Scanned { more: true, ..scanned }),
        Err(Gone::Slow(error)) => Err(error),
    }
}

fn select(scan: &Scan, names: &[String]) -> Selection {
    let number = |name: &CollectionName| names.iter().position(|n| n == name.as_str()).map(|n| int(n as u64 + 1));
    let numbers = |names: &BTreeSet<CollectionName>| names.iter().filter_map(number).collect();
    let after = int(scan.after().0);
    let base =
        Selection { cids: None, kinds: (LIVE, REMOVED), newest_only: false, expired_by: None, brief: false, after };
    match scan {
        Scan::Log { collections, .. } => Selection { cids: collections.as_ref().map(numbers), ..base },
        Scan::Net { collection, brief, .. } => {
            let cids = Some(number(collection).into_iter().collect());
            Selection { cids, newest_only: true, brief: *brief, ..base }
        }
        Scan::Snapshot { collections, expired_by, .. } => Selection {
            cids: collections.as_ref().map(numbers),
            kinds: (LIVE, LIVE),
            newest_only: true,
            expired_by: expired_by.map(|at| int(at.0)),
            ..base
        },
        Scan::Packet { collections, .. } => Selection { cids: collections.as_ref().map(numbers), ..base },
        Scan::Returns { collections, .. } => Selection { cids: Some(numbers(collections)), ..base },
        Scan::Ticket { .. } => Selection { kinds: (TICKET, TICKET), ..base },
    }
}

pub(super) struct Pass<'a, S> {
    names: &'a [String],
    pub(super) feed: Feed,
    send: &'a mut S,
    gone: Option<Gone>,
}

impl<'a, S: FnMut(Bytes) -> Result<(), Gone>> Pass<'a, S> {
    fn rows(&mut self, conn: &Connection, wanted: &Selection, scan: &Scan, head: &Head) -> rusqlite::Result<()> {
        if wanted.cids.as_ref().is_some_and(BTreeSet::is_empty) {
            return Ok(());
        }
        if let Scan::Ticket { lsn } = scan {
            return self.listed(conn, wanted, &[int(lsn.0)]);
        }
        if let Scan::Packet { .. } = scan {
            return self.packet(conn, wanted, scan);
        }
        if let Scan::Returns { after, author, .. } = scan {
            return self.returns(conn, wanted, (*after, *author));
        }
        match list_heads(conn, wanted, head)? {
            Some(list) => self.listed(conn, wanted, &list),
            None => self.in_one_pass(conn, wanted),
        }
    }

    /// Reads the log from front to back beside the list of what is superseded in it.
    fn in_one_pass(&mut self, conn: &Connection, wanted: &Selection) -> rusqlite::Result<()> {
        let columns = if wanted.brief { brief_columns() } else { COLUMNS.to_owned() };
        let mut log = conn.prepare_cached(&wanted.sql(&columns, "lsn > ?1"))?;
        let mut dead = conn.prepare_cached(SUPERSEDED)?;
        let mut dead = Superseded::of(dead.query([wanted.after])?);
        let mut rows = wanted.query(&mut log, wanted.after)?;
        let mut before = if self.feed.compares() { Some(conn.prepare_cached(STOOD)?) } else { None };
        while let Some(row) = rows.next()? {
            if wanted.newest_only && dead.contains(row.get(0)?)? {
                continue;
            }
            let going_on = match &mut before {
                Some(before) => self.offer_beside(row, wanted, before)?,
                None => self.offer(row, wanted)?,
            };
            if !going_on {
                break;
            }
        }
        Ok(())
    }

    /// Reads only the listed positions.
    fn listed(&mut self, conn: &Connection, wanted: &Selection, list: &[i64]) -> rusqlite::Result<()> {
        let mut log = conn.prepare_cached(&wanted.sql(COLUMNS, "lsn = ?1"))?;
        for lsn in list {
            let mut rows = wanted.query(&mut log, *lsn)?;
            let Some(row) = rows.next()? else { continue };
            if !self.offer(row, wanted)? {
                break;
            }
        }
        Ok(())
    }

    /// Offers a row with the version that it took the place of. `false`: the scan ends here.
    fn offer_beside(
        &mut self,
        row: &rusqlite::Row<'_>,
        wanted: &Selection,
        before: &mut Statement<'_>,
    ) -> rusqlite::Result<bool> {
        let mut rows = before.query(params![row.get::<_, Option<i64>>(12)?, LIVE])?;
        let stood = rows.next()?.map(|row| row.get_ref(0)).transpose()?;
        self.offer_over(row, wanted, stood.map(|text| text.as_str()).transpose()?)
    }

    /// `false`: the scan ends here.
    pub(super) fn offer(&mut self, row: &rusqlite::Row<'_>, wanted: &Selection) -> rusqlite::Result<bool> {
        self.offer_over(row, wanted, None)
    }

    fn offer_over(
        &mut self,
        row: &rusqlite::Row<'_>,
        wanted: &Selection,
        before: Option<&str>,
    ) -> rusqlite::Result<bool> {
        let (author, at) = if wanted.brief { (0, 0) } else { (row.get(3)?, nat(row.get(4)?)) };
        let (stamp, born): (i64, Option<i64>) = (row.get(5)?, row.get(7)?);
        let flags: i64 = row.get(8)?;
        let (collection, id) = (self.name(row.get(1)?)?, row.get_ref(9)?.as_str()?);
        let body = match std::str::from_utf8(row.get_ref(11)?.as_bytes()?) {
            Ok(body) => body,
            Err(why) => return Ok(self.feed.spoiled(collection, id, &why)),
        };
        self.offer_row(&Row {
            lsn: columns::lsn(row, 0)?,
            at: Millis(at),
            collection,
            id,
            live: row.get::<_, i64>(2)? == LIVE,
            author: Author(author),
            stamp: Stamp(nat(stamp)),
            born: Stamp(nat(born.unwrap_or(stamp))),
            meta: row.get_ref(10)?.as_str_or_null()?.unwrap_or_default(),
            eventful: flags & EVENTFUL != 0,
            created: Lsn(nat(row.get(6)?)),
            times: columns::times(flags),
            body,
            before,
        })
    }

    /// The name of a collection.
    pub(super) fn name<'n>(&self, cid: i64) -> rusqlite::Result<&'n str>
    where
        'a: 'n,
    {
        let name = usize::try_from(cid).ok().and_then(|cid| self.names.get(cid.checked_sub(1)?));
        name.map(String::as_str).ok_or(rusqlite::Error::IntegralValueOutOfRange(1, cid))
    }

    /// `false`: the scan ends here.
    pub(super) fn offer_row(&mut self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let taken = self.feed.offer(row);
        if let Some(chunk) = self.feed.full_chunk() {
            self.gone = (self.send)(chunk).err();
        }
        Ok(taken && self.gone.is_none())
    }
}

/// Positions of the wanted heads in log order, where they are few beside what one pass would read.
fn list_heads(conn: &Connection, wanted: &Selection, head: &Head) -> rusqlite::Result<Option<Vec<i64>>> {
    let positions = head.lsn.0.saturating_sub(nat(wanted.after));
    if !wanted.newest_only || positions < WORTH_LISTING {
        return Ok(None);
    }
    let limit = (positions / POSITIONS_PER_HEAD).min(MAX_LISTED);
    let among = wanted.cids.as_ref().map_or(String::new(), |cids| format!(" WHERE cid IN ({})", sql_list(cids)));
    let mut heads = conn.prepare(&format!("SELECT lsn FROM heads{among}"))?;
    let mut rows = heads.query([])?;
    let (mut list, mut seen) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        seen += 1;
        if seen > limit {
            return Ok(None);
        }
        let lsn: i64 = row.get(0)?;
        if lsn > wanted.after {
            list.push(lsn);
        }
    }
    list.sort_unstable();
    Ok(Some(list))
}

pub(super) fn sql_list(cids: &BTreeSet<i64>) -> String {
    cids.iter().map(i64::to_string).collect::<Vec<_>>().join(",")
}

/// Reads what readers saw in the place of a row.
const STOOD: &str = "SELECT body FROM log WHERE lsn = ?1 AND kind = ?2";

/// Reads the superseded positions after one.
pub(super) const SUPERSEDED: &str = "SELECT lsn FROM superseded WHERE lsn > ?1 ORDER BY lsn";

/// The superseded positions, met in the same order as the log's rows.
pub(super) struct Superseded<'s> {
    rows: Rows<'s>,
    next: Option<i64>,
}

impl<'s> Superseded<'s> {
    pub(super) fn of(rows: Rows<'s>) -> Superseded<'s> {
        Superseded { rows, next: Some(i64::MIN) }
    }

    pub(super) fn contains(&mut self, lsn: i64) -> rusqlite::Result<bool> {
        while self.next.is_some_and(|next| next < lsn) {
            self.next = self.rows.next()?.map(|row| row.get(0)).transpose()?;
        }
        Ok(self.next == Some(lsn))
    }
}
