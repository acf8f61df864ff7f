//! The one place where tests wait: for a condition, with a deadline.

use std::time::{Duration, Instant};

/// How long anything may take on a busy machine before it counts as stuck.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Asks until there is an answer.
///
/// # Panics
/// There is none at the deadline; `what` says what was waited for.
#[track_caller]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "waited {DEADLINE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(2)); // sleep: the pause between two looks at the condition
    }
}
