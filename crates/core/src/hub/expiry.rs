//! Documents whose time is over (step 5 of the life of a change): readers have long ceased to show
//! them, and the hub takes them out of the log's present. The removal goes through the merge rule
//! like any other, so every reader converges, foreign ones included.

use super::decide::Reply;
use super::progress::{Attempt, Progress};
use crate::model::{Base, Edit, Expiry, Millis, NodeId};

impl Progress {
    /// Removes what has expired for longer than clocks may differ. A version that came since the
    /// documents were listed decides for itself.
    pub(super) fn expiry(&mut self, expiry: &Expiry) -> Reply {
        let author = self.author(&NodeId::hub());
        let mut removed = 0;
        for key in &expiry.docs {
            let Some(version) = self.loaded.docs.get(key) else { continue };
            let over = match expiry.unchanged_since {
                Some(lsn) => version.lsn <= lsn,
                None => version.body.facts().expires.is_some_and(|at| self.is_over(at)),
            };
            if !over || !version.meta.is_live() {
                continue;
            }
            // It counts as made with the last edit: every later one, also of a device that was offline
            // and prolonged the document in time, brings the document back.
            let (stamp, base) = (version.meta.newest(), Base::At(version.lsn));
            let (key, edit, committed) = (key.clone(), &Edit::Remove, Millis(0));
            let attempt = Attempt { key, edit, author, base, stamp, strategy: None, committed };
            removed += u64::from(self.apply(attempt).is_ok());
        }
        Reply::Expired { removed }
    }

    fn is_over(&self, expires: Millis) -> bool {
        expires.0.saturating_add(self.moment.limits.clock_drift_ms) <= self.moment.now.0
    }
}
