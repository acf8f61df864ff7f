//! The newest changes of a space, read from the log once for all of its live clients.

use super::bundle::Bundle;
use super::change::Change;
use super::pages::collect;
use crate::error::ServerError;
use crate::hub::Space;
use crate::store::{Head, Scan, Scanned};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;
use syncline_core::hub::DocKey;
use syncline_core::model::{Author, CollectionName, Lsn};
use tokio::sync::watch;

/// Changes that are kept; who is further behind reads from the store.
const ROWS_MAX: usize = 10_000;
const BYTES_MAX: usize = 16 << 20;
/// Read at once.
const PAGE_ROWS: usize = 1_000;
const PAGE_BYTES: usize = 4 << 20;
/// Messages that are kept for the next client that lacks the same.
const BUNDLES_MAX: usize = 256;
const BUNDLES_BYTES_MAX: usize = 64 << 20;
/// After the store refused to be read.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// What lies between two positions, for the same collections.
type Span = (Lsn, Lsn, Arc<BTreeSet<CollectionName>>);

pub(super) struct Feed {
    ring: RwLock<Ring>,
    news: watch::Sender<Lsn>,
    bundles: Mutex<Bundles>,
}

#[derive(Default)]
struct Bundles {
    made: BTreeMap<Span, Arc<Bundle>>,
    bytes: usize,
}

/// The changes in (`after`, `upto`].
#[derive(Default)]
struct Ring {
    after: Lsn,
    upto: Lsn,
    rows: VecDeque<Arc<Change>>,
    bytes: usize,
}

/// What the feed has for one reader.
pub(super) struct Stretch {
    /// The newest version of each document that changed.
    pub changes: Vec<Arc<Change>>,
    /// They are complete up to here.
    pub upto: Lsn,
    /// Whether changes were left out because the reader made them.
    pub personal: bool,
    /// Whether the feed goes on behind it.
    pub more: bool,
}

impl Feed {
    pub(super) fn start(space: Arc<Space>) -> Arc<Feed> {
        // Before the log is looked at: what is committed in between is news.
        let heads = space.watch();
        let feed = Arc::new(Feed::begin(space.head().last_change));
        tokio::spawn(follow(Arc::downgrade(&feed), space, heads));
        feed
    }

    fn begin(at: Lsn) -> Feed {
        let ring = RwLock::new(Ring { after: at, upto: at, ..Ring::default() });
        Feed { ring, news: watch::channel(at).0, bundles: Mutex::default() }
    }

    /// Changes when there are new changes.
    pub(super) fn watch(&self) -> watch::Receiver<Lsn> {
        self.news.subscribe()
    }

    /// What a reader is to hear after a position: at most `most` documents, and none more after so many bytes. Of one that it has changed itself since,
    /// it hears nothing before others change it again. `None`: it is further behind than the feed goes.
    pub(super) fn stretch(
        &self,
        after: Lsn,
        collections: &BTreeSet<CollectionName>,
        author: Option<Author>,
        (most, bytes_most): (usize, usize),
    ) -> Option<Stretch> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        if after < ring.after {
            return None;
        }
        let start = ring.rows.partition_point(|change| change.lsn <= after);
        let mut newest: HashMap<&DocKey, &Arc<Change>> = HashMap::new();
        let (mut upto, mut bytes) = (ring.upto.max(after), 0);
        for change in ring.rows.range(start..).filter(|change| collections.contains(&change.key.0)) {
            if (newest.len() == most || bytes >= bytes_most) && !newest.contains_key(&change.key) {
                upto = Lsn(change.lsn.0 - 1);
                break;
            }
            bytes += change.body.len();
            bytes -= newest.insert(&change.key, change).map_or(0, |before| before.body.len());
        }
        let (all, more) = (newest.len(), upto < ring.upto);
        newest.retain(|_, change| Some(change.author) != author);
        if more {
            let behind = ring.rows.range(ring.rows.partition_point(|change| change.lsn <= upto)..);
            for own in behind.filter(|change| Some(change.author) == author) {
                newest.remove(&own.key);
            }
        }
        let mut changes: Vec<_> = newest.into_values().cloned().collect();
        changes.sort_unstable_by_key(|change| change.lsn);
        Some(Stretch { personal: changes.len() < all, changes, upto, more })
    }

    /// A message that others may have been sent as well.
    pub(super) fn bundle(&self, span: Span, make: impl FnOnce() -> Bundle) -> Arc<Bundle> {
        let mut bundles = self.bundles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bundle) = bundles.made.get(&span) {
            return Arc::clone(bundle);
        }
        let bundle = Arc::new(make());
        let bytes = bundle.message.size_bytes();
        if bundles.made.len() >= BUNDLES_MAX || bundles.bytes + bytes > BUNDLES_BYTES_MAX {
            *bundles = Bundles::default();
        }
        bundles.bytes += bytes;
        bundles.made.insert(span, Arc::clone(&bundle));
        bundle
    }

    fn append(&self, changes: Vec<Change>, upto: Lsn) {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            ring.bytes += change.weight();
            ring.rows.push_back(Arc::new(change));
        }
        while ring.rows.len() > ROWS_MAX || ring.bytes > BYTES_MAX {
            let Some(oldest) = ring.rows.pop_front() else { break };
            ring.bytes -= oldest.weight();
            ring.after = oldest.lsn;
        }
        ring.upto = ring.upto.max(upto);
    }

    /// Nobody reads, or the log was trimmed past the feed: it begins anew. Who has begun to read since finds the rest in
    /// the store.
    fn restart(&self, at: Lsn) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Ring { after: at, upto: at, ..Ring::default() };
        self.news.send_replace(at);
    }

    /// Up to where it has read the log.
    pub(super) fn upto(&self) -> Lsn {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).upto
    }
}

