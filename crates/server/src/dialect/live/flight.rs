//! One message at a time. The plugin works on messages as they come in, not one after the other, so the next is sent
//! only when the echo of the last event of the one before has come. Clients that do not echo (their own switch, or
//! other programs) are found out by their silence. For them a message has arrived when it is sent, and a rest follows.

use super::bundle::{Bundle, Echo};
use super::position::Reached;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use syncline_core::hub::DocKey;
use tokio::time::Instant;

/// How long the first echo of a client is waited for.
const FIRST_PATIENCE: Duration = Duration::from_millis(300);
/// How long a client that echoes may do nothing before a message counts as arrived.
const PATIENCE: Duration = Duration::from_secs(2);
/// Messages without an echo after which a client counts as one that does not echo.
const MISSES: u8 = 2;
/// Between two messages to a client that does not echo, from when the first has left: twice as long as the plugin works on
/// a full one, and so long that changes which come together go together.
const STEADY_GAP: Duration = Duration::from_millis(5);
/// Between two looks whether a message has left, which waits for the client's next poll.
const LOOK_EVERY_MAX: Duration = Duration::from_millis(50);
/// The size of message that these times are for.
const AT_ONCE_BYTES: usize = 64 << 10;
/// How long a document counts as on its way to a client that does not say when it has arrived: a message waits for the
/// client's next poll, and by then a connection that brings none has ended.
const CROSSING: Duration = Duration::from_secs(45);
/// Messages of which it is kept what they were about. Of older ones, anything may be on its way.
const LANDED_MAX: usize = 1_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Habit {
    /// Nothing was sent yet.
    #[default]
    Unknown,
    /// It reports what it applies; so many messages went without.
    Echoes { missed: u8 },
    /// It does not.
    Silent,
}

struct Flight {
    bundle: Arc<Bundle>,
    reached: Reached,
    /// When it was last heard of.
    heard: Instant,
    /// Whether its mark has come back. The same document may have been on its way before.
    begun: bool,
    /// How many of the last kind of echo are still to come.
    left: usize,
}

/// The message that is under way to a client.
#[derive(Default)]
pub(super) struct Runway {
    habit: Habit,
    flight: Option<Flight>,
    /// What those before were about that nobody said to have arrived, and when they were sent or given up.
    landed: VecDeque<(Arc<[DocKey]>, Instant)>,
    /// Until then more may be on its way than `landed` has.
    crowded_until: Option<Instant>,
    /// A client that does not say when a message has arrived is left alone for so long after it has left: when it was handed over.
    rest: Option<(Instant, Duration)>,
}

impl Runway {
    pub(super) fn is_free(&self) -> bool {
        self.flight.is_none()
    }

    /// A message goes out. Tells what is reached with it where nothing will be heard of it.
    pub(super) fn send(&mut self, bundle: Arc<Bundle>, reached: Reached, now: Instant) -> Option<Reached> {
        if self.habit == Habit::Silent {
            self.land(&bundle, now);
            return Some(reached);
        }
        let left = bundle.last.1;
        self.flight = Some(Flight { bundle, reached, heard: now, begun: false, left });
        None
    }

    fn land(&mut self, bundle: &Bundle, now: Instant) {
        self.landed.retain(|(_, at)| now < *at + CROSSING);
        if self.landed.len() == LANDED_MAX {
            self.crowded_until = self.landed.pop_front().map(|(_, at)| at + CROSSING);
        }
        self.landed.push_back((Arc::clone(&bundle.keys), now));
        self.rest = Some((now, STEADY_GAP * times(bundle)));
    }

    /// Until when a client is left alone that does not say when a message has arrived: what comes together it mixes up.
    /// `sent_at`: when the connection had sent everything; `None`: it has not.
    pub(super) fn rests_until(&self, sent_at: Option<Instant>, now: Instant) -> Option<Instant> {
        let (handed, gap) = self.rest?;
        let until = match sent_at {
            Some(at) => at.max(handed) + gap,
            None => now + now.saturating_duration_since(handed).clamp(STEADY_GAP, LOOK_EVERY_MAX),
        };
        (now < until).then_some(until)
    }

    /// The connection has ended. Whether a message that was under way arrived will never be known: tells whether
    /// there was one.
    pub(super) fn abort(&mut self) -> bool {
        self.habit = Habit::Unknown;
        self.flight.take().is_some()
    }

