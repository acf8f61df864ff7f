//! Which rows a scan asks for, in the words of the database, and how they come back.

use super::authors::author_of;
use super::pipeline::{Param, long, longs, text, texts};
use super::trouble::Failure;
use crate::store::columns::{EVENTFUL, LIVE, REMOVED, RETURN, TICKET, int, nat, times};
use crate::store::{Row, Scan};
use std::collections::BTreeSet;
use syncline_core::model::{CollectionName, Lsn, Millis, SpaceName, Stamp};

/// Where the columns of the log begin in a row.
pub(super) const LOG: usize = 0;
/// Where those of the newest version begin that a return leads to.
pub(super) const NEWEST: usize = 12;
/// Where the text is that stood before.
pub(super) const BEFORE: usize = 12;

/// Positions.
pub(super) enum Stretch<'l> {
    /// After the first, up to the second.
    Between(i64, i64),
    /// These.
    At(&'l [i64]),
}

/// What comes of a row of the log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Whole,
    /// With what stood before.
    Compared,
    /// Of a snapshot, what a brief reader reads, without the name of the only collection: six columns instead of twelve
    /// take three quarters of the server's time.
    Brief,
}

/// A statement that comes together part by part.
struct Words<'a> {
    sql: String,
    params: Vec<Param<'a>>,
}

impl<'a> Words<'a> {
    /// A value, by its place.
    fn bind(&mut self, param: Param<'a>) -> String {
        self.params.push(param);
        format!("${}", self.params.len())
    }

    fn add(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    /// One name is compared by itself, which costs less for each row than a list of one.
    fn among(&mut self, of: &str, names: Option<&'a BTreeSet<CollectionName>>) {
        if let Some(name) = only(names) {
            let name = self.bind(text(name.as_str()));
            self.add(&format!(" AND {of}.collection = {name}"));
        } else if let Some(names) = names {
            let names = self.bind(texts(names.iter().map(CollectionName::as_str)));
            self.add(&format!(" AND {of}.collection = ANY({names})"));
        }
    }
}

/// The collections that a scan names; `None`: all.
pub(super) fn collections(scan: &Scan) -> Option<&BTreeSet<CollectionName>> {
    match scan {
        Scan::Log { collections, .. } | Scan::Packet { collections, .. } | Scan::Snapshot { collections, .. } => {
            collections.as_ref()
        }
        Scan::Returns { collections, .. } => Some(collections),
        Scan::Net { .. } | Scan::Ticket { .. } => None,
    }
}

/// The only one of them.
pub(super) fn only(names: Option<&BTreeSet<CollectionName>>) -> Option<&CollectionName> {
    names.filter(|names| names.len() == 1)?.first()
}

/// Whether only heads are wanted, and nothing else that stands in the log.
pub(super) fn is_newest_only(scan: &Scan) -> bool {
    matches!(scan, Scan::Net { .. } | Scan::Snapshot { .. })
}

/// Positions of heads.
pub(super) fn heads_sql<'a>(space: &'a SpaceName, scan: &'a Scan, limit: i64) -> (String, Vec<Param<'a>>) {
    let mut words = Words { sql: String::new(), params: Vec::new() };
    let space = words.bind(text(space.as_str()));
    words.add(&format!("SELECT lsn FROM syncline.heads h WHERE h.space = {space}"));
    words.among("h", collections(scan));
    if let Scan::Net { collection, .. } = scan {
        let name = words.bind(text(collection.as_str()));
        words.add(&format!(" AND h.collection = {name}"));
    }
    let limit = words.bind(long(limit));
    words.add(&format!(" LIMIT {limit}"));
    (words.sql, words.params)
}

/// Rows of a scan in log order.
pub(super) fn rows_sql<'a>(
    space: &'a SpaceName,
    scan: &'a Scan,
    shape: Shape,
    stretch: &Stretch<'_>,
    limit: usize,
) -> (String, Vec<Param<'a>>) {
    let mut words = Words { sql: String::new(), params: Vec::new() };
    let space = words.bind(text(space.as_str()));
    let compares = shape == Shape::Compared;
    let stood = if compares { ", p.body" } else { "" };
    let columns = columns(&mut words, scan, shape) + stood;
    words.add(&format!("SELECT {columns} FROM syncline.log l"));
    if matches!(scan, Scan::Packet { .. }) {
        words.add(&format!(
            " LEFT JOIN syncline.heads h
                ON l.kind = 3 AND h.space = {space} AND h.collection = l.collection AND h.id = l.id
              LEFT JOIN syncline.log n ON n.space = {space} AND n.lsn = h.lsn"
        ));
    }
    if compares {
        words.add(&format!(
            " LEFT JOIN syncline.superseded b ON b.space = {space} AND b.until = l.lsn
              LEFT JOIN syncline.log p ON p.space = {space} AND p.lsn = b.lsn AND p.kind = {LIVE}"
        ));
    }
    words.add(&format!(" WHERE l.space = {space}"));
    match stretch {
        Stretch::Between(after, upto) => {
            let (after, upto) = (words.bind(long(*after)), words.bind(long(*upto)));
            words.add(&format!(" AND l.lsn > {after} AND l.lsn <= {upto}"));
        }
        Stretch::At(list) => {
            let list = words.bind(longs(list.to_vec()));
            words.add(&format!(" AND l.lsn = ANY({list})"));
        }
    }
    which(&mut words, scan, &space, matches!(stretch, Stretch::At(_)));
    let limit = words.bind(long(int(limit as u64)));
    words.add(&format!(" ORDER BY l.lsn LIMIT {limit}"));
    (words.sql, words.params)
}

