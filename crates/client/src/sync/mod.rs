//! Keeps a database in step with a hub, in the background (steps 2 and 9 of the life of a change).
//!
//! Applications go on reading and writing as if there were no hub. Whatever goes wrong with sync is
//! told by events and by the status; it never fails a local write and never panics.
//!
//! A collection, as in the seeds:
//!
//! ```no_run
//! use syncline::Database;
//! use syncline::sync::SyncOptions;
//!
//! let db = Database::open("app.db")?;
//! let articles = db.collection("articles")?;
//! articles.on("sync:error", |event| eprintln!("{}", event.payload()["message"]))?;
//! articles.enable_sync(SyncOptions::new("https://hub.example.com", "a token"))?;
//! articles.insert(serde_json::json!({"title": "Pushed at once"}))?;
//! println!("{:?}", articles.sync_status()?);
//! articles.disable_sync();
//! # Ok::<(), syncline::Error>(())
//! ```
//!
//! A whole database, with a hub that cannot be reached:
//!
//! ```
//! use syncline::Database;
//! use syncline::sync::SyncOptions;
//!
//! let db = Database::open_in_memory()?;
//! let sync = db.sync(SyncOptions {
//!     collections: vec!["users".into(), "posts".into()],
//!     auto_sync: false,
//!     ..SyncOptions::new("http://127.0.0.1:9", "a token")
//! })?;
//! db.collection("users")?.insert(serde_json::json!({"name": "Ada"}))?;
//!
//! let outcome = sync.sync_now_blocking();
//! assert!(!outcome.success, "nothing listens there, and nothing is lost:");
//! assert_eq!(sync.status()?.pending, 1);
//! # Ok::<(), syncline::Error>(())
//! ```
//!
//! In a program with a runtime, `sync.sync_now().await` and `sync.events()` do not block. Events have
//! the names and payloads of the seeds: `sync:start`, `sync:initial_start`, `sync:initial_progress`,
//! `sync:initial_complete`, `sync:pull_success`, `sync:push_success`, `sync:heartbeat_success`,
//! `sync:success`, `sync:error`, `sync:conflict`, `sync:quarantine`, `sync:node_renamed` ([`SyncEvent`]).
//!
//! # How it works
//!
//! A database has one link to one hub, whatever number of its collections sync: the hub knows the
//! device as one node with one sequence of ops. A thread with a runtime of its own carries out what
//! the session machine in `syncline_core::session` decides: snapshot, then pull, then push, then a
//! pull that waits at the hub until there is news. A local write is pushed beside that wait.
//!
//! In reading order: `options` and `database` (with the methods of [`Collection`](crate::Collection):
//! what the application calls), `desk` and `link` (what they share), `engine` (the thread), `exchange` (one request), `request` and `reply`
//! (its form on the wire), `node` and `packet`
//! (the same by packets), `files` (packets without a network), `api` and `http` (the way to the hub), `listeners`, `status`, `local` (what
//! the engine needs of the database).

mod api;
mod database;
pub(crate) mod desk;
mod engine;
mod exchange;
mod files;
mod http;
mod link;
mod listeners;
mod local;
mod node;
mod options;
mod packet;
mod reply;
pub mod request;
mod socket;
mod status;

#[cfg(test)]
mod damaged;
#[cfg(test)]
mod tests;

pub use crate::sync_error::SyncError;
pub use api::{ApiClient, ApiError, ApiReply, ApiStream};
pub use database::DatabaseSync;
pub use files::Imported;
pub use http::HttpApiClient;
pub use listeners::{ListenerId, SyncEvents};
pub use local::Outgoing;
pub use node::PacketNode;
pub use options::{ExchangeOptions, LogLevel, LoggingOptions, Protocol, RetryOptions, SyncOptions};
pub use packet::OutPacket;
pub use status::{SyncOutcome, SyncStatus};
pub use syncline_core::model::Strategy;
pub use syncline_core::model::{Cursor, Verdict};
pub use syncline_core::session::{Conflict, Quarantined, SyncEvent};
