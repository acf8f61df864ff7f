//! Values of columns and values of JSON, one to one (steps 2 and 9 of the life of a change). Knows no table and no row.
//!
//! What was read from JSON is compared with what a column holds as the column would hold it, so that a number's spelling
//! or a time's zone is no change.

mod array;

use crate::catalogue::Affinity;
use crate::mapping::Form;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt::Write;
use syncline_core::model::Value;

/// What stands in one column of one row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
    /// Text that is not UTF-8. Rows with it are not exchanged.
    Garbled,
}

impl Cell {
    /// A number that Syncline itself has written; other cells count as zero.
    pub(crate) fn number(&self) -> i64 {
        match self {
            Cell::Integer(number) => *number,
            _ => 0,
        }
    }

    /// A text that Syncline itself has written; other cells count as none.
    pub(crate) fn into_text(self) -> Option<String> {
        match self {
            Cell::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Bytes, for which JSON has no form of its own.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bytes {
    base64: String,
}

/// A value as JSON.
pub(crate) fn to_json(form: Form, cell: &Cell) -> Value {
    match (form, cell) {
        (_, Cell::Null | Cell::Garbled) => raw("null"),
        (Form::Boolean, Cell::Integer(0)) => raw("false"),
        (Form::Boolean, Cell::Integer(1)) => raw("true"),
        (Form::Text, Cell::Integer(number)) => text(&number.to_string()),
        (Form::Text, Cell::Real(number)) => text(&number.to_string()),
        (Form::Json, Cell::Text(json)) => RawValue::from_string(json.clone()).unwrap_or_else(|_| text(json)),
        (Form::Decimal, Cell::Text(number)) if looks_like_number(number) => {
            RawValue::from_string(number.clone()).unwrap_or_else(|_| text(number))
        }
        (Form::Array | Form::TextArray, Cell::Text(array)) => {
            array::to_json(array, form == Form::TextArray).unwrap_or_else(|| text(array))
        }
        (Form::Instant, Cell::Text(time)) => match time.parse::<jiff::Timestamp>() {
            Ok(instant) => text(&instant.to_string()),
            Err(_) => text(time),
        },
        (Form::Datetime | Form::DatetimeSeconds, Cell::Text(time)) => match time.parse::<DateTime>() {
            Ok(civil) if time.len() > "2025-12-12".len() => text(&civil.to_string()),
            _ => text(time),
        },
        (_, Cell::Integer(number)) => raw(&number.to_string()),
        (_, Cell::Real(number)) => real(*number),
        (_, Cell::Text(string)) => text(string),
        (_, Cell::Blob(bytes)) => json(&Bytes { base64: STANDARD.encode(bytes) }),
    }
}

/// JSON as the value that a column would hold.
///
/// # Errors
/// Why no column can hold it.
pub(crate) fn from_json(form: Form, affinity: Affinity, value: &RawValue) -> Result<Cell, String> {
    let spelled = value.get();
    let cell = match spelled.as_bytes().first() {
        Some(b'n') => return Ok(Cell::Null),
        _ if form == Form::Json => Cell::Text(spelled.to_owned()),
        Some(b'[') if matches!(form, Form::Array | Form::TextArray) => Cell::Text(array::from_json(spelled)?),
        Some(b't' | b'f') => match affinity {
            Affinity::Text => Cell::Text(spelled.to_owned()),
            _ => Cell::Integer(i64::from(spelled == "true")),
        },
        Some(b'"') => {
            let string: String =
                serde_json::from_str(spelled).map_err(|e| format!("is no text that has a form in UTF-8: {e}"))?;
            match form {
                Form::Datetime => Cell::Text(time(&string, true)),
                Form::DatetimeSeconds => Cell::Text(time(&string, false)),
                _ => held_text(affinity, string),
            }
        }
        Some(b'{' | b'[') => bytes(spelled).map_or_else(|| Cell::Text(spelled.to_owned()), Cell::Blob),
        _ => held_number(affinity, spelled),
    };
    Ok(cell)
}

fn bytes(spelled: &str) -> Option<Vec<u8>> {
    STANDARD.decode(serde_json::from_str::<Bytes>(spelled).ok()?.base64).ok()
}

fn held_text(affinity: Affinity, string: String) -> Cell {
    match affinity {
        Affinity::Text | Affinity::None => Cell::Text(string),
        Affinity::Real if string == "Infinity" => Cell::Real(f64::INFINITY),
        Affinity::Real if string == "-Infinity" => Cell::Real(f64::NEG_INFINITY),
        _ if looks_like_number(&string) => held_number(affinity, string.trim()),
        _ => Cell::Text(string),
    }
}

fn looks_like_number(string: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    let string = string.trim_matches(' ');
    string.bytes().any(|byte| byte.is_ascii_digit()) && string.bytes().all(plain) && string.parse::<f64>().is_ok()
}

fn held_number(affinity: Affinity, spelled: &str) -> Cell {
    if affinity == Affinity::Text {
        return Cell::Text(spelled.to_owned());
    }
    let whole = spelled.strip_prefix('+').unwrap_or(spelled).parse::<i64>().ok();
    let fraction = || spelled.parse::<f64>().unwrap_or(f64::NAN);
    match (affinity, whole) {
        (Affinity::Real, _) => Cell::Real(fraction()),
        (_, Some(whole)) => Cell::Integer(whole),
        (Affinity::None, None) => Cell::Real(fraction()),
        // As SQLite does: a fraction that is a whole number, and exactly so, is stored as one.
        #[allow(clippy::cast_possible_truncation)]
        (_, None) => match fraction() {
            number if number.fract() == 0.0 && number.abs() < 9e15 => Cell::Integer(number as i64),
            number => Cell::Real(number),
        },
    }
}

/// A time without a zone as programs write it into SQLite; what is no time stays as it is.
fn time(string: &str, with_fraction: bool) -> String {
    let Some(civil) = civil(string) else { return string.to_owned() };
    let (year, month, day) = (civil.year(), civil.month(), civil.day());
    let (hour, minute, second) = (civil.hour(), civil.minute(), civil.second());
    let mut text = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
    if with_fraction {
        write!(text, ".{:06}", civil.subsec_nanosecond() / 1_000).expect("memory can be written to");
    }
    text
}

/// A time of day in UTC: one with a zone is turned to it, one without is taken for it.
fn civil(string: &str) -> Option<DateTime> {
    // A date alone has hyphens, and a zone comes behind the time.
    let has_zone = string.get(10..).is_some_and(|behind| behind.contains(['Z', 'z', '+', '-', '[']));
    let zoned = || string.parse::<jiff::Timestamp>().ok().map(|time| TimeZone::UTC.to_datetime(time));
    has_zone.then(zoned).flatten().or_else(|| string.parse().ok())
}

fn real(number: f64) -> Value {
    if number.is_finite() { json(&number) } else { text(if number > 0.0 { "Infinity" } else { "-Infinity" }) }
}

/// A text as JSON.
pub(crate) fn text(string: &str) -> Value {
    json(string)
}

/// JSON that is written here.
pub(crate) fn raw(spelled: &str) -> Value {
    RawValue::from_string(spelled.to_owned()).expect("it is JSON")
}

fn json<T: Serialize + ?Sized>(value: &T) -> Value {
    serde_json::value::to_raw_value(value).expect("numbers, texts and bytes serialize")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(form: Form, affinity: Affinity, cell: Cell, spelled: &str) {
        let value = to_json(form, &cell);
        assert_eq!(value.get(), spelled);
        assert_eq!(from_json(form, affinity, &value).unwrap(), cell, "{spelled} back");
    }

    #[test]
    fn every_storage_class_survives_at_its_limits() {
        use Affinity::{Integer, None, Numeric, Real, Text};
        let plain = |affinity, cell, spelled| there_and_back(Form::Plain, affinity, cell, spelled);
        for affinity in [Integer, Real, Numeric, Text, None] {
            plain(affinity, Cell::Null, "null");
        }
        for affinity in [Integer, Numeric, None] {
            plain(affinity, Cell::Integer(i64::MAX), "9223372036854775807");
            plain(affinity, Cell::Integer(i64::MIN), "-9223372036854775808");
            plain(affinity, Cell::Integer(9_007_199_254_740_993), "9007199254740993");
        }
        for affinity in [Real, Numeric, None] {
            plain(affinity, Cell::Real(0.1), "0.1");
            plain(affinity, Cell::Real(f64::MAX), "1.7976931348623157e+308");
            plain(affinity, Cell::Real(5e-324), "5e-324");
        }
        plain(Real, Cell::Real(2.0), "2.0");
        plain(Real, Cell::Real(f64::NEG_INFINITY), "\"-Infinity\"");
        for affinity in [Text, None] {
            plain(
                affinity,
                Cell::Text("a\u{0}\u{1f600}\u{202e}\"\\é e\u{301}".into()),
                "\"a\\u0000😀\u{202e}\\\"\\\\é e\u{301}\"",
            );
            plain(affinity, Cell::Text("007".into()), "\"007\"");
        }
        for affinity in [Integer, Real, Numeric, Text, None] {
            plain(affinity, Cell::Blob(vec![0, 255, 7]), r#"{"base64":"AP8H"}"#);
            plain(affinity, Cell::Blob(vec![]), r#"{"base64":""}"#);
        }
    }

    #[test]
    fn declared_forms_are_kept_both_ways() {
        there_and_back(Form::Boolean, Affinity::Numeric, Cell::Integer(1), "true");
        there_and_back(Form::Boolean, Affinity::Numeric, Cell::Integer(2), "2");
        there_and_back(Form::Text, Affinity::Integer, Cell::Integer(i64::MAX), "\"9223372036854775807\"");
        there_and_back(Form::Json, Affinity::Text, Cell::Text("{\"a\": [1.50]}".into()), "{\"a\": [1.50]}");
        let time = Cell::Text("2025-12-12 10:00:00.120000".into());
        there_and_back(Form::Datetime, Affinity::Numeric, time, "\"2025-12-12T10:00:00.12\"");
        let time = Cell::Text("2025-12-12 10:00:00".into());
        there_and_back(Form::DatetimeSeconds, Affinity::Numeric, time, "\"2025-12-12T10:00:00\"");
        there_and_back(Form::Datetime, Affinity::Numeric, Cell::Text("soon".into()), "\"soon\"");
    }

    #[test]
    fn what_comes_in_another_spelling_is_what_the_column_would_hold() {
        let held = |affinity, spelled: &str| from_json(Form::Plain, affinity, &raw(spelled)).unwrap();
        assert_eq!(held(Affinity::Numeric, "1.50"), Cell::Real(1.5));
        assert_eq!(held(Affinity::Numeric, "\"1.50\""), Cell::Real(1.5));
        assert_eq!(held(Affinity::Integer, "5.0"), Cell::Integer(5));
        assert_eq!(held(Affinity::Integer, "\"5\""), Cell::Integer(5));
        assert_eq!(held(Affinity::Integer, "\"five\""), Cell::Text("five".into()));
        assert_eq!(held(Affinity::Integer, "18446744073709551616"), Cell::Real(18_446_744_073_709_551_616.0));
        assert_eq!(held(Affinity::Text, "1.50"), Cell::Text("1.50".into()));
        assert_eq!(held(Affinity::Integer, "true"), Cell::Integer(1));
        assert_eq!(held(Affinity::Text, "[1, 2]"), Cell::Text("[1, 2]".into()));
        let zoned = from_json(Form::Datetime, Affinity::Numeric, &raw("\"2025-12-12T12:00:00+02:00\"")).unwrap();
        assert_eq!(zoned, Cell::Text("2025-12-12 10:00:00.000000".into()));
        let broken = from_json(Form::Plain, Affinity::Text, &raw("\"\\ud800\"")).unwrap_err();
        assert!(broken.contains("UTF-8"), "{broken}");
    }
}
