//! What can be wrong with the way to a database.

/// A URL that leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct UrlError {
    /// What is wrong, without a password.
    pub place: String,
    /// Why, and what would be right.
    pub reason: String,
}
