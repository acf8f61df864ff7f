//! Which fields of documents must be unique, and what a document has in them. A field that is absent or null is no value,
//! nor is a combination in which one is. Names are paths as in filters, through objects only: where a list stands in the
//! way, there is no value. When two values are the same, [`canonical`] says.

use super::canonical::canonical;
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
