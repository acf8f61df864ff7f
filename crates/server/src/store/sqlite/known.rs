//! What a space's writer remembers between commits, so that the hot path asks SQLite only for
//! documents. Read anew from the file after anything failed.

use super::columns::{self, int, nat};
use crate::store::{Head, Kept};
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, HashMap};
use syncline_core::model::{Author, CollectionName, NodeId, Seq, Seqs, UniqueKey};

static NO_KEYS: BTreeMap<UniqueKey, i64> = BTreeMap::new();

/// The writer's memory.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub head: Head,
    /// Whether places of removed documents may be kept for registered nodes.
    pub buried: bool,
    /// Whether documents may have a time to live.
    pub expiring: bool,
    authors: HashMap<NodeId, AuthorRow>,
    /// The last number given to a node: none is used again, also where its node was forgotten.
    last_author: u32,
    /// Of the nodes that have some: ops whose receipts are past their retention.
    forgotten: HashMap<NodeId, Seqs>,
    /// Of the nodes that belong to a token: which.
    owners: HashMap<NodeId, NodeId>,
    collections: HashMap<CollectionName, i64>,
    /// Of the collections that have some: the keys whose values are kept, with their numbers.
    unique: HashMap<CollectionName, BTreeMap<UniqueKey, i64>>,
}

/// What is remembered of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct AuthorRow {
    pub author: Author,
    /// The highest op number answered.
    pub last_seq: Seq,
}

impl Known {
    /// Reads everything from the file.
    pub fn read(conn: &Connection) -> rusqlite::Result<Known> {
        let buried = conn.prepare("SELECT 1 FROM log WHERE kind = 4")?.exists([])?;
        let expiring = conn.prepare("SELECT 1 FROM expiring")?.exists([])?;
        let mut known = Known { head: columns::head(conn)?, buried, expiring, ..Known::default() };
        let mut authors = conn.prepare("SELECT node, author, last_seq, forgotten, owner FROM authors")?;
        let mut rows = authors.query([])?;
        while let Some(row) = rows.next()? {
            let node = NodeId::new(row.get::<_, String>(0)?).map_err(|e| columns::wrong_text(0, e))?;
            let (author, last_seq) = (Author(row.get(1)?), Seq(nat(row.get(2)?)));
            if let Some(text) = row.get_ref(3)?.as_str_or_null()? {
                known.forgotten.insert(node.clone(), columns::seqs(text, 3)?);
            }
            if let Some(text) = row.get_ref(4)?.as_str_or_null()? {
                let owner = NodeId::new(text).map_err(|e| columns::wrong_text(4, e))?;
                known.owners.insert(node.clone(), owner);
            }
            known.authors.insert(node, AuthorRow { author, last_seq });
        }
        let last = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'authors'";
        known.last_author = conn.query_row(last, [], |row| row.get(0))?;
        let mut collections = conn.prepare("SELECT name, cid FROM collections")?;
        let mut rows = collections.query([])?;
        while let Some(row) = rows.next()? {
            let name = CollectionName::new(row.get::<_, String>(0)?).map_err(|e| columns::wrong_text(0, e))?;
            known.collections.insert(name, row.get(1)?);
        }
        for (cid, key, n) in unique_keys(conn)? {
            if let Some((name, _)) = known.collections.iter().find(|(_, other)| **other == cid) {
                known.unique.entry(name.clone()).or_default().insert(key, n);
            }
        }
        Ok(known)
    }

    /// A node's row, made when it is new.
    pub fn author(&mut self, conn: &Connection, node: &NodeId) -> rusqlite::Result<AuthorRow> {
        if let Some(row) = self.authors.get(node) {
            return Ok(*row);
        }
        self.last_author = self.last_author.checked_add(1).expect("fewer than 2^32 nodes");
        let author = Author(self.last_author);
        let mut add = conn.prepare_cached("INSERT INTO authors VALUES (?1, ?2, 0, NULL, 0, 0, NULL)")?;
        add.execute(params![author.0, node.as_str()])?;
        let row = AuthorRow { author, last_seq: Seq(0) };
        self.authors.insert(node.clone(), row);
        Ok(row)
    }

