//! Registered nodes: their traffic, what they hold, and what a packet for them is made of.

use super::pen::{self, Do, among, collection, id, load, log_after, node, open, scan, snapshot_after, space, write_in};
use super::{AnyStore, Bench};
use std::collections::BTreeSet;
use syncline_core::hub::{Touch, WriteSet};
use syncline_core::model::{
    Author, Fill, Holding, Known, LastPacket, Lsn, Millis, Plan, Refused, Registration, Rejection, Traffic,
};
use syncline_server::store::{Head, Scan, Scanned, StoreError, Trim};

/// A registration under a code of the same name.
fn named(name: &str) -> Registration {
    Registration { id: node(name), code: name.to_uppercase(), name: format!("Desk of {name}"), plan: Plan::default() }
}

async fn register(store: &AnyStore, name: &str) {
    assert!(store.register(&space(), named(name), None).await.expect("registering works"), "a node is registered");
}

async fn by(store: &AnyStore, name: &str, steps: &[Do]) -> Head {
    write_in(store, &space(), name, steps).await
}

async fn traffic_of(store: &AnyStore, name: &str) -> Traffic {
    let found = store.registered(&space(), Some(&node(name))).await.expect("readable");
    found.into_iter().next().expect("the node is registered").1
}

async fn set_traffic(store: &AnyStore, name: &str, traffic: Traffic) {
    let writes = WriteSet { traffic: [(node(name), traffic)].into(), ..WriteSet::default() };
    pen::commit(store, pen::by(name), writes).await.expect("a commit succeeds");
}

/// Everything for the first node that has written (`n1`).
fn packet_after(after: u64) -> Scan {
    let (max_rows, max_bytes) = (usize::MAX, usize::MAX);
    Scan::Packet {
        after: Lsn(after),
        author: Author(1),
        fill: Lsn(0),
        own: false,
        collections: None,
        max_rows,
        max_bytes,
    }
}

/// Registrations are found by id and listed by code; what a node exchanges may change, its traffic goes on.
pub async fn registrations_are_kept(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    by(&store, "n1", &[Do::Put("a", "x", 1)]).await;
    register(&store, "n2").await;
    register(&store, "n1").await;
    let first = traffic_of(&store, "n2").await;
    let moved =
        Traffic { cursor: Lsn(1), received: 7, issued: 2, sent: vec![(2, Lsn(1))], fill: None, ..first.clone() };
    set_traffic(&store, "n2", moved.clone()).await;
    let other = Registration { name: "Other".into(), ..named("n2") };
    for (before, why) in
        [(None, "it is there"), (Some(other.clone()), "it is otherwise"), (Some(named("n3")), "another")]
    {
        let quicker = store.register(&space(), other.clone(), before).await.expect("registering works");
        assert!(!quicker, "nothing is written: {why}");
    }
    let absent = store.register(&space(), named("n3"), Some(named("n3"))).await.expect("registering works");
    assert!(!absent, "what is not there is not changed");
    let changed = store.register(&space(), other.clone(), Some(named("n2"))).await.expect("registering works");
    assert!(changed, "a name changes");
    let taken = store.register(&space(), Registration { code: "N1".into(), ..named("n3") }, None).await;

    let store = bench.reopen(store).await;
    let all = store.registered(&space(), None).await.expect("readable");
    let known: Vec<_> = all.iter().map(|(r, _)| (r.code.as_str(), r.name.as_str())).collect();
    assert_eq!(known, [("N1", "Desk of n1"), ("N2", "Other")]);
    assert_eq!(first, Traffic::new(Lsn(1)));
    assert_eq!(traffic_of(&store, "n2").await, moved, "a name is no reason to start again");
    assert!(matches!(taken, Err(StoreError::CodeTaken { code, id }) if code == "N1" && id == node("n1")), "not taken");

    let types = Some(BTreeSet::from([collection("a")]));
    let plan = Plan { types, attributes: [("site".into(), "north".into())].into(), ..Plan::default() };
    let replanned = Registration { plan: plan.clone(), ..named("n2") };
    assert!(store.register(&space(), replanned, Some(other)).await.expect("registering works"), "a plan changes");
    let store = bench.reopen(store).await;
    let known = store.registered(&space(), Some(&node("n2"))).await.expect("readable").remove(0);
    assert_eq!(known.0.plan, plan);
    let again = Fill { start: Lsn(1), again: true, since: Lsn(1) };
    assert_eq!(known.1, Traffic { cursor: Lsn(0), sent: Vec::new(), fill: Some(again), ..moved });

    assert!(store.unregister(&space(), &node("n2")).await.expect("removable"));
    assert!(!store.unregister(&space(), &node("n2")).await.expect("removable"), "it is gone");
    assert!(store.registered(&space(), Some(&node("n2"))).await.expect("readable").is_empty());
    let touch = Touch { registered: [node("n2")].into(), ..Touch::default() };
    assert!(load(&store, touch).await.traffic.is_empty());
}

