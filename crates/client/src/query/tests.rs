//! Queries by example and by refusal; sorting, projecting and planning against naive versions.

use super::*;
use crate::filter::{arbitrary, compare};
use crate::index::{self, Created, IndexDef};
use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::json;

fn query(json: Value) -> Query {
    Query::from_json(&json).expect("a valid query")
}

fn refusal(json: Value) -> String {
    Query::from_json(&json).expect_err("a refused query").to_string()
}

fn ids(found: Vec<Value>) -> Vec<u64> {
    found.iter().map(|document| document["_id"].as_u64().unwrap()).collect()
}

fn people() -> Vec<Value> {
    vec![
        json!({"_id": 1, "age": 30, "name": "b"}),
        json!({"_id": 2, "age": 20, "name": "a"}),
        json!({"_id": 3, "age": 30, "name": "a"}),
        json!({"_id": 4, "name": "c"}),
    ]
}

#[test]
fn parts_work_together() {
    let found = query(json!({
        "filter": {"age": {"$gte": 20}}, "sort": {"age": -1, "name": 1}, "skip": 1, "limit": 1,
        "projection": {"name": 1},
    }))
    .run(people());
    assert_eq!(found, vec![json!({"_id": 1, "name": "b"})]);
}

#[test]
fn sorting_is_stable_and_puts_absence_first() {
    assert_eq!(ids(query(json!({"sort": {"age": 1}})).run(people())), [4, 2, 1, 3]);
    assert_eq!(ids(query(json!({"sort": {"age": -1}})).run(people())), [1, 3, 2, 4]);
}

#[test]
fn kinds_sort_in_the_documented_order() {
    let values = [
        json!(null),
        json!(2),
        json!(2.5),
        json!(""),
        json!("z"),
        json!({}),
        json!({"a": 1}),
        json!(false),
        json!(true),
    ];
    let documents = values.iter().rev().map(|value| json!({ "v": value }));
    let sorted: Vec<Value> =
        query(json!({"sort": {"v": 1}})).run(documents).into_iter().map(|d| d["v"].clone()).collect();
    assert_eq!(sorted, values);
}

#[test]
fn arrays_stand_by_their_least_or_greatest_value() {
    let documents = || vec![json!({"_id": 1, "v": [5, 1]}), json!({"_id": 2, "v": 3}), json!({"_id": 3, "v": []})];
    assert_eq!(ids(query(json!({"sort": {"v": 1}})).run(documents())), [3, 1, 2]);
    assert_eq!(ids(query(json!({"sort": {"v": -1}})).run(documents())), [1, 2, 3]);
}

#[test]
fn unsorted_queries_stop_reading_when_they_have_enough() {
    let mut read = 0;
    let endless = (0..).inspect(|_| read += 1).map(|n| json!({ "_id": n }));
    assert_eq!(ids(query(json!({"skip": 2, "limit": 3})).run(endless)), [2, 3, 4]);
    assert_eq!(read, 5);
    assert_eq!(query(json!({"limit": 0})).run(people()), Vec::<Value>::new());
}

#[test]
fn sorted_queries_hold_no_more_than_skip_and_limit() {
    // Items count themselves while they are held.
    let held = std::rc::Rc::new(());
    let query = query(json!({"sort": {"n": -1}, "skip": 2, "limit": 3}));
    let mut selection = query.select();
    for n in 0..100 {
        assert!(selection.offer(&json!({ "n": n }), (n, held.clone())).is_continue());
        assert!(std::rc::Rc::strong_count(&held) - 1 <= 5);
    }
    let found: Vec<i32> = selection.finish().into_iter().map(|(n, _)| n).collect();
    assert_eq!(found, [97, 96, 95]);
}

#[test]
fn projections_include_or_exclude() {
    let document = json!({"_id": 1, "a": {"x": 1, "y": 2}, "l": [{"x": 1, "y": 2}, 7, [{"x": 3}]], "s": 5});
    let project = |projection: Value| {
        Projection::parse(&projection).unwrap().map_or(document.clone(), |p| p.apply(document.clone()))
    };
    assert_eq!(project(json!({})), document);
    assert_eq!(project(json!({"s": 1})), json!({"_id": 1, "s": 5}));
    assert_eq!(project(json!({"s": true, "_id": 0})), json!({"s": 5}));
    assert_eq!(project(json!({"_id": 1})), json!({"_id": 1}));
    assert_eq!(project(json!({"_id": 0, "a": 0, "l": 0})), json!({"s": 5}));
    assert_eq!(project(json!({"a.x": 1, "s.x": 1})), json!({"_id": 1, "a": {"x": 1}}));
    assert_eq!(project(json!({"l.x": 1})), json!({"_id": 1, "l": [{"x": 1}, [{"x": 3}]]}));
    assert_eq!(
        project(json!({"l.x": 0, "a.y": 0})),
        json!({"_id": 1, "a": {"x": 1}, "l": [{"y": 2}, 7, [{}]], "s": 5})
    );
}

