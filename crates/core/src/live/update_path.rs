//! Ways into a document: names between dots, through objects and places of lists.

use super::matching::place;
use super::{LIST_GAP_MAX, Unreadable};
use serde_json::{Map, Value};

/// What becomes of a way that leads through nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Objects are made on it.
    IsMade,
    /// It ends there.
    Ends,
}

/// A value in place of another; `None`: none.
type Become<'a> = &'a dyn Fn(Option<&Value>) -> Option<Value>;

/// Changes the value at the end of a way. `false`: the way broke off and was not made. A way through text, numbers or
/// truth values leads nowhere and changes nothing.
///
/// # Errors
/// [`Unreadable::ListGap`].
pub(super) fn change(
    document: &mut Map<String, Value>,
    path: &str,
    missing: Missing,
    becomes: Become<'_>,
) -> Result<bool, Unreadable> {
    let Some((first, rest)) = path.split_once('.') else { return Ok(field(document, path, becomes)) };
    if document.get(first).is_none_or(Value::is_null) {
        if missing == Missing::Ends {
            return Ok(false);
        }
        put(document, first, Value::Object(Map::new()));
    }
    let inner = document.get_mut(first).expect("it is there, or was just made");
    inside(inner, rest, missing, becomes)
}

fn inside(value: &mut Value, path: &str, missing: Missing, becomes: Become<'_>) -> Result<bool, Unreadable> {
    match value {
        Value::Object(fields) => change(fields, path, missing, becomes),
        Value::Array(list) => in_list(list, path, missing, becomes),
        // None of them has a field: a way that goes on behind it breaks off.
        _ => Ok(missing == Missing::IsMade || !path.contains('.')),
    }
}

fn in_list(list: &mut Vec<Value>, path: &str, missing: Missing, becomes: Become<'_>) -> Result<bool, Unreadable> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    // Other names are kept by no JSON text.
    let Some(place) = place(first) else { return Ok(missing == Missing::IsMade || rest.is_none()) };
    if place > list.len() + LIST_GAP_MAX {
        return Err(Unreadable::ListGap { place });
    }
    let there = list.get(place).is_some_and(|value| rest.is_none() || !value.is_null());
    if !there && missing == Missing::Ends {
        return Ok(rest.is_none());
    }
    if place >= list.len() {
        list.resize(place + 1, Value::Null);
    }
    let slot = &mut list[place];
    match rest {
        Some(rest) => {
            if slot.is_null() {
                *slot = Value::Object(Map::new());
            }
            inside(slot, rest, missing, becomes)
        }
        None => {
            // A place without an element is written as null.
            *slot = becomes(there.then_some(&*slot)).unwrap_or(Value::Null);
            Ok(true)
        }
    }
}

/// Changes a field by its plain name.
pub(super) fn field(fields: &mut Map<String, Value>, name: &str, becomes: Become<'_>) -> bool {
    match becomes(fields.get(name)) {
        Some(value) => put(fields, name, value),
        None => drop(fields.shift_remove(name)),
    }
    true
}

/// Sets a field, in place where it is there.
pub(super) fn put(fields: &mut Map<String, Value>, name: &str, value: Value) {
    match fields.get_mut(name) {
        Some(old) => *old = value,
        None => drop(fields.insert(name.to_owned(), value)),
    }
}