/// All that a commit writes of a node's exchange is loaded by the next one.
pub async fn traffic_comes_back_as_written(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    register(&store, "n1").await;
    let why = Rejection { code: "unknown_type".into(), reason: "no such type".into() };
    let last = LastPacket {
        key: [255; 16],
        ack: 3,
        since: Lsn(8),
        entities: [1, u64::MAX].into(),
        refused: vec![Refused { kind: "T".into(), uuid: "u".into(), why }],
        whole_objects: true,
    };
    let traffic = Traffic {
        received: 1 << 52,
        received_at: Millis(11),
        confirmed: 3,
        confirmed_at: Millis(12),
        issued: 5,
        cursor: Lsn(9),
        known: Known { upto: Lsn(7), ends: [5].into() },
        sent: vec![(4, Lsn(10)), (5, Lsn(12))],
        fill: Some(Fill { start: Lsn(20), again: true, since: Lsn(20) }),
        last,
    };
    set_traffic(&store, "n1", traffic.clone()).await;
    set_traffic(&store, "n9", traffic.clone()).await;
    let store = bench.reopen(store).await;

    let touch = Touch { registered: [node("n1"), node("n9")].into(), ..Touch::default() };
    let loaded = load(&store, touch).await;
    assert_eq!(loaded.traffic, [(node("n1"), traffic)].into(), "of a node that is not registered nothing is kept");
    assert_eq!(load(&store, pen::by("n1")).await.traffic, [].into(), "only what was asked for");
}

/// What a node holds begins with its first packet and ends when the node has passed the removal.
pub async fn what_a_node_holds_is_kept(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    register(&store, "n1").await;
    register(&store, "n2").await;
    let holding = |name: &str, since: u64, gone: Option<u64>| {
        let (collection, id) = (collection("a"), id(name));
        (node("n1"), Holding { collection, id, since: Lsn(since), gone: gone.map(Lsn) })
    };
    let steps = vec![
        holding("kept", 5, None),
        holding("kept", 8, None),
        holding("left", 5, None),
        holding("left", 9, Some(9)),
        holding("back", 5, None),
        holding("back", 6, Some(6)),
        holding("back", 7, None),
        holding("own", 5, None),
        holding("own", 0, None),
    ];
    let writes = WriteSet { held: steps, ..WriteSet::default() };
    pen::commit(&store, pen::by("n1"), writes).await.expect("a commit succeeds");
    let store = bench.reopen(store).await;

    let names = ["kept", "left", "back", "own", "never"];
    let keys = || names.map(|name| (collection("a"), id(name))).to_vec();
    let held = async |store: &AnyStore, who: &str| -> Vec<_> {
        let held = store.held(&space(), &node(who), keys()).await.expect("readable");
        held.into_iter().map(|h| (h.id.to_string(), h.since.0, h.gone.map(|gone| gone.0))).collect()
    };
    let row = |name: &str, since, gone| (name.to_owned(), since, gone);
    let all = [row("kept", 5, None), row("left", 5, Some(9)), row("back", 7, None), row("own", 0, None)];
    assert_eq!(held(&store, "n1").await, all);
    assert_eq!(held(&store, "n2").await, []);
    let knows = |upto| Traffic { cursor: Lsn(9), known: Known { upto, ..Known::default() }, ..Traffic::default() };
    set_traffic(&store, "n1", knows(Lsn(8))).await;
    assert_eq!(held(&store, "n1").await, all, "the removal is not known yet");
    set_traffic(&store, "n1", knows(Lsn(9))).await;
    assert_eq!(held(&store, "n1").await, [all[0].clone(), all[2].clone(), all[3].clone()]);
    store.unregister(&space(), &node("n1")).await.expect("removable");
    register(&store, "n1").await;
    assert_eq!(held(&store, "n1").await, [], "a node that was removed holds nothing");
}

