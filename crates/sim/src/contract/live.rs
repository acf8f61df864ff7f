//! Clients of the `live` dialect: what their events need to know is loaded, and what follows from it is kept.

use super::Bench;
use super::exchange_vectors::decided;
use super::pen::{self, collection, id, node, open, scan, write};
use serde_json::{Value, json};
use syncline_core::hub::{Fate, LiveTaken, Reply};
use syncline_core::model::{Author, Intake, Limits, LiveBatch, Lsn, Millis, NodeId};
use syncline_core::wire::live::{Place, read};
use syncline_server::store::{ListQuery, Scan, Trim};

async fn report(store: &super::AnyStore, client: &str, served: u64, events: &Value) -> LiveTaken {
    let received = read(&events.to_string(), Place::default(), client, &Limits::default()).expect("a list").received;
    let events = received.into_iter().map(|received| received.event).collect();
    let node = NodeId::of_live(client).expect("a client id");
    match decided(store, Intake::Live(LiveBatch::whole(node, Lsn(served), events))).await {
        Reply::Live(taken) => taken,
        other => panic!("{other:?}"),
    }
}

fn insert(event: &str, document: &Value) -> Value {
    json!({ "id": event, "type": "insert", "collection": "a", "data": document, "timestamp": 1_000 })
}

fn update(event: &str, id: &str, update: &Value) -> Value {
    json!({ "id": event, "type": "update", "collection": "a", "query": { "id": id }, "update": update, "timestamp": 2_000 })
}

/// What a client owes to others' changes comes back to it, also after the store was opened again, and to nobody else.
pub async fn a_live_client_is_owed_what_it_could_not_know(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    report(&store, "one", 0, &json!([insert("1", &json!({ "id": "x", "n": 1 })), insert("2", &json!({ "id": "y" }))]))
        .await;
    let more = update("3", "x", &json!({ "$inc": { "n": 1 } }));
    let moved = update("4", "y", &json!({ "$set": { "id": "z" } }));
    let taken = report(&store, "two", 0, &json!([more, moved])).await;
    let fates = [Fate::Applied { first: Lsn(3), last: Lsn(3) }, Fate::Applied { first: Lsn(4), last: Lsn(5) }];
    assert_eq!((taken.fates, taken.written), (fates.to_vec(), Some((Lsn(3), Lsn(5)))));
    assert_eq!(taken.returned, [(collection("a"), id("x"))].into());

    let store = bench.reopen(store).await;
    let told = |author: Author| {
        let (max_rows, max_bytes) = (usize::MAX, usize::MAX);
        Scan::Packet { after: Lsn(2), author, fill: Lsn(0), own: false, collections: None, max_rows, max_bytes }
    };
    let two = scan(&store, told(taken.author)).await.expect("readable");
    assert_eq!((two.words().as_str(), two.rows[0].body.as_str()), ("6:x", r#"{"_id":"x","n":2}"#));
    let rows = store.nodes(&pen::space()).await.expect("readable");
    let one = rows.iter().find(|row| row.node == "(live:one)").expect("known by its name");
    assert_eq!(scan(&store, told(one.author)).await.expect("readable").words(), "3:x 4:-y 5:z");
}

/// An event counts once, also after the store was opened again; an update is carried out on what stands by then.
pub async fn a_live_event_counts_once(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    write(&store, &[pen::Do::Put("a", "x", 1)]).await;
    let more = json!([update("1", "x", &json!({ "$inc": { "n": 1 } }))]);
    assert!(matches!(report(&store, "one", 1, &more).await.fates[..], [Fate::Applied { .. }]));
    let store = bench.reopen(store).await;

    assert_eq!(report(&store, "one", 1, &more).await.fates, [Fate::Duplicate]);
    assert!(matches!(report(&store, "two", 1, &more).await.fates[..], [Fate::Applied { .. }]), "its own event");
    let gone = json!([{ "id": "2", "type": "delete", "collection": "a", "documentId": "x" }, update("3", "x", &json!({ "$inc": { "n": 1 } }))]);
    let taken = report(&store, "two", 3, &gone).await;
    assert!(matches!(taken.fates[..], [Fate::Applied { .. }, Fate::NoMatch]), "{taken:?}");

    let log = scan(&store, pen::log_after(0)).await.expect("readable");
    let bodies: Vec<_> = log.rows.iter().map(|row| (row.live, row.body.as_str())).collect();
    let n = [r#"{"_id":"x","n":1}"#, r#"{"_id":"x","n":2}"#, r#"{"_id":"x","n":3}"#];
    assert_eq!(bodies, [(true, n[0]), (true, n[1]), (true, n[2]), (false, n[2])]);
    assert_ne!(node("one"), NodeId::of_live("one").expect("a client id"), "no device can take its place");
}

/// A client's node and place go when they are old and nothing names them. A change that stands, a field in one, or the
/// ledger keeps a client's name; and no number is used twice.
pub async fn a_silent_live_client_is_forgotten_when_nothing_names_it(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    let put = |event, id, n| json!([insert(event, &json!({ "id": id, "n": n }))]);
    let field = |event, set| json!([update(event, "x", &json!({ "$set": set }))]);
    report(&store, "stands", 0, &put("1", "y", 1)).await;
    report(&store, "first", 0, &put("2", "x", 1)).await;
    report(&store, "field", 2, &field("3", json!({ "m": 1 }))).await;
    report(&store, "second", 3, &field("4", json!({ "n": 2 }))).await;
    let last = report(&store, "third", 0, &field("5", json!({ "n": 3 }))).await.author;
    let place = vec![(node("(live:stands@00000000)"), Lsn(1), Millis(100))];
    store.note_cursors(&pen::space(), place).await.expect("noted");
    let trim = |before| Trim { horizon: Lsn(99), clients_before: Millis(before), ..Trim::default() };

    let young = store.trim(&pen::space(), trim(100)).await.expect("trimmed");
    let old = store.trim(&pen::space(), trim(101)).await.expect("trimmed");

    assert_eq!((young.clients, old.clients), (0, 1), "the place; the rest is named by what stands");
    assert_eq!(clients(&store).await, ["field", "first", "second", "stands", "third"]);

    write(&store, &[pen::Do::Put("a", "x", 7)]).await;
    store.trim(&pen::space(), trim(101)).await.expect("trimmed");
    let listed =
        store.conflicts(&pen::space(), ListQuery { limit: 9, ..ListQuery::default() }).await.expect("readable");
    assert_eq!(listed.len(), 1);
    assert_eq!([listed[0].winner.as_str(), listed[0].loser.as_str()], ["(live:third)", "(live:second)"]);
    let all = Trim { ledger_before: Millis(u64::MAX >> 1), ..trim(101) };
    store.trim(&pen::space(), all).await.expect("trimmed");
    assert_eq!(clients(&store).await, ["stands"], "nothing of `x` is theirs any more");

    let store = bench.reopen(store).await;
    let fresh = report(&store, "fresh", 0, &put("6", "z", 1)).await.author;
    assert!(fresh > last, "{fresh:?} after {last:?}");
    let standing = scan(&store, pen::snapshot_after(0)).await.expect("readable").rows;
    assert_eq!(standing.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["y", "x", "z"]);
}

/// Clients and places that the store knows, without what the hub puts around their names.
async fn clients(store: &super::AnyStore) -> Vec<String> {
    let rows = store.nodes(&pen::space()).await.expect("readable");
    let names = rows.iter().filter_map(|row| row.node.strip_prefix("(live:"));
    names.map(|name| name.trim_end_matches(')').to_owned()).collect()
}
