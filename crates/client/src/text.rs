//! Stored texts into values (step 10 of the life of a change). Never changes what is stored.
//!
//! The hub passes on every text that is JSON by its grammar. That includes two things that no Rust value
//! can hold: halves of surrogate pairs (other languages make them when they cut a string in two)
//! and numbers beyond a double. One such document must not make its whole collection unreadable, so
//! these places, and no others, are read as the nearest value.

use serde::de::DeserializeOwned;

/// A stored text as a value.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    read_with(text, |text| serde_json::from_str(text))
}

/// Reads a text, or, when that fails, the nearest one that can be read.
pub(crate) fn read_with<T>(text: &str, mut read: impl FnMut(&str) -> serde_json::Result<T>) -> serde_json::Result<T> {
    read(text).or_else(|_| read(&nearest(text)))
}

/// The text with `\ufffd` for halves of surrogate pairs and the largest doubles for larger numbers.
fn nearest(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string(rest, &mut out),
            '-' | '0'..='9' => number(rest, &mut out),
            other => {
                out.push(other);
                other.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    out
}

/// Copies the string that `rest` begins with; how long it was.
fn string(rest: &str, out: &mut String) -> usize {
    let mut at = 1;
    out.push('"');
    while let Some(next) = rest[at..].chars().next() {
        let length = match (next, unit(&rest[at..])) {
            (_, Some(0xD800..=0xDBFF)) if matches!(unit(&rest[at + 6..]), Some(0xDC00..=0xDFFF)) => 12,
            (_, Some(0xD800..=0xDFFF)) => {
                out.push_str("\\ufffd");
                at += 6;
                continue;
            }
            ('\\', _) => 1 + rest[at + 1..].chars().next().map_or(0, char::len_utf8),
            _ => next.len_utf8(),
        };
        out.push_str(&rest[at..at + length]);
        at += length;
        if next == '"' {
            break;
        }
    }
    at
}

/// The number in a `\uXXXX` at the start.
fn unit(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

/// Copies the number that `rest` begins with; how long it was.
fn number(rest: &str, out: &mut String) -> usize {
    let length = rest.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E')).unwrap_or(rest.len());
    match rest[..length].parse::<f64>() {
        Ok(value) if value.is_infinite() => {
            out.push_str(if value > 0.0 { "1.7976931348623157e308" } else { "-1.7976931348623157e308" });
        }
        _ => out.push_str(&rest[..length]),
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_no_value_can_hold_is_read_as_the_nearest_one() {
        let text =
            r#"{"cut":"a\ud83d","tail":"\ude00b","both":"\ud83d\ude00","\udbff":1,"deep":[1e400,-1e400],"n":12}"#;
        let read: Value = read(text).unwrap();
        assert_eq!(
            read,
            json!({ "cut": "a\u{fffd}", "tail": "\u{fffd}b", "both": "😀", "\u{fffd}": 1,
                    "deep": [f64::MAX, f64::MIN], "n": 12 })
        );
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for text in
            [r#""\\ud83d""#, r#""\"\\\" 1e999 ä😀""#, "[-0,1E5,12345678901234567890]", r#""\ud83d"#, "\"\\", "\"\\u12"]
        {
            let nearest = nearest(text);
            assert!(nearest == text || text == r#""\ud83d"#, "{text} {nearest}");
        }
        assert!(read::<Value>("{\"a\":").is_err());
    }
}
