//! When to try again: the adaptive interval, and back-off with full jitter. Holds the stream of
//! pseudo-random numbers that the jitter is drawn from; its seed comes from outside.

use super::interface::Settings;

/// A hub that refuses the token is asked again this many longest intervals later.
const UNAUTHORIZED_FACTOR: u64 = 10;

/// Interval and failures so far.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    interval_ms: u64,
    failures: u32,
    random: u64,
}

impl Pace {
    pub(super) fn new(settings: &Settings, seed: u64) -> Pace {
        Pace { interval_ms: settings.min_interval_ms, failures: 0, random: seed }
    }

    /// A cycle succeeded. Returns the time until the next one.
    pub(super) fn succeeded(&mut self, settings: &Settings, active: bool) -> u64 {
        self.failures = 0;
        if active {
            self.interval_ms = settings.min_interval_ms;
            return self.interval_ms;
        }
        let delay = self.interval_ms;
        self.interval_ms = (self.interval_ms.saturating_mul(3) / 2).min(settings.max_interval_ms);
        delay
    }

    /// A cycle failed. Returns the time until the next one: full jitter under a ceiling that doubles.
    pub(super) fn failed(&mut self, settings: &Settings) -> u64 {
        self.interval_ms = self.interval_ms.saturating_mul(2).min(settings.max_interval_ms);
        self.failures = self.failures.saturating_add(1);
        let retry = settings.retry;
        let ceiling = if self.failures > retry.max_retries {
            settings.max_interval_ms
        } else if retry.exponential {
            let doubled = retry.delay_ms.saturating_mul(1 << (self.failures - 1).min(20));
            doubled.min(settings.max_interval_ms)
        } else {
            retry.delay_ms
        };
        1 + self.below(ceiling)
    }

    /// The hub named a time: never earlier, and spread over half as much again.
    pub(super) fn told(&mut self, settings: &Settings, retry_after_ms: u64) -> u64 {
        let own = self.failed(settings);
        let spread = self.below(retry_after_ms / 2);
        own.max(retry_after_ms.saturating_add(spread))
    }

    /// The token was refused.
    pub(super) fn unauthorized(&mut self, settings: &Settings) -> u64 {
        let base = settings.max_interval_ms.saturating_mul(UNAUTHORIZED_FACTOR);
        base.saturating_add(self.below(base / 2))
    }

    /// A number from 0 up to, but not including, `limit` (0 for 0), by the SplitMix64 generator.
    fn below(&mut self, limit: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        if limit == 0 { 0 } else { mixed % limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_grows_while_idle_and_returns_with_activity() {
        let settings = Settings::default();
        let mut pace = Pace::new(&settings, 1);
        let idle: Vec<u64> = (0..9).map(|_| pace.succeeded(&settings, false)).collect();
        assert_eq!(idle, [5_000, 7_500, 11_250, 16_875, 25_312, 37_968, 56_952, 60_000, 60_000]);
        assert_eq!(pace.succeeded(&settings, true), 5_000);
    }

    #[test]
    fn an_error_doubles_the_interval_that_follows_recovery() {
        let settings = Settings::default();
        let mut pace = Pace::new(&settings, 1);
        pace.failed(&settings);
        assert_eq!(pace.succeeded(&settings, false), 10_000);
    }

    #[test]
    fn back_off_stays_below_its_doubling_ceiling_and_differs_between_devices() {
        let settings = Settings::default();
        let ceilings = [1_000, 2_000, 4_000, 8_000, 16_000, 60_000, 60_000];
        let mut firsts = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut pace = Pace::new(&settings, seed);
            let delays: Vec<u64> = ceilings.iter().map(|_| pace.failed(&settings)).collect();
            for (delay, ceiling) in delays.iter().zip(ceilings) {
                assert!((1..=ceiling).contains(delay), "seed {seed}: {delays:?}");
            }
            firsts.insert(delays[0]);
        }
        assert!(firsts.len() > 150, "only {} different first delays of 200 devices", firsts.len());
    }

    #[test]
    fn without_the_exponent_the_ceiling_stays() {
        let mut settings = Settings::default();
        settings.retry.exponential = false;
        let mut pace = Pace::new(&settings, 3);
        assert!((0..5).all(|_| pace.failed(&settings) <= 1_000));
    }

    #[test]
    fn a_named_time_is_kept_and_spread() {
        let settings = Settings::default();
        let mut pace = Pace::new(&settings, 3);
        let delay = pace.told(&settings, 20_000);
        assert!((20_000..30_000).contains(&delay), "{delay}");
    }
}
