//! How far the nodes of a space are behind, and which of them stall: are there and do not get on. What a node wrote itself it
//! need not read.

use crate::error::ServerError;
use crate::store::{Encoder, Head, NodeRow, Row, Scan, Scanned, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use syncline_core::model::{Author, Lsn, Millis, NodeId, SpaceName};
use tokio::sync::mpsc;

/// Changes that are looked at; of a node that wrote more without reading all count that were not seen to be its own.
const ROWS_MAX: usize = 10_000;

/// Who was heard of within this is there now.
const PRESENT_MS: u64 = 5 * 60 * 1_000;
/// Who is there and so far behind does not get on.
const FAR_BEHIND: u64 = 10_000;
/// Who takes nothing of what it is handed for so long does not get on.
const TAKES_NOTHING_MS: u64 = 60_000;

/// Where a node is, as far as this hub has seen since the space is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// Up to where it was handed the log.
    pub handed: Lsn,
    /// What it said itself, when it last asked.
    pub confirmed: Lsn,
    /// Changes behind that which it wrote itself, and need not read.
    pub own: u64,
    /// The last of them.
    pub own_upto: Lsn,
    /// When it last asked.
    pub seen_at: Millis,
    /// Since when it asks for what it was handed already.
    pub stuck_since: Option<Millis>,
}

/// Why a node that is there does not get on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stall {
    /// It is 10,000 changes behind, or more.
    FarBehind,
    /// For more than a minute it has asked for the same changes again and again.
    TakesNothing,
}

impl Sighting {
    /// It asked for what comes after `lsn`.
    pub fn ask(&mut self, lsn: Lsn, now: Millis, is_live: bool) {
        let again = lsn < self.handed && !is_live;
        self.stuck_since = again.then(|| self.stuck_since.unwrap_or(now));
        (self.confirmed, self.seen_at) = (lsn, now);
        self.hand(lsn);
    }

    /// It was handed the log up to here.
    pub fn hand(&mut self, upto: Lsn) {
        self.handed = upto;
        if upto >= self.own_upto {
            self.own = 0;
        }
    }

    /// It has made these changes.
    pub fn write(&mut self, lsns: impl Iterator<Item = Lsn>) {
        for lsn in lsns.filter(|lsn| *lsn > self.handed.max(self.own_upto)).collect::<BTreeSet<_>>() {
            (self.own, self.own_upto) = (self.own + 1, lsn);
        }
    }

    /// Changes by others that it has still to be handed, at most.
    fn behind(&self, last_change: Lsn) -> u64 {
        last_change.0.saturating_sub(self.handed.0).saturating_sub(self.own)
    }
}

impl Stall {
    /// Judges a node that is so far behind.
    #[must_use]
    pub fn of(place: &Sighting, behind: u64, now: Millis) -> Option<Stall> {
        let since = |time: Millis| now.0.saturating_sub(time.0);
        if place.handed == Lsn::ZERO || since(place.seen_at) >= PRESENT_MS {
            return None;
        }
        if place.stuck_since.is_some_and(|at| since(at) >= TAKES_NOTHING_MS) {
            return Some(Stall::TakesNothing);
        }
        (behind >= FAR_BEHIND).then_some(Stall::FarBehind)
    }

    /// For people, after the node's name.
    #[must_use]
    pub fn says(self, behind: u64) -> String {
        match self {
            Stall::FarBehind => format!("is there and {behind} changes behind"),
            Stall::TakesNothing => "is there and has asked for the same changes for more than a minute".into(),
        }
    }
}

/// The readers of a space that are there, taken together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// LSNs from the one that is furthest behind to the newest change.
    pub furthest: u64,
    /// Those that stall.
    pub stalled: Vec<NodeId>,
}

impl Lag {
    /// Of these places in a log that ends here.
    #[must_use]
    pub fn of(places: &BTreeMap<NodeId, Sighting>, last_change: Lsn, now: Millis) -> Lag {
        let mut lag = Lag::default();
        for (node, place) in places {
            if place.handed == Lsn::ZERO || now.0.saturating_sub(place.seen_at.0) >= PRESENT_MS {
                continue;
            }
            let behind = place.behind(last_change);
            lag.furthest = lag.furthest.max(behind);
            if Stall::of(place, behind, now).is_some() {
                lag.stalled.push(node.clone());
            }
        }
        lag
    }
}

/// A node and how far it is behind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeView {
    /// The node.
    #[serde(flatten)]
    pub node: NodeRow,
    /// LSNs from where it is to the newest change by others; 0: in step.
    pub behind: u64,
    /// Why it does not get on, although it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stall: Option<Stall>,
}

