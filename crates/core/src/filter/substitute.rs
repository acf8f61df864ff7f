//! Makes a filter that is written once for all nodes, or all tokens, the filter of one.

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
    each_text(filter, &mut |text| match text.strip_prefix(MARK) {
        Some(name) => attributes.get(name).cloned().map(Some).ok_or_else(|| unknown(name, attributes)),
        None => Ok(None),
    })
}

/// The filter with each text value `"$NAME"` replaced by the claim NAME: `"$sub"`, or `"$org.id"` for a claim inside
/// another. A text that really begins with a dollar sign is written with two of them. Claims often repeat what users
/// chose, so one may bring in a text, a number, true, false, or a list of these, and never an operator or null. All that
/// claims bring in may have `most` bytes as JSON text: counted before it is copied, because a filter may name a long claim
/// often.
///
/// ```
/// use serde_json::json;
/// use syncline_core::filter::bind_claims;
///
/// let claims = json!({"sub": "anna", "org": {"id": 7}});
/// let filter = json!({"owner": "$sub", "org": "$org.id", "price": "$$5"});
/// let claims = claims.as_object().expect("an object");
/// assert_eq!(bind_claims(&filter, claims, 1_000)?, json!({"owner": "anna", "org": 7, "price": "$5"}));
/// # Ok::<(), syncline_core::filter::FilterError>(())
/// ```
///
/// # Errors
/// [`FilterError::MissingClaim`], [`FilterError::UnusableClaim`], [`FilterError::TooMuchOfClaims`].
pub fn bind_claims(filter: &Value, claims: &serde_json::Map<String, Value>, most: usize) -> Result<Value, FilterError> {
    let mut room = most;
    each_text(filter, &mut |text| match text.strip_prefix('$') {
        Some(rest) if rest.starts_with('$') => Ok(Some(Value::from(rest))),
        Some(name) => {
            let value = claim(name, claims)?;
            let too_much = || FilterError::TooMuchOfClaims { name: name.to_owned(), most };
            room = room.checked_sub(value.to_string().len()).ok_or_else(too_much)?;
            Ok(Some(value.clone()))
        }
        None => Ok(None),
    })
}

/// A claim by its name as written, or by the names on the way to it.
fn claim<'c>(name: &str, claims: &'c serde_json::Map<String, Value>) -> Result<&'c Value, FilterError> {
    let mut parts = name.split('.');
    let outer = parts.next().and_then(|first| claims.get(first));
    let inner = || parts.try_fold(outer?, |value, part| value.as_object()?.get(part));
    let found = claims.get(name).or_else(inner).filter(|value| !value.is_null());
    let value = found.ok_or_else(|| FilterError::MissingClaim { name: name.to_owned() })?;
    let plain = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
    if plain(value) || value.as_array().is_some_and(|list| list.iter().all(plain)) {
        Ok(value)
    } else {
        Err(FilterError::UnusableClaim { name: name.to_owned() })
    }
}

/// The filter with those text values replaced for which there is something else.
fn each_text(
    filter: &Value,
    replace: &mut dyn FnMut(&str) -> Result<Option<Value>, FilterError>,
) -> Result<Value, FilterError> {
    Ok(match filter {
        Value::String(text) => replace(text)?.unwrap_or_else(|| filter.clone()),
        Value::Array(values) => {
            values.iter().map(|value| each_text(value, replace)).collect::<Result<Vec<_>, _>>()?.into()
        }
        Value::Object(fields) => {
            let replaced = fields.iter().map(|(name, value)| Ok((name.clone(), each_text(value, replace)?)));
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
