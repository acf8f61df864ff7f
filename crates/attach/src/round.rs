//! Rounds with a hub: packets go until both sides have everything. Also when the next round is due.

use crate::attachment::{Attachment, Taken};
use crate::error::AttachError;
use crate::link::Link;
use serde::Serialize;
use std::time::Duration;
use syncline_core::model::Kind;

/// What a round did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Round {
    /// Packets that were posted.
    pub packets: u64,
    /// Objects that were sent.
    pub sent: u64,
    /// Objects that cannot be sent; `sync_aside` says why.
    pub kept_back: u64,
    /// What the hub's packets did.
    #[serde(flatten)]
    pub taken: Taken,
}

impl Attachment {
    /// Exchanges packets until the hub has everything and nothing waits there. `tell` hears after each packet how far it
    /// has come. Where it is interrupted, the next one goes on.
    ///
    /// # Errors
    /// Those of the database, of [`Link::post`], and of [`Attachment::take`].
    pub async fn round(&mut self, link: &Link, mut tell: impl FnMut(&Round)) -> Result<Round, AttachError> {
        self.prepare()?;
        let mut round = Round::default();
        loop {
            let sent = self.compose()?;
            round.kept_back += sent.kept_back;
            let node = self.standing()?.node;
            let answer = match link.post(&node, sent.text.clone()).await {
                Err(AttachError::TooLarge(message)) => {
                    self.smaller(message)?;
                    continue;
                }
                answer => answer?,
            };
            let taken = self.take(&sent, &answer)?;
            round.packets += 1;
            round.sent += sent.entities;
            let more = taken.more;
            round.taken.add(taken);
            tell(&round);
            if !more && !self.has_news()? {
                return Ok(round);
            }
        }
    }

    /// A packet that the hub finds too large is composed anew with half as many rows.
    fn smaller(&mut self, message: String) -> Result<(), AttachError> {
        let rows = self.packet_rows();
        if *rows <= 1 {
            return Err(AttachError::Refused { status: 413, message });
        }
        *rows /= 2;
        self.give_up()
    }

    /// Whether the application has written since `version`, a value of an earlier call.
    ///
    /// # Errors
    /// What the database says.
    pub fn has_written(&self, version: &mut i64) -> Result<bool, AttachError> {
        Ok(self.database().has_written(version)? && self.has_news()?)
    }
}

impl Taken {
    fn add(&mut self, other: Taken) {
        self.stored += other.stored;
        self.removed += other.removed;
        self.confirmed += other.confirmed;
        self.conflicts += other.conflicts;
        self.aside += other.aside;
        for (kind, count) in other.unmapped {
            *self.unmapped.entry(kind).or_default() += count;
        }
    }
}

/// When the next round is due: soon while there is something to do, later and later while there is not, and after
/// failures with a random share, so that many databases do not come at once.
#[derive(Clone, Debug)]
pub struct Pace {
    interval_ms: u64,
    min_ms: u64,
    max_ms: u64,
    failures: u32,
}

impl Pace {
    /// Rounds at intervals from `min_ms` to `max_ms`.
    #[must_use]
    pub fn new(min_ms: u64, max_ms: u64) -> Pace {
        Pace { interval_ms: min_ms, min_ms, max_ms: max_ms.max(min_ms), failures: 0 }
    }

    /// The time until the next round after one that worked.
    pub fn after(&mut self, round: &Round) -> Duration {
        self.failures = 0;
        let idle = round.sent == 0 && round.taken.stored + round.taken.removed == 0;
        let delay_ms = if idle { self.interval_ms } else { self.min_ms };
        self.interval_ms = if idle { (delay_ms.saturating_mul(3) / 2).min(self.max_ms) } else { self.min_ms };
        Duration::from_millis(delay_ms)
    }

    /// The time until the next round after one that failed.
    pub fn after_failure(&mut self, error: &AttachError) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let ceiling = match error.kind() {
            Kind::Retry => 1_000_u64.saturating_mul(1 << (self.failures - 1).min(20)).min(self.max_ms),
            // Somebody has to do something first.
            _ => self.max_ms,
        };
        let told = match error {
            AttachError::Overloaded { retry_after_ms: Some(told), .. } => *told,
            _ => 0,
        };
        Duration::from_millis(told.max(1) + fastrand::u64(..ceiling.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_come_later_while_nothing_happens_and_soon_when_something_does() {
        let mut pace = Pace::new(1_000, 4_000);
        let idle = Round::default();
        let delays: Vec<u128> = (0..5).map(|_| pace.after(&idle).as_millis()).collect();
        assert_eq!(delays, [1_000, 1_500, 2_250, 3_375, 4_000]);
        assert_eq!(pace.after(&Round { sent: 1, ..idle }).as_millis(), 1_000);
    }

    #[test]
    fn failures_wait_longer_each_time_and_never_less_than_the_hub_says() {
        let mut pace = Pace::new(1_000, 4_000);
        let lost = AttachError::Unreachable { url: "h".into(), reason: "r".into() };
        for ceiling in [1_000, 2_000, 4_000, 4_000] {
            assert!(pace.after_failure(&lost).as_millis() <= ceiling);
        }
        let told = AttachError::Overloaded { message: "m".into(), retry_after_ms: Some(9_000) };
        assert!(pace.after_failure(&told).as_millis() >= 9_000);
    }
}