    /// Forgets a node that nothing names.
    pub fn drop_author(&mut self, conn: &Connection, author: Author) -> rusqlite::Result<()> {
        let mut gone = conn.prepare_cached("DELETE FROM authors WHERE author = ?1 RETURNING node")?;
        let mut nodes = gone.query([author.0])?;
        while let Some(row) = nodes.next()? {
            let node = NodeId::new(row.get::<_, String>(0)?).map_err(|e| columns::wrong_text(0, e))?;
            self.authors.remove(&node);
        }
        Ok(())
    }

    /// Notes that ops up to `seq` were answered.
    pub fn answered(&mut self, node: &NodeId, seq: Seq) {
        if let Some(row) = self.authors.get_mut(node) {
            row.last_seq = row.last_seq.max(seq);
        }
    }

    /// The node's ops whose receipts are past their retention.
    pub fn forgotten(&self, node: &NodeId) -> Seqs {
        self.forgotten.get(node).cloned().unwrap_or_default()
    }

    /// The token that the node belongs to.
    pub fn owner(&self, node: &NodeId) -> Option<NodeId> {
        self.owners.get(node).cloned()
    }

    /// Gives a node to a token.
    pub fn give(&mut self, conn: &Connection, node: &NodeId, token: &NodeId) -> rusqlite::Result<()> {
        let row = self.author(conn, node)?;
        let mut update = conn.prepare_cached("UPDATE authors SET owner = ?2 WHERE author = ?1")?;
        update.execute(params![row.author.0, token.as_str()])?;
        self.owners.insert(node.clone(), token.clone());
        Ok(())
    }

    /// Notes how much is kept aside.
    pub fn keep(&mut self, conn: &Connection, kept: Kept) -> rusqlite::Result<()> {
        if kept != self.head.kept {
            let mut update = conn.prepare_cached("UPDATE state SET conflicts = ?1, quarantined = ?2")?;
            update.execute([int(kept.conflicts), int(kept.quarantined)])?;
            self.head.kept = kept;
        }
        Ok(())
    }

    /// Notes ops of a node whose receipts go.
    pub fn forget(&mut self, conn: &Connection, author: Author, answered: Vec<Seq>) -> rusqlite::Result<()> {
        let mut find = conn.prepare_cached("SELECT node FROM authors WHERE author = ?1")?;
        let node: String = find.query_row([author.0], |row| row.get(0))?;
        let node = NodeId::new(node).map_err(|e| columns::wrong_text(0, e))?;
        let forgotten = self.forgotten.entry(node).or_default();
        forgotten.remember(answered);
        let text = serde_json::to_string(forgotten).expect("ranges serialize");
        conn.prepare_cached("UPDATE authors SET forgotten = ?2 WHERE author = ?1")?.execute(params![author.0, text])?;
        Ok(())
    }

    /// A collection's number; `None`: nothing was ever written to it.
    pub fn collection(&self, name: &CollectionName) -> Option<i64> {
        self.collections.get(name).copied()
    }

    /// The keys of a collection whose values are kept.
    pub fn unique_keys(&self, name: &CollectionName) -> &BTreeMap<UniqueKey, i64> {
        self.unique.get(name).unwrap_or(&NO_KEYS)
    }

    /// Notes that the values of a key are kept.
    pub fn add_unique(&mut self, name: &CollectionName, key: UniqueKey, n: i64) {
        self.unique.entry(name.clone()).or_default().insert(key, n);
    }

    /// Notes that the values of a key are kept no more.
    pub fn drop_unique(&mut self, name: &CollectionName, key: &UniqueKey) {
        if let Some(keys) = self.unique.get_mut(name) {
            keys.remove(key);
        }
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

/// The keys that are kept, from the file.
fn unique_keys(conn: &Connection) -> rusqlite::Result<Vec<(i64, UniqueKey, i64)>> {
    let mut find = conn.prepare("SELECT cid, fields, n FROM unique_keys")?;
    let rows = find.query_map([], |row| {
        let key = serde_json::from_str(row.get_ref(1)?.as_str()?).map_err(|e| columns::wrong_text(1, e))?;
        Ok((row.get(0)?, key, row.get(2)?))
    })?;
    rows.collect()
}
