//! What a registered node is to be told, row by row (step 8 of the life of a change).

use super::scan::Pass;
use super::select::{LOG, NEWEST, row_of};
use super::trouble::Failure;
use crate::store::columns::{BURIED, RETURN, nat};
use crate::store::{Row, Scan};
use syncline_core::model::Lsn;

impl Pass<'_> {
    /// `false`: the scan ends here.
    pub(super) fn offer_of_packet(&mut self, row: &tokio_postgres::Row) -> Result<bool, Failure> {
        match row.try_get::<_, i64>(1)? {
            RETURN => self.offer_return(row),
            BURIED => self.offer_by_name(row),
            _ => Ok(self.offer_row(&row_of(row, LOG)?)),
        }
    }

    /// Offers no more than which document it is.
    pub(super) fn offer_by_name(&mut self, row: &tokio_postgres::Row) -> Result<bool, Failure> {
        let lsn = Lsn(nat(row.try_get(0)?));
        Ok(self.offer_row(&Row { lsn, ..Row::gone(row.try_get(8)?, row.try_get(9)?) }))
    }

    /// Offers what stands of a document at the position of its return, unless it comes by itself and takes nothing
    /// away.
    fn offer_return(&mut self, row: &tokio_postgres::Row) -> Result<bool, Failure> {
        let lsn = Lsn(nat(row.try_get(0)?));
        let (collection, id, lost): (&str, &str, &str) = (row.try_get(8)?, row.try_get(9)?, row.try_get(11)?);
        let first = self.told.insert((collection.to_owned(), id.to_owned()));
        if !first && lost.is_empty() {
            return Ok(true);
        }
        if row.try_get::<_, Option<i64>>(NEWEST)?.is_none() {
            return Ok(self.offer_row(&Row { lsn, ..Row::gone(collection, id) }));
        }
        let newest = row_of(row, NEWEST)?;
        if self.comes(&newest) && (!newest.live || lost.is_empty()) {
            return Ok(true);
        }
        self.feed.lost(lost);
        Ok(self.offer_row(&Row { lsn, ..newest }))
    }

    /// Whether the scan meets a change without being pointed to it.
    fn comes(&self, newest: &Row<'_>) -> bool {
        let Scan::Packet { after, author, .. } = self.scan else { return false };
        newest.lsn > *after && (newest.author != *author || self.scan.tells_own(newest.lsn, newest.created))
    }
}
