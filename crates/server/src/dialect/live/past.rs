//! Echoes that come late: a client that was there before the hub began anew may still report what it was sent then.

use super::circle::Circle;
use super::pages::collect;
use crate::store::Scan;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use syncline_core::hub::DocKey;
use syncline_core::live::{digest, view};
use syncline_core::model::{Author, CollectionName, LiveEdit, LiveEvent, Lsn};
use tokio::time::Instant;

/// How long the first list of a client that came from another life of the hub may take to come.
const PAST_LASTS: Duration = Duration::from_secs(30);
/// Clients send what they have as soon as they are back.
const DOUBT_LASTS: Duration = Duration::from_secs(2);
/// Changes that are looked through for what may have been delivered.
const PAST_ROWS: usize = 10_000;
const PAST_BYTES: usize = 64 << 20;

/// What an earlier life of the hub may have delivered to a client that came back: nobody remembers what was on its
/// way when that ended. Its echo must not stand as a newer document, so in the first list that the client brings an insert
/// counts as an echo where somebody else has given the document this very content since the client's last noted place.
#[derive(Default)]
pub(super) struct Past {
    from: Option<Lsn>,
    until: Option<Instant>,
    versions: Option<HashMap<DocKey, Vec<u64>>>,
    /// Documents that the client has changed since.
    own: BTreeSet<DocKey>,
    /// Until then what the client says may be from before it applied something that nobody knows to have arrived.
    doubtful: Option<Instant>,
}

impl Past {
    /// `place`: where the client was noted. One that never was has not been sent anything.
    pub(super) fn of(place: Option<Lsn>, head: Lsn) -> Past {
        let recent = Lsn(head.0.saturating_sub(PAST_ROWS as u64));
        let from = place.map(|place| place.max(recent));
        Past { from, until: from.map(|_| Instant::now() + PAST_LASTS), ..Past::default() }
    }

    /// The client has changed documents since: an insert of what stood there before is its own doing.
    pub(super) fn forget(&mut self, event: &LiveEvent) {
        let Some(name) = event.collection.as_ref().filter(|_| self.until.is_some()) else { return };
        match (&event.edit, event.unresolved()) {
            (LiveEdit::Insert { .. } | LiveEdit::Unusable(_), _) => {}
            (_, Some(_)) => self.end(),
            (_, None) => self.own.extend(event.names().map(|id| (name.clone(), id.clone()))),
        }
    }

    /// The client has brought what it had.
    pub(super) fn end(&mut self) {
        *self = Past { doubtful: self.doubtful, ..Past::default() };
    }

    /// The client came back, and what was on its way to it may have been applied after the changes that it brings.
    pub(super) fn doubt(&mut self) {
        self.doubtful = Some(Instant::now() + DOUBT_LASTS);
    }

    pub(super) fn is_doubtful(&self, now: Instant) -> bool {
        self.doubtful.is_some_and(|until| now < until)
    }

    pub(super) async fn holds(&mut self, circle: &Circle, author: Option<Author>, key: &DocKey, digest: u64) -> bool {
        if self.until.is_none_or(|until| until < Instant::now()) {
            self.end();
            return false;
        }
        if self.own.contains(key) {
            return false;
        }
        if self.versions.is_none() {
            self.versions = Some(self.read(circle, author).await);
        }
        let versions = self.versions.as_ref().and_then(|versions| versions.get(key));
        versions.is_some_and(|versions| versions.contains(&digest))
    }

    async fn read(&self, circle: &Circle, author: Option<Author>) -> HashMap<DocKey, Vec<u64>> {
        let after = self.from.unwrap_or_default().max(circle.space.head().horizon);
        let collections: Option<BTreeSet<CollectionName>> = None;
        let scan = Scan::Log { after, collections, max_rows: PAST_ROWS, max_bytes: PAST_BYTES };
        let mut versions: HashMap<DocKey, Vec<u64>> = HashMap::new();
        match collect(&circle.space, scan).await {
            Ok((changes, _)) => {
                for change in changes.into_iter().filter(|change| change.live && Some(change.author) != author) {
                    if let Some(document) = view(&change.body) {
                        versions.entry(change.key).or_default().push(digest(&document));
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "late echoes of a live client cannot be told from its own changes"),
        }
        versions
    }
}
