//! Keys keep the order of values; entries follow the documents; unique indexes find holders.

use super::*;
use crate::filter::{arbitrary, compare};
use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::{Value, json};

fn database() -> Connection {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch(SCHEMA).unwrap();
    conn
}

fn defined(conn: &Connection, path: &str, unique: bool) -> IndexDef {
    match create(conn, 1, path, path, unique).unwrap() {
        Created::New(def) => def,
        Created::Existing(def) => panic!("{def:?} was there before"),
    }
}

fn entries(conn: &Connection) -> Vec<(Vec<u8>, i64)> {
    let mut statement = conn.prepare("SELECT key, doc FROM index_entries ORDER BY key, doc").unwrap();
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

#[test]
fn definitions_are_created_listed_and_dropped_with_their_entries() {
    let conn = database();
    let city = defined(&conn, "address.city", false);
    let email = defined(&conn, "email", true);
    write(&conn, std::slice::from_ref(&city), 1, None, Some(&json!({"address": {"city": "Oslo"}}))).unwrap();

    assert_eq!(list(&conn, 1).unwrap(), vec![city.clone(), email.clone()]);
    assert_eq!(list(&conn, 2).unwrap(), vec![]);
    assert_eq!(create(&conn, 1, "email", "email", true).unwrap(), Created::Existing(email.clone()));

    assert!(drop(&conn, 1, "address.city").unwrap());
    assert!(!drop(&conn, 1, "address.city").unwrap());
    assert_eq!(list(&conn, 1).unwrap(), vec![email]);
    assert_eq!(entries(&conn), vec![]);
}

#[test]
fn definitions_are_refused_with_the_reason() {
    let conn = database();
    defined(&conn, "a", false);
    let taken = create(&conn, 1, "a", "b", false).unwrap_err().to_string();
    assert_eq!(taken, "index `a` exists already on `a`, not unique; drop it first, or choose another name");
    assert!(matches!(create(&conn, 1, "", "b", false), Err(IndexError::Name { bytes: 0, .. })));
    assert!(matches!(create(&conn, 1, "long", &"p".repeat(2000), false), Err(IndexError::Path { .. })));
    (1..INDEXES_MAX).for_each(|n| _ = defined(&conn, &format!("a{n}"), false));
    assert!(matches!(create(&conn, 1, "more", "b", false), Err(IndexError::TooMany)));
}

#[test]
fn entries_follow_a_document_from_insert_to_removal() {
    let conn = database();
    let defs = [defined(&conn, "a", false)];
    let (first, second) = (json!({"a": [1, 2, 2]}), json!({"a": [2, null]}));

    write(&conn, &defs, 7, None, Some(&first)).unwrap();
    let keys: Vec<Vec<u8>> = entries(&conn).into_iter().map(|(key, _)| key).collect();
    let value = |value: Value| key::of_value(&value, KEY_BYTES_MAX);
    let whole = |value: Value| key::of_whole_array(&value, KEY_BYTES_MAX);
    assert_eq!(keys, vec![value(json!(1)), value(json!(2)), whole(json!([1, 2, 2])), key::MANY.to_vec()]);

    write(&conn, &defs, 7, Some(&first), Some(&second)).unwrap();
    let keys: Vec<Vec<u8>> = entries(&conn).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, vec![value(json!(2)), whole(json!([2, null])), key::MANY.to_vec()]);

    write(&conn, &defs, 7, Some(&second), Some(&json!({"a": null}))).unwrap();
    assert_eq!(entries(&conn), vec![]);
    write(&conn, &defs, 7, Some(&json!({"a": null})), None).unwrap();
    assert_eq!(entries(&conn), vec![]);
}

#[test]
fn a_document_with_too_many_values_has_one_entry() {
    let conn = database();
    let defs = [defined(&conn, "a", false)];
    let values: Vec<usize> = (0..=ENTRIES_MAX).collect();
    write(&conn, &defs, 1, None, Some(&json!({ "a": values }))).unwrap();
    assert_eq!(entries(&conn), vec![(key::ANY.to_vec(), 1)]);
}

#[test]
fn unique_indexes_name_the_holder() {
    let conn = database();
    let defs = [defined(&conn, "plain", false), defined(&conn, "email", true)];
    let ada = json!({"email": "ada@x", "plain": 1});
    write(&conn, &defs, 1, None, Some(&ada)).unwrap();

    let conflict = Some(UniqueConflict { index: defs[1].id, holder: 1 });
    assert_eq!(unique_conflict(&conn, &defs, None, &ada).unwrap(), conflict);
    assert_eq!(unique_conflict(&conn, &defs, Some(2), &json!({"email": ["new", "ada@x"]})).unwrap(), conflict);
    assert_eq!(unique_conflict(&conn, &defs, Some(1), &ada).unwrap(), None);
    assert_eq!(unique_conflict(&conn, &defs, None, &json!({"email": "ada@y", "plain": 1})).unwrap(), None);
}

#[test]
fn unique_indexes_ignore_null_absence_and_arrays_as_a_whole() {
    let conn = database();
    let defs = [defined(&conn, "v", true)];
    for (doc, held) in [json!({"v": null}), json!({}), json!({"v": []}), json!({"v": [1, 2]})].iter().enumerate() {
        write(&conn, &defs, doc as i64, None, Some(held)).unwrap();
    }
    for free in [json!({"v": null}), json!({}), json!({"v": []}), json!({"v": [[1, 2]]}), json!({"v": [null]})] {
        assert_eq!(unique_conflict(&conn, &defs, None, &free).unwrap(), None, "{free}");
    }
}

#[test]
fn unique_indexes_tell_long_values_apart() {
    let conn = database();
    let defs = [defined(&conn, "v", true)];
    let long = |end: &str| json!({"v": "x".repeat(KEY_BYTES_MAX * 2) + end});
    write(&conn, &defs, 1, None, Some(&long("1"))).unwrap();
    assert_eq!(unique_conflict(&conn, &defs, None, &long("2")).unwrap(), None);
    assert!(unique_conflict(&conn, &defs, None, &long("1")).unwrap().is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn keys_order_like_values(a in arbitrary::value(), b in arbitrary::value()) {
        let (key_a, key_b) = (key::of_value(&a, usize::MAX), key::of_value(&b, usize::MAX));
        prop_assert_eq!(key_a.cmp(&key_b), compare(&a, &b), "{} and {}", a, b);
        prop_assert!(key_a == key_b || !key_b.starts_with(&key_a), "no key begins another");
    }

    #[test]
    fn cut_keys_keep_the_order(a in arbitrary::value(), b in arbitrary::value(), bytes_max in 1usize..16) {
        let (cut_a, cut_b) = (key::of_value(&a, bytes_max), key::of_value(&b, bytes_max));
        prop_assert!(cut_a.len() <= bytes_max);
        prop_assert!(key::of_value(&a, usize::MAX).starts_with(&cut_a));
        if compare(&a, &b).is_le() {
            prop_assert!(cut_a <= cut_b);
        }
    }

    #[test]
    fn entries_depend_on_the_last_content_only(documents in prop::collection::vec(prop::option::of(arbitrary::document()), 1..5)) {
        let conn = database();
        let defs = [defined(&conn, "a", false), defined(&conn, "a.b", true)];
        let mut old = None;
        for new in &documents {
            write(&conn, &defs, 1, old, new.as_ref()).unwrap();
            old = new.as_ref();
        }
        let by_steps = entries(&conn);
        conn.execute("DELETE FROM index_entries", []).unwrap();
        write(&conn, &defs, 1, None, old).unwrap();
        prop_assert_eq!(by_steps, entries(&conn));
    }
}
