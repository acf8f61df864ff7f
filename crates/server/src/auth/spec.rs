//! What a token is called and grants, as configurations, stores and the admin API write it.

use super::rows::{Binding, FILTER_BYTES_MAX, RowAccess, RowRules};
use crate::error::ServerError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use syncline_core::model::{CollectionName, Millis, NodeId, RoomName, SpaceName};

/// Leaves room for what the hub puts around it to name the token's foreign clients.
pub(super) const NAME_BYTES_MAX: usize = 120;

/// What names of signed tokens begin with, so that no token of the hub's own is mistaken for one.
pub(super) const SIGNED: &str = "jwt:";

/// Whether a token's name is that of a signed one.
pub(super) fn is_signed(name: &NodeId) -> bool {
    name.as_str().starts_with(SIGNED)
}

/// What a token is called and grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    /// Its name, unique in the hub; foreign clients are known by it.
    pub name: NodeId,
    /// The only space that it opens; `None`: every space.
    #[serde(default)]
    pub space: Option<SpaceName>,
    /// The only collections that it opens; `None`: all.
    #[serde(default)]
    pub collections: Option<BTreeSet<CollectionName>>,
    /// The collection of foreign requests on the bare paths.
    #[serde(default)]
    pub collection: Option<CollectionName>,
    /// Whether it may pull.
    #[serde(default = "yes")]
    pub read: bool,
    /// Whether it may push.
    #[serde(default = "yes")]
    pub write: bool,
    /// Whether it may administer the hub.
    #[serde(default)]
    pub admin: bool,
    /// Whether it may publish events to rooms.
    #[serde(default)]
    pub emit: bool,
    /// The only rooms that it opens, those that need a grant among them; `None`: all that need none.
    #[serde(default)]
    pub rooms: Option<BTreeSet<RoomName>>,
    /// Refused from this time on.
    #[serde(default)]
    pub expires_at: Option<Millis>,
    /// The only node that may use it.
    #[serde(default)]
    pub node: Option<NodeId>,
    /// For collections of which it opens only some documents: which, as a filter whose `"$NAME"` texts stand for claims,
    /// for reading and for writing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rows: RowRules,
    /// The same for reading, where that differs from `rows`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub read_rows: RowRules,
    /// The same for writing, where that differs from `rows`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub write_rows: RowRules,
    /// What the filters ask for; `sub` is the token's name unless it is given.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub claims: Map<String, Value>,
    /// Whether it is for packets only: that of a registered node which gets only some rows of a collection. No other
    /// dialect knows of rows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub packets: bool,
}

impl TokenSpec {
    /// The collections of which it opens only some rows; one may come more than once.
    pub(super) fn limited_collections(&self) -> impl Iterator<Item = &CollectionName> {
        self.rows.keys().chain(self.read_rows.keys()).chain(self.write_rows.keys())
    }

    /// What the token opens beside its filters, as whoever wrote them may not have meant it; `None`: it names its collections.
    #[must_use]
    pub fn open_beside_rows(&self) -> Option<String> {
        let rows: BTreeSet<&CollectionName> = self.limited_collections().collect();
        if rows.is_empty() || self.collections.is_some() {
            return None;
        }
        let place = self.space.as_ref().map_or("every space".to_owned(), |space| format!("space `{space}`"));
        let limited = listed(&rows);
        Some(format!("the filters limit {limited} alone: all other collections of {place} are open whole"))
    }

    /// Refuses contradictions: whoever administers the hub can make any token, so limits on such a
    /// token would only look like some.
    ///
    /// # Errors
    /// [`ServerError::BadRequest`].
    pub fn check(&self) -> Result<(), ServerError> {
        let rows = self.limited_collections().next().is_some();
        let limited = self.space.is_some() || self.collections.is_some() || self.node.is_some() || self.rooms.is_some();
        let limited = limited || rows;
        if self.admin && limited {
            let name = &self.name;
            let reason = format!(
                "token `{name}` is to administer the whole hub and to be limited to a space, collections, rows, rooms or a node; \
                 leave out one of the two"
            );
            return Err(ServerError::bad("malformed_token", reason));
        }
        if self.name.as_str().len() > NAME_BYTES_MAX {
            let reason = format!("the token's name is longer than {NAME_BYTES_MAX} bytes; take a shorter one");
            return Err(ServerError::bad("malformed_token", reason));
        }
        if self.name.is_reserved() {
            let reason = format!("`{}` is a name of the hub's own; take a token name without `(` in front", self.name);
            return Err(ServerError::bad("malformed_token", reason));
        }
        if is_signed(&self.name) {
            let reason =
                format!("`{}` would be taken for a signed token; take a name without `{SIGNED}` in front", self.name);
            return Err(ServerError::bad("malformed_token", reason));
        }
        if let Some(node) = self.node.as_ref().filter(|node| node.is_reserved()) {
            let reason =
                format!("no token is for node `{node}`, a name of the hub's own; take a node id without `(` in front");
            return Err(ServerError::bad("malformed_token", reason));
        }
        if let name @ ("." | "..") = self.name.as_str() {
            let reason = format!("a token cannot be named `{name}`, which means a place in a path; take another name");
            return Err(ServerError::bad("malformed_token", reason));
        }
        let bytes = serde_json::to_string(&self.claims).expect("claims serialize").len();
        if bytes > FILTER_BYTES_MAX {
            let reason = format!("the token's claims have {bytes} bytes; they may have {FILTER_BYTES_MAX} together");
            return Err(ServerError::bad("malformed_token", reason));
        }
        self.row_access().map(drop)
    }

    /// Its rows, with the claims filled in.
    ///
    /// # Errors
    /// Those of [`RowAccess::bind`].
    pub(super) fn row_access(&self) -> Result<RowAccess, ServerError> {
        RowAccess::bind(&Binding {
            rows: &self.rows,
            read_rows: &self.read_rows,
            write_rows: &self.write_rows,
            claims: &self.claims,
            name: &self.name,
            collections: self.collections.as_ref(),
        })
    }

    /// A token that may do everything, the administration of the hub included.
    #[must_use]
    pub fn admin(name: NodeId) -> TokenSpec {
        TokenSpec { admin: true, ..TokenSpec::named(name) }
    }

    /// A token that reads and writes every space.
    #[must_use]
    pub fn named(name: NodeId) -> TokenSpec {
        TokenSpec {
            name,
            space: None,
            collections: None,
            collection: None,
            read: true,
            write: true,
            admin: false,
            emit: false,
            rooms: None,
            expires_at: None,
            node: None,
            rows: RowRules::new(),
            read_rows: RowRules::new(),
            write_rows: RowRules::new(),
            claims: Map::new(),
            packets: false,
        }
    }
}

fn yes() -> bool {
    true
}

/// A token with its secret, as a configuration gives it.
#[derive(Clone)]
pub struct DeclaredToken {
    /// What clients send.
    pub secret: String,
    /// What it grants.
    pub spec: TokenSpec,
}

impl fmt::Debug for DeclaredToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeclaredToken").field("spec", &self.spec).finish_non_exhaustive()
    }
}

/// The first few, in words.
pub(super) fn listed(names: &BTreeSet<&CollectionName>) -> String {
    let first: Vec<String> = names.iter().take(5).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(first.len()) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
