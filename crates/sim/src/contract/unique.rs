//! Which documents have which values that must be unique.

use super::lists::entry;
use super::pen::{Do, collection, id, load, log_after, open, scan, space, write};
use super::{AnyStore, Bench};
use std::sync::{Arc, Mutex};
use syncline_core::hub::{Claimed, Loaded, Touch, WriteSet};
use syncline_core::model::{CollectionRule, DocId, Lsn, Millis, UniqueKey, UniqueValue};
use syncline_server::store::{RecordKind, StoreError};

fn key(name: &str) -> UniqueKey {
    UniqueKey::new(vec![name.to_owned()]).expect("a good key")
}

/// The value `n` of the documents that [`Do::Put`] writes.
fn value(n: u64) -> UniqueValue {
    UniqueValue { collection: collection("a"), key: key("n"), value: n.to_string() }
}

/// Before any document's own time is over.
const AT: Millis = Millis(0);

fn touch() -> Touch {
    Touch { collections: [collection("a")].into(), ..Touch::default() }
}

async fn rule(store: &AnyStore, rule: Option<&str>) {
    let place = CollectionRule::key(&space(), &collection("a"));
    store.put_record(RecordKind::Collection, place, rule.map(str::to_owned)).await.expect("written");
    load(store, touch()).await;
}

async fn holders(store: &AnyStore, n: u64) -> Vec<DocId> {
    let found = store.holders(&space(), vec![value(n)], 10, AT).await.expect("an answer");
    assert_eq!(found[0].0, value(n));
    found[0].1.clone()
}

async fn claim(store: &AnyStore, n: u64, name: &str, since: Option<u64>) {
    let writes = WriteSet {
        unique: vec![Claimed { value: value(n), id: id(name), since: since.map(Lsn) }],
        ..WriteSet::default()
    };
    store.commit(&space(), touch(), Box::new(move |_| writes.clone())).await.expect("a commit succeeds");
}

