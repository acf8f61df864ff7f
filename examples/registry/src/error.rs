//! Why the example does not start, as the person at the terminal reads it.

use std::io;
use syncline_server::ServerError;
use syncline_server::store::StoreError;
use thiserror::Error;

/// What went wrong, with the next step.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The operating system refused something.
    #[error("{action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The page client is not built, and could not be.
    #[error("the page client cannot be built: `{command}` failed in {folder}. It needs Node.js and npm")]
    PageClient {
        /// What was run.
        command: String,
        /// Where.
        folder: String,
    },
    /// The hub refused.
    #[error(transparent)]
    Hub(#[from] ServerError),
    /// The hub's store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}
