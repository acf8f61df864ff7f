//! What of a change a reader is told, where its token opens only some rows. Knows no bytes.

use crate::store::Row;
use syncline_core::model::RowFilters;

/// How a change looks to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// As it stands in the log.
    AsItIs,
    /// It has left what the reader may see, or is really gone: which of the two is not said.
    Gone,
    /// Not even that there is such a document.
    Nothing,
}

impl Told {
    /// What somebody who may see these rows is to be told. A reader stands on the version before the change, whether an
    /// earlier page or this one has brought it.
    pub fn of(row: &Row<'_>, rows: &RowFilters) -> Told {
        if !rows.limit(row.collection) || (row.live && rows.mean(row.collection, row.body)) {
            return Told::AsItIs;
        }
        match row.before {
            Some(text) if rows.mean(row.collection, text) => Told::Gone,
            _ => Told::Nothing,
        }
    }
}
