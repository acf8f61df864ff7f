//! Fields that Syncline itself writes or reads. A schema that does not name them says nothing about them: otherwise
//! `additionalProperties: false` would refuse what every device writes.

use super::target;
use serde_json::Value;
use std::collections::BTreeSet;

/// The fields, at the top level of a document.
const FIELDS: [&str; 5] = ["_id", "createdAt", "updatedAt", "ttl", "expireAt"];

/// Those that the schema does not name for the document itself. Its references must be known to lead to an end.
pub(super) fn unnamed(schema: &Value) -> Vec<&'static str> {
    let mut named = BTreeSet::new();
    collect(schema, schema, &mut named);
    FIELDS.into_iter().filter(|field| !named.contains(field)).collect()
}

/// Names in `properties`, `required` and what depends on them, in everything that applies to the same value.
fn collect<'s>(root: &'s Value, at: &'s Value, named: &mut BTreeSet<&'s str>) {
    let Value::Object(fields) = at else { return };
    for (keyword, inner) in fields {
        match (keyword.as_str(), inner) {
            ("properties", Value::Object(all)) => named.extend(all.keys().map(String::as_str)),
            ("required", Value::Array(all)) => named.extend(all.iter().filter_map(Value::as_str)),
            ("dependentRequired" | "dependencies" | "dependentSchemas", Value::Object(all)) => {
                named.extend(all.keys().map(String::as_str));
                for inner in all.values() {
                    match inner {
                        Value::Array(names) => named.extend(names.iter().filter_map(Value::as_str)),
                        schema => collect(root, schema, named),
                    }
                }
            }
            ("$ref", Value::String(to)) => {
                if let Ok(schema) = target(root, to) {
                    collect(root, schema, named);
                }
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(all)) => all.iter().for_each(|one| collect(root, one, named)),
            ("not" | "if" | "then" | "else", schema) => collect(root, schema, named),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_schema_names_anywhere_for_the_document_it_means() {
        let schema = json!({
            "properties": {"a": {"properties": {"ttl": {}}}}, "required": ["_id"],
            "allOf": [{"$ref": "#/$defs/times"}], "dependentRequired": {"a": ["expireAt"]},
            "$defs": {"times": {"if": {"properties": {"createdAt": {}}}}},
        });
        assert_eq!(unnamed(&schema), ["updatedAt", "ttl"]);
        assert_eq!(unnamed(&json!({"additionalProperties": false})), FIELDS);
    }
}