    /// When the message counts as arrived without a word.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let flight = self.flight.as_ref()?;
        let patience = if self.habit == Habit::Unknown { FIRST_PATIENCE } else { PATIENCE };
        Some(flight.heard + patience * times(&flight.bundle))
    }

    /// Takes note of an echo. Returns what is reached when it was the one that was waited for.
    pub(super) fn echoed(&mut self, echo: &Echo, now: Instant) -> Option<Reached> {
        self.habit = Habit::Echoes { missed: 0 };
        let flight = self.flight.as_mut()?;
        flight.heard = now;
        flight.begun |= *echo == Echo::Removal(flight.bundle.mark);
        if flight.begun && flight.bundle.last.0 == *echo {
            flight.left -= 1;
        }
        if flight.left > 0 {
            return None;
        }
        self.flight.take().map(|flight| flight.reached)
    }

    /// The deadline has passed: the message counts as arrived.
    pub(super) fn give_up(&mut self, now: Instant) -> Option<Reached> {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return None;
        }
        self.habit = match self.habit {
            Habit::Echoes { missed } if missed + 1 < MISSES => Habit::Echoes { missed: missed + 1 },
            Habit::Unknown | Habit::Echoes { .. } | Habit::Silent => Habit::Silent,
        };
        let flight = self.flight.take()?;
        self.land(&flight.bundle, now);
        Some(flight.reached)
    }

    /// Whether anything is on its way, so that a change by the client may cross with it.
    pub(super) fn is_busy(&self, now: Instant) -> bool {
        self.is_crowded(now) || self.under_way(now).next().is_some()
    }

    /// Whether a document is on its way.
    pub(super) fn holds(&self, key: &DocKey, now: Instant) -> bool {
        self.is_crowded(now) || self.under_way(now).any(|keys| keys.contains(key))
    }

    fn is_crowded(&self, now: Instant) -> bool {
        self.crowded_until.is_some_and(|until| now < until)
    }

    fn under_way(&self, now: Instant) -> impl Iterator<Item = &[DocKey]> {
        let landed = self.landed.iter().filter(move |(_, at)| now < *at + CROSSING).map(|(keys, _)| keys);
        self.flight.iter().map(|flight| &flight.bundle.keys).chain(landed).map(|keys| &**keys)
    }
}

/// Larger messages take longer on their way, and must not pile up in front of a ping.
fn times(bundle: &Bundle) -> u32 {
    u32::try_from(1 + bundle.message.size_bytes() / AT_ONCE_BYTES).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::live::change::Change;
    use syncline_core::model::{Author, CollectionName, DocId, Lsn, Millis};

    fn key(id: &str) -> DocKey {
        (CollectionName::new("users").unwrap(), DocId::new(id).unwrap())
    }

    fn bundle(id: &str) -> Arc<Bundle> {
        let (key, body) = (key(id), format!(r#"{{"_id":"{id}"}}"#).into());
        let (lsn, created, at, author) = (Lsn(1), Lsn(1), Millis(1), Author(1));
        Arc::new(Bundle::of(&[Arc::new(Change { lsn, at, key, live: true, author, created, body })]))
    }

    #[test]
    fn what_was_given_up_counts_as_on_its_way_although_more_was_sent_since() {
        let (mut runway, now) = (Runway::default(), Instant::now());
        assert!(runway.send(bundle("a"), Reached::Filled, now).is_none());
        let silent = runway.deadline().unwrap();
        assert!(runway.give_up(silent).is_some());
        let later = silent + CROSSING / 2;
        assert!(runway.send(bundle("b"), Reached::Cursor(Lsn(2)), later).is_some());
        assert_eq!(["a", "b", "c"].map(|id| runway.holds(&key(id), later)), [true, true, false]);
        assert_eq!(["a", "b"].map(|id| runway.holds(&key(id), silent + CROSSING)), [false, true]);
        for _ in 0..LANDED_MAX {
            runway.send(bundle("b"), Reached::Cursor(Lsn(2)), later);
        }
        assert!(runway.landed.len() == LANDED_MAX && runway.holds(&key("c"), later), "nobody knows any more");
        assert!(!runway.holds(&key("c"), later + CROSSING));
    }

    #[test]
    fn of_who_reports_nothing_a_message_has_arrived_when_it_is_sent_and_the_next_one_follows_after_a_rest() {
        let bundle = bundle("a");
        let (mut runway, reached) = (Runway::default(), Reached::Cursor(Lsn(1)));
        let send = |runway: &mut Runway, now| runway.send(Arc::clone(&bundle), reached, now).is_some();

        assert!(!send(&mut runway, Instant::now()), "whether it reports is not known yet");
        let silent = runway.deadline().unwrap();
        assert!(runway.give_up(silent).is_some());
        assert!(send(&mut runway, silent) && runway.is_free() && runway.deadline().is_none());
        assert_eq!(runway.rests_until(Some(silent), silent), Some(silent + STEADY_GAP));
        let late = silent + CROSSING / 2;
        assert_eq!(runway.rests_until(None, late), Some(late + LOOK_EVERY_MAX), "it waits for a poll");
        assert_eq!(runway.rests_until(Some(late), late), Some(late + STEADY_GAP));
        assert_eq!(runway.rests_until(Some(silent), late), None);
        assert!(runway.is_busy(silent), "what it changes now may cross with it");
        assert!(!runway.is_busy(silent + CROSSING));

        runway.echoed(&bundle.last.0, silent);
        assert!(!send(&mut runway, silent), "who reports after all is waited for");
    }
}
