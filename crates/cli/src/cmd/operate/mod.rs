//! What keeps a hub's data safe: backups of it, and what comes back from them.

pub mod backup;
mod copying;
pub mod restore;
