//! Changes of clients of the `live` dialect, decoded: what it hands to the hub. Owns the shapes; which document an
//! event changes, and how, is the hub's decision.

use super::{Body, CollectionName, DocId, Lsn, Malformed, Millis, NodeId, Rejection, RowFilters};
use crate::live::{Query, Update};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What one client reports, in its order.
#[derive(Clone, Debug)]
pub struct LiveBatch {
    /// Who: [`NodeId::of_live`].
    pub node: NodeId,
    /// The client has every document of its collections as it was here, or later. What it overwrites and was changed
    /// after this goes to the conflict ledger; what it changes on top of that is given back to it.
    pub served: Lsn,
    /// The rows that it may write: its events must find and leave documents that these mean.
    pub rows: Arc<RowFilters>,
    /// The rows that it may read: what it has taken out of them itself it is told to drop.
    pub readable: Arc<RowFilters>,
    /// What happened. An event whose effect depends on a query over a collection comes after the commit of those
    /// before it, because its candidates are looked for in what is committed.
    pub events: Vec<LiveEvent>,
}

impl LiveBatch {
    /// Of a client that reads and writes every document.
    #[must_use]
    pub fn whole(node: NodeId, served: Lsn, events: Vec<LiveEvent>) -> LiveBatch {
        LiveBatch { node, served, rows: Arc::default(), readable: Arc::default(), events }
    }
}

/// One event.
#[derive(Clone, Debug)]
pub struct LiveEvent {
    /// The same for every repeat of the event.
    pub key: [u8; 16],
    /// The collection, where the event has a usable one; [`LiveEdit::Unusable`] alone goes without.
    pub collection: Option<CollectionName>,
    /// When it was made, by the client's clock; `None`: it counts as made on arrival.
    pub time: Option<Millis>,
    /// What happened.
    pub edit: LiveEdit,
    /// The event as it was sent, for quarantine; empty for an insert that was read, whose document stands for it.
    pub raw: String,
}

/// What an event does.
#[derive(Clone, Debug)]
pub enum LiveEdit {
    /// A complete document, stored under `_id`.
    Insert {
        /// Which document.
        id: DocId,
        /// Its text: `_id` in the place of `id`.
        body: Body,
    },
    /// Update operators on every document that a query means.
    Update {
        /// Which documents: asked again of each candidate, on the version that then stands.
        query: Query,
        /// What happens to them.
        update: Update,
        /// The id that they get, where the update sets one.
        new_id: Option<DocId>,
        /// Documents that the query may mean; `None`: nobody has looked yet, which counts as none.
        candidates: Option<BTreeSet<DocId>>,
    },
    /// Every document that a query means goes away.
    Remove {
        /// Which documents: asked again of each candidate, on the version that then stands.
        query: Query,
        /// Documents that the query may mean; `None`: nobody has looked yet, which counts as none.
        candidates: Option<BTreeSet<DocId>>,
    },
    /// Not to be understood, not allowed, or over a limit: set aside, so that nothing behind it waits.
    Unusable(Rejection),
}

impl LiveEvent {
    /// The query whose candidates have still to be looked for in the collection. Where a query pins ids, they are
    /// the candidates and nothing is looked for.
    #[must_use]
    pub fn unresolved(&self) -> Option<(&CollectionName, &Query)> {
        match &self.edit {
            LiveEdit::Update { query, candidates: None, .. } | LiveEdit::Remove { query, candidates: None } => {
                Some((self.collection.as_ref()?, query))
            }
            _ => None,
        }
    }

    /// How many patterns its query has.
    #[must_use]
    pub fn patterns(&self) -> usize {
        match &self.edit {
            LiveEdit::Update { query, .. } | LiveEdit::Remove { query, .. } => query.patterns(),
            LiveEdit::Insert { .. } | LiveEdit::Unusable(_) => 0,
        }
    }

    /// Takes the documents that were found for [`LiveEvent::unresolved`].
    pub fn resolve(&mut self, found: BTreeSet<DocId>) {
        if let LiveEdit::Update { candidates, .. } | LiveEdit::Remove { candidates, .. } = &mut self.edit {
            *candidates = Some(found);
        }
    }

    /// The documents that the event names: those that it may change.
    pub fn names(&self) -> impl Iterator<Item = &DocId> {
        let (one, many) = match &self.edit {
            LiveEdit::Insert { id, .. } => (Some(id), None),
            LiveEdit::Update { new_id, candidates, .. } => (new_id.as_ref(), candidates.as_ref()),
            LiveEdit::Remove { candidates, .. } => (None, candidates.as_ref()),
            LiveEdit::Unusable(_) => (None, None),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

impl NodeId {
    /// A client of the `live` dialect, as the author of its changes.
    ///
    /// # Errors
    /// [`Malformed::Id`] when the client's own id is empty, longer than 120 bytes, or not visible ASCII.
    pub fn of_live(client: &str) -> Result<NodeId, Malformed> {
        if client.is_empty() || client.len() > 120 || !client.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Malformed::id("client id", client, "must have 1 to 120 visible ASCII characters"));
        }
        NodeId::new(format!("(live:{client})"))
    }

    /// The own id of a client of the `live` dialect.
    #[must_use]
    pub fn live_client(&self) -> Option<&str> {
        self.as_str().strip_prefix("(live:")?.strip_suffix(')')
    }

    /// Whether it is a client of the `live` dialect, or the place of one.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.as_str().starts_with("(live:")
    }
}
