//! Query parameters, read once.

use crate::error::ServerError;
use axum::extract::Query as Pairs;
use axum::http::Uri;
use std::fmt::Display;
use std::str::FromStr;

/// The parameters of a request; of repeated ones the first counts.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query string. What is not UTF-8 is replaced, and so never matches a name.
    #[must_use]
    pub fn parse(text: &str) -> Query {
        if text.is_empty() {
            return Query::default();
        }
        let uri = Uri::builder().path_and_query(format!("/?{text}")).build().ok();
        Query(uri.and_then(|uri| Pairs::try_from_uri(&uri).ok()).map(|Pairs(pairs)| pairs).unwrap_or_default())
    }

    /// The text of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The names that are given.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// A parameter that is a value of `T`; absent: the default.
    ///
    /// # Errors
    /// [`ServerError::BadRequest`] saying what would be right.
    pub fn read<T: FromStr>(&self, name: &str, default: T, rule: impl Display) -> Result<T, ServerError> {
        match self.get(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| malformed(name, text, rule)),
        }
    }
}

/// The refusal of a parameter.
pub(super) fn malformed(name: &str, text: &str, rule: impl Display) -> ServerError {
    let shown: String = text.chars().take(40).collect();
    ServerError::bad("malformed_query", format!("`{name}={shown}`: {name} must be {rule}"))
}
