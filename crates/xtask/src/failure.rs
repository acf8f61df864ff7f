//! Why a command stopped, as the person at the terminal reads it.
//!
//! Owns the wording. Must never decide what to run next.

use std::fmt;

/// What went wrong, with the next step.
#[derive(Debug)]
pub enum Failure {
    /// The command line makes no sense; the text says what would.
    Usage(String),
    /// A program could not be started.
    CannotRun {
        /// The command line.
        command: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A program ran and failed.
    StepFailed {
        /// The step as announced.
        step: String,
        /// What to type to see it again.
        command: String,
    },
    /// The machine lacks something that set-up may not or cannot install.
    Missing {
        /// What is not there.
        what: String,
        /// What to type to get it.
        command: String,
    },
    /// Style rules are broken; each has been printed.
    Untidy(usize),
    /// A file or an answer of cargo or git is not what it has to be.
    Unreadable {
        /// Which one.
        what: String,
        /// In what way.
        reason: String,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(advice) => f.write_str(advice),
            Self::CannotRun { command, source } => write!(f, "cannot start `{command}`: {source}"),
            Self::StepFailed { step, command } => write!(f, "{step} failed. To see it again: {command}"),
            Self::Missing { what, command } => write!(f, "{what} is missing. To install it: {command}"),
            Self::Untidy(1) => f.write_str("1 style rule is broken (above). To check again: cargo xtask tidy"),
            Self::Untidy(n) => write!(f, "{n} style rules are broken (above). To check again: cargo xtask tidy"),
            Self::Unreadable { what, reason } => write!(f, "{what} cannot be used: {reason}"),
        }
    }
}
