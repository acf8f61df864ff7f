//! Loading, deciding and writing in one step.

use super::Bench;
use super::pen::{self, Do, collection, commit, id, load, open, space, write};
use std::collections::BTreeMap;
use syncline_core::hub::{Change, Entry, Touch, WriteSet};
use syncline_core::model::{Author, Body, Facts, Lsn, Mark, Meta, Millis, Stamp, Strategy, TimeFields, Version};
use syncline_server::store::{CollectionRule, RecordKind, StoreError};

/// Each commit continues the log where the one before ended.
pub async fn lsns_are_in_order_without_gaps(bench: &dyn Bench) {
    let store = bench.store();
    let empty = open(&store).await;
    assert_eq!((empty.lsn, empty.last_change, empty.horizon), (Lsn(0), Lsn(0), Lsn(0)));
    assert!(!empty.epoch.as_str().is_empty());

    let first = write(&store, &[Do::Put("a", "x", 1), Do::Put("a", "y", 1)]).await;
    let second = write(&store, &[Do::Put("a", "z", 1), Do::Ticket("a")]).await;

    assert_eq!((first.lsn, first.last_change), (Lsn(2), Lsn(2)));
    assert_eq!((second.lsn, second.last_change), (Lsn(4), Lsn(3)), "a ticket is not a change");
    assert_eq!(store.head(&space()).await.expect("the space exists"), second);
    assert_eq!(second.epoch, empty.epoch);
    assert_eq!(pen::scan(&store, pen::log_after(0)).await.expect("readable").words(), "1:x 2:y 3:z");
}

