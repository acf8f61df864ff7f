//! What can go wrong with an attached database. A message names the thing, the rule and what to do.

use std::path::PathBuf;
use syncline_core::model::{Kind, Rejection, counted};

/// Why something did not happen. Nothing of it was done, and nothing is lost: what was registered waits.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// A file that does not exist.
    #[error("there is no database at {}", .0.display())]
    NoDatabase(PathBuf),
    /// A mapping that is not TOML, or has keys that no mapping has.
    #[error("the mapping cannot be read: {0}")]
    Syntax(String),
    /// A mapping that does not fit the database.
    #[error("`{at}` {reason}")]
    Mapping {
        /// Where in the mapping.
        at: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A database without tables of Syncline.
    #[error("{0} is not attached; `syncline attach once` or `run` attaches it")]
    NotAttached(String),
    /// An id that is none, or another one than before.
    #[error("{0}")]
    Node(String),
    /// Triggers that somebody has dropped or changed.
    #[error(
        "changes of this database are no longer registered: {} {} missing or changed; repeat with --mend, which makes \
         the triggers again and compares every row with what was last exchanged",
        .0.join(", "), if .0.len() == 1 { "is" } else { "are" }
    )]
    Triggers(Vec<String>),
    /// Somebody else writes for too long.
    #[error("the database was locked by its application for {waited_ms} ms; nothing was done, try again later")]
    Locked {
        /// How long it was waited for.
        waited_ms: u64,
    },
    /// Rows that the application holds locked.
    #[error("the application is at it: {0}; nothing was done, try again later")]
    Busy(String),
    /// A disk without room.
    #[error("the disk of the database is full; make room and repeat: nothing was lost")]
    Full,
    /// A file or directory that may not be written to.
    #[error("the database cannot be written to: {0}; check who may use the file and its directory (`ls -l`)")]
    Rights(String),
    /// A user of a database server who may not do what is needed.
    #[error("the database refuses for want of rights: {0}; attach as the owner of the tables and of their schema")]
    Denied(String),
    /// A database server that does not answer or does not let in.
    #[error("cannot use the database at {place}: {reason}")]
    NoServer {
        /// User, host and database.
        place: String,
        /// What happened.
        reason: String,
    },
    /// Changes that would be forgotten.
    #[error("{} not reached the hub; sync first, or repeat with --force to forget them", counted(*.0, "change has", "changes have"))]
    Unsent(u64),
    /// Tables of an other format.
    #[error("the tables of Syncline in this database have format {found}; this program knows {known}: use a newer one")]
    Format {
        /// Of the database.
        found: i64,
        /// Of this program.
        known: i64,
    },
    /// Something else took the answer in meanwhile.
    #[error("another `syncline attach` works on this database at the same time; its rounds count, stop one of the two")]
    Overtaken,
    /// References that were written before their targets, which then could not be.
    #[error("objects of a packet cannot be stored as they stand together: {0}")]
    Dangling(String),
    /// A rule of the application that undoes a whole transaction for one object.
    #[error("{kind} {uuid} cannot be stored: {}", .why.reason)]
    Undone {
        /// The object's type.
        kind: String,
        /// Which object.
        uuid: String,
        /// The rule.
        why: Rejection,
    },
    /// A packet that is none, or not for this database.
    #[error("{0}")]
    Packet(String),
    /// The database refuses.
    #[error("the database refuses: {0}")]
    Database(String),
    /// An address that is none.
    #[error("`{url}` is not the address of a hub ({reason}); it should read like `https://hub.example.com`")]
    BadUrl {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No answer.
    #[error("cannot reach the hub at {url}: {reason}")]
    Unreachable {
        /// Its address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The hub does not let this node in.
    #[error("the hub does not let node {node} in: {message}; register it: syncline node add --id {node} --code CODE")]
    Unauthorized {
        /// This database's id.
        node: String,
        /// The hub's words.
        message: String,
    },
    /// The hub is busy or going down.
    #[error("the hub asks to come later: {message}")]
    Overloaded {
        /// The hub's words.
        message: String,
        /// When.
        retry_after_ms: Option<u64>,
    },
    /// The packet is larger than the hub takes.
    #[error("the hub takes no packet of this size: {0}")]
    TooLarge(String),
    /// The hub says no, and will say so again.
    #[error("the hub refuses ({status}): {message}")]
    Refused {
        /// The status.
        status: u16,
        /// Its words.
        message: String,
    },
}

impl AttachError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            AttachError::Locked { .. }
            | AttachError::Busy(_)
            | AttachError::NoServer { .. }
            | AttachError::Full
            | AttachError::Overtaken
            | AttachError::Unreachable { .. }
            | AttachError::Overloaded { .. }
            | AttachError::TooLarge(_)
            | AttachError::Database(_) => Kind::Retry,
            AttachError::Unauthorized { .. } => Kind::Reauthenticate,
            _ => Kind::Reject,
        }
    }

    pub(crate) fn mapping(at: impl Into<String>, reason: impl Into<String>) -> AttachError {
        AttachError::Mapping { at: at.into(), reason: reason.into() }
    }
}
