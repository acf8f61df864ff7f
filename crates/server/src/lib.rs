//! The Syncline hub as a library: a store, a hub over it, and an axum router to mount anywhere.
//!
//! In reading order, which is also the life of a change:
//!
//! 1. [`http`]: listens, frames requests, and serves what is not the dialect: health, metrics,
//!    documentation, administration.
//!    [`socket`] does the same for live connections.
//! 2. [`dialect`]: decodes, authenticates by [`auth`], checks limits.
//! 3. [`hub`]: groups pushes, decides them by `syncline_core::hub`, commits, wakes readers.
//! 4. [`store`]: keeps everything; one small trait, an implementation per engine.
//!
//! ```no_run
//! # async fn example() -> Result<(), syncline_server::ServerError> {
//! use std::sync::Arc;
//! use syncline_server::{Options, Server, store::MemoryStore};
//!
//! let server = Server::bind(Arc::new(MemoryStore::default()), Options::default()).await?;
//! println!("listening on {}", server.url());
//! server.run(std::future::pending()).await
//! # }
//! ```

mod agreement;
mod answer;
pub mod app;
pub mod auth;
pub mod clock;
pub mod dialect;
mod error;
mod events;
pub mod http;
pub mod hub;
mod io;
pub mod kept;
pub mod meters;
pub mod nodes;
mod options;
pub mod redis;
pub mod rooms;
pub mod rules;
mod schema;
mod shares;
pub mod socket;
pub mod store;
pub mod sync_server;
mod workers;

pub use error::{Denied, ServerError};
pub use http::{ListenAddress, Server, open, router};
pub use options::{
    Bounds, DEFAULT_ROOMS, DeclaredRule, ExchangeOptions, LiveOptions, Options, RedisAddress, RedisOptions, Retention,
    RoomRule, RoomsOptions, Settings, TlsFiles, UnknownTypes,
};

/// The examples of the guide are compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/sync-server.md")]
struct SyncServerGuide;