/// The nodes of a space but for the hub itself, and where its log stands. A node is where it says it is, or at what it was
/// handed since: it confirms that only with its next request.
///
/// # Errors
/// Those of the store.
pub async fn nodes(
    store: &dyn Store,
    space: &SpaceName,
    places: &BTreeMap<NodeId, Sighting>,
    now: Millis,
) -> Result<(Head, Vec<NodeView>), ServerError> {
    let (head, nodes) = (store.head(space).await?, store.nodes(space).await?);
    let before_last = Lsn(head.last_change.0.saturating_sub(1));
    let last = newest_not_by(store, space, (before_last, None)).await?;
    let mut views = Vec::with_capacity(nodes.len());
    for node in nodes {
        let id = NodeId::new(node.node.as_str()).ok();
        if id.as_ref().is_some_and(NodeId::is_hub) {
            continue;
        }
        let place = id.and_then(|id| places.get(&id).copied());
        let place = place.unwrap_or(Sighting { handed: node.cursor, confirmed: node.cursor, ..Sighting::default() });
        let confirmed = confirmed(&place, &node, now);
        let seen_at = place.seen_at.max(node.seen_at);
        let (node, place) = (NodeRow { cursor: confirmed, seen_at, ..node }, Sighting { seen_at, ..place });
        let at = place.handed;
        let wrote_last = at < head.last_change && last.author == Some(node.author);
        let newest = if wrote_last {
            newest_not_by(store, space, (at, Some(node.author))).await?.lsn
        } else {
            Some(head.last_change)
        };
        let behind = newest.map_or_else(|| place.behind(head.last_change), |newest| newest.0.saturating_sub(at.0));
        views.push(NodeView { behind, stall: Stall::of(&place, behind, now), node });
    }
    Ok((head, views))
}

/// The store hears of it later than this hub, or from another worker; of a push it hears at once, which says nothing of
/// where the node is.
fn confirmed(place: &Sighting, node: &NodeRow, now: Millis) -> Lsn {
    if place.seen_at > node.seen_at {
        return place.confirmed;
    }
    let is_fresh = now.0.saturating_sub(place.seen_at.0) < PRESENT_MS;
    if is_fresh { place.confirmed.max(node.cursor) } else { node.cursor }
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(10_000_000);

    fn ago(ms: u64) -> Millis {
        Millis(NOW.0 - ms)
    }

    fn at(lsn: u64, seen_at: Millis) -> Sighting {
        Sighting { handed: Lsn(lsn), seen_at, ..Sighting::default() }
    }

    #[test]
    fn who_is_there_and_does_not_get_on_stalls() {
        let place = at(5, ago(1_000));
        assert_eq!(Stall::of(&place, FAR_BEHIND - 1, NOW), None);
        assert_eq!(Stall::of(&place, FAR_BEHIND, NOW), Some(Stall::FarBehind));
        let stuck = |ms| Sighting { stuck_since: Some(ago(ms)), ..place };
        assert_eq!(Stall::of(&stuck(TAKES_NOTHING_MS - 1), 1, NOW), None, "an answer may be lost on its way");
        assert_eq!(Stall::of(&stuck(TAKES_NOTHING_MS), 1, NOW), Some(Stall::TakesNothing));
    }

    #[test]
    fn who_is_away_or_has_never_read_does_not_stall() {
        let away = Sighting { stuck_since: Some(ago(PRESENT_MS)), ..at(5, ago(PRESENT_MS)) };
        assert_eq!(Stall::of(&away, FAR_BEHIND, NOW), None);
        let fresh = at(0, NOW);
        assert_eq!(Stall::of(&fresh, FAR_BEHIND, NOW), None);
    }

    #[test]
    fn what_a_node_wrote_itself_it_need_not_read() {
        let mut place = Sighting::default();
        place.ask(Lsn(5), NOW, false);
        place.write([Lsn(6), Lsn(8), Lsn(0), Lsn(8)].into_iter());
        place.write([Lsn(8), Lsn(9)].into_iter());
        assert_eq!(place.behind(Lsn(9)), 1, "7 is somebody else's");
        place.hand(Lsn(7));
        assert_eq!(place.behind(Lsn(9)), 0);
        place.hand(Lsn(9));
        assert_eq!((place.behind(Lsn(10)), place.own), (1, 0));
        let mut many = Sighting { seen_at: NOW, handed: Lsn(1), ..Sighting::default() };
        many.write((2..=30_000).map(Lsn));
        assert_eq!(Lag::of(&[(NodeId::new("n").unwrap(), many)].into(), Lsn(30_000), NOW), Lag::default());
    }

    #[test]
    fn a_space_tells_who_of_its_readers_is_furthest_behind_and_who_stalls() {
        let node = |name: &str| NodeId::new(name).unwrap();
        let places =
            [(node("away"), at(1, ago(PRESENT_MS))), (node("near"), at(20_000, NOW)), (node("far"), at(9_000, NOW))];
        let lag = Lag::of(&places.into(), Lsn(20_001), NOW);
        assert_eq!(lag, Lag { furthest: 11_001, stalled: vec![node("far")] });
    }
}
