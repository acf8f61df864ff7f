//! Which fields of a document are returned.
//!
//! The rules are those of MongoDB: either some fields are included, or some are excluded; `_id`
//! alone may differ from the others and is included unless it is excluded by name. Paths go through
//! objects and into every element of arrays; numbers in them are names, not positions. Fields keep
//! the document's order. A top-level key spelt exactly like a path wins over the path.

use super::limits::PROJECTION_PATHS_MAX;
use super::{QueryError, object};
use crate::filter::Path;
use serde_json::{Map, Value};

/// A choice of fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    include: bool,
    paths: Vec<Path>,
    keep_id: bool,
}

impl Projection {
    /// Reads `{"name": 1, "address.city": 1, "_id": 0}` or `{"history": 0}`. `{}` is no projection.
    ///
    /// # Errors
    /// [`QueryError`] naming the path and what is wrong there.
    pub fn parse(projection: &Value) -> Result<Option<Projection>, QueryError> {
        let fields = object("projection", "an object of paths with 1 or 0", projection)?;
        if fields.len() > PROJECTION_PATHS_MAX {
            return Err(QueryError::TooManyFields);
        }
        let mut id_choice = None;
        let mut include = None;
        let mut paths = Vec::new();
        for (path, value) in fields {
            let choice = choice(path, value)?;
            if path == "_id" {
                id_choice = Some(choice);
                continue;
            }
            if *include.get_or_insert(choice) != choice {
                return Err(QueryError::MixedProjection { path: path.clone() });
            }
            paths.push(Path::new(path)?);
        }
        refuse_overlap(&paths)?;
        let Some(include) = include.or(id_choice) else {
            return Ok(None);
        };
        Ok(Some(Projection { include, paths, keep_id: id_choice.unwrap_or(true) }))
    }

    /// The document with the fields that were chosen.
    #[must_use]
    pub fn apply(&self, document: Value) -> Value {
        let Value::Object(fields) = document else {
            return document;
        };
        let literal = |name: &str| self.paths.iter().any(|path| path.as_str() == name);
        let routes: Vec<&[String]> =
            self.paths.iter().filter(|path| !fields.contains_key(path.as_str())).map(Path::segments).collect();
        let mut chosen = Map::new();
        for (name, value) in fields {
            let value = match name.as_str() {
                "_id" => self.keep_id.then_some(value),
                name if literal(name) => self.include.then_some(value),
                name => self.follow(name, value, &routes),
            };
            if let Some(value) = value {
                chosen.insert(name, value);
            }
        }
        Value::Object(chosen)
    }

    /// What remains of the field `name`, if anything.
    fn follow(&self, name: &str, value: Value, routes: &[&[String]]) -> Option<Value> {
        let inner: Vec<&[String]> = routes.iter().filter(|route| route[0] == name).map(|route| &route[1..]).collect();
        if inner.is_empty() {
            return (!self.include).then_some(value);
        }
        if inner.iter().any(|route| route.is_empty()) {
            return self.include.then_some(value);
        }
        self.inside(value, &inner)
    }

    /// What remains of a value that some paths go on into.
    fn inside(&self, value: Value, routes: &[&[String]]) -> Option<Value> {
        match value {
            Value::Object(fields) => {
                let kept = fields.into_iter().filter_map(|(name, value)| {
                    let value = self.follow(&name, value, routes)?;
                    Some((name, value))
                });
                Some(Value::Object(kept.collect()))
            }
            Value::Array(elements) => {
                Some(Value::Array(elements.into_iter().filter_map(|element| self.inside(element, routes)).collect()))
            }
            scalar => (!self.include).then_some(scalar),
        }
    }
}

fn choice(path: &str, value: &Value) -> Result<bool, QueryError> {
    match (value.as_bool(), value.as_f64()) {
        (Some(choice), _) => Ok(choice),
        (None, Some(1.0)) => Ok(true),
        (None, Some(0.0)) => Ok(false),
        _ => Err(QueryError::Choice { path: path.to_owned() }),
    }
}

fn refuse_overlap(paths: &[Path]) -> Result<(), QueryError> {
    let mut sorted: Vec<&Path> = paths.iter().collect();
    sorted.sort_by_key(|path| path.segments());
    match sorted.windows(2).find(|pair| pair[1].segments().starts_with(pair[0].segments())) {
        Some(pair) => Err(QueryError::Overlap { outer: pair[0].to_string(), inner: pair[1].to_string() }),
        None => Ok(()),
    }
}
