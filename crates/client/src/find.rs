//! Reads: one document by id, or those that a query means, by index where one helps.
//!
//! What has expired is never seen. Runs on whatever transaction it is given, so a transaction reads
//! its own writes.

use crate::error::{Error, Result};
use crate::filter::{Filter, Node, Test};
use crate::query::{self, CANDIDATES_MAX, Candidates, Query};
use crate::store::{Named, Row, Unit, rows};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;
use syncline_core::model::{CollectionName, DocId};

/// The document with this id.
pub(crate) fn get(unit: &mut Unit<'_>, collection: &CollectionName, id: &str) -> Result<Option<Value>> {
    let Ok(id) = DocId::new(id) else { return Ok(None) };
    let Some(named) = unit.find(collection)? else { return Ok(None) };
    let row = visible(unit, &named, &id)?;
    row.and_then(|row| row.body).as_deref().map(parsed).transpose()
}

/// The row of a document that the app sees.
pub(crate) fn visible(unit: &Unit<'_>, named: &Named, id: &DocId) -> Result<Option<Row>> {
    Ok(rows::by_id(unit.conn, named.cid, id)?.filter(|row| row.is_visible(unit.now)))
}

/// The documents that a query means.
pub(crate) fn run(unit: &mut Unit<'_>, collection: &CollectionName, query: &Query) -> Result<Vec<Value>> {
    let Some(named) = unit.find(collection)? else { return Ok(Vec::new()) };
    let mut failure = None;
    let found = walk(unit, &named, query.filter(), |documents| {
        query.run(documents.map_while(|read| read.map_err(|error| failure = Some(error)).ok()))
    })?;
    failure.map_or(Ok(found), Err)
}

/// How many documents a filter means.
pub(crate) fn count(unit: &mut Unit<'_>, collection: &CollectionName, filter: &Filter) -> Result<usize> {
    let Some(named) = unit.find(collection)? else { return Ok(0) };
    if *filter == Filter::all() {
        let sql = "SELECT count(*) FROM docs WHERE cid = ?1 AND body IS NOT NULL AND (expires IS NULL OR expires > ?2)";
        return Ok(unit.conn.prepare_cached(sql)?.query_row(params![named.cid, unit.now.0], |row| row.get(0))?);
    }
    walk(unit, &named, filter, |documents| {
        documents.map(|read| Ok(usize::from(filter.matches(&read?)))).sum::<Result<usize>>()
    })?
}

/// The ids of the documents that a filter means.
pub(crate) fn ids(unit: &mut Unit<'_>, collection: &CollectionName, filter: &Filter) -> Result<Vec<DocId>> {
    let found = run(unit, collection, &Query::new(filter.clone()))?;
    let id = |document: &Value| Ok(DocId::new(document["_id"].as_str().unwrap_or_default())?);
    found.iter().map(id).collect()
}

/// Hands the candidates of a filter to `take`, in the order of the collection.
fn walk<T>(
    unit: &Unit<'_>,
    named: &Named,
    filter: &Filter,
    take: impl FnOnce(&mut dyn Iterator<Item = Result<Value>>) -> T,
) -> Result<T> {
    let (conn, now) = (unit.conn, unit.now.0);
    let candidates = match id_asked(filter.root()) {
        Some(id) => Candidates::Rows(row_of(conn, named, id)?.into_iter().collect()),
        None => query::plan(filter, &named.indexes).candidates(conn, CANDIDATES_MAX)?,
    };
    match candidates {
        Candidates::All => {
            let sql = "SELECT body FROM docs WHERE cid = ?1 AND body IS NOT NULL AND (expires IS NULL OR expires > ?2)
                       ORDER BY doc";
            let mut statement = conn.prepare_cached(sql)?;
            let mut rows = statement.query(params![named.cid, now])?;
            let mut documents = std::iter::from_fn(|| next_document(&mut rows).transpose());
            Ok(take(&mut documents))
        }
        Candidates::Rows(docs) => {
            let mut documents = docs.into_iter().filter_map(|doc| one_document(conn, doc, now).transpose());
            Ok(take(&mut documents))
        }
    }
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

fn next_document(rows: &mut rusqlite::Rows<'_>) -> Result<Option<Value>> {
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(parsed(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?))
}

fn one_document(conn: &Connection, doc: i64, now: u64) -> Result<Option<Value>> {
    let sql = "SELECT body FROM docs WHERE doc = ?1 AND body IS NOT NULL AND (expires IS NULL OR expires > ?2)";
    let mut statement = conn.prepare_cached(sql)?;
    next_document(&mut statement.query(params![doc, now])?)
}

fn parsed(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|e| Error::Damaged(format!("a stored document is not JSON: {e}")))
}
