//! What a client is to hear next. Its cursor says up to where it has everything of its collections; what it does not
//! have at all yet is filled from a snapshot, page after page, and followed from where the snapshot began.

use super::bundle::Bundle;
use super::change::Change;
use super::circle::Circle;
use super::feed::Stretch;
use super::pages::{collect, names};
use super::places::Place;
use super::position::{Position, Reached};
use super::sight::Sight;
use crate::error::ServerError;
use crate::store::{Scan, Scanned};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use syncline_core::hub::DocKey;
use syncline_core::model::{Author, CollectionName, Lsn, Version, Views};
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
    /// Before it has come to here its own changes count like those of others: it may have applied a delivery over them.
    /// All of them, because a repeat of somebody else's edit logs what stands once more, as its author's.
    redo: Lsn,
    sight: Arc<Sight>,
    /// What an earlier life of the hub was to give back may stand in the log after this.
    lost_since: Option<Lsn>,
    /// How many documents were to be given back so far.
    given: u64,
    /// Once the client is here, it has been told what it no longer sees of what it saw before.
    settled_at: Option<Lsn>,
}

/// What was read and not sent yet.
struct Stock {
    rows: VecDeque<Arc<Change>>,
    fill: bool,
    end: Reached,
}

impl Reading {
    /// A new client.
    pub(super) fn seeing(sight: Sight) -> Reading {
        Reading { sight: Arc::new(sight), ..Reading::default() }
    }

    /// A client that was here before, with these collections.
    pub(super) fn resume(cursor: Lsn, collections: BTreeSet<CollectionName>, sight: Sight, head: Lsn) -> Reading {
        let limited: BTreeSet<_> = collections.iter().filter(|name| sight.limits(name)).cloned().collect();
        // What the log returns to it is not in the feed, and which of its own changes crossed with a delivery nobody
        // remembers; what it sees only some rows of is told without either.
        let (at, lost_since) = (Position::resume(cursor, collections), Some(cursor));
        let settled = sight.settled().unwrap_or(sight);
        let mut reading = Reading { at, owed: head, redo: head, lost_since, ..Reading::seeing(settled) };
        reading.at.start_over(&limited, head);
        reading
    }

    /// What the client had from another worker, and whether that crossed with its own changes, nobody here knows: it gets
    /// all that the log has for it up to now, its own changes as well.
    pub(super) fn was_elsewhere(&mut self, head: Lsn) {
        self.stock = None;
        self.owe(head);
        self.redo(head);
        self.lost_since = Some(self.lost_since.map_or(self.at.cursor, |since| since.min(self.at.cursor)));
    }

    /// Takes over what the client sees now. What it sees otherwise than before begins anew.
    pub(super) fn see(&mut self, sight: Sight, head: Lsn) {
        let changed = self.at.wanted().into_iter().filter(|name| sight.differs(&self.sight, name)).collect();
        if !sight.is_of_the_token_of(&self.sight) {
            self.everywhere(|at| at.backs.clear());
        }
        self.stock = None;
        self.everywhere(|at| at.start_over(&changed, head));
        self.sight = Arc::new(sight.going_on(&self.sight));
        self.settled_at = None;
    }

    /// What it sees of the collections that it does not see whole.
    pub(super) fn views(&self) -> &Views {
        self.sight.views()
    }

    /// Nobody knows what became of events of the client: of what it sees only some rows of, it is told everything.
    pub(super) fn doubt_rows(&mut self, head: Lsn) {
        let limited = self.at.wanted().into_iter().filter(|name| self.sight.limits(name)).collect();
        self.everywhere(|at| at.start_over(&limited, head));
    }

    /// The client has something else of these documents than it is to have. Tells whether there are some that the log
    /// returns to it.
    pub(super) fn give_back(&mut self, keys: BTreeSet<DocKey>) -> bool {
        let (limited, whole): (BTreeSet<_>, BTreeSet<_>) = keys.into_iter().partition(|key| self.sight.limits(&key.0));
        self.tell_again(&limited);
        !whole.is_empty()
    }

    /// The client has these documents twice: it is told once more what stands.
    pub(super) fn tell_again(&mut self, keys: &BTreeSet<DocKey>) {
        let first = self.given + 1;
        self.given += keys.len() as u64;
        self.everywhere(|at| at.give_back(first, keys));
    }

    /// Changes where the client is, and where it is gone back to if what merely counts as arrived has not.
    fn everywhere(&mut self, change: impl FnMut(&mut Position)) {
        self.assumed.iter_mut().map(|(_, before)| before).chain([&mut self.at]).for_each(change);
    }

