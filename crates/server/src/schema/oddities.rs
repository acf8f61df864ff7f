//! What of a schema demands nothing: JSON Schema passes over keywords and formats that it does not know, so a slip of the
//! pen would go unnoticed.

use super::{PLACE_CHARS, cut};
use serde_json::{Map, Value};

/// Keywords whose values are schemas by names of one's own.
const OF_NAMES: [&str; 5] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
/// Keywords whose values are schemas, or lists of schemas.
const OF_SCHEMAS: [&str; 17] = [
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "items",
    "prefixItems",
    "additionalItems",
    "contains",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
    "dependencies",
];
/// Keywords whose values are none.
const PLAIN: [&str; 43] = [
    "$anchor",
    "$comment",
    "$id",
    "$ref",
    "$schema",
    "$vocabulary",
    "const",
    "contentEncoding",
    "contentMediaType",
    "default",
    "dependentRequired",
    "deprecated",
    "description",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "id",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "readOnly",
    "required",
    "title",
    "type",
    "uniqueItems",
    "writeOnly",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
    "extends",
    "disallow",
];
/// Formats that are checked.
const FORMATS: [&str; 17] = [
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
];
/// Sentences; the rest is left to be found after these.
const TOLD_MAX: usize = 10;

/// A sentence for each keyword and format that is not known.
pub fn oddities(schema: &Value) -> Vec<String> {
    let mut told = Vec::new();
    look(schema, "", &mut told);
    told
}

fn look(schema: &Value, place: &str, told: &mut Vec<String>) {
    let Value::Object(fields) = schema else { return };
    for (name, inner) in fields {
        if told.len() >= TOLD_MAX {
            return;
        }
        let here = format!("{place}/{name}");
        match (name.as_str(), inner) {
            (name, Value::Object(schemas)) if OF_NAMES.contains(&name) => each(schemas, &here, told),
            ("dependencies", Value::Object(schemas)) => each(schemas, &here, told),
            (name, Value::Array(schemas)) if OF_SCHEMAS.contains(&name) => {
                schemas.iter().for_each(|schema| look(schema, &here, told));
            }
            (name, schema) if OF_SCHEMAS.contains(&name) => look(schema, &here, told),
            ("format", Value::String(format)) if !FORMATS.contains(&format.as_str()) => told.push(format!(
                "the format `{}` at `{}` of the schema is not known and demands nothing; known are {}",
                cut(format, PLACE_CHARS),
                cut(&here, PLACE_CHARS),
                FORMATS.join(", ")
            )),
            (name, _) if PLAIN.contains(&name) || OF_NAMES.contains(&name) || name.starts_with("x-") => {}
            (name, _) => told.push(format!(
                "`{}` at {} of the schema is no keyword of JSON Schema and demands nothing; is it misspelt? (notes of \
                 one's own begin with `x-`)",
                cut(name, PLACE_CHARS),
                if place.is_empty() { "the top".to_owned() } else { format!("`{}`", cut(place, PLACE_CHARS)) },
            )),
        }
    }
}

fn each(schemas: &Map<String, Value>, place: &str, told: &mut Vec<String>) {
    schemas.iter().for_each(|(name, schema)| look(schema, &format!("{place}/{name}"), told));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn misspelt_keywords_and_unknown_formats_are_named_with_their_places() {
        for (schema, words) in [
            (json!({"propertys": {}}), &["`propertys` at the top"][..]),
            (json!({"type": "object", "requird": ["x"]}), &["`requird`"]),
            (json!({"properties": {"mail": {"format": "emial"}}}), &["`emial` at `/properties/mail/format`", "email"]),
            (json!({"allOf": [{"items": {"minimun": 1}}]}), &["`minimun` at `/allOf/items`"]),
            (json!({"$defs": {"a": {"not": {"nullable": true}}}}), &["`nullable` at `/$defs/a/not`"]),
        ] {
            let told = oddities(&schema);
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(words.iter().all(|word| told[0].contains(word)), "{told:?}");
        }
        let fine = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "x-note": 1, "title": "t", "type": "object",
            "properties": {"requird": {"enum": [{"propertys": 1}]}, "format": {"format": "uuid"}},
            "patternProperties": {"^emial": true}, "additionalProperties": false, "dependentSchemas": {"a": {"if": {}}},
            "dependencies": {"a": ["b"], "b": {"required": ["c"]}}, "default": {"minimun": 1},
        });
        assert!(oddities(&fine).is_empty(), "{:?}", oddities(&fine));
        let many: Map<String, Value> = (0..50).map(|n| (format!("odd{n}"), json!(1))).collect();
        assert_eq!(oddities(&Value::Object(many)).len(), TOLD_MAX);
    }
}
