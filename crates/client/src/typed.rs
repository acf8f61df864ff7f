//! A collection whose documents are values of a Rust type.

use crate::collection::Collection;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::query::Query;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::marker::PhantomData;

/// A collection of `T`. The type may leave `_id`, `createdAt` and `updatedAt` out, or carry them as
/// optional fields with those names.
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
        let stored = self.untyped.insert(self.value(document)?)?;
        Ok(stored["_id"].as_str().unwrap_or_default().to_owned())
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
        let stored = self.untyped.upsert(self.value(document)?)?;
        Ok(stored["_id"].as_str().unwrap_or_default().to_owned())
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

    fn value(&self, document: &T) -> Result<Value> {
        serde_json::to_value(document).map_err(|error| self.shape("?".into(), &error))
    }

    fn typed(&self, value: Value) -> Result<T> {
        let id = value["_id"].as_str().unwrap_or("?").to_owned();
        serde_json::from_value(value).map_err(|error| self.shape(id, &error))
    }

    fn shape(&self, id: String, error: &serde_json::Error) -> Error {
        Error::Shape { collection: self.untyped.name().clone(), id, reason: error.to_string() }
    }
}