    /// Takes over what the client listens to now. `head`: where the log stands.
    pub(super) fn listen(&mut self, wanted: &BTreeSet<CollectionName>, head: Lsn) {
        self.stock = None;
        self.everywhere(|at| at.listen(wanted, head));
    }

    /// An earlier life of the hub began to fill the client: what was removed since then is told as well.
    pub(super) fn filled_since(&mut self, since: Lsn, head: Lsn) {
        self.at.filled_since(since);
        self.lost_since = Some(since);
        self.owe(head);
        self.redo(head);
    }

    /// The log no longer tells what changed. It was kept for where the client was last, at any worker: if that is `known`, and
    /// further on, the client goes on from there. Or else it begins anew with everything: documents that are gone
    /// meanwhile stay with it. Which ones it has, nobody knows, and a removal of all others could take what it has not sent yet.
    pub(super) fn catch_up(&mut self, known: Option<Place>, (head, horizon): (Lsn, Lsn)) {
        match known {
            Some(Place::FilledSince(since)) if since >= horizon => {
                self.refill(head);
                self.filled_since(since, head);
            }
            Some(Place::At(at)) if at > self.at.cursor && self.at.fills.is_empty() => {
                self.everywhere(|before| before.cursor = before.cursor.max(at));
                self.was_elsewhere(head);
            }
            _ => self.refill(head),
        }
    }

