//! A client comes, says what it listens to, and goes: what its task knows of that, and what it makes of a connection that
//! ended while something was on its way.

use super::client::{Client, KEPT_AFTER};
use super::due::Reading;
use super::past::Past;
use super::places::Place;
use super::sight::Sight;
use crate::auth::{Access, Grant};
use crate::error::ServerError;
use crate::socket::{Line, Sid};
use std::collections::BTreeSet;
use std::sync::Arc;
use syncline_core::model::{CollectionName, Lsn};
use tokio::time::Instant;

impl Client {
    /// Whether the client is at the other end of this connection.
    pub(super) fn is_at(&self, sid: Sid) -> bool {
        self.line.as_ref().is_some_and(|line| line.sid == sid)
    }

    /// The client says who it is and what it listens to.
    pub(super) async fn come(&mut self, line: Arc<Line>, listed: BTreeSet<CollectionName>) {
        let Some(grant) = line.caller.grant.clone() else { return };
        let reads = grant.check_access(Access::Read).is_ok();
        let (wanted, refused): (BTreeSet<_>, BTreeSet<_>) =
            listed.into_iter().partition(|name| reads && grant.check_collection(name).is_ok());
        // It says the same again, or may have been at another worker since.
        let elsewhere = self.circle.space.is_shared() && !self.is_at(line.sid);
        self.set_line(Some(Arc::clone(&line)));
        self.circle.note_present(&self.node);
        for name in refused {
            let why = if reads { grant.check_collection(&name) } else { grant.check_access(Access::Read) };
            if let Err(error) = why {
                self.tell(&error.to_string());
            }
        }
        self.interrupt();
        let sight = self.sight(&grant, &wanted);
        let place = match self.find_place(elsewhere, &wanted, &sight).await {
            Ok(place) => place,
            Err(error) => {
                tracing::warn!(client = %self.node, %error, "a live client is to come back: its place cannot be read");
                line.put_off("where this client was cannot be read now");
                return self.go();
            }
        };
        let head = self.circle.space.head().lsn;
        let elsewhere = elsewhere && (self.reading.is_some() || place.is_some());
        if let Some(reading) = &mut self.reading {
            reading.see(sight, head);
            if elsewhere {
                let (Place::At(at) | Place::FilledSince(at)) = reading.place().unwrap_or(Place::At(Lsn::ZERO));
                self.past = Past::of(Some(at));
                self.aborted = true;
            }
        } else {
            // What the earlier life of the hub was sending then, nobody knows.
            self.aborted |= place.is_some();
            let (reading, known) = match place {
                Some(Place::At(at)) if at <= head => (Reading::resume(at, wanted.clone(), sight, head), Some(at)),
                Some(Place::FilledSince(at)) if at <= head => {
                    let mut reading = Reading::seeing(sight);
                    reading.listen(&wanted, head);
                    reading.filled_since(at, head);
                    (reading, Some(at))
                }
                _ => (Reading::seeing(sight), None),
            };
            self.past = Past::of(known);
            self.reading = Some(reading);
        }
        if std::mem::take(&mut self.aborted) {
            self.past.doubt();
        }
        self.wanted = wanted;
        if let Some(reading) = &mut self.reading {
            reading.listen(&self.wanted, head);
            if elsewhere {
                reading.was_elsewhere(head);
            }
        }
        self.retry_at = None;
        self.news = Some(self.circle.feed.watch());
        self.note_place(true);
        if matches!(self.reading.as_ref().and_then(Reading::place), Some(Place::FilledSince(_))) {
            // Before anything is sent: what is removed while the hub is away must not stay with the client.
            self.circle.places.write().await;
        }
    }

    /// What the client sees by its token, and what that opened before.
    fn sight(&self, grant: &Grant, wanted: &BTreeSet<CollectionName>) -> Sight {
        let (space, head) = (self.circle.space.name(), self.circle.space.head().lsn);
        let noted = |name: &CollectionName| (name.clone(), self.app.earlier.note(grant, space, name, head));
        Sight::of(grant, wanted.iter().map(noted).filter(|(_, before)| !before.is_empty()).collect())
    }

    /// Where the client was before, if that is not known here. What other workers have committed counts from now on: the client
    /// may have come from there, and what stands already is told once.
    ///
    /// # Errors
    /// Those of the store.
    async fn find_place(
        &mut self,
        elsewhere: bool,
        wanted: &BTreeSet<CollectionName>,
        sight: &Sight,
    ) -> Result<Option<Place>, ServerError> {
        let space = &self.circle.space;
        let mut place = None;
        if elsewhere && let Some(reading) = &self.reading {
            // What it was told there, the log need not tell again, and perhaps cannot.
            let there = self.circle.places.find(&self.node, (wanted, sight.views())).await?;
            if there.is_some_and(|place| matches!(place, Place::At(at) if at > reading.served())) {
                self.reading = None;
            }
        }
        if self.reading.is_none() {
            space.meet(&self.node).await?;
            place = self.circle.places.find(&self.node, (wanted, sight.views())).await?;
            self.author = self.author.or(space.author(&self.node));
        }
        if elsewhere {
            // Afterwards: the log goes at least as far as the place.
            space.refresh().await?;
        }
        Ok(place)
    }

    /// A collection that the client did not list, and has events of: it was added at run time.
    pub(super) fn subscribe(&mut self, name: &CollectionName) {
        self.wanted.insert(name.clone());
        let head = self.circle.space.head().lsn;
        if let Some(reading) = &mut self.reading {
            reading.listen(&self.wanted, head);
        }
    }

    pub(super) fn go(&mut self) {
        self.interrupt();
        self.note_place(true);
        self.set_line(None);
        self.previous = None;
        self.news = None;
        self.kept_until = Instant::now() + KEPT_AFTER;
        self.circle.note_absent(&self.node);
    }

    /// A connection has ended, perhaps long before anybody noticed: what was on its way may have arrived or not.
    fn interrupt(&mut self) {
        self.aborted |= self.runway.abort();
        if let Some(reading) = &mut self.reading {
            self.aborted |= reading.go_back();
        }
    }

    pub(super) fn set_line(&mut self, line: Option<Arc<Line>>) {
        match (self.line.is_some(), line.is_some()) {
            (false, true) => self.app.count_live_client(true),
            (true, false) => self.app.count_live_client(false),
            _ => {}
        }
        self.line = line;
    }

    /// The token is no longer accepted: the client is to stay away until it has another one.
    pub(super) fn dismiss(&mut self, error: &ServerError) {
        if let Some(line) = &self.line {
            line.dismiss(error);
        }
        self.go();
    }
}
