//! Which documents to look at: ranges of index entries that hold every document the filter means,
//! and perhaps others, or the whole collection.
//!
//! A plan is made from the filter and the definitions alone. It never decides: the caller asks the
//! filter about each candidate. Conditions on absence, and negations, find nothing in an index.

use super::QueryError;
use super::limits::SCANS_MAX;
use crate::filter::{Comparison, Filter, Node, Test};
use crate::index::{IndexDef, IndexId, key, key_bytes_max};
use rusqlite::{Connection, params};
use serde_json::Value;

/// A way to the documents of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Look at every document.
    All,
    /// Look at the documents that these entries name; without any, there are none.
    Scans(Vec<Scan>),
}

/// A range of entries of one index, both ends included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scan {
    /// The index.
    pub index: IndexId,
    /// The first key.
    pub first: Vec<u8>,
    /// The last key.
    pub last: Vec<u8>,
}

/// The rows to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidates {
    /// Every document of the collection.
    All,
    /// The documents in these rows, ascending and distinct.
    Rows(Vec<i64>),
}

/// Chooses the scans that likely look at the fewest documents.
#[must_use]
pub fn plan(filter: &Filter, defs: &[IndexDef]) -> Plan {
    match best(filter.root(), defs) {
        Some(choice) if choice.scans.len() <= SCANS_MAX => Plan::Scans(choice.scans),
        _ => Plan::All,
    }
}

impl Plan {
    /// Reads the rows from the index, and gives up for [`Candidates::All`] when there are more than
    /// `candidates_max` (see [`CANDIDATES_MAX`](super::CANDIDATES_MAX)).
    ///
    /// # Errors
    /// [`QueryError::Sqlite`].
    pub fn candidates(&self, conn: &Connection, candidates_max: usize) -> Result<Candidates, QueryError> {
        let Plan::Scans(scans) = self else {
            return Ok(Candidates::All);
        };
        let mut docs: Vec<i64> = Vec::new();
        let mut statement =
            conn.prepare_cached("SELECT doc FROM index_entries WHERE index_id = ?1 AND key >= ?2 AND key <= ?3")?;
        for scan in scans {
            let mut rows = statement.query(params![scan.index.0, scan.first, scan.last])?;
            while let Some(row) = rows.next()? {
                docs.push(row.get(0)?);
                if docs.len() > 2 * candidates_max {
                    docs.sort_unstable();
                    docs.dedup();
                    if docs.len() > candidates_max {
                        return Ok(Candidates::All);
                    }
                }
            }
        }
        docs.sort_unstable();
        docs.dedup();
        if docs.len() > candidates_max { Ok(Candidates::All) } else { Ok(Candidates::Rows(docs)) }
    }
}

/// Scans that hold all documents of a condition, and how many documents they may look at: a guess,
/// only good for comparing.
struct Choice {
    scans: Vec<Scan>,
    cost: usize,
}

/// The cheapest choice for a condition; `None` when only the whole collection will do.
fn best(node: &Node, defs: &[IndexDef]) -> Option<Choice> {
    match node {
        Node::And(nodes) => {
            let parts = nodes.iter().filter_map(|node| best(node, defs));
            parts.chain(defs.iter().filter_map(|def| joined(nodes, def))).min_by_key(|choice| choice.cost)
        }
        Node::Or(nodes) => {
            let mut all = Choice { scans: Vec::new(), cost: 0 };
            for node in nodes {
                let choice = best(node, defs)?;
                all.cost += choice.cost;
                all.scans.extend(choice.scans);
            }
            all.scans.sort_unstable();
            all.scans.dedup();
            Some(all)
        }
        Node::Field { path, test } => defs
            .iter()
            .filter(|def| def.path == *path)
            .filter_map(|def| Some(choice(def, ranges(test, def)?, false)))
            .min_by_key(|choice| choice.cost),
        Node::Not(_) => None,
    }
}

