//! What a client is to hear next. Its cursor says up to where it has everything of its collections; what it does not
//! have at all yet is filled from a snapshot, page after page, and followed from where the snapshot began.

use super::bundle::Bundle;
use super::change::Change;
use super::circle::Circle;
use super::feed::Stretch;
use super::pages::collect;
use super::places::Place;
use super::position::{Position, Reached};
use crate::clock;
use crate::error::ServerError;
use crate::store::Scan;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use syncline_core::hub::DocKey;
use syncline_core::model::{Author, CollectionName, Lsn};
use tokio::time::Instant;

/// Documents in one message. Clients report what they apply in lists that grow with each document, so the traffic
/// goes with the square of this.
const BUNDLE_DOCS: usize = 20;
/// Bytes after which a message takes no further document.
const BUNDLE_BYTES: usize = 1 << 20;
/// Read from the store at once.
const PAGE_ROWS: usize = 500;
const PAGE_BYTES: usize = 4 << 20;
/// Messages in doubt are told apart no finer than this.
const ASSUMED_STEP: Duration = Duration::from_secs(1);
/// Stands for a client that has never sent anything: nothing is its own.
const NOBODY: Author = Author(u32::MAX);

/// A client's way through the log.
#[derive(Default)]
pub(super) struct Reading {
    at: Position,
    /// Where it was before messages that count as arrived without a word, and until when that is in doubt.
    assumed: VecDeque<(Instant, Position)>,
    stock: Option<Stock>,
    /// Up to here the log may hold returns for the client.
    owed: Lsn,
    /// Its own last change. Until the feed has it, what the feed has of the same document is older.
    own: Lsn,
    /// Up to here its own changes count like those of others: they crossed with a delivery of the same documents.
    redo: Lsn,
}

/// What was read and not sent yet.
struct Stock {
    rows: VecDeque<Arc<Change>>,
    fill: bool,
    end: Reached,
}

impl Reading {
    /// A client that was here before, with these collections.
    pub(super) fn resume(cursor: Lsn, collections: BTreeSet<CollectionName>, head: Lsn) -> Reading {
        // What the log returns to it is not in the feed.
        Reading { at: Position::resume(cursor, collections), owed: head, ..Reading::default() }
    }

    /// Takes over what the client listens to now. `head`: where the log stands.
    pub(super) fn listen(&mut self, wanted: &BTreeSet<CollectionName>, head: Lsn) {
        self.stock = None;
        self.at.listen(wanted, head);
    }

    /// An earlier life of the hub began to fill the client: what was removed since then is told as well.
    pub(super) fn filled_since(&mut self, since: Lsn, head: Lsn) {
        self.at.filled_since(since);
        self.owe(head);
    }

    /// Begins anew with everything, because the log no longer tells what changed. Documents that are gone meanwhile
    /// stay at the client: which ones it has, nobody knows, and a removal of all others could take what it has not
    /// sent yet.
    fn refill(&mut self, head: Lsn) {
        let wanted = self.at.wanted();
        *self = Reading::default();
        self.listen(&wanted, head);
    }

    /// The client has every document of its collections as it was here, or later; 0 while it is filled.
    pub(super) fn served(&self) -> Lsn {
        self.at.served()
    }

    /// Where the client is to go on after a restart; `None`: it listens to nothing.
    pub(super) fn place(&self) -> Option<Place> {
        let now = Instant::now();
        let doubtful = self.assumed.iter().find(|(until, _)| now < *until + ASSUMED_STEP);
        doubtful.map_or(&self.at, |(_, before)| before).place()
    }

    /// The log holds returns for the client up to here.
    pub(super) fn owe(&mut self, upto: Lsn) {
        self.owed = self.owed.max(upto);
    }

    /// The client has changed something.
    pub(super) fn wrote(&mut self, last: Lsn) {
        self.own = self.own.max(last);
    }

    /// The client changed documents that are on their way to it: whichever it applies last stands there, so it gets
    /// its own changes up to here as well.
    pub(super) fn redo(&mut self, upto: Lsn) {
        self.redo = self.redo.max(upto);
    }

    /// Whether a document was read to be sent.
    pub(super) fn holds(&self, key: &DocKey) -> bool {
        self.stock.as_ref().is_some_and(|stock| stock.rows.iter().any(|change| change.key == *key))
    }

    /// What was not sent is read again.
    pub(super) fn rewind(&mut self) {
        self.stock = None;
    }

    /// The connection has ended: what merely counts as arrived, and is still in doubt, is sent again. Hearing a state
    /// twice is harmless. Tells whether there was any.
    pub(super) fn go_back(&mut self) -> bool {
        self.stock = None;
        let now = Instant::now();
        let doubtful = self.assumed.drain(..).find(|(until, _)| now < *until + ASSUMED_STEP);
        let any = doubtful.is_some();
        self.at = doubtful.map_or_else(|| std::mem::take(&mut self.at), |(_, before)| before);
        any
    }

    /// A message has arrived, and with it all before it: what the client said shows it.
    pub(super) fn confirm(&mut self, reached: Reached) {
        self.assumed.clear();
        self.at.reach(reached);
    }

