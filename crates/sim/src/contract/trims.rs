//! Forgetting, and what must never be forgotten.

use super::Bench;
use super::pen::{
    self, Do, by, collection, commit, id, load, log_after, net_after, node, open, scan, seqs, snapshot_after, space,
    write,
};
use syncline_core::hub::{Conflict, Quarantined, StoredBatch, Touch, WriteSet};
use syncline_core::merge::Values;
use syncline_core::model::{Author, BatchId, Lsn, Millis, Receipt, Seq, Seqs, Strategy, Verdict};
use syncline_server::store::{ListQuery, Scan, StoreError, Trim, Trimmed};

fn upto(horizon: u64) -> Trim {
    Trim { horizon: Lsn(horizon), ..Trim::default() }
}

/// Old versions go, the documents stay, and whoever reads from the horizon on notices nothing.
pub async fn a_trim_forgets_what_is_superseded(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    write(&store, &[Do::Put("a", "x", 1), Do::Put("a", "y", 1), Do::Put("a", "x", 2), Do::Put("a", "x", 3)]).await;
    write(&store, &[Do::Put("a", "y", 2)]).await;

    let trimmed = store.trim(&space(), upto(3)).await.expect("trimmed");

    assert_eq!(trimmed, Trimmed { changes: 1, ..Trimmed::default() }, "a reader at 3 still stands on 2 and 3");
    let head = store.head(&space()).await.expect("the space exists");
    assert_eq!((head.lsn, head.horizon), (Lsn(5), Lsn(3)));
    assert_eq!(scan(&store, log_after(3)).await.expect("readable").words(), "4:x 5:y");
    assert_eq!(scan(&store, snapshot_after(0)).await.expect("readable").words(), "4:x 5:y");

    // What stood at the horizon is a row that the next trim takes.
    write(&store, &[Do::Put("a", "x", 4), Do::Put("a", "z", 1)]).await;
    let again = store.trim(&space(), upto(6)).await.expect("trimmed");
    assert_eq!(again, Trimmed { changes: 3, ..Trimmed::default() }, "2, 3 and 4");
    assert_eq!(scan(&store, net_after("a", 0)).await.expect("readable").words(), "5:y 6:x 7:z");
    assert_eq!(store.trim(&space(), upto(6)).await.expect("trimmed"), Trimmed::default(), "nothing is left to do");
}

/// After that, a removed id is as if it had never been.
pub async fn a_trim_forgets_tombstones_and_tickets(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    write(&store, &[Do::Put("a", "x", 1), Do::Put("a", "y", 1), Do::Put("a", "z", 1)]).await;
    write(&store, &[Do::Remove("a", "x"), Do::Ticket("a"), Do::Remove("a", "y"), Do::Put("a", "y", 2)]).await;
    write(&store, &[Do::Remove("a", "z"), Do::Ticket("a")]).await;

    let trimmed = store.trim(&space(), upto(7)).await.expect("trimmed");

    assert_eq!(trimmed, Trimmed { changes: 4, tombstones: 1, ..Trimmed::default() }, "1, 2, 5, 6 and the tombstone 4");
    let touch = Touch { docs: [(collection("a"), id("x")), (collection("a"), id("z"))].into(), ..Touch::default() };
    let loaded = load(&store, touch).await;
    assert_eq!(loaded.docs.into_keys().map(|(_, id)| String::from(id)).collect::<Vec<_>>(), ["z"]);
    assert_eq!(scan(&store, net_after("a", 0)).await.expect("readable").words(), "7:y 8:-z");
    assert!(scan(&store, Scan::Ticket { lsn: Lsn(5) }).await.expect("readable").rows.is_empty());
    assert_eq!(scan(&store, Scan::Ticket { lsn: Lsn(9) }).await.expect("readable").rows.len(), 1);

    let back = write(&store, &[Do::Put("a", "x", 2)]).await;
    assert_eq!(back.lsn, Lsn(10), "LSNs are never used again");
    assert_eq!(scan(&store, snapshot_after(0)).await.expect("readable").words(), "7:y 10:x");
}

