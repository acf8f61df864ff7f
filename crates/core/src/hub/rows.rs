//! The right to write a row (step 5 of the life of a change): whoever is given only some documents must find one of them,
//! and leave one. One rule for the tokens of devices and for registered nodes; what a refusal leads to is the dialect's.

use super::loaded::DocKey;
use super::progress::Progress;
use crate::model::{CollectionName, Edit, Rejection, RowFilters, Stamp};

/// The code of an edit that finds or leaves a document which its sender may not write.
pub(super) const ROW_FORBIDDEN: &str = "row_forbidden";

/// When a document went that was somebody else's: an edit that outlives this removal would bring its text back.
pub(super) type ForeignRemoval = Option<Stamp>;

impl Progress {
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
