//! Hybrid logical time: milliseconds with a counter, so that a later edit by one clock is always
//! later, and edits by different clocks compare the same way everywhere. Takes the time, never
//! reads it.

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// Reads an ISO 8601 / RFC 3339 time with a zone; `None` when it is not one, or before 1970.
    #[must_use]
    pub fn parse(text: &str) -> Option<Millis> {
        let ms = text.parse::<jiff::Timestamp>().ok()?.as_millisecond();
        u64::try_from(ms).ok().map(Millis)
    }

    /// As [`Millis::parse`]; a time without a zone counts as UTC, as programs write it that keep UTC everywhere.
    #[must_use]
    pub fn parse_utc(text: &str) -> Option<Millis> {
        Millis::parse(text).or_else(|| {
            let civil = text.parse::<jiff::civil::DateTime>().ok()?;
            let ms = jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?.as_millisecond();
            u64::try_from(ms).ok().map(Millis)
        })
    }

    /// `2026-11-21T08:52:38.756Z`, as JavaScript prints it.
    #[must_use]
    pub fn iso(self) -> String {
        let ms = i64::try_from(self.0).unwrap_or(i64::MAX);
        let time = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
        format!("{time:.3}")
    }
}

/// A hybrid logical timestamp: milliseconds and a counter of 10 bits. Stays below 2^53,
/// so that JSON readers with floating-point numbers keep it exact until the year 2248.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(pub u64);

const COUNTER_BITS: u32 = 10;
const MAX_MILLIS: u64 = (1 << 43) - 1;

impl Stamp {
    /// Before every edit.
    pub const ZERO: Stamp = Stamp(0);

    /// The first stamp of a millisecond.
    #[must_use]
    pub fn at(time: Millis) -> Stamp {
        Stamp(time.0.min(MAX_MILLIS) << COUNTER_BITS)
    }

    /// The wall-clock part.
    #[must_use]
    pub fn millis(self) -> Millis {
        Millis(self.0 >> COUNTER_BITS)
    }

    /// The smallest stamp after this one.
    #[must_use]
    pub fn next(self) -> Stamp {
        Stamp(self.0.saturating_add(1))
    }
}

/// A replica's clock: never goes back, and runs ahead of every stamp it has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    last: Stamp,
}

impl Clock {
    /// Continues from the last stamp that this replica issued or saw.
    #[must_use]
    pub fn starting_at(last: Stamp) -> Clock {
        Clock { last }
    }

    /// A new stamp, later than every earlier one.
    pub fn tick(&mut self, now: Millis) -> Stamp {
        self.last = Stamp::at(now).max(self.last.next());
        self.last
    }

    /// Learns of a stamp made elsewhere.
    pub fn see(&mut self, stamp: Stamp) {
        self.last = self.last.max(stamp);
    }

    /// The last stamp issued or seen.
    #[must_use]
    pub fn last(&self) -> Stamp {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_never_goes_back() {
        let mut clock = Clock::default();
        let first = clock.tick(Millis(1_000));
        let second = clock.tick(Millis(900));
        assert!(second > first, "the wall clock stepped back, the stamps did not");
        clock.see(Stamp::at(Millis(5_000)));
        assert!(clock.tick(Millis(1_100)) > Stamp::at(Millis(5_000)));
    }

    #[test]
    fn iso_times_are_read_and_written_as_javascript_does() {
        let time = Millis::parse("2026-11-21T08:52:38.756Z").unwrap();
        assert_eq!(time.iso(), "2026-11-21T08:52:38.756Z");
        assert_eq!(Millis::parse("2026-11-21T10:52:38.756+02:00"), Some(time));
        assert_eq!(Millis::parse("garbage"), None);
        assert_eq!(Millis::parse("1969-12-31T23:59:59Z"), None);
    }

    #[test]
    fn a_time_without_a_zone_may_count_as_utc() {
        let time = Millis::parse("2026-11-21T08:52:38.756Z");
        assert_eq!(Millis::parse_utc("2026-11-21T08:52:38.756123"), time);
        assert_eq!(Millis::parse_utc("2026-11-21T10:52:38.756+02:00"), time);
        assert_eq!((Millis::parse("2026-11-21T08:52:38.756"), Millis::parse_utc("soon")), (None, None));
    }
}
