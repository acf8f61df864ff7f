//! Makes a filter that is written once for all nodes the filter of one node.

use super::FilterError;
use serde_json::Value;
use std::collections::BTreeMap;

/// What a text value starts with that stands for an attribute of the node.
const MARK: &str = "$node.";

/// The filter with each text value `"$node.NAME"` replaced by the attribute NAME, whatever that is: a text, a
/// number, a list for `$in`. Field names are left alone, and so is what an attribute brings in.
///
/// ```
/// use serde_json::json;
/// use syncline_core::filter::substitute;
///
/// let attributes = [("branch".to_owned(), json!("north"))].into();
/// assert_eq!(substitute(&json!({"branch": "$node.branch"}), &attributes)?, json!({"branch": "north"}));
/// # Ok::<(), syncline_core::filter::FilterError>(())
/// ```
///
/// # Errors
/// [`FilterError::UnknownAttribute`] for an attribute that the node does not have.
pub fn substitute(filter: &Value, attributes: &BTreeMap<String, Value>) -> Result<Value, FilterError> {
    Ok(match filter {
        Value::String(text) => match text.strip_prefix(MARK) {
            Some(name) => attributes.get(name).ok_or_else(|| unknown(name, attributes))?.clone(),
            None => filter.clone(),
        },
        Value::Array(values) => {
            values.iter().map(|value| substitute(value, attributes)).collect::<Result<Vec<_>, _>>()?.into()
        }
        Value::Object(fields) => {
            let replaced = fields.iter().map(|(name, value)| Ok((name.clone(), substitute(value, attributes)?)));
            Value::Object(replaced.collect::<Result<_, FilterError>>()?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => filter.clone(),
    })
}

fn unknown(name: &str, attributes: &BTreeMap<String, Value>) -> FilterError {
    let names: Vec<String> = attributes.keys().map(|name| format!("`{name}`")).collect();
    let known = if names.is_empty() { "no attributes".to_owned() } else { names.join(", ") };
    FilterError::UnknownAttribute { name: name.to_owned(), known }
}
