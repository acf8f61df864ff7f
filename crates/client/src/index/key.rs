//! JSON values as bytes whose order is the total order of values (`filter/order.rs`).
//!
//! A key is a byte for the kind, then the value. No key is the beginning of another, so keys can
//! stand behind one another (sort keys), and a key that was cut at a limit can collide only with
//! others that were cut.
//!
//! | kind | bytes |
//! |---|---|
//! | null | `10` |
//! | number | `20`, ten bytes of place: the greatest float not above it, and the rest |
//! | string | `30`, UTF-8 with `00` written `00 FF`, `00 00` |
//! | object | `40`, (key as string, value) pairs by key, `00` |
//! | array | `50`, elements, `00` |
//! | boolean | `60`, `00` or `01` |
//!
//! In an index, the entry of an array as a whole begins with [`WHOLE`] instead, so that it never
//! passes for an element of another document's array.

use crate::filter::NumberKey;
use serde_json::Value;

const NULL: u8 = 0x10;
const NUMBER: u8 = 0x20;
const STRING: u8 = 0x30;
const OBJECT: u8 = 0x40;
const ARRAY: u8 = 0x50;
const BOOLEAN: u8 = 0x60;
const END: u8 = 0x00;

/// First byte of the entry of an array as a whole.
pub(crate) const WHOLE: u8 = 0x70;
/// Marks a document with more entries than an index takes: it may hold any value.
pub(crate) const ANY: [u8; 1] = [0xFE];
/// Marks a document with several values: conditions on the same path may hold for different ones.
pub(crate) const MANY: [u8; 1] = [0xFF];

/// The key of a value, cut after `bytes_max` bytes.
pub(crate) fn of_value(value: &Value, bytes_max: usize) -> Vec<u8> {
    let mut key = Vec::with_capacity(16);
    append(&mut key, value, bytes_max);
    key.truncate(bytes_max);
    key
}

/// The key of an array as a whole, cut after `bytes_max` bytes.
pub(crate) fn of_whole_array(value: &Value, bytes_max: usize) -> Vec<u8> {
    let mut key = of_value(value, bytes_max);
    key[0] = WHOLE;
    key
}

/// Bounds of all keys of the value's kind; no key equals either of them.
pub(crate) fn bounds_of_kind(value: &Value) -> (Vec<u8>, Vec<u8>) {
    let kind = kind(value);
    (vec![kind], vec![kind + 1])
}

/// Appends a value's key to others. Stops soon after `bytes_max` bytes: the caller cuts the rest.
pub(crate) fn append(key: &mut Vec<u8>, value: &Value, bytes_max: usize) {
    key.push(kind(value));
    match value {
        Value::Null => {}
        Value::Bool(bool) => key.push(u8::from(*bool)),
        Value::Number(number) => key.extend(NumberKey::of(number).bytes()),
        Value::String(text) => append_text(key, text, bytes_max),
        Value::Array(elements) => {
            for element in elements {
                if key.len() > bytes_max {
                    return;
                }
                append(key, element, bytes_max);
            }
            key.push(END);
        }
        Value::Object(fields) => {
            let mut pairs: Vec<_> = fields.iter().collect();
            pairs.sort_unstable_by_key(|(name, _)| *name);
            for (name, value) in pairs {
                if key.len() > bytes_max {
                    return;
                }
                key.push(STRING);
                append_text(key, name, bytes_max);
                append(key, value, bytes_max);
            }
            key.push(END);
        }
    }
}

fn append_text(key: &mut Vec<u8>, text: &str, bytes_max: usize) {
    for byte in text.bytes() {
        if key.len() > bytes_max {
            return;
        }
        key.push(byte);
        if byte == 0 {
            key.push(0xFF);
        }
    }
    key.extend([0, 0]);
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => NULL,
        Value::Number(_) => NUMBER,
        Value::String(_) => STRING,
        Value::Object(_) => OBJECT,
        Value::Array(_) => ARRAY,
        Value::Bool(_) => BOOLEAN,
    }
}
