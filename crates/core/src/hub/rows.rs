//! The right to write a row (step 5 of the life of a change): whoever is given only some documents must find one of them,
//! and leave one. One rule for the tokens of devices and for registered nodes; what a refusal leads to is the dialect's.

use super::loaded::DocKey;
use super::progress::{Attempt, Progress};
use crate::model::{CollectionName, Edit, Lsn, Rejection, RowFilters, Stamp, Verdict};

/// The code of an edit that finds or leaves a document which its sender may not write.
pub(super) const ROW_FORBIDDEN: &str = "row_forbidden";

/// When a document went that was somebody else's: an edit that outlives this removal would bring its text back.
pub(super) type ForeignRemoval = Option<Stamp>;

impl Progress {
    /// Whether an update or a removal finds a document at all. That an id is free is nobody's business who may write only some
    /// documents, and what is left of an edit of nothing would count against whoever makes the document.
    pub(super) fn must_find(&self, rows: &RowFilters, key: &DocKey, edit: &Edit) -> Result<(), Rejection> {
        let unborn = self.loaded.docs.get(key).is_none_or(|version| version.meta.born == Stamp::ZERO);
        match edit {
            Edit::Update { .. } | Edit::Remove if unborn && rows.limit(key.0.as_str()) => Err(foreign_row(&key.0)),
            _ => Ok(()),
        }
    }

    /// Whether what stands under an id, or stood there, may be changed.
    pub(super) fn may_change(&self, rows: &RowFilters, key: &DocKey) -> Result<(), Rejection> {
        self.must_find(rows, key, &Edit::Remove)?;
        self.may_touch(rows, key, &Edit::Remove).map(drop)
    }

    /// Whether an edit may be tried on what it finds. What this returns is asked again afterwards ([`Self::may_leave`]).
    pub(super) fn may_touch(&self, rows: &RowFilters, key: &DocKey, edit: &Edit) -> Result<ForeignRemoval, Rejection> {
        self.check_row(rows, key)?;
        let gone = self.foreign_removal(rows, key);
        match edit {
            Edit::Update { .. } | Edit::Remove if gone.is_some() => Err(foreign_row(&key.0)),
            _ => Ok(gone),
        }
    }

    /// Whether what an edit has left may stand.
    pub(super) fn may_leave(&self, rows: &RowFilters, key: &DocKey, gone: ForeignRemoval) -> Result<(), Rejection> {
        self.check_row(rows, key)?;
        match gone {
            Some(removed) if !self.begins_anew(key, removed) => Err(foreign_row(&key.0)),
            _ => Ok(()),
        }
    }

    /// Applies an edit of somebody who may write only these rows. Where it is refused, nothing was recorded.
    pub(super) fn within_rows(&mut self, rows: &RowFilters, attempt: Attempt<'_>) -> Result<(Verdict, Lsn), Rejection> {
        if !rows.limit(attempt.key.0.as_str()) {
            return self.apply(attempt);
        }
        let key = attempt.key.clone();
        let gone = self.may_touch(rows, &key, attempt.edit)?;
        let checkpoint = self.checkpoint();
        let done = self.apply(attempt)?;
        match self.may_leave(rows, &key, gone) {
            Ok(()) => Ok(done),
            Err(why) => {
                self.roll_back(checkpoint);
                Err(why)
            }
        }
    }

    /// Whether a document is there that may be written.
    pub(super) fn is_row_of(&self, rows: &RowFilters, key: &DocKey) -> bool {
        let standing = self.loaded.docs.get(key).filter(|version| version.meta.is_live());
        standing.is_some_and(|version| rows.mean(key.0.as_str(), version.body.text()))
    }

    /// A document that stands must be one that may be written; one that is not there is anybody's.
    pub(super) fn check_row(&self, rows: &RowFilters, key: &DocKey) -> Result<(), Rejection> {
        let standing = self.loaded.docs.get(key).filter(|version| version.meta.is_live());
        match standing {
            Some(version) if !rows.mean(key.0.as_str(), version.body.text()) => Err(foreign_row(&key.0)),
            _ => Ok(()),
        }
    }

    fn foreign_removal(&self, rows: &RowFilters, key: &DocKey) -> ForeignRemoval {
        if !rows.limit(key.0.as_str()) {
            return None;
        }
        let version = self.loaded.docs.get(key).filter(|version| !version.meta.is_live())?;
        // Of some removals nothing is left that could come back.
        let empty = version.body.fields().iter().all(|(name, _)| name == "_id");
        let foreign = !empty && !rows.mean(key.0.as_str(), version.body.text());
        version.meta.removed.filter(|_| foreign).map(|mark| mark.stamp)
    }

    /// Whether nothing is left of what stood before a removal.
    fn begins_anew(&self, key: &DocKey, removed: Stamp) -> bool {
        let standing = self.loaded.docs.get(key).filter(|version| version.meta.is_live());
        standing.is_some_and(|version| version.meta.born > removed)
    }
}

/// Says nothing of the document: whoever may not write it may not even know of it.
pub(super) fn foreign_row(collection: &CollectionName) -> Rejection {
    Rejection {
        code: ROW_FORBIDDEN.to_owned(),
        reason: format!(
            "only some documents of `{collection}` may be written here, and this edit finds none of them, or leaves one that is \
             not among them; ask for another rule (`rows.{collection}` of the token's grant or of the node's plan), or let somebody \
             else write it"
        ),
    }
}
