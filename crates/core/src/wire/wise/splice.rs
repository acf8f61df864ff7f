//! Small changes to JSON text: fields that a WiseJSON client expects and a document may lack.

use crate::model::{Fields, Millis, Stamp, TimeFields, Value};
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

/// Writes times as ISO text. Neighbours in a log are mostly born in the same second and changed in the
/// same second, so the calendar is asked once for each of the two.
#[derive(Clone, Debug, Default)]
pub struct IsoTimes {
    latest: Second,
    before: Second,
}

/// A second and its spelling, `2026-11-21T08:52:38.000Z`.
#[derive(Clone, Debug, Default)]
struct Second {
    number: Option<u64>,
    text: Vec<u8>,
}

impl IsoTimes {
    pub(super) fn write(&mut self, out: &mut Vec<u8>, time: Millis) {
        let (second, ms) = (time.0 / 1_000, time.0 % 1_000);
        if self.latest.number != Some(second) {
            std::mem::swap(&mut self.latest, &mut self.before);
        }
        if self.latest.number != Some(second) {
            self.latest = Second { number: Some(second), text: Millis(second * 1_000).iso().into_bytes() };
        }
        out.extend_from_slice(&self.latest.text);
        if let ([.., a, b, c, _], digit) = (&mut out[..], |n: u64| b'0' + u8::try_from(n % 10).unwrap_or(0)) {
            (*a, *b, *c) = (digit(ms / 100), digit(ms / 10), digit(ms));
        }
    }
}

/// Which times a document has of its own, and when it was born and last changed.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub own: TimeFields,
    pub born: Stamp,
    pub changed: Stamp,
}

/// Writes a document with the times that it lacks, else the client would invent some.
pub(super) fn document(out: &mut Vec<u8>, body: &str, times: Times, iso: &mut IsoTimes) {
    if times.own.created_at && times.own.updated_at {
        return out.extend_from_slice(body.as_bytes());
    }
    let open = body.trim_end().strip_suffix('}').unwrap_or(body).trim_end();
    out.extend_from_slice(open.as_bytes());
    let mut separator: &[u8] = if open.ends_with('{') { b"" } else { b"," };
    let (created, updated) = ((times.own.created_at, times.born), (times.own.updated_at, times.changed));
    for ((there, stamp), name) in [(created, r#""createdAt":""#), (updated, r#""updatedAt":""#)] {
        if !there {
            out.extend_from_slice(separator);
            out.extend_from_slice(name.as_bytes());
            iso.write(out, stamp.millis());
            out.push(b'"');
            separator = b",";
        }
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spelled_as_everywhere_else() {
        let mut times = IsoTimes::default();
        for ms in [0, 999, 1_000, 1_767_225_600_007, 1_767_225_600_070, 1_767_225_601_700, 7] {
            let mut out = Vec::new();
            times.write(&mut out, Millis(ms));
            assert_eq!(String::from_utf8(out).unwrap(), Millis(ms).iso());
        }
    }
}
