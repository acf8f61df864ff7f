//! How many are in each room, on all workers. Each worker says now and then how many it has; one that falls
//! silent is forgotten. Without Redis it is what this worker has.

use super::Rooms;
use crate::redis::{Channel, Refused};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use syncline_core::model::{RoomName, SpaceName};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

/// At least so often a worker says what it has.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// At most so often.
const SAY_PAUSE: Duration = Duration::from_millis(100);
/// Who has said nothing for so long is gone.
const FORGET_AFTER: Duration = Duration::from_secs(30);
/// Workers that are kept in mind; anybody who reaches Redis may claim to be one.
const WORKERS_MAX: usize = 256;
/// Counts of all of them together, for the same reason.
const COUNTS_MAX: usize = 100_000;

/// Rooms by space, with the number of those in them.
type Counts = BTreeMap<SpaceName, BTreeMap<RoomName, usize>>;

/// What other workers have.
#[derive(Default)]
pub(super) struct Elsewhere {
    workers: Mutex<HashMap<String, (Instant, Counts)>>,
    news: Notify,
}

#[derive(Serialize, Deserialize)]
struct Said {
    origin: String,
    rooms: Counts,
    /// The worker has just come (back) and wants to hear from the others.
    #[serde(default)]
    hello: bool,
}

impl Elsewhere {
    /// Somebody came or went here.
    pub(super) fn changed(&self) {
        self.news.notify_one();
    }

    fn count(&self, space: &SpaceName, room: &RoomName) -> usize {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = workers.values().filter(|(at, _)| at.elapsed() < FORGET_AFTER);
        fresh.filter_map(|(_, counts)| counts.get(space)?.get(room)).fold(0, |all, one| all.saturating_add(*one))
    }

    fn hear(&self, said: Said) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|_, (at, _)| at.elapsed() < FORGET_AFTER);
        workers.remove(&said.origin);
        let counts = |rooms: &Counts| rooms.values().map(BTreeMap::len).sum::<usize>();
        let all: usize = workers.values().map(|(_, rooms)| counts(rooms)).sum();
        if !said.rooms.is_empty() && workers.len() < WORKERS_MAX && all + counts(&said.rooms) <= COUNTS_MAX {
            workers.insert(said.origin, (Instant::now(), said.rooms));
        }
    }
}

impl Rooms {
    /// How many connections are in a room, on all workers.
    #[must_use]
    pub fn present(&self, space: &SpaceName, room: &RoomName) -> usize {
        let elsewhere = if self.link.is_some() { self.elsewhere.count(space, room) } else { 0 };
        self.members.count(space, room).saturating_add(elsewhere)
    }

    /// Takes what a worker says it has.
    ///
    /// # Errors
    /// Why the message is none.
    pub fn hear_presence(&self, payload: &[u8]) -> Result<(), Refused> {
        let mut said: Said = serde_json::from_slice(payload)
            .map_err(|error| Refused::new("presence_malformed", format!("it does not say who is where: {error}")))?;
        if self.link.as_ref().is_some_and(|link| link.origin() == said.origin) {
            return Ok(());
        }
        if said.origin.len() > 128 {
            return Err(Refused::new("presence_malformed", "its origin is longer than that of a worker"));
        }
        said.rooms.values_mut().for_each(|rooms| rooms.retain(|room, _| self.options.rooms.contains_key(room)));
        said.rooms.retain(|_, rooms| !rooms.is_empty());
        if said.hello {
            self.elsewhere.changed();
        }
        self.elsewhere.hear(said);
        Ok(())
    }

    fn say(&self, counts: Counts, hello: bool) {
        let Some(link) = &self.link else { return };
        let said = Said { origin: link.origin().to_owned(), rooms: counts, hello };
        link.publish(Channel::Presence, serde_json::to_vec(&said).expect("counts serialize").into());
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        for (space, room, members) in self.members.counts() {
            counts.entry(space).or_default().insert(room, members);
        }
        counts
    }
}

/// Says how many are here, after each change and now and then, until `closing` is true; then that nobody is.
pub async fn say_presence(rooms: Arc<Rooms>, mut closing: watch::Receiver<bool>) {
    let Some(mut up) = rooms.link.as_ref().map(super::Link::watch) else { return };
    loop {
        let came_up = tokio::select! {
            _ = closing.wait_for(|closing| *closing) => break,
            _ = timeout(SAY_EVERY, rooms.elsewhere.news.notified()) => false,
            Ok(()) = up.changed() => *up.borrow_and_update(),
        };
        rooms.say(rooms.counts(), came_up);
        sleep(SAY_PAUSE).await;
    }
    rooms.say(Counts::new(), false);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_workers_say_together_is_bounded() {
        let elsewhere = Elsewhere::default();
        let (main, files) = (SpaceName::new("main").unwrap(), RoomName::new("files").unwrap());
        let say = |origin: &str, rooms: usize| {
            let named = |n| (RoomName::new(format!("r{n}")).unwrap(), 1);
            let all = (1..rooms).map(named).chain([(files.clone(), 1)]).collect();
            let rooms = Counts::from([(main.clone(), all)]);
            elsewhere.hear(Said { origin: origin.to_owned(), rooms, hello: false });
        };
        say("a", 60_000);
        say("b", 60_000);
        assert_eq!(elsewhere.count(&main, &files), 1, "the second is too much");
        say("a", 30_000);
        say("b", 60_000);
        assert_eq!(elsewhere.count(&main, &files), 2);
    }
}
