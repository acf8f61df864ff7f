//! One transaction on the file: what its steps share.

use super::names::Named;
use super::view::View;
use super::{Memory, Watcher, rows};
use crate::error::{Error, Result};
use crate::fate::Fate;
use crate::index;
use crate::text;
use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use syncline_core::model::{Author, CollectionName, DocId, Millis, NodeId, Seq, Stamp};
use uuid::Uuid;

/// An open transaction, or a consistent read.
pub(crate) struct Unit<'s> {
    /// The connection, inside the transaction.
    pub conn: &'s Connection,
    /// The time of all that happens in it.
    pub now: Millis,
    memory: &'s mut Memory,
    written: BTreeSet<CollectionName>,
    /// Whether clock and numbers must be saved because the rows that prove them went away.
    save_state: bool,
    /// Ops that edits became, where somebody wants to know.
    tracked: Option<BTreeSet<i64>>,
    /// What has become of ops.
    fates: BTreeMap<i64, Fate>,
}

/// What a transaction has come to, beside its rows.
pub(crate) struct Finished {
    /// The collections that the app wrote.
    pub written: BTreeSet<CollectionName>,
    /// The ops that its edits became and that wait for the hub.
    pub tracked: Option<BTreeSet<i64>>,
    /// What has become of ops.
    pub fates: BTreeMap<i64, Fate>,
}

