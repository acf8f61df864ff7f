//! The rules of filters: by example, by refusal, and against a naive oracle.

use super::*;
use proptest::prelude::*;
use serde_json::json;
use std::cmp::Ordering;
use std::collections::BTreeMap;

fn matches(filter: Value, document: Value) -> bool {
    Filter::parse(&filter).expect("a valid filter").matches(&document)
}

fn refusal(filter: Value) -> String {
    Filter::parse(&filter).expect_err("a refused filter").to_string()
}

#[test]
fn the_empty_filter_matches_everything() {
    assert!(matches(json!({}), json!({"a": 1})));
    assert!(Filter::all().matches(&json!({})));
}

#[test]
fn equality_is_implicit_and_exact() {
    assert!(matches(json!({"a": 1, "b": "x"}), json!({"a": 1.0, "b": "x"})));
    assert!(!matches(json!({"a": 1, "b": "x"}), json!({"a": 1, "b": "y"})));
    assert!(matches(json!({"a": {"x": 1, "y": 2}}), json!({"a": {"y": 2, "x": 1}})));
    assert!(!matches(json!({"a": {"x": 1}}), json!({"a": {"y": 2, "x": 1}})));
    assert!(matches(json!({"a": {}}), json!({"a": {}})));
}

#[test]
fn numbers_beyond_2_53_are_not_confused() {
    let document = json!({"n": 9_007_199_254_740_993_i64});
    assert!(!matches(json!({"n": 9_007_199_254_740_992.0}), document.clone()));
    assert!(matches(json!({"n": {"$gt": 9_007_199_254_740_992.0}}), document));
    assert!(matches(json!({"n": {"$lt": 18_446_744_073_709_551_616.0}}), json!({"n": u64::MAX})));
    assert!(matches(json!({"n": {"$gt": i64::MAX}}), json!({"n": 1u64 << 63})));
    assert!(matches(json!({"n": 0}), json!({"n": -0.0})));
}

#[test]
fn comparisons_stay_within_a_kind() {
    assert!(!matches(json!({"a": {"$gt": 5}}), json!({"a": "9"})));
    assert!(!matches(json!({"a": {"$lt": 5}}), json!({"a": null})));
    assert!(!matches(json!({"a": {"$lt": 5}}), json!({})));
    assert!(matches(json!({"a": {"$gte": "b"}}), json!({"a": "é"})));
    assert!(matches(json!({"a": {"$gt": false}}), json!({"a": true})));
    assert!(matches(json!({"a": {"$lte": null}}), json!({})));
}

#[test]
fn an_array_matches_by_an_element_or_as_a_whole() {
    let tags = json!({"tags": ["new", "vip"]});
    assert!(matches(json!({"tags": "vip"}), tags.clone()));
    assert!(matches(json!({"tags": ["new", "vip"]}), tags.clone()));
    assert!(!matches(json!({"tags": ["vip", "new"]}), tags.clone()));
    assert!(matches(json!({"tags": {"$in": ["x", "new"]}}), tags.clone()));
    assert!(!matches(json!({"tags": {"$ne": "vip"}}), tags));
    assert!(matches(json!({"a": {"$gt": 5, "$lt": 10}}), json!({"a": [3, 12]})));
}

#[test]
fn paths_go_through_objects_positions_and_arrays_of_objects() {
    let order = json!({"to": {"city": "Oslo"}, "items": [{"price": 5}, {"price": 50, "tags": ["x"]}]});
    assert!(matches(json!({"to.city": "Oslo"}), order.clone()));
    assert!(matches(json!({"items.price": {"$gt": 40}}), order.clone()));
    assert!(matches(json!({"items.0.price": 5}), order.clone()));
    assert!(!matches(json!({"items.1.price": 5}), order.clone()));
    assert!(matches(json!({"items.1.tags.0": "x"}), order.clone()));
    assert!(matches(json!({"items.tags": "x"}), order.clone()));
    assert!(matches(json!({"items.2": {"$exists": false}}), order));
}

