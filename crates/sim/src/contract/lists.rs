//! Lists for people, and small records.

use super::Bench;
use super::pen::{Do, by, collection, commit, id, load, node, open, space, write};
use syncline_core::hub::{Change, Conflict, Entry, KeptLoss, Quarantined, Touch, WriteSet};
use syncline_core::merge::Values;
use syncline_core::model::{Author, Body, Lsn, Mark, Meta, Millis, Seq, Stamp, Strategy, Version};
use syncline_server::store::{ConflictRow, Kept, ListQuery, RecordKind, Trim};

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
        late: false,
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

/// What an author lost after it was accepted is found by its author, the oldest first and page by page; and nothing else is.
pub async fn late_losses_are_found_by_their_author(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    let nodes = load(&store, Touch { nodes: [node("ann"), node("bob")].into(), ..Touch::default() }).await.nodes;
    let (ann, bob) = (nodes[&node("ann")].author, nodes[&node("bob")].author);
    let conflict = |i: &str, winner, loser, late| Conflict {
        collection: collection("a"),
        id: id(i),
        lsn: Lsn(9),
        rule: Strategy::LastWriteWins,
        winner,
        loser,
        late,
        losing: Values::Removal,
        winning: Values::Removal,
    };
    let conflicts = vec![
        conflict("x", bob, ann, true),
        conflict("told", bob, ann, false),
        conflict("of-bob", ann, bob, true),
        conflict("y", bob, ann, true),
        conflict("z", ann, bob, false),
    ];
    commit(&store, Touch::default(), WriteSet { at: Millis(5), conflicts, ..WriteSet::default() })
        .await
        .expect("written");

    let late =
        async |author, after, limit| store.late_conflicts(&space(), author, after, limit).await.expect("readable");
    let ids = |rows: &[ConflictRow]| rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>();
    let all = late(ann, 0, 9).await;
    assert_eq!((ids(&all.rows), all.upto), (vec!["x".to_owned(), "y".to_owned()], 5));
    let first = late(ann, 0, 1).await;
    assert_eq!((ids(&first.rows), first.upto), (vec!["x".to_owned()], 1), "there may be more");
    let rest = late(ann, first.upto, 1).await;
    assert_eq!((ids(&rest.rows), rest.upto), (vec!["y".to_owned()], 4));
    let none = late(ann, rest.upto, 1).await;
    assert_eq!((none.rows.len(), none.upto), (0, 5));
    assert_eq!(late(ann, 77, 9).await.upto, 5, "the ledger's own end, wherever the asker was");

    let trim = Trim { ledger_before: Millis(6), ..Trim::default() };
    store.trim(&space(), trim).await.expect("trimmed");
    let gone = late(ann, 0, 9).await;
    assert_eq!((gone.rows.len(), gone.upto), (0, 5), "numbers go on where they were");
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

/// A restored row says by which change, and a row that leaves the quarantine is gone; how many are left is known.
pub async fn kept_rows_are_decided_about_one_by_one(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    let conflict = |losing, winning| Conflict {
        collection: collection("a"),
        id: id("x"),
        lsn: Lsn(9),
        rule: Strategy::LastWriteWins,
        winner: Author(1),
        loser: Author(2),
        late: false,
        losing,
        winning,
    };
    let odd = Values::Fields(r#"{"n":1.50,"big":12345678901234567890123}"#.into());
    let conflicts =
        vec![conflict(odd.clone(), Values::Fields("{}".into())), conflict(Values::Removal, Values::Removal)];
    let quarantine = ["one", "two", "three"].map(aside).to_vec();
    let writes = WriteSet { at: Millis(5), conflicts, quarantine, ..WriteSet::default() };
    let head = commit(&store, Touch::default(), writes).await.expect("written");
    assert_eq!(head.kept, Kept { conflicts: 2, quarantined: 3, last_conflict: 2 });
    let rows = store.conflicts(&space(), ListQuery { limit: 9, ..ListQuery::default() }).await.expect("readable");
    let (first, second) = (rows[1].n, rows[0].n);
    let rows = store.quarantine(&space(), ListQuery { limit: 9, ..ListQuery::default() }).await.expect("readable");
    let (kept, gone) = (rows[2].n, rows[0].n);

    let writes = WriteSet { restored: [(first, Lsn(12))].into(), released: [gone, 77].into(), ..WriteSet::default() };
    let head = commit(&store, Touch::default(), writes).await.expect("written");

    assert_eq!(head.kept, Kept { conflicts: 2, quarantined: 2, last_conflict: 2 });
    let touch = Touch { ledger: [first, second, 77].into(), quarantine: [kept, gone, 77].into(), ..Touch::default() };
    let loaded = load(&store, touch).await;
    let restored = KeptLoss { losing: odd, winning: Values::Fields("{}".into()), restored: Some(Lsn(12)) };
    let other = KeptLoss { losing: Values::Removal, winning: Values::Removal, restored: None };
    assert_eq!(loaded.ledger, [(first, restored), (second, other)].into());
    assert_eq!(loaded.quarantine, [kept].into());
    let rows = store.conflicts(&space(), ListQuery { limit: 9, ..ListQuery::default() }).await.expect("readable");
    assert_eq!(rows.iter().map(|row| row.restored).collect::<Vec<_>>(), [None, Some(Lsn(12))]);
    assert_eq!(rows[1].losing.text(), r#"{"n":1.50,"big":12345678901234567890123}"#, "spelling stays");

    let store = bench.reopen(store).await;
    assert_eq!(open(&store).await.kept, Kept { conflicts: 2, quarantined: 2, last_conflict: 2 });
    let trim = Trim { quarantine_before: Millis(6), ledger_before: Millis(6), ..Trim::default() };
    store.trim(&space(), trim).await.expect("trimmed");
    let kept = store.head(&space()).await.expect("readable").kept;
    assert_eq!(kept, Kept { conflicts: 0, quarantined: 0, last_conflict: 2 }, "numbers are not used again");
}

fn aside(op: &str) -> Quarantined {
    Quarantined {
        collection: None,
        id: None,
        node: node("n1"),
        seq: None,
        code: "too_deep".into(),
        reason: "it nests too deep".into(),
        op: op.into(),
    }
}

/// The newest versions, also of what was removed; what nobody knows is left out.
pub async fn documents_are_read_by_their_places(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    write(&store, &[Do::Put("a", "x", 1), Do::Put("a", "y", 2), Do::Put("b", "x", 3)]).await;
    write(&store, &[Do::Put("a", "x", 4), Do::Remove("a", "y")]).await;

    let asked = [("a", "x"), ("a", "y"), ("a", "z"), ("c", "x")].map(|(c, i)| (collection(c), id(i))).to_vec();
    let found = store.documents(&space(), asked).await.expect("readable");

    let seen: Vec<_> = (found.iter())
        .map(|((c, i), version)| (c.as_str(), i.as_str(), version.lsn.0, version.meta.is_live()))
        .collect();
    assert_eq!(seen, [("a", "x", 4, true), ("a", "y", 5, false)]);
    assert_eq!(found[0].1.body.text(), r#"{"_id":"x","n":4}"#);
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
    let one = store.node(&space(), &node("reader")).await.expect("readable").expect("known");
    assert_eq!((one.node.as_str(), one.cursor, one.seen_at), ("reader", Lsn(0), Millis(90)));
    assert_eq!(store.node(&space(), &node("nobody")).await.expect("readable"), None);
}

/// Kinds do not see each other; writing again replaces, writing nothing removes, and what was read is replaced only while it
/// stands.
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
    let add = async |key: &str, value: &str| {
        store.add_record(RecordKind::Filled, key.into(), value.into()).await.expect("written")
    };
    assert!(add("a", "5").await && add("b", "6").await && !add("a", "7").await, "a key is taken once");

    let replace = async |key: &str, before: &str, value: &str| {
        let (key, before, value) = (key.into(), before.into(), value.into());
        store.replace_record(RecordKind::Token, key, before, value).await.expect("written")
    };
    assert!(!replace("b", "1", "8").await, "another one stands there by now");
    assert!(!replace("a", "2", "8").await, "what was removed does not come back");
    assert!(replace("b", "4", "9").await);

    let list = async |kind| {
        let records = store.records(kind).await.expect("readable");
        records.into_iter().map(|record| (record.key, record.value)).collect::<Vec<_>>()
    };
    assert_eq!(list(RecordKind::Token).await, [("b".into(), "9".into())]);
    assert_eq!(list(RecordKind::Collection).await, [("a".to_owned(), "3".to_owned())]);
}

/// Live documents whose time is over, in their order, page by page; no version but the newest counts.
pub async fn expired_documents_are_listed_in_order(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    let version = |lsn, id: &str, expires: &str, removed| {
        entry(id, lsn, format!(r#"{{"_id":"{id}","expireAt":{expires}}}"#), removed)
    };
    let entries = vec![
        version(1, "late", "900", false),
        version(2, "x", "300", false),
        version(3, "y", "100", false),
        version(4, "z", "300", false),
        version(5, "prolonged", "50", false),
        version(6, "prolonged", "901", false),
        version(7, "gone", "60", true),
        version(8, "shortened", "null", false),
        version(9, "shortened", "301", false),
        version(10, "lasting", "null", false),
    ];
    commit(&store, by("n1"), WriteSet { entries, ..WriteSet::default() }).await.expect("written");

    let list = async |at: u64, after, limit| {
        let rows = store.expired(&space(), Millis(at), after, limit).await.expect("readable");
        rows.into_iter().map(|row| (row.at.0, row.lsn.0, row.id.to_string())).collect::<Vec<_>>()
    };
    let row = |at: u64, lsn: u64, id: &str| (at, lsn, id.to_owned());
    let start = (Millis(0), Lsn(0));
    assert_eq!(list(300, start, 10).await, [row(100, 3, "y"), row(300, 2, "x"), row(300, 4, "z")]);
    assert_eq!(list(301, start, 2).await, [row(100, 3, "y"), row(300, 2, "x")]);
    assert_eq!(list(301, (Millis(300), Lsn(2)), 2).await, [row(300, 4, "z"), row(301, 9, "shortened")]);
    assert!(list(99, start, 10).await.is_empty());
}

pub(super) fn entry(name: &str, lsn: u64, text: String, removed: bool) -> Entry {
    let mark = Mark { stamp: Stamp(lsn), lsn: Lsn(lsn), author: Author(1) };
    let meta = Meta { removed: removed.then_some(mark), ..Meta::inserted(mark) };
    let version = Version { lsn: Lsn(lsn), author: Author(1), body: Body::trusted(text), meta };
    let facts = version.body.facts().clone();
    Entry::Change(Change { collection: collection("a"), id: id(name), version, facts })
}