impl<'s> Unit<'s> {
    pub(super) fn new(conn: &'s Connection, memory: &'s mut Memory, now: Millis) -> Unit<'s> {
        let (written, fates) = (BTreeSet::new(), BTreeMap::new());
        Unit { conn, now, memory, written, save_state: false, tracked: None, fates }
    }

    /// Notes from now on which ops edits become.
    pub(super) fn track(&mut self) {
        self.tracked = Some(BTreeSet::new());
    }

    /// The rows of a table of what was kept for a person, oldest first; of one collection, or of all.
    pub(crate) fn kept<T>(
        &self,
        table: &str,
        columns: &str,
        collection: Option<&CollectionName>,
        read: impl Fn(&SqlRow<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let sql = format!("SELECT {columns} FROM {table} WHERE ?1 IS NULL OR collection = ?1 ORDER BY number");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let mut rows = statement.query([collection.map(CollectionName::as_str)])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(read(row)?);
        }
        Ok(found)
    }

    /// An edit became this op, or part of it.
    pub(crate) fn recorded(&mut self, op: i64) {
        if let Some(tracked) = &mut self.tracked {
            tracked.insert(op);
        }
    }

    /// The hub has decided an op.
    pub(crate) fn note_fate(&mut self, op: i64, fate: Fate) {
        self.fates.insert(op, fate);
    }

    /// Last writes before the commit. `awaited`: ops whose fates somebody waits for.
    pub(super) fn finish(mut self, awaited: &[i64]) -> Result<Finished> {
        if self.save_state {
            let memory = &self.memory;
            self.conn.prepare_cached("UPDATE state SET author = ?1, last_seq = ?2, clock = ?3")?.execute(params![
                memory.author.0,
                memory.last_seq.0,
                memory.clock.last().0
            ])?;
        }
        let known = |ops: BTreeSet<i64>| still_waiting(self.conn, &ops.into_iter().collect::<Vec<_>>());
        let tracked = self.tracked.take().map(known).transpose()?;
        // What went without a word of the hub was given up here.
        let mut fates = self.fates;
        if self.save_state && !awaited.is_empty() {
            let left = still_waiting(self.conn, awaited)?;
            for op in awaited.iter().filter(|op| !left.contains(op)) {
                fates.entry(*op).or_insert(Fate::Withdrawn);
            }
        }
        Ok(Finished { written: self.written, tracked, fates })
    }

    /// What has been written so far, to read from.
    pub(crate) fn view(&mut self) -> View<'_> {
        View::new(self.conn, self.now, &mut self.memory.names)
    }

    /// This replica.
    pub(crate) fn node(&self) -> &NodeId {
        &self.memory.node
    }

    /// This replica's number at the hub; [`Author::SELF`] before it is known.
    pub(crate) fn author(&self) -> Author {
        self.memory.author
    }

    /// Learns this replica's number at the hub.
    pub(crate) fn set_author(&mut self, author: Author) {
        self.memory.author = author;
        self.save_state = true;
    }

    /// This replica is another one from now on, which no hub knows.
    pub(crate) fn become_new_node(&mut self) -> Result<NodeId> {
        let node = NodeId::new(Uuid::new_v4().to_string())?;
        self.conn.prepare_cached("UPDATE state SET node = ?1")?.execute([node.as_str()])?;
        self.memory.node = node.clone();
        self.set_author(Author::SELF);
        Ok(node)
    }

    /// A new stamp.
    pub(crate) fn tick(&mut self) -> Stamp {
        self.memory.clock.tick(self.now)
    }

    /// Learns of a stamp made elsewhere.
    pub(crate) fn see(&mut self, stamp: Stamp) {
        self.memory.clock.see(stamp);
        self.save_state = true;
    }

    /// A number that was never used.
    pub(crate) fn next_seq(&mut self) -> Seq {
        self.memory.last_seq = Seq(self.memory.last_seq.0 + 1);
        self.memory.last_seq
    }

    /// Rows of the outbox went: the numbers that they proved to be used must be saved.
    pub(crate) fn outbox_shrinks(&mut self) {
        self.save_state = true;
    }

    /// How many ops of a collection wait for the hub, where that is known.
    pub(crate) fn waiting(&self, cid: i64) -> Option<u64> {
        self.memory.waiting.get(&cid).copied()
    }

    /// So many wait.
    pub(crate) fn set_waiting(&mut self, cid: i64, count: u64) {
        self.memory.waiting.insert(cid, count);
    }

    /// One more op waits.
    pub(crate) fn one_waits(&mut self, cid: i64) {
        self.memory.waiting.entry(cid).and_modify(|count| *count += 1);
    }

    /// One op waits no more.
    pub(crate) fn one_settled(&mut self, cid: i64) {
        self.memory.waiting.entry(cid).and_modify(|count| *count = count.saturating_sub(1));
    }

    /// Those that wait must be counted again.
    pub(crate) fn recount_waiting(&mut self, cid: i64) {
        self.memory.waiting.remove(&cid);
    }

    /// The collection, if it exists.
    pub(crate) fn find(&mut self, name: &CollectionName) -> Result<Option<Arc<Named>>> {
        self.memory.names.find(self.conn, name)
    }

    /// The collection, made when it does not exist.
    pub(crate) fn make(&mut self, name: &CollectionName) -> Result<Arc<Named>> {
        self.memory.names.make(self.conn, name)
    }

    /// The row of a collection, or its indexes, changed.
    pub(crate) fn renamed(&mut self, name: &CollectionName) {
        self.memory.names.forget(name);
    }

    /// The rows of several collections changed.
    pub(crate) fn renamed_all(&mut self) {
        self.memory.names.forget_all();
    }

    /// The app wrote to this collection.
    pub(crate) fn wrote(&mut self, named: &Named) {
        if !self.written.contains(&named.name) {
            self.written.insert(named.name.clone());
        }
    }

    /// Adds a live query.
    pub(crate) fn watch(&mut self, watcher: Arc<Watcher>) {
        self.memory.watchers.add(watcher);
    }

    /// Whether changes of the collection's documents must be told one by one to [`Unit::changed`].
    pub(crate) fn is_observed(&mut self, named: &Named) -> bool {
        !named.indexes.is_empty() || self.memory.watchers.any_of(&named.name)
    }

    /// What the app sees of a document changed: indexes follow, live queries are noted.
    pub(crate) fn changed(&mut self, named: &Named, doc: i64, old: Option<&str>, new: Option<&str>) -> Result<()> {
        if old == new || !self.is_observed(named) {
            return Ok(());
        }
        let (known, new) = (old.map(text::read).transpose(), new.map(text::read).transpose()?);
        if known.is_err() {
            index::forget(self.conn, &named.indexes, doc)?;
        }
        let old: Option<serde_json::Value> = known.unwrap_or_default();
        index::write(self.conn, &named.indexes, doc, old.as_ref(), new.as_ref())?;
        self.memory.watchers.note(&named.name, old.as_ref(), new.as_ref());
        Ok(())
    }

    /// The unique index that `text` would break, with the value and who holds it.
    pub(crate) fn not_unique(&self, named: &Named, doc: Option<i64>, text: &str) -> Result<Option<Taken>> {
        if !named.indexes.iter().any(|def| def.unique) {
            return Ok(None);
        }
        let new = text::read(text)?;
        let Some(conflict) = index::unique_conflict(self.conn, &named.indexes, doc, &new)? else { return Ok(None) };
        let Some(def) = named.indexes.iter().find(|def| def.id == conflict.index) else { return Ok(None) };
        let holder = rows::by_doc(self.conn, conflict.holder)?;
        let holder = holder.ok_or_else(|| Error::Damaged(format!("index `{}` names a row that is gone", def.name)))?;
        let mut shown = None;
        def.path.any_leaf(&new, &mut |leaf| {
            shown = leaf.map(ToString::to_string);
            true
        });
        let value = format!("`{}` = {}", def.path, shown.unwrap_or_default());
        Ok(Some(Taken { index: def.name.clone(), value, holder }))
    }

    /// The collection with this number.
    pub(crate) fn by_cid(&mut self, cid: i64) -> Result<Arc<Named>> {
        let name: Option<String> = self
            .conn
            .prepare_cached("SELECT name FROM collections WHERE cid = ?1")?
            .query_row([cid], |row| row.get(0))
            .optional()?;
        let name = name.ok_or_else(|| Error::Damaged(format!("there is no collection number {cid}")))?;
        self.make(&CollectionName::new(name)?)
    }
}

/// Of some ops those that the hub has not receipted.
fn still_waiting(conn: &Connection, ops: &[i64]) -> Result<BTreeSet<i64>> {
    let mut find = conn.prepare_cached("SELECT 1 FROM outbox WHERE seq = ?1 AND state < 2")?;
    let mut found = BTreeSet::new();
    for op in ops {
        if find.exists([op])? {
            found.insert(*op);
        }
    }
    Ok(found)
}

/// A value that a unique index has for another document.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The index.
    pub index: String,
    /// Path and value.
    pub value: String,
    /// Who holds it.
    pub holder: rows::Row,
}

impl Taken {
    /// As the error of a local write.
    pub(crate) fn into_error(self, collection: &CollectionName) -> Error {
        let holder: DocId = self.holder.id;
        Error::NotUnique { collection: collection.clone(), index: self.index, value: self.value, holder }
    }
}
