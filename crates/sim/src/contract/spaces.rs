//! Spaces beside each other, and what stays when a store is closed.

use super::Bench;
use super::pen::{self, Do, log_after, open, scan, seqs, snapshot_after, space, write, write_in};
use syncline_core::hub::{Touch, WriteSet};
use syncline_core::model::{Lsn, Receipt, Seq, SpaceName, Verdict};
use syncline_server::store::{ListQuery, RecordKind, StoreError, Trim};
use tokio::sync::mpsc;

fn named(name: &str) -> SpaceName {
    SpaceName::new(name).expect("a good name")
}

/// Every method says so, and none makes the space.
pub async fn unknown_spaces_are_refused(bench: &dyn Bench) {
    let store = bench.store();
    let nowhere = named("nowhere");
    let (out, _chunks) = mpsc::channel(1);
    let query = ListQuery { limit: 1, ..ListQuery::default() };

    let refusals = [
        store.head(&nowhere).await.err(),
        store.commit(&nowhere, Touch::default(), Box::new(|_| WriteSet::default())).await.err(),
        store.scan(&nowhere, log_after(0), pen::deaf(), out).await.err(),
        store.trim(&nowhere, Trim::default()).await.err(),
        store.conflicts(&nowhere, query.clone()).await.err(),
        store.quarantine(&nowhere, query).await.err(),
        store.nodes(&nowhere).await.err(),
        store.note_cursors(&nowhere, Vec::new()).await.err(),
    ];

    for refusal in refusals {
        assert!(matches!(refusal, Some(StoreError::UnknownSpace(ref name)) if *name == nowhere), "{refusal:?}");
    }
    assert!(store.spaces().await.expect("readable").is_empty());
}

/// Each space counts for itself and shows nothing of the others.
pub async fn spaces_are_isolated(bench: &dyn Bench) {
    let store = bench.store();
    let main = open(&store).await;
    let other = store.open_space(&named("other")).await.expect("opened");
    write(&store, &[Do::Put("a", "x", 1)]).await;

    let head = write_in(&store, &named("other"), "n2", &[Do::Put("a", "x", 2), Do::Put("a", "y", 2)]).await;

    assert_ne!(main.epoch, other.epoch);
    assert_eq!(head.lsn, Lsn(2));
    let rows = scan(&store, snapshot_after(0)).await.expect("readable").rows;
    assert_eq!(rows.iter().map(|row| row.body.as_str()).collect::<Vec<_>>(), [r#"{"_id":"x","n":1}"#]);
    let nodes = store.nodes(&space()).await.expect("readable");
    assert_eq!(nodes.iter().map(|row| row.node.as_str()).collect::<Vec<_>>(), ["n1"]);
    assert_eq!(store.spaces().await.expect("readable"), [space(), named("other")]);
    assert_eq!(store.open_space(&space()).await.expect("opened again").lsn, Lsn(1), "opening is not emptying");
}

/// What was there before is there after, and numbers go on where they were.
pub async fn reopening_keeps_everything(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    store.put_record(RecordKind::Token, "t".into(), Some("v".into())).await.expect("written");
    write(&store, &[Do::Put("a", "x", 1), Do::Put("a", "x", 2), Do::Put("b", "y", 1), Do::Ticket("a")]).await;
    let receipt = Receipt { seq: Seq(5), result: Verdict::Merged, lsn: Lsn(2), rejection: None, digest: None };
    let receipts = [(pen::node("n1"), vec![receipt.clone()])].into();
    pen::commit(&store, pen::by("n1"), WriteSet { receipts, ..WriteSet::default() }).await.expect("written");
    store.trim(&space(), Trim { horizon: Lsn(1), ..Trim::default() }).await.expect("trimmed");
    let head = store.head(&space()).await.expect("the space exists");
    let nodes = store.nodes(&space()).await.expect("readable");

    let store = bench.reopen(store).await;

    assert_eq!(store.spaces().await.expect("readable"), [space()]);
    assert_eq!(store.head(&space()).await.expect("the space exists"), head);
    assert_eq!(store.open_space(&space()).await.expect("opened"), head);
    assert_eq!(store.nodes(&space()).await.expect("readable"), nodes);
    assert_eq!(store.records(RecordKind::Token).await.expect("readable").len(), 1);
    assert_eq!(scan(&store, snapshot_after(0)).await.expect("readable").words(), "2:x 3:y");
    let loaded = pen::load(&store, seqs("n1", 1..=9)).await;
    assert_eq!(loaded.receipts.into_values().collect::<Vec<_>>(), [receipt]);
    assert_eq!(write(&store, &[Do::Put("c", "z", 1)]).await.lsn, Lsn(5));
    assert_eq!(scan(&store, log_after(1)).await.expect("readable").words(), "2:x 3:y 5:z");
}
