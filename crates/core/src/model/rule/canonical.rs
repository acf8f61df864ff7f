//! When two values are the same, for fields that must be unique. Texts are compared by their characters, after escapes: capitals,
//! accents and their compositions count. Numbers are compared by what they are worth, whatever their digits: `1`, `1.0`
//! and `10e-1` are one value, `9007199254740993` and `9007199254740992` are two. Lists are compared in order, objects
//! whatever their order.

use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Writes a value so that equal values are equal texts.
pub(super) fn canonical(value: &RawValue, out: &mut String) {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'"') => {
            let plain: String = serde_json::from_str(text).unwrap_or_else(|_| text.to_owned());
            out.push_str(&serde_json::to_string(&plain).expect("text serializes"));
        }
        Some(b'{') => {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap_or_default();
            out.push('{');
            for (n, (name, value)) in fields.into_iter().enumerate() {
                out.push_str(if n > 0 { "," } else { "" });
                out.push_str(&serde_json::to_string(&name).expect("text serializes"));
                out.push(':');
                canonical(value, out);
            }
            out.push('}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
            out.push('[');
            for (n, item) in items.into_iter().enumerate() {
                out.push_str(if n > 0 { "," } else { "" });
                canonical(item, out);
            }
            out.push(']');
        }
        Some(b'-' | b'0'..=b'9') => number(text, out),
        _ => out.push_str(text),
    }
}

/// A number as its digits without the zeros around them, and the power of ten that they are to be taken by.
fn number(text: &str, out: &mut String) {
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, power) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let Ok(power) = power.parse::<i64>() else { return out.push_str(text) };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: String = [whole, part].concat();
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return out.push('0');
    }
    let trailing = digits.len() - digits.trim_end_matches('0').len();
    let shift = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let power = power.saturating_sub(shift(part.len())).saturating_add(shift(trailing));
    out.push_str(sign);
    out.push_str(significant);
    if power != 0 {
        out.push('e');
        out.push_str(&power.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &str) -> String {
        let mut text = String::new();
        canonical(&RawValue::from_string(value.to_owned()).unwrap(), &mut text);
        text
    }

    #[test]
    fn equal_values_are_equal_texts_however_they_are_written() {
        for (one, other) in [
            ("1", "1.0"),
            ("1", "10e-1"),
            ("100", "1E+2"),
            ("0", "-0.0"),
            ("-2.50", "-25e-1"),
            (r#""A""#, r#""\u0041""#),
            (r#"{"a":1,"b":2}"#, r#"{ "b":2.0, "a":1 }"#),
            ("[1, 2]", "[1.0,2]"),
            ("true", "true"),
        ] {
            assert_eq!(written(one), written(other), "{one} {other}");
        }
    }

    #[test]
    fn different_values_stay_different() {
        let all = [
            "1",
            "\"1\"",
            "10",
            "0.1",
            "-1",
            "9007199254740993",
            "9007199254740992",
            "\"a\"",
            "\"A\"",
            "\"ä\"",
            "\"a\u{308}\"",
            "[1,2]",
            "[2,1]",
            "[[1],2]",
            "{\"a\":1}",
            "true",
            "false",
            "\"true\"",
            "1e400",
            "2e400",
        ];
        let texts: std::collections::BTreeSet<_> = all.iter().map(|value| written(value)).collect();
        assert_eq!(texts.len(), all.len(), "{texts:?}");
    }
}
