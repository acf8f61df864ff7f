//! PostgreSQL's arrays as JSON's: `{1,NULL,"a b"}` is `[1, null, "a b"]`.

use serde_json::value::RawValue;
use syncline_core::model::Value;

/// An array as JSON; `None`: it has bounds of its own, or is none. Of texts, or of what reads without quotes.
pub(super) fn to_json(array: &str, of_texts: bool) -> Option<Value> {
    let mut json = String::with_capacity(array.len() + 2);
    let mut rest = array;
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '{' | '}' => {
                json.push(if first == '{' { '[' } else { ']' });
                1
            }
            ',' => {
                json.push(',');
                1
            }
            '"' => quoted(rest, &mut json)?,
            _ => bare(rest, of_texts, &mut json),
        };
        rest = &rest[taken..];
    }
    RawValue::from_string(json).ok().filter(|json| json.get().starts_with('['))
}

/// An element in quotes; how many bytes it has.
fn quoted(rest: &str, json: &mut String) -> Option<usize> {
    let (mut text, mut escaped) = (String::new(), false);
    for (at, letter) in rest.char_indices().skip(1) {
        match letter {
            _ if escaped => {
                text.push(letter);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => {
                json.push_str(super::text(&text).get());
                return Some(at + 1);
            }
            _ => text.push(letter),
        }
    }
    None
}

fn bare(rest: &str, of_texts: bool, json: &mut String) -> usize {
    let end = rest.find([',', '}', '{']).unwrap_or(rest.len());
    let word = &rest[..end];
    match word {
        "NULL" => json.push_str("null"),
        text if of_texts => json.push_str(super::text(text).get()),
        "t" => json.push_str("true"),
        "f" => json.push_str("false"),
        number if is_number(number) => json.push_str(number),
        text => json.push_str(super::text(text).get()),
    }
    end
}

fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c == '-' || c.is_ascii_digit()) && serde_json::from_str::<&RawValue>(word).is_ok()
}

/// JSON as an array.
///
/// # Errors
/// It holds objects.
pub(super) fn from_json(json: &str) -> Result<String, String> {
    let elements: Vec<Box<RawValue>> = serde_json::from_str(json).map_err(|error| format!("is no list: {error}"))?;
    let mut parts = Vec::with_capacity(elements.len());
    for element in &elements {
        let spelled = element.get();
        parts.push(match spelled.as_bytes().first() {
            Some(b'[') => from_json(spelled)?,
            Some(b'n') => "NULL".into(),
            Some(b'"') => {
                let text: String = serde_json::from_str(spelled).map_err(|error| format!("has a text: {error}"))?;
                format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
            }
            Some(b'{') => format!("\"{}\"", spelled.replace('\\', "\\\\").replace('"', "\\\"")),
            _ => spelled.to_owned(),
        });
    }
    Ok(format!("{{{}}}", parts.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_back_as_they_were() {
        for (array, json, of_texts) in [
            ("{}", "[]", false),
            ("{1,-2,NULL}", "[1,-2,null]", false),
            ("{{1.50,2},{3,4}}", "[[1.50,2],[3,4]]", false),
            (
                r#"{"a b","say \"hi\"","back\\slash","","NULL",NULL}"#,
                r#"["a b","say \"hi\"","back\\slash","","NULL",null]"#,
                true,
            ),
        ] {
            assert_eq!(to_json(array, of_texts).unwrap().get(), json);
            assert_eq!(from_json(json).unwrap(), array);
        }
        assert_eq!(to_json("{t,f,NaN}", false).unwrap().get(), r#"[true,false,"NaN"]"#);
        assert_eq!(to_json("{t,1,2025-12-12}", true).unwrap().get(), r#"["t","1","2025-12-12"]"#);
        assert!(to_json("[2:3]={1,2}", false).is_none(), "bounds have no place in JSON");
    }
}
