//! The embedded database that works offline and syncs with a Syncline hub.
//!
//! In reading order, which is also the life of a change:
//!
//! 1. [`Database`] opens one file; [`Collection`], [`TypedCollection`] and [`Transaction`] write to it.
//!    [`filter`], [`query`] and [`index`] find documents; [`transfer`] brings them in and out.
//! 2. `outbox` records each edit beside the document it changed, and composes batches.
//! 3. [`Replica`] is what a sync engine drives: batches out, receipts, pages and snapshots in.
//!    [`sync`] is that engine: it keeps the database in step with a hub in the background.
//! 4. `rebase` puts pending edits on top of what was pulled; [`Quarantined`] keeps what cannot be applied.
//! 5. [`Collection::watch`] tells the app.
//!
//! `store` is the open file below all of this, `schema` its tables. Calls are synchronous: SQLite is
//! local. A write that returned is on disk.

mod collection;
mod collection_sync;
mod conflicts;
mod database;
mod document;
mod error;
mod fate;
pub mod filter;
mod find;
pub mod index;
mod outbox;
mod quarantine;
pub mod query;
mod rebase;
mod replica;
mod schema;
mod store;
pub mod sync;
mod sync_error;
mod text;
mod transaction;
pub mod transfer;
mod ttl;
mod typed;
mod watch;

pub use collection::Collection;
pub use conflicts::LostEdit;
pub use database::{CommitHook, Database, DatabaseOptions};
pub use error::{Error, Result};
pub use fate::{Fate, WriteReceipt};
pub use outbox::PendingBatch;
pub use quarantine::Quarantined;
pub use rebase::{Conflict, Resolution, Resolver};
pub use replica::{Correction, Replica, Unsynced, packet_of};
pub use syncline_core::model::{CollectionName, DocId, Kind, Limits, Lsn, Malformed, Millis, NodeId};
pub use transaction::{Transaction, TransactionCollection};
pub use typed::TypedCollection;

/// The examples of the README are compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The examples of the guide are compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/library.md")]
struct Guide;
