//! Several edits that become durable, visible and pushed together, or not at all.

mod edit;
mod indexes;

pub(crate) use edit::Writer;
pub(crate) use indexes::{create_index, drop_index, enqueue_all};

use crate::error::Result;
use crate::filter::Filter;
use crate::find;
use crate::outbox::Group;
use crate::query::Query;
use crate::store::{Store, Unit};
use serde_json::Value;
use syncline_core::model::CollectionName;

/// An open transaction. The hub accepts its edits together or rejects them together.
pub struct Transaction<'t, 's> {
    store: &'t Store,
    unit: &'t mut Unit<'s>,
    group: Group,
}

/// One collection inside of a transaction. Reads see the transaction's own writes.
pub struct TransactionCollection<'a, 't, 's> {
    transaction: &'a mut Transaction<'t, 's>,
    name: CollectionName,
}

impl<'t, 's> Transaction<'t, 's> {
    pub(crate) fn new(store: &'t Store, unit: &'t mut Unit<'s>) -> Transaction<'t, 's> {
        Transaction { store, unit, group: Group::default() }
    }

    /// A collection, made when it does not exist.
    ///
    /// # Errors
    /// When the name breaks its rule.
    pub fn collection(&mut self, name: &str) -> Result<TransactionCollection<'_, 't, 's>> {
        let name = CollectionName::new(name)?;
        Ok(TransactionCollection { transaction: self, name })
    }
}

impl<'s> TransactionCollection<'_, '_, 's> {
    fn writer<'w>(&'w mut self) -> Result<Writer<'w, 's>> {
        let Transaction { store, unit, group } = &mut *self.transaction;
        Writer::new(store, unit, &self.name, Some(group))
    }

    /// As [`Collection::insert`](crate::Collection::insert).
    ///
    /// # Errors
    /// As there.
    pub fn insert(&mut self, document: Value) -> Result<Value> {
        self.writer()?.insert(document)
    }

    /// As [`Collection::update`](crate::Collection::update).
    ///
    /// # Errors
    /// As there.
    pub fn update(&mut self, id: &str, patch: &Value) -> Result<Value> {
        self.writer()?.update(id, patch)
    }

    /// As [`Collection::replace`](crate::Collection::replace).
    ///
    /// # Errors
    /// As there.
    pub fn replace(&mut self, id: &str, document: Value) -> Result<Value> {
        self.writer()?.replace(id, document)
    }

    /// As [`Collection::upsert`](crate::Collection::upsert).
    ///
    /// # Errors
    /// As there.
    pub fn upsert(&mut self, document: Value) -> Result<Value> {
        self.writer()?.upsert(document)
    }

    /// As [`Collection::remove`](crate::Collection::remove).
    ///
    /// # Errors
    /// As there.
    pub fn remove(&mut self, id: &str) -> Result<bool> {
        self.writer()?.remove(id)
    }

    /// As [`Collection::clear`](crate::Collection::clear).
    ///
    /// # Errors
    /// As there.
    pub fn clear(&mut self) -> Result<usize> {
        self.writer()?.clear()
    }

    /// The document with this id.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn get(&mut self, id: &str) -> Result<Option<Value>> {
        find::get(&mut self.transaction.unit.view(), &self.name, id)
    }

    /// The documents that a query means.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn find(&mut self, query: &Query) -> Result<Vec<Value>> {
        Ok(find::run(&mut self.transaction.unit.view(), &self.name, query)?.documents)
    }

    /// How many documents a filter means.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn count(&mut self, filter: &Filter) -> Result<usize> {
        find::count(&mut self.transaction.unit.view(), &self.name, filter)
    }
}
