//! The `lsn` dialect as WiseJSON clients speak it (steps 3 and 8 of the life of a change): three
//! generations, told apart by the shape of their requests. Holds no rule about data; what it adds is
//! the guess which device stands behind a request, because no request says so.

mod cursor;
mod encode;
mod lists;
mod pull;
mod push;
mod readers;
mod rows;
mod snapshot;

pub use pull::pull;
pub use push::push;
pub use snapshot::snapshot;

use super::Asked;
use crate::error::ServerError;
use lists::Lists;
use readers::Readers;
use syncline_core::model::{CollectionName, NodeId, SpaceName, View};

/// One stream as one token sees it: all that is known of who asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamKey {
    space: SpaceName,
    collection: CollectionName,
    /// The foreign clients of the token.
    node: NodeId,
    /// Which rows of the collection it sees; `None`: all.
    view: Option<View>,
}

impl StreamKey {
    fn of(asked: &Asked) -> Result<StreamKey, ServerError> {
        let (space, collection) = (asked.space.name().clone(), asked.collection()?);
        let view = asked.grant.views().get(&collection).cloned();
        Ok(StreamKey { space, collection, node: asked.grant.foreign_node(), view })
    }
}

/// What the hub remembers of foreign readers, in memory only: after a restart they get some
/// changes once more, which is harmless.
#[derive(Debug, Default)]
pub(crate) struct Foreign {
    readers: Readers,
    lists: Lists,
}
