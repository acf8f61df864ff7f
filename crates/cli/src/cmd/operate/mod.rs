//! What keeps a hub well: a look at all that may go wrong, backups of its data, and what comes back from them.

pub mod backup;
mod copying;
pub mod doctor;
pub mod migrate;
pub mod restore;
