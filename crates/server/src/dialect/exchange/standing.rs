//! How a registered node stands: for people who look after it. Reads only.

use super::file::author;
use super::round::Round;
use crate::app::App;
use crate::error::ServerError;
use crate::nodes::RegisteredNode;
use crate::store::{Encoder, Head, Row, Scan, Scanned};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use syncline_core::model::{CollectionName, Lsn, Millis, NodeId, SpaceName, Traffic};
use syncline_core::wire::exchange::is_uuid;

/// Counting a queue ends here: more tells a person nothing, and costs time.
pub const QUEUE_MAX: u64 = 10_000;

/// A registered node, and how much waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The node.
    #[serde(flatten)]
    pub node: RegisteredNode,
    /// The last LSN of the space's log.
    pub head: Lsn,
    /// Rows of the log after what the node has confirmed: they are not forgotten while it is heard of. 0 where it has
    /// never called, or was silent for longer than `retention.nodes`.
    pub holds_back: u64,
    /// Entities that the node has not confirmed; [`QUEUE_MAX`]: that many or more.
    pub queue: u64,
    /// Documents of its types that no packet can hold, because their ids are no UUIDs.
    pub unsendable: u64,
}

/// Looks at a node, its queue and the documents of its types.
///
/// # Errors
/// [`ServerError::UnknownNode`], or those of the store.
pub async fn standing(app: &App, space: &SpaceName, id: &NodeId) -> Result<Standing, ServerError> {
    let node = app.nodes.show(space, id).await?;
    let head = app.hub.store().head(space).await?.lsn;
    let queue = match queue(app, space, id, None).await {
        // It is given everything anew with its next packet.
        Err(ServerError::Resync { .. }) => queue(app, space, id, Some(head)).await?,
        queue => queue?,
    };
    let holds_back = if node.silent_since.is_some() { 0 } else { holds_back(app, space, id, head).await? };
    let unsendable = unsendable(app, space, node.plan.types.as_ref()).await?;
    Ok(Standing { node, head, holds_back, queue, unsendable })
}

async fn holds_back(app: &App, space: &SpaceName, id: &NodeId, head: Lsn) -> Result<u64, ServerError> {
    let found = app.hub.store().registered(space, Some(id)).await?.pop();
    let calling = found.filter(|(_, traffic)| traffic.received_at > Millis(0));
    Ok(calling.map_or(0, |(_, traffic)| head.0.saturating_sub(traffic.needs().0)))
}

async fn queue(app: &App, space: &SpaceName, id: &NodeId, anew: Option<Lsn>) -> Result<u64, ServerError> {
    let space = app.hub.space(space).await?;
    let desk = app.nodes.desk(space.name(), id).await?;
    let round = Round { app, space: &space, desk: &desk };
    let author = author(app, space.name(), id).await?;
    let found = app.hub.store().registered(space.name(), Some(id)).await?.pop();
    let mut traffic = found.map_or_else(Traffic::default, |(_, traffic)| traffic);
    if let Some(head) = anew {
        traffic.fill_again(head);
    }
    let (reached, mut after, mut count) = (traffic.reached(), traffic.cursor, 0);
    while count < QUEUE_MAX {
        let page = round.page(author, reached, true, after).await?;
        count += page.told.count as u64;
        if !page.more {
            break;
        }
        after = page.upto;
    }
    Ok(count.min(QUEUE_MAX))
}

async fn unsendable(
    app: &App,
    space: &SpaceName,
    types: Option<&std::collections::BTreeSet<CollectionName>>,
) -> Result<u64, ServerError> {
    let collections = types.or(app.options.exchange.types.as_ref()).cloned();
    let count = Arc::new(AtomicU64::new(0));
    let scan =
        Scan::Snapshot { collections, after: Lsn::ZERO, expired_by: None, max_rows: usize::MAX, max_bytes: usize::MAX };
    let space = app.hub.space(space).await?;
    space.read(scan, Box::new(Strangers(Arc::clone(&count)))).await?.scanned().await?;
    Ok(count.load(Ordering::Acquire))
}

/// Counts documents that no packet can hold.
struct Strangers(Arc<AtomicU64>);

impl Encoder for Strangers {
    fn begin(&mut self, _head: &Head, _out: &mut Vec<u8>) {}

    fn row(&mut self, row: &Row<'_>, _out: &mut Vec<u8>) -> bool {
        if !is_uuid(row.id) {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
        true
    }

    fn end(&mut self, _scanned: &Scanned, _out: &mut Vec<u8>) {}
}
