//! What a command can fail with, what to do next, and the exit code. Every message names the thing
//! and the rule; [`CliError::next_step`] says how to go on. Secrets are never part of either.

use std::io;
use std::path::{Path, PathBuf};
use syncline::filter::FilterError;
use syncline::query::QueryError;
use syncline::transfer::TransferError;
use syncline_attach::AttachError;
use syncline_core::model::{Malformed, SpaceName, counted};
use syncline_server::ServerError;
use syncline_server::store::StoreError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A key that does not exist.
    #[error("{place}: unknown key `{key}`{}", .nearest.as_ref().map(|name| format!("; the nearest known key is `{name}`")).unwrap_or_default())]
    UnknownKey {
        /// File and line, variable or flag.
        place: String,
        /// The key as it was written.
        key: String,
        /// The known key that is most like it.
        nearest: Option<String>,
    },
    /// A key with a value that it does not take.
    #[error("{place}: `{key}` is {found}; it takes {expected}")]
    WrongValue {
        /// File and line, variable or flag.
        place: String,
        /// The key.
        key: String,
        /// What stands there.
        found: String,
        /// What should.
        expected: String,
    },
    /// An entry without a key that it needs.
    #[error("{place}: the entry has no `{key}`")]
    MissingKey {
        /// File and line.
        place: String,
        /// The key.
        key: &'static str,
    },
    /// A file that is not TOML.
    #[error("{place}: {reason}")]
    Syntax {
        /// File and line.
        place: String,
        /// The parser's own words.
        reason: String,
    },
    /// Arguments that do not fit together.
    #[error("{0}")]
    Usage(String),
    /// An argument or input that is not the JSON that is expected there.
    #[error("{what} is not {expected}: {reason}")]
    NotJson {
        /// Which argument or input.
        what: String,
        /// What it should be.
        expected: &'static str,
        /// The parser's own words.
        reason: String,
    },
    /// An input that says nothing.
    #[error("{what} is empty; it should hold {expected}")]
    Empty {
        /// Which file or argument.
        what: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// The operating system said no to a file.
    #[error("cannot {action} {}: {source}", .path.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// A name that breaks its rule.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The store of a hub.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The hub library.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A hub runs on the data directory.
    #[error("a hub runs on this data directory ({store} is in use)")]
    HubRuns {
        /// The store's file.
        store: String,
        /// Where the hub can be reached, when its address file says so.
        url: Option<String>,
    },
    /// Another hub runs on the data directory.
    #[error("another hub runs on this data directory ({store} is in use){}", .url.as_ref().map(|url| format!(" and listens on {url}")).unwrap_or_default())]
    SecondHub {
        /// The store's file.
        store: String,
        /// Where it can be reached, when its address file says so.
        url: Option<String>,
    },
    /// The shared store was set back to an earlier moment while the hub ran.
    #[error("the database was set back to an earlier moment; its spaces have begun new histories")]
    SetBack,
    /// The operating system does not hand over signals.
    #[error("cannot listen for signals: {0}")]
    Signal(io::Error),
    /// No hub has kept its data there.
    #[error("there is no hub data in {}", .data.display())]
    NoHubData {
        /// The directory.
        data: PathBuf,
    },
    /// A hub is named and no token.
    #[error("the hub at {url} needs a token")]
    NoToken {
        /// Its URL.
        url: String,
    },
    /// No answer from a hub.
    #[error("cannot reach the hub at {url}: {reason}")]
    Unreachable {
        /// Its URL.
        url: String,
        /// What happened.
        reason: String,
    },
    /// A hub answers with an error.
    #[error("the hub at {url} refused ({status}): {message}")]
    Refused {
        /// Its URL.
        url: String,
        /// The status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// Something answers that is no hub.
    #[error("what answers at {url} is no Syncline hub of this version: {reason}")]
    StrangeReply {
        /// Its URL.
        url: String,
        /// What is strange.
        reason: String,
    },
    /// A space has no such node.
    #[error("space `{space}` knows no node `{node}`; `syncline node list` shows those it knows")]
    NoSuchNode {
        /// The name that was asked for.
        node: String,
        /// The space.
        space: SpaceName,
    },
    /// The embedded database.
    #[error(transparent)]
    Database(syncline::Error),
    /// A filter, an order or a choice of fields that cannot be read.
    #[error(transparent)]
    Query(syncline::Error),
    /// A file that was imported up to a point.
    #[error("{source}; {}", counted(*imported, "document before it is imported", "documents before it are imported"))]
    Import {
        /// How many documents are imported.
        imported: u64,
        /// What stopped it.
        source: Box<CliError>,
    },
    /// A collection has no index of this name.
    #[error("`{collection}` has no index `{name}`; `syncline db index list` shows those it has")]
    NoSuchIndex {
        /// The name that was asked for.
        name: String,
        /// The collection.
        collection: String,
    },
    /// A database file that does not exist.
    #[error("there is no database at {}", .file.display())]
    NoDatabase {
        /// The file.
        file: PathBuf,
    },
    /// A document that does not exist.
    #[error("document `{id}` does not exist in `{collection}`")]
    NoSuchDocument {
        /// Its id.
        id: String,
        /// Where.
        collection: String,
    },
    /// A sync that did not get through.
    #[error("the sync did not get through: {0}")]
    Sync(String),
    /// A database that was loaded with a token that sees other documents.
    #[error("the database was loaded with a token that sees other documents of `{collection}` than this one")]
    OtherView {
        /// The collection.
        collection: String,
    },
    /// An answer of the hub that ended too early.
    #[error("the connection to the hub was cut: {0}")]
    Cut(String),
    /// A sync that the hub did not allow.
    #[error("the sync did not get through: {0}")]
    SyncRefused(String),
    /// Sync cannot be set up.
    #[error(transparent)]
    SyncSetup(#[from] syncline::sync::SyncError),
    /// An attached SQL database.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// A mapping file that is not there.
    #[error("there is no mapping at {}", .file.display())]
    NoMapping {
        /// The file.
        file: PathBuf,
    },
    /// A mapping file that is none, or does not fit the database.
    #[error("{}: {source}", .file.display())]
    Mapping {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: AttachError,
    },
    /// Spaces of which nothing can be shown.
    #[error("`{spaces}` cannot be read; what was shown says why")]
    Unreadable {
        /// Their names.
        spaces: String,
    },
    /// A backup that does not have every space.
    #[error("the backup lacks {spaces}")]
    Incomplete {
        /// Each with what is wrong with it.
        spaces: String,
    },
    /// A hub with which something is wrong.
    #[error("{faults} of the things looked at are wrong; what was shown says what to do")]
    Unwell {
        /// How many.
        faults: usize,
    },
    /// No directory for a while.
    #[error("cannot make a temporary directory: {0}")]
    Scratch(io::Error),
    /// Replicas that should be equal and are not.
    #[error("{0}")]
    Diverged(String),
    /// Documents that break the rules of their collection.
    #[error(
        "documents of `{collection}` that break its rules: {documents}; change them, or the rules (`syncline rules set {collection}`)"
    )]
    RulesBroken {
        /// The collection.
        collection: String,
        /// How many documents.
        documents: u64,
    },
    /// The hub went away while rules were being set.
    #[error("the hub at {url} went away while the rules of `{collection}` were being set ({reason}); they may stand")]
    RulesInDoubt {
        /// The collection.
        collection: String,
        /// The hub's URL.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The program cannot start its threads.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    /// Standard input cannot be read.
    #[error("cannot read standard input: {0}")]
    Input(io::Error),
    /// Standard output is closed.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

impl CliError {
    /// The operating system said no to a file.
    pub fn file(action: &'static str, path: &Path, source: io::Error) -> CliError {
        CliError::File { action, path: path.to_owned(), source }
    }

    /// 2 when the command line, the configuration or an input must be written differently, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            CliError::UnknownKey { .. }
            | CliError::WrongValue { .. }
            | CliError::MissingKey { .. }
            | CliError::Syntax { .. }
            | CliError::Usage(_)
            | CliError::Malformed(_)
            | CliError::NoToken { .. }
            | CliError::Query(_)
            | CliError::Empty { .. }
            | CliError::NotJson { .. }
            | CliError::NoMapping { .. }
            | CliError::Mapping { .. }
            | CliError::Refused { status: 400, .. }
            | CliError::Server(
                ServerError::BadRequest { .. }
                | ServerError::Malformed(Malformed::Json { .. } | Malformed::Id { .. })
                | ServerError::Config(_),
            ) => 2,
            _ => 1,
        }
    }
}

impl From<syncline::Error> for CliError {
    fn from(error: syncline::Error) -> CliError {
        match error {
            syncline::Error::Filter(_) | syncline::Error::Query(_) => CliError::Query(error),
            other => CliError::Database(other),
        }
    }
}

impl From<FilterError> for CliError {
    fn from(error: FilterError) -> CliError {
        syncline::Error::from(error).into()
    }
}

impl From<QueryError> for CliError {
    fn from(error: QueryError) -> CliError {
        syncline::Error::from(error).into()
    }
}

impl From<TransferError> for CliError {
    fn from(error: TransferError) -> CliError {
        syncline::Error::from(error).into()
    }
}
