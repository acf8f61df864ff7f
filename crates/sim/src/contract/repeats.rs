//! What a store remembers so that a repeat is recognised.

use super::Bench;
use super::pen::{self, by, commit, load, node, open, seqs, space};
use syncline_core::hub::{StoredBatch, Touch, WriteSet};
use syncline_core::model::{Author, BatchId, Lsn, Millis, NodeId, Receipt, Rejection, Seq, Verdict};

fn batch(name: &str, id: &str) -> (NodeId, BatchId) {
    (node(name), BatchId::new(id).expect("a good id"))
}

fn receipt(seq: u64, lsn: u64) -> Receipt {
    Receipt { seq: Seq(seq), result: Verdict::Applied, lsn: Lsn(lsn), rejection: None, digest: u32::try_from(seq).ok() }
}

/// Batch ids of different nodes never meet.
pub async fn batches_are_known_by_node(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    let stored = StoredBatch { digest: u64::MAX - 1, lsn: Lsn(3) };
    let writes = WriteSet { batches: vec![(batch("n1", "b1"), stored)], ..WriteSet::default() };
    commit(&store, by("n1"), writes).await.expect("written");

    let nodes = [node("n1"), node("n2")].into();
    let batches = [batch("n1", "b1"), batch("n1", "b2"), batch("n2", "b1")].into();
    let loaded = load(&store, Touch { nodes, batches, ..Touch::default() }).await;

    assert_eq!(loaded.batches.into_iter().collect::<Vec<_>>(), [(batch("n1", "b1"), stored)]);
}

/// Keys of foreign ops are found whoever asks.
pub async fn foreign_ops_are_known_by_key(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    let writes = WriteSet { seen: vec![[1; 16], [0xff; 16]], ..WriteSet::default() };
    commit(&store, by("n1"), writes).await.expect("written");

    let loaded = load(&store, Touch { keys: [[0; 16], [1; 16], [0xff; 16]].into(), ..by("n2") }).await;

    assert_eq!(loaded.seen.into_iter().collect::<Vec<_>>(), [[1; 16], [0xff; 16]]);
}

/// Receipts come back for the touched numbers only, the first one where a number was answered twice.
pub async fn receipts_are_loaded_by_number(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    let rejected = Receipt {
        result: Verdict::Rejected,
        rejection: Some(Rejection { code: "too_deep".into(), reason: "it is \"too\" deep".into() }),
        ..receipt(5, 0)
    };
    let groups = [
        vec![receipt(1, 1), receipt(2, 2), receipt(3, 3)],
        vec![receipt(9, 4)],
        vec![receipt(4, 5), rejected.clone(), receipt(9, 99)],
    ];
    for receipts in groups {
        let writes = WriteSet { receipts: [(node("n1"), receipts)].into(), ..WriteSet::default() };
        commit(&store, by("n1"), writes).await.expect("written");
    }
    let other = WriteSet { receipts: [(node("n2"), vec![receipt(2, 50)])].into(), ..WriteSet::default() };
    commit(&store, by("n2"), other).await.expect("written");

    let found = load(&store, seqs("n1", [3, 4, 5, 6, 9])).await.receipts;
    let apart = load(&store, seqs("n1", [1, 9])).await.receipts;
    let beyond = load(&store, seqs("n1", 10..=20)).await.receipts;

    let found: Vec<_> = found.into_values().collect();
    assert_eq!(found, [receipt(3, 3), receipt(4, 5), rejected, receipt(9, 4)]);
    let apart: Vec<_> = apart.into_values().collect();
    assert_eq!(apart, [receipt(1, 1), receipt(9, 4)], "nothing of what lies between");
    assert!(beyond.is_empty());
}

/// A node gets a number at its first push and keeps it.
pub async fn nodes_keep_their_numbers(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;

    let first = load(&store, by("zeta")).await.nodes[&node("zeta")].clone();
    let both = load(&store, Touch { nodes: [node("alpha"), node("zeta")].into(), ..Touch::default() }).await.nodes;
    let receipts = [(node("zeta"), vec![receipt(7, 1), receipt(8, 2)])].into();
    commit(&store, by("zeta"), WriteSet { at: Millis(50), receipts, ..WriteSet::default() }).await.expect("written");

    assert_ne!(first.author, Author::SELF);
    assert_eq!(both[&node("zeta")], first);
    assert_ne!(both[&node("alpha")].author, first.author);
    let rows = store.nodes(&space()).await.expect("readable");
    let rows: Vec<_> = rows.into_iter().map(|row| (row.node, row.author, row.last_seq, row.seen_at)).collect();
    let alpha = both[&node("alpha")].author;
    let expected = [("alpha".to_owned(), alpha, 0, Millis(0)), ("zeta".to_owned(), first.author, 8, Millis(50))];
    assert_eq!(rows, expected);
    assert!(pen::scan(&store, pen::log_after(0)).await.expect("readable").rows.is_empty());
}

/// A node belongs to whom it was last given, also after the store was opened again.
pub async fn nodes_belong_to_tokens(bench: &dyn Bench) {
    let mut store = bench.store();
    open(&store).await;
    let give = |token: &str| WriteSet { owners: [(node("n1"), node(token))].into(), ..WriteSet::default() };
    let touch = || Touch { nodes: [node("n1"), node("n2")].into(), ..Touch::default() };

    assert_eq!(load(&store, touch()).await.nodes[&node("n1")].owner, None);
    commit(&store, touch(), give("phone")).await.expect("written");
    assert_eq!(load(&store, touch()).await.nodes[&node("n1")].owner, Some(node("phone")));
    commit(&store, touch(), give("tablet")).await.expect("written");
    store = bench.reopen(store).await;

    let loaded = load(&store, touch()).await.nodes;
    assert_eq!((&loaded[&node("n1")].owner, &loaded[&node("n2")].owner), (&Some(node("tablet")), &None));
    let rows = store.nodes(&space()).await.expect("readable");
    let owners: Vec<_> = rows.into_iter().map(|row| (row.node, row.owner)).collect();
    assert_eq!(owners, [("n1".to_owned(), Some("tablet".to_owned())), ("n2".to_owned(), None)]);
}
