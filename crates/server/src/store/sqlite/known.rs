//! What a space's writer remembers between commits, so that the hot path asks SQLite only for
//! documents. Read anew from the file after anything failed.

use super::columns::{self, int, nat};
use crate::store::Head;
use rusqlite::{Connection, params};
use std::collections::HashMap;
use syncline_core::model::{Author, CollectionName, NodeId, Seq};

/// The writer's memory.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub head: Head,
    authors: HashMap<NodeId, AuthorRow>,
    collections: HashMap<CollectionName, i64>,
}

/// What is remembered of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct AuthorRow {
    pub author: Author,
    /// The highest op number answered.
    pub last_seq: Seq,
    /// Receipts up to here are past their retention.
    pub forgotten: Seq,
}

impl Known {
    /// Reads everything from the file.
    pub fn read(conn: &Connection) -> rusqlite::Result<Known> {
        let mut known = Known { head: columns::head(conn)?, ..Known::default() };
        let mut authors = conn.prepare("SELECT node, author, last_seq, forgotten FROM authors")?;
        let mut rows = authors.query([])?;
        while let Some(row) = rows.next()? {
            let node = NodeId::new(row.get::<_, String>(0)?).map_err(|e| columns::wrong_text(0, e))?;
            let (author, last_seq, forgotten) = (Author(row.get(1)?), nat(row.get(2)?), nat(row.get(3)?));
            known.authors.insert(node, AuthorRow { author, last_seq: Seq(last_seq), forgotten: Seq(forgotten) });
        }
        let mut collections = conn.prepare("SELECT name, cid FROM collections")?;
        let mut rows = collections.query([])?;
        while let Some(row) = rows.next()? {
            let name = CollectionName::new(row.get::<_, String>(0)?).map_err(|e| columns::wrong_text(0, e))?;
            known.collections.insert(name, row.get(1)?);
        }
        Ok(known)
    }

    /// A node's row, made when it is new.
    pub fn author(&mut self, conn: &Connection, node: &NodeId) -> rusqlite::Result<AuthorRow> {
        if let Some(row) = self.authors.get(node) {
            return Ok(*row);
        }
        let author = Author(u32::try_from(self.authors.len() + 1).expect("fewer than 2^32 nodes"));
        let mut add = conn.prepare_cached("INSERT INTO authors VALUES (?1, ?2, 0, 0, 0, 0)")?;
        add.execute(params![author.0, node.as_str()])?;
        let row = AuthorRow { author, last_seq: Seq(0), forgotten: Seq(0) };
        self.authors.insert(node.clone(), row);
        Ok(row)
    }

    /// Notes that ops up to `seq` were answered.
    pub fn answered(&mut self, node: &NodeId, seq: Seq) {
        if let Some(row) = self.authors.get_mut(node) {
            row.last_seq = row.last_seq.max(seq);
        }
    }

    /// A collection's number; `None`: nothing was ever written to it.
    pub fn collection(&self, name: &CollectionName) -> Option<i64> {
        self.collections.get(name).copied()
    }

    /// A collection's number, made when it is new. Numbers are 1, 2, 3 …
    pub fn collection_or_new(&mut self, conn: &Connection, name: &CollectionName) -> rusqlite::Result<i64> {
        if let Some(cid) = self.collections.get(name) {
            return Ok(*cid);
        }
        let cid = int(self.collections.len() as u64 + 1);
        conn.prepare_cached("INSERT INTO collections VALUES (?1, ?2)")?.execute(params![cid, name.as_str()])?;
        self.collections.insert(name.clone(), cid);
        Ok(cid)
    }
}
