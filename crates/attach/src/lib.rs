//! Existing SQL databases as nodes of a hub: an application that knows nothing of Syncline goes on writing its tables,
//! triggers register what it changes, and numbered packets (`exchange`) carry it.
//!
//! In reading order:
//!
//! 1. [`mapping`] (the file that says which tables are exchanged, as which types) and `propose`, which writes a first one.
//! 2. [`catalogue`] (what a database says of its tables) and `plan`: the mapping held against it.
//! 3. `value` and `identity`: columns and JSON, rows and UUIDs.
//! 4. `engine`: what differs between kinds of databases; `sqlite` and `postgres` are those that there are. `work`: what is
//!    done in one transaction, alike for both, with `sql` for the text of statements.
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

mod engine;
mod identity;
mod incoming;
mod outgoing;
mod packet;
mod plan;
mod postgres;
mod propose;
mod sql;
mod sqlite;
mod value;
mod work;

pub use attachment::{Attachment, Options};
pub use error::AttachError;
pub use mapping::Mapping;
pub use propose::propose;
