//! Queries and updates against what real clients do, and against anything at all.

use super::{Query, Unreadable, Update, deep_equal, digest, document_of};
use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use serde_json::{Map, Value, json};

fn vector(name: &str) -> Value {
    let path = format!("{}/../../spec/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn meant(query: &Value, document: &Value) -> bool {
    Query::parse(query).unwrap().matches(document)
}

fn updated(document: &Value, update: &Value) -> Value {
    let mut document = document.as_object().unwrap().clone();
    Update::parse(update).unwrap().apply(&mut document).unwrap();
    Value::Object(document)
}

#[test]
fn every_recorded_query_selects_the_recorded_documents() {
    let matrix = vector("live-query-matrix");
    let documents = matrix["documents"].as_array().unwrap();
    let cases = matrix["cases"].as_array().unwrap();
    assert!(cases.len() > 60);
    for case in cases {
        let found = documents.iter().filter(|document| meant(&case["query"], document)).map(|d| d["id"].clone());
        assert_eq!(Value::Array(found.collect()), case["matches"], "{}", case["query"]);
    }
}

#[test]
fn every_recorded_update_gives_the_recorded_document() {
    let matrix = vector("live-update-matrix");
    let cases = matrix["cases"].as_array().unwrap();
    assert!(cases.len() > 25);
    for case in cases {
        let result = updated(&case["document"], &case["update"]);
        assert!(deep_equal(&result, &case["result"]), "{case}: {result}");
    }
}

#[test]
fn an_unset_whose_way_breaks_off_leaves_the_fields_behind_it() {
    let document = json!({ "id": "1", "o": "text", "l": [1], "a": 1, "b": 2 });
    // A text has no field to go on from, nor a list one of such a name.
    for broken in ["o.q.r", "l.q.r", "missing.q"] {
        let kept = updated(&document, &json!({ "$unset": { "a": 1, broken: 1, "b": 1 } }));
        assert_eq!((kept.get("a"), kept.get("b")), (None, Some(&json!(2))), "{broken}");
    }
    // The last name of a way may lead nowhere.
    let gone = updated(&document, &json!({ "$unset": { "o.q": 1, "b": 1 } }));
    assert_eq!(gone, json!({ "id": "1", "o": "text", "l": [1], "a": 1 }));
}

#[test]
fn a_pinned_query_means_no_other_documents() {
    let matrix = vector("live-query-matrix");
    for case in matrix["cases"].as_array().unwrap() {
        if let Some(pinned) = Query::parse(&case["query"]).unwrap().pinned() {
            let matches = case["matches"].as_array().unwrap().iter().map(|id| id.as_str().unwrap());
            assert!(matches.into_iter().all(|id| pinned.contains(id)), "{case}");
        }
    }
    let pinned = |query: Value| Query::parse(&query).unwrap().pinned().map(|ids| ids.into_iter().collect::<Vec<_>>());
    let of = |ids: &[&str]| Some(ids.iter().map(|id| (*id).to_owned()).collect());
    assert_eq!(pinned(json!({ "id": { "$in": ["b", 7, null] }, "x": 1 })), of(&["7", "b"]));
    assert_eq!(pinned(json!({ "$or": [{ "id": "a" }, { "x": 1, "id": { "$eq": "b" } }] })), of(&["a", "b"]));
    assert_eq!(pinned(json!({ "$or": [{ "id": "a" }, { "x": 1 }] })), None);
    assert_eq!(pinned(json!({ "$not": { "id": "a" } })), None);
    assert_eq!(pinned(json!({ "id": { "$ne": "a" } })), None);
    assert_eq!(pinned(json!({ "id": null })), of(&[]));
}

#[test]
fn inside_of_objects_absent_fields_are_undefined() {
    let document = json!({ "id": "1", "a": { "b": { "c": 1 }, "l": [5, 6] } });
    for (query, expected) in [
        (json!({ "a": { "zz": { "$ne": 1 } } }), true),
        (json!({ "a": { "zz": { "$nin": [1] } } }), true),
        (json!({ "a": { "zz": { "$exists": false } } }), true),
        (json!({ "a": { "zz": { "$gt": 0 } } }), false),
        (json!({ "a": { "zz": null } }), false),
        (json!({ "a": { "b.c": 1 } }), true),
        (json!({ "a": { "l": { "1": 6 } } }), true),
        (json!({ "a": { "l": { "length": 2 } } }), true),
        (json!({ "$or": "x", "a.b.c": 1 }), true),
    ] {
        assert_eq!(meant(&query, &document), expected, "{query}");
    }
}

#[test]
fn values_of_different_kinds_compare_as_in_javascript() {
    let greater = |value: Value, operand: Value| meant(&json!({ "v": { "$gt": operand } }), &json!({ "v": value }));
    for (value, operand) in [
        (json!("10"), json!(9)),
        (json!(true), json!(0)),
        (json!(" 0x10 "), json!(15)),
        (json!(["7"]), json!(6)),
        (json!("b"), json!("a")),
        (json!("\u{ff5e}"), json!("\u{1f600}")), // by UTF-16 units
        (json!("Infinity"), json!(1e308)),
        (json!(1), json!(null)),
    ] {
        assert!(greater(value.clone(), operand.clone()), "{value} > {operand}");
        assert!(!greater(operand.clone(), value.clone()), "{operand} > {value}");
    }
    for (value, operand) in
        [(json!("x"), json!(1)), (json!({}), json!(1)), (json!("inf"), json!(1)), (json!([1, 2]), json!(0))]
    {
        assert!(
            !greater(value.clone(), operand.clone()) && !greater(operand.clone(), value.clone()),
            "{value}, {operand}"
        );
    }
    assert!(meant(&json!({ "v": { "$lte": null } }), &json!({ "v": 0 })));
}

#[test]
fn patterns_are_javascript_patterns() {
    let found = |pattern: &str, text: &str| meant(&json!({ "s": { "$regex": pattern } }), &json!({ "s": text }));
    for (pattern, text) in [
        (r"^\d{2,3}$", "123"),
        (r"a{", "a{"),
        (r"[[]", "["),
        (r"[a&&b]", "&"),
        (r"[^]", "\n"),
        (r"[\w-]", "-"),
        (r"[a\-z]", "-"),
        (r"\/x", "/x"),
        (r"\bab\b", "x ab y"),
        (r"a\Bb", "ab"),
        (r"é\b", "éa"),
        (r"(?<year>\d+)-(?:x|y)", "2026-y"),
        (r"\u00e9\x41", "éA"),
        (r"\ud83d\ude00", "\u{1f600}"),
        (r"a+?b", "aab"),
        (r"}]", "}]"),
        (r"\s", "\u{a0}"),
        (r"#", "#"),
        ("", "anything"),
    ] {
        assert!(found(pattern, text), "{pattern} in {text:?}");
    }
    for (pattern, text) in [
        (r"^\d$", "٣"),
        (r"^.$", "\u{2028}"),
        (r"^\w$", "é"),
        ("[]", "a"),
        ("a$", "a\n"),
        ("(", "("),
        ("a**", "a"),
        ("*", "*"),
        ("[z-a]", "b"),
        ("a{2,1}", "aa"),
        ("\\", "\\"),
        ("[a", "a"),
    ] {
        assert!(!found(pattern, text), "{pattern} in {text:?}");
    }
}

#[test]
fn what_a_pattern_may_not_do_is_named() {
    let code = |pattern: &str| Query::parse(&json!({ "s": { "$regex": pattern } })).err().map(|why| why.code());
    for pattern in ["a(?=b)", "a(?!b)", "(?<=a)b", "(?<!a)b", r"(a)\1", r"(?<x>a)\k<x>"] {
        assert_eq!(code(pattern), Some("unsupported_pattern"), "{pattern}");
    }
    assert_eq!(code(&"x".repeat(1_001)), Some("pattern_too_large"));
    assert_eq!(code("((a{100}){100}){100}"), Some("pattern_too_large"));
    assert_eq!(code(r"\w{15000}"), Some("pattern_too_large"));
    for honest in [
        "(a+)+$",
        "^.{1,60}$",
        r"^\S{2,60}@\S{2,60}\.[a-z]{2,10}$",
        r"^\d{4}-\d{2}-\d{2}T.*Z$",
        "^(ann|bob|[^x]{1,80})",
    ] {
        assert_eq!(code(honest), None, "{honest}");
    }
    let bomb = json!({ "s": { "$regex": "^(a+)+$" } });
    assert!(!meant(&bomb, &json!({ "s": format!("{}b", "a".repeat(100_000)) })));
}

#[test]
fn a_long_list_of_numbers_is_asked_quickly() {
    let listed = Query::parse(&json!({ "n": { "$in": (0..100_000).collect::<Vec<_>>() } })).unwrap();
    let outside = json!({ "n": (100_000..110_000).collect::<Vec<_>>() });
    // One by one, these would be a billion comparisons.
    assert!(!listed.matches(&outside));
    for (list, value) in [(json!([1, 2]), json!(2.0)), (json!([-0.0]), json!(0)), (json!([{ "0": 1 }]), json!([[1]]))] {
        assert!(meant(&json!({ "n": { "$in": list } }), &json!({ "n": value })), "{list}");
    }
}

#[test]
fn queries_over_a_limit_are_refused_by_name() {
    let code = |query: &Value| Query::parse(query).err().map(|why| why.code());
    let deep = (0..100).fold(json!({}), |query, _| json!({ "$and": [query] }));
    assert_eq!(code(&deep), Some("query_too_large"));
    let patterns = |many: usize| json!({ "$or": vec![json!({ "s": { "$regex": "a" } }); many] });
    assert_eq!((code(&patterns(50)), code(&patterns(51))), (None, Some("query_too_large")));
    let wide: Map<String, Value> = (0..4_000).map(|n| (format!("f{n}"), json!(n))).collect();
    assert_eq!(code(&Value::Object(wide)), Some("query_too_large"));
    let long = json!({ "id": { "$in": (0..100_001).collect::<Vec<u32>>() } });
    assert_eq!(code(&long), Some("query_too_large"));
    assert_eq!(code(&json!({ "a".repeat(10) + &".b".repeat(101): 1 })), Some("path_too_long"));
    for odd in [json!(null), json!([]), json!("x"), json!({ "$and": [null] }), json!({ "$not": null })] {
        assert_eq!(code(&odd), Some("malformed_query"), "{odd}");
    }
}

#[test]
fn updates_do_what_javascript_does() {
    for (document, update, result) in [
        (json!({ "n": 1 }), json!({ "$inc": { "n": "2" } }), json!({ "n": "12" })),
        (json!({ "n": 0.1 }), json!({ "$inc": { "n": 0.2 } }), json!({ "n": 0.300_000_000_000_000_04 })),
        (json!({ "n": 2.5 }), json!({ "$mul": { "n": 2 } }), json!({ "n": 5 })),
        (json!({ "n": 2 }), json!({ "$mul": { "n": "x" } }), json!({ "n": null })),
        (json!({ "l": [1, 2] }), json!({ "$set": { "l.0": 5, "l.3": 6 } }), json!({ "l": [5, 2, null, 6] })),
        (json!({ "l": [{ "k": 1 }] }), json!({ "$inc": { "l.0.k": 1 } }), json!({ "l": [{ "k": 2 }] })),
        (json!({ "l": [1, 2] }), json!({ "$unset": { "l.0": 1 } }), json!({ "l": [null, 2] })),
        (json!({ "a": "t" }), json!({ "$push": { "a.b": 1 } }), json!({ "a": "t" })),
        (json!({ "a": 1, "b": 2 }), json!({ "$unset": { "q.r": 1, "a": 1 } }), json!({ "a": 1, "b": 2 })),
        (json!({ "a": 1 }), json!({ "$rename": { "a": "x.y" } }), json!({ "x.y": 1 })),
    ] {
        assert_eq!(updated(&document, &update), result, "{update}");
    }
    let spelled = updated(&json!({ "n": 1 }), &json!({ "$inc": { "n": 1.0 } })).to_string();
    assert_eq!(spelled, r#"{"n":2}"#, "whole numbers are spelled without a fraction");
}

#[test]
fn updates_that_cannot_be_carried_out_are_named() {
    let code = |update: Value| Update::parse(&update).err().map(|why| why.code());
    for odd in [json!(null), json!([1]), json!({ "$set": null }), json!({ "$inc": 5 })] {
        assert_eq!(code(odd.clone()), Some("malformed_update"), "{odd}");
    }
    assert_eq!(code(json!({ "$set": { "a".repeat(5) + &".b".repeat(101): 1 } })), Some("path_too_long"));
    let far = Update::parse(&json!({ "$set": { "l.4000000000": 1 } })).unwrap();
    let mut document = json!({ "l": [] }).as_object().unwrap().clone();
    assert_eq!(far.apply(&mut document), Err(Unreadable::ListGap { place: 4_000_000_000 }));
}

#[test]
fn a_client_sees_its_id_and_nobody_elses() {
    let shown = document_of(r#"{"a":1,"_id":"x","id":"theirs"}"#).unwrap();
    assert!(deep_equal(&shown, &json!({ "id": "x", "a": 1 })));
    assert_eq!(document_of(r#"{"_id":5}"#).unwrap(), json!({ "id": 5 }));
    assert_eq!(document_of(r#"{"_id":"x","n":1e999}"#), None);
}

#[test]
fn half_a_character_is_read_as_clients_show_it() {
    for (text, shown) in [
        (r#"{"_id":"x","t":"cut \ud83d"}"#, "cut \u{fffd}"),
        (r#"{"_id":"x","t":"\uDE00 cut"}"#, "\u{fffd} cut"),
        (r#"{"_id":"x","t":"\ud83d\ud83d\ude00"}"#, "\u{fffd}\u{1f600}"),
        (r#"{"_id":"x","t":"\ud83d\n"}"#, "\u{fffd}\n"),
        (r#"{"_id":"x","t":"\\ud83d ü"}"#, "\\ud83d ü"),
    ] {
        assert_eq!(document_of(text).unwrap()["t"], json!(shown), "{text}");
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..4).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![Just("a"), Just("b.c"), Just("1"), Just("^(a|b)+$"), Just("[")].prop_map(Value::from),
        ".{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            any_object_of(inner).prop_map(Value::Object),
        ]
    })
}

fn any_object_of(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    const NAMES: &[&str] = &[
        "a",
        "b",
        "a.b",
        "0",
        "1",
        "id",
        "_id",
        "$and",
        "$or",
        "$not",
        "$eq",
        "$ne",
        "$gt",
        "$lte",
        "$in",
        "$nin",
        "$regex",
        "$exists",
        "$set",
        "$unset",
        "$inc",
        "$push",
        "$pull",
        "$addToSet",
        "$rename",
        "$mul",
        "$min",
        "$max",
    ];
    prop::collection::vec((prop::sample::select(NAMES), inner), 0..4)
        .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

proptest! {
    #[test]
    fn any_query_is_refused_or_asked_and_means_only_what_it_pins(
        query in any_value(), document in any_object_of(any_value()), id in prop_oneof![Just("a"), Just("1")],
    ) {
        let mut document = document;
        document.insert("id".to_owned(), id.into());
        if let Ok(query) = Query::parse(&query)
            && query.matches(&Value::Object(document))
        {
            prop_assert!(query.pinned().is_none_or(|pinned| pinned.contains(id)));
        }
    }

    #[test]
    fn any_update_is_refused_or_gives_the_same_again(update in any_value(), document in any_object_of(any_value())) {
        if let Ok(update) = Update::parse(&update) {
            let (mut one, mut other) = (document.clone(), document);
            prop_assert_eq!(update.apply(&mut one), update.apply(&mut other));
            prop_assert_eq!(one, other);
        }
    }

    #[test]
    fn any_pattern_is_refused_or_asked(pattern in r"[\\\[\](){}^$|*+?.a-c0-9,:<>=!&~-]{0,20}", text in ".{0,20}") {
        let query = json!({ "s": { "$regex": pattern } });
        if let Ok(query) = Query::parse(&query) {
            std::hint::black_box(query.matches(&json!({ "s": text })));
        }
    }

    #[test]
    fn deep_equality_is_an_equivalence(a in any_value(), b in any_value(), c in any_value()) {
        prop_assert!(deep_equal(&a, &a));
        prop_assert_eq!(deep_equal(&a, &b), deep_equal(&b, &a));
        if deep_equal(&a, &b) && deep_equal(&b, &c) {
            prop_assert!(deep_equal(&a, &c));
        }
        if deep_equal(&a, &b) {
            prop_assert_eq!(digest(&a), digest(&b));
        }
    }

    #[test]
    fn the_order_of_fields_does_not_matter(fields in any_object_of(any_value())) {
        let reversed = Value::Object(fields.clone().into_iter().rev().collect());
        let document = Value::Object(fields);
        prop_assert!(deep_equal(&document, &reversed));
        prop_assert_eq!(digest(&document), digest(&reversed));
    }
}
