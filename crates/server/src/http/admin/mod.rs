//! Administration over HTTP, for tokens with the admin flag. The command line uses it when a hub
//! runs on the data.

mod asked;
pub(super) mod backup;
pub(super) mod kept;
pub(super) mod nodes;
pub(super) mod rules;
pub(super) mod spaces;
pub(super) mod tokens;
