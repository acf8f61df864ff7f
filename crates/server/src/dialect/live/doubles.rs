//! Documents that a client inserted although they stood. The plugin keeps both, and every delivery of the document
//! mends that, because the removal of its id takes all copies away. Other programs put a document in its place by an
//! insert, and never hear their own changes: so only who reports what it is sent is told, as soon as that is known.

use std::collections::BTreeSet;
use std::mem::take;
use syncline_core::hub::DocKey;

/// Kept for a client of which it is not known.
const DOUBLES_MAX: usize = 1_000;

#[derive(Default)]
pub(super) struct Doubles {
    keys: BTreeSet<DocKey>,
    reports: bool,
}

impl Doubles {
    pub(super) fn reports(&mut self) {
        self.reports = true;
    }

    pub(super) fn add(&mut self, keys: BTreeSet<DocKey>) {
        self.keys.extend(keys);
        while !self.reports && self.keys.len() > DOUBLES_MAX {
            self.keys.pop_first();
        }
    }

    /// What is to be told now.
    pub(super) fn take(&mut self) -> BTreeSet<DocKey> {
        if self.reports { take(&mut self.keys) } else { BTreeSet::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_core::model::{CollectionName, DocId};

    #[test]
    fn who_reports_is_told_all_and_of_others_so_many_are_kept() {
        let keys = |ids: std::ops::Range<usize>| {
            ids.map(|id| (CollectionName::new("users").unwrap(), DocId::new(format!("{id:04}")).unwrap())).collect()
        };
        let mut doubles = Doubles::default();
        doubles.add(keys(0..DOUBLES_MAX + 7));
        assert!(doubles.take().is_empty(), "it may put documents in their places by inserts");
        doubles.reports();
        assert_eq!(doubles.take(), keys(7..DOUBLES_MAX + 7));
        doubles.add(keys(0..DOUBLES_MAX + 7));
        assert_eq!(doubles.take().len(), DOUBLES_MAX + 7);
    }
}
