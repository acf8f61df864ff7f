//! Local edits: the document and its op join one transaction (step 1 of the life of a change).

use crate::document::{self, Edited, Prepared, Rules};
use crate::error::{Error, Result};
use crate::find;
use crate::outbox::{self, Group, NewOp, OpKind};
use crate::store::{Named, Row, Store, Unit, rows};
use crate::text;
use crate::ttl;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use syncline_core::model::{DocId, Fields, Millis};

/// Writes to one collection within one transaction.
pub(crate) struct Writer<'w, 's> {
    store: &'w Store,
    unit: &'w mut Unit<'s>,
    named: Arc<Named>,
    group: Option<&'w mut Group>,
}

impl<'w, 's> Writer<'w, 's> {
    /// A writer. With a group, its ops travel together.
    pub(crate) fn new(
        store: &'w Store,
        unit: &'w mut Unit<'s>,
        name: &syncline_core::model::CollectionName,
        group: Option<&'w mut Group>,
    ) -> Result<Writer<'w, 's>> {
        let named = unit.make(name)?;
        unit.wrote(&named);
        Ok(Writer { store, unit, named, group })
    }

    /// A new document. Returns it as stored.
    pub(crate) fn insert(&mut self, mut value: Value) -> Result<Value> {
        let new = document::new(&mut value, self.rules())?;
        self.insert_prepared(&new)?;
        Ok(value)
    }

    /// Fields of a document by merge patch. Returns it as stored.
    pub(crate) fn update(&mut self, id: &str, patch: &Value) -> Result<Value> {
        let row = self.existing(id)?;
        let old = text(&row);
        match document::patched(&self.named.name, (&row.id, old), patch, self.rules())? {
            None => Ok(text::read(old)?),
            Some(edited) => self.edit(OpKind::Update, &row, edited),
        }
    }

    /// Sets top-level fields to these very values and takes others away. Returns the document as stored.
    pub(crate) fn assign(&mut self, id: &str, set: &Fields, unset: &BTreeSet<String>) -> Result<Value> {
        let row = self.existing(id)?;
        let old = text(&row);
        match document::assigned(&self.named.name, (&row.id, old), (set, unset), self.rules())? {
            None => Ok(text::read(old)?),
            Some(edited) => self.edit(OpKind::Update, &row, edited),
        }
    }

    /// A whole document anew. Returns it as stored.
    pub(crate) fn replace(&mut self, id: &str, mut value: Value) -> Result<Value> {
        let row = self.existing(id)?;
        let edited = document::replaced(&self.named.name, (&row.id, text(&row)), &mut value, self.rules())?;
        self.edit(OpKind::Replace, &row, edited)
    }

    /// Replaces the document with this `_id`, or inserts it.
    pub(crate) fn upsert(&mut self, value: Value) -> Result<Value> {
        let id = value.get("_id").and_then(Value::as_str).map(str::to_owned);
        let known = id.as_deref().and_then(|id| DocId::new(id).ok());
        match known.map(|id| find::visible(self.unit, &self.named, &id)).transpose()?.flatten() {
            Some(row) => self.replace(row.id.as_str(), value),
            None => self.insert(value),
        }
    }

    /// Removes a document; `false`: there is none.
    pub(crate) fn remove(&mut self, id: &str) -> Result<bool> {
        let Ok(id) = DocId::new(id) else { return Ok(false) };
        let Some(row) = find::visible(self.unit, &self.named, &id)? else { return Ok(false) };
        let new = NewOp { kind: OpKind::Remove, text: "", set: Fields::default(), unset: BTreeSet::new() };
        self.write(&row, None, None, &new)?;
        Ok(true)
    }

    /// Removes every document. Returns how many the app saw.
    pub(crate) fn clear(&mut self) -> Result<usize> {
        let (conn, cid) = (self.unit.conn, self.named.cid);
        let docs: Vec<i64> = {
            let mut statement = conn.prepare_cached("SELECT doc FROM docs WHERE cid = ?1 AND body IS NOT NULL")?;
            statement.query_map([cid], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
        };
        let mut cleared = 0;
        let mut known_to_hub = false;
        for doc in docs {
            let Some(row) = rows::by_doc(conn, doc)? else { continue };
            cleared += usize::from(row.is_visible(self.unit.now));
            known_to_hub |= self.clear_one(row)?;
        }
        if known_to_hub {
            outbox::record_clear(self.unit, &self.named, self.group.as_deref_mut())?;
        }
        Ok(cleared)
    }

    /// Whether the app sees a document with this id.
    pub(crate) fn exists(&self, id: &DocId) -> Result<bool> {
        Ok(find::visible(self.unit, &self.named, id)?.is_some())
    }

    fn rules(&self) -> Rules<'w> {
        Rules { limits: self.store.limits(), timestamps: self.store.timestamps(), now: self.unit.now }
    }

    fn existing(&self, id: &str) -> Result<Row> {
        let id = DocId::new(id)?;
        let found = find::visible(self.unit, &self.named, &id)?;
        found.ok_or_else(|| Error::NotFound { collection: self.named.name.clone(), id })
    }

