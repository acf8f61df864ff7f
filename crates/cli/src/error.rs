//! What a command can fail with, what to do next, and the exit code. Every message names the thing
//! and the rule; [`CliError::next_step`] says how to go on. Secrets are never part of either.

use crate::output::Output;
use serde_json::json;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

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
            | CliError::NotJson { .. } => 2,
            CliError::File { .. } | CliError::Output(_) => 1,
        }
    }

    /// What to do next, where the message does not say it already.
    pub fn next_step(&self) -> Option<&'static str> {
        match self {
            CliError::UnknownKey { .. } | CliError::WrongValue { .. } | CliError::MissingKey { .. } => {
                Some("`syncline config` lists all keys; docs/configuration.md describes them")
            }
            _ => None,
        }
    }

    /// Tells a person, or with `--json` a program, on standard error. A reader that went away
    /// (`syncline … | head`) is nothing to tell.
    pub fn report(&self, output: Output) {
        if matches!(self, CliError::Output(source) if source.kind() == io::ErrorKind::BrokenPipe) {
            return;
        }
        let text = if output.json {
            json!({ "error": self.to_string(), "next_step": self.next_step(), "exit_code": self.exit_code() })
                .to_string()
        } else {
            let step = self.next_step().map(|step| format!("\n  next: {step}")).unwrap_or_default();
            format!("error: {self}{step}")
        };
        // Standard error that is closed can tell nobody about it.
        let _ = writeln!(io::stderr(), "{text}");
    }
}