/// A head is the newest version, also of a removed document and one that came back.
pub async fn heads_follow_updates_removals_and_returns(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    let touch = || Touch { docs: [(collection("a"), id("x"))].into(), ..Touch::default() };
    let key = (collection("a"), id("x"));

    write(&store, &[Do::Put("a", "x", 1), Do::Put("a", "x", 2)]).await;
    let updated = load(&store, touch()).await;
    assert_eq!(updated.head, Lsn(2));
    assert_eq!(updated.docs[&key].body.text(), r#"{"_id":"x","n":2}"#);

    write(&store, &[Do::Remove("a", "x")]).await;
    let removed = &load(&store, touch()).await.docs[&key];
    assert!(!removed.meta.is_live());
    assert_eq!(removed.body.text(), r#"{"_id":"x","n":2}"#, "the last text stays");

    write(&store, &[Do::Put("a", "x", 3)]).await;
    let back = &load(&store, touch()).await.docs[&key];
    assert!(back.meta.is_live());
    assert_eq!(back.lsn, Lsn(4));

    let elsewhere = Touch { docs: [(collection("b"), id("x")), (collection("a"), id("w"))].into(), ..Touch::default() };
    assert!(load(&store, elsewhere).await.docs.is_empty(), "absent entries do not exist");
}

/// A collection that is needed whole comes with every live document and no other.
pub async fn a_whole_collection_is_loaded_live(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    write(&store, &[Do::Put("a", "x", 1), Do::Put("a", "y", 1), Do::Put("a", "z", 1), Do::Put("b", "w", 1)]).await;
    write(&store, &[Do::Remove("a", "y"), Do::Remove("a", "z")]).await;

    let touch = Touch {
        whole: [collection("a"), collection("never")].into(),
        docs: [(collection("a"), id("z"))].into(),
        ..Touch::default()
    };
    let loaded = load(&store, touch).await;

    let ids: Vec<_> = loaded.docs.keys().map(|(_, id)| id.as_str()).collect();
    assert_eq!(ids, ["x", "z"], "live ones, and the removed one that an op names");
}

/// Nothing of a decision that panics is there afterwards, and the space goes on.
pub async fn a_panicking_decision_writes_nothing(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    write(&store, &[Do::Put("a", "x", 1)]).await;

    let failed = store.commit(&space(), pen::by("newcomer"), Box::new(|_| panic!("a broken decision"))).await;

    assert!(matches!(failed, Err(StoreError::Engine { .. })), "{failed:?}");
    let nodes = store.nodes(&space()).await.expect("readable");
    assert!(nodes.iter().all(|row| row.node != "newcomer"));
    assert_eq!(write(&store, &[Do::Put("a", "y", 1)]).await.lsn, Lsn(2));
}

/// A write set that does not continue the log is refused as a whole.
pub async fn a_gap_in_the_write_set_writes_nothing(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    let (good, after_gap) = (change("x", 1, Meta::default()), change("y", 3, Meta::default()));
    let writes = WriteSet { entries: vec![good, after_gap], seen: vec![[7; 16]], ..WriteSet::default() };

    let failed = commit(&store, pen::by("n1"), writes).await;

    assert!(matches!(failed, Err(StoreError::Engine { .. })), "{failed:?}");
    assert_eq!(store.head(&space()).await.expect("the space exists").lsn, Lsn(0));
    assert!(pen::scan(&store, pen::log_after(0)).await.expect("readable").rows.is_empty());
    let loaded = load(&store, Touch { keys: [[7; 16]].into(), ..Touch::default() }).await;
    assert!(loaded.seen.is_empty());
}

/// Text, marks and facts survive to the letter, with a plain meta and with a rich one.
pub async fn versions_come_back_as_written(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    let mark = |lsn| Mark { stamp: Stamp(1 << 52), lsn: Lsn(lsn), author: Author(1) };
    let rich = Meta {
        fields: BTreeMap::from([("né\"e".to_owned(), mark(1))]),
        removed: Some(Mark { stamp: Stamp(5), lsn: Lsn(1), author: Author(9) }),
        created: Lsn(1),
        again: true,
        born: BORN,
        ..Meta::inserted(mark(2))
    };
    let entries = vec![change("plain", 1, Meta::inserted(mark(1))), change("rich", 2, rich.clone())];
    commit(&store, pen::by("n1"), WriteSet { at: Millis(77), entries, ..WriteSet::default() }).await.expect("written");

    let docs = [(collection("a"), id("plain")), (collection("a"), id("rich"))];
    let loaded = load(&store, Touch { docs: docs.clone().into(), ..Touch::default() }).await;
    assert_eq!(loaded.docs[&docs[0]].meta, Meta::inserted(mark(1)));
    assert_eq!(loaded.docs[&docs[1]].meta, rich);
    assert_eq!(loaded.docs[&docs[1]].author, Author(1));

    let rows = pen::scan(&store, pen::log_after(0)).await.expect("readable").rows;
    assert_eq!(rows[0].meta, "", "one insert wrote it");
    assert_eq!((rows[0].born, rows[0].eventful), (Stamp(1 << 52), false));
    assert_eq!((rows[1].born, rows[1].eventful), (BORN, true));
    assert_eq!(serde_json::from_str::<Meta>(&rows[1].meta).expect("a meta"), rich);
    for row in &rows {
        assert_eq!((row.at, row.author, row.stamp, row.created), (Millis(77), Author(1), Stamp(1 << 52), Lsn(1)));
        assert_eq!(row.times, TIMES);
        assert_eq!(row.body, ODD_TEXT);
    }
}

const BORN: Stamp = Stamp(4);
const ODD_TEXT: &str = r#"{ "a":1.50,"b":12345678901234567890123, "c":"\u00e9 é \u0000" }"#;

const TIMES: TimeFields = TimeFields { created_at: true, updated_at: false, lifetime: true };

fn change(name: &str, lsn: u64, meta: Meta) -> Entry {
    let version = Version { lsn: Lsn(lsn), author: Author(1), body: Body::trusted(ODD_TEXT), meta };
    let facts = Facts { times: TIMES, expires: Some(Millis(9_000_000_000)), ..Facts::default() };
    Entry::Change(Change { collection: collection("a"), id: id(name), version, facts })
}

/// The hub's rules for a collection are loaded with the pushes that touch it, as of now.
pub async fn rules_are_loaded_as_they_are_set(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    let key = CollectionRule::key(&space(), &collection("a"));
    let touch = || Touch { collections: [collection("a"), collection("b")].into(), ..Touch::default() };
    let rule = r#"{"strategy":"server-wins","max_bytes":7,"schema":{"required":["n"]}}"#.to_owned();

    store.put_record(RecordKind::Collection, key.clone(), Some(rule)).await.expect("written");
    let store = bench.reopen(store).await;
    let set = load(&store, touch()).await.rules;
    store.put_record(RecordKind::Collection, key, None).await.expect("removed");
    let unset = load(&store, touch()).await.rules;

    assert_eq!(set.keys().collect::<Vec<_>>(), [&collection("a")]);
    let demands = &set[&collection("a")];
    assert_eq!((demands.rule.strategy, demands.rule.max_bytes), (Some(Strategy::ServerWins), Some(7)));
    let breach = demands.shape.as_ref().and_then(|shape| shape.breach("{}"));
    assert!(breach.as_ref().is_some_and(|words| words.contains("required")), "{breach:?}");
    assert!(unset.is_empty());
}
