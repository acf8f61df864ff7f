//! How far the nodes of a space are behind. What a node wrote itself it need not read.

use crate::error::ServerError;
use crate::store::{Encoder, Head, NodeRow, Row, Scan, Scanned, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use syncline_core::model::{Author, Lsn, NodeId, SpaceName};
use tokio::sync::mpsc;

/// Changes that are looked at; a node that wrote more without reading counts from the last change.
const ROWS_MAX: usize = 10_000;

/// A node and how far it is behind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeView {
    /// The node.
    #[serde(flatten)]
    pub node: NodeRow,
    /// LSNs from where it is to the newest change by others; 0: in step.
    pub behind: u64,
}

/// The nodes of a space, and where its log stands. A node is where it says it is, or at what it was
/// `handed` since: it confirms that only with its next request.
///
/// # Errors
/// Those of the store.
pub async fn nodes(
    store: &dyn Store,
    space: &SpaceName,
    handed: &BTreeMap<NodeId, Lsn>,
) -> Result<(Head, Vec<NodeView>), ServerError> {
    let (head, nodes) = (store.head(space).await?, store.nodes(space).await?);
    let before_last = Lsn(head.last_change.0.saturating_sub(1));
    let last = newest_not_by(store, space, (before_last, None)).await?;
    let mut views = Vec::with_capacity(nodes.len());
    for node in nodes {
        let handed = NodeId::new(node.node.as_str()).ok().and_then(|id| handed.get(&id).copied());
        let at = handed.unwrap_or(node.cursor);
        let wrote_last = at < head.last_change && last.author == Some(node.author);
        let newest = if wrote_last {
            newest_not_by(store, space, (at, Some(node.author))).await?.lsn.unwrap_or(head.last_change)
        } else {
            head.last_change
        };
        views.push(NodeView { behind: newest.0.saturating_sub(at.0), node });
    }
    Ok((head, views))
}

/// What a look at the log found; `lsn: None`: not all could be looked at.
struct Newest {
    lsn: Option<Lsn>,
    author: Option<Author>,
}

/// The newest change after a position that is not of one author.
async fn newest_not_by(
    store: &dyn Store,
    space: &SpaceName,
    (after, except): (Lsn, Option<Author>),
) -> Result<Newest, ServerError> {
    let seen = Arc::new(Seen { lsn: AtomicU64::new(after.0), author: AtomicU64::new(u64::MAX) });
    let look = Box::new(Look { except, seen: Arc::clone(&seen) });
    let scan = Scan::Log { after, collections: None, max_rows: ROWS_MAX, max_bytes: usize::MAX };
    // The encoder writes nothing: nothing waits to be taken.
    let (out, _nothing) = mpsc::channel(1);
    let complete = match store.scan(space, scan, look, out).await {
        Ok(Scanned { more, .. }) => !more,
        Err(StoreError::BehindHorizon { .. }) => false,
        Err(error) => return Err(error.into()),
    };
    let author = u32::try_from(seen.author.load(Ordering::Acquire)).ok().map(Author);
    Ok(Newest { lsn: complete.then(|| Lsn(seen.lsn.load(Ordering::Acquire))), author })
}

struct Seen {
    lsn: AtomicU64,
    /// Of the newest change; `u64::MAX`: there is none.
    author: AtomicU64,
}

/// Reads who wrote what and writes nothing.
struct Look {
    except: Option<Author>,
    seen: Arc<Seen>,
}

impl Encoder for Look {
    fn begin(&mut self, _head: &Head, _out: &mut Vec<u8>) {}

    fn row(&mut self, row: &Row<'_>, _out: &mut Vec<u8>) -> bool {
        if self.except != Some(row.author) {
            self.seen.lsn.store(row.lsn.0, Ordering::Release);
            self.seen.author.store(row.author.0.into(), Ordering::Release);
        }
        true
    }

    fn end(&mut self, _scanned: &Scanned, _out: &mut Vec<u8>) {}
}
