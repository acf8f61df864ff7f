//! A stored document as the clients of the dialect know it, and how two of them are the same.

use super::javascript::{deep_equal, double};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The document under its `id`; a field `id` that somebody else gave it is not shown. `None`: no reader of JSON can
/// read it (a number without end).
#[must_use]
pub fn document_of(body: &str) -> Option<Value> {
    let mut stored: Map<String, Value> = serde_json::from_str(&readable(body)).ok()?;
    let id = stored.shift_remove("_id")?;
    stored.shift_remove("id");
    let mut shown = Map::with_capacity(stored.len() + 1);
    shown.insert("id".to_owned(), id);
    shown.extend(stored);
    Some(Value::Object(shown))
}

/// JSON that every reader takes, as clients show it: half of a character, which is what JavaScript leaves where it cuts
/// a text, reads as U+FFFD.
#[must_use]
pub fn readable(text: &str) -> Cow<'_, str> {
    if !text.contains("\\ud") && !text.contains("\\uD") {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let len = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => 12,
            (Some(0xd800..0xe000), _) => {
                out.push('\u{fffd}');
                rest = &escape[6..];
                continue;
            }
            // What follows a backslash is no escape of its own.
            _ => 1 + escape[1..].chars().next().map_or(0, char::len_utf8),
        };
        out.push_str(&escape[..len]);
        rest = &escape[len..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The UTF-16 unit that an escape at the beginning of a text stands for.
fn unit(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

/// Whether two stored documents are the same for a client.
#[must_use]
pub fn same_document(left: &str, right: &str) -> bool {
    left == right || document_of(left).zip(document_of(right)).is_some_and(|(left, right)| deep_equal(&left, &right))
}

/// The same for documents that are equal for a client, so that what it echoes is known by it; below 2^53, so that
/// JavaScript holds it. Not to be stored: it may differ from one build to the next.
#[must_use]
pub fn digest(document: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    add(document, &mut hasher);
    hasher.finish() >> 11
}

fn add(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Null => 0u8.hash(hasher),
        Value::Bool(flag) => (1u8, flag).hash(hasher),
        Value::Number(number) => (2u8, (double(number) + 0.0).to_bits()).hash(hasher),
        Value::String(text) => (3u8, text).hash(hasher),
        Value::Array(list) => {
            let fields = list.iter().enumerate().map(|(n, value)| (n.to_string(), value));
            add_fields(fields, list.len(), hasher);
        }
        Value::Object(fields) => {
            add_fields(fields.iter().map(|(name, value)| (name.as_str(), value)), fields.len(), hasher);
        }
    }
}

/// Whatever their order.
fn add_fields<'a, N: Hash>(fields: impl Iterator<Item = (N, &'a Value)>, len: usize, hasher: &mut DefaultHasher) {
    let field = |(name, value): (N, &Value)| {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        add(value, &mut hasher);
        hasher.finish()
    };
    (4u8, len, fields.map(field).fold(0u64, u64::wrapping_add)).hash(hasher);
}
