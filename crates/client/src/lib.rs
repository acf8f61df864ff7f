//! The embedded database that works offline and syncs with a Syncline hub.

pub mod filter;
pub mod index;
pub mod query;
pub mod sync;
pub mod transfer;
