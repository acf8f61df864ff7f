//! How concurrent edits are decided.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Set per collection on the hub; where the hub sets none, the pushing client's option counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Each field keeps the value with the later stamp; a replacement writes every field.
    #[default]
    LastWriteWins,
    /// A concurrent op loses whole.
    ServerWins,
    /// A concurrent op wins whole.
    ClientWins,
    /// As last-write-wins, but a replacement counts only for the fields it changed.
    Merge,
}

impl Strategy {
    /// The name on the wire, in configuration and in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Strategy::LastWriteWins => "last-write-wins",
            Strategy::ServerWins => "server-wins",
            Strategy::ClientWins => "client-wins",
            Strategy::Merge => "merge",
        }
    }

    /// Reads [`Strategy::as_str`] back.
    #[must_use]
    pub fn parse(name: &str) -> Option<Strategy> {
        [Strategy::LastWriteWins, Strategy::ServerWins, Strategy::ClientWins, Strategy::Merge]
            .into_iter()
            .find(|s| s.as_str() == name)
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
