//! When two documents have the same value in a field that must be unique.
//!
//! Texts are compared by their characters, after escapes: capitals, accents and their compositions count. Numbers are
//! compared by what they are worth, whatever their digits: `1`, `1.0` and `10e-1` are one value, `9007199254740993` and
//! `9007199254740992` are two. Lists are compared in order, objects whatever their order. A field that is absent or null
//! is no value, nor is a combination in which one is. Names are paths as in filters, through objects only: where a list
//! stands in the way, there is no value.

use crate::model::{CollectionName, DocId, Fields};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// Fields whose values, taken together, no two documents of a collection share. In JSON a path (`email`, `address.city`),
/// or a list of paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Names", into = "Names")]
pub struct UniqueKey(Vec<String>);

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "a unique key is the name of a field, or a list of names")]
enum Names {
    One(String),
    Several(Vec<String>),
}

impl From<UniqueKey> for Names {
    fn from(UniqueKey(mut names): UniqueKey) -> Names {
        if names.len() == 1 { Names::One(names.remove(0)) } else { Names::Several(names) }
    }
}

impl TryFrom<Names> for UniqueKey {
    type Error = String;

    fn try_from(names: Names) -> Result<UniqueKey, String> {
        UniqueKey::new(match names {
            Names::One(name) => vec![name],
            Names::Several(names) => names,
        })
    }
}

impl fmt::Display for UniqueKey {
    /// As sentences name it: `` `a` `` or `` `a`, `b` ``.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(|name| format!("`{name}`")).collect();
        f.write_str(&names.join(", "))
    }
}

/// A value is too long to be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// How long it is.
    pub bytes: usize,
}

impl UniqueKey {
    /// Fields that one key may combine.
    pub const FIELDS_MAX: usize = 8;
    /// Bytes of the name of a field.
    pub const NAME_BYTES_MAX: usize = 256;
    /// Bytes that a value may have, written as [`UniqueKey::value`] does.
    pub const VALUE_BYTES_MAX: usize = 1_024;

    /// Longer texts are not even looked at, whatever spaces and escapes they are made of.
    const TEXT_BYTES_MAX: usize = 16 * UniqueKey::VALUE_BYTES_MAX;

    /// A key of these fields.
    ///
    /// # Errors
    /// None or too many fields, one twice, one without a usable name, or `_id`, which is unique anyway.
    pub fn new(names: Vec<String>) -> Result<UniqueKey, String> {
        let wrong = |rule: &str| Err(format!("a unique key {rule}"));
        if names.is_empty() || names.len() > UniqueKey::FIELDS_MAX {
            return wrong("names 1 to 8 fields");
        }
        if names.iter().any(|name| name.is_empty() || name.len() > UniqueKey::NAME_BYTES_MAX) {
            return wrong("names fields of 1 to 256 bytes");
        }
        if names.iter().any(|name| name == "_id") {
            return wrong("cannot name `_id`: an id belongs to one document anyway");
        }
        if (1..names.len()).any(|n| names[..n].contains(&names[n])) {
            return wrong("names each field once");
        }
        Ok(UniqueKey(names))
    }

    /// The fields, in the order in which they were named.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// How stores name it: a JSON list.
    ///
    /// # Panics
    /// Never: names serialize.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(&self.0).expect("names serialize")
    }

    /// The value of a document as its text has it, for sentences.
    #[must_use]
    pub fn shown(&self, fields: &Fields) -> String {
        let values: Vec<&str> = self.0.iter().filter_map(|name| Some(at(fields, name)?.get())).collect();
        values.join(", ")
    }

    /// The value of a document, written so that equal values are equal texts; `None`: it has none.
    ///
    /// # Errors
    /// The value is too long to be compared.
    pub fn value(&self, fields: &Fields) -> Result<Option<String>, TooLong> {
        let mut text = String::new();
        for name in &self.0 {
            match at(fields, name) {
                Some(value) if value.get().len() > UniqueKey::TEXT_BYTES_MAX => {
                    return Err(TooLong { bytes: value.get().len() });
                }
                Some(value) => canonical(value, &mut text),
                None => return Ok(None),
            }
            text.push('\n');
        }
        text.pop();
        if text.len() > UniqueKey::VALUE_BYTES_MAX { Err(TooLong { bytes: text.len() }) } else { Ok(Some(text)) }
    }
}