/// Positions behind the horizon are refused before the first byte; a snapshot and a net scan from 0 are not.
pub async fn readers_behind_the_horizon_are_told(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    write(&store, &[Do::Put("a", "x", 1), Do::Put("a", "x", 2), Do::Put("a", "y", 1)]).await;
    store.trim(&space(), upto(2)).await.expect("trimmed");

    for behind in [log_after(0), log_after(1), net_after("a", 1)] {
        let asked = behind.after();
        let refused = scan(&store, behind).await.expect_err("refused");
        let expected = matches!(refused, StoreError::BehindHorizon { horizon: Lsn(2), asked: a } if a == asked);
        assert!(expected, "{refused}");
    }
    for (answered, words) in [
        (log_after(2), "3:y"),
        (net_after("a", 2), "3:y"),
        (net_after("a", 0), "2:x 3:y"),
        (snapshot_after(1), "2:x 3:y"),
    ] {
        assert_eq!(scan(&store, answered).await.expect("answered").words(), words);
    }
}

/// Readers at the end of the log stay ahead of the horizon, whatever is asked.
pub async fn the_horizon_never_passes_the_last_change(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    write(&store, &[Do::Put("a", "x", 1), Do::Remove("a", "x"), Do::Ticket("a")]).await;

    store.trim(&space(), upto(u64::MAX >> 1)).await.expect("trimmed");
    let far = store.head(&space()).await.expect("the space exists");
    store.trim(&space(), upto(1)).await.expect("trimmed");
    let back = store.head(&space()).await.expect("the space exists");

    assert_eq!((far.lsn, far.last_change, far.horizon), (Lsn(3), Lsn(2), Lsn(2)));
    assert_eq!(back, far, "it never goes back");
    let nothing = scan(&store, log_after(2)).await.expect("the last reader is not behind");
    assert_eq!((nothing.words().as_str(), nothing.scanned.upto), ("", Lsn(2)));
    assert_eq!(write(&store, &[Do::Put("a", "x", 1)]).await.lsn, Lsn(4), "LSNs are never used again");
}

/// Receipts, batch ids and foreign keys go by age; what went is remembered by its number.
pub async fn receipts_are_kept_for_their_time(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    let batch = |n: u64| (node("n1"), BatchId::new(format!("b{n}")).expect("a good id"));
    for n in 1..=3 {
        let receipt =
            |seq| Receipt { seq: Seq(seq), result: Verdict::Applied, lsn: Lsn(1), rejection: None, digest: None };
        let writes = WriteSet {
            at: Millis(n * 100),
            batches: vec![(batch(n), StoredBatch { digest: n, lsn: Lsn(n) })],
            seen: vec![[u8::try_from(n).expect("small"); 16]],
            receipts: [(node("n1"), vec![receipt(2 * n - 1), receipt(2 * n)])].into(),
            ..WriteSet::default()
        };
        commit(&store, by("n1"), writes).await.expect("written");
    }

    let trim = Trim { receipts_before: Millis(300), ..Trim::default() };
    let trimmed = store.trim(&space(), trim).await.expect("trimmed");

    assert_eq!(trimmed, Trimmed { receipts: 8, ..Trimmed::default() }, "of each kind those at 100 and 200");
    let touch =
        Touch { batches: (1..=3).map(batch).collect(), keys: [[1; 16], [2; 16], [3; 16]].into(), ..seqs("n1", 1..=6) };
    let loaded = load(&store, touch).await;
    assert_eq!(loaded.nodes[&node("n1")].forgotten.ranges(), [(Seq(1), Seq(4))]);
    assert_eq!(loaded.receipts.keys().map(|(_, seq)| seq.0).collect::<Vec<_>>(), [5, 6]);
    assert_eq!(loaded.batches.into_keys().collect::<Vec<_>>(), [batch(3)]);
    assert_eq!(loaded.seen.into_iter().collect::<Vec<_>>(), [[3; 16]]);
    let last_seq = store.nodes(&pen::space()).await.expect("readable")[0].last_seq;
    assert_eq!(last_seq, 6, "what was answered stays answered");
}

