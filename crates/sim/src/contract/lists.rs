//! Lists for people, and small records.

use super::Bench;
use super::pen::{Do, collection, commit, id, load, node, open, space, write};
use syncline_core::hub::{Conflict, Quarantined, Touch, WriteSet};
use syncline_core::merge::{Strategy, Values};
use syncline_core::model::{Author, Lsn, Millis, Seq};
use syncline_server::store::{ListQuery, RecordKind};

/// Newest first, filtered by collection and document, page by page; losing values unharmed.
pub async fn the_ledger_is_listed_in_pages(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    let nodes = load(&store, Touch { nodes: [node("ann"), node("bob")].into(), ..Touch::default() }).await.nodes;
    let (ann, bob) = (nodes[&node("ann")].author, nodes[&node("bob")].author);
    let conflict = |c: &str, i: &str, losing, loser| Conflict {
        collection: collection(c),
        id: id(i),
        lsn: Lsn(9),
        rule: Strategy::LastWriteWins,
        winner: ann,
        loser,
        losing,
        winning: Values::Document(r#"{"_id":"x"}"#.into()),
    };
    let conflicts = vec![
        conflict("a", "x", Values::Fields(r#"{"n":1.5}"#.into()), bob),
        conflict("a", "y", Values::Removal, Author(77)),
        conflict("b", "x", Values::Document(r#"{"_id":"x","n":2}"#.into()), bob),
    ];
    commit(&store, Touch::default(), WriteSet { at: Millis(5), conflicts, ..WriteSet::default() })
        .await
        .expect("written");

    let list = async |query| store.conflicts(&space(), query).await.expect("readable");
    let first = list(ListQuery { limit: 2, ..ListQuery::default() }).await;
    let rest = list(ListQuery { limit: 2, before: Some(first[1].n), ..ListQuery::default() }).await;
    let of_a = list(ListQuery { limit: 9, collection: Some(collection("a")), ..ListQuery::default() }).await;
    let of_y = list(ListQuery { limit: 9, id: Some(id("y")), ..ListQuery::default() }).await;

    let kinds: Vec<_> = first.iter().chain(&rest).map(|row| row.losing_kind.as_str()).collect();
    assert_eq!(kinds, ["document", "removal", "fields"]);
    assert_eq!(rest[0].losing.to_string(), r#"{"n":1.5}"#);
    assert_eq!(rest[0].winning.to_string(), r#"{"_id":"x"}"#);
    assert_eq!((rest[0].winner.as_str(), rest[0].loser.as_str(), rest[0].at), ("ann", "bob", Millis(5)));
    assert_eq!((rest[0].rule.as_str(), rest[0].lsn), ("last-write-wins", Lsn(9)));
    assert!(first[1].losing.is_null() && first[1].loser.is_empty(), "nobody has this number");
    assert_eq!(of_a.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["y", "x"]);
    assert_eq!(of_y, first[1..]);
    assert!(list(ListQuery::default()).await.is_empty(), "a limit of 0 is 0");
}

/// Newest first, with everything that is known of the op, which may be little.
pub async fn the_quarantine_is_listed_in_pages(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    let op = |c: Option<&str>, i: Option<&str>, seq: Option<u64>| Quarantined {
        collection: c.map(collection),
        id: i.map(id),
        node: node("n1"),
        seq: seq.map(Seq),
        code: "too_deep".into(),
        reason: "it nests too deep".into(),
        op: "not even JSON \u{0} é".into(),
    };
    let quarantine = vec![op(Some("a"), Some("x"), Some(3)), op(None, None, None), op(Some("b"), None, Some(4))];
    commit(&store, Touch::default(), WriteSet { at: Millis(6), quarantine, ..WriteSet::default() })
        .await
        .expect("written");

    let list = async |query| store.quarantine(&space(), query).await.expect("readable");
    let first = list(ListQuery { limit: 2, ..ListQuery::default() }).await;
    let rest = list(ListQuery { limit: 2, before: Some(first[1].n), ..ListQuery::default() }).await;
    let of_a = list(ListQuery { limit: 9, collection: Some(collection("a")), ..ListQuery::default() }).await;

    assert_eq!(first.iter().map(|row| row.seq).collect::<Vec<_>>(), [Some(4), None]);
    assert_eq!(of_a, rest);
    assert_eq!((rest[0].collection.as_deref(), rest[0].id.as_deref()), (Some("a"), Some("x")));
    assert_eq!((rest[0].code.as_str(), rest[0].reason.as_str()), ("too_deep", "it nests too deep"));
    assert_eq!((rest[0].op.as_str(), rest[0].at), ("not even JSON \u{0} é", Millis(6)));
}

/// A reader that has never pushed is known, too.
pub async fn cursors_are_noted(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    write(&store, &[Do::Put("a", "x", 1)]).await;

    let notes = vec![(node("n1"), Lsn(1), Millis(70)), (node("reader"), Lsn(1), Millis(80))];
    store.note_cursors(&space(), notes).await.expect("noted");
    store.note_cursors(&space(), vec![(node("reader"), Lsn(0), Millis(90))]).await.expect("noted");

    let rows = store.nodes(&space()).await.expect("readable");
    let rows: Vec<_> = rows.into_iter().map(|row| (row.node, row.cursor, row.seen_at)).collect();
    assert_eq!(rows, [("n1".into(), Lsn(1), Millis(70)), ("reader".into(), Lsn(0), Millis(90))]);
}

/// Kinds do not see each other; writing again replaces, writing nothing removes.
pub async fn records_are_kept_by_kind(bench: &dyn Bench) {
    let store = bench.store();
    let put = async |kind, key: &str, value: Option<&str>| {
        store.put_record(kind, key.into(), value.map(Into::into)).await.expect("written");
    };
    put(RecordKind::Token, "b", Some("1")).await;
    put(RecordKind::Token, "a", Some("2")).await;
    put(RecordKind::Collection, "a", Some("3")).await;
    put(RecordKind::Token, "b", Some("4")).await;
    put(RecordKind::Token, "a", None).await;
    put(RecordKind::Token, "never", None).await;

    let list = async |kind| {
        let records = store.records(kind).await.expect("readable");
        records.into_iter().map(|record| (record.key, record.value)).collect::<Vec<_>>()
    };
    assert_eq!(list(RecordKind::Token).await, [("b".into(), "4".into())]);
    assert_eq!(list(RecordKind::Collection).await, [("a".to_owned(), "3".to_owned())]);
}