    /// A message counts as arrived because nothing else was heard. `until`: when the connection would have ended if
    /// it had not.
    pub(super) fn assume(&mut self, reached: Reached, until: Instant) {
        let now = Instant::now();
        while self.assumed.front().is_some_and(|(until, _)| *until + ASSUMED_STEP <= now) {
            self.assumed.pop_front();
        }
        if self.assumed.back().is_none_or(|(last, _)| *last + ASSUMED_STEP <= until) {
            self.assumed.push_back((until, self.at.clone()));
        }
        self.at.reach(reached);
    }

    /// The next message; `None`: the client has everything.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn next(
        &mut self,
        circle: &Circle,
        author: Option<Author>,
    ) -> Result<Option<(Arc<Bundle>, Reached)>, ServerError> {
        loop {
            if let Some(next) = self.take_stock() {
                return Ok(Some(next));
            }
            if self.at.fills.front().is_some() {
                self.read_fill(circle, author).await?;
                continue;
            }
            if self.at.collections.is_empty() {
                return Ok(None);
            }
            if circle.feed.upto() < self.own {
                return Ok(None);
            }
            if let Some(stretch) = self.stretch(circle, author) {
                match self.bundle(circle, &stretch) {
                    None if stretch.more => continue,
                    bundle => return Ok(bundle),
                }
            }
            if !self.read_news(circle, author).await? {
                return Ok(None);
            }
        }
    }

    /// What the feed has for the client; `None`: it is to be told of what only the store knows.
    fn stretch(&self, circle: &Circle, author: Option<Author>) -> Option<Stretch> {
        let plain = self.at.cursor >= self.owed.max(self.redo);
        let most = (BUNDLE_DOCS, BUNDLE_BYTES);
        plain.then(|| circle.feed.stretch(self.at.cursor, &self.at.collections, author, most)).flatten()
    }

    fn bundle(&mut self, circle: &Circle, stretch: &Stretch) -> Option<(Arc<Bundle>, Reached)> {
        if stretch.changes.is_empty() {
            self.at.cursor = stretch.upto;
            return None;
        }
        let make = || Bundle::of(&stretch.changes);
        let bundle = if stretch.personal {
            Arc::new(make())
        } else {
            circle.feed.bundle((self.at.cursor, stretch.upto, Arc::clone(&self.at.collections)), make)
        };
        Some((bundle, Reached::Cursor(stretch.upto)))
    }

    fn take_stock(&mut self) -> Option<(Arc<Bundle>, Reached)> {
        let stock = self.stock.as_mut()?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while rows.len() < BUNDLE_DOCS && bytes < BUNDLE_BYTES {
            let Some(change) = stock.rows.pop_front() else { break };
            bytes += change.body.len();
            rows.push(change);
        }
        let last = rows.last()?.lsn;
        let reached = match (stock.rows.is_empty(), stock.fill) {
            (true, _) => stock.end,
            (false, true) => Reached::Fill(last),
            (false, false) => Reached::Cursor(last),
        };
        if stock.rows.is_empty() {
            self.stock = None;
        }
        Some((Arc::new(Bundle::of(&rows)), reached))
    }

    async fn read_fill(&mut self, circle: &Circle, author: Option<Author>) -> Result<(), ServerError> {
        let Some(fill) = self.at.fills.front() else { return Ok(()) };
        let scan = Scan::Snapshot {
            collections: Some(fill.collections.clone()),
            after: fill.after,
            expired_by: Some(clock::now()),
            max_rows: PAGE_ROWS,
            max_bytes: PAGE_BYTES,
        };
        let (rows, scanned) = collect(&circle.space, scan).await?;
        let end = if scanned.more { Reached::Fill(scanned.upto) } else { Reached::Filled };
        // What it made before is told: it may have come back with less, or have lost against others.
        let began = fill.began;
        let is_told = |change: &Change| Some(change.author) != author || change.lsn <= began;
        self.store(rows.into_iter().filter(is_told).collect(), end);
        Ok(())
    }

    /// Reads what others changed, and what the log returns to the client. `false`: there was nothing.
    async fn read_news(&mut self, circle: &Circle, author: Option<Author>) -> Result<bool, ServerError> {
        let scan = Scan::Packet {
            after: self.at.cursor,
            author: author.unwrap_or(NOBODY),
            fill: self.redo,
            collections: Some((*self.at.collections).clone()),
            max_rows: PAGE_ROWS,
            max_bytes: PAGE_BYTES,
        };
        match collect(&circle.space, scan).await {
            Ok((rows, scanned)) => {
                let any = !rows.is_empty() || scanned.more;
                self.store(rows, Reached::Cursor(scanned.upto));
                Ok(any)
            }
            Err(ServerError::Resync { .. }) => {
                self.refill(circle.space.head().lsn);
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    fn store(&mut self, rows: Vec<Change>, end: Reached) {
        if rows.is_empty() {
            return self.at.reach(end);
        }
        let rows = rows.into_iter().map(Arc::new).collect();
        self.stock = Some(Stock { rows, fill: matches!(end, Reached::Fill(_) | Reached::Filled), end });
    }
}
