//! How far clients have got, so that one that comes back after a restart of the hub goes on from there. A place holds
//! for one list of collections; losing the newest notes means hearing a little twice.

use crate::error::ServerError;
use crate::hub::Space;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use syncline_core::model::{CollectionName, Lsn, NodeId};
use tokio::sync::OnceCell;

pub(super) struct Places {
    space: Arc<Space>,
    /// As of the start of the hub.
    noted: OnceCell<BTreeMap<String, Lsn>>,
}

impl Places {
    pub(super) fn new(space: Arc<Space>) -> Places {
        Places { space, noted: OnceCell::new() }
    }

    /// Where a client with these collections was.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn find(
        &self,
        client: &NodeId,
        collections: &BTreeSet<CollectionName>,
    ) -> Result<Option<Lsn>, ServerError> {
        let Some(place) = place(client, collections) else { return Ok(None) };
        let noted = self.noted.get_or_try_init(|| self.load()).await?;
        let since = self.space.handed_to(&place);
        Ok(since.or_else(|| noted.get(place.as_str()).copied()))
    }

    /// Takes note of where a client is.
    pub(super) fn note(&self, client: &NodeId, collections: &BTreeSet<CollectionName>, at: Lsn) {
        if let Some(place) = place(client, collections) {
            self.space.note_cursor(&place, at);
        }
    }

    async fn load(&self) -> Result<BTreeMap<String, Lsn>, ServerError> {
        let rows = self.space.nodes().await?.into_iter().filter(|row| row.node.starts_with("(live:"));
        Ok(rows.map(|row| (row.node, row.cursor)).collect())
    }
}

/// A client's place is noted beside those of other readers, under a name that no client can have: without a bracket at
/// its end. `None`: its own id is too long for that.
fn place(client: &NodeId, collections: &BTreeSet<CollectionName>) -> Option<NodeId> {
    let mut hash = Sha256::new();
    for name in collections {
        hash.update(name.as_str().as_bytes());
        hash.update([0]);
    }
    let [a, b, c, d, ..] = <[u8; 32]>::from(hash.finalize());
    let list = u32::from_be_bytes([a, b, c, d]);
    NodeId::new(format!("(live:{}@{list:08x}", client.live_client()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_one_clients_and_no_client() {
        let client = |id: &str| NodeId::of_live(id).unwrap();
        let users = BTreeSet::from([CollectionName::new("users").unwrap()]);
        let of_a = place(&client("a"), &users).unwrap();
        assert!(of_a.is_live() && of_a.live_client().is_none());
        let hash = of_a.as_str().strip_prefix("(live:a@").unwrap();
        assert_ne!(of_a, client(&format!("a@{hash}")));
        assert_ne!(Some(of_a), place(&client("a)"), &users));
    }
}
