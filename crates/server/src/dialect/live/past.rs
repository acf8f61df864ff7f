//! Echoes that come late: a client that was there before the hub began anew, or at another worker, may still report what
//! it was sent then. Where the removal of the message comes with them, they are known by that (`echoes`); it may have been
//! heard by somebody else.

use super::circle::Circle;
use super::pages::collect;
use crate::error::ServerError;
use crate::store::Scan;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use syncline_core::hub::DocKey;
use syncline_core::live::{digest, document_of};
use syncline_core::model::{Author, LiveEdit, LiveEvent, Lsn};
use tokio::time::Instant;

/// How long the first list of a client that came from another life of the hub may take to come.
const PAST_LASTS: Duration = Duration::from_secs(30);
/// What was on its way has been applied after this time.
const DOUBT_LASTS: Duration = Duration::from_secs(2);
/// Changes that are looked through for what may have been delivered.
const PAST_ROWS: usize = 10_000;
const PAGE_BYTES: usize = 8 << 20;

/// What an earlier life of the hub, or another worker, may have delivered to a client that came back: nobody here
/// remembers what was on its way. Its echo must not stand as a newer document. So in the first list that the client
/// brings an insert counts as one where somebody else has given the document this very content since the client's
/// last noted place.
#[derive(Default)]
pub(super) struct Past {
    from: Option<Lsn>,
    until: Option<Instant>,
    /// What others gave documents since then.
    versions: Option<HashMap<DocKey, Vec<u64>>>,
    /// Documents that the client has changed since.
    own: BTreeSet<DocKey>,
    /// Until then, and until it was heard, what the client says may be from before it applied something that nobody
    /// knows to have arrived.
    doubtful: Option<Instant>,
    unheard: bool,
}

impl Past {
    /// `place`: where the client was noted. One that never was has not been sent anything.
    pub(super) fn of(place: Option<Lsn>) -> Past {
        Past { from: place, until: place.map(|_| Instant::now() + PAST_LASTS), ..Past::default() }
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
        *self = Past { doubtful: self.doubtful, unheard: self.unheard, ..Past::default() };
    }

    /// The client came back, and what was on its way to it may have been applied after the changes that it brings.
    pub(super) fn doubt(&mut self) {
        self.doubtful = Some(Instant::now() + DOUBT_LASTS);
        self.unheard = true;
    }

    /// A list of the client was taken in.
    pub(super) fn heard(&mut self) {
        self.unheard = false;
    }

    pub(super) fn is_doubtful(&self, now: Instant) -> bool {
        self.unheard || self.doubtful.is_some_and(|until| now < until)
    }

    /// Whether an insert of this content is an echo.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn holds(
        &mut self,
        circle: &Circle,
        author: Option<Author>,
        key: &DocKey,
        digest: u64,
    ) -> Result<bool, ServerError> {
        if self.until.is_some_and(|until| until < Instant::now()) {
            self.end();
        }
        let Some(from) = self.from.filter(|_| !self.own.contains(key)) else { return Ok(false) };
        if self.versions.is_none() {
            self.versions = Some(read(circle, from, author).await?);
        }
        let versions = self.versions.as_ref().and_then(|versions| versions.get(key));
        Ok(versions.is_some_and(|versions| versions.contains(&digest)))
    }
}

/// What others gave documents after a position, page by page: nothing of it is kept but what it is known by.
async fn read(circle: &Circle, from: Lsn, author: Option<Author>) -> Result<HashMap<DocKey, Vec<u64>>, ServerError> {
    // What another worker has told may not be known here yet.
    circle.space.refresh().await?;
    let head = circle.space.head();
    let mut after = from.max(Lsn(head.lsn.0.saturating_sub(PAST_ROWS as u64))).max(head.horizon);
    let mut versions: HashMap<DocKey, Vec<u64>> = HashMap::new();
    loop {
        let scan = Scan::Log { after, collections: None, max_rows: PAST_ROWS, max_bytes: PAGE_BYTES };
        let (changes, scanned) = collect(&circle.space, scan, &Arc::default()).await?;
        for change in changes.into_iter().filter(|change| change.live && Some(change.author) != author) {
            if let Some(document) = document_of(&change.body) {
                versions.entry(change.key).or_default().push(digest(&document));
            }
        }
        if scanned.upto <= after || !scanned.more {
            return Ok(versions);
        }
        after = scanned.upto;
    }
}
