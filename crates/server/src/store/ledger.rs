//! How the two sides of a conflict stand in a store: a word for the kind, and JSON text.

use serde_json::Value;
use syncline_core::merge::Values;

/// `fields`, `document` or `removal`, and the values.
pub(super) fn side(values: &Values) -> (&'static str, Option<&str>) {
    match values {
        Values::Fields(text) => ("fields", Some(text)),
        Values::Document(text) => ("document", Some(text)),
        Values::Removal => ("removal", None),
    }
}

/// Stored values as JSON; text that is none (which no writer produces) is shown as a string.
pub(super) fn json(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())))
}
