//! What a token granted before it was changed, of the hub's own ones and of declared ones. The store keeps it, so that restarts
//! and other workers forget nothing.

use super::rows::RowAccess;
use super::spec::TokenSpec;
use crate::error::ServerError;
use crate::store::Store;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use syncline_core::model::{CollectionName, Lsn, RowFilters, SpaceName, View};

/// Earlier views that are remembered of a token and a collection, with the one that it has.
pub(super) const VIEWS_MAX: usize = 4;

/// A view that a token had, up to a position of the log.
#[derive(Clone, Debug)]
pub struct Earlier {
    pub(super) view: Option<View>,
    pub(super) rows: Arc<RowFilters>,
    pub(super) until: Lsn,
}

impl Earlier {
    /// Whether a reader could see this text then, of a document that exists since `created`.
    pub fn meant(&self, created: Lsn, collection: &str, text: &str) -> bool {
        created <= self.until && self.rows.mean(collection, text)
    }
}

/// What a token granted before a change, as it is kept: up to which position of each space's log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Before {
    spec: TokenSpec,
    until: BTreeMap<SpaceName, Lsn>,
}

impl Before {
    /// Adds what a token granted up to now, where it reads otherwise from now on.
    pub fn remember(kept: &mut Vec<Before>, old: &TokenSpec, new: &TokenSpec, until: BTreeMap<SpaceName, Lsn>) {
        if reads(old) == reads(new) {
            return;
        }
        kept.push(Before { spec: old.clone(), until });
        let over = kept.len().saturating_sub(VIEWS_MAX - 1);
        kept.drain(..over);
    }
}

/// What decides what a token sees.
fn reads(spec: &TokenSpec) -> impl PartialEq + '_ {
    (&spec.space, &spec.collections, spec.read, &spec.rows, &spec.read_rows, &spec.claims)
}

/// Where the logs stand that a token opens; of a space that cannot be read nobody has anything.
///
/// # Errors
/// Those of the store.
pub(super) async fn heads(
    store: &dyn Store,
    space: Option<&SpaceName>,
) -> Result<BTreeMap<SpaceName, Lsn>, ServerError> {
    let spaces = match space {
        Some(space) => vec![space.clone()],
        None => store.spaces().await?,
    };
    let mut heads = BTreeMap::new();
    for space in spaces {
        match store.head(&space).await {
            Ok(head) => drop(heads.insert(space, head.lsn)),
            Err(error) => tracing::warn!(%space, %error, "how far the readers of a token came is not known"),
        }
    }
    Ok(heads)
}

/// The same with the claims filled in.
#[derive(Clone, Debug)]
pub(super) struct Former {
    kept: Before,
    rows: RowAccess,
}

impl Former {
    /// Whatever a limit of today forbids is no longer known.
    pub fn all(kept: &[Before]) -> Arc<[Former]> {
        let bound = |kept: &Before| Some(Former { kept: kept.clone(), rows: kept.spec.row_access().ok()? });
        kept.iter().filter_map(bound).collect()
    }

    pub fn of(&self, space: &SpaceName, collection: &CollectionName) -> Option<Earlier> {
        let Before { spec, until } = &self.kept;
        let covered = spec.collections.as_ref().is_none_or(|names| names.contains(collection));
        let until = *until.get(space).filter(|_| spec.read && covered)?;
        let view = self.rows.views.get(collection).cloned();
        Some(Earlier { view, rows: Arc::clone(&self.rows.read), until })
    }
}
