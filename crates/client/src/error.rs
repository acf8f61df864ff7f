//! Everything that a call to the embedded database can answer instead of a result.
//!
//! Messages name the thing, the rule and the next step. [`Error::kind`] says what a caller may do.
//! Sync failures are no errors of local calls: they arrive as events.

use crate::filter::FilterError;
use crate::index::IndexError;
use crate::query::QueryError;
use crate::sync_error::SyncError;
use crate::transfer::TransferError;
use rusqlite::ErrorCode;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use syncline_core::model::{BatchId, CollectionName, DocId, Kind, Malformed};
use thiserror::Error;

/// The result of a call to the embedded database.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
#[derive(Debug, Error)]
pub enum Error {
    /// Another handle, in this process or another one, has the file open.
    #[error("database `{path}` is open already, here or in another process; close it there first, or open another file", path = .0.display())]
    InUse(PathBuf),
    /// The file was written by a newer version of this library.
    #[error("database `{path}` has schema version {found}, this library knows up to {known}; use a newer version of the library", path = path.display())]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest one known here.
        known: i64,
    },
    /// The file is an SQLite file, and not ours.
    #[error("`{path}` is an SQLite file of another program, which stays untouched; choose another path", path = .0.display())]
    NotOurs(PathBuf),
    /// A file that does not begin as a database does.
    #[error(
        "`{}` is no database: it is a file of another kind, or its beginning is damaged; it stays untouched, choose \
         another path or restore it from a backup", .0.display()
    )]
    NoDatabase(PathBuf),
    /// The file cannot be created, locked or read.
    #[error("database `{path}` cannot be opened: {source}", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An earlier write failed while it was made durable; nobody knows how much of it is on disk.
    #[error("the database handle is closed because a commit failed: {0}; drop every handle and open the file again")]
    Poisoned(Arc<str>),
    /// The disk is full. Nothing of the write is kept, and the next one may find room.
    #[error("the disk of database `{path}` has no room for more and nothing of this write is kept; make room and write again", path = .0.display())]
    NoRoom(PathBuf),
    /// The file or its directory is there to be read only.
    #[error("database `{path}` may not be written; check who may write the file and its directory", path = .0.display())]
    ReadOnly(PathBuf),
    /// A call on the database from inside of its own transaction.
    #[error("a transaction is open on this thread; read and write through it, not through the database")]
    InsideTransaction,
    /// The app itself ended its transaction: return this from it, and nothing of it is kept.
    #[error("the transaction was given up: {0}")]
    GivenUp(String),
    /// More edits in one transaction than a hub takes in one batch.
    #[error("the transaction has more than {limit} edits (`limits.batch_ops`); split it")]
    TransactionTooLarge {
        /// The limit.
        limit: usize,
    },
    /// Something else than a JSON object.
    #[error("a document is a JSON object; this is {found}")]
    NotAnObject {
        /// What was given.
        found: &'static str,
    },
    /// An `_id` that is no text.
    #[error("`_id` must be a string of 1 to 512 bytes, not {found}; leave it out to get a new one")]
    IdNotText {
        /// What was given.
        found: &'static str,
    },
    /// An edit that would move a document to another id.
    #[error("document `{id}` in `{collection}` keeps its `_id`; insert a new document and remove this one instead")]
    IdChanged {
        /// Where.
        collection: CollectionName,
        /// Which document.
        id: DocId,
    },
    /// An insert of an id that is taken.
    #[error("document `{id}` exists already in `{collection}`; use `update`, `replace` or `upsert`")]
    Exists {
        /// Where.
        collection: CollectionName,
        /// Which document.
        id: DocId,
    },
    /// An edit of a document that is not there.
    #[error("document `{id}` does not exist in `{collection}`; use `insert` or `upsert`")]
    NotFound {
        /// Where.
        collection: CollectionName,
        /// Which document.
        id: DocId,
    },
    /// A value that another document holds in a unique index.
    #[error("unique index `{index}` of `{collection}`: {value} is held by document `{holder}`; change one of the two")]
    NotUnique {
        /// Where.
        collection: CollectionName,
        /// Which index.
        index: String,
        /// The path and value, e.g. `` `email` = "a@b.c" ``.
        value: String,
        /// Who holds it.
        holder: DocId,
    },
    /// A receipt or refusal for a batch that is not under way.
    #[error("batch `{0}` is not under way; it was answered or composed anew")]
    UnknownBatch(BatchId),
    /// A quarantined op that is not there any more.
    #[error("there is no quarantined op number {0}; list the quarantine for those that are")]
    NotQuarantined(i64),
    /// A conflict that is not there any more.
    #[error(
        "there is no conflict number {0}: it was restored or discarded, or there never was one; list the conflicts for those that are"
    )]
    NoConflict(i64),
    /// An op that does not wait for the hub.
    #[error(
        "no op number {0} waits for the hub: it was receipted or discarded; list what is unsynced for those that do"
    )]
    NotUnsynced(i64),
    /// An op that a hub may have seen cannot be changed.
    #[error("the hub may have seen op {0} already; edit its document, which makes a new op, or discard it")]
    Offered(i64),
    /// A removal has no content.
    #[error("op {0} removes and has no content to edit; discard it instead")]
    NoContent(i64),
    /// An op of a packet that waits for its answer.
    #[error("op {0} is part of a packet that the hub may have accepted; wait for its answer")]
    UnderWay(i64),
    /// A value that breaks a rule of the model.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A filter that cannot be parsed.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A query that cannot be parsed or run.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// An index that cannot be defined.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A file that cannot be imported or exported.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// A document that is not what its Rust type expects, or the other way round.
    #[error("document `{id}` in `{collection}` does not fit its Rust type: {reason}")]
    Shape {
        /// Where.
        collection: CollectionName,
        /// Which document, or `?`.
        id: String,
        /// Serde's words.
        reason: String,
    },
    /// Sync cannot start.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// What the file holds of one document is not what this library wrote.
    #[error(
        "document `{id}`{} of database `{}` is damaged: {reason}; `syncline verify {} --repair` pulls it from the hub again",
        .collection.as_ref().map(|name| format!(" in `{name}`")).unwrap_or_default(), .database.display(), .database.display()
    )]
    DamagedDocument {
        /// The file.
        database: PathBuf,
        /// Where, if that is known.
        collection: Option<CollectionName>,
        /// Which document.
        id: DocId,
        /// What is wrong.
        reason: String,
    },
    /// What the file holds is not what this library wrote.
    #[error("the database file is damaged: {0}; restore it from a backup, or start a new one and let it sync")]
    Damaged(String),
    /// SQLite refused.
    #[error("the database file cannot be read or written: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// Texts that `?` finds unreadable are stored ones: what comes from outside has errors of its own.
impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Error {
        Error::Damaged(format!("a stored document is not JSON: {error}"))
    }
}

impl Error {
    /// The same on the way into sync.
    pub(crate) fn into_sync(self) -> SyncError {
        match self {
            Error::Sync(why) => why,
            other => SyncError::Storage(other.to_string()),
        }
    }

    /// The stored text of a document cannot be read.
    pub(crate) fn damaged(collection: Option<&CollectionName>, id: &DocId, reason: impl ToString) -> Error {
        let (database, collection) = (PathBuf::from(":memory:"), collection.cloned());
        Error::DamagedDocument { database, collection, id: id.clone(), reason: reason.to_string() }
    }

    /// The same with the file's name, where it concerns a document, or where what SQLite says is no fault of what is in
    /// the file.
    pub(crate) fn on(self, path: Option<&Path>) -> Error {
        if let (Error::DamagedDocument { collection, id, reason, .. }, Some(path)) = (&self, path) {
            let (collection, id, reason) = (collection.clone(), id.clone(), reason.clone());
            return Error::DamagedDocument { database: path.to_owned(), collection, id, reason };
        }
        let (Error::Sqlite(why), Some(path)) = (&self, path) else { return self };
        match why.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Error::NoRoom(path.to_owned()),
            Some(ErrorCode::ReadOnly) => Error::ReadOnly(path.to_owned()),
            _ => self,
        }
    }

    /// What a caller may do about it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Error::InUse(_)
            | Error::Open { .. }
            | Error::Poisoned(_)
            | Error::NoRoom(_)
            | Error::ReadOnly(_)
            | Error::Sqlite(_) => Kind::Retry,
            Error::Damaged(_) | Error::DamagedDocument { .. } => Kind::Bug,
            _ => Kind::Reject,
        }
    }
}
