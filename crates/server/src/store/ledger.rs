//! How the two sides of a conflict stand in a store: a word for the kind, and JSON text.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt;
use syncline_core::merge::Values;
use syncline_core::model::{Body, Malformed};

/// JSON as it was written: numbers and spelling stay.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// A value that is JSON already.
    #[must_use]
    pub fn of(value: &RawValue) -> Json {
        Json(value.to_owned())
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.text() == "null"
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Json) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Json {}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// `fields`, `document` or `removal`, and the values.
pub(super) fn side(values: &Values) -> (&'static str, Option<&str>) {
    match values {
        Values::Fields(text) => ("fields", Some(text)),
        Values::Document(text) => ("document", Some(text)),
        Values::Removal => ("removal", None),
    }
}

/// Back again.
///
/// # Errors
/// The text is no JSON object any more.
pub(super) fn values(kind: &str, text: Option<&str>) -> Result<Values, Malformed> {
    let checked = |text: &str| Body::stored(text).map(|body| body.text().to_owned());
    Ok(match (kind, text) {
        ("fields", Some(text)) => Values::Fields(checked(text)?),
        ("document", Some(text)) => Values::Document(checked(text)?),
        _ => Values::Removal,
    })
}

/// Stored values as JSON; text that is none (which no writer produces) is shown as a string.
pub(super) fn json(text: Option<&str>) -> Json {
    let Some(text) = text else { return Json(RawValue::NULL.to_owned()) };
    let quoted = || serde_json::value::to_raw_value(text).expect("text serializes");
    Json(RawValue::from_string(text.to_owned()).unwrap_or_else(|_| quoted()))
}