#[test]
fn a_literal_key_wins_over_a_projected_path() {
    let document = json!({"x.y": 1, "x": {"y": 2, "z": 3}});
    let project = |projection| Projection::parse(&projection).unwrap().unwrap().apply(document.clone());
    assert_eq!(project(json!({"x.y": 1})), json!({"x.y": 1}));
    assert_eq!(project(json!({"x.y": 0})), json!({"x": {"y": 2, "z": 3}}));
}

#[test]
fn refusals_name_the_part_and_what_it_takes() {
    assert_eq!(
        refusal(json!({"where": {}})),
        "unknown part `where` of a query; known: filter, sort, skip, limit, projection"
    );
    assert_eq!(refusal(json!({"skip": -1})), "`skip` takes a whole number from 0");
    assert_eq!(refusal(json!({"limit": 1.5})), "`limit` takes a whole number from 0");
    assert_eq!(refusal(json!({"sort": {"a": 2}})), "`sort` by `a` takes 1 (ascending) or -1 (descending)");
    assert!(refusal(json!({"sort": ["a"]})).starts_with("`sort` takes an object"));
    assert!(refusal(json!({"projection": {"a": "yes"}})).starts_with("`projection` of `a` takes 1"));
    assert!(refusal(json!({"projection": {"a": 1, "b": 0}})).contains("at `b`"));
    assert!(refusal(json!({"projection": {"a.b": 1, "a": 1}})).contains("names `a` and, inside it, `a.b`"));
    assert!(refusal(json!({"filter": {"a": {"$near": 1}}})).contains("`$near`"));
    assert!(refusal(json!([])).starts_with("a query is a JSON object"));
}

#[test]
fn sizes_are_limited() {
    let paths = |n: usize| (0..n).map(|i| (format!("p{i}"), json!(1))).collect::<Map<_, _>>();
    assert_eq!(refusal(json!({ "sort": paths(SORT_PATHS_MAX + 1) })), "a query sorts by at most 32 paths");
    assert_eq!(
        refusal(json!({ "projection": paths(PROJECTION_PATHS_MAX + 1) })),
        "`projection` names more than 256 paths"
    );
}

/// A database with documents in rows 0, 1, 2 … and an index on each path.
fn indexed(paths: &[&str], documents: &[Value]) -> (Connection, Vec<IndexDef>) {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch(index::SCHEMA).unwrap();
    let define = |path: &&str| match index::create(&conn, 1, path, path, *path == "id").unwrap() {
        Created::New(def) | Created::Existing(def) => def,
    };
    let defs: Vec<IndexDef> = paths.iter().map(define).collect();
    for (row, document) in documents.iter().enumerate() {
        index::write(&conn, &defs, row as i64, None, Some(document)).unwrap();
    }
    (conn, defs)
}

fn rows(conn: &Connection, defs: &[IndexDef], filter: Value) -> Candidates {
    plan(&Filter::parse(&filter).unwrap(), defs).candidates(conn, CANDIDATES_MAX).unwrap()
}

#[test]
fn plans_look_at_few_documents() {
    let documents: Vec<Value> = (0..100).map(|n| json!({"id": n, "n": n % 10, "tag": format!("t{}", n % 4)})).collect();
    let (conn, defs) = indexed(&["id", "n", "tag"], &documents);
    let rows = |filter| rows(&conn, &defs, filter);
    let count = |filter| match rows(filter) {
        Candidates::Rows(rows) => rows.len(),
        Candidates::All => 100,
    };
    assert_eq!(rows(json!({"id": 42})), Candidates::Rows(vec![42]));
    assert_eq!(rows(json!({"id": {"$in": [9, 7, 7.0]}, "n": {"$gt": 1}})), Candidates::Rows(vec![7, 9]));
    assert_eq!(count(json!({"n": {"$gte": 3, "$lte": 4}})), 20);
    assert_eq!(count(json!({"$and": [{"n": {"$gte": 3}}, {"n": {"$lte": 4}}]})), 20);
    assert_eq!(count(json!({"n": {"$gte": 8}, "other": 1})), 20);
    assert_eq!(count(json!({"$or": [{"id": 1}, {"n": 2}]})), 11);
    assert_eq!(rows(json!({"id": {"$in": []}})), Candidates::Rows(vec![]));
    assert_eq!(rows(json!({"$or": [{"id": 1}, {"other": 2}]})), Candidates::All);
    for unfit in
        [json!({}), json!({"n": null}), json!({"n": {"$ne": 1}}), json!({"n": {"$exists": true}}), json!({"other": 1})]
    {
        assert_eq!(rows(unfit), Candidates::All);
    }
}

