//! What people write as JSON objects: bodies of administration, filters in arguments. Stricter than JSON itself, because
//! of two readings the milder one must never be taken: a name that stands twice in an object, and a list where an object
//! belongs, are refused.

use crate::model::Malformed;
use serde::de::{self, DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// Reads a value from the text of an object; `what` is how messages call it.
///
/// # Errors
/// Not JSON, not an object, a name twice in one object, or not what `T` takes.
pub fn read<T: DeserializeOwned>(what: &str, text: &[u8]) -> Result<T, Malformed> {
    let found = match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') | None => None,
        Some(b'[') => Some("a list"),
        Some(b'"') => Some("a text"),
        Some(_) => Some("something else"),
    };
    if let Some(found) = found {
        return Err(Malformed::json(what, format!("{found} stands where a JSON object is expected")));
    }
    let wrong = |error: serde_json::Error| Malformed::json(what, error);
    serde_json::from_slice::<Once>(text).map_err(wrong)?;
    serde_json::from_slice(text).map_err(wrong)
}

/// For fields that hold objects: a list in the order of their fields is none.
///
/// # Errors
/// Not an object, or not what `T` takes.
pub fn field<'de, D: Deserializer<'de>, T: DeserializeOwned>(value: D) -> Result<T, D::Error> {
    let fields = serde_json::Map::<String, Value>::deserialize(value)?;
    serde_json::from_value(Value::Object(fields)).map_err(de::Error::custom)
}

/// Any JSON in which no object says a name twice.
struct Once;

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Once, D::Error> {
        value.deserialize_any(Once)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = Once;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Once, A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if names.contains(&name) {
                let shown: String = name.chars().take(40).collect();
                return Err(de::Error::custom(format_args!("`{shown}` stands twice in one object; which one counts?")));
            }
            names.insert(name);
            map.next_value::<Once>()?;
        }
        Ok(Once)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Once, A::Error> {
        while list.next_element::<Once>()?.is_some() {}
        Ok(Once)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_str<E>(self, _: &str) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_unit<E>(self) -> Result<Once, E> {
        Ok(Once)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rows {
        #[serde(default)]
        rows: BTreeMap<String, Value>,
        #[serde(default)]
        bytes: u64,
    }

    fn said(text: &str) -> String {
        read::<Rows>("the body", text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn an_object_is_read_and_everything_else_is_refused_in_plain_words() {
        let rows: Rows = read("the body", br#" {"rows": {"a": {"b": [1, {"b": null}]}}, "bytes": 7}"#).unwrap();
        assert_eq!((rows.rows.len(), rows.bytes), (1, 7));
        for (text, words) in [
            ("[]", "the body: a list stands where a JSON object is expected"),
            (r#"["a"]"#, "a list stands"),
            (r#""rows""#, "a text stands"),
            ("7", "a JSON object is expected"),
            ("", "the text ends in the middle of a value, at line 1"),
            (r#"{"rows": []}"#, "a list stands where an object is expected at line 1"),
            (r#"{"bytes": "x"}"#, r#"string "x" stands where a whole number, 0 or more, is expected"#),
            (r#"{"other": 1}"#, "unknown field `other`"),
            (r#"{"rows": {"a": {}, "a": {"b": 1}}}"#, "`a` stands twice in one object"),
            (r#"{"rows": {"a": {"$and": [{"b": 1, "b": 2}]}}}"#, "`b` stands twice in one object"),
            (r#"{"bytes": 1, "\u0062ytes": 2}"#, "`bytes` stands twice"),
        ] {
            assert!(said(text).contains(words), "{text}: {}", said(text));
        }
    }
}
