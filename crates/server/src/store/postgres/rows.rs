//! What stands in the columns of a row, in the words of the model.

use super::authors::author_of;
use super::trouble::Failure;
use crate::store::StoreError;
use crate::store::columns::{BURIED, nat};
use syncline_core::hub::DocKey;
use syncline_core::model::{Body, CollectionName, DocId, Lsn, Mark, Meta, NodeId, Receipt, Stamp, Version};
use tokio_postgres::Row;

/// The receipts of one row.
pub(super) fn receipts_of(text: &str) -> Result<Vec<Receipt>, Failure> {
    serde_json::from_str(text).map_err(damaged)
}

/// Columns: collection, id.
pub(super) fn key_of(row: &Row) -> Result<DocKey, Failure> {
    let collection = CollectionName::new(row.try_get::<_, String>(0)?).map_err(damaged)?;
    Ok((collection, DocId::new(row.try_get::<_, String>(1)?).map_err(damaged)?))
}

/// Columns from one on: kind, lsn, author, stamp, meta, body.
pub(super) fn version_of(row: &Row, from: usize) -> Result<Version, Failure> {
    let (lsn, author) = (Lsn(nat(row.try_get(from + 1)?)), author_of(row.try_get(from + 2)?));
    if row.try_get::<_, i64>(from)? == BURIED {
        return Ok(Version::buried(lsn, author));
    }
    let meta = match row.try_get::<_, Option<&str>>(from + 4)? {
        Some(text) => serde_json::from_str(text).map_err(damaged)?,
        None => Meta::inserted(Mark { stamp: Stamp(nat(row.try_get(from + 3)?)), lsn, author }),
    };
    let body = Body::stored(row.try_get::<_, &str>(from + 5)?).map_err(damaged)?;
    Ok(Version { lsn, author, body, meta })
}

/// A node's id in a column.
pub(super) fn node_of(row: &Row, column: usize) -> Result<NodeId, Failure> {
    NodeId::new(row.try_get::<_, String>(column)?).map_err(damaged)
}

/// Content that breaks a rule of the model.
pub(super) fn damaged<E>(error: E) -> Failure
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    StoreError::engine("reading a row of the database, which is damaged")(error).into()
}
