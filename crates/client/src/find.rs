//! Reads: one document by id, or those that a query means, by index where one helps.
//!
//! What has expired is never seen. Runs on whatever transaction it is given, so a transaction reads
//! its own writes.

use crate::error::{Error, Result};
use crate::filter::{Filter, Node, Test};
use crate::query::{self, CANDIDATES_MAX, Candidates, Glance, Query};
use crate::store::{Named, Row, Unit, View, rows};
use crate::text;
use rusqlite::{Connection, OptionalExtension, Rows, params};
use serde_json::Value;
use std::ops::ControlFlow;
use syncline_core::model::{CollectionName, DocId, Millis};

/// What a query means at one time.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// The documents, in order.
    pub documents: Vec<Value>,
    /// When the first document that it rests on expires.
    pub stands_until: Option<Millis>,
}

/// The document with this id.
pub(crate) fn get(view: &mut View<'_>, collection: &CollectionName, id: &str) -> Result<Option<Value>> {
    let Ok(id) = DocId::new(id) else { return Ok(None) };
    let Some(named) = view.find(collection)? else { return Ok(None) };
    let row = rows::by_id(view.conn, named.cid, &id)?.filter(|row| row.is_visible(view.now));
    let Some((id, text)) = row.and_then(|row| Some((row.id, row.body?))) else { return Ok(None) };
    text::read(&text).map(Some).map_err(|why| Error::damaged(Some(collection), &id, why))
}

/// The row of a document that the app sees.
pub(crate) fn visible(unit: &Unit<'_>, named: &Named, id: &DocId) -> Result<Option<Row>> {
    Ok(rows::by_id(unit.conn, named.cid, id)?.filter(|row| row.is_visible(unit.now)))
}

/// The documents that a query means.
pub(crate) fn run(view: &mut View<'_>, collection: &CollectionName, query: &Query) -> Result<Answer> {
    let Some(named) = view.find(collection)? else { return Ok(Answer::default()) };
    let mut reading = query.read();
    let mut stands_until: Option<Millis> = None;
    walk(view, &named, query.filter(), |text, expires| {
        let offered = reading.offer(text)?;
        if offered.is_some() {
            stands_until = [stands_until, expires].into_iter().flatten().min();
        }
        Ok(offered.unwrap_or(ControlFlow::Continue(())))
    })?;
    let documents = reading.finish().or_else(|why| Err(blamed(view, &named, why)?))?;
    Ok(Answer { documents, stands_until })
}

/// The document that could not be read in the end, by name.
fn blamed(view: &View<'_>, named: &Named, why: serde_json::Error) -> Result<Error> {
    let mut statement =
        view.conn.prepare("SELECT id, body FROM docs WHERE cid = ?1 AND body IS NOT NULL ORDER BY doc")?;
    let mut rows = statement.query([named.cid])?;
    while let Some(row) = rows.next()? {
        let text = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
        if let Err(why) = text::read::<Value>(text) {
            return Ok(Error::damaged(Some(&named.name), &DocId::new(row.get::<_, String>(0)?)?, why));
        }
    }
    Ok(why.into())
}

/// How many documents a filter means.
pub(crate) fn count(view: &mut View<'_>, collection: &CollectionName, filter: &Filter) -> Result<usize> {
    let Some(named) = view.find(collection)? else { return Ok(0) };
    if *filter == Filter::all() {
        let sql = "SELECT count(*) FROM docs WHERE cid = ?1 AND body IS NOT NULL AND (expires IS NULL OR expires > ?2)";
        return Ok(view.conn.prepare_cached(sql)?.query_row(params![named.cid, view.now.0], |row| row.get(0))?);
    }
    let (glance, mut count) = (Glance::new(filter, std::iter::empty()), 0);
    walk(view, &named, filter, |text, _| {
        count += usize::from(filter.matches(&glance.read(text)?));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(count)
}

/// The ids of the documents that a filter means.
pub(crate) fn ids(view: &mut View<'_>, collection: &CollectionName, filter: &Filter) -> Result<Vec<DocId>> {
    let found = run(view, collection, &Query::new(filter.clone()))?.documents;
    let id = |document: &Value| Ok(DocId::new(document["_id"].as_str().unwrap_or_default())?);
    found.iter().map(id).collect()
}

/// Shows the texts of a filter's candidates, and when they expire, in the order of the collection,
/// until `see` breaks.
fn walk(
    view: &View<'_>,
    named: &Named,
    filter: &Filter,
    mut see: impl FnMut(&str, Option<Millis>) -> serde_json::Result<ControlFlow<()>>,
) -> Result<()> {
    let (conn, now) = (view.conn, view.now.0);
    let candidates = match id_asked(filter.root()) {
        Some(id) => Candidates::Rows(row_of(conn, named, id)?.into_iter().collect()),
        None => query::plan(filter, &named.indexes).candidates(conn, CANDIDATES_MAX)?,
    };
    match candidates {
        Candidates::All => {
            let sql = "SELECT body, expires, id FROM docs WHERE cid = ?1 AND body IS NOT NULL AND (expires IS NULL OR expires > ?2)
                       ORDER BY doc";
            let mut statement = conn.prepare_cached(sql)?;
            show(&named.name, statement.query(params![named.cid, now])?, &mut see).map(drop)
        }
        Candidates::Rows(docs) => {
            let sql = "SELECT body, expires, id FROM docs WHERE doc = ?1 AND body IS NOT NULL AND (expires IS NULL OR expires > ?2)";
            let mut statement = conn.prepare_cached(sql)?;
            for doc in docs {
                if show(&named.name, statement.query(params![doc, now])?, &mut see)?.is_break() {
                    break;
                }
            }
            Ok(())
        }
    }
}

fn show(
    collection: &CollectionName,
    mut rows: Rows<'_>,
    see: &mut impl FnMut(&str, Option<Millis>) -> serde_json::Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    while let Some(row) = rows.next()? {
        let text = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        let expires = row.get::<_, Option<u64>>(1)?.map(Millis);
        let seen = text::read_with(text, |text| see(text, expires));
        let seen = match seen {
            Ok(seen) => seen,
            Err(why) => return Err(Error::damaged(Some(collection), &DocId::new(row.get::<_, String>(2)?)?, why)),
        };
        if seen.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// The only id that a filter can mean, if it names one: the table itself is its index.
fn id_asked(node: &Node) -> Option<&str> {
    match node {
        Node::Field { path, test: Test::Equal(Value::String(id)) } if path.as_str() == "_id" => Some(id),
        Node::And(nodes) => nodes.iter().find_map(id_asked),
        _ => None,
    }
}

fn row_of(conn: &Connection, named: &Named, id: &str) -> Result<Option<i64>> {
    let mut statement = conn.prepare_cached("SELECT doc FROM docs WHERE cid = ?1 AND id = ?2")?;
    Ok(statement.query_row(params![named.cid, id], |row| row.get(0)).optional()?)
}
