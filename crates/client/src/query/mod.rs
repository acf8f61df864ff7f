//! What a caller asks for: which documents, in which order, how many, and which of their fields.
//!
//! Owns sort order, skip, limit, projection, and the plan that finds candidates by index. It never
//! decides what a filter means ([`crate::filter`]) and reads no documents: the caller feeds them in
//! rowid order, and rows come back. Serves every `find` and step 10 of a change (live queries).

mod error;
mod limits;
mod plan;
mod projection;
mod reading;
mod selection;

#[cfg(test)]
mod tests;

pub use error::QueryError;
pub use limits::{CANDIDATES_MAX, PROJECTION_PATHS_MAX, SCANS_MAX, SORT_PATHS_MAX};
pub use plan::{Candidates, Plan, Scan, plan};
pub use projection::Projection;
pub(crate) use reading::{Glance, Reading};
pub use selection::{Order, Selection};

use crate::filter::{Filter, Path};
use serde_json::{Map, Value};

/// A question to one collection.
///
/// ```
/// use serde_json::json;
/// use syncline::{filter::Filter, query::{Order, Query}};
///
/// let oldest = Query::new(Filter::all()).sort_by("age", Order::Descending)?.limit(1);
/// let people = [json!({"_id": "a", "age": 30}), json!({"_id": "b", "age": 41})];
/// assert_eq!(oldest.run(people), vec![json!({"_id": "b", "age": 41})]);
/// # Ok::<(), syncline::query::QueryError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    filter: Filter,
    sort: Vec<(Path, Order)>,
    skip: usize,
    limit: Option<usize>,
    projection: Option<Projection>,
}

impl Query {
    /// All documents that the filter means, in the order of the collection.
    #[must_use]
    pub fn new(filter: Filter) -> Query {
        Query { filter, ..Query::default() }
    }

    /// Reads a query from its JSON form, every part of which may be left out:
    /// `{"filter": {…}, "sort": {"age": -1, "name": 1}, "skip": 10, "limit": 5, "projection": {"name": 1}}`.
    ///
    /// # Errors
    /// [`QueryError`] naming the part and what it takes.
    pub fn from_json(query: &Value) -> Result<Query, QueryError> {
        let parts = query.as_object().ok_or(QueryError::NotAnObject)?;
        let mut read = Query::default();
        for (part, value) in parts {
            match part.as_str() {
                "filter" => read.filter = Filter::parse(value)?,
                "sort" => read = read.sort_by_json(value)?,
                "skip" => read.skip = count("skip", value)?,
                "limit" => read.limit = Some(count("limit", value)?),
                "projection" => read.projection = Projection::parse(value)?,
                unknown => return Err(QueryError::UnknownPart(unknown.to_owned())),
            }
        }
        Ok(read)
    }

    /// Adds an order, which decides where the orders before it find documents equal. Documents equal
    /// in all orders keep the order of the collection. See [`Order`].
    ///
    /// # Errors
    /// [`QueryError`] when the path or the number of orders is over its limit.
    pub fn sort_by(mut self, path: &str, order: Order) -> Result<Query, QueryError> {
        if self.sort.len() == SORT_PATHS_MAX {
            return Err(QueryError::TooManyOrders);
        }
        self.sort.push((Path::new(path)?, order));
        Ok(self)
    }

    /// Adds orders from their JSON form: paths with 1 or -1, the first deciding first.
    ///
    /// # Errors
    /// [`QueryError`] naming the path and what it takes.
    pub fn sort_by_json(mut self, orders: &Value) -> Result<Query, QueryError> {
        for (path, order) in object("sort", "an object of paths with 1 (ascending) or -1 (descending)", orders)? {
            let order = match order.as_f64() {
                Some(1.0) => Order::Ascending,
                Some(-1.0) => Order::Descending,
                _ => return Err(QueryError::Direction { path: path.clone() }),
            };
            self = self.sort_by(path, order)?;
        }
        Ok(self)
    }

    /// Leaves out this many of the first documents.
    #[must_use]
    pub fn skip(mut self, documents: usize) -> Query {
        self.skip = documents;
        self
    }

    /// Returns at most this many documents, after those that are skipped; 0 returns none.
    #[must_use]
    pub fn limit(mut self, documents: usize) -> Query {
        self.limit = Some(documents);
        self
    }

    /// Returns only some of each document's fields.
    #[must_use]
    pub fn project(mut self, projection: Projection) -> Query {
        self.projection = Some(projection);
        self
    }

    /// Which documents.
    #[must_use]
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Which of their fields; `None` is the whole document.
    #[must_use]
    pub fn projection(&self) -> Option<&Projection> {
        self.projection.as_ref()
    }

    /// Takes in documents one by one and gives back those asked for, each with what the caller
    /// attached to it. See [`Selection`].
    #[must_use]
    pub fn select<T>(&self) -> Selection<'_, T> {
        Selection::new(self)
    }

    /// Takes in the texts of documents one by one and gives back the answer.
    pub(crate) fn read(&self) -> Reading<'_> {
        Reading::new(self)
    }

    /// Answers the query from these documents, which stand in the order of the collection.
    #[must_use]
    pub fn run(&self, documents: impl IntoIterator<Item = Value>) -> Vec<Value> {
        let mut selection = self.select();
        for document in documents {
            let offered = if self.filter.matches(&document) { selection.offer_value(document) } else { continue };
            if offered.is_break() {
                break;
            }
        }
        let found = selection.finish();
        match &self.projection {
            Some(projection) => found.into_iter().map(|document| projection.apply(document)).collect(),
            None => found,
        }
    }
}

fn count(part: &'static str, value: &Value) -> Result<usize, QueryError> {
    let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
    count.ok_or(QueryError::Part { part, expected: "a whole number from 0" })
}

/// The object of a part's JSON form.
fn object<'v>(
    part: &'static str,
    expected: &'static str,
    value: &'v Value,
) -> Result<&'v Map<String, Value>, QueryError> {
    value.as_object().ok_or(QueryError::Part { part, expected })
}
