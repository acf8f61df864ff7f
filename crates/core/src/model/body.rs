//! A document as JSON text. The text is checked once, on the way in, and spliced unchanged into
//! every reply after that; only its top-level fields are ever taken apart, as text, so numbers and
//! spelling survive every merge.

use super::{DocId, Limits, Malformed, Millis};
use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

/// One JSON value as text.
pub type Value = Box<RawValue>;

/// The text of a JSON object. Two are equal when their texts are.
#[derive(Clone, Debug)]
pub struct Body {
    text: Arc<str>,
    /// Read once, at the latest when first asked for.
    facts: OnceLock<Facts>,
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Body {}

/// What Syncline itself reads of a document's top level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `_id` when it is a string, or a number written as one.
    pub id: Option<String>,
    /// `createdAt`, when it is a time.
    pub created_at: Option<Millis>,
    /// `updatedAt`, when it is a time.
    pub updated_at: Option<Millis>,
    /// Which of the fields about time are there at all.
    pub times: TimeFields,
    /// When the document expires, from `expireAt`, or else `createdAt` and `ttl` (milliseconds).
    pub expires: Option<Millis>,
}

/// Which of the fields about time a document has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeFields {
    /// Whether it has `createdAt`. Null counts as missing.
    pub created_at: bool,
    /// Whether it has `updatedAt`. Null counts as missing.
    pub updated_at: bool,
    /// Whether it has `expireAt` or `ttl`. Null counts: an earlier version may have named a time.
    pub lifetime: bool,
}

impl Body {
    /// Checks that the text is one JSON object within the limits and takes it over.
    ///
    /// # Errors
    /// [`Malformed`] naming the document and the limit or the place.
    pub fn parse(text: &str, limits: &Limits) -> Result<(Body, Facts), Malformed> {
        if !text.trim_ascii_start().starts_with('{') {
            return Err(Malformed::json("document", "must be an object"));
        }
        let facts = Facts::read(text).map_err(|e| Malformed::json("document", e))?;
        check_size(text, limits, || named(facts.id.as_deref()))?;
        Ok((Body { text: text.into(), facts: OnceLock::from(facts.clone()) }, facts))
    }

    /// Checks size and nesting of text that is a JSON object; `id`: the document that an error is to name.
    ///
    /// # Errors
    /// [`Malformed::TooBig`] naming the document and the limit.
    pub fn check(text: &str, id: &str, limits: &Limits) -> Result<(), Malformed> {
        check_size(text, limits, || named(Some(id)))
    }

    /// The same of what is no document of a known id; `what`: its name in an error.
    ///
    /// # Errors
    /// [`Malformed::TooBig`].
    pub fn check_other(text: &str, limits: &Limits, what: impl Fn() -> String) -> Result<(), Malformed> {
        check_size(text, limits, what)
    }

    /// Takes over text that an earlier check vouches for.
    #[must_use]
    pub fn trusted(text: impl Into<Arc<str>>) -> Body {
        Body { text: text.into(), facts: OnceLock::new() }
    }

    /// Takes over text that was stored, which a disk or another program may have damaged.
    ///
    /// # Errors
    /// [`Malformed`]: the text is no JSON object any more.
    pub fn stored(text: impl Into<Arc<str>>) -> Result<Body, Malformed> {
        let text = text.into();
        let what = "its stored text";
        if !text.trim_ascii_start().starts_with('{') {
            return Err(Malformed::json(what, "it must be an object"));
        }
        let facts = Facts::read(&text).map_err(|e| Malformed::json(what, e))?;
        Ok(Body { text, facts: OnceLock::from(facts) })
    }

    /// A document of an id and fields, none of which is `_id`.
    ///
    /// # Panics
    /// Never: names and raw values always serialize.
    #[must_use]
    pub fn of_fields<'a>(id: &str, fields: impl Iterator<Item = (&'a str, &'a RawValue)> + Clone) -> Body {
        let bytes: usize = fields.clone().map(|(name, value)| name.len() + value.get().len() + 4).sum();
        let mut text = Vec::with_capacity(bytes + id.len() + 16);
        let mut top = Top::default();
        text.extend_from_slice(br#"{"_id":"#);
        put_json(&mut text, id);
        for (name, value) in fields {
            top.note(name, value);
            text.push(b',');
            put_json(&mut text, name);
            text.push(b':');
            text.extend_from_slice(value.get().as_bytes());
        }
        text.push(b'}');
        let text = String::from_utf8(text).expect("JSON is UTF-8").into();
        Body { text, facts: OnceLock::from(Facts { id: Some(id.to_owned()), ..Facts::of(&top) }) }
    }

    /// The JSON text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The top-level fields, in their order.
    ///
    /// # Panics
    /// When the text is not a JSON object, which the constructors exclude.
    #[must_use]
    pub fn fields(&self) -> Fields {
        serde_json::from_str(&self.text).expect("a body is a JSON object")
    }

    /// What Syncline itself reads of the document.
    ///
    /// # Panics
    /// When the text is not a JSON object, which the constructors exclude.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        self.facts.get_or_init(|| Facts::read(&self.text).expect("a body is a JSON object"))
    }
}

