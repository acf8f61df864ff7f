//! From what an app hands in to the text that is stored: ids, times, limits, merge patches
//! (step 1 of the life of a change). Knows no storage.

use crate::error::{Error, Result};
use crate::text;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use syncline_core::model::{Body, CollectionName, DocId, Fields, Limits, Malformed, Millis};
use uuid::Uuid;

/// A document ready to be stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prepared {
    /// Its id.
    pub id: DocId,
    /// Its text.
    pub text: String,
    /// When it expires.
    pub expires: Option<Millis>,
}

/// What an edit made of a document.
#[derive(Clone, Debug)]
pub(crate) struct Edited {
    /// The text afterwards.
    pub text: String,
    /// When it expires.
    pub expires: Option<Millis>,
    /// Fields with new values.
    pub set: Fields,
    /// Fields that went away.
    pub unset: BTreeSet<String>,
}

/// How documents are prepared.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    /// What a document may weigh.
    pub limits: &'a Limits,
    /// Whether `createdAt` and `updatedAt` are kept.
    pub timestamps: bool,
    /// The time.
    pub now: Millis,
}

/// A new document: gets an `_id` (a UUID of version 7, as text) and times where it has none.
pub(crate) fn new(value: &mut Value, rules: Rules<'_>) -> Result<Prepared> {
    let found = kind(value);
    let fields = value.as_object_mut().ok_or(Error::NotAnObject { found })?;
    let id = match fields.get("_id") {
        Some(Value::String(id)) => DocId::new(id)?,
        Some(other) => return Err(Error::IdNotText { found: kind(other) }),
        None => {
            let id = Uuid::now_v7().to_string();
            fields.insert("_id".to_owned(), Value::String(id.clone()));
            DocId::new(id)?
        }
    };
    if rules.timestamps {
        for name in ["createdAt", "updatedAt"] {
            if !fields.contains_key(name) {
                fields.insert(name.to_owned(), Value::String(rules.now.iso()));
            }
        }
    }
    let (text, expires) = written(fields, &id, rules.limits)?;
    Ok(Prepared { id, text, expires })
}

/// The document `old` after an RFC 7396 merge patch, as whole top-level fields. `None`: no field differs.
pub(crate) fn patched(
    collection: &CollectionName,
    (id, old): (&DocId, &str),
    patch: &Value,
    rules: Rules<'_>,
) -> Result<Option<Edited>> {
    let patch = patch.as_object().ok_or(Error::NotAnObject { found: kind(patch) })?;
    let mut fields = stored((collection, id), old)?;
    let (mut set, mut unset) = (Fields::default(), BTreeSet::new());
    for (name, value) in patch {
        if name == "_id" && value.as_str() != Some(id.as_str()) {
            return Err(Error::IdChanged { collection: collection.clone(), id: id.clone() });
        }
        if value.is_null() {
            if fields.remove(name).is_some() {
                unset.insert(name.clone());
            }
        } else if name != "_id" {
            let new = merged(fields.get(name), value);
            if fields.get(name).map(RawValue::get) != Some(new.get()) {
                fields.set(name, new.clone());
                set.set(name, new);
            }
        }
    }
    edited(fields, set, unset, patch.contains_key("updatedAt"), rules)
}

/// The document `old` with some of its top-level fields set to these very values, null among them, and
/// others taken away. `None`: no field differs.
pub(crate) fn assigned(
    collection: &CollectionName,
    (id, old): (&DocId, &str),
    (new, gone): (&Fields, &BTreeSet<String>),
    rules: Rules<'_>,
) -> Result<Option<Edited>> {
    let mut fields = stored((collection, id), old)?;
    let (mut set, mut unset) = (Fields::default(), BTreeSet::new());
    for (name, value) in new.iter().filter(|(name, _)| *name != "_id") {
        if fields.get(name).map(RawValue::get) != Some(value.get()) {
            fields.set(name, value.to_owned());
            set.set(name, value.to_owned());
        }
    }
    for name in gone.iter().filter(|name| *name != "_id") {
        if fields.remove(name).is_some() {
            unset.insert(name.clone());
        }
    }
    edited(fields, set, unset, new.get("updatedAt").is_some(), rules)
}

/// The fields of a document as it stands in the file.
fn stored((collection, id): (&CollectionName, &DocId), text: &str) -> Result<Fields> {
    Body::stored(text).map(|body| body.fields()).map_err(|why| Error::damaged(Some(collection), id, why))
}

/// What setting and taking away has made of the fields; `dated`: the edit brings its own `updatedAt`.
fn edited(
    mut fields: Fields,
    mut set: Fields,
    unset: BTreeSet<String>,
    dated: bool,
    rules: Rules<'_>,
) -> Result<Option<Edited>> {
    if set.is_empty() && unset.is_empty() {
        return Ok(None);
    }
    if rules.timestamps && !dated {
        let now = raw(&Value::String(rules.now.iso()));
        fields.set("updatedAt", now.clone());
        set.set("updatedAt", now);
    }
    let body = fields.to_body();
    let expires = checked(&body, rules.limits)?;
    Ok(Some(Edited { text: body.text().to_owned(), expires, set, unset }))
}

