//! Existing SQL databases as nodes of a hub: an application that knows nothing of Syncline goes on writing its tables,
//! triggers register what it changes, and numbered packets (`exchange`) carry it.
//!
//! In reading order:
//!
//! 1. [`mapping`] (the file that says which tables are exchanged, as which types) and `propose`, which writes a first one.
//! 2. [`catalogue`] (what a database says of its tables) and `plan`: the mapping held against it.
//! 3. `value` and `identity`: columns and JSON, rows and UUIDs.
//! 4. `sqlite`: everything that is SQL. The one engine so far; a second one is a module beside it with the same functions.
//! 5. `outgoing` (changes become a packet), `incoming` (a packet becomes rows) and `packet` (its text).
//! 6. [`attachment`]: a database that is attached, step by step: install, compose a packet, take its answer in.
//! 7. [`link`] and [`round`]: the same steps with a hub, until both have everything.
//!
//! Decides nothing about conflicts: the hub does. Never holds a transaction while it waits for the network.

pub mod attachment;
pub mod catalogue;
pub mod error;
pub mod link;
pub mod mapping;
pub mod round;

mod identity;
mod incoming;
mod outgoing;
mod packet;
mod plan;
mod propose;
mod sqlite;
mod value;

pub use attachment::{Attachment, Options};
pub use error::AttachError;
pub use mapping::Mapping;
pub use propose::propose;
