//! JSON from arguments or standard input.

use crate::error::CliError;
use serde_json::Value;
use std::io::{BufReader, Read};
use syncline::transfer::{Format, Import};

/// What standard input holds where documents are read from it.
const DOCUMENTS: &str = "a list of JSON objects, or one object per line";

/// A JSON object from an argument, or with `-` from standard input.
///
/// # Errors
/// Not a JSON object.
pub fn object(what: &str, argument: &str) -> Result<Value, CliError> {
    let wrong = |reason: String| CliError::NotJson { what: what.to_owned(), expected: "a JSON object", reason };
    let text = if argument == "-" { standard_input("a JSON object")? } else { argument.to_owned() };
    match serde_json::from_str(&text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(other) => Err(wrong(format!("it is {}", kind(&other)))),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// The same as its text: numbers and spelling stay.
///
/// # Errors
/// As [`object`].
pub fn object_text(what: &str, argument: &str) -> Result<String, CliError> {
    let text = if argument == "-" { standard_input("a JSON object")? } else { argument.to_owned() };
    object(what, &text).map(|_| text)
}

/// Documents from arguments; from standard input (JSON lines, or one array) where there are none or
/// one is `-`.
///
/// # Errors
/// Something that is not a JSON object.
pub fn documents(arguments: &[String]) -> Result<Vec<Value>, CliError> {
    if arguments.is_empty() || arguments == ["-"] {
        return from_standard_input();
    }
    let read = |(n, text): (usize, &String)| object(&format!("document {}", n + 1), text);
    arguments.iter().enumerate().map(read).collect()
}

fn from_standard_input() -> Result<Vec<Value>, CliError> {
    let text = standard_input(DOCUMENTS)?;
    let format = if text.trim_start().starts_with('[') { Format::JsonArray } else { Format::JsonLines };
    Import::new(text.as_bytes(), format).collect::<Result<Vec<_>, _>>().map_err(|error| CliError::NotJson {
        what: "standard input".into(),
        expected: DOCUMENTS,
        reason: error.to_string(),
    })
}

/// All of it, without the byte order mark that programs on Windows begin with.
fn standard_input(expected: &'static str) -> Result<String, CliError> {
    let mut text = String::new();
    BufReader::new(std::io::stdin().lock()).read_to_string(&mut text).map_err(CliError::Input)?;
    if text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}').is_empty() {
        return Err(CliError::Empty { what: "standard input".into(), expected });
    }
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_which_argument_and_what_it_is() {
        let list = object("the filter", "[1]").unwrap_err().to_string();
        assert!(list.contains("the filter") && list.contains("it is a list"), "{list}");
        let broken = documents(&["{\"a\":1}".into(), "{a:1}".into()]).unwrap_err().to_string();
        assert!(broken.contains("document 2"), "{broken}");
    }
}