#[test]
fn a_literal_top_level_key_wins_over_the_path() {
    let document = json!({"x.y": 1, "x": {"y": 2}});
    assert!(matches(json!({"x.y": 1}), document.clone()));
    assert!(!matches(json!({"x.y": 2}), document));
}

#[test]
fn null_equals_absence_but_not_in_arrays_of_scalars() {
    for present in
        [json!({"a": [{}]}), json!({"a": [{"b": 5}, {}]}), json!({"a": 4}), json!({}), json!({"a": {"b": null}})]
    {
        assert!(matches(json!({"a.b": null}), present.clone()), "{present}");
        assert!(matches(json!({"a.b": {"$in": [1, null]}}), present));
    }
    for other in [json!({"a": [{"b": 5}]}), json!({"a": []}), json!({"a": [5, {"b": 5}]}), json!({"a": [[{}]]})] {
        assert!(!matches(json!({"a.b": null}), other.clone()), "{other}");
        assert!(matches(json!({"a.b": {"$ne": null}}), other));
    }
}

#[test]
fn exists_sees_null() {
    assert!(matches(json!({"a": {"$exists": true}}), json!({"a": null})));
    assert!(matches(json!({"a.b": {"$exists": false}}), json!({"a": 1})));
}

#[test]
fn combinations_nest_and_negate() {
    let filter = json!({"$or": [{"a": 1, "b": 1}, {"$and": [{"c": {"$gt": 1}}, {"$not": {"d": 1}}]}]});
    assert!(matches(filter.clone(), json!({"a": 1, "b": 1})));
    assert!(matches(filter.clone(), json!({"c": 2})));
    assert!(!matches(filter, json!({"c": 2, "d": 1})));
    assert!(matches(json!({"a": {"$not": {"$gt": 5, "$lt": 10}}}), json!({"a": 12})));
    assert!(matches(json!({"a": {"$nin": [1, 2]}}), json!({})));
    assert!(!matches(json!({"a": {"$in": []}}), json!({"a": 1})));
}

#[test]
fn refusals_name_the_operator_the_path_and_what_is_known() {
    let message = refusal(json!({"age": {"$regex": "x"}}));
    assert!(message.contains("`$regex`") && message.contains("`age`") && message.contains("$gte"), "{message}");
    let message = refusal(json!({"$nor": []}));
    assert!(message.contains("`$nor`") && message.contains("$and, $or"), "{message}");
    assert_eq!(refusal(json!({"a": {"$in": 5}})), "`$in` in `a` takes a list of values, not a number");
    assert_eq!(refusal(json!({"a": {"$exists": 1}})), "`$exists` in `a` takes true or false, not a number");
    assert_eq!(
        refusal(json!({"$or": []})),
        "`$or` in the filter takes a list of at least one filter, not an empty list"
    );
    assert!(refusal(json!({"a": {"$gt": {"b": 1}}})).contains("`$gt` in `a` takes a number"));
    assert!(refusal(json!({"a": {"$not": 5}})).contains("`$not` in `a` takes an object of operators"));
    assert!(refusal(json!({"a": {"$gt": 1, "b": 1}})).contains("mixes operators with the plain field `b`"));
    assert!(refusal(json!([1])).contains("the filter is a list"));
    assert!(refusal(json!({"$or": [1]})).contains("a branch of `$or` is a number"));
}

#[test]
fn sizes_are_limited() {
    let nested = (0..=DEPTH_MAX).fold(json!({"a": 1}), |inner, _| json!({"$and": [inner]}));
    assert_eq!(Filter::parse(&nested), Err(FilterError::TooDeep));
    let nots = (0..=DEPTH_MAX).fold(json!({"$gt": 1}), |inner, _| json!({ "$not": inner }));
    assert_eq!(Filter::parse(&json!({ "a": nots })), Err(FilterError::TooDeep));
    let wide = json!({"$or": vec![json!({"a": 1}); CONDITIONS_MAX + 1]});
    assert_eq!(Filter::parse(&wide), Err(FilterError::TooManyConditions));
    assert!(refusal(json!({"a": {"$nin": vec![0; IN_VALUES_MAX + 1]}})).contains("10001 values; the limit is 10000"));
    let deep = (0..=OPERAND_DEPTH_MAX).fold(json!(1), |inner, _| json!([inner]));
    assert!(refusal(json!({ "a": deep })).contains("more than 64 levels"));
    let long = ".".repeat(PATH_SEGMENTS_MAX);
    assert!(refusal(json!({ long: 1 })).contains("is too long"));
}

