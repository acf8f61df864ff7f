//! One consistent state of the file, to read from.

use super::names::{Named, Names};
use crate::error::Result;
use rusqlite::Connection;
use std::sync::Arc;
use syncline_core::model::{CollectionName, Millis};

/// What a read works with: the connection inside of a transaction, which may be a writer's own.
pub(crate) struct View<'v> {
    /// The connection.
    pub conn: &'v Connection,
    /// The time of all that is read.
    pub now: Millis,
    names: &'v mut Names,
}

impl<'v> View<'v> {
    pub(super) fn new(conn: &'v Connection, now: Millis, names: &'v mut Names) -> View<'v> {
        View { conn, now, names }
    }

    /// The collection, if it exists.
    pub(crate) fn find(&mut self, name: &CollectionName) -> Result<Option<Arc<Named>>> {
        self.names.find(self.conn, name)
    }
}
