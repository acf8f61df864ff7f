//! What clients see when the store below is slow or broken, and what the hub spares it.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod support;

use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use support::faulty::FaultyStore;
use support::{Hub, insert, stamp};
use syncline_core::model::{Lsn, NodeId, SpaceName};
use syncline_server::store::{SqliteOptions, SqliteStore, StoreError};

fn push(n: u64) -> serde_json::Value {
    json!({ "node": format!("n{n}"), "batchId": "b1", "ops": [insert(1, "a", &format!("d{n}"))] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_takes_too_long_is_answered_and_its_repeat_gets_the_receipts() {
    let store = FaultyStore::held();
    let hub = Hub::on(store.clone(), |o| o.settings.bounds.request_timeout = Duration::from_millis(50)).await;
    let reply = hub.post("/sync/push", &push(1)).await;
    assert_eq!((reply.refusal(503).as_str(), &reply.json()["limit"]), ("overloaded", &json!("limits.request_timeout")));
    assert!(reply.headers.contains_key("retry-after"));

    store.passes.add_permits(1_000);
    let again = hub.push("n1", "b1", &json!([insert(1, "a", "d1")])).await;
    assert_eq!(again["receipts"], json!([{ "seq": 1, "result": "applied", "lsn": 1 }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once_and_what_it_took_is_committed() {
    let store = FaultyStore::held();
    let hub = Arc::new(Hub::on(store.clone(), |o| o.settings.bounds.queued_pushes = 1).await);
    let send = |n| {
        let hub = Arc::clone(&hub);
        tokio::spawn(async move { hub.post("/sync/push", &push(n)).await })
    };
    let mut pushes = vec![send(1)];
    // Its group is closed: those that come now are not committed with it.
    store.begun.acquire().await.unwrap().forget();
    pushes.extend((2..=5).map(send));
    // One is being committed, one is in the queue: the others are refused while nothing moves.
    while !hub.get("/metrics").await.text().contains(r#"syncline_refused_total{code="overloaded"} 3"#) {
        tokio::task::yield_now().await;
    }
    store.passes.add_permits(1_000);
    let mut statuses = Vec::new();
    for push in pushes {
        statuses.push(push.await.unwrap().status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 503, 503, 503]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_write_the_hub_says_so_and_guesses_nothing() {
    let store = FaultyStore::held();
    let hub = Hub::on(store.clone(), |_| {}).await;
    assert_eq!(hub.get("/health/ready").await.status, 200);
    store.break_down();
    let reply = hub.post("/sync/push", &push(1)).await;
    assert_eq!(reply.refusal(503), "store_failed");
    assert!(reply.json()["error"].as_str().unwrap().contains("the disk is gone"));
    assert_eq!(hub.get("/health/ready").await.refusal(503), "store_failed");
    assert_eq!(hub.get("/sync/health").await.refusal(503), "store_failed");
    assert_eq!(hub.get("/health/live").await.status, 200, "the process itself is fine");
    assert!(hub.get("/metrics").await.text().contains(r#"syncline_space_failed{space="main"} 1"#));
    assert_eq!(hub.pull("since_lsn=0").await["ops"], json!([]), "reading goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_space_takes_no_other_one_out_of_service() {
    let store = FaultyStore::held();
    let hub = Hub::on(store.clone(), |_| {}).await;
    hub.post("/admin/tokens", &json!({ "name": "t", "space": "other" })).await;
    store.break_down();
    hub.post("/s/other/sync/push", &push(1)).await.refusal(503);

    let told = hub.get("/health/ready").await;
    let reason = told.json()["spaces"]["other"].as_str().unwrap().to_owned();
    assert_eq!((told.status, &told.json()["status"]), (200, &json!("degraded")));
    assert!(reason.contains("the disk is gone"), "{reason}");
    let stranger = hub.send("GET", "/health/ready", &[], b"").await;
    assert_eq!(stranger.json(), json!({ "status": "degraded", "store": "ok", "failed": 1 }), "names are for admins");
    for (path, status) in [("/sync/health", 200), ("/s/main/sync/health", 200), ("/s/other/sync/health", 503)] {
        assert_eq!(hub.send("GET", path, &[], b"").await.status, status, "{path}");
    }

    hub.post("/sync/push", &push(1)).await.refusal(503);
    assert_eq!(hub.get("/health/ready").await.refusal(503), "store_failed", "no space is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_names_its_reason() {
    let gone = || StoreError::Gone { path: "spaces/main.db".to_owned() };
    let no_room = || StoreError::NoRoom { cause: "writing".to_owned() };
    let reasons: [(fn() -> StoreError, _, _); 3] = [
        (|| StoreError::TooManyOpen { most: 2 }, "overloaded", json!("limits.open_spaces")),
        (no_room, "no_room", json!(null)),
        (gone, "data_gone", json!(null)),
    ];
    for (reason, code, limit) in reasons {
        let store = FaultyStore::held();
        let hub = Hub::on(store.clone(), |_| {}).await;
        store.fail_with(reason);
        let reply = hub.post("/sync/push", &push(1)).await;
        assert_eq!((reply.refusal(503).as_str(), &reply.json()["limit"]), (code, &limit));
        assert!(reply.headers.contains_key("retry-after"));
    }
}

/// Room for one small body: memory is taken in steps of 64 KiB.
const ONE_BODY: usize = 64 << 10;

async fn bodies_are_read(hub: &Hub) {
    while hub.get("/metrics").await.text().contains("syncline_body_bytes_total 0") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_of_a_push_counts_until_its_commit() {
    let foreign = json!({ "batchId": "f1", "ops": [{ "op": "INSERT", "id": "x", "doc": { "_id": "x" } }] });
    for body in [push(1), foreign] {
        let store = FaultyStore::held();
        let hub = Arc::new(Hub::on(store.clone(), |o| o.settings.bounds.inflight_body_bytes = ONE_BODY).await);
        let first = tokio::spawn({
            let (hub, body) = (Arc::clone(&hub), body.clone());
            async move { hub.post("/sync/push", &body).await }
        });
        bodies_are_read(&hub).await;
        let refused = hub.post("/sync/push", &push(2)).await;
        assert_eq!((refused.refusal(503).as_str(), &refused.json()["limit"]), ("overloaded", &json!(MEMORY)));

        store.passes.add_permits(1_000);
        let first = first.await.unwrap();
        assert_eq!(first.status, 200, "{}", first.text());
        until_accepted(&hub).await;
    }
}

const MEMORY: &str = "limits.inflight_body_bytes";

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_a_flooded_space_leave_memory_to_others() {
    let store = FaultyStore::held();
    let hub = Arc::new(Hub::on(store.clone(), |o| o.settings.bounds.space_body_bytes = ONE_BODY).await);
    assert_eq!(hub.post("/admin/tokens", &json!({ "name": "t", "space": "other" })).await.status, 200);
    let push_to = |path: &'static str, n| {
        let hub = Arc::clone(&hub);
        tokio::spawn(async move { hub.post(path, &push(n)).await })
    };
    let first = push_to("/sync/push", 1);
    store.begun.acquire().await.unwrap().forget();
    let refused = hub.post("/sync/push", &push(2)).await;
    assert_eq!(refused.refusal(503), "overloaded");
    assert_eq!(refused.json()["limit"], json!("limits.space_body_bytes"));

    let other = push_to("/s/other/sync/push", 2);
    store.passes.add_permits(1_000);
    for taken in [first, other] {
        let reply = taken.await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    until_accepted(&hub).await;
}

/// The share is given back shortly after the reply.
async fn until_accepted(hub: &Hub) {
    while hub.post("/sync/push", &push(2)).await.status != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_nobody_waits_for_any_more_counts_for_as_long_as_it_is_in_the_queue() {
    let store = FaultyStore::held();
    let hub = Hub::on(store.clone(), |o| {
        o.settings.bounds.inflight_body_bytes = 2 * ONE_BODY;
        o.settings.bounds.request_timeout = Duration::from_millis(50);
    })
    .await;
    for n in 1..=2 {
        let reply = hub.post("/sync/push", &push(n)).await;
        reply.refusal(503);
        assert_eq!(reply.json()["limit"], json!("limits.request_timeout"), "one is being committed, one waits");
    }
    let refused = hub.post("/sync/push", &push(3)).await;
    refused.refusal(503);
    assert_eq!(refused.json()["limit"], json!(MEMORY));

    store.passes.add_permits(1_000);
    until_accepted(&hub).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_space_that_cannot_be_read_hides_nothing_of_the_others() {
    let dir = tempfile::TempDir::new().unwrap();
    let open = || Arc::new(SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap());
    let hub = Hub::on(open(), |_| {}).await;
    hub.post("/admin/tokens", &json!({ "name": "t", "space": "lost" })).await;
    hub.shut_down().await;
    std::fs::remove_file(dir.path().join("spaces/lost.db")).unwrap();

    let hub = Hub::on(open(), |_| {}).await;
    let status = hub.get("/admin/status").await.json();

    let lost = status["spaces"][0]["failure"].as_str().unwrap();
    assert!(lost.contains("lost.db"), "{lost}");
    assert_eq!((&status["spaces"][1]["space"], &status["spaces"][1]["failure"]), (&json!("main"), &json!(null)));
    assert_eq!(hub.get("/s/lost/sync/pull?node=n").await.refusal(503), "data_gone");
}

/// A store that commits at once.
fn quick() -> Arc<FaultyStore> {
    let store = FaultyStore::held();
    store.passes.add_permits(100_000);
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_who_has_heard_all_do_not_look_into_the_ledger() {
    let store = quick();
    let hub = Hub::on(store.clone(), |_| {}).await;
    let edit = |seq: u64, at: u64| json!([{ "seq": seq, "op": "update", "collection": "notes", "id": "d", "base": 1, "stamp": stamp(at), "set": { "v": at } }]);
    hub.push("a", "1", &json!([insert(1, "notes", "d")])).await;
    hub.push("b", "1", &edit(1, 10)).await;
    hub.push("a", "2", &edit(2, 20)).await;
    let pull = |node: &str, after: u64| {
        let path = format!("/sync/pull?node={node}&since_lsn=0&conflicts_after={after}");
        let hub = &hub;
        async move { hub.get(&path).await.json()["conflicts"].clone() }
    };

    assert_eq!(pull("b", 0).await["rows"][0]["id"], "d", "its edit had been accepted");
    let told = pull("a", 0).await["upto"].as_u64().unwrap();
    let reads = store.reads_of_late_conflicts.load(Ordering::SeqCst);
    for node in ["a", "b"] {
        assert!(pull(node, told).await.is_null());
    }
    assert_eq!(
        store.reads_of_late_conflicts.load(Ordering::SeqCst),
        reads,
        "there is nothing newer, and that is known"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_that_could_not_be_written_are_written_with_the_next_ones_unless_they_are_older() {
    let store = quick();
    let options = syncline_server::Options { listen: "127.0.0.1:0".to_owned(), ..Default::default() };
    let app = syncline_server::open(store.clone(), options).await.unwrap();
    let name = SpaceName::new("main").unwrap();
    let (quiet, busy) = (NodeId::new("quiet").unwrap(), NodeId::new("busy").unwrap());
    let space = app.hub.space(&name).await.unwrap();
    space.note_cursor(&quiet, Lsn(7));
    space.note_cursor(&busy, Lsn(8));
    store.fails_cursors.store(true, Ordering::SeqCst);
    space.write_cursors().await.unwrap_err();

    space.note_cursor(&busy, Lsn(9));
    space.write_cursors().await.unwrap();

    let nodes = app.hub.store().nodes(&name).await.unwrap();
    let cursors: Vec<_> = nodes.iter().map(|row| (row.node.as_str(), row.cursor)).collect();
    assert_eq!(cursors, [("busy", Lsn(9)), ("quiet", Lsn(7))]);
    app.hub.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_under_way_does_not_bring_back_the_node_that_was_let_go() {
    let store = quick();
    let options = syncline_server::Options { listen: "127.0.0.1:0".to_owned(), ..Default::default() };
    let app = syncline_server::open(store.clone(), options).await.unwrap();
    let (name, node) = (SpaceName::new("main").unwrap(), NodeId::new("n1").unwrap());
    let space = app.hub.space(&name).await.unwrap();
    space.note_cursor(&node, Lsn(0));
    space.write_cursors().await.unwrap();
    space.note_cursor(&node, Lsn(7));

    store.holds_cursors.store(true, Ordering::SeqCst);
    let writing = tokio::spawn({
        let space = Arc::clone(&space);
        async move { space.write_cursors().await }
    });
    store.begun_cursors.acquire().await.unwrap().forget();
    let mut letting_go = tokio::spawn({
        let (space, node) = (Arc::clone(&space), node.clone());
        async move { space.expire_node(&node).await }
    });
    // As much time as it needs where it does not wait for the note.
    let _early = tokio::time::timeout(Duration::from_millis(200), &mut letting_go).await.map(drop);
    store.late_cursors.add_permits(1);
    writing.await.unwrap().unwrap();
    if !letting_go.is_finished() {
        letting_go.await.unwrap().unwrap();
    }

    let nodes = app.hub.store().nodes(&name).await.unwrap();
    let row = nodes.iter().find(|row| row.node == "n1").unwrap();
    assert_eq!(row.cursor, Lsn::ZERO, "nothing is kept for it any more");
    app.hub.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_for_documents_that_nobody_changes_goes_on_where_the_last_one_ended() {
    let store = quick();
    let hub = Hub::on(store.clone(), |_| {}).await;
    hub.push("n1", "b1", &json!((1..=5).map(|n| insert(n, "notes", &format!("n{n}"))).collect::<Vec<_>>())).await;
    hub.push("n1", "b2", &json!([insert(6, "goods", "g1"), insert(7, "goods", "g2")])).await;
    let rule = json!({ "retention_ms": 86_400_000 });
    let path = "/admin/spaces/main/collections/goods";
    let auth = format!("Bearer {}", support::ADMIN);
    assert_eq!(hub.send("PUT", path, &[("authorization", &auth)], rule.to_string().as_bytes()).await.status, 200);
    store.snapshots.lock().unwrap().clear();

    for _ in 0..3 {
        assert_eq!(hub.post("/admin/spaces/main/trim", &serde_json::Value::Null).await.json()["expired"], 0);
    }

    assert_eq!(
        *store.snapshots.lock().unwrap(),
        [Lsn(0), Lsn(5), Lsn(5)],
        "what stands before is not walked along again"
    );
}