    fn insert_prepared(&mut self, new: &Prepared) -> Result<()> {
        self.check_unique(None, &new.text, Some(&new.id))?;
        let seq = self.named.syncable.then(|| self.unit.next_seq());
        let (conn, cid, op) = (self.unit.conn, self.named.cid, seq.map(outbox::number));
        let Some(doc) = rows::insert_local(conn, cid, (&new.id, &new.text), new.expires, op)? else {
            return self.insert_over(new);
        };
        if let Some(seq) = seq {
            outbox::append_insert(self.unit, &self.named, (seq, doc), self.group.as_deref_mut())?;
        }
        self.unit.changed(&self.named, doc, None, Some(&new.text))
    }

    /// The id has a row: visible, expired, or removed here while the hub does not know yet.
    fn insert_over(&mut self, new: &Prepared) -> Result<()> {
        let row = rows::by_id(self.unit.conn, self.named.cid, &new.id)?;
        let row = row.ok_or_else(|| Error::Damaged(format!("document `{}` is and is not there", new.id)))?;
        if row.is_visible(self.unit.now) {
            return Err(Error::Exists { collection: self.named.name.clone(), id: new.id.clone() });
        }
        if row.hub.is_none() && row.op.is_none() {
            ttl::take_away(self.unit, &self.named, &row)?;
            return self.insert_prepared(new);
        }
        // An expired document still stands at the hub: its fields must not shine through the new one.
        let kind = if row.body.is_some() { OpKind::Replace } else { OpKind::Insert };
        let op = NewOp { kind, text: &new.text, set: Fields::default(), unset: BTreeSet::new() };
        self.write(&row, Some(&new.text), new.expires, &op)
    }

    fn edit(&mut self, kind: OpKind, row: &Row, edited: Edited) -> Result<Value> {
        self.check_unique(Some(row.doc), &edited.text, None)?;
        let Edited { text, expires, set, unset } = edited;
        self.write(row, Some(&text), expires, &NewOp { kind, text: &text, set, unset })?;
        Ok(text::read(&text)?)
    }

    /// Brings the row of a document to a new text and records the op.
    fn write(&mut self, row: &Row, text: Option<&str>, expires: Option<Millis>, new: &NewOp<'_>) -> Result<()> {
        let op = outbox::record(self.unit, &self.named, row, new, self.group.as_deref_mut())?;
        self.unit.changed(&self.named, row.doc, row.body.as_deref(), text)?;
        // What the hub has, and a clear takes away, must be there when the clear is spelled out for a packet.
        if text.is_none() && op.is_none() && row.hub.is_none() {
            return rows::delete(self.unit.conn, row.doc);
        }
        let mut after = Row { body: text.map(str::to_owned), expires, op, ..row.clone() };
        keep_shadow(&mut after, row);
        rows::save(self.unit.conn, &after)
    }

    /// Returns whether the hub may know the document.
    fn clear_one(&mut self, row: Row) -> Result<bool> {
        self.unit.changed(&self.named, row.doc, row.body.as_deref(), None)?;
        let chain = outbox::of_doc(self.unit.conn, row.op)?;
        let never_sent = chain.iter().all(|op| op.state == outbox::OpState::Fresh && op.txn.is_none());
        if row.hub.is_none() && never_sent {
            self.unit.outbox_shrinks();
            self.unit.recount_waiting(self.named.cid);
            outbox::retire(self.unit.conn, row.op, &chain.iter().map(outbox::OpRow::number).collect())?;
            rows::delete(self.unit.conn, row.doc)?;
            return Ok(false);
        }
        for op in &chain {
            outbox::materialise(self.unit, op, &row)?;
        }
        let mut after = Row { body: None, expires: None, ..row.clone() };
        keep_shadow(&mut after, &row);
        rows::save(self.unit.conn, &after)?;
        Ok(true)
    }

    fn check_unique(&mut self, doc: Option<i64>, text: &str, id: Option<&DocId>) -> Result<()> {
        while let Some(taken) = self.unit.not_unique(&self.named, doc, text)? {
            if taken.holder.is_visible(self.unit.now) {
                let name = &self.named.name;
                return Err(match id {
                    Some(id) if *id == taken.holder.id => Error::Exists { collection: name.clone(), id: id.clone() },
                    _ => taken.into_error(name),
                });
            }
            // Expired values are free: the holder gives its entries back at once.
            self.unit.changed(&self.named, taken.holder.doc, taken.holder.body.as_deref(), None)?;
            let gone = Row { body: None, expires: None, ..taken.holder.clone() };
            self.let_go(&taken.holder, gone)?;
        }
        Ok(())
    }

    fn let_go(&mut self, holder: &Row, mut gone: Row) -> Result<()> {
        if holder.op.is_none() {
            return rows::delete(self.unit.conn, holder.doc);
        }
        for op in outbox::of_doc(self.unit.conn, holder.op)? {
            outbox::materialise(self.unit, &op, holder)?;
        }
        keep_shadow(&mut gone, holder);
        rows::save(self.unit.conn, &gone)
    }
}

/// The hub's text moves aside when the app's becomes another one.
fn keep_shadow(after: &mut Row, before: &Row) {
    if let Some(hub) = after.hub.as_mut().filter(|hub| hub.shadow.is_none()) {
        hub.shadow.clone_from(&before.body);
    }
}

fn text(row: &Row) -> &str {
    row.body.as_deref().expect("a visible document has a text")
}