#[test]
fn plans_give_up_on_too_many_candidates_or_scans() {
    let documents: Vec<Value> = (0..50).map(|n| json!({"id": n, "tags": ["a", "b"]})).collect();
    let (conn, defs) = indexed(&["id", "tags"], &documents);
    let both = plan(&Filter::parse(&json!({"tags": {"$in": ["a", "b"]}})).unwrap(), &defs);
    assert_eq!(both.candidates(&conn, 49).unwrap(), Candidates::All);
    assert!(matches!(both.candidates(&conn, 50).unwrap(), Candidates::Rows(rows) if rows.len() == 50));
    let wide: Vec<usize> = (0..=SCANS_MAX).collect();
    assert_eq!(plan(&Filter::parse(&json!({"id": {"$in": wide}})).unwrap(), &defs), Plan::All);
}

#[test]
fn plans_find_long_and_numerous_values() {
    let long = "x".repeat(index::KEY_BYTES_MAX);
    let many: Vec<usize> = (0..=index::ENTRIES_MAX).collect();
    let documents =
        [json!({"v": long.clone() + "1"}), json!({"v": long.clone() + "2"}), json!({"v": many}), json!({"v": [1, 9]})];
    let (conn, defs) = indexed(&["v"], &documents);
    assert_eq!(rows(&conn, &defs, json!({"v": long.clone() + "2"})), Candidates::Rows(vec![0, 1, 2]));
    assert_eq!(rows(&conn, &defs, json!({"v": {"$gt": long + "1"}})), Candidates::Rows(vec![0, 1, 2]));
    assert_eq!(rows(&conn, &defs, json!({"v": {"$gt": 4, "$lt": 6}})), Candidates::Rows(vec![2, 3]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn plans_miss_no_match(
        filters in prop::collection::vec(arbitrary::filter(), 6),
        documents in prop::collection::vec(arbitrary::document(), 1..8),
        paths in prop::sample::subsequence(vec!["a", "b", "c", "a.b", "a.0", "b.a"], 1..5),
    ) {
        let (conn, defs) = indexed(&paths, &documents);
        for json in filters {
            let filter = Filter::parse(&json).unwrap();
            let Candidates::Rows(rows) = plan(&filter, &defs).candidates(&conn, CANDIDATES_MAX).unwrap() else {
                continue;
            };
            for (row, document) in documents.iter().enumerate() {
                prop_assert!(!filter.matches(document) || rows.contains(&(row as i64)), "{json} with {paths:?} misses {document}");
            }
        }
    }

    #[test]
    fn texts_and_documents_give_the_same_answer(
        filter in arbitrary::filter(),
        documents in prop::collection::vec(arbitrary::document(), 0..12),
        path in prop::sample::select(vec!["a", "b", "c", "a.b", "a.0", "b.a"]),
        (sorted, limit) in (any::<bool>(), 0usize..6),
    ) {
        let mut query = Query::new(Filter::parse(&filter).unwrap()).limit(limit);
        if sorted {
            query = query.sort_by(path, Order::Descending).unwrap();
        }
        let mut reading = query.read();
        for document in &documents {
            if reading.offer(&document.to_string()).unwrap().is_some_and(|offered| offered.is_break()) {
                break;
            }
        }
        prop_assert_eq!(reading.finish().unwrap(), query.run(documents));
    }

    #[test]
    fn bounded_sorting_is_sorting_then_cutting(
        values in prop::collection::vec((arbitrary::number(), arbitrary::number()), 0..20),
        (skip, limit) in (0usize..6, prop::option::of(0usize..6)),
        (first, second) in (any::<bool>(), any::<bool>()),
    ) {
        let documents: Vec<Value> = values.iter().enumerate().map(|(n, (a, b))| json!({"_id": n, "a": a, "b": b})).collect();
        let order = |ascending| if ascending { Order::Ascending } else { Order::Descending };
        let mut query = Query::new(Filter::all()).sort_by("a", order(first)).unwrap().sort_by("b", order(second)).unwrap().skip(skip);
        if let Some(limit) = limit {
            query = query.limit(limit);
        }
        let mut expected = documents.clone();
        expected.sort_by(|x, y| {
            let by = |name: &str, ascending| if ascending { compare(&x[name], &y[name]) } else { compare(&y[name], &x[name]) };
            by("a", first).then(by("b", second))
        });
        let expected: Vec<Value> = expected.into_iter().skip(skip).take(limit.unwrap_or(usize::MAX)).collect();
        prop_assert_eq!(query.run(documents), expected);
    }
}
