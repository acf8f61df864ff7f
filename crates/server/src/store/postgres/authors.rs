//! The numbers of nodes. A node gets one when it is first named in a commit, under the space's lock.

use super::pipeline::{Pipeline, longs, text, texts};
use super::trouble::Failure;
use crate::store::StoreError;
use crate::store::columns::nat;
use std::collections::BTreeMap;
use syncline_core::model::{Author, NodeId, Seqs, SpaceName};
use tokio_postgres::Row;

/// What is known of a node.
#[derive(Clone, Debug, Default)]
pub(super) struct AuthorRow {
    pub author: Author,
    pub forgotten: Seqs,
    pub owner: Option<NodeId>,
}

/// The nodes that a commit names.
#[derive(Debug, Default)]
pub(super) struct Authors {
    rows: BTreeMap<NodeId, AuthorRow>,
    /// Those that have no row yet.
    new: Vec<NodeId>,
    last: i64,
}

impl Authors {
    /// Of what `known` found, where `last` is the last number given.
    pub fn of(rows: &[Row], last: i64) -> Result<Authors, Failure> {
        let mut authors = Authors { last, ..Authors::default() };
        authors.add(rows)?;
        Ok(authors)
    }

    /// More of them.
    pub fn add(&mut self, rows: &[Row]) -> Result<(), Failure> {
        let action = "reading a node";
        for row in rows {
            let node = NodeId::new(row.try_get::<_, String>(0)?).map_err(StoreError::engine(action))?;
            let forgotten = match row.try_get::<_, Option<&str>>(6)? {
                Some(text) => serde_json::from_str(text).map_err(StoreError::engine(action))?,
                None => Seqs::default(),
            };
            let owner = row.try_get::<_, Option<String>>(1)?.map(NodeId::new);
            let owner = owner.transpose().map_err(StoreError::engine(action))?;
            self.rows.insert(node, AuthorRow { author: author_of(row.try_get(2)?), forgotten, owner });
        }
        Ok(())
    }

    /// A node's row, new ones with a fresh number.
    pub fn number(&mut self, node: &NodeId) -> &AuthorRow {
        let Authors { rows, new, last } = self;
        rows.entry(node.clone()).or_insert_with(|| {
            *last += 1;
            new.push(node.clone());
            AuthorRow { author: author_of(*last), ..AuthorRow::default() }
        })
    }

    /// Whether the node's row was asked for or made.
    pub fn knows(&self, node: &NodeId) -> bool {
        self.rows.contains_key(node)
    }

    /// The last number given.
    pub fn last(&self) -> i64 {
        self.last
    }

    /// Whether there are rows to write.
    pub fn has_new(&self) -> bool {
        !self.new.is_empty()
    }

    /// The number of a node that is known.
    pub fn of_known(&self, node: &NodeId) -> i64 {
        i64::from(self.rows.get(node).expect("a node is numbered before it is written").author.0)
    }

    /// Writes the new rows.
    pub fn write<'a>(&'a self, pipeline: &mut Pipeline<'a>, space: &'a SpaceName) {
        if self.new.is_empty() {
            return;
        }
        let sql = "INSERT INTO syncline.authors (space, node, author)
                   SELECT $1, t.node, t.author FROM unnest($2::TEXT[], $3::BIGINT[]) AS t (node, author)";
        let numbers = self.new.iter().map(|node| self.of_known(node));
        pipeline.send(sql, vec![text(space.as_str()), texts(self.new.iter().map(NodeId::as_str)), longs(numbers)]);
    }
}

/// A number in a column.
pub(super) fn author_of(n: i64) -> Author {
    Author(u32::try_from(nat(n)).expect("fewer than 2^32 nodes"))
}
