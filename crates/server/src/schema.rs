//! JSON Schemas of collections: which are taken, and what they say of a document. No network and no file is ever asked,
//! and no schema can make the hub work without end: references stay inside the schema, patterns are matched in time that
//! grows with the text alone.

mod oddities;
mod own_fields;

pub use oddities::oddities;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::{Value, json};
use std::sync::Arc;
use std::thread;
use syncline_core::model::{CollectionRule, Demands, Shape};

/// Bytes of a schema as JSON text.
const SCHEMA_BYTES_MAX: usize = 64 << 10;
/// Subschemas that apply to one value, each through the one before (`$ref`, `allOf`, `not` …): beside the depth of the
/// document they decide how much stack a check takes.
const STEPS_MAX: usize = 16;
/// Subschemas that apply to one value in all, each counted as often as it is reached.
const AT_ONCE_MAX: usize = 1_000;
/// How deep a schema nests, and how often it refers to its parts: together they decide how deep its reader goes.
const DEPTH_MAX: usize = 32;
const REFERENCES_MAX: usize = 64;
/// Enough for the deepest of all schemas. Checking a document takes far less.
const STACK_BYTES: usize = 32 << 20;
/// Bytes that one compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Of a breach, what a sentence shows of the place and of the rest.
const PLACE_CHARS: usize = 120;
const WORDS_CHARS: usize = 240;

/// Keywords that hold data, not schemas.
const DATA: [&str; 4] = ["const", "enum", "default", "examples"];

/// Makes rules ready to be asked.
///
/// # Errors
/// What is wrong with them, as a sentence.
pub fn demands(rule: CollectionRule) -> Result<Demands, String> {
    if rule.max_bytes == Some(0) || rule.retention_ms == Some(0) {
        return Err("`max_bytes` and `retention_ms` are above zero; leave out what is not wanted".to_owned());
    }
    if rule.unique.len() > CollectionRule::UNIQUE_MAX {
        let (keys, most) = (rule.unique.len(), CollectionRule::UNIQUE_MAX);
        return Err(format!("it has {keys} unique keys and may have {most}: each is looked up with every edit"));
    }
    let shape = match &rule.schema {
        Some(schema) => Some(Arc::new(Schema::read(schema)?) as Arc<dyn Shape>),
        None => None,
    };
    Ok(Demands { rule, shape })
}

/// Why no document at all can keep a rule, where that shows without trying.
pub fn hopeless(rule: &CollectionRule) -> Option<&'static str> {
    if rule.max_bytes.is_some_and(|most| most < r#"{"_id":"x"}"#.len() as u64) {
        return Some("`max_bytes` is less than the smallest document has");
    }
    let schema = rule.schema.as_ref()?;
    let is_object =
        |kind: &Value| kind == "object" || kind.as_array().is_some_and(|all| all.contains(&json!("object")));
    if schema.get("type").is_some_and(|kind| !is_object(kind)) {
        return Some("a document is an object, and `type` of the schema allows none");
    }
    if schema.get("not").is_some_and(|not| *not == json!({}) || *not == json!(true)) {
        return Some("`not` of the schema excludes everything");
    }
    let all_of = schema.get("enum").and_then(Value::as_array);
    if all_of.is_some_and(|all| !all.iter().any(Value::is_object)) {
        return Some("a document is an object, and `enum` of the schema names none");
    }
    None
}

#[derive(Debug)]
struct Schema {
    validator: Validator,
    /// Fields of documents that it says nothing about.
    exempt: Vec<&'static str>,
}

impl Schema {
    fn read(schema: &Value) -> Result<Schema, String> {
        let bytes = schema.to_string().len();
        if bytes > SCHEMA_BYTES_MAX {
            return Err(format!("the schema has {bytes} bytes and may have {SCHEMA_BYTES_MAX}"));
        }
        if !schema.is_object() {
            return Err("the schema must be a JSON object".to_owned());
        }
        check_nested(schema, schema, 0, &mut 0)?;
        let deep = thread::Builder::new().stack_size(STACK_BYTES);
        thread::scope(|scope| {
            let built = deep.spawn_scoped(scope, || Schema::built(schema));
            let built = built.map_err(|error| format!("the schema cannot be read: {error}"))?;
            built.join().map_err(|_| "the schema cannot be read: its reader panicked".to_owned())?
        })
    }

    fn built(schema: &Value) -> Result<Schema, String> {
        let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
        let mut options = jsonschema::options().offline().should_validate_formats(true).with_pattern_options(patterns);
        if schema.get("$schema").is_none() {
            options = options.with_draft(Draft::Draft202012);
        }
        let validator = options.build(schema).map_err(|error| unusable(&error))?;
        Ok(Schema { validator, exempt: own_fields::unnamed(schema) })
    }
}