/// The document `old` replaced by `value`; `set` and `unset` are what differs. Keeps `createdAt`.
pub(crate) fn replaced(
    collection: &CollectionName,
    (id, old): (&DocId, &str),
    value: &mut Value,
    rules: Rules<'_>,
) -> Result<Edited> {
    let found = kind(value);
    let new = value.as_object_mut().ok_or(Error::NotAnObject { found })?;
    match new.get("_id") {
        Some(given) if given.as_str() != Some(id.as_str()) => {
            return Err(Error::IdChanged { collection: collection.clone(), id: id.clone() });
        }
        Some(_) => {}
        None => drop(new.shift_insert(0, "_id".to_owned(), Value::String(id.as_str().to_owned()))),
    }
    // Nothing of a damaged text stands in the way of a whole document.
    let before = stored((collection, id), old).unwrap_or_default();
    if rules.timestamps {
        if let (false, Some(created)) = (new.contains_key("createdAt"), before.get("createdAt")) {
            new.insert("createdAt".to_owned(), parsed(created));
        }
        if !new.contains_key("updatedAt") {
            new.insert("updatedAt".to_owned(), Value::String(rules.now.iso()));
        }
    }
    let (text, expires) = written(new, id, rules.limits)?;
    let after = Body::trusted(text.as_str()).fields();
    let differs = |name: &str, value: &RawValue| before.get(name).map(RawValue::get) != Some(value.get());
    let set = after.iter().filter(|(n, v)| differs(n, v)).map(|(n, v)| (n, v.to_owned())).collect();
    let unset = before.iter().filter(|(n, _)| after.get(n).is_none()).map(|(n, _)| n.to_owned()).collect();
    Ok(Edited { text, expires, set, unset })
}

/// A patch on one field: objects are merged, everything else is replaced.
fn merged(old: Option<&RawValue>, patch: &Value) -> Box<RawValue> {
    if !patch.is_object() {
        return raw(patch);
    }
    let mut value = old.map_or(Value::Null, parsed);
    merge(&mut value, patch);
    raw(&value)
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            fields.shift_remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// The text of a document within the limits, and when it expires.
fn written(fields: &Map<String, Value>, id: &DocId, limits: &Limits) -> Result<(String, Option<Millis>)> {
    let text = serde_json::to_string(fields).expect("JSON values serialize");
    let depth = 1 + fields.values().map(depth).max().unwrap_or(0);
    let broken = |measure, actual, limit, name| Malformed::TooBig {
        what: format!("document `{id}`"),
        measure,
        actual,
        limit,
        name,
    };
    if text.len() > limits.document_bytes {
        let limit = limits.document_bytes;
        return Err(broken("has this many bytes:", text.len(), limit, "limits.document_bytes").into());
    }
    if depth > limits.depth {
        return Err(broken("nests this deep:", depth, limits.depth, "limits.depth").into());
    }
    let may_expire = fields.contains_key("ttl") || fields.contains_key("expireAt");
    let expires = if may_expire { Body::trusted(text.as_str()).facts().expires } else { None };
    Ok((text, expires))
}

fn checked(body: &Body, limits: &Limits) -> Result<Option<Millis>> {
    Ok(Body::parse(body.text(), limits)?.1.expires)
}

/// Levels of arrays and objects in a value.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(elements) => 1 + elements.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn raw(value: &Value) -> Box<RawValue> {
    to_raw_value(value).expect("JSON values serialize")
}

fn parsed(raw: &RawValue) -> Value {
    text::read(raw.get()).expect("a raw value is JSON")
}

/// What a value is, for messages.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rules(limits: &Limits) -> Rules<'_> {
        Rules { limits, timestamps: false, now: Millis(0) }
    }

    fn patch(old: &str, patch: Value) -> Option<Edited> {
        let (collection, id) = (CollectionName::new("c").unwrap(), DocId::new("x").unwrap());
        patched(&collection, (&id, old), &patch, rules(&Limits::default())).unwrap()
    }

    #[test]
    fn a_patch_becomes_whole_top_level_fields() {
        let old = r#"{"_id":"x","a":{"p":1,"q":2},"b":1.50,"c":3}"#;
        let edited = patch(old, json!({"a": {"p": null, "r": 4}, "c": null, "d": null})).unwrap();
        assert_eq!(edited.text, r#"{"_id":"x","a":{"q":2,"r":4},"b":1.50}"#, "untouched numbers keep their spelling");
        assert_eq!(edited.set.to_body().text(), r#"{"a":{"q":2,"r":4}}"#);
        assert_eq!(edited.unset, BTreeSet::from(["c".to_owned()]));
    }

    #[test]
    fn a_patch_that_changes_nothing_is_none() {
        assert!(patch(r#"{"_id":"x","a":1}"#, json!({"a": 1, "b": null, "_id": "x"})).is_none());
    }

    #[test]
    fn limits_name_the_document_and_the_option() {
        let limits = Limits { depth: 2, ..Limits::default() };
        let error = new(&mut json!({"_id": "deep", "a": [[1]]}), rules(&limits)).unwrap_err().to_string();
        assert!(error.contains("`deep`") && error.contains("limits.depth"), "{error}");
    }

    #[test]
    fn an_id_must_be_text() {
        let error = new(&mut json!({"_id": 7}), rules(&Limits::default())).unwrap_err().to_string();
        assert!(error.contains("`_id` must be a string"), "{error}");
    }
}
