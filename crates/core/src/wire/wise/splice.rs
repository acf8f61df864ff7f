//! Small changes to JSON text: fields that a WiseJSON client expects and a document may lack.

use crate::model::{Fields, Millis, Stamp, Value};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A time as JSON text.
pub(super) fn iso(time: Millis) -> Value {
    string(&time.iso())
}

/// Text as a JSON string.
pub(super) fn string(text: &str) -> Value {
    serde_json::value::to_raw_value(text).expect("text is a JSON value")
}

/// A document of a transaction with the fields that its client filled in only in memory.
pub(super) fn completed(mut fields: Fields, derived: impl Fn() -> String, time: Option<Millis>) -> Fields {
    // What JavaScript takes for false counts as missing.
    let missing = |raw: Option<&RawValue>| raw.is_none_or(|r| matches!(r.get(), "null" | "false" | "0" | "\"\""));
    if missing(fields.get("_id")) {
        fields.set("_id", string(&derived()));
    }
    for name in ["createdAt", "updatedAt"] {
        if let (true, Some(time)) = (missing(fields.get(name)), time) {
            fields.set(name, iso(time));
        }
    }
    fields
}

/// When a document without times of its own was born and last changed.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub born: Stamp,
    pub changed: Stamp,
}

/// Writes a document; `lacking`: with the times that it lacks, else the client would invent some.
pub(super) fn document(out: &mut Vec<u8>, body: &str, lacking: Option<Times>) {
    let Some(times) = lacking else { return out.extend_from_slice(body.as_bytes()) };
    #[derive(Deserialize)]
    struct Top<'a> {
        #[serde(rename = "createdAt", borrow, default)]
        created_at: Option<&'a RawValue>,
        #[serde(rename = "updatedAt", borrow, default)]
        updated_at: Option<&'a RawValue>,
    }
    let top: Result<Top<'_>, _> = serde_json::from_str(body);
    let (created, updated) = top.map_or((true, true), |top| (top.created_at.is_some(), top.updated_at.is_some()));
    let open = body.trim_end().strip_suffix('}').unwrap_or(body).trim_end();
    out.extend_from_slice(open.as_bytes());
    let mut first = open.ends_with('{');
    for (there, name, stamp) in [(created, "createdAt", times.born), (updated, "updatedAt", times.changed)] {
        if !there {
            out.extend_from_slice(if first { b"\"" } else { b",\"" });
            out.extend_from_slice(format!("{name}\":\"{}\"", stamp.millis().iso()).as_bytes());
            first = false;
        }
    }
    out.push(b'}');
}
