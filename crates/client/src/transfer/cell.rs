//! Documents as CSV cells: names of columns, and typed text. The rules stand in the module's
//! description; reading and writing both go by this file.

use serde_json::{Map, Value};

/// Columns of one CSV file.
pub const COLUMNS_MAX: usize = 10_000;

/// The value of a cell; `None` when it is empty.
pub(super) fn read(cell: &str) -> Option<Value> {
    let first = cell.bytes().next()?;
    let last = cell.bytes().next_back()?;
    let may_be_json =
        matches!(first, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9') || matches!(cell, "null" | "true" | "false");
    let json = (may_be_json && !last.is_ascii_whitespace()).then(|| serde_json::from_str::<Value>(cell).ok()).flatten();
    Some(match json {
        Some(Value::Number(number)) if number.is_f64() && is_integer(cell) && cell != "-0" => Value::from(cell),
        Some(value) => value,
        None => Value::from(cell),
    })
}

/// Digits alone, which a float would round.
fn is_integer(cell: &str) -> bool {
    cell.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// The cell of a value.
pub(super) fn write(value: &Value) -> String {
    match value {
        Value::String(text) if read(text).as_ref() == Some(value) => text.clone(),
        other => other.to_string(),
    }
}

/// Asks about each column that a document has, with the value that its cell holds.
pub(super) fn each<'d>(fields: &'d Map<String, Value>, take: &mut dyn FnMut(&str, &'d Value)) {
    each_inside(fields, &mut String::new(), take);
}

/// `prefix` is what stands before the names of these fields, with its dot.
fn each_inside<'d>(fields: &'d Map<String, Value>, prefix: &mut String, take: &mut dyn FnMut(&str, &'d Value)) {
    let prefix_bytes = prefix.len();
    for (name, value) in fields {
        push_name(prefix, name);
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                prefix.push('.');
                each_inside(inner, prefix, take);
            }
            value => take(prefix, value),
        }
        prefix.truncate(prefix_bytes);
    }
}

fn push_name(column: &mut String, name: &str) {
    for letter in name.chars() {
        if matches!(letter, '.' | '\\') {
            column.push('\\');
        }
        column.push(letter);
    }
}

/// The names, outermost first, of the field that a column stands for. A backslash before anything
/// else than a dot or a backslash is part of the name.
pub(super) fn names(column: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut letters = column.chars().peekable();
    while let Some(letter) = letters.next() {
        let escaped = if letter == '\\' { letters.next_if(|next| matches!(next, '.' | '\\')) } else { None };
        match (escaped, letter) {
            (None, '.') => names.push(String::new()),
            (escaped, letter) => {
                names.last_mut().expect("there is always a name").push(escaped.unwrap_or(letter));
            }
        }
    }
    names
}

/// Puts a value at its place in a document; `false` when something else stands in the way.
pub(super) fn place(document: &mut Map<String, Value>, names: &[String], value: Value) -> bool {
    let Some((name, inner_names)) = names.split_first() else {
        return false;
    };
    if inner_names.is_empty() {
        return document.insert(name.clone(), value).is_none();
    }
    match document.entry(name.clone()).or_insert_with(|| Value::Object(Map::new())) {
        Value::Object(inner) => place(inner, inner_names, value),
        _ => false,
    }
}
