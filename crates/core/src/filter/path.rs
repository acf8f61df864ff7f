//! How a dotted path finds values in a document.
//!
//! Filters, sort orders and indexes all resolve paths here, so that they agree on what a document
//! holds. Every array is followed in one way only, so a walk visits each part of a document at most
//! once.

use super::FilterError;
use super::limits::{PATH_BYTES_MAX, PATH_SEGMENTS_MAX};
use serde_json::Value;
use std::fmt;

/// Where a value stands in a document: names and positions between dots.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    text: String,
    segments: Vec<String>,
}

impl Path {
    /// Reads a path. Any text is one, because any text can be a key.
    ///
    /// # Errors
    /// [`FilterError::PathTooLong`] above [`PATH_BYTES_MAX`] or [`PATH_SEGMENTS_MAX`].
    pub fn new(text: &str) -> Result<Path, FilterError> {
        let segments: Vec<String> = text.split('.').take(PATH_SEGMENTS_MAX + 1).map(str::to_owned).collect();
        if text.len() > PATH_BYTES_MAX || segments.len() > PATH_SEGMENTS_MAX {
            return Err(FilterError::PathTooLong { shown: text.chars().take(40).collect() });
        }
        Ok(Path { text: text.to_owned(), segments })
    }

    /// The path as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names between the dots.
    #[must_use]
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// The names of the top-level fields by which a walk can begin.
    #[must_use]
    pub fn top_level_names(&self) -> [&str; 2] {
        [&self.text, self.segments.first().unwrap_or(&self.text)]
    }

    /// Asks `test` about each value where the path ends, until it says yes. `None` stands for a
    /// place where the path should go on and the document has nothing. Nothing is asked where the
    /// path runs into an array without objects.
    pub fn any_leaf<'d>(&self, document: &'d Value, test: &mut dyn FnMut(Option<&'d Value>) -> bool) -> bool {
        match document.get(&self.text) {
            Some(literal) => test(Some(literal)),
            None => any_leaf(document, &self.segments, test),
        }
    }

    /// Like [`Path::any_leaf`]; where the path ends at an array, also asks about each element.
    pub fn any_value<'d>(&self, document: &'d Value, test: &mut dyn FnMut(Option<&'d Value>) -> bool) -> bool {
        self.any_leaf(document, &mut |leaf| {
            test(leaf) || leaf.and_then(Value::as_array).is_some_and(|elements| elements.iter().any(|e| test(Some(e))))
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn any_leaf<'d>(value: &'d Value, segments: &[String], test: &mut dyn FnMut(Option<&'d Value>) -> bool) -> bool {
    let Some((first, rest)) = segments.split_first() else {
        return test(Some(value));
    };
    match value {
        Value::Object(fields) => match fields.get(first) {
            Some(inner) => any_leaf(inner, rest, test),
            None => test(None),
        },
        Value::Array(elements) => match position(first).and_then(|at| elements.get(at)) {
            Some(element) => any_leaf(element, rest, test),
            None => elements.iter().filter(|e| e.is_object()).any(|e| any_leaf(e, segments, test)),
        },
        _ => test(None),
    }
}

/// The position that a segment names: digits without a leading zero.
fn position(segment: &str) -> Option<usize> {
    let plain = segment.bytes().all(|b| b.is_ascii_digit()) && (segment == "0" || !segment.starts_with('0'));
    if plain { segment.parse().ok() } else { None }
}