#[test]
fn attributes_of_a_node_take_the_place_of_their_names() {
    let attributes = [("branch", json!("north")), ("areas", json!([1, 2]))];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), value)).into();
    let written = json!({"$or": [{"branch": "$node.branch"}, {"area": {"$in": "$node.areas"}}], "n": 1, "x": "node.y"});
    let expected = json!({"$or": [{"branch": "north"}, {"area": {"$in": [1, 2]}}], "n": 1, "x": "node.y"});
    assert_eq!(substitute(&written, &attributes).unwrap(), expected);

    let refused = substitute(&json!({"$not": {"a": ["$node.bransh"]}}), &attributes).unwrap_err().to_string();
    assert!(refused.contains("`$node.bransh`") && refused.contains("`areas`, `branch`"), "{refused}");
    let refused = substitute(&json!({"a": "$node.x"}), &BTreeMap::new()).unwrap_err().to_string();
    assert!(refused.contains("the node has no attributes"), "{refused}");
}

#[test]
fn claims_of_a_token_take_the_place_of_their_names_and_bring_in_no_operators() {
    let claims = json!({
        "sub": "anna", "teams": ["a", "b"], "org": {"id": 7}, "a.b": 1, "nothing": null, "sly": {"$exists": true},
        "nested": [["x"]],
    });
    let bind = |filter: Value| bind_claims(&filter, claims.as_object().unwrap(), 1_000);
    let written =
        json!({"$or": [{"owner": "$sub"}, {"team": {"$in": "$teams"}}], "org": "$org.id", "n": "$a.b", "p": "$$5"});
    let expected = json!({"$or": [{"owner": "anna"}, {"team": {"$in": ["a", "b"]}}], "org": 7, "n": 1, "p": "$5"});
    assert_eq!(bind(written), Ok(expected));

    for absent in ["other", "nothing", "org.name", "sub.x", ""] {
        let refused = bind(json!({ "owner": format!("${absent}") }));
        assert_eq!(refused, Err(FilterError::MissingClaim { name: absent.to_owned() }));
    }
    for unusable in ["sly", "org", "nested"] {
        let refused = bind(json!({ "owner": format!("${unusable}") }));
        assert_eq!(refused, Err(FilterError::UnusableClaim { name: unusable.to_owned() }));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn filters_agree_with_the_oracle(filter in arbitrary::filter(), documents in prop::collection::vec(arbitrary::document(), 8)) {
        let parsed = Filter::parse(&filter).expect("generated filters are valid");
        for document in documents {
            prop_assert_eq!(parsed.matches(&document), oracle::matches(&filter, &document), "{} on {}", filter, document);
        }
    }

    #[test]
    fn the_order_is_total_and_agrees_with_equality(a in arbitrary::value(), b in arbitrary::value(), c in arbitrary::value()) {
        prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        prop_assert_eq!(compare(&a, &b).is_eq(), order::equal(&a, &b));
        if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
            prop_assert!(compare(&a, &c).is_le());
        }
    }

    #[test]
    fn numbers_order_exactly(a in arbitrary::number(), b in arbitrary::number()) {
        prop_assert_eq!(compare(&a, &b), oracle::numbers(&a, &b), "{} and {}", a, b);
    }
}

/// The same rules, written for clarity alone: straight from the JSON form, with copies everywhere.
mod oracle {
    use super::*;

    pub(super) fn matches(filter: &Value, document: &Value) -> bool {
        filter.as_object().unwrap().iter().all(|(key, value)| match key.as_str() {
            "$and" => value.as_array().unwrap().iter().all(|f| matches(f, document)),
            "$or" => value.as_array().unwrap().iter().any(|f| matches(f, document)),
            "$not" => !matches(value, document),
            path => condition(value, &leaves(document, path)),
        })
    }

