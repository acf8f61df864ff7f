//! Values of the configuration: from text or number to a checked value, and back to text that a
//! person reads. Knows nothing of where a value came from.

use super::keys::Kind;
use serde_json::json;
use syncline_core::model::{Limits, SpaceName};

/// A checked value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing sets it.
    Unset,
    /// Text, path, name, word.
    Text(String),
    /// Bytes, milliseconds or a plain count.
    Number(u64),
    /// Texts.
    List(Vec<String>),
}

impl Value {
    /// For people; what is secret becomes `(hidden)`.
    pub fn show(&self, kind: Kind) -> String {
        match (self, kind) {
            (Value::Unset, _) => "–".into(),
            (_, Kind::Secret) => "(hidden)".into(),
            (Value::Text(text), _) => text.clone(),
            (Value::Number(n), Kind::Bytes) => show_bytes(*n),
            (Value::Number(n), Kind::Millis | Kind::Duration) => show_millis(*n),
            (Value::Number(n), _) => n.to_string(),
            (Value::List(items), _) => items.join(", "),
        }
    }

    /// For programs; what is secret becomes `"(hidden)"`.
    pub fn json(&self, kind: Kind) -> serde_json::Value {
        match (self, kind) {
            (Value::Unset, _) => serde_json::Value::Null,
            (_, Kind::Secret) => json!("(hidden)"),
            (Value::Text(text), _) => json!(text),
            (Value::Number(n), Kind::Duration) => json!(show_millis(*n)),
            (Value::Number(n), _) => json!(n),
            (Value::List(items), _) => json!(items),
        }
    }
}

/// Reads a value of a variable or flag, or a text of the file.
pub fn read(kind: Kind, text: &str) -> Option<Value> {
    let text = text.trim();
    match kind {
        Kind::Text | Kind::Secret | Kind::Path => (!text.is_empty()).then(|| Value::Text(text.to_owned())),
        Kind::Name => SpaceName::new(text).ok().map(|name| Value::Text(name.to_string())),
        Kind::Choice(words) => words.contains(&text).then(|| Value::Text(text.to_owned())),
        Kind::Count => text.parse().ok().filter(|n| *n > 0).map(Value::Number),
        Kind::Whole => text.parse().ok().map(Value::Number),
        Kind::Switch => matches!(text, "true" | "false").then(|| Value::Text(text.to_owned())),
        Kind::Depth => depth(text.parse().ok()?).map(Value::Number),
        Kind::Bytes => read_bytes(text).map(Value::Number),
        Kind::Millis => read_unit(text, DURATIONS, 1).filter(|n| *n > 0).map(Value::Number),
        Kind::Duration => read_millis(text).map(Value::Number),
        Kind::List => list(text).map(Value::List),
    }
}

/// `a,b`, or a list as the file has it: `["a", "b"]`. What has one bracket or a quote only is neither.
fn list(text: &str) -> Option<Vec<String>> {
    if text.starts_with('[') && text.ends_with(']') {
        let table: toml::Table = format!("list = {text}").parse().ok()?;
        let items = table.get("list")?.as_array()?;
        return items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
    }
    let items: Vec<&str> = text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
    let odd = |item: &&str| item.starts_with(['[', '"', '\'']) || item.ends_with(['"', '\'']);
    if items.iter().any(odd) { None } else { Some(items.into_iter().map(str::to_owned).collect()) }
}

/// A depth within what every reader can follow.
pub fn depth(number: u64) -> Option<u64> {
    (1..=Limits::DEPTH_MAX as u64).contains(&number).then_some(number)
}

/// Milliseconds of a text such as `30d`, `12h`, `90s` or `1500ms`.
pub fn read_millis(text: &str) -> Option<u64> {
    read_unit(text.trim(), DURATIONS, 1).filter(|ms| *ms > 0 && !text.trim().ends_with(|c: char| c.is_ascii_digit()))
}

/// Bytes of a text such as `65536` or `64 KiB`.
pub fn read_bytes(text: &str) -> Option<u64> {
    read_unit(text.trim(), BYTES, 1).filter(|bytes| *bytes > 0)
}

/// One day in milliseconds.
const DAY_MS: u64 = 86_400_000;

const DURATIONS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", DAY_MS), ("w", 7 * DAY_MS)];

const BYTES: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// A whole number with a unit behind it; without one it counts in `plain`.
fn read_unit(text: &str, units: &[(&str, u64)], plain: u64) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim();
    let factor = match unit {
        "" => plain,
        _ => units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
    };
    number.checked_mul(factor)
}

/// `64 MiB` for round numbers, else the plain number.
fn show_bytes(bytes: u64) -> String {
    [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
        .into_iter()
        .find(|(size, _)| bytes >= *size && bytes.is_multiple_of(*size))
        .map_or_else(|| format!("{bytes} B"), |(size, unit)| format!("{} {unit}", bytes / size))
}

/// `15s` for round numbers, else milliseconds.
pub fn show_millis(ms: u64) -> String {
    DURATIONS[1..5]
        .iter()
        .rev()
        .find(|(_, size)| ms >= *size && ms.is_multiple_of(*size))
        .map_or_else(|| format!("{ms}ms"), |(unit, size)| format!("{}{unit}", ms / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_read_with_and_without_units() {
        assert_eq!(read(Kind::Bytes, "64 MiB"), Some(Value::Number(64 << 20)));
        assert_eq!(read(Kind::Bytes, "123"), Some(Value::Number(123)));
        assert_eq!(read(Kind::Millis, "15s"), Some(Value::Number(15_000)));
        assert_eq!(read(Kind::Duration, "2w"), Some(Value::Number(14 * DAY_MS)));
        assert_eq!(read_millis("30d"), Some(30 * DAY_MS));
        for (kind, wrong) in [
            (Kind::Bytes, "-1"),
            (Kind::Millis, "soon"),
            (Kind::Duration, "15"),
            (Kind::Count, "0"),
            (Kind::Depth, "101"),
        ] {
            assert_eq!(read(kind, wrong), None, "{wrong}");
        }
        assert_eq!(read_millis("30"), None, "an expiry needs its unit");
    }

    #[test]
    fn a_list_is_read_with_commas_or_as_in_the_file() {
        let of = |items: &[&str]| Some(Value::List(items.iter().map(ToString::to_string).collect()));
        for text in ["a, b", r#"["a", "b"]"#, "['a','b']"] {
            assert_eq!(read(Kind::List, text), of(&["a", "b"]), "{text}");
        }
        assert_eq!(read(Kind::List, "[]"), of(&[]));
        for wrong in ["[a, b]", r#""a","b""#, r#"["a","#, "[1]", "'a'"] {
            assert_eq!(read(Kind::List, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for (kind, number) in
            [(Kind::Bytes, 64 << 20), (Kind::Bytes, 1_000), (Kind::Millis, 1_500), (Kind::Duration, 90 * DAY_MS)]
        {
            let value = Value::Number(number);
            assert_eq!(read(kind, &value.show(kind)), Some(value));
        }
    }
}