/// Why the schema itself is none.
fn unusable(error: &ValidationError<'_>) -> String {
    let path = error.instance_path().to_string();
    let place = if path.is_empty() { "its top".to_owned() } else { format!("`{}`", cut(&path, PLACE_CHARS)) };
    let found = cut(&error.instance().to_string(), PLACE_CHARS);
    let words = match (path.rsplit('/').next().unwrap_or_default(), error.kind()) {
        ("type", _) => format!(
            "`type` is `array`, `boolean`, `integer`, `null`, `number`, `object` or `string`, or a list of these, not {found}"
        ),
        ("pattern", _) | (_, ValidationErrorKind::Format { .. }) => format!(
            "the pattern {found} cannot be used: it has a slip, is too large, or uses look-around or back-references, which \
             are not supported because patterns are matched in time that grows with the text alone"
        ),
        (_, ValidationErrorKind::AnyOf { .. } | ValidationErrorKind::OneOfNotValid { .. }) => {
            format!("{found} cannot stand there")
        }
        _ => cut(&error.to_string(), WORDS_CHARS),
    };
    format!("the schema cannot be used, at {place}: {words}")
}

impl Shape for Schema {
    fn breach(&self, document: &str) -> Option<String> {
        let mut document: Value = match serde_json::from_str(document) {
            Ok(document) => document,
            Err(error) => return Some(format!("it cannot be checked: {error}")),
        };
        if let Value::Object(fields) = &mut document {
            fields.retain(|name, _| !self.exempt.contains(&name.as_str()));
        }
        let error = self.validator.validate(&document).err()?;
        let keyword = error.kind().keyword().to_owned();
        let place = error.instance_path().to_string();
        let words = match error.kind() {
            // Said where nothing else is named that could be there.
            ValidationErrorKind::FalseSchema if error.schema_path().to_string().ends_with("additionalProperties") => {
                "no field is allowed that the schema does not name".to_owned()
            }
            ValidationErrorKind::FalseSchema => "nothing is allowed there".to_owned(),
            _ => cut(&error.masked_with("the value").to_string(), WORDS_CHARS),
        };
        let at = if place.is_empty() { String::new() } else { format!("at `{}` ", cut(&place, PLACE_CHARS)) };
        Some(format!("{at}{words} (`{keyword}`)"))
    }
}

/// What is nested in the schema: references point into it, by `#/…`, and there are only so many of either.
fn check_nested(root: &Value, at: &Value, depth: usize, references: &mut usize) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("the schema nests deeper than {DEPTH_MAX} levels"));
    }
    match at {
        Value::Object(fields) => {
            if let Some(Value::String(to)) = fields.get("$ref") {
                target(root, to)?;
                *references += 1;
            }
            if *references > REFERENCES_MAX {
                return Err(format!("the schema has more than {REFERENCES_MAX} references (`$ref`)"));
            }
            for keyword in ["$dynamicRef", "$recursiveRef"] {
                if fields.get(keyword).is_some_and(Value::is_string) {
                    return Err(format!("`{keyword}` is not supported; use `$ref` with `#/…`"));
                }
            }
            if depth > 0 && fields.get("$id").is_some_and(Value::is_string) {
                return Err("`$id` is taken at the top of the schema only".to_owned());
            }
            check_steps(root, at, &mut Vec::new(), &mut 0)?;
            let mut schemas = fields.iter().filter(|(name, _)| !DATA.contains(&name.as_str()));
            schemas.try_for_each(|(_, inner)| check_nested(root, inner, depth + 1, references))
        }
        Value::Array(items) => items.iter().try_for_each(|inner| check_nested(root, inner, depth + 1, references)),
        _ => Ok(()),
    }
}

fn target<'s>(root: &'s Value, to: &str) -> Result<&'s Value, String> {
    let shown = cut(to, PLACE_CHARS);
    let Some(pointer) = to.strip_prefix('#') else {
        return Err(format!(
            "`$ref` `{shown}` points outside the schema; put what it means under `$defs`, and use `#/$defs/…`"
        ));
    };
    root.pointer(pointer).ok_or_else(|| format!("`$ref` `{shown}` points to nothing in the schema"))
}

