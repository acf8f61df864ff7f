//! What came from Redis and was not understood: counted always, logged once in a while, and never in full, so that
//! whoever floods a channel with garbage fills no disk.

use crate::meters::Meters;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const LOG_EVERY: Duration = Duration::from_secs(60);

/// Why a message is not taken. The code is a short, stable word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// For metrics.
    pub code: &'static str,
    /// For people: what is wrong and what would be right.
    pub why: String,
}

impl Refused {
    /// A reason.
    #[must_use]
    pub fn new(code: &'static str, why: impl Into<String>) -> Refused {
        Refused { code, why: why.into() }
    }
}

/// Counts and logs refusals.
pub struct Refusals {
    meters: Arc<Meters>,
    logged: Mutex<HashMap<&'static str, (Instant, u64)>>,
}

impl Refusals {
    /// None yet.
    #[must_use]
    pub fn new(meters: Arc<Meters>) -> Refusals {
        Refusals { meters, logged: Mutex::default() }
    }

    /// Notes one.
    pub fn note(&self, refused: &Refused) {
        self.meters.redis_refused(refused.code);
        if let Some(since) = self.due(refused.code) {
            let why: String = refused.why.chars().take(300).collect();
            tracing::warn!(code = refused.code, since, "a message from Redis is not taken: {why}");
        }
    }

    /// How many there were since the last line about this; `None`: it is too early for another one.
    fn due(&self, code: &'static str) -> Option<u64> {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        match logged.get_mut(code) {
            Some((at, since)) if at.elapsed() < LOG_EVERY => {
                *since += 1;
                None
            }
            entry => {
                let since = entry.map_or(0, |(_, since)| *since);
                logged.insert(code, (Instant::now(), 0));
                Some(since)
            }
        }
    }
}
