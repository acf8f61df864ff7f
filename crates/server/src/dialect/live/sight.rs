//! What a client sees of its collections: everything, or the rows that its token opens. A client stands on the version
//! before a change, so that one tells whether it has a document that it is to see no more.

use crate::auth::{Earlier, Grant};
use crate::store::Row;
use std::collections::BTreeMap;
use std::sync::Arc;
use syncline_core::model::{CollectionName, NodeId, RowFilters, Views};

/// What the token saw of collections before.
pub(super) type Before = BTreeMap<CollectionName, Vec<Earlier>>;

#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    token: Option<NodeId>,
    rows: Arc<RowFilters>,
    views: Views,
    before: Before,
}

impl Sight {
    pub(super) fn of(grant: &Grant, before: Before) -> Sight {
        let (rows, views) = (grant.read_rows(), grant.views().clone());
        Sight { token: Some(grant.token_name().clone()), rows, views, before }
    }

    /// What it sees of the collections that it does not see whole, by name.
    pub(super) fn views(&self) -> &Views {
        &self.views
    }

    pub(super) fn limits(&self, name: &CollectionName) -> bool {
        self.rows.limit(name.as_str())
    }

    pub(super) fn differs(&self, other: &Sight, name: &CollectionName) -> bool {
        self.views.get(name) != other.views.get(name)
    }

    pub(super) fn is_of_the_token_of(&self, other: &Sight) -> bool {
        self.token == other.token
    }

    /// Whether a text is among what it sees.
    pub(super) fn means(&self, name: &CollectionName, text: &str) -> bool {
        self.rows.mean(name.as_str(), text)
    }

    /// The same of collections that are seen as another sight has them: of these the client has been told what went before, as far
    /// as that one knows.
    pub(super) fn going_on(mut self, other: &Sight) -> Sight {
        let (views, known) = (&self.views, &other.before);
        self.before.retain(|name, _| views.get(name) != other.views.get(name) || known.contains_key(name));
        self
    }

    /// The same once the client has been told what it no longer sees of what it saw before; `None`: it has been.
    pub(super) fn settled(&self) -> Option<Sight> {
        (!self.before.is_empty()).then(|| Sight { before: Before::new(), ..self.clone() })
    }

    /// Whether a row's document is there for the client; `None`: it is told nothing, not even the id.
    pub(super) fn shows(&self, row: &Row<'_>) -> Option<bool> {
        let name = row.collection;
        if !self.rows.limit(name) {
            return Some(row.live);
        }
        if row.live && self.rows.mean(name, row.body) {
            return Some(true);
        }
        let saw = |text: &str| {
            let before = self.before.get(name).into_iter().flatten();
            before.into_iter().any(|view| view.meant(row.created, name, text))
        };
        let had = row.before.is_some_and(|text| self.rows.mean(name, text) || saw(text)) || (row.live && saw(row.body));
        had.then_some(false)
    }

    /// Whether what stood before a change has to be known.
    pub(super) fn compares(&self) -> bool {
        !self.rows.is_empty()
    }
}
