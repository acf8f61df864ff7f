//! How many messages a connection may still send: a bucket that fills evenly.

use tokio::time::Instant;

/// Seconds' worth of messages that may come at once.
const BURST_S: f64 = 2.0;

pub(super) struct Pace {
    per_second: f64,
    left: f64,
    at: Instant,
}

impl Pace {
    pub(super) fn new(per_second: u32) -> Pace {
        let per_second = f64::from(per_second);
        Pace { per_second, left: per_second * BURST_S, at: Instant::now() }
    }

    /// Whether one more message is within the limit now.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let filled = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.left = (self.left + filled).min(self.per_second * BURST_S);
        self.at = now;
        let within = self.left >= 1.0;
        if within {
            self.left -= 1.0;
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_is_taken_and_then_the_rate_holds() {
        let mut pace = Pace::new(10);
        let (now, after) = (Instant::now(), Duration::from_millis(500));
        let burst = (0..100).filter(|_| pace.take(now)).count();
        let later = (0..100).filter(|_| pace.take(now + after)).count();
        assert_eq!((burst, later), (20, 5));
    }
}
