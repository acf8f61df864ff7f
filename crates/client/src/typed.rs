//! A collection whose documents are values of a Rust type.

use crate::collection::Collection;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::query::Query;
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::marker::PhantomData;
use syncline_core::model::CollectionName;

/// A collection of `T`. The type may leave `_id`, `createdAt` and `updatedAt` out, or carry them as
/// optional fields with those names.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use serde_json::json;
/// use syncline::{Database, filter::Filter};
///
/// #[derive(Serialize, Deserialize)]
/// struct Person {
///     name: String,
///     died: Option<u16>,
/// }
///
/// let db = Database::open_in_memory()?;
/// let people = db.typed::<Person>("people")?;
/// let ids = people.insert_many([&Person { name: "Ada".into(), died: None }])?;
/// let ada = people.update(&ids[0], &json!({"died": 1852}))?;
/// assert_eq!(ada.died, Some(1852));
/// assert_eq!(people.count(&Filter::parse(&json!({"died": {"$lt": 1900}}))?)?, 1);
/// # Ok::<(), syncline::Error>(())
/// ```
pub struct TypedCollection<T> {
    untyped: Collection,
    of: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> TypedCollection<T> {
    pub(crate) fn new(untyped: Collection) -> TypedCollection<T> {
        TypedCollection { untyped, of: PhantomData }
    }

    /// The same collection without the type.
    #[must_use]
    pub fn untyped(&self) -> &Collection {
        &self.untyped
    }

    /// As [`Collection::insert`]. Returns the document's id.
    ///
    /// # Errors
    /// As there, and [`Error::Shape`] when the value is no JSON object.
    pub fn insert(&self, document: &T) -> Result<String> {
        Ok(id(&self.untyped.insert(self.value(document)?)?))
    }

    /// As [`Collection::insert_many`]. Returns the documents' ids.
    ///
    /// # Errors
    /// As there, and [`Error::Shape`] when a value is no JSON object.
    pub fn insert_many<'a>(&self, documents: impl IntoIterator<Item = &'a T>) -> Result<Vec<String>>
    where
        T: 'a,
    {
        Ok(ids(self.untyped.insert_many(self.values(documents)?)?))
    }

    /// As [`Collection::update`]: a merge patch, because a part of a document is no `T`. Returns the
    /// document as stored.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Note { text: String }
    /// # let db = syncline::Database::open_in_memory()?;
    /// let notes = db.typed::<Note>("notes")?;
    /// let id = notes.insert(&Note { text: "milk".into() })?;
    /// assert_eq!(notes.update(&id, &serde_json::json!({"text": "bread"}))?.text, "bread");
    /// # Ok::<(), syncline::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there, and [`Error::Shape`] when the document no longer fits the type. It is not changed then.
    pub fn update(&self, id: &str, patch: &Value) -> Result<T> {
        self.untyped.update_checked(id, patch, |stored| self.typed(stored.clone()))
    }

    /// As [`Collection::update_many`].
    ///
    /// # Errors
    /// As there, and [`Error::Shape`] when a document no longer fits the type. None is changed then.
    pub fn update_many(&self, filter: &Filter, patch: &Value) -> Result<usize> {
        self.untyped.update_many_checked(filter, patch, |stored| self.typed(stored.clone()).map(drop))
    }

    /// As [`Collection::replace`].
    ///
    /// # Errors
    /// As there.
    pub fn replace(&self, id: &str, document: &T) -> Result<()> {
        self.untyped.replace(id, self.value(document)?).map(drop)
    }

    /// As [`Collection::upsert`]. Returns the document's id.
    ///
    /// # Errors
    /// As there, and [`Error::Shape`] when the value is no JSON object.
    pub fn upsert(&self, document: &T) -> Result<String> {
        Ok(id(&self.untyped.upsert(self.value(document)?)?))
    }