/// The value at a path; `None`: there is none, or null. A field with the whole path for its name comes first.
fn at<'f>(fields: &'f Fields, path: &str) -> Option<&'f RawValue> {
    let below = || {
        let mut names = path.split('.');
        let mut value = fields.get(names.next()?)?;
        for name in names {
            let inner: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(value.get()).ok()?;
            value = inner.get(name)?;
        }
        Some(value)
    };
    fields.get(path).or_else(below).filter(|value| value.get() != "null")
}

/// One value of one key of one collection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UniqueValue {
    /// Where.
    pub collection: CollectionName,
    /// Of which fields.
    pub key: UniqueKey,
    /// As [`UniqueKey::value`] writes it.
    pub value: String,
}

impl UniqueValue {
    /// The place of a document that has it.
    #[must_use]
    pub fn at(&self, id: &DocId) -> (CollectionName, DocId) {
        (self.collection.clone(), id.clone())
    }
}

fn canonical(value: &RawValue, out: &mut String) {
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
    use crate::model::Body;

    fn key(names: &[&str]) -> UniqueKey {
        UniqueKey::new(names.iter().map(|name| (*name).to_owned()).collect()).unwrap()
    }

    fn value(names: &[&str], document: &str) -> Option<String> {
        key(names).value(&Body::trusted(document).fields()).unwrap()
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
            let text = |value| Body::trusted(format!(r#"{{"v":{value}}}"#));
            let (one, other) = (text(one), text(other));
            let key = key(&["v"]);
            assert_eq!(key.value(&one.fields()), key.value(&other.fields()), "{} {}", one.text(), other.text());
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
        let texts: std::collections::BTreeSet<_> =
            all.iter().map(|v| value(&["v"], &format!(r#"{{"v":{v}}}"#)).unwrap()).collect();
        assert_eq!(texts.len(), all.len(), "{texts:?}");
    }

    #[test]
    fn what_is_absent_or_null_is_no_value_and_one_is_enough() {
        assert_eq!(value(&["v"], "{}"), None);
        assert_eq!(value(&["v"], r#"{"v":null}"#), None);
        assert_eq!(value(&["v", "w"], r#"{"v":1}"#), None);
        assert_ne!(value(&["v", "w"], r#"{"v":"a","w":"bc"}"#), value(&["v", "w"], r#"{"v":"ab","w":"c"}"#));
    }

    #[test]
    fn a_name_with_dots_is_a_path_through_objects() {
        let city = |document| value(&["address.city"], document);
        assert_eq!(city(r#"{"address":{"zip":1,"city":"Ulm"}}"#), city(r#"{"address":{"city":"\u0055lm"}}"#));
        assert_eq!(city(r#"{"address.city":"Ulm","address":{"city":"Bern"}}"#), Some("\"Ulm\"".to_owned()));
        assert_eq!(value(&["a.b.c", "d"], r#"{"a":{"b":{"c":[1]}},"d":2.0}"#), Some("[1]\n2".to_owned()));
        for none in [r#"{"address":[{"city":"Ulm"}]}"#, r#"{"address":"Ulm"}"#, r#"{"address":{"city":null}}"#, "{}"] {
            assert_eq!(city(none), None, "{none}");
        }
        let shown = Body::trusted(r#"{"a":{"b":20},"d":"x"}"#).fields();
        assert_eq!(key(&["a.b", "d"]).shown(&shown), r#"20, "x""#);
    }

    #[test]
    fn a_long_value_is_refused_with_its_length() {
        let long = format!(r#"{{"v":"{}"}}"#, "x".repeat(1_100));
        assert_eq!(key(&["v"]).value(&Body::trusted(long).fields()), Err(TooLong { bytes: 1_102 }));
    }

    #[test]
    fn a_key_is_a_name_or_a_list_of_names() {
        let read = |text: &str| serde_json::from_str::<UniqueKey>(text);
        assert_eq!(read(r#""a""#).unwrap(), key(&["a"]));
        assert_eq!(serde_json::to_string(&read(r#"["a","b"]"#).unwrap()).unwrap(), r#"["a","b"]"#);
        for wrong in ["[]", r#"["a","a"]"#, r#""""#, r#""_id""#, "1"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
