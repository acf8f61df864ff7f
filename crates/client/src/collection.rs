//! A named set of documents, as the app works with it.
//!
//! Every call is synchronous and, when it writes, durable when it returns.

use crate::error::Result;
use crate::filter::Filter;
use crate::find;
use crate::index::IndexDef;
use crate::query::Query;
use crate::store::Store;
use crate::sync::desk::Desk;
use crate::transaction::{Writer, create_index, drop_index};
use crate::watch;
use futures_util::Stream;
use serde_json::Value;
use std::sync::Arc;
use syncline_core::model::CollectionName;

/// A handle on one collection. Cheap to clone; safe from any thread.
///
/// ```
/// use serde_json::json;
/// use syncline::{Database, filter::Filter};
///
/// let db = Database::open_in_memory()?;
/// let people = db.collection("people")?;
/// let ada = people.insert(json!({"name": "Ada", "born": 1815}))?;
/// people.update(ada["_id"].as_str().unwrap(), &json!({"died": 1852}))?;
/// let old = Filter::parse(&json!({"born": {"$lt": 1900}}))?;
/// assert_eq!(people.count(&old)?, 1);
/// # Ok::<(), syncline::Error>(())
/// ```
#[derive(Clone)]
pub struct Collection {
    store: Arc<Store>,
    desk: Arc<Desk>,
    name: CollectionName,
}

impl Collection {
    pub(crate) fn new(store: Arc<Store>, desk: Arc<Desk>, name: CollectionName) -> Collection {
        Collection { store, desk, name }
    }

    /// The part of its database that syncs.
    pub(crate) fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &CollectionName {
        &self.name
    }

    /// A new document. Without `_id` it gets a UUID of version 7; `createdAt` and `updatedAt` are set
    /// where they are absent. Returns it as stored.
    ///
    /// # Errors
    /// When the `_id` exists, a unique index is broken, or a limit is passed.
    pub fn insert(&self, document: Value) -> Result<Value> {
        self.write(|writer| writer.insert(document))
    }

    /// Several new documents, all or none durable here; each travels to the hub on its own.
    ///
    /// # Errors
    /// As [`Collection::insert`]; then none of them is stored.
    pub fn insert_many(&self, documents: impl IntoIterator<Item = Value>) -> Result<Vec<Value>> {
        self.write(|writer| documents.into_iter().map(|document| writer.insert(document)).collect())
    }

    /// Changes a document by an RFC 7396 merge patch: null takes a field away, objects are merged,
    /// everything else is set. The hub sees the top-level fields that differ. Returns the document
    /// as stored.
    ///
    /// # Errors
    /// When there is no such document, a unique index is broken, or a limit is passed.
    pub fn update(&self, id: &str, patch: &Value) -> Result<Value> {
        self.write(|writer| writer.update(id, patch))
    }

    /// As [`Collection::update`], kept only when the document as stored passes the check.
    pub(crate) fn update_checked<T>(
        &self,
        id: &str,
        patch: &Value,
        check: impl FnOnce(&Value) -> Result<T>,
    ) -> Result<T> {
        self.write(|writer| check(&writer.update(id, patch)?))
    }

    /// The whole document anew; `createdAt` stays unless given. Returns it as stored.
    ///
    /// # Errors
    /// As [`Collection::update`].
    pub fn replace(&self, id: &str, document: Value) -> Result<Value> {
        self.write(|writer| writer.replace(id, document))
    }

    /// Replaces the document with this `_id`, or inserts it. Returns it as stored.
    ///
    /// # Errors
    /// As [`Collection::insert`], but for the `_id` being taken.
    pub fn upsert(&self, document: Value) -> Result<Value> {
        self.write(|writer| writer.upsert(document))
    }

    /// Replaces or inserts several documents, all or none durable here; each travels to the hub on its own.
    ///
    /// # Errors
    /// As [`Collection::upsert`]; then none of them is stored.
    pub fn upsert_many(&self, documents: impl IntoIterator<Item = Value>) -> Result<Vec<Value>> {
        self.write(|writer| documents.into_iter().map(|document| writer.upsert(document)).collect())
    }