fn put_json(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("text serializes into memory");
}

/// Size and nesting of a document's text.
fn named(id: Option<&str>) -> String {
    let id = id.and_then(|id| DocId::new(id).ok());
    id.map_or_else(|| "a document without a usable id".to_owned(), |id| format!("document `{id}`"))
}

fn check_size(text: &str, limits: &Limits, what: impl Fn() -> String) -> Result<(), Malformed> {
    let refuse = |measure, actual, limit, name| Err(Malformed::TooBig { what: what(), measure, actual, limit, name });
    if text.len() > limits.document_bytes {
        return refuse("has this many bytes:", text.len(), limits.document_bytes, "limits.document_bytes");
    }
    let deepest = limits.depth.min(Limits::DEPTH_MAX);
    // Most documents have fewer brackets than they may nest deep, and counting is quick.
    let brackets = text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if brackets <= deepest {
        return Ok(());
    }
    match nesting(text) {
        depth if depth > deepest => refuse("nests this deep:", depth, deepest, "limits.depth"),
        _ => Ok(()),
    }
}

/// The deepest nesting of brackets outside strings.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The fields that Syncline itself reads.
#[derive(Default, Deserialize)]
struct Top<'a> {
    #[serde(rename = "_id", borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(rename = "createdAt", borrow, default)]
    created_at: Option<&'a RawValue>,
    #[serde(rename = "updatedAt", borrow, default)]
    updated_at: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    ttl: Option<&'a RawValue>,
    #[serde(rename = "expireAt", borrow, default, deserialize_with = "even_null")]
    expire_at: Option<&'a RawValue>,
}

impl<'a> Top<'a> {
    /// Takes a field in as if it had been read.
    fn note(&mut self, name: &str, value: &'a RawValue) {
        let there = (value.get() != "null").then_some(value);
        match name {
            "createdAt" => self.created_at = there,
            "updatedAt" => self.updated_at = there,
            "ttl" => self.ttl = Some(value),
            "expireAt" => self.expire_at = Some(value),
            _ => {}
        }
    }
}

impl Facts {
    fn read(text: &str) -> Result<Facts, serde_json::Error> {
        serde_json::from_str(text).map(|top| Facts::of(&top))
    }

    fn of(top: &Top<'_>) -> Facts {
        let created_at = top.created_at.and_then(time_of);
        Facts {
            id: top.id.and_then(id_of),
            created_at,
            updated_at: top.updated_at.and_then(time_of),
            times: TimeFields {
                created_at: top.created_at.is_some(),
                updated_at: top.updated_at.is_some(),
                lifetime: top.ttl.or(top.expire_at).is_some(),
            },
            expires: expiry(top.expire_at, top.ttl, created_at),
        }
    }
}

/// A field that is there, whatever its value; an `Option` alone takes null for a missing one.
fn even_null<'de, D: Deserializer<'de>>(field: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(field).map(Some)
}

fn id_of(raw: &RawValue) -> Option<String> {
    match raw.get().as_bytes().first()? {
        b'"' => serde_json::from_str(raw.get()).ok(),
        b'0'..=b'9' | b'-' => Some(raw.get().to_owned()),
        _ => None,
    }
}

/// A time as an ISO string, or as milliseconds. A day begins in UTC, as JavaScript has it.
fn time_of(raw: &RawValue) -> Option<Millis> {
    match string_of(raw) {
        Some(text) if text.len() == "2026-11-21".len() => Millis::parse(&format!("{text}T00:00:00Z")),
        Some(text) => Millis::parse(&text),
        None => millis(raw.get().parse().ok()?),
    }
}

/// Milliseconds as a number, or as the text of one.
fn duration_of(raw: &RawValue) -> Option<Millis> {
    let text = string_of(raw).unwrap_or(Cow::Borrowed(raw.get()));
    millis(text.trim().parse().ok()?)
}

fn string_of(raw: &RawValue) -> Option<Cow<'_, str>> {
    if raw.get().starts_with('"') { serde_json::from_str(raw.get()).ok() } else { None }
}

/// What is negative is long over: no later than 1970.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn millis(number: f64) -> Option<Millis> {
    (number < 1e15).then_some(Millis(number.max(0.0) as u64))
}

/// `expireAt` alone decides when it is there and not null; an unparsable one means "alive".
fn expiry(expire_at: Option<&RawValue>, ttl: Option<&RawValue>, created_at: Option<Millis>) -> Option<Millis> {
    match expire_at.filter(|raw| raw.get() != "null") {
        Some(raw) => time_of(raw),
        None => Some(Millis(created_at?.0 + duration_of(ttl?)?.0)),
    }
}

/// The top-level fields of a document, in their order, each value as text.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fields(IndexMap<String, Value>);

