//! Keeps a database in step with a hub, in the background (steps 2 and 9 of the life of a change).

mod api;
mod collection;
mod database;
mod desk;
mod engine;
mod error;
mod exchange;
mod http;
mod link;
mod listeners;
mod local;
mod options;
mod reply;
mod request;
mod status;

#[cfg(test)]
mod tests;

pub use api::{ApiClient, ApiError, ApiReply, ApiStream};
pub use error::SyncError;
pub use http::HttpApiClient;
pub use database::DatabaseSync;
pub(crate) use desk::Desk;
pub use listeners::{ListenerId, SyncEvents};
pub use options::{LogLevel, LoggingOptions, RetryOptions, SyncOptions};
pub use status::{SyncOutcome, SyncStatus};
pub use syncline_core::session::{Conflict, Quarantined, SyncEvent};
