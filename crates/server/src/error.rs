//! Everything that a hub refuses or fails at, each with its kind. Dialects turn these into their
//! own wire codes, each in one function; nothing here knows HTTP.

use crate::store::StoreError;
use std::sync::Arc;
use syncline_core::model::{CollectionName, Epoch, Kind, Lsn, Malformed, NodeId, SpaceName};

/// What a token does not allow, for clients that go on with the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The request as a whole.
    Request,
    /// One of its collections.
    Collection(CollectionName),
    /// Pushing; reading is another matter.
    Writing,
    /// Reading; pushing is another matter.
    Reading,
}

/// Why a request was not served. Messages name the thing, the rule or limit, and the next step.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A value that breaks a rule of the model.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A request that cannot be read.
    #[error("{reason}")]
    BadRequest {
        /// A short, stable word.
        code: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// No valid token.
    #[error("{reason}; send `Authorization: Bearer <token>` with a token that this hub takes")]
    Unauthorized {
        /// What is wrong with the token, without telling whether it was close.
        reason: &'static str,
    },
    /// A signed token whose key may be among those that are still to be read.
    #[error(
        "the keys that tokens are signed with are being read, or cannot be read now; try again after the time in `Retry-After`"
    )]
    KeysPending,
    /// The token is valid and does not allow this.
    #[error("token `{token}` does not allow this: {missing}")]
    Forbidden {
        /// The token's name.
        token: String,
        /// The grant that is missing.
        missing: String,
        /// What of the request is refused: the rest may be asked for by itself.
        part: Denied,
    },
    /// The token is valid and allows something else than it did when it was shown.
    #[error("what the token allows has changed; ask again to go on with what it allows now")]
    RightsChanged,
    /// Nothing has this name.
    #[error("{0}")]
    NotFound(String),
    /// The path exists, the method does not.
    #[error("`{method}` is not for this path; use {allowed}")]
    Method {
        /// What was asked.
        method: String,
        /// What is allowed, as the `Allow` header lists it.
        allowed: String,
    },
    /// A name that is taken, or a batch id that was used for other content.
    #[error("{reason}")]
    Taken {
        /// A short, stable word.
        code: &'static str,
        /// What is taken and what to do.
        reason: String,
    },
    /// More than a limit allows; asking again does not help.
    #[error("{what} is over the limit of {value} (`{limit}`); {advice}")]
    TooMuch {
        /// A short, stable word.
        code: &'static str,
        /// What is too much.
        what: String,
        /// The option that sets the limit.
        limit: &'static str,
        /// Its value.
        value: usize,
        /// What to do.
        advice: &'static str,
    },
    /// The sender of a packet is not registered.
    #[error("node `{node}` is not registered in space `{space}`; register it (`syncline node add --id {node} …`)")]
    UnknownNode {
        /// The sender.
        node: NodeId,
        /// Where it was looked for.
        space: SpaceName,
    },
    /// A packet that is well formed and not for this hub, or holds what this hub does not take.
    #[error("{reason}")]
    Unfit {
        /// A short, stable word.
        code: &'static str,
        /// What does not fit and what would.
        reason: String,
    },
    /// A field of a request that is not what it has to be.
    #[error("`{field}`: {rule}")]
    Field {
        /// Its name.
        field: String,
        /// What it has to be.
        rule: String,
    },
    /// A packet of another major version.
    #[error(
        "schema_version {sent} is not supported: the hub has {supported} (`exchange.schema_version`); nothing of the packet was taken, update the older side and send it again"
    )]
    SchemaVersion {
        /// Of the packet.
        sent: String,
        /// Of the hub.
        supported: String,
    },
    /// A content coding that is not understood.
    #[error("content encoding `{0}` is not supported; send `gzip`, `zstd` or none")]
    Encoding(String),
    /// A limit of the moment is reached; the same request may succeed later.
    #[error("the hub is busy: {what} (`{limit}`); try again after the time in `Retry-After`")]
    Overloaded {
        /// What is used up or too slow.
        what: &'static str,
        /// The option that sets the limit.
        limit: &'static str,
    },
    /// A body whose sender paused or took too long. Says nothing against what it holds.
    #[error("the body did not arrive in time (`{limit}`); send it again")]
    SlowBody {
        /// The option that sets the limit.
        limit: &'static str,
    },
    /// The reader's position is not one of this log's.
    #[error("{why}: start from a snapshot and keep the outbox")]
    Resync {
        /// What is wrong with the position.
        why: String,
        /// The log's history.
        epoch: Epoch,
        /// Changes after this can be read.
        horizon: Lsn,
    },
    /// The hub is going down.
    #[error("the hub is shutting down; try again after the time in `Retry-After`")]
    Closing,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A commit failed; nothing of the push was applied. It may be repeated, whatever the reason.
    #[error("the push was not committed: {0}")]
    CommitFailed(Arc<StoreError>),
    /// What the configuration asks for cannot be done.
    #[error("{0}")]
    Config(String),
    /// A system call failed.
    #[error("{action}: {source}")]
    Io {
        /// What was being done.
        action: String,
        /// The system's own error.
        source: std::io::Error,
    },
    /// A broken invariant on this side.
    #[error("internal error: {0}; please report it with the request id")]
    Bug(String),
}