    /// Removes a document; `false`: there is none.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn remove(&self, id: &str) -> Result<bool> {
        self.write(|writer| writer.remove(id))
    }

    /// Removes every document. Returns how many there were.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn clear(&self) -> Result<usize> {
        self.write(|writer| writer.clear())
    }

    /// Patches every document that the filter means, all or none. Returns how many.
    ///
    /// # Errors
    /// As [`Collection::update`].
    pub fn update_many(&self, filter: &Filter, patch: &Value) -> Result<usize> {
        self.update_many_checked(filter, patch, |_| Ok(()))
    }

    /// As [`Collection::update_many`], kept only when every document as stored passes the check.
    pub(crate) fn update_many_checked(
        &self,
        filter: &Filter,
        patch: &Value,
        check: impl Fn(&Value) -> Result<()>,
    ) -> Result<usize> {
        self.each(filter, |writer, id| check(&writer.update(id, patch)?))
    }

    /// Removes every document that the filter means, all or none. Returns how many.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn remove_many(&self, filter: &Filter) -> Result<usize> {
        self.each(filter, |writer, id| writer.remove(id).map(drop))
    }

    /// The document with this id.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn get(&self, id: &str) -> Result<Option<Value>> {
        self.store.view(|view| find::get(view, &self.name, id))
    }

    /// The documents that a query means.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn find(&self, query: &Query) -> Result<Vec<Value>> {
        self.store.view(|view| Ok(find::run(view, &self.name, query)?.documents))
    }

    /// The first document that a query means.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn find_one(&self, query: &Query) -> Result<Option<Value>> {
        Ok(self.find(&query.clone().limit(1))?.into_iter().next())
    }

    /// How many documents a filter means.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn count(&self, filter: &Filter) -> Result<usize> {
        self.store.view(|view| find::count(view, &self.name, filter))
    }

    /// Creates an index on a dotted path, named after it unless a name is given. The same index again
    /// is harmless.
    ///
    /// # Errors
    /// When the name is taken by another index, or a unique one is asked for and two documents share a value.
    pub fn create_index(&self, name: Option<&str>, path: &str, unique: bool) -> Result<IndexDef> {
        self.store.write(|unit| create_index(unit, &self.name, name, (path, unique)))
    }

    /// Drops an index; `false`: there is none of this name.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn drop_index(&self, name: &str) -> Result<bool> {
        self.store.write(|unit| drop_index(unit, &self.name, name))
    }

    /// Its indexes, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn indexes(&self) -> Result<Vec<IndexDef>> {
        self.store.view(|view| Ok(view.find(&self.name)?.map(|named| named.indexes.clone()).unwrap_or_default()))
    }

    /// The answer to a query, now and after each commit that changes it, local or pulled, and when a
    /// document of it expires. A slow reader finds the newest answer; none queue up. Works in any
    /// async runtime. Ends with the database, or after the error of a read that failed.
    ///
    /// # Errors
    /// When the handle is poisoned.
    pub fn watch(
        &self,
        query: Query,
    ) -> Result<impl Stream<Item = Result<Vec<Value>>> + Send + Unpin + 'static + use<>> {
        watch::answers(self.store.clone(), self.name.clone(), query)
    }

    fn write<T>(&self, work: impl FnOnce(&mut Writer<'_, '_>) -> Result<T>) -> Result<T> {
        self.store.write(|unit| work(&mut Writer::new(&self.store, unit, &self.name, None)?))
    }

    fn each(&self, filter: &Filter, work: impl Fn(&mut Writer<'_, '_>, &str) -> Result<()>) -> Result<usize> {
        self.store.write(|unit| {
            let ids = find::ids(&mut unit.view(), &self.name, filter)?;
            let mut writer = Writer::new(&self.store, unit, &self.name, None)?;
            ids.iter().try_for_each(|id| work(&mut writer, id.as_str()))?;
            Ok(ids.len())
        })
    }
}
