//! How JavaScript compares and spells JSON values. `None` is JavaScript's `undefined`.

use serde_json::{Number, Value};
use std::cmp::Ordering;

/// Deep equality: numbers as doubles, objects whatever the order of their fields. As in JavaScript, a list is an
/// object whose fields are its places, so `[]` equals `{}`.
#[must_use]
pub fn deep_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(l), Value::Number(r)) => double(l) == double(r),
        (Value::Array(l), Value::Array(r)) => l.len() == r.len() && l.iter().zip(r).all(|(l, r)| deep_equal(l, r)),
        (Value::Object(l), Value::Object(r)) => {
            l.len() == r.len() && l.iter().all(|(key, l)| r.get(key).is_some_and(|r| deep_equal(l, r)))
        }
        (Value::Array(list), Value::Object(fields)) | (Value::Object(fields), Value::Array(list)) => {
            let place = |(n, value): (usize, &Value)| fields.get(&n.to_string()).is_some_and(|f| deep_equal(f, value));
            list.len() == fields.len() && list.iter().enumerate().all(place)
        }
        _ => left == right,
    }
}

/// `left <=> right` as `<` and `>` see it; `None`: neither holds, nor do `<=` and `>=`.
pub(super) fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (primitive(left), primitive(right)) {
        (Primitive::Text(l), Primitive::Text(r)) => Some(l.encode_utf16().cmp(r.encode_utf16())),
        (l, r) => l.number().partial_cmp(&r.number()),
    }
}

/// `String(value)`.
pub(super) fn text(value: Option<&Value>) -> String {
    match value {
        None => "undefined".to_owned(),
        Some(Value::Null) => "null".to_owned(),
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Number(number)) => number_text(number),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(list)) => {
            let element = |value: &Value| if value.is_null() { String::new() } else { text(Some(value)) };
            list.iter().map(element).collect::<Vec<_>>().join(",")
        }
        Some(Value::Object(_)) => "[object Object]".to_owned(),
    }
}

/// Whether `if (value)` goes on.
pub(super) fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => double(number) != 0.0,
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// `number + operand`.
pub(super) fn add(number: f64, operand: &Value) -> Value {
    match primitive(operand) {
        Primitive::Text(text) => Value::String(spelled(number) + &text),
        Primitive::Number(other) => json(number + other),
    }
}

/// `number * operand`.
pub(super) fn multiply(number: f64, operand: &Value) -> Value {
    json(number * primitive(operand).number())
}

pub(super) fn double(number: &Number) -> f64 {
    number.as_f64().expect("a JSON number is an i64, a u64 or an f64")
}

/// A number as `JSON.stringify` writes it; what is no number is null there.
pub(super) fn json(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[allow(clippy::cast_possible_truncation)] // checked: a whole number of at most 54 bits
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// A number as JavaScript spells it, which is how a number becomes an id.
#[must_use]
pub fn number_text(number: &Number) -> String {
    spelled(double(number))
}

fn spelled(number: f64) -> String {
    let magnitude = number.abs();
    if number == 0.0 {
        "0".to_owned()
    } else if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
    } else if (1e-6..1e21).contains(&magnitude) {
        number.to_string()
    } else {
        let text = format!("{number:e}");
        if magnitude < 1.0 { text } else { text.replace('e', "e+") }
    }
}

/// What is left of a value where a number or a text is needed.
enum Primitive {
    Text(String),
    Number(f64),
}

fn primitive(value: &Value) -> Primitive {
    match value {
        Value::Null => Primitive::Number(0.0),
        Value::Bool(flag) => Primitive::Number(f64::from(u8::from(*flag))),
        Value::Number(number) => Primitive::Number(double(number)),
        Value::String(_) | Value::Array(_) | Value::Object(_) => Primitive::Text(text(Some(value))),
    }
}

impl Primitive {
    fn number(&self) -> f64 {
        match self {
            Primitive::Number(number) => *number,
            Primitive::Text(text) => number_of(text),
        }
    }
}

/// `Number(text)`.
fn number_of(text: &str) -> f64 {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let radix = |digits: &str, radix: u32| {
        let valid = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        let digit = |sum: f64, c: char| sum * f64::from(radix) + f64::from(c.to_digit(radix).unwrap_or(0));
        if valid { digits.chars().fold(0.0, digit) } else { f64::NAN }
    };
    match text.get(..2) {
        Some("0x" | "0X") => return radix(&text[2..], 16),
        Some("0o" | "0O") => return radix(&text[2..], 8),
        Some("0b" | "0B") => return radix(&text[2..], 2),
        _ => {}
    }
    match text {
        "" => 0.0,
        "Infinity" | "+Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        // Rust also reads words like `inf` and `nan`.
        _ if text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) => {
            text.parse().unwrap_or(f64::NAN)
        }
        _ => f64::NAN,
    }
}
