//! Which rows of which collections are open to somebody (step 3 of the life of a change, asked in 5 and 8). Holds
//! filters that are bound already: nothing here knows of tokens or claims.

use super::CollectionName;
use crate::filter::Filter;
use std::collections::BTreeMap;

/// Filters by collection. A collection without one is open whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowFilters(BTreeMap<CollectionName, Filter>);

impl RowFilters {
    /// Those of these collections.
    #[must_use]
    pub fn new(filters: BTreeMap<CollectionName, Filter>) -> RowFilters {
        RowFilters(filters)
    }

    /// Whether every collection is open whole.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether only some rows of this collection are open.
    #[must_use]
    pub fn limit(&self, collection: &str) -> bool {
        self.0.contains_key(collection)
    }

    /// Whether a document with this text is open. One that no filter can read (a number without end) is not.
    #[must_use]
    pub fn mean(&self, collection: &str, text: &str) -> bool {
        let Some(filter) = self.0.get(collection) else { return true };
        serde_json::from_str(text).is_ok_and(|document| filter.matches(&document))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_collection_without_a_filter_is_open_whole_and_what_cannot_be_read_is_not_open() {
        let mine = Filter::parse(&json!({"owner": "anna"})).unwrap();
        let filters = RowFilters::new([(CollectionName::new("tasks").unwrap(), mine)].into());
        assert!(filters.mean("tasks", r#"{"owner":"anna"}"#) && !filters.mean("tasks", r#"{"owner":"ben"}"#));
        assert!(!filters.mean("tasks", r#"{"owner":"anna","n":1e999}"#) && filters.mean("notes", r#"{"n":1e999}"#));
        assert!(filters.limit("tasks") && !filters.limit("notes"));
    }
}
