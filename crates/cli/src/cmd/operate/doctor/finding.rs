//! What a look at a hub finds.

use crate::error::CliError;
use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Fine,
    /// Somebody should look at it; the hub works.
    Look,
    /// Data is in danger, or the hub does not work.
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was looked at: `configuration`, `redis`, `store`, `writing`, `connections`, `transactions`, `replicas`, `disk`,
    /// `clock`, `hub`, `horizon`, `stalls`, `kept`.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub says: String,
    /// What to do.
    pub next: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn fine(check: &'static str, says: String) -> Finding {
        Finding { check, level: Level::Fine, says, next: None }
    }

    /// Somebody should look at it.
    pub fn look(check: &'static str, says: String, next: String) -> Finding {
        Finding { check, level: Level::Look, says, next: Some(next) }
    }

    /// It is wrong.
    pub fn wrong(check: &'static str, says: String, next: String) -> Finding {
        Finding { check, level: Level::Wrong, says, next: Some(next) }
    }

    /// It cannot be looked at. That may be the fault of the one who looks.
    pub fn failed(check: &'static str, error: &CliError) -> Finding {
        let level = match error {
            CliError::Refused { status: 401 | 403, .. } => Level::Look,
            _ => Level::Wrong,
        };
        Finding { check, level, says: error.to_string(), next: error.next_step() }
    }
}