    fn condition(condition: &Value, leaves: &[Option<Value>]) -> bool {
        match condition.as_object() {
            Some(operators) if operators.keys().any(|k| k.starts_with('$')) => {
                operators.iter().all(|(name, operand)| operator(name, operand, leaves))
            }
            _ => operator("$eq", condition, leaves),
        }
    }

    fn operator(name: &str, operand: &Value, leaves: &[Option<Value>]) -> bool {
        let mut values = leaves.to_vec();
        for leaf in leaves.iter().flatten() {
            values.extend(leaf.as_array().into_iter().flatten().cloned().map(Some));
        }
        let any_is = |wanted: &[Ordering]| {
            values.iter().any(|value| same_kind(value, operand).is_some_and(|order| wanted.contains(&order)))
        };
        match name {
            "$eq" => values.iter().any(|value| same(value.as_ref().unwrap_or(&Value::Null), operand)),
            "$ne" => !self::operator("$eq", operand, leaves),
            "$in" => operand.as_array().unwrap().iter().any(|v| self::operator("$eq", v, leaves)),
            "$nin" => !self::operator("$in", operand, leaves),
            "$gt" => any_is(&[Ordering::Greater]),
            "$gte" => any_is(&[Ordering::Greater, Ordering::Equal]),
            "$lt" => any_is(&[Ordering::Less]),
            "$lte" => any_is(&[Ordering::Less, Ordering::Equal]),
            "$exists" => leaves.iter().any(Option::is_some) == operand.as_bool().unwrap(),
            "$not" => !condition(operand, leaves),
            unknown => panic!("{unknown} is not generated"),
        }
    }

    fn leaves(document: &Value, path: &str) -> Vec<Option<Value>> {
        match document.as_object().unwrap().get(path) {
            Some(value) => vec![Some(value.clone())],
            None => walk(document.clone(), path),
        }
    }

    fn walk(value: Value, path: &str) -> Vec<Option<Value>> {
        let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let go_on = |inner: Value| rest.map_or(vec![Some(inner.clone())], |rest| walk(inner, rest));
        match value {
            Value::Object(fields) => fields.get(name).map_or(vec![None], |inner| go_on(inner.clone())),
            Value::Array(elements) => match name.parse::<usize>().ok().and_then(|at| elements.get(at)) {
                Some(element) => go_on(element.clone()),
                None => elements.into_iter().filter(Value::is_object).flat_map(|e| walk(e, path)).collect(),
            },
            _ => vec![None],
        }
    }

    fn same_kind(value: &Option<Value>, operand: &Value) -> Option<Ordering> {
        match (value.as_ref().unwrap_or(&Value::Null), operand) {
            (Value::Null, Value::Null) => Some(Ordering::Equal),
            (Value::Number(_), Value::Number(_)) => Some(numbers(value.as_ref()?, operand)),
            (Value::String(a), Value::String(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    fn same(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Number(_), Value::Number(_)) => numbers(a, b).is_eq(),
            (Value::Array(x), Value::Array(y)) => x.len() == y.len() && (0..x.len()).all(|i| same(&x[i], &y[i])),
            (Value::Object(x), Value::Object(y)) => {
                x.keys().chain(y.keys()).all(|k| x.contains_key(k) && y.contains_key(k) && same(&x[k], &y[k]))
            }
            _ => a == b,
        }
    }

    pub(super) fn numbers(a: &Value, b: &Value) -> Ordering {
        let integer = |v: &Value| v.as_i64().map(i128::from).or(v.as_u64().map(i128::from));
        match (integer(a), integer(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            (None, None) => a.as_f64().unwrap().partial_cmp(&b.as_f64().unwrap()).unwrap(),
            (Some(a), None) => integer_and_float(a, b.as_f64().unwrap()),
            (None, Some(b)) => integer_and_float(b, a.as_f64().unwrap()).reverse(),
        }
    }

    /// Floats beyond the range saturate, which is far beyond any 64-bit integer.
    fn integer_and_float(integer: i128, float: f64) -> Ordering {
        let whole = float.trunc() as i128;
        integer.cmp(&whole).then_with(|| 0.0.partial_cmp(&float.fract()).unwrap())
    }
}