/// Follows what applies to one value, `through` which subschemas: a circle would go on for ever.
fn check_steps<'s>(
    root: &'s Value,
    at: &'s Value,
    through: &mut Vec<&'s Value>,
    all: &mut usize,
) -> Result<(), String> {
    let Value::Object(fields) = at else { return Ok(()) };
    *all += 1;
    if *all > AT_ONCE_MAX {
        return Err(format!("more than {AT_ONCE_MAX} subschemas of the schema apply to one value"));
    }
    if through.iter().any(|before| std::ptr::eq(*before, at)) {
        return Err("the schema refers to itself without going into the value".to_owned());
    }
    if through.len() > STEPS_MAX {
        return Err(format!("more than {STEPS_MAX} subschemas of the schema apply to one value through each other"));
    }
    through.push(at);
    for (name, inner) in fields {
        let here: Vec<&Value> = match (name.as_str(), inner) {
            ("$ref", Value::String(to)) => vec![target(root, to)?],
            ("allOf" | "anyOf" | "oneOf", Value::Array(all)) => all.iter().collect(),
            ("not" | "if" | "then" | "else", inner) => vec![inner],
            ("dependentSchemas" | "dependencies", Value::Object(all)) => all.values().collect(),
            _ => Vec::new(),
        };
        here.into_iter().try_for_each(|one| check_steps(root, one, through, all))?;
    }
    through.pop();
    Ok(())
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(schema: &Value) -> Result<Demands, String> {
        demands(CollectionRule { schema: Some(schema.clone()), ..CollectionRule::default() })
    }

    fn breach(schema: &Value, document: &Value) -> Option<String> {
        read(schema).unwrap().shape.unwrap().breach(&document.to_string())
    }

    #[test]
    fn a_breach_names_place_and_keyword_in_bounded_words() {
        let schema = json!({
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "pattern": "^[a-z]+$"},
                "age": {"type": "integer", "minimum": 0},
                "kind": {"enum": (0..1_000).map(|n| format!("kind {n}")).collect::<Vec<_>>()},
                "mail": {"format": "email"},
                "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
            },
            "additionalProperties": false,
            "$defs": {"tag": {"type": "string", "maxLength": 3}},
        });
        assert_eq!(breach(&schema, &json!({"name": "ann", "age": 7, "tags": ["a"]})), None);
        for (document, place, keyword) in [
            (json!({}), "name", "required"),
            (json!({"name": "x".repeat(1_000_000) + "1"}), "`/name`", "pattern"),
            (json!({"name": "a", "age": -1}), "`/age`", "minimum"),
            (json!({"name": "a", "kind": "none"}), "`/kind`", "enum"),
            (json!({"name": "a", "mail": "nobody"}), "`/mail`", "format"),
            (json!({"name": "a", "tags": ["a", "long"]}), "`/tags/1`", "maxLength"),
            (json!({"name": "a", "_id": "x", "other": 1}), "'other' was unexpected", "additionalProperties"),
        ] {
            let said = breach(&schema, &document).expect("it does not fit");
            assert!(said.contains(place) && said.ends_with(&format!("(`{keyword}`)")), "{said}");
            assert!(said.len() < 500 && !said.contains("xxxx"), "{said}");
        }
        assert!(breach(&json!({}), &json!({})).is_none());
        let ours = json!({"_id": "x", "name": "a", "createdAt": "2026-01-01T00:00:00Z", "updatedAt": 1, "ttl": 5, "expireAt": 7});
        assert_eq!(breach(&schema, &ours), None, "fields of Syncline's own are no additional ones");
        let closed =
            breach(&json!({"additionalProperties": false}), &json!({"_id": "x", "owner": 1})).expect("it has more");
        assert!(closed.contains("no field is allowed that the schema does not name"), "{closed}");
        let named = json!({"properties": {"_id": {"pattern": "^u"}, "ttl": false}});
        let said = |document| breach(&named, &document).expect("it does not fit");
        assert!(said(json!({"_id": "x"})).contains("`/_id`") && said(json!({"_id": "u", "ttl": 5})).contains("/ttl"));
    }

    #[test]
    fn a_schema_that_could_reach_out_or_run_for_ever_is_refused() {
        let chain: serde_json::Map<String, Value> =
            (0..40).map(|n| (format!("d{n}"), json!({"$ref": format!("#/$defs/d{}", n + 1)}))).collect();
        let mut chain = Value::Object(chain);
        chain["d40"] = json!({"type": "string"});
        let four = |n: usize| json!({"allOf": vec![json!({"$ref": format!("#/$defs/d{n}")}); 4]});
        let mut fans: serde_json::Map<String, Value> = (0..7).map(|n| (format!("d{n}"), four(n + 1))).collect();
        fans.insert("d7".to_owned(), json!({}));
        for (schema, why) in [
            (json!([]), "must be a JSON object"),
            (json!({"$ref": "https://example.com/s.json"}), "points outside"),
            (json!({"properties": {"a": {"$ref": "file:///etc/passwd"}}}), "points outside"),
            (json!({"$ref": "#/$defs/none"}), "points to nothing"),
            (json!({"$schema": "https://example.com/draft"}), "cannot be used"),
            (json!({"$ref": "#"}), "refers to itself"),
            (json!({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"not": {"$ref": "#"}}}}), "refers to itself"),
            (json!({"properties": {"a": {"anyOf": [{"$ref": "#/properties/a"}]}}}), "refers to itself"),
            (json!({"properties": {"a": {"$dynamicRef": "#x"}}}), "$dynamicRef"),
            (json!({"properties": {"a": {"$id": "x"}}}), "$id"),
            (json!({"$ref": "#/$defs/d0", "$defs": chain}), "more than 16"),
            (
                json!({"properties": {"a": {"pattern": "(a+)+(?=b)"}}}),
                "at `/properties/a/pattern`: the pattern \"(a+)+(?=b)\"",
            ),
            (json!({"patternProperties": {"(?=a)b": {}}}), "look-around"),
            (json!({"properties": {"a": {"type": "strin"}}}), "or a list of these, not \"strin\""),
            (json!({"items": 7}), "at `/items`"),
            (json!({"properties": {"a": {"pattern": "((a{100}){100}){100}"}}}), "cannot be used"),
            (json!({"type": "objekt"}), "cannot be used, at `/type`"),
            ((0..40).fold(json!({}), |inner, _| json!({ "items": inner })), "deeper than 32"),
            (json!({"$ref": "#/$defs/d0", "$defs": fans}), "more than 1000 subschemas"),
            (json!({"allOf": vec![json!({"$ref": "#/$defs/a"}); 65], "$defs": {"a": {}}}), "more than 64 references"),
            (json!({"description": "x".repeat(70_000)}), "70018 bytes and may have 65536"),
        ] {
            let said = read(&schema).expect_err(why);
            assert!(said.contains(why), "{schema}: {said}");
            assert!(said.len() < 500, "{said}");
        }
    }

    #[test]
    fn a_schema_may_go_through_itself_into_the_value() {
        let tree = json!({"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}});
        let mut deep = json!({"left": 1});
        for _ in 0..95 {
            deep = json!({"left": deep});
        }
        let said = breach(&tree, &deep).expect("the last one is a number");
        assert!(said.ends_with("(`type`)"), "{said}");
        let links = (0..6).map(|n| (format!("d{n}"), json!({"allOf": [{"$ref": format!("#/$defs/d{}", n + 1)}]})));
        let mut links = Value::Object(links.collect());
        links["d6"] = json!({"type": "object", "properties": {"left": {"$ref": "#/$defs/d0"}}});
        let long = json!({"$ref": "#/$defs/d0", "$defs": links});
        let said = breach(&long, &deep).expect("the last one is a number");
        assert!(said.ends_with("(`type`)"), "as many steps as may be, at each of as many levels as may be: {said}");
        let named = json!({"properties": {"$ref": {"type": "string"}, "enum": {"const": {"$ref": "no reference"}}}});
        assert_eq!(breach(&named, &json!({"enum": {"$ref": "no reference"}})), None);
    }

    #[test]
    fn a_pattern_takes_no_time_that_grows_out_of_bounds() {
        let schema = json!({"properties": {"a": {"pattern": "^(a+)+$"}}});
        let said = breach(&schema, &json!({"a": "a".repeat(100_000) + "b"})).expect("it does not fit");
        assert!(said.ends_with("(`pattern`)"), "{said}");
    }

    #[test]
    fn a_rule_that_nothing_can_keep_is_known_where_it_shows() {
        for hopeless_rule in [
            r#"{"max_bytes":10}"#,
            r#"{"schema":{"type":["string","null"]}}"#,
            r#"{"schema":{"not":{}}}"#,
            r#"{"schema":{"enum":[1,2]}}"#,
        ] {
            assert!(hopeless(&serde_json::from_str(hopeless_rule).unwrap()).is_some(), "{hopeless_rule}");
        }
        for fine in [r#"{"max_bytes":11}"#, r#"{"schema":{"type":["object","null"]}}"#, "{}"] {
            assert_eq!(hopeless(&serde_json::from_str(fine).unwrap()), None, "{fine}");
        }
    }

    #[test]
    fn limits_of_zero_are_refused() {
        for rule in [r#"{"max_bytes":0}"#, r#"{"retention_ms":0}"#] {
            assert!(demands(serde_json::from_str(rule).unwrap()).unwrap_err().contains("above zero"));
        }
        let keys: Vec<String> = (0..17).map(|n| format!("field{n}")).collect();
        let many = serde_json::from_value(json!({ "unique": keys })).unwrap();
        assert!(demands(many).unwrap_err().contains("17 unique keys and may have 16"));
    }
}
