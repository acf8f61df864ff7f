//! How far clients have got, so that one that comes back after a restart of the hub, or to another worker, goes on from
//! there. A place holds for one list of collections, seen in one way; losing the newest notes means hearing a little twice. One that is
//! being filled has a note as well: what it was sent before the hub ended may be gone when it comes back.

use crate::error::ServerError;
use crate::hub::Space;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;
use syncline_core::model::{CollectionName, Lsn, NodeId, Views};

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It has everything up to here.
    At(Lsn),
    /// It is being filled, and has heard nothing of what was removed after this.
    FilledSince(Lsn),
}

pub(super) struct Places {
    space: Arc<Space>,
}

impl Places {
    pub(super) fn new(space: Arc<Space>) -> Places {
        Places { space }
    }

    /// Where a client with these collections was.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn find(
        &self,
        client: &NodeId,
        seen: (&BTreeSet<CollectionName>, &Views),
    ) -> Result<Option<Place>, ServerError> {
        for (kind, place) in [("", Place::At as fn(Lsn) -> Place), (FILLED, Place::FilledSince)] {
            if let Some(name) = name(client, seen, kind)
                && let Some(at) = self.space.place_of(&name).await?
                && (at > Lsn::ZERO || kind == FILLED)
            {
                return Ok(Some(place(at)));
            }
        }
        Ok(None)
    }

    /// Takes note of where a client is.
    pub(super) fn note(&self, client: &NodeId, seen: (&BTreeSet<CollectionName>, &Views), place: Place) {
        let (kind, at) = match place {
            Place::At(at) => ("", at),
            Place::FilledSince(since) => (FILLED, since),
        };
        if let Some(name) = name(client, seen, kind) {
            self.space.note_cursor(&name, at);
        }
    }

    /// A place of the other kind was noted before: it counts no more, and the log is no longer kept for it.
    pub(super) fn forget_other(&self, client: &NodeId, seen: (&BTreeSet<CollectionName>, &Views), place: Place) {
        let other = if matches!(place, Place::At(_)) { FILLED } else { "" };
        if let Some(name) = name(client, seen, other) {
            self.space.note_cursor(&name, Lsn::ZERO);
        }
    }

    /// A client that has gone may come to another worker next, which finds it by what is written.
    pub(super) async fn hand_over(&self) {
        if self.space.is_shared() {
            self.write().await;
        }
    }

    /// Makes the notes outlast the hub.
    pub(super) async fn write(&self) {
        if let Err(error) = self.space.write_cursors().await {
            tracing::warn!(%error, "places of live clients are not noted");
        }
    }
}

/// Ends the names of places of clients that are being filled.
const FILLED: &str = "+";

/// A client's place is noted beside those of other readers, under a name that no client can have: theirs end with a
/// bracket. `None`: its own id is too long for that.
fn name(client: &NodeId, seen: (&BTreeSet<CollectionName>, &Views), kind: &str) -> Option<NodeId> {
    let (collections, views) = seen;
    let mut hash = Sha256::new();
    for name in collections {
        hash.update(name.as_str().as_bytes());
        hash.update([0]);
        if let Some(view) = views.get(name) {
            hash.update(view.as_str().as_bytes());
            hash.update([1]);
        }
    }
    let [a, b, c, d, ..] = <[u8; 32]>::from(hash.finalize());
    let list = u32::from_be_bytes([a, b, c, d]);
    NodeId::new(format!("(live:{}@{list:08x}{kind}", client.live_client()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_one_clients_and_no_client() {
        let client = |id: &str| NodeId::of_live(id).unwrap();
        let users = BTreeSet::from([CollectionName::new("users").unwrap()]);
        let whole = (&users, &Views::new());
        let of_a = name(&client("a"), whole, "").unwrap();
        assert!(of_a.is_live() && of_a.live_client().is_none());
        let hash = of_a.as_str().strip_prefix("(live:a@").unwrap();
        assert_ne!(of_a, client(&format!("a@{hash}")));
        assert_ne!(Some(of_a), name(&client("a)"), whole, ""));
    }
}