    fn refill(&mut self, head: Lsn) {
        let (wanted, backs) = (self.at.wanted(), std::mem::take(&mut self.at.backs));
        *self = Reading { sight: Arc::clone(&self.sight), given: self.given, ..Reading::default() };
        self.at.backs = backs;
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

    /// Whether only news bring a next message.
    pub(super) fn is_done(&self, circle: &Circle) -> bool {
        let seen = self.at.cursor >= circle.feed.upto().max(self.owed).max(self.redo);
        self.stock.is_none() && self.at.fills.is_empty() && self.at.backs.is_empty() && seen
    }

    /// The next message; `None`: the client has everything.
    ///
    /// # Errors
    /// Those of the store; [`ServerError::Resync`] asks to [`catch_up`](Reading::catch_up).
    pub(super) async fn next(
        &mut self,
        circle: &Circle,
        author: Option<Author>,
    ) -> Result<Option<(Arc<Bundle>, Reached)>, ServerError> {
        loop {
            if let Some(next) = self.take_stock() {
                return Ok(Some(next));
            }
            if let (Some(since), Some(author)) = (self.lost_since, author) {
                self.find_backs(circle, since, author).await?;
                self.lost_since = None;
            }
            if !self.at.backs.is_empty() {
                return self.read_backs(circle).await.map(Some);
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
        let stretch = plain.then(|| circle.feed.stretch(self.at.cursor, &self.at.collections, author, most)).flatten();
        // The feed does not know what stood before.
        stretch.filter(|stretch| !stretch.changes.iter().any(|change| self.sight.limits(&change.key.0)))
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
            expired_by: Some(circle.space.now()),
            max_rows: PAGE_ROWS,
            max_bytes: PAGE_BYTES,
        };
        let (rows, scanned) = collect(&circle.space, scan, &self.sight).await?;
        let end = if scanned.more { Reached::Fill(scanned.upto) } else { Reached::Filled };
        // What it made before is told: it may have come back with less, or have lost against others. What it has made
        // since then is not as old as that, wherever it was logged last.
        let began = fill.began;
        let is_told = |change: &Change| Some(change.author) != author || change.created <= began;
        self.store(rows.into_iter().filter(is_told).collect(), end);
        Ok(())
    }

    /// Reads what others changed, and what the log returns to the client. `false`: there was nothing.
    async fn read_news(&mut self, circle: &Circle, author: Option<Author>) -> Result<bool, ServerError> {
        let (rows, scanned) = self.read_log(circle, author.unwrap_or(NOBODY)).await?;
        let any = !rows.is_empty() || scanned.more;
        self.store(rows, Reached::Cursor(scanned.upto));
        Ok(any)
    }

    async fn read_log(&mut self, circle: &Circle, author: Author) -> Result<(Vec<Change>, Scanned), ServerError> {
        let (limited, whole): (BTreeSet<_>, BTreeSet<_>) =
            self.at.collections.iter().cloned().partition(|name| self.sight.limits(name));
        let (mut rows, mut scanned) = match whole.is_empty() {
            true => (Vec::new(), Scanned { upto: circle.space.head().lsn, ..Scanned::default() }),
            false => {
                let scan = Scan::Packet {
                    after: self.at.cursor,
                    author,
                    fill: Lsn::ZERO,
                    own: self.owns_again(),
                    collections: Some(whole),
                    max_rows: PAGE_ROWS,
                    max_bytes: PAGE_BYTES,
                };
                collect(&circle.space, scan, &self.sight).await?
            }
        };
        if !limited.is_empty() {
            let (seen, log) = self.read_rows(circle, author, limited).await?;
            // A log that was read to its end, after the others were, has come at least as far.
            let reached = if log.more { log.upto } else { log.upto.max(scanned.upto) };
            rows.extend(seen);
            rows.sort_unstable_by_key(|change| change.lsn);
            scanned.more |= log.more || reached < scanned.upto;
            scanned.upto = scanned.upto.min(reached);
            rows.retain(|change| change.lsn <= scanned.upto);
        }
        Ok((rows, scanned))
    }

    /// Reads changes in collections of which the client sees only some rows. Where the newest one of a document in the page is
    /// its own, it has that already.
    async fn read_rows(
        &mut self,
        circle: &Circle,
        author: Author,
        limited: BTreeSet<CollectionName>,
    ) -> Result<(Vec<Change>, Scanned), ServerError> {
        if self.settled_at.is_some_and(|at| at <= self.at.cursor)
            && let Some(settled) = self.sight.settled()
        {
            self.sight = Arc::new(settled);
        }
        let (after, collections) = (self.at.cursor, Some(limited));
        let scan = Scan::Log { after, collections, max_rows: PAGE_ROWS, max_bytes: PAGE_BYTES };
        let (mut rows, scanned) = collect(&circle.space, scan, &self.sight).await?;
        if !scanned.more {
            self.settled_at = self.settled_at.or(Some(scanned.upto));
        } else if self.own > scanned.upto {
            // An earlier change of others would be applied over its own, which comes in a later page.
            self.redo(self.own);
        }
        if !self.owns_again() {
            let newest: HashMap<DocKey, Author> =
                rows.iter().map(|change| (change.key.clone(), change.author)).collect();
            rows.retain(|change| newest[&change.key] != author);
        }
        Ok((rows, scanned))
    }

    /// Whether its own changes count like those of others.
    fn owns_again(&self) -> bool {
        self.at.cursor < self.redo
    }

    /// Looks for documents of which the log says that the client was to get them back: they may be told whatever it sees.
    async fn find_backs(&mut self, circle: &Circle, after: Lsn, author: Author) -> Result<(), ServerError> {
        let limited: BTreeSet<_> = self.at.wanted().into_iter().filter(|name| self.sight.limits(name)).collect();
        let after = after.max(circle.space.head().horizon);
        if limited.is_empty() {
            return Ok(());
        }
        self.give_back(names(&circle.space, Scan::Returns { after, author, collections: limited }).await?);
        Ok(())
    }

    /// What stands of documents of which the client has something else.
    async fn read_backs(&self, circle: &Circle) -> Result<(Arc<Bundle>, Reached), ServerError> {
        let due: Vec<(u64, DocKey)> = self.at.backs.iter().take(BUNDLE_DOCS).cloned().collect();
        let keys = due.iter().map(|(_, key)| key.clone()).collect();
        let mut found: HashMap<DocKey, Version> = circle.documents(keys).await?.into_iter().collect();
        let (mut rows, mut bytes, mut last) = (Vec::new(), 0, 0);
        for (number, key) in due {
            last = number;
            let standing = found.remove(&key).filter(|version| version.meta.is_live());
            let shown = standing.filter(|version| self.sight.means(&key.0, version.body.text()));
            let (lsn, live) = (shown.as_ref().map_or(Lsn::ZERO, |version| version.lsn), shown.is_some());
            let body: Box<str> = shown.map_or_else(Box::default, |version| version.body.text().into());
            bytes += body.len();
            rows.push(Arc::new(Change { lsn, at: circle.space.now(), key, live, author: NOBODY, created: lsn, body }));
            if bytes >= BUNDLE_BYTES {
                break;
            }
        }
        Ok((Arc::new(Bundle::of(&rows)), Reached::Back(last)))
    }

    fn store(&mut self, rows: Vec<Change>, end: Reached) {
        if rows.is_empty() {
            return self.at.reach(end);
        }
        let rows = rows.into_iter().map(Arc::new).collect();
        self.stock = Some(Stock { rows, fill: matches!(end, Reached::Fill(_) | Reached::Filled), end });
    }
}