/// A packet brings what others made, each document once, and not the node's own work.
pub async fn a_packet_leaves_out_own_changes(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    by(&store, "n1", &[Do::Put("a", "mine", 1), Do::Put("a", "taken", 1)]).await;
    by(&store, "n2", &[Do::Put("a", "x", 1), Do::Put("b", "y", 1), Do::Put("a", "x", 2), Do::Put("a", "taken", 2)])
        .await;
    by(&store, "n2", &[Do::Remove("b", "y"), Do::Ticket("a"), Do::Put("c", "z", 1)]).await;
    by(&store, "n1", &[Do::Put("c", "z", 2), Do::Ticket("a")]).await;

    let heard = scan(&store, packet_after(0)).await.expect("readable");
    assert_eq!(heard.words(), "5:x 6:taken 7:-y", "z is the node's own since it wrote it last");
    assert_eq!(heard.scanned, Scanned { upto: Lsn(11), rows: 3, more: false }, "complete up to the last position");
    assert_eq!(heard.rows[0].body, r#"{"_id":"x","n":2}"#);
    assert_eq!((heard.rows[1].created, heard.rows[1].author), (Lsn(6), Author(2)));
    assert_eq!(scan(&store, packet_after(6)).await.expect("readable").words(), "7:-y");
    let Scan::Packet { after, author, max_rows, max_bytes, .. } = packet_after(0) else { unreachable!() };
    let some = |fill, names: &[&str]| Scan::Packet {
        after,
        author,
        fill,
        own: false,
        collections: among(names),
        max_rows,
        max_bytes,
    };
    assert_eq!(scan(&store, some(Lsn(0), &["b", "c"])).await.expect("readable").words(), "7:-y");
    assert_eq!(scan(&store, some(Lsn(0), &["never"])).await.expect("readable").words(), "");
    let filled = scan(&store, some(Lsn(9), &["a", "b", "c"])).await.expect("readable");
    assert_eq!(filled.words(), "1:mine 5:x 6:taken 7:-y", "a fill brings its own back, up to where it began");
    let (fill, own, collections) = (Lsn(0), true, None);
    let all = Scan::Packet { after: Lsn(5), author, fill, own, collections, max_rows, max_bytes };
    assert_eq!(scan(&store, all).await.expect("readable").words(), "6:taken 7:-y 10:z", "its own as well");
}

/// A return is seen by its node alone, and only where the newest version does not come by itself.
pub async fn returns_reach_only_their_node(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    by(&store, "n1", &[Do::Put("a", "x", 1), Do::Return("a", "x"), Do::Put("a", "x", 2), Do::Return("a", "x")]).await;
    by(&store, "n1", &[Do::Put("a", "y", 1), Do::Return("a", "y")]).await;
    by(&store, "n2", &[Do::Put("a", "y", 2)]).await;
    let head = by(&store, "n1", &[Do::Put("a", "z", 1), Do::Remove("a", "z"), Do::Return("a", "z")]).await;

    let heard = scan(&store, packet_after(0)).await.expect("readable");
    assert_eq!(heard.words(), "2:x 7:y 10:-z");
    assert_eq!((heard.rows[0].body.as_str(), heard.rows[0].author), (r#"{"_id":"x","n":2}"#, Author(1)));
    assert_eq!(heard.rows[0].created, Lsn(3));
    assert_eq!(scan(&store, packet_after(2)).await.expect("readable").words(), "4:x 7:y 10:-z");
    assert_eq!(scan(&store, packet_after(7)).await.expect("readable").words(), "10:-z", "its own version is older");
    assert_eq!(scan(&store, packet_after(10)).await.expect("readable").scanned.upto, Lsn(10));

    let Scan::Packet { after, fill, own, collections, max_rows, max_bytes, .. } = packet_after(0) else {
        unreachable!()
    };
    let other = Scan::Packet { after, author: Author(2), fill, own, collections, max_rows, max_bytes };
    assert_eq!(scan(&store, other).await.expect("readable").words(), "3:x 9:-z");
    assert_eq!(scan(&store, log_after(3)).await.expect("readable").words(), "5:y 7:y 8:z 9:-z");
    assert_eq!(scan(&store, snapshot_after(0)).await.expect("readable").words(), "3:x 7:y");
    assert_eq!((head.lsn, head.last_change), (Lsn(10), Lsn(9)), "pages end on changes");

    by(&store, "n1", &[Do::Return("a", "never"), Do::Return("new", "never")]).await;
    let heard = scan(&store, packet_after(10)).await.expect("readable");
    assert_eq!(heard.words(), "11:-never 12:-never", "what has never stood is not there either");
}

/// Returns are found by name whatever has become of their documents.
pub async fn returns_are_found_by_name(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    by(&store, "n1", &[Do::Put("a", "x", 1), Do::Return("a", "x"), Do::ReturnWithout("a", "y", "v")]).await;
    by(&store, "n2", &[Do::Put("a", "x", 2), Do::Put("a", "y", 1), Do::Return("a", "z")]).await;
    by(&store, "n1", &[Do::Return("b", "x")]).await;
    let returns = |after, names: &[&str]| {
        let collections = names.iter().map(|name| collection(name)).collect();
        Scan::Returns { after: Lsn(after), author: Author(1), collections }
    };

    assert_eq!(scan(&store, returns(0, &["a", "b"])).await.expect("readable").words(), "2:-x 3:-y 7:-x");
    assert_eq!(scan(&store, returns(2, &["a"])).await.expect("readable").words(), "3:-y");
    store.trim(&space(), Trim { horizon: Lsn(5), ..Trim::default() }).await.expect("trimmed");
    let behind = scan(&store, returns(2, &["a"])).await;
    assert!(matches!(behind, Err(StoreError::BehindHorizon { horizon: Lsn(5), asked: Lsn(2) })), "{behind:?}");
}

/// A return that takes fields away comes beside the version that comes by itself, while there is one to take from.
pub async fn returns_take_fields_away(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    by(&store, "n2", &[Do::Put("a", "x", 1), Do::Put("a", "y", 1), Do::Put("a", "z", 1), Do::Remove("a", "z")]).await;
    let lost = [Do::ReturnWithout("a", "x", "v"), Do::ReturnWithout("a", "x", "w"), Do::ReturnWithout("a", "z", "v")];
    by(&store, "n1", &lost).await;
    let author = Author(2);
    let Scan::Packet { after, fill, own, collections, max_rows, max_bytes, .. } = packet_after(0) else {
        unreachable!()
    };
    let heard = scan(&store, Scan::Packet { after, author, fill, own, collections, max_rows, max_bytes }).await;
    let heard = heard.expect("readable");
    assert_eq!(heard.words(), "1:x 2:y 4:-z 5:x 6:x");
    assert_eq!(heard.lost, [(r#"["v"]"#.to_owned(), Lsn(5)), (r#"["w"]"#.to_owned(), Lsn(6))]);
}

/// What a node made before it is filled is told also where it was logged once more since, and not told twice.
pub async fn a_fill_tells_own_documents_wherever_they_are_logged(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    by(&store, "n1", &[Do::Put("a", "x", 1), Do::Put("a", "y", 1), Do::Put("a", "z", 1)]).await;
    by(&store, "n2", &[Do::Again("a", "x"), Do::Again("a", "y")]).await;
    by(&store, "n1", &[Do::Return("a", "y"), Do::Put("a", "new", 1)]).await;
    let Scan::Packet { author, own, max_rows, max_bytes, .. } = packet_after(0) else { unreachable!() };
    let fill =
        |after| Scan::Packet { after: Lsn(after), author, fill: Lsn(3), own, collections: None, max_rows, max_bytes };

    assert_eq!(scan(&store, packet_after(0)).await.expect("readable").words(), "6:y", "only what it is owed");
    assert_eq!(scan(&store, fill(0)).await.expect("readable").words(), "3:z 4:x 5:y");
    assert_eq!(scan(&store, fill(4)).await.expect("readable").words(), "5:y");
    assert_eq!(scan(&store, fill(5)).await.expect("readable").words(), "6:y", "as it stood before");
}

/// Pages of a packet fit together without a gap.
pub async fn a_packet_stops_at_its_limits(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    by(&store, "n1", &[Do::Put("a", "own", 1), Do::Return("a", "own")]).await;
    by(&store, "n2", &[Do::Put("a", "x", 1), Do::Put("a", "y", 1), Do::Put("a", "z", 1)]).await;
    let page = |after, rows, bytes| {
        let Scan::Packet { author, fill, own, .. } = packet_after(0) else { unreachable!() };
        Scan::Packet { after: Lsn(after), author, fill, own, collections: None, max_rows: rows, max_bytes: bytes }
    };

    let first = scan(&store, page(0, 2, 1 << 20)).await.expect("readable");
    assert_eq!((first.words().as_str(), first.scanned), ("2:own 3:x", Scanned { upto: Lsn(3), rows: 2, more: true }));
    let second = scan(&store, page(3, 2, 1 << 20)).await.expect("readable");
    assert_eq!((second.words().as_str(), second.scanned.more), ("4:y 5:z", false));
    let least = scan(&store, page(0, 100, 1)).await.expect("readable");
    assert_eq!((least.words().as_str(), least.scanned.upto), ("2:own", Lsn(2)), "at least one");
}

/// Returns go with the horizon; what was removed behind it is told as removed.
pub async fn a_trim_forgets_returns(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    by(&store, "n1", &[]).await;
    by(&store, "n2", &[Do::Put("a", "gone", 1), Do::Remove("a", "gone"), Do::Put("a", "x", 1)]).await;
    by(&store, "n1", &[Do::Return("a", "gone"), Do::Return("a", "x"), Do::Put("a", "y", 1)]).await;
    let trim = |horizon| Trim { horizon: Lsn(horizon), ..Trim::default() };

    store.trim(&space(), trim(3)).await.expect("trimmed");
    let heard = scan(&store, packet_after(3)).await.expect("readable");
    assert_eq!(heard.words(), "4:-gone 5:x");
    let Scan::Packet { author, max_rows, max_bytes, .. } = packet_after(0) else { unreachable!() };
    let with_own =
        Scan::Packet { after: Lsn(2), author, fill: Lsn(0), own: true, collections: None, max_rows, max_bytes };
    for scanned in [packet_after(2), with_own] {
        let behind = scan(&store, scanned).await;
        assert!(matches!(behind, Err(StoreError::BehindHorizon { horizon: Lsn(3), asked: Lsn(2) })), "{behind:?}");
    }
    let fill = Scan::Packet { after: Lsn(0), author, fill: Lsn(6), own: false, collections: None, max_rows, max_bytes };
    assert_eq!(scan(&store, fill).await.expect("a fill needs what is alive").words(), "3:x 4:-gone 6:y");

    let trimmed = store.trim(&space(), trim(6)).await.expect("trimmed");
    assert_eq!(trimmed.changes, 2);
    let fill = Scan::Packet { after: Lsn(0), author, fill: Lsn(6), own: false, collections: None, max_rows, max_bytes };
    assert_eq!(scan(&store, fill).await.expect("readable").words(), "3:x 6:y");
    assert_eq!(load(&store, Touch::default()).await.horizon, Lsn(6));
}

/// A removal is not forgotten before every registered node has heard of it, however long that takes.
pub async fn removals_are_remembered_for_registered_nodes(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    by(&store, "n1", &[]).await;
    by(&store, "n2", &[Do::Put("a", "x", 1), Do::Put("b", "y", 1), Do::Put("a", "z", 1)]).await;
    register(&store, "n1").await;
    by(&store, "n2", &[Do::Remove("a", "x"), Do::Remove("b", "y"), Do::Put("a", "w", 1)]).await;
    set_traffic(&store, "n1", Traffic { cursor: Lsn(3), ..Traffic::default() }).await;

    let trimmed = store.trim(&space(), Trim { horizon: Lsn(6), ..Trim::default() }).await.expect("trimmed");
    assert_eq!(trimmed.tombstones, 2);
    let store = bench.reopen(store).await;
    let Scan::Packet { author, max_rows, max_bytes, .. } = packet_after(0) else { unreachable!() };
    let fill = |collections| Scan::Packet {
        after: Lsn(0),
        author,
        fill: Lsn(6),
        own: false,
        collections,
        max_rows,
        max_bytes,
    };
    assert_eq!(scan(&store, fill(None)).await.expect("readable").words(), "3:z 4:-x 5:-y 6:w");
    assert_eq!(scan(&store, fill(among(&["b"]))).await.expect("readable").words(), "5:-y");
    assert_eq!(scan(&store, log_after(6)).await.expect("readable").words(), "", "nobody else sees them");
    assert_eq!(scan(&store, snapshot_after(0)).await.expect("readable").words(), "3:z 6:w");

    by(&store, "n2", &[Do::Put("a", "x", 2)]).await;
    assert_eq!(scan(&store, fill(None)).await.expect("readable").words(), "3:z 5:-y 6:w 7:x", "written again");
    let filling = Some(Fill { start: Lsn(7), again: true, since: Lsn(7) });
    set_traffic(&store, "n1", Traffic { cursor: Lsn(4), fill: filling, ..Traffic::default() }).await;
    store.trim(&space(), Trim { horizon: Lsn(6), ..Trim::default() }).await.expect("trimmed");
    assert_eq!(scan(&store, fill(None)).await.expect("readable").words(), "3:z 5:-y 6:w 7:x", "heard of");
    store.unregister(&space(), &node("n1")).await.expect("removable");
    store.trim(&space(), Trim { horizon: Lsn(6), ..Trim::default() }).await.expect("trimmed");
    assert_eq!(scan(&store, fill(None)).await.expect("readable").words(), "3:z 6:w 7:x", "nobody is left to hear");
}