impl ServerError {
    /// What the other side should do about it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            ServerError::Unauthorized { .. } | ServerError::Forbidden { .. } => Kind::Reauthenticate,
            ServerError::Overloaded { .. }
            | ServerError::SlowBody { .. }
            | ServerError::Closing
            | ServerError::RightsChanged
            | ServerError::KeysPending
            | ServerError::CommitFailed(_)
            | ServerError::Io { .. } => Kind::Retry,
            ServerError::Resync { .. } => Kind::Resync,
            ServerError::Store(error) => error.kind(),
            ServerError::Bug(_) => Kind::Bug,
            ServerError::Malformed(_)
            | ServerError::BadRequest { .. }
            | ServerError::NotFound(_)
            | ServerError::Method { .. }
            | ServerError::Taken { .. }
            | ServerError::TooMuch { .. }
            | ServerError::UnknownNode { .. }
            | ServerError::Unfit { .. }
            | ServerError::Field { .. }
            | ServerError::SchemaVersion { .. }
            | ServerError::Encoding(_)
            | ServerError::Config(_) => Kind::Reject,
        }
    }

    /// A short, stable word for wire replies and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            ServerError::Malformed(why) => why.code(),
            ServerError::BadRequest { code, .. }
            | ServerError::Taken { code, .. }
            | ServerError::Unfit { code, .. }
            | ServerError::TooMuch { code, .. } => code,
            ServerError::Field { .. } => "malformed_field",
            ServerError::UnknownNode { .. } => "unknown_node",
            ServerError::SchemaVersion { .. } => "schema_mismatch",
            ServerError::Unauthorized { .. } => "unauthorized",
            ServerError::Forbidden { .. } => "forbidden",
            ServerError::NotFound(_) => "not_found",
            ServerError::Method { .. } => "method_not_allowed",
            ServerError::Encoding(_) => "unsupported_encoding",
            ServerError::Overloaded { .. } => "overloaded",
            ServerError::SlowBody { .. } => "slow_body",
            ServerError::Resync { .. } => "resync",
            ServerError::Closing => "shutting_down",
            ServerError::RightsChanged => "rights_changed",
            ServerError::KeysPending => "keys_pending",
            ServerError::Store(error) => error.code(),
            ServerError::CommitFailed(error) => error.code(),
            ServerError::Io { .. } => "store_failed",
            ServerError::Config(_) => "bad_configuration",
            ServerError::Bug(_) => "internal",
        }
    }

    /// Whether the same token may be accepted again at once: whoever holds it is to come back.
    #[must_use]
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, ServerError::RightsChanged | ServerError::KeysPending)
    }

    /// What the store said, where it is to blame.
    pub(crate) fn store_error(&self) -> Option<&StoreError> {
        match self {
            ServerError::Store(error) => Some(error),
            ServerError::CommitFailed(error) => Some(error),
            _ => None,
        }
    }

    /// A request that cannot be read.
    pub(crate) fn bad(code: &'static str, reason: impl Into<String>) -> ServerError {
        ServerError::BadRequest { code, reason: reason.into() }
    }
}