/// Reads what is committed, for as long as somebody holds the feed.
async fn follow(feed: Weak<Feed>, space: Arc<Space>, mut heads: watch::Receiver<Head>) {
    while heads.changed().await.is_ok() {
        let head = heads.borrow_and_update().last_change;
        loop {
            let Some(feed) = feed.upgrade() else { return };
            if feed.upto() >= head {
                break;
            }
            if feed.news.receiver_count() == 0 {
                feed.restart(head);
                break;
            }
            match read(&space, feed.upto()).await {
                Ok((changes, scanned)) => {
                    feed.append(changes, scanned.upto);
                    feed.news.send_replace(scanned.upto);
                }
                Err(ServerError::Resync { .. }) => feed.restart(head),
                Err(error) => {
                    tracing::warn!(space = %space.name(), %error, "live clients wait for the store");
                    drop(feed);
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            }
        }
    }
}

async fn read(space: &Space, after: Lsn) -> Result<(Vec<Change>, Scanned), ServerError> {
    let scan = Scan::Log { after, collections: None, max_rows: PAGE_ROWS, max_bytes: PAGE_BYTES };
    collect(space, scan, &Arc::default()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_core::model::{DocId, Millis};

    fn change(lsn: u64, bytes: usize) -> Change {
        let key = (CollectionName::new("users").unwrap(), DocId::new(lsn.to_string()).unwrap());
        let body = format!(r#"{{"_id":"{lsn}","t":"{}"}}"#, "t".repeat(bytes)).into();
        Change { lsn: Lsn(lsn), at: Millis(0), key, live: true, author: Author(1), created: Lsn(lsn), body }
    }

    fn users() -> BTreeSet<CollectionName> {
        [CollectionName::new("users").unwrap()].into()
    }

    #[test]
    fn a_message_ends_with_its_documents_or_its_bytes() {
        let feed = Feed::begin(Lsn::ZERO);
        feed.append((1..=6).map(|lsn| change(lsn, if lsn > 3 { 1_000 } else { 1 })).collect(), Lsn(6));
        let upto = |after: u64, most| feed.stretch(Lsn(after), &users(), None, most).map(|stretch| stretch.upto);
        assert_eq!(upto(0, (2, 2_000)), Some(Lsn(2)));
        assert_eq!(upto(2, (20, 2_000)), Some(Lsn(5)));
        assert_eq!(upto(5, (20, 10)), Some(Lsn(6)), "one is always told");
    }

    #[test]
    fn messages_are_kept_up_to_their_bytes() {
        let feed = Feed::begin(Lsn::ZERO);
        let large = [Arc::new(change(1, BUNDLES_BYTES_MAX / 2))];
        for upto in 1..=3 {
            feed.bundle((Lsn::ZERO, Lsn(upto), Arc::new(users())), || Bundle::of(&large));
        }
        let bundles = feed.bundles.lock().unwrap();
        assert!(bundles.bytes <= BUNDLES_BYTES_MAX && bundles.made.len() == 1);
    }

    #[test]
    fn who_reads_hears_that_the_feed_begins_anew() {
        let feed = Feed::begin(Lsn::ZERO);
        let reader = feed.watch();
        feed.restart(Lsn(5));
        assert!(reader.has_changed().unwrap());
        assert!(feed.stretch(Lsn::ZERO, &users(), None, (20, 1)).is_none(), "the store knows");
    }
}
