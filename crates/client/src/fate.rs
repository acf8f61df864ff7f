//! What becomes of a write, to be waited for: it is durable here when the call returns; whether the hub accepted it, and
//! what it met there, comes later. Owns the waiting; the replica notes fates in the transaction that carries them, and the
//! store tells them after its commit (step 9 of the life of a change).

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};
use syncline_core::model::{Lsn, Verdict};

/// What has become of one edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is durable here, and the hub has not receipted it.
    Pending,
    /// The hub took it as it is.
    Accepted {
        /// The change that carries it; 0: not told any more, it was accepted long ago.
        lsn: Lsn,
    },
    /// It met a concurrent edit, and some of it stands.
    Merged {
        /// The change that stands.
        lsn: Lsn,
        /// Under which number [`Database::conflicts`](crate::Database::conflicts) has it.
        conflict: i64,
    },
    /// It met a concurrent edit, and nothing of it stands.
    Superseded {
        /// The change that stands.
        lsn: Lsn,
        /// Under which number [`Database::conflicts`](crate::Database::conflicts) has it.
        conflict: i64,
    },
    /// The hub can never apply it.
    Rejected {
        /// A short, stable word.
        code: String,
        /// Why, and what to do.
        reason: String,
        /// Under which number [`Database::quarantined`](crate::Database::quarantined) has it.
        quarantined: i64,
    },
    /// It was given up here before the hub receipted it: discarded, undone by a later edit, or decided by the
    /// application's resolver.
    Withdrawn,
}

impl Fate {
    /// Of an edit that met a concurrent one.
    pub(crate) fn of_conflict(result: Verdict, lsn: Lsn, conflict: i64) -> Fate {
        if result == Verdict::Merged { Fate::Merged { lsn, conflict } } else { Fate::Superseded { lsn, conflict } }
    }
}

/// What becomes of the edits of one transaction. Cheap to clone. An edit that became part of one that waited already
/// shares its fate.
#[derive(Clone, Debug)]
pub struct WriteReceipt {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Debug, Default)]
struct State {
    fates: BTreeMap<i64, Fate>,
    /// Nobody will tell any more.
    closed: bool,
    wakers: Vec<Waker>,
}

impl WriteReceipt {
    /// What has become of each edit so far, in their order. Empty: the hub has no part in what was written.
    #[must_use]
    pub fn fates(&self) -> Vec<Fate> {
        self.lock().fates.values().cloned().collect()
    }

    /// Whether every edit has its fate.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.lock().is_settled()
    }

    /// Blocks this thread until every edit has its fate, at most so long. Returns the fates as they are then; they stay
    /// [`Fate::Pending`] where the database is closed first.
    #[must_use]
    pub fn wait(&self, at_most: Duration) -> Vec<Fate> {
        let give_up = Instant::now() + at_most;
        let mut state = self.lock();
        while !state.is_settled() && !state.closed {
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.shared.told.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.fates.values().cloned().collect()
    }

    /// As [`WriteReceipt::wait`], for as long as it takes. Needs no runtime.
    pub async fn settled(&self) -> Vec<Fate> {
        poll_fn(|context| {
            let mut state = self.lock();
            if state.is_settled() || state.closed {
                return Poll::Ready(state.fates.values().cloned().collect());
            }
            state.wakers.push(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, seq: i64, fate: Fate) {
        let mut state = self.lock();
        state.fates.insert(seq, fate);
        self.wake(state);
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let wakers = if state.is_settled() || state.closed { std::mem::take(&mut state.wakers) } else { Vec::new() };
        drop(state);
        self.shared.told.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl State {
    fn is_settled(&self) -> bool {
        self.fates.values().all(|fate| *fate != Fate::Pending)
    }
}

/// Who waits for which op.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    by_seq: Mutex<BTreeMap<i64, Vec<WriteReceipt>>>,
}

impl Waiting {
    /// A receipt for these ops, which nobody has receipted.
    pub(crate) fn begin(&self, ops: &BTreeSet<i64>) -> WriteReceipt {
        let receipt = WriteReceipt { shared: Arc::default() };
        receipt.lock().fates = ops.iter().map(|seq| (*seq, Fate::Pending)).collect();
        let mut by_seq = self.by_seq.lock().unwrap_or_else(PoisonError::into_inner);
        for seq in ops {
            by_seq.entry(*seq).or_default().push(receipt.clone());
        }
        receipt
    }

    /// The ops that somebody waits for.
    pub(crate) fn ops(&self) -> Vec<i64> {
        self.by_seq.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Ops have got their fates.
    pub(crate) fn tell(&self, fates: BTreeMap<i64, Fate>) {
        for (seq, fate) in fates {
            let waiting = self.by_seq.lock().unwrap_or_else(PoisonError::into_inner).remove(&seq);
            for receipt in waiting.into_iter().flatten() {
                receipt.tell(seq, fate.clone());
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let by_seq = std::mem::take(&mut *self.by_seq.lock().unwrap_or_else(PoisonError::into_inner));
        for receipt in by_seq.into_values().flatten() {
            let mut state = receipt.lock();
            state.closed = true;
            receipt.wake(state);
        }
    }
}