/// Several conditions on one index's path, joined: where their ranges meet, and the documents with
/// several values, in which each condition may hold for another one.
fn joined(nodes: &[Node], def: &IndexDef) -> Option<Choice> {
    let mut all_ranges = nodes.iter().filter_map(|node| match node {
        Node::Field { path, test } if *path == def.path => ranges(test, def),
        _ => None,
    });
    let (first, second) = (all_ranges.next()?, all_ranges.next()?);
    let meeting = all_ranges.fold(meet(&first, &second), |met, more| meet(&met, &more));
    Some(choice(def, meeting, true))
}

fn choice(def: &IndexDef, ranges: Vec<Range>, with_many: bool) -> Choice {
    let mut cost: usize = ranges.iter().map(|range| range.cost(def)).sum();
    let mut scans: Vec<Scan> = ranges.into_iter().map(|range| range.scan(def)).collect();
    let mut mark = |mark: [u8; 1]| scans.push(Scan { index: def.id, first: mark.to_vec(), last: mark.to_vec() });
    if with_many {
        mark(key::MANY);
        cost += COST_MANY;
    }
    if !def.unique {
        mark(key::ANY);
    }
    Choice { scans, cost }
}

const COST_UNIQUE: usize = 1;
const COST_POINT: usize = 10;
const COST_MANY: usize = 100;
const COST_BETWEEN: usize = 300;
const COST_OPEN: usize = 1_000;

/// Keys from `first` to `last`, both included.
#[derive(Clone, Debug)]
struct Range {
    first: Vec<u8>,
    last: Vec<u8>,
}

impl Range {
    fn point(key: Vec<u8>) -> Range {
        Range { first: key.clone(), last: key }
    }

    fn cost(&self, def: &IndexDef) -> usize {
        // A bound of one byte is the end of a kind, not a value.
        match (self.first == self.last, self.first.len() > 1 && self.last.len() > 1) {
            (true, _) if def.unique => COST_UNIQUE,
            (true, _) => COST_POINT,
            (false, true) => COST_BETWEEN,
            (false, false) => COST_OPEN,
        }
    }

    fn scan(self, def: &IndexDef) -> Scan {
        Scan { index: def.id, first: self.first, last: self.last }
    }
}

/// The ranges that hold every entry of a document passing the test, ascending and apart; `None` when
/// a document without entries may pass.
fn ranges(test: &Test, def: &IndexDef) -> Option<Vec<Range>> {
    let bytes_max = key_bytes_max(def);
    match test {
        Test::Equal(Value::Null) | Test::Exists | Test::Compare(_, Value::Null) => None,
        Test::Equal(value) => Some(points(std::slice::from_ref(value), bytes_max)),
        Test::In(values) if values.contains(&Value::Null) => None,
        Test::In(values) => Some(points(values, bytes_max)),
        Test::Compare(side, value) => {
            let (kind_first, kind_last) = key::bounds_of_kind(value);
            let bound = key::of_value(value, bytes_max);
            Some(vec![match side {
                Comparison::Greater | Comparison::GreaterOrEqual => Range { first: bound, last: kind_last },
                Comparison::Less | Comparison::LessOrEqual => Range { first: kind_first, last: bound },
            }])
        }
    }
}

fn points(values: &[Value], bytes_max: usize) -> Vec<Range> {
    let mut keys: Vec<Vec<u8>> = values.iter().map(|value| key::of_value(value, bytes_max)).collect();
    keys.extend(values.iter().filter(|value| value.is_array()).map(|value| key::of_whole_array(value, bytes_max)));
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().map(Range::point).collect()
}

/// Where two lists of ranges meet.
fn meet(left: &[Range], right: &[Range]) -> Vec<Range> {
    let (mut l, mut r, mut met) = (0, 0, Vec::new());
    while let (Some(a), Some(b)) = (left.get(l), right.get(r)) {
        let (first, last) = ((&a.first).max(&b.first), (&a.last).min(&b.last));
        if first <= last {
            met.push(Range { first: first.clone(), last: last.clone() });
        }
        if a.last < b.last { l += 1 } else { r += 1 }
    }
    met
}