/// A number that was skipped is not among those answered, also after its neighbours' receipts are gone;
/// there is room for so many gaps, and the oldest close first.
pub async fn what_was_answered_is_remembered_number_by_number(bench: &dyn Bench) {
    let mut store = bench.store();
    open(&store).await;
    let answer = async |store: &super::AnyStore, at: u64, numbers: Vec<u64>| {
        let receipt =
            |seq| Receipt { seq: Seq(seq), result: Verdict::Applied, lsn: Lsn(1), rejection: None, digest: None };
        let receipts = [(node("n1"), numbers.into_iter().map(receipt).collect())].into();
        let writes = WriteSet { at: Millis(at), receipts, ..WriteSet::default() };
        commit(store, by("n1"), writes).await.expect("written");
    };
    let forgotten = async |store: &super::AnyStore| load(store, by("n1")).await.nodes[&node("n1")].forgotten.clone();
    let before = |at| Trim { receipts_before: Millis(at), ..Trim::default() };

    answer(&store, 100, vec![1, 2, 5]).await;
    answer(&store, 200, vec![3, 9]).await;
    store.trim(&space(), before(200)).await.expect("trimmed");
    assert_eq!(forgotten(&store).await.ranges(), [(Seq(1), Seq(2)), (Seq(5), Seq(5))]);
    store.trim(&space(), before(201)).await.expect("trimmed");
    store = bench.reopen(store).await;
    assert_eq!(forgotten(&store).await.ranges(), [(Seq(1), Seq(3)), (Seq(5), Seq(5)), (Seq(9), Seq(9))]);

    let most = Seqs::REMEMBERED_RANGES as u64;
    answer(&store, 300, (10..10 + most).map(|n| 2 * n).collect()).await;
    store.trim(&space(), before(301)).await.expect("trimmed");
    let kept = forgotten(&store).await;
    assert_eq!((kept.ranges().len(), kept.ranges()[0]), (Seqs::REMEMBERED_RANGES, (Seq(1), Seq(20))));
}

/// The ledger and the quarantine go by age, each by its own; numbers of rows are never used again.
pub async fn the_ledger_and_the_quarantine_are_kept_for_their_time(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    for n in 1..=3 {
        write_lists(&store, Millis(n * 100)).await;
    }

    let trim = Trim { ledger_before: Millis(300), quarantine_before: Millis(101), ..Trim::default() };
    let trimmed = store.trim(&space(), trim).await.expect("trimmed");

    assert_eq!(trimmed, Trimmed { conflicts: 2, quarantined: 1, ..Trimmed::default() });
    assert_eq!(listed(&store).await, (vec![3], vec![3, 2]));
    assert_eq!(store.trim(&space(), trim).await.expect("trimmed"), Trimmed::default(), "nothing is left to do");

    let all = Trim { ledger_before: Millis(301), quarantine_before: Millis(301), ..Trim::default() };
    store.trim(&space(), all).await.expect("trimmed");
    write_lists(&store, Millis(400)).await;
    assert_eq!(listed(&store).await, (vec![4], vec![4]));
}

/// One row of each.
async fn write_lists(store: &super::AnyStore, at: Millis) {
    let conflict = Conflict {
        collection: collection("a"),
        id: id("x"),
        lsn: Lsn(1),
        rule: Strategy::LastWriteWins,
        winner: Author(1),
        loser: Author(2),
        late: false,
        losing: Values::Removal,
        winning: Values::Removal,
    };
    let op = Quarantined {
        collection: None,
        id: None,
        node: node("n1"),
        seq: None,
        code: "malformed_json".into(),
        reason: "it is none".into(),
        op: "{}".into(),
    };
    let writes = WriteSet { at, conflicts: vec![conflict], quarantine: vec![op], ..WriteSet::default() };
    commit(store, by("n1"), writes).await.expect("written");
}

/// The numbers of the rows of both lists.
async fn listed(store: &super::AnyStore) -> (Vec<u64>, Vec<u64>) {
    let all = || ListQuery { limit: 10, ..ListQuery::default() };
    let conflicts = store.conflicts(&space(), all()).await.expect("readable");
    let quarantined = store.quarantine(&space(), all()).await.expect("readable");
    (conflicts.iter().map(|row| row.n).collect(), quarantined.iter().map(|row| row.n).collect())
}