/// A rule counts for what is there as well: the living, whoever came first before the others. What changes is kept,
/// and goes with the rule.
pub async fn values_that_are_unique_are_known_from_the_moment_of_the_rule(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    let (y, x, gone) = (Do::Put("a", "y", 1), Do::Put("a", "x", 1), Do::Put("a", "gone", 1));
    write(&store, &[y, x, gone, Do::Put("b", "z", 1), Do::Put("a", "w", 2)]).await;
    write(&store, &[Do::Remove("a", "gone")]).await;
    assert!(holders(&store, 1).await.is_empty(), "without a rule nothing is kept");

    rule(&store, Some(r#"{"unique":["n"]}"#)).await;
    assert_eq!((holders(&store, 1).await, holders(&store, 2).await), (vec![id("y"), id("x")], vec![id("w")]));
    assert_eq!(store.holders(&space(), vec![value(1)], 1, AT).await.expect("an answer")[0].1, [id("y")]);

    claim(&store, 1, "y", None).await;
    claim(&store, 1, "v", Some(9)).await;
    let store = bench.reopen(store).await;
    assert_eq!(holders(&store, 1).await, [id("x"), id("v")]);

    rule(&store, Some(r#"{"unique":[["n","m"]]}"#)).await;
    assert!(holders(&store, 1).await.is_empty(), "nobody asks for it any more");
    rule(&store, Some(r#"{"unique":["n"]}"#)).await;
    assert_eq!(holders(&store, 1).await, [id("y"), id("x")], "and it is built from what is there then");
    rule(&store, None).await;
    assert!(holders(&store, 1).await.is_empty());
}

/// Nobody is shown a document whose own time is over, so it has no values either, long before it is removed.
pub async fn a_document_whose_time_is_over_has_no_unique_value(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    let ends = |lsn, id: &str, at: u64| entry(id, lsn, format!(r#"{{"_id":"{id}","n":1,"expireAt":{at}}}"#), false);
    let writes = WriteSet { entries: vec![ends(1, "old", 500), ends(2, "later", 900)], ..WriteSet::default() };
    store.commit(&space(), touch(), Box::new(move |_| writes.clone())).await.expect("written");
    rule(&store, Some(r#"{"unique":["n"]}"#)).await;

    let at = async |at| store.holders(&space(), vec![value(1)], 1, Millis(at)).await.expect("an answer")[0].1.clone();
    assert_eq!(at(499).await, [id("old")]);
    assert_eq!(at(500).await, [id("later")]);
    assert!(at(900).await.is_empty());

    let seen = Arc::new(Mutex::new(None));
    let answer = Arc::clone(&seen);
    let decide = move |loaded: Loaded| {
        let known = loaded.holders.get(&value(1)).cloned();
        let asks = if known.is_none() { [value(1)].into() } else { [].into() };
        *answer.lock().expect("no panic inside") = known;
        WriteSet { asks, at: Millis(500), ..WriteSet::default() }
    };
    store.commit(&space(), touch(), Box::new(decide)).await.expect("it comes to an end");
    assert_eq!(seen.lock().expect("no panic inside").take(), Some(vec![id("later")]), "as of the decision's own time");
}

/// A decision that asks is taken again with the answer, and only its last write set counts.
pub async fn who_has_a_value_is_answered_before_anything_is_written(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    write(&store, &[Do::Put("a", "x", 1)]).await;
    rule(&store, Some(r#"{"unique":["n"]}"#)).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let looks = Arc::clone(&seen);
    let decide = move |loaded: Loaded| {
        let mut looks = looks.lock().expect("no panic inside");
        looks.push((loaded.holders.clone(), loaded.last_look));
        let asks = match looks.len() {
            1 => [value(1), value(2)].into(),
            2 => [value(3)].into(),
            _ => [].into(),
        };
        WriteSet { asks, ..WriteSet::default() }
    };
    store.commit(&space(), touch(), Box::new(decide)).await.expect("it comes to an end");
    let seen = std::mem::take(&mut *seen.lock().expect("no panic inside"));
    assert_eq!(seen.len(), 3);
    assert!(seen[0].0.is_empty() && !seen[2].1);
    let (one, two) = ((value(1), vec![id("x")]), (value(2), Vec::new()));
    assert_eq!(seen[1].0, [one.clone(), two.clone()].into());
    assert_eq!(seen[2].0, [one, two, (value(3), Vec::new())].into());

    let looks = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&looks);
    let asks_for_ever = move |loaded: Loaded| {
        let mut told = told.lock().expect("no panic inside");
        told.push(loaded.last_look);
        WriteSet { asks: [value(told.len() as u64)].into(), ..WriteSet::default() }
    };
    let refused = store.commit(&space(), touch(), Box::new(asks_for_ever)).await;
    assert!(matches!(refused, Err(StoreError::Entangled)), "{refused:?}");
    let looks = looks.lock().expect("no panic inside");
    assert_eq!(looks.iter().filter(|last| **last).count(), 1, "it was told that this is the last time: {looks:?}");
}

/// What a commit that fails has built or written is not there, and is built again.
pub async fn an_index_of_unique_values_survives_a_failed_commit(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    write(&store, &[Do::Put("a", "x", 1)]).await;
    let place = CollectionRule::key(&space(), &collection("a"));
    let unique = Some(r#"{"unique":["n"]}"#.to_owned());
    store.put_record(RecordKind::Collection, place, unique).await.expect("written");
    let panics = |_: Loaded| -> WriteSet { panic!("on purpose") };
    assert!(store.commit(&space(), touch(), Box::new(panics)).await.is_err());
    load(&store, touch()).await;
    assert_eq!(holders(&store, 1).await, [id("x")]);
    assert_eq!(scan(&store, log_after(0)).await.expect("a log").rows.len(), 1);
}
