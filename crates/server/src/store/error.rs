//! What goes wrong below the hub: in words, as a code, and what the one who asked should do about it.

use std::path::Path;
use syncline_core::model::{Kind, Lsn, NodeId, SpaceName};

/// What goes wrong below the hub.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No such space.
    #[error(
        "space `{0}` does not exist; create it with a token or a collection in it (`syncline token add --space {0}`)"
    )]
    UnknownSpace(SpaceName),
    /// The reader's position is behind the horizon.
    #[error("the log is kept from {horizon} on and the reader is at {asked}: start from a snapshot")]
    BehindHorizon {
        /// Oldest position that can still be read from.
        horizon: Lsn,
        /// The position asked for.
        asked: Lsn,
    },
    /// Data written by a newer program.
    #[error("{place} has schema {found}, this program knows up to {known}: use a newer syncline")]
    NewerSchema {
        /// The file or database.
        place: String,
        /// Its schema.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// A durable write failed earlier; nothing is guessed after that.
    #[error("the store stopped after a failed write ({cause}); check the disk and restart the hub")]
    Poisoned {
        /// The first failure.
        cause: String,
    },
    /// The disk is full. Nothing was written; it goes on as soon as there is room.
    #[error("the disk has no room for more ({cause}); make room, the hub goes on by itself")]
    NoRoom {
        /// What the engine said.
        cause: String,
    },
    /// The data was taken away under the hub: what is written there now, nobody would ever find.
    #[error(
        "the data file {path} is gone or another one is in its place; put it back, or restart the hub to take the other one"
    )]
    Gone {
        /// The file.
        path: String,
    },
    /// A file that the list of spaces names is not there. An empty one would tell devices that all is removed.
    #[error(
        "the data file {path} is missing; put it back, or bring the newest backup back into a new directory (`syncline restore`)"
    )]
    Missing {
        /// The file.
        path: String,
    },
    /// A file is not what was written: nothing more is written into it.
    #[error(
        "the data file {place} is damaged ({cause}); keep your backups and a copy of it, stop the hub, and bring the newest good backup back (`syncline restore`)"
    )]
    Damaged {
        /// The file.
        place: String,
        /// What the engine found.
        cause: String,
    },
    /// A document whose stored text is none any more. The other documents are read and written as before.
    #[error(
        "document {document} is damaged ({cause}); keep your backups and a copy of the data, `syncline doctor` looks at every \
         file, and the newest good backup has the document (`syncline restore`)"
    )]
    DamagedText {
        /// The document and its collection.
        document: String,
        /// What is wrong with its text.
        cause: String,
    },
    /// Files of spaces without the hub's own file, which has the tokens, the rules and the list of spaces.
    #[error(
        "{dir} has no hub.db, or an empty one, and these files of spaces: {files}; put hub.db back, or bring the newest \
         backup back into a new directory (`syncline restore`); `syncline serve --adopt` begins a new hub.db with these \
         spaces, without tokens and rules"
    )]
    NoHubFile {
        /// The data directory.
        dir: String,
        /// The files' names.
        files: String,
    },
    /// As many spaces are in use as may be open.
    #[error("{most} spaces are in use at this moment and no more may be (`limits.open_spaces`); try again")]
    TooManyOpen {
        /// The limit.
        most: usize,
    },
    /// Another process has it open.
    #[error("{0} is in use by another process; stop it, or talk to the running hub with `--hub URL`")]
    InUse(String),
    /// Two nodes of a space cannot have one code.
    #[error("the code `{code}` belongs to node {id} already; choose another one, or remove that node first")]
    CodeTaken {
        /// The code.
        code: String,
        /// Who has it.
        id: NodeId,
    },
    /// A reader held a scan open without taking anything.
    #[error("the reader took nothing for {waited_s} s and was cut off; go on from the last row that arrived")]
    SlowReader {
        /// How long the scan waited.
        waited_s: u64,
    },
    /// A group of pushes whose unique values depend on each other too much to be decided together.
    #[error("the pushes of a group depend on each other too much; nothing was written, send them again")]
    Entangled,
    /// The engine said no.
    #[error("{action}: {source}")]
    Engine {
        /// What was being done.
        action: &'static str,
        /// The engine's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A data file cannot be opened or read.
    #[error("{place}: {action}: {source}; put the right file in its place, e.g. from a backup, and try again")]
    File {
        /// The file.
        place: String,
        /// What was being done.
        action: &'static str,
        /// The engine's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A backup that cannot be made there, or be used.
    #[error("{place}: {reason}")]
    Backup {
        /// The directory or file.
        place: String,
        /// What is in the way, and what to do.
        reason: String,
    },
    /// The database cannot be used as it is, or not now.
    #[error("{place}: {reason}")]
    Database {
        /// Where it is, without a password.
        place: String,
        /// What it said, and what to do.
        reason: String,
    },
    /// The shared store was set back to an earlier moment; what this process knows of it is of another history.
    #[error("{why}; restart the hub, as it does by itself under a service manager")]
    SetBack {
        /// What was found.
        why: String,
    },
    /// The store is shut down.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// What the one who asked should do about it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            StoreError::UnknownSpace(_)
            | StoreError::NewerSchema { .. }
            | StoreError::InUse(_)
            | StoreError::Backup { .. }
            | StoreError::NoHubFile { .. }
            | StoreError::CodeTaken { .. } => Kind::Reject,
            StoreError::BehindHorizon { .. } => Kind::Resync,
            StoreError::Poisoned { .. }
            | StoreError::NoRoom { .. }
            | StoreError::Gone { .. }
            | StoreError::Missing { .. }
            | StoreError::Damaged { .. }
            | StoreError::DamagedText { .. }
            | StoreError::TooManyOpen { .. }
            | StoreError::SlowReader { .. }
            | StoreError::Entangled
            | StoreError::Engine { .. }
            | StoreError::File { .. }
            | StoreError::Database { .. }
            | StoreError::SetBack { .. }
            | StoreError::Closed => Kind::Retry,
        }
    }

    /// A short, stable word for wire replies and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            StoreError::UnknownSpace(_) => "unknown_space",
            StoreError::CodeTaken { .. } => "code_taken",
            StoreError::BehindHorizon { .. } => "resync",
            StoreError::TooManyOpen { .. } | StoreError::Entangled => "overloaded",
            StoreError::Closed => "shutting_down",
            StoreError::NoRoom { .. } => "no_room",
            StoreError::Gone { .. } | StoreError::Missing { .. } => "data_gone",
            StoreError::NewerSchema { .. }
            | StoreError::InUse(_)
            | StoreError::Backup { .. }
            | StoreError::NoHubFile { .. }
            | StoreError::Poisoned { .. }
            | StoreError::Damaged { .. }
            | StoreError::DamagedText { .. }
            | StoreError::SlowReader { .. }
            | StoreError::Engine { .. }
            | StoreError::Database { .. }
            | StoreError::SetBack { .. }
            | StoreError::File { .. } => "store_failed",
        }
    }

    /// Names the file, where the engine's own error does not.
    pub(crate) fn of_file(self, path: &Path) -> StoreError {
        match self {
            StoreError::Engine { action, source } => {
                StoreError::File { place: path.display().to_string(), action, source }
            }
            other => other,
        }
    }

    /// Wraps an engine's own error.
    pub(crate) fn engine<E>(action: &'static str) -> impl FnOnce(E) -> StoreError
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| StoreError::Engine { action, source: source.into() }
    }
}

/// A URL is wrong as the database behind it would be.
impl From<syncline_postgres::UrlError> for StoreError {
    fn from(error: syncline_postgres::UrlError) -> StoreError {
        StoreError::Database { place: error.place, reason: error.reason }
    }
}