fn columns(words: &mut Words<'_>, scan: &Scan, shape: Shape) -> String {
    let of = |table: &str| {
        ["kind", "author", "at", "stamp", "created", "born", "flags", "collection", "id", "meta", "body"]
            .map(|column| format!("{table}.{column}"))
            .join(", ")
    };
    match scan {
        // What is not read need not be sent, and metas are often as long as documents.
        Scan::Net { after, brief: true, .. } => {
            let after = words.bind(long(int(after.0)));
            format!(
                "l.lsn, l.kind, 0::BIGINT, 0::BIGINT, l.stamp, l.created, l.born, l.flags, l.collection, l.id,
                 CASE WHEN l.kind = {LIVE} AND l.flags & {EVENTFUL} = 0 AND l.created <= {after} THEN NULL
                 ELSE l.meta END, l.body"
            )
        }
        Scan::Packet { .. } => format!("l.lsn, {}, n.lsn, {}", of("l"), of("n")),
        Scan::Snapshot { .. } if shape == Shape::Brief => {
            let named = if only(collections(scan)).is_some() { "" } else { ", l.collection" };
            format!("l.lsn, l.author, l.stamp, l.id, l.meta, l.body{named}")
        }
        _ => format!("l.lsn, {}", of("l")),
    }
}

fn which<'a>(words: &mut Words<'a>, scan: &'a Scan, space: &str, listed: bool) {
    let standing = format!("NOT EXISTS (SELECT FROM syncline.superseded s WHERE s.space = {space} AND s.lsn = l.lsn)");
    words.among("l", collections(scan));
    match scan {
        Scan::Log { .. } => words.add(&format!(" AND l.kind <= {REMOVED}")),
        Scan::Net { collection, .. } => {
            let name = words.bind(text(collection.as_str()));
            words.add(&format!(" AND l.kind <= {REMOVED} AND l.collection = {name}"));
        }
        Scan::Snapshot { expired_by, .. } => {
            words.add(&format!(" AND l.kind = {LIVE}"));
            if let Some(at) = expired_by {
                let at = words.bind(long(int(at.0)));
                words.add(&format!(" AND (l.expires IS NULL OR l.expires > {at})"));
            }
        }
        Scan::Packet { author, .. } => {
            let own_upto = words.bind(long(int(scan.own_upto().0)));
            let author = words.bind(long(i64::from(author.0)));
            words.add(&format!(
                " AND (l.kind <= {REMOVED} AND (l.author <> {author} OR l.lsn <= {own_upto} OR l.created BETWEEN 1 AND {own_upto})
                       AND {standing} OR l.kind = 3 AND l.author = {author} OR l.kind = 4)"
            ));
        }
        Scan::Returns { author, .. } => {
            let author = words.bind(long(i64::from(author.0)));
            words.add(&format!(" AND l.kind = {RETURN} AND l.author = {author}"));
        }
        Scan::Ticket { .. } => words.add(&format!(" AND l.kind = {TICKET}")),
    }
    if is_newest_only(scan) && !listed {
        words.add(&format!(" AND {standing}"));
    }
}

/// A brief row of a snapshot, of the only collection or with its own name of one.
pub(super) fn brief_row_of<'r>(
    row: &'r tokio_postgres::Row,
    only: Option<&'r CollectionName>,
) -> Result<Row<'r>, Failure> {
    let nat_at = |column: usize| row.try_get::<_, i64>(column).map(nat);
    let stamp = Stamp(nat_at(2)?);
    Ok(Row {
        lsn: Lsn(nat_at(0)?),
        at: Millis(0),
        collection: only.map_or_else(|| row.try_get(6), |name| Ok(name.as_str()))?,
        id: row.try_get(3)?,
        live: true,
        author: author_of(row.try_get(1)?),
        stamp,
        born: stamp,
        meta: row.try_get::<_, Option<&str>>(4)?.unwrap_or_default(),
        eventful: false,
        created: Lsn::ZERO,
        times: times(0),
        body: row.try_get(5)?,
        before: None,
    })
}

/// A row of the log, from a column on.
pub(super) fn row_of(row: &tokio_postgres::Row, from: usize) -> Result<Row<'_>, Failure> {
    let nat_at = |column: usize| row.try_get::<_, i64>(from + column).map(nat);
    let (stamp, flags): (i64, i64) = (row.try_get(from + 4)?, row.try_get(from + 7)?);
    let born: Option<i64> = row.try_get(from + 6)?;
    Ok(Row {
        lsn: Lsn(nat_at(0)?),
        at: Millis(nat_at(3)?),
        collection: row.try_get(from + 8)?,
        id: row.try_get(from + 9)?,
        live: row.try_get::<_, i64>(from + 1)? == LIVE,
        author: author_of(row.try_get(from + 2)?),
        stamp: Stamp(nat(stamp)),
        born: Stamp(nat(born.unwrap_or(stamp))),
        meta: row.try_get::<_, Option<&str>>(from + 10)?.unwrap_or_default(),
        eventful: flags & EVENTFUL != 0,
        created: Lsn(nat_at(5)?),
        times: times(flags),
        body: row.try_get(from + 11)?,
        before: None,
    })
}
