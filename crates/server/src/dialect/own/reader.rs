//! What pull and snapshot have in common: who reads, which collections, in which history.

use super::super::query::malformed;
use super::super::{Asked, Query, Verb};
use crate::app::App;
use crate::auth::Grant;
use crate::error::ServerError;
use crate::hub::Space;
use std::collections::BTreeSet;
use std::sync::Arc;
use syncline_core::model::{CollectionName, Lsn, NodeId, RowFilters, Views};
use syncline_core::wire::ranges::Range;

/// Ranges that one request names: each document is held against all of them.
const RANGES_MAX: usize = 256;

/// An own client that reads.
pub(super) struct Reader {
    pub(super) node: NodeId,
    /// `None`: everything in the space.
    pub(super) collections: Option<BTreeSet<CollectionName>>,
    /// The documents that it may see of them.
    pub(super) rows: Arc<RowFilters>,
    /// The same as it is told.
    pub(super) views: Views,
}

impl Reader {
    pub(super) fn of(asked: &Asked) -> Result<Reader, ServerError> {
        let node = NodeId::new(asked.query.get("node").unwrap_or_default())?;
        asked.grant.check_node(&node)?;
        let known = asked.space.head().epoch;
        match asked.query.get("epoch") {
            Some(epoch) if !epoch.is_empty() && epoch != known.as_str() => {
                return Err(asked.space.resync(format!("epoch `{}` is not this log's", shown(epoch))));
            }
            _ => {}
        }
        let collections = collections(asked)?;
        let (rows, mut views) = (asked.grant.read_rows(), asked.grant.views().clone());
        views.retain(|name, _| collections.as_ref().is_none_or(|names| names.contains(name)));
        Ok(Reader { node, collections, rows, views })
    }
}

/// Whether somebody holds what a registered node has against the hub's: then it is read as that node gets it.
pub(in super::super) fn compares_packets(verb: Verb, query: &Query) -> bool {
    let reads = matches!(verb, Verb::Pull | Verb::Snapshot | Verb::Digests);
    reads && query.get("packet").is_some() && query.get("node").is_some()
}

/// The grant of a node that gets what its plan says.
pub(in super::super) async fn as_node(
    app: &App,
    space: &Space,
    grant: &Grant,
    query: &Query,
) -> Result<Grant, ServerError> {
    let node = NodeId::new(query.get("node").unwrap_or_default())?;
    grant.check_sender(&node)?;
    Ok(grant.of_node(Arc::clone(&app.nodes.desk(space.name(), &node).await?.readable)))
}

/// Where in the log the node stands that is asked for by a packet; `None`: it is not.
pub(super) async fn stands_at(asked: &Asked, node: &NodeId) -> Result<Option<Lsn>, ServerError> {
    if asked.query.get("packet").is_none() {
        return Ok(None);
    }
    let packet = asked.query.read("packet", 0, "a whole number, 0 or more")?;
    asked.app.nodes.stands_at(asked.space.name(), node, packet).await.map(Some)
}

/// `collections=a,b`, or the collection of the path, or all that the token may read.
fn collections(asked: &Asked) -> Result<Option<BTreeSet<CollectionName>>, ServerError> {
    let Some(list) = asked.query.get("collections") else {
        let named = asked.named.clone().map(|name| BTreeSet::from([name]));
        return Ok(named.or_else(|| asked.grant.collections().cloned()));
    };
    let names: BTreeSet<_> =
        list.split(',').filter(|name| !name.is_empty()).map(CollectionName::new).collect::<Result<_, _>>()?;
    if names.is_empty() {
        return Err(malformed("collections", list, "a list of names, or absent for all"));
    }
    for name in &names {
        asked.grant.check_collection(name)?;
    }
    Ok(Some(names))
}

/// A position in the log.
pub(super) fn position(asked: &Asked, name: &str) -> Result<Lsn, ServerError> {
    Ok(Lsn(asked.query.read(name, 0, "a whole number, 0 or more")?))
}

/// `ranges=3f,40a1`; absent: none are named.
pub(super) fn ranges(asked: &Asked) -> Result<Vec<Range>, ServerError> {
    let named = asked.query.get("ranges").unwrap_or_default().split(',').filter(|text| !text.is_empty());
    let ranges: Vec<Range> = named.map(str::parse).collect::<Result<_, _>>()?;
    if ranges.len() > RANGES_MAX {
        return Err(malformed("ranges", &format!("{} ranges", ranges.len()), format!("at most {RANGES_MAX} ranges")));
    }
    Ok(ranges)
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}
