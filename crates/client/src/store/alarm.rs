//! Rings live queries when time alone changes their answer: a document of it expires.
//!
//! One thread per open file, begun with the first answer that holds such a document. It knows times
//! and bells only and never keeps the file open. Must never read the file: whoever is rung does.

use super::Watcher;
use super::locked;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Rings at the latest after this time, because clocks are set and devices sleep.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// When which live query must look again. Stops with its owner.
#[derive(Default)]
pub(super) struct Alarm {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    set: Mutex<Set>,
    changed: Condvar,
}

#[derive(Default)]
struct Set {
    due: Vec<(Instant, Weak<Watcher>)>,
    runs: bool,
    closed: bool,
}

impl Alarm {
    /// Rings once, after this time; what was set for this watcher before is void.
    pub(super) fn ring_after(&self, watcher: &Arc<Watcher>, wait: Duration) {
        let watcher = Arc::downgrade(watcher);
        let mut set = locked(&self.shared.set);
        set.due.retain(|(_, other)| !other.ptr_eq(&watcher));
        set.due.push((Instant::now() + wait.min(WAIT_MAX), watcher));
        if set.runs {
            self.shared.changed.notify_one();
            return;
        }
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new().name("syncline-expiry".into());
        match thread.spawn(move || shared.run()) {
            Ok(_) => set.runs = true,
            Err(error) => tracing::error!(%error, "live queries notice no expiry before the next commit"),
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        locked(&self.shared.set).closed = true;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn run(&self) {
        let mut set = locked(&self.set);
        while !set.closed {
            let now = Instant::now();
            set.due.retain(|(_, watcher)| watcher.upgrade().is_some_and(|watcher| watcher.is_heard()));
            let due: Vec<_> = set.due.extract_if(.., |(at, _)| *at <= now).collect();
            if !due.is_empty() {
                drop(set);
                due.iter().filter_map(|(_, watcher)| watcher.upgrade()).for_each(|watcher| watcher.ring());
                set = locked(&self.set);
                continue;
            }
            let next = set.due.iter().map(|(at, _)| *at - now).min().unwrap_or(WAIT_MAX);
            set = self.changed.wait_timeout(set, next).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
