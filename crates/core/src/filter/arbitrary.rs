//! Random documents and filters over few names and values, so that they often meet. Shared by the
//! property tests of filters, sort orders, indexes and plans. Strategies are boxed: as plain types, nested
//! as they are, their state overflows the stack of a test thread.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const KEYS: [&str; 4] = ["a", "b", "c", "0"];
const PATHS: [&str; 9] = ["a", "b", "c", "a.b", "a.0", "a.0.b", "a.b.c", "a.1", "b.a"];

/// A path that documents of [`document`] often have.
pub fn path() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&PATHS[..])
}

/// Numbers that are small, or close to where floats lose integers.
pub fn number() -> BoxedStrategy<Value> {
    prop_oneof![
        4 => (-2i64..4).prop_map(Value::from),
        2 => (-2i64..4).prop_map(|n| json!(n as f64 + 0.5)),
        1 => prop::sample::select(vec![json!(0.0), json!(-0.0), json!(1.0), json!(1e300), json!(-1e300), json!(5e-324)]),
        1 => (-2i64..3).prop_map(|n| json!((1i64 << 53) + n)),
        1 => (-2i64..3).prop_map(|n| json!(((1i64 << 53) + n) as f64)),
        1 => (0u64..3).prop_map(|n| json!(u64::MAX - n)),
        1 => (0i64..3).prop_map(|n| json!(i64::MIN + n)),
        1 => (0i64..3).prop_map(|n| json!(i64::MAX - n)),
        1 => prop::sample::select(vec![json!(u64::MAX as f64), json!(i64::MIN as f64), json!(i64::MAX as f64)]),
    ]
    .boxed()
}

fn scalar() -> BoxedStrategy<Value> {
    prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        4 => number(),
        2 => prop::sample::select(&["", "a", "ab", "b", "a\0", "a\u{1}", "é", "1", "a.b"][..]).prop_map(Value::from),
    ]
    .boxed()
}

/// Any value, nested up to three levels.
pub fn value() -> BoxedStrategy<Value> {
    scalar()
        .prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..3).prop_map(Value::from),
                vec((prop::sample::select(&KEYS[..]), inner), 0..3).prop_map(object),
            ]
        })
        .boxed()
}

/// A document with `_id`, and now and then a top-level key that looks like a path.
pub fn document() -> BoxedStrategy<Value> {
    let literal = prop::option::weighted(0.2, (path(), value()));
    (vec((prop::sample::select(&KEYS[..3]), value()), 0..4), literal)
        .prop_map(|(fields, literal)| {
            let mut document = object(fields);
            document["_id"] = json!("d");
            if let Some((key, value)) = literal {
                document[key] = value;
            }
            document
        })
        .boxed()
}

fn object(fields: Vec<(&'static str, Value)>) -> Value {
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>().into()
}

/// A filter of up to three levels, in its JSON form.
pub fn filter() -> BoxedStrategy<Value> {
    let field = (path(), condition()).prop_map(|(path, condition)| json!({ path: condition }));
    field
        .prop_recursive(3, 8, 3, |inner| {
            prop_oneof![
                vec(inner.clone(), 1..3).prop_map(|branches| json!({ "$and": branches })),
                vec(inner.clone(), 1..3).prop_map(|branches| json!({ "$or": branches })),
                inner.clone().prop_map(|branch| json!({ "$not": branch })),
                (inner, path(), condition()).prop_map(|(mut first, path, condition)| {
                    first[path] = condition;
                    first
                }),
            ]
        })
        .boxed()
}

fn condition() -> BoxedStrategy<Value> {
    prop_oneof![
        2 => value(),
        4 => operator(),
        2 => (operator(), operator()).prop_map(|(mut first, second)| {
            let second = second.as_object().cloned().unwrap_or_default();
            first.as_object_mut().expect("operators are objects").extend(second);
            first
        }),
        1 => operator().prop_map(|inner| json!({ "$not": inner })),
    ]
    .boxed()
}

fn operator() -> BoxedStrategy<Value> {
    let equality = (prop::sample::select(&["$eq", "$ne"][..]), value());
    let comparison = (prop::sample::select(&["$gt", "$gte", "$lt", "$lte"][..]), scalar());
    let list = (prop::sample::select(&["$in", "$nin"][..]), vec(value(), 0..4).prop_map(Value::from));
    prop_oneof![
        2 => equality.prop_map(|(name, operand)| json!({ name: operand })),
        4 => comparison.prop_map(|(name, operand)| json!({ name: operand })),
        2 => list.prop_map(|(name, operand)| json!({ name: operand })),
        1 => any::<bool>().prop_map(|wanted| json!({ "$exists": wanted })),
    ]
    .boxed()
}
