//! What is wrong with a value, and what its sender can do about it.

use thiserror::Error;

/// What the other side should do about an error. Each dialect maps these to its own codes once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The same request may succeed later.
    Retry,
    /// Another token is needed.
    Reauthenticate,
    /// The reader's position is gone: start from a snapshot, keep the outbox.
    Resync,
    /// The same request will never succeed.
    Reject,
    /// A broken invariant on this side.
    Bug,
}

/// A value that breaks a rule of the model. The message names the thing, the rule and the limit.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// An identifier of the wrong form.
    #[error("{what} `{shown}` {rule}")]
    Id {
        /// Which identifier.
        what: &'static str,
        /// Its text, cut to a readable length.
        shown: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// Not JSON, or not the JSON that is expected here.
    #[error("{what}: {reason}")]
    Json {
        /// What was being read, e.g. `ops[3].doc`.
        what: String,
        /// The parser's own words.
        reason: String,
    },
    /// JSON in which one element is missing or not what it must be.
    #[error("`{at}` {rule}")]
    Element {
        /// Where, e.g. `body.entities[3].uuid`.
        at: String,
        /// What it must be.
        rule: String,
    },
    /// A document over a limit.
    #[error("document `{id}` {measure} {actual}; the limit is {limit} (`{name}`)")]
    TooBig {
        /// The document, or `?` when its id is not known yet.
        id: String,
        /// `has this many bytes:` or `nests this deep:`.
        measure: &'static str,
        /// What it has.
        actual: usize,
        /// What it may have.
        limit: usize,
        /// The option that sets the limit.
        name: &'static str,
    },
}

impl Malformed {
    /// An identifier of the wrong form; for the message long texts are cut and control characters escaped.
    #[must_use]
    pub fn id(what: &'static str, text: &str, rule: &'static str) -> Malformed {
        let mut shown = String::new();
        for c in text.chars().take(40) {
            if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
        }
        if text.chars().nth(40).is_some() {
            shown.push('…');
        }
        Malformed::Id { what, shown, rule }
    }

    /// Text that is not the JSON that is expected here.
    #[must_use]
    pub fn json(what: impl Into<String>, reason: impl ToString) -> Malformed {
        Malformed::Json { what: what.into(), reason: reason.to_string() }
    }

    /// An element that is missing or not what it must be.
    #[must_use]
    pub fn element(at: impl Into<String>, rule: impl Into<String>) -> Malformed {
        Malformed::Element { at: at.into(), rule: rule.into() }
    }

    /// A short, stable word for wire replies.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Malformed::Id { .. } => "malformed_id",
            Malformed::Json { .. } => "malformed_json",
            Malformed::Element { .. } => "malformed_element",
            Malformed::TooBig { name: "limits.depth", .. } => "too_deep",
            Malformed::TooBig { .. } => "document_too_large",
        }
    }
}
