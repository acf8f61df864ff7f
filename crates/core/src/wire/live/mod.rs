//! The `live` dialect's messages: lists of events in both directions; the shapes are in `spec/live.md`.
//! Reads what clients report and writes the state that they lack (steps 3 and 8 of the life of a change). What an event
//! does is the hub's decision; which client lacks what is the dialect's.

mod decode;
mod encode;
mod list;
#[cfg(test)]
mod tests;

pub use decode::{Mark, Received};
pub use encode::{StateWriter, Stated, Told};
pub use list::{Piece, Place, read};

/// The key beside `$and` by which a query of the hub is known when a client echoes it. Clients do not look at it.
pub const MARK: &str = "__syncline";
/// The key beside it that says what the inserts of the same message are: the digest of each document by its id. So
/// any worker, also one that has not sent the message, knows their echoes.
pub const INSERTS: &str = "__syncline_inserts";
/// The client id of the events that the hub sends. No client has it.
pub const HUB_CLIENT: &str = "syncline";
/// What stands for the id of a document in events that name their documents by a query.
pub const BY_QUERY: &str = "query-based";
