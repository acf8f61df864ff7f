//! Many at once.

use super::pen::{self, Do, log_after, open, scan, snapshot_after, space, write, write_in};
use super::{AnyStore, Bench};
use std::collections::BTreeMap;
use std::sync::Arc;
use syncline_core::model::Lsn;

const WRITERS: u64 = 8;
const COMMITS: u64 = 25;
const NAMES: [&str; 8] = ["n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7"];

/// Writers that read, add one and write back never lose an addition, and a reader that follows the
/// log misses nothing.
pub async fn concurrent_commits_take_their_turns(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    let follower = tokio::spawn(follow(Arc::clone(&store), WRITERS * COMMITS));

    let writers = (0..WRITERS).map(|n| tokio::spawn(add_up(Arc::clone(&store), usize::try_from(n).expect("small"))));
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("the writer ends");
    }

    let followed = follower.await.expect("the follower ends");
    assert_eq!(followed, (1..=WRITERS * COMMITS).map(Lsn).collect::<Vec<_>>());
    let rows = scan(&store, snapshot_after(0)).await.expect("readable").rows;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].body, format!("{{\"n\":{}}}", WRITERS * COMMITS));
}

/// Adds one to the same counter again and again, deciding by what is loaded.
async fn add_up(store: AnyStore, n: usize) {
    use syncline_core::hub::{Change, Entry, Loaded, Touch, WriteSet};
    use syncline_core::model::{Body, Facts, Mark, Meta, Stamp, Version};
    for _ in 0..COMMITS {
        let key = (pen::collection("a"), pen::id("counter"));
        let touch = Touch { docs: [key.clone()].into(), ..pen::by(NAMES[n]) };
        let decide = move |loaded: Loaded| {
            let count = loaded.docs.get(&key).map_or(0, |old| {
                let fields = old.body.fields();
                fields.get("n").and_then(|n| n.get().parse::<u64>().ok()).expect("a number")
            });
            let (lsn, author) = (loaded.head.next(), loaded.nodes[&pen::node(NAMES[n])].author);
            let meta = Meta::inserted(Mark { stamp: Stamp(lsn.0), lsn, author });
            let body = Body::trusted(format!("{{\"n\":{}}}", count + 1));
            let version = Version { lsn, author, body, meta };
            let (collection, id) = key.clone();
            let change = Change { collection, id, version, facts: Facts::default() };
            WriteSet { entries: vec![Entry::Change(change)], ..WriteSet::default() }
        };
        store.commit(&space(), touch, Box::new(decide)).await.expect("a commit succeeds");
    }
}

/// Reads page after page until `until` was seen.
async fn follow(store: AnyStore, until: u64) -> Vec<Lsn> {
    let mut seen = Vec::new();
    let mut cursor = 0;
    while cursor < until {
        let page = scan(&store, log_after(cursor)).await.expect("readable");
        seen.extend(page.rows.iter().map(|row| row.lsn));
        cursor = page.scanned.upto.0;
        tokio::task::yield_now().await;
    }
    seen
}

/// Pairs that are always written together are never seen apart, and the head is of the same moment.
pub async fn a_snapshot_is_one_moment_of_a_busy_space(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    write(&store, &[Do::Put("a", "left", 0), Do::Put("b", "right", 0)]).await;
    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for n in 1..=100 {
                write_in(&store, &space(), "n1", &[Do::Put("a", "left", n), Do::Put("b", "right", n)]).await;
            }
        }
    });

    let mut snapshots = 0;
    while snapshots < 20 || !writer.is_finished() {
        let heard = scan(&store, snapshot_after(0)).await.expect("readable");
        let values: BTreeMap<_, _> =
            heard.rows.iter().map(|row| (row.id.as_str(), row.body.rsplit(':').next())).collect();
        assert_eq!(values.len(), 2);
        assert_eq!(values["left"], values["right"], "one state");
        let newest = heard.rows.iter().map(|row| row.lsn).max();
        assert_eq!(newest, Some(heard.head.last_change));
        assert_eq!(heard.scanned.upto, heard.head.last_change);
        snapshots += 1;
    }
    writer.await.expect("the writer ends");
    let last = scan(&store, snapshot_after(0)).await.expect("readable");
    assert_eq!(last.head.lsn, Lsn(202));
}
