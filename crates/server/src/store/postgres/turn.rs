//! A space's turn: a transaction that has it and is no commit of pushes, and where others wait for it as well.

use super::pool::Session;
use super::space::{self, State};
use super::trouble::Failure;
use crate::store::{Trim, Trimmed};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use syncline_core::model::{Lsn, SpaceName};

/// A step of trimming that has its turn.
pub(super) struct Turn<'s> {
    pub session: &'s Session,
    pub space: &'s SpaceName,
    pub trim: Trim,
    pub trimmed: Trimmed,
}

/// Begins a transaction with the space's turn alone.
pub(super) async fn take(session: &Session, space: &SpaceName) -> Result<State, Failure> {
    let mut pipeline = session.begin();
    let asked = space::lock(&mut pipeline, space);
    space::found(&mut pipeline.answers().await?, asked, space)
}

/// Which spaces other workers write to, too: those whose log a commit found elsewhere than the last one from here left it.
#[derive(Default)]
pub(super) struct Crowds(Mutex<BTreeMap<SpaceName, Crowd>>);

#[derive(Default)]
struct Crowd {
    /// Where the last commit from here left the log.
    left: Option<Lsn>,
    others: bool,
}

impl Crowds {
    /// Whether the turn may have to be waited for.
    pub fn is_crowded(&self, space: &SpaceName) -> bool {
        self.lock().get(space).is_some_and(|crowd| crowd.others)
    }

    /// A commit has its turn and finds the log here.
    pub fn found(&self, space: &SpaceName, lsn: Lsn) {
        let mut crowds = self.lock();
        let crowd = crowds.entry(space.clone()).or_default();
        crowd.others = crowd.left.is_some_and(|left| left != lsn);
    }

    /// A commit has ended and leaves the log here.
    pub fn left(&self, space: &SpaceName, lsn: Lsn) {
        self.lock().entry(space.clone()).or_default().left = Some(lsn);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SpaceName, Crowd>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_is_crowded_as_long_as_others_commit_in_between() {
        let (crowds, space) = (Crowds::default(), SpaceName::new("main").unwrap());
        crowds.found(&space, Lsn(7));
        assert!(!crowds.is_crowded(&space), "nothing was left there before");
        crowds.left(&space, Lsn(8));
        crowds.found(&space, Lsn(10));
        assert!(crowds.is_crowded(&space));
        crowds.left(&space, Lsn(11));
        crowds.found(&space, Lsn(11));
        assert!(!crowds.is_crowded(&space));
    }
}