    /// As [`Collection::upsert_many`]. Returns the documents' ids.
    ///
    /// # Errors
    /// As there, and [`Error::Shape`] when a value is no JSON object.
    pub fn upsert_many<'a>(&self, documents: impl IntoIterator<Item = &'a T>) -> Result<Vec<String>>
    where
        T: 'a,
    {
        Ok(ids(self.untyped.upsert_many(self.values(documents)?)?))
    }

    /// As [`Collection::get`].
    ///
    /// # Errors
    /// [`Error::Shape`] when the stored document does not fit the type.
    pub fn get(&self, id: &str) -> Result<Option<T>> {
        self.untyped.get(id)?.map(|value| self.typed(value)).transpose()
    }

    /// As [`Collection::find`].
    ///
    /// # Errors
    /// [`Error::Shape`] when a stored document does not fit the type.
    pub fn find(&self, query: &Query) -> Result<Vec<T>> {
        self.untyped.find(query)?.into_iter().map(|value| self.typed(value)).collect()
    }

    /// As [`Collection::find_one`].
    ///
    /// # Errors
    /// [`Error::Shape`] when the stored document does not fit the type.
    pub fn find_one(&self, query: &Query) -> Result<Option<T>> {
        self.untyped.find_one(query)?.map(|value| self.typed(value)).transpose()
    }

    /// As [`Collection::count`].
    ///
    /// # Errors
    /// As there.
    pub fn count(&self, filter: &Filter) -> Result<usize> {
        self.untyped.count(filter)
    }

    /// As [`Collection::remove`].
    ///
    /// # Errors
    /// As there.
    pub fn remove(&self, id: &str) -> Result<bool> {
        self.untyped.remove(id)
    }

    /// As [`Collection::remove_many`].
    ///
    /// # Errors
    /// As there.
    pub fn remove_many(&self, filter: &Filter) -> Result<usize> {
        self.untyped.remove_many(filter)
    }

    /// As [`Collection::clear`].
    ///
    /// # Errors
    /// As there.
    pub fn clear(&self) -> Result<usize> {
        self.untyped.clear()
    }

    /// As [`Collection::watch`]. An answer with a document that does not fit the type is an
    /// [`Error::Shape`], and the stream goes on.
    ///
    /// ```
    /// # use futures_util::StreamExt;
    /// # use serde::{Deserialize, Serialize};
    /// # use syncline::{filter::Filter, query::Query};
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Note { text: String }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let db = syncline::Database::open_in_memory()?;
    /// let notes = db.typed::<Note>("notes")?;
    /// let mut all = notes.watch(Query::new(Filter::all()))?;
    /// assert!(all.next().await.unwrap()?.is_empty());
    /// notes.insert(&Note { text: "milk".into() })?;
    /// assert_eq!(all.next().await.unwrap()?[0].text, "milk");
    /// # Ok::<(), syncline::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn watch(&self, query: Query) -> Result<impl Stream<Item = Result<Vec<T>>> + Send + Unpin + 'static + use<T>>
    where
        T: 'static,
    {
        let name = self.untyped.name().clone();
        Ok(self
            .untyped
            .watch(query)?
            .map(move |answer| answer?.into_iter().map(|value| fitted(&name, value)).collect()))
    }

    fn values<'a>(&self, documents: impl IntoIterator<Item = &'a T>) -> Result<Vec<Value>>
    where
        T: 'a,
    {
        documents.into_iter().map(|document| self.value(document)).collect()
    }

    fn value(&self, document: &T) -> Result<Value> {
        serde_json::to_value(document).map_err(|error| misfit(self.untyped.name(), "?".into(), &error))
    }

    fn typed(&self, value: Value) -> Result<T> {
        fitted(self.untyped.name(), value)
    }
}

fn fitted<T: DeserializeOwned>(collection: &CollectionName, value: Value) -> Result<T> {
    let id = value["_id"].as_str().unwrap_or("?").to_owned();
    serde_json::from_value(value).map_err(|error| misfit(collection, id, &error))
}

fn misfit(collection: &CollectionName, id: String, error: &serde_json::Error) -> Error {
    Error::Shape { collection: collection.clone(), id, reason: error.to_string() }
}

fn id(stored: &Value) -> String {
    stored["_id"].as_str().unwrap_or_default().to_owned()
}

fn ids(stored: Vec<Value>) -> Vec<String> {
    stored.iter().map(id).collect()
}
