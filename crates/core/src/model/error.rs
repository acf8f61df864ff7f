//! What is wrong with a value, and what its sender can do about it.

use std::error::Error as StdError;
use std::iter::successors;
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
    #[error("{what} {measure} {actual}; the limit is {limit} (`{name}`)")]
    TooBig {
        /// What it is, e.g. ``document `u1` ``.
        what: String,
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
        Malformed::Json { what: what.into(), reason: plain_words(reason.to_string()) }
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

/// How many there are of something, with its words for one and for more: `1 edit`, `2 edits`.
#[must_use]
pub fn counted(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// The words of the innermost cause: what happened, where the outer ones name an address that the reader knows.
#[must_use]
pub fn innermost(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// An error's words with those of its causes.
#[must_use]
pub fn with_causes(error: &(dyn StdError + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn causes<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    successors(Some(error), |&error| error.source())
}

/// A parser's words without its own names of things.
#[must_use]
pub fn plain_words(text: String) -> String {
    if let Some(place) = text.strip_prefix("EOF while parsing ").and_then(|rest| rest.split_once(" at ")) {
        return format!("the text ends in the middle of {}, at {}", in_words(place.0), place.1);
    }
    let wrong = text.strip_prefix("invalid type: ").or_else(|| text.strip_prefix("invalid value: "));
    let Some((found, rest)) = wrong.and_then(|wrong| wrong.split_once(", expected ")) else { return text };
    let (expected, place) = match rest.rsplit_once(" at line ") {
        Some((expected, place)) => (expected, format!(" at line {place}")),
        None => (rest, String::new()),
    };
    format!("{} stands where {} is expected{place}", in_words(found), in_words(expected))
}

fn in_words(kind: &str) -> &str {
    match kind {
        "sequence" | "a sequence" => "a list",
        "map" | "a map" => "an object",
        "unit" => "null",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more,",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        _ if kind.starts_with("struct ") => "an object",
        _ if kind.starts_with("tuple struct ") || kind.starts_with("newtype struct ") => "a value of another kind",
        other => other,
    }
}
