//! One message at a time. The plugin works on messages as they come in, not one after the other, so the next is sent
//! only when the echo of the last event of the one before has come. Clients that do not echo (their own switch, or
//! other programs) are found out by their silence and get what there is at a steady pace.

use super::bundle::{Bundle, Echo};
use super::position::Reached;
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
/// Between two messages to a client that does not echo: often enough to be at once for people, and seldom enough
/// that changes which come together go together.
const STEADY_GAP: Duration = Duration::from_millis(10);
/// The size of message that these times are for.
const AT_ONCE_BYTES: usize = 64 << 10;
/// How long a document counts as on its way to a client that does not say when it has arrived.
const CROSSING: Duration = Duration::from_secs(2);

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
    sent: Instant,
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
    /// The one before, at a client that does not say when it has arrived.
    landed: Option<(Arc<Bundle>, Instant)>,
}

impl Runway {
    pub(super) fn is_free(&self) -> bool {
        self.flight.is_none()
    }

    pub(super) fn send(&mut self, bundle: Arc<Bundle>, reached: Reached, now: Instant) {
        let left = bundle.last.1;
        self.flight = Some(Flight { bundle, reached, sent: now, heard: now, begun: false, left });
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
        // Larger ones take longer on their way, and must not pile up in front of a ping.
        let times = u32::try_from(1 + flight.bundle.message.size_bytes() / AT_ONCE_BYTES).unwrap_or(u32::MAX);
        Some(match self.habit {
            Habit::Unknown => flight.heard + FIRST_PATIENCE * times,
            Habit::Echoes { .. } => flight.heard + PATIENCE * times,
            Habit::Silent => flight.sent + STEADY_GAP * times,
        })
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
        self.landed = Some((flight.bundle, now));
        Some(flight.reached)
    }

    /// Whether a document is on its way, so that a change by the client crosses with it.
    pub(super) fn carries(&self, key: &DocKey, now: Instant) -> bool {
        let under_way = self.flight.iter().map(|flight| &flight.bundle);
        let landed = self.landed.iter().filter(|(_, at)| now < *at + CROSSING).map(|(bundle, _)| bundle);
        under_way.chain(landed).any(|bundle| bundle.holds(key))
    }
}
