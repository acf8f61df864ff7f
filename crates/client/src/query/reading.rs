//! A query over the texts of documents, as `find` asks it.
//!
//! Of each text only the top-level fields are read that the conditions and orders look at; a whole
//! document is parsed once it belongs to the answer. So a scan costs little more than passing over
//! the texts, and texts are what is held while an order is found.

use super::{Query, Selection};
use crate::filter::{Filter, Path};
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;
use std::ops::ControlFlow;

/// An answer while its documents are read. They are offered in the order of the collection.
pub(crate) struct Reading<'q> {
    query: &'q Query,
    glance: Glance<'q>,
    selection: Selection<'q, String>,
}

impl<'q> Reading<'q> {
    pub(super) fn new(query: &'q Query) -> Reading<'q> {
        let orders = query.sort.iter().map(|(path, _)| path);
        Reading { query, glance: Glance::new(&query.filter, orders), selection: query.select() }
    }

    /// Takes in the next document; `None`: the filter does not mean it. Breaks when no later one can
    /// change the answer.
    pub(crate) fn offer(&mut self, text: &str) -> serde_json::Result<Option<ControlFlow<()>>> {
        let glance = self.glance.read(text)?;
        if !self.query.filter.matches(&glance) {
            return Ok(None);
        }
        Ok(Some(self.selection.offer(&glance, text.to_owned())))
    }

    /// The answer, in order.
    pub(crate) fn finish(self) -> serde_json::Result<Vec<Value>> {
        let projection = self.query.projection.as_ref();
        let whole = |text: String| {
            let document = crate::text::read(&text)?;
            Ok(match projection {
                Some(projection) => projection.apply(document),
                None => document,
            })
        };
        self.selection.finish().into_iter().map(whole).collect()
    }
}

/// Those top-level fields of a document that some paths can reach.
pub(crate) struct Glance<'q> {
    /// Ascending and distinct.
    names: Vec<&'q str>,
}

impl<'q> Glance<'q> {
    /// All that a filter and some orders look at.
    pub(crate) fn new(filter: &'q Filter, orders: impl Iterator<Item = &'q Path>) -> Glance<'q> {
        let mut names = Vec::new();
        filter.each_path(&mut |path| names.extend(path.top_level_names()));
        names.extend(orders.flat_map(Path::top_level_names));
        names.sort_unstable();
        names.dedup();
        Glance { names }
    }

    /// The fields of a stored text, as a document without the others.
    pub(crate) fn read(&self, text: &str) -> serde_json::Result<Value> {
        if self.names.is_empty() {
            return Ok(Value::Object(Map::new()));
        }
        serde_json::Deserializer::from_str(text).deserialize_map(self)
    }
}

impl<'d> Visitor<'d> for &Glance<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = map.next_key_seed(self)? {
            match name {
                Some(name) => drop(fields.insert(name.to_owned(), map.next_value()?)),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Value::Object(fields))
    }
}

/// A key: the name that it is, if it is one of those looked for.
impl<'d, 'q> DeserializeSeed<'d> for &Glance<'q> {
    type Value = Option<&'q str>;

    fn deserialize<D: Deserializer<'d>>(self, key: D) -> Result<Option<&'q str>, D::Error> {
        struct Key<'g, 'q>(&'g Glance<'q>);
        impl<'q> Visitor<'_> for Key<'_, 'q> {
            type Value = Option<&'q str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Option<&'q str>, E> {
                Ok(self.0.names.binary_search(&name).ok().map(|at| self.0.names[at]))
            }
        }
        key.deserialize_str(Key(self))
    }
}
