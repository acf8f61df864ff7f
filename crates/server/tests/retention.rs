//! What is forgotten, what holds it back, and what readers behind it are told.

#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod support;

use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use support::socket::{Client, LONG};
use support::{ADMIN, Hub, insert, stamp};
use syncline_core::hub::{Touch, WriteSet};
use syncline_core::model::{Lsn, Millis, NodeId, Plan, Registration, SpaceName, Traffic};
use syncline_server::Options;
use syncline_server::store::{MemoryStore, SqliteOptions, SqliteStore, Store};

fn update(seq: u64) -> Value {
    json!({ "seq": seq, "op": "update", "collection": "a", "id": "x", "base": seq - 1, "stamp": stamp(seq), "set": { "n": seq } })
}

/// Trims until the horizon is where it should be: what was committed in this very millisecond is
/// not old yet.
async fn trim_to(hub: &Hub, horizon: u64) {
    for _ in 0..1_000 {
        let now = hub.post("/admin/spaces/main/trim", &Value::Null).await.json()["horizon"].as_u64().unwrap();
        assert!(now <= horizon, "{now} is too far");
        if now == horizon {
            return;
        }
    }
    panic!("the horizon did not reach {horizon}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_behind_the_horizon_is_sent_to_a_snapshot() {
    let hub = Hub::with(|options| options.settings.retention.log = Duration::ZERO).await;
    hub.push("n1", "b1", &json!([insert(1, "a", "x"), update(2), update(3)])).await;
    trim_to(&hub, 3).await;

    let reply = hub.get("/sync/pull?node=late&since_lsn=1").await;
    assert_eq!((reply.refusal(410).as_str(), &reply.json()["horizon"]), ("resync", &json!(3)));
    let snapshot = hub.get("/sync/snapshot?node=late").await.text();
    assert!(snapshot.contains(r#""n":3"#), "{snapshot}");
    assert_eq!(hub.pull("since_lsn=3").await["ops"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_node_holds_the_log_back_until_it_has_read_it() {
    let dir = tempfile::TempDir::new().unwrap();
    let open = || Arc::new(SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap());
    let forgetful = |options: &mut Options| options.settings.retention.log = Duration::ZERO;

    let hub = Hub::on(open(), forgetful).await;
    hub.push("n1", "b1", &json!([insert(1, "a", "x"), update(2), update(3)])).await;
    let page = hub.get("/sync/pull?node=n1&since_lsn=2").await;
    assert_eq!(page.status, 200);
    hub.shut_down().await;

    let hub = Hub::on(open(), forgetful).await;
    let nodes = hub.get("/admin/spaces/main/nodes").await.json();
    assert_eq!(nodes["nodes"][0]["cursor"], json!(2), "noted although the hub went down at once");
    trim_to(&hub, 2).await;
    assert_eq!(hub.post("/admin/spaces/main/trim", &Value::Null).await.json()["horizon"], json!(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_silent_for_too_long_is_fenced_and_what_it_has_yet_to_push_is_taken() {
    let hub = Hub::with(|options| {
        options.settings.retention.log = Duration::ZERO;
        options.settings.retention.nodes = Duration::ZERO;
    })
    .await;
    let first = hub.push("n1", "b1", &json!([insert(1, "a", "x")])).await;
    assert_eq!(hub.get("/sync/pull?node=n1&since_lsn=1").await.status, 200);
    hub.push("n2", "b1", &json!([insert(1, "a", "y")])).await;
    trim_to(&hub, 2).await;

    assert_eq!(hub.get("/sync/pull?node=n1&since_lsn=1").await.refusal(410), "resync");
    let outbox = json!({ "node": "n1", "batchId": "b2", "epoch": first["epoch"], "ops": [update(2)] });
    let pushed = hub.post("/sync/push", &outbox).await.json();
    assert_eq!(pushed["receipts"][0]["result"], "applied", "{pushed}");
    assert!(hub.get("/sync/snapshot?node=n1").await.text().contains(r#""n":2"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_let_go_holds_nothing_back() {
    let hub = Hub::with(|options| options.settings.retention.log = Duration::ZERO).await;
    hub.push("n1", "b1", &json!([insert(1, "a", "x"), update(2), update(3)])).await;
    assert_eq!(hub.get("/sync/pull?node=n1&since_lsn=2").await.status, 200);
    let none = hub.post("/admin/spaces/main/nodes/nobody/expire", &Value::Null).await;
    assert_eq!(none.refusal(404), "not_found");
    let gone = hub.post("/admin/spaces/main/nodes/n1/expire", &Value::Null).await;
    assert_eq!(gone.json(), json!({ "expired": "n1" }));
    trim_to(&hub, 3).await;
    assert_eq!(hub.get("/sync/pull?node=n1&since_lsn=2").await.refusal(410), "resync");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_node_holds_the_log_back_for_as_long_as_it_calls() {
    let store = Arc::new(MemoryStore::new());
    let hub = Hub::on(store.clone(), |options| options.settings.retention.log = Duration::ZERO).await;
    hub.push("n1", "b1", &json!([insert(1, "a", "x")])).await;
    let (main, desk) = (SpaceName::new("main").unwrap(), NodeId::new("desk").unwrap());
    let registration =
        Registration { id: desk.clone(), code: "DESK".into(), name: String::new(), plan: Plan::default() };
    store.register(&main, registration, None).await.unwrap();
    hub.push("n1", "b2", &json!([update(2), update(3)])).await;
    let called = async |at: u64| {
        let traffic = Traffic { received_at: Millis(at), ..Traffic::new(Lsn(1)) };
        let writes = WriteSet { traffic: [(desk.clone(), traffic)].into(), ..WriteSet::default() };
        store.commit(&main, Touch::default(), Box::new(move |_| writes.clone())).await.unwrap();
    };

    called(u64::MAX).await;
    trim_to(&hub, 1).await;
    assert_eq!(hub.post("/admin/spaces/main/trim", &Value::Null).await.json()["horizon"], json!(1));
    called(1).await;
    trim_to(&hub, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_only_read_are_noted_up_to_their_limit_and_served_past_it() {
    let dir = tempfile::TempDir::new().unwrap();
    let open = || Arc::new(SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap());
    let few = |options: &mut Options| options.settings.bounds.reading_nodes = 3;

    let hub = Hub::on(open(), few).await;
    hub.push("n1", "b1", &json!([insert(1, "a", "x")])).await;
    for node in ["n1", "r1", "r2", "r3"] {
        assert_eq!(hub.get(&format!("/sync/pull?node={node}&since_lsn=1")).await.status, 200);
    }
    hub.shut_down().await;

    let hub = Hub::on(open(), few).await;
    let nodes = hub.get("/admin/spaces/main/nodes").await.json();
    let named: Vec<_> = nodes["nodes"].as_array().unwrap().iter().map(|n| n["node"].as_str().unwrap()).collect();
    assert_eq!(named, ["n1", "r1", "r2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_pages_were_open_devices_are_noted() {
    let mut options = Options { tokens: Vec::new(), ..Options::default() };
    options.settings.bounds.reading_nodes = 3;
    let app = syncline_server::open(Arc::new(MemoryStore::new()), options).await.unwrap();
    let space = app.hub.space(&app.options.default_space).await.unwrap();
    let names = |before: &str| (0..5).map(|n| NodeId::new(format!("{before}{n}")).unwrap()).collect::<Vec<_>>();

    for node in [names("(live:page"), names("device")].concat() {
        space.note_cursor(&node, Lsn(1));
    }

    space.write_cursors().await.unwrap();
    let noted: Vec<_> = space.nodes().await.unwrap().into_iter().map(|row| row.node).collect();
    assert_eq!(noted, ["(live:page0", "(live:page1", "(live:page2", "device0", "device1", "device2"]);
    let handed = names("device").iter().map(|node| Some(space.places().get(node)?.handed)).collect::<Vec<_>>();
    assert_eq!(handed, [Some(Lsn(1)), Some(Lsn(1)), Some(Lsn(1)), None, None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_expired_is_removed_for_own_and_foreign_readers() {
    let dir = tempfile::TempDir::new().unwrap();
    let files = Arc::new(SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap());
    let exact = |options: &mut Options| options.settings.limits.clock_drift_ms = 0;
    for hub in [Hub::with(exact).await, Hub::on(files, exact).await] {
        let document = |seq: u64, id: String, expires: &str| {
            let doc = json!({ "_id": id, "expireAt": expires });
            json!({ "seq": seq, "op": "insert", "collection": "a", "id": id, "stamp": stamp(seq), "doc": doc })
        };
        // More than one commit takes.
        let mut ops: Vec<_> = (1..=450).map(|n| document(n, format!("old{n}"), "2020-01-01T00:00:00Z")).collect();
        ops.push(document(451, "lasting".into(), "2999-01-01T00:00:00Z"));
        hub.push("n1", "b1", &json!(ops)).await;

        let done = hub.post("/admin/spaces/main/trim", &Value::Null).await.json();
        assert_eq!(done["expired"], json!(450));
        let page = hub.pull("since_lsn=451").await;
        assert_eq!(page["ops"].as_array().unwrap().len(), 450);
        assert!(page["ops"].as_array().unwrap().iter().all(|op| op["op"] == "remove"), "{page}");
        let foreign = hub.get("/c/a/sync/pull?since_lsn=451").await.json();
        assert!(foreign["ops"].as_array().unwrap().iter().all(|op| op["op"] == "REMOVE"), "{foreign}");
        assert_eq!(foreign["ops"].as_array().unwrap().len(), 450);
        let conflicts = hub.get("/admin/spaces/main/conflicts").await.json();
        assert_eq!(conflicts["conflicts"], json!([]), "nobody lost anything");

        let set = json!({ "expireAt": "2999-01-01T00:00:00Z" });
        let prolonged = json!([{ "seq": 452, "op": "update", "collection": "a", "id": "old7", "base": 7, "stamp": stamp(452), "set": set }]);
        hub.push("n1", "b2", &prolonged).await;
        let again = hub.post("/admin/spaces/main/trim", &Value::Null).await.json();
        assert_eq!(again["expired"], json!(0));
        let snapshot = hub.get("/sync/snapshot?node=late").await.text();
        assert!(snapshot.contains(r#""id":"old7""#) && snapshot.contains(r#""id":"lasting""#), "{snapshot}");
        let impostor = json!({ "node": "(hub)", "batchId": "b3", "ops": [insert(1, "a", "x")] });
        assert_eq!(hub.post("/sync/push", &impostor).await.refusal(403), "forbidden");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_gone_is_forgotten_and_its_changes_keep_their_author() {
    let hub = Hub::with(|options| options.settings.retention.clients = Duration::ZERO).await;
    let mut page = Client::connect(&hub.addr, ADMIN).await;
    page.emit("client:info", &json!({ "clientId": "page", "collections": ["a"] })).await;
    let event = json!({ "id": "1", "type": "insert", "collection": "a", "data": { "id": "x" }, "timestamp": 1 });
    assert_eq!(page.call("client:sync", &json!([event])).await["success"], json!(true));
    drop(page);
    let names = async || {
        let nodes = hub.get("/admin/spaces/main/nodes").await.json();
        let names = nodes["nodes"].as_array().unwrap().iter().map(|node| node["node"].as_str().unwrap().to_owned());
        names.filter(|name| name.starts_with("(live:")).collect::<Vec<_>>()
    };
    let noted = async { while names().await.len() < 3 {} };
    tokio::time::timeout(LONG, noted).await.expect("its places are noted");

    let trimmed = hub.post("/admin/spaces/main/trim", &Value::Null).await.json();

    assert_eq!(trimmed["trimmed"]["clients"], json!(2), "{trimmed}");
    assert_eq!(names().await, ["(live:page)"], "`x` is its");
    let again = hub.post("/admin/spaces/main/trim", &Value::Null).await.json();
    assert_eq!(again["trimmed"]["clients"], json!(0));
}
