//! How a commit is known again whose answer was lost.

use syncline_core::hub::{Entry, WriteSet};
use syncline_core::model::{Author, CollectionName, Lsn, Millis};

/// What a commit leaves at the end of the log: nobody else can leave it there.
#[derive(Debug)]
pub(in crate::store) struct Mark {
    pub head: Lsn,
    pub at: Millis,
    pub author: Author,
    pub collection: CollectionName,
    pub id: String,
}

impl Mark {
    /// Of a write set that writes to the log.
    pub fn of(writes: &WriteSet) -> Option<Box<Mark>> {
        let (author, collection, id) = match writes.entries.last()? {
            Entry::Change(change) => (change.version.author, &change.collection, change.id.to_string()),
            Entry::Ticket(ticket) => (ticket.author, &ticket.collection, String::new()),
            Entry::Return(back) => (back.author, &back.collection, back.id.to_string()),
        };
        let head = writes.entries.last()?.lsn();
        Some(Box::new(Mark { head, at: writes.at, author, collection: collection.clone(), id }))
    }
}
