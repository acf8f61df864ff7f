//! What a command can fail with, what to do next, and the exit code. Every message names the thing
//! and the rule; [`CliError::next_step`] says how to go on. Secrets are never part of either.

use std::io;
use std::path::{Path, PathBuf};
use syncline::filter::FilterError;
use syncline::query::QueryError;
use syncline::sync::SyncError;
use syncline::transfer::TransferError;
use syncline_attach::AttachError;
use syncline_core::model::{Malformed, SpaceName};
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
    #[error("{source}; {imported} documents before it are imported")]
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

    fn document_exists(&self) -> bool {
        matches!(self, CliError::Database(syncline::Error::Exists { .. }))
    }

    /// What to do next, where the message does not say it already.
    pub fn next_step(&self) -> Option<String> {
        match self {
            CliError::UnknownKey { .. } | CliError::WrongValue { .. } | CliError::MissingKey { .. } => {
                Some("`syncline config` lists all keys; docs/configuration.md describes them".into())
            }
            CliError::HubRuns { url, .. } => {
                let url = url.as_deref().unwrap_or("URL");
                Some(format!("ask the running hub (add --hub {url} --token ADMIN_TOKEN), or stop it first"))
            }
            CliError::SecondHub { .. } => {
                Some("use the running hub, stop it, or give this one a directory of its own (--data DIR)".into())
            }
            CliError::SetBack => Some("start the hub anew; devices then start from what stands".into()),
            CliError::NoHubData { .. } => Some(
                "name the hub's directory (--data DIR) or the running hub (--hub URL); `syncline serve` makes one"
                    .into(),
            ),
            CliError::NoDatabase { .. } => {
                Some("check the path; `syncline db insert`, `import` and `sync` make a database".into())
            }
            CliError::NoMapping { .. } | CliError::Mapping { .. } | CliError::Attach(_) => self.after_attaching(),
            CliError::NoToken { .. } => Some("add --token TOKEN, or set SYNCLINE_TOKEN".into()),
            CliError::Unreachable { url, .. } if url.starts_with("unix:") => {
                Some("check the path, that the hub runs, and that you are its user or in its group".into())
            }
            CliError::Unreachable { .. } | CliError::Sync(_) => Some(
                "check the URL, also http or https, that the hub runs (`syncline serve`), and that this machine \
                 trusts its certificate (docs/configuration.md, HTTPS)"
                    .into(),
            ),
            CliError::OtherView { .. } | CliError::Cut(_) | CliError::SyncRefused(_) => self.after_syncing(),
            CliError::Server(ServerError::Io { source, .. }) => listening(source),
            CliError::File { action, source, .. } => Some(after_file(action, source)),
            CliError::Input(source) => Some(after_file("read", source)),
            CliError::Empty { .. } => Some(
                "check the command that was to write it: send its output there, or name a file that holds it".into(),
            ),
            CliError::NotJson { .. } => Some(
                "JSON has double quotes around names and texts, a shell wants single quotes around all of it: \
                 '{\"title\": \"milk\"}'"
                    .into(),
            ),
            CliError::SyncSetup(SyncError::OtherDialect { .. } | SyncError::ByPackets { .. })
            | CliError::Database(syncline::Error::Sync(SyncError::OtherDialect { .. } | SyncError::ByPackets { .. })) => {
                Some("`syncline db sync FILE` without `--protocol` goes on as the file has synced before".into())
            }
            CliError::Database(syncline::Error::Sync(SyncError::Packet(_))) => Some(
                "the hub writes packets for this database by `syncline exchange export --node NODE`; `syncline db \
                 status FILE` shows its node"
                    .into(),
            ),
            CliError::Import { source, .. } if source.document_exists() => {
                Some("add --upsert to replace the documents that exist".into())
            }
            CliError::Database(syncline::Error::InUse(_)) => {
                Some("a `db watch` or `db sync --watch` holds it, or the app itself; one process at a time".into())
            }
            CliError::Refused { .. } | CliError::RulesInDoubt { .. } => self.after_asking(),
            _ => None,
        }
    }

    fn after_syncing(&self) -> Option<String> {
        let step = match self {
            CliError::OtherView { .. } => {
                "compare with the token that the database syncs with; to go on with this one, `syncline db sync FILE \
                 --token TOKEN` loads the collection anew, and keeps what waits"
            }
            CliError::Cut(_) => "run the same command again; where it happens again, look at the hub's log",
            CliError::SyncRefused(_) => {
                "add another --token (or SYNCLINE_TOKEN); `syncline token list` shows what each may do"
            }
            _ => return None,
        };
        Some(step.into())
    }

    /// After a request of administration.
    fn after_asking(&self) -> Option<String> {
        let lost = "with no admin token left, stop the hub first and add `--data DIR`";
        let step = match self {
            CliError::RulesInDoubt { collection, .. } => format!(
                "once the hub runs again, `syncline rules show {collection}` tells whether they stand, and `syncline rules \
                 check {collection}` what breaks them"
            ),
            CliError::Refused { status: 401, .. } => {
                format!("check the token; `syncline token rotate NAME` makes a new one for an old name; {lost}")
            }
            CliError::Refused { status: 403, .. } => {
                "use a token with more rights; `syncline token list` shows what each may do".into()
            }
            _ => return None,
        };
        Some(step)
    }

    fn after_attaching(&self) -> Option<String> {
        let step = match self {
            CliError::NoMapping { .. } => "`syncline attach init DATABASE` proposes one; --mapping names another file",
            CliError::Mapping { .. } => "docs/attach.md describes every key of a mapping",
            CliError::Attach(AttachError::Unreachable { .. }) => {
                "check the URL and that the hub runs; what was registered waits"
            }
            _ => return None,
        };
        Some(step.into())
    }
}

/// What to do when a file cannot be used.
fn after_file(action: &str, reason: &io::Error) -> String {
    let step = match (action, reason.kind()) {
        ("read", io::ErrorKind::NotFound) => "check the path; one that begins without `/` counts from this directory",
        (_, io::ErrorKind::NotFound) => "make the directory first, or name a file in one that is there",
        (_, io::ErrorKind::IsADirectory) => "it is a directory: name a file in it",
        (_, io::ErrorKind::PermissionDenied) => "check who may use the file and its directory (`ls -l`)",
        (_, io::ErrorKind::StorageFull) => "make room on the disk, and do it again",
        (_, io::ErrorKind::InvalidData) => {
            "the file must be text in UTF-8; PowerShell's `>` may write UTF-16: let `--output FILE` write it"
        }
        _ => "check the file and the disk that it is on, and do it again",
    };
    step.into()
}

/// What to do when a port or a socket file cannot be listened on.
fn listening(reason: &io::Error) -> Option<String> {
    let step = match reason.kind() {
        io::ErrorKind::AddrInUse => "another program listens there; stop it, or choose another --listen",
        io::ErrorKind::InvalidInput => {
            "--listen takes ADDRESS:PORT, e.g. 127.0.0.1:7460 (port 0 picks a free one), or unix:PATH with at most 107 bytes"
        }
        io::ErrorKind::AlreadyExists => "the hub removes no other files; choose another path, or remove it yourself",
        io::ErrorKind::NotFound => "check that the file is there; for --listen unix:PATH, make its directory first",
        io::ErrorKind::PermissionDenied => "check who may write to that directory, or choose a port above 1023",
        io::ErrorKind::AddrNotAvailable => {
            "the address is not one of this machine; 0.0.0.0:7460 listens on all of them"
        }
        _ => return None,
    };
    Some(step.into())
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