impl Fields {
    /// The value of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.get(name).map(AsRef::as_ref)
    }

    /// Sets a field, in place when it exists, else at the end.
    pub fn set(&mut self, name: &str, value: Value) {
        match self.0.get_mut(name) {
            Some(old) => *old = value,
            None => drop(self.0.insert(name.to_owned(), value)),
        }
    }

    /// Takes a field away.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name)
    }

    /// Keeps the fields for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.0.retain(|name, _| keep(name));
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> + Clone {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_ref()))
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Back to a document.
    #[must_use]
    pub fn to_body(&self) -> Body {
        Body::trusted(self.to_text())
    }

    /// Back to text.
    ///
    /// # Panics
    /// Never: names and raw values always serialize.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("fields serialize")
    }
}

impl<S: Into<String>> FromIterator<(S, Value)> for Fields {
    fn from_iter<T: IntoIterator<Item = (S, Value)>>(iter: T) -> Self {
        Fields(iter.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.iter().all(|(name, value)| other.get(name).is_some_and(|v| v.get() == value.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(text: &str) -> Facts {
        Body::parse(text, &Limits::default()).unwrap().1
    }

    #[test]
    fn expiry_follows_expire_at_then_ttl() {
        assert_eq!(facts(r#"{"expireAt":5000}"#).expires, Some(Millis(5000)));
        assert_eq!(facts(r#"{"expireAt":"1970-01-01T00:00:07Z"}"#).expires, Some(Millis(7000)));
        assert_eq!(facts(r#"{"expireAt":"never","ttl":1,"createdAt":1}"#).expires, None);
        assert_eq!(
            facts(r#"{"expireAt":null,"ttl":5,"createdAt":"1970-01-01T00:00:01Z"}"#).expires,
            Some(Millis(1005))
        );
        assert_eq!(facts(r#"{"ttl":5}"#).expires, None);
    }

    #[test]
    fn odd_lifetimes_are_read_as_foreign_clients_read_them() {
        let expires = |fields: &str| facts(&format!(r#"{{"createdAt":"1970-01-01T00:00:01Z",{fields}}}"#)).expires;
        for (fields, at) in [
            (r#""ttl":"5""#, 1005),
            (r#""ttl":" 5e0 ""#, 1005),
            (r#""ttl":-5"#, 1000),
            (r#""expireAt":-1"#, 0),
            (r#""expireAt":"1970-01-02""#, 86_400_000),
        ] {
            assert_eq!(expires(fields), Some(Millis(at)), "{fields}");
        }
        // The last one is another moment on every device.
        for fields in
            [r#""ttl":null"#, r#""ttl":"x""#, r#""ttl":{}"#, r#""ttl":1e300"#, r#""expireAt":"1970-01-02T00:00:00""#]
        {
            assert_eq!(expires(fields), None, "{fields}");
        }
    }

    #[test]
    fn a_lifetime_that_was_called_off_is_still_known() {
        let lifetime = |text| facts(text).times.lifetime;
        assert!(lifetime(r#"{"ttl":5}"#) && lifetime(r#"{"expireAt":null}"#) && lifetime(r#"{"ttl":null,"a":1}"#));
        assert!(!lifetime(r#"{"createdAt":null,"a":{"ttl":5}}"#));
    }

    #[test]
    fn of_fields_is_known_what_would_be_read_of_the_document() {
        for fields in [
            r#"{"createdAt":"1970-01-01T00:00:01Z","ttl":5,"updatedAt":7,"a":{"ttl":1}}"#,
            r#"{"createdAt":null,"updatedAt":null,"expireAt":null,"ttl":9}"#,
            r#"{"expireAt":"1970-01-02","createdAt":"never"}"#,
            "{}",
        ] {
            let made = Body::of_fields("x \"1\"", Body::trusted(fields).fields().iter());
            assert_eq!(made.facts(), Body::trusted(made.text()).facts(), "{fields}");
        }
    }

    #[test]
    fn only_an_object_is_a_document() {
        for text in ["[1]", "[]", "7", "null", "\"x\"", ""] {
            assert!(Body::parse(text, &Limits::default()).is_err(), "{text}");
        }
    }

    #[test]
    fn nesting_ignores_brackets_in_strings() {
        let limits = Limits { depth: 2, ..Limits::default() };
        assert!(Body::parse(r#"{"a":["[[[{{{\"]"]}"#, &limits).is_ok());
        let deep = Body::parse(r#"{"_id":"x","a":[[1]]}"#, &limits).unwrap_err();
        assert!(deep.to_string().contains("`x`") && deep.to_string().contains("limits.depth"), "{deep}");
        let boundless = Limits { depth: usize::MAX, ..limits };
        let text = format!(r#"{{"_id":"x","a":{}{}}}"#, "[".repeat(Limits::DEPTH_MAX), "]".repeat(Limits::DEPTH_MAX));
        assert!(Body::parse(&text, &boundless).is_err(), "deeper than readers can follow");
    }

    #[test]
    fn fields_keep_spelling_and_order() {
        let body = Body::trusted(r#"{"b":1.50,"a":12345678901234567890123,"b2":"\u00e9"}"#);
        assert_eq!(body.fields().to_body().text(), body.text());
    }
}
