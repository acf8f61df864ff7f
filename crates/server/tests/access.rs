//! Who may do what: tokens, grants, and the administration of both.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod administration;
mod support;

use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use support::faulty::FaultyStore;
use support::{ADMIN, Hub, Reply, insert};
use syncline_server::store::{RecordKind, SqliteOptions, SqliteStore, Store};

/// Makes a token and returns its secret.
async fn token(hub: &Hub, spec: &Value) -> String {
    let reply = hub.post("/admin/tokens", spec).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["token"].as_str().unwrap().to_owned()
}

async fn with(hub: &Hub, secret: &str, method: &str, path: &str, body: &Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    hub.send(method, path, &[("authorization", &format!("Bearer {secret}"))], body.as_bytes()).await
}

fn push(node: &str, collection: &str) -> Value {
    json!({ "node": node, "batchId": format!("{node}-{collection}"), "ops": [insert(1, collection, "x")] })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_no_entry_except_for_health() {
    let hub = Hub::start().await;
    let headers: &[&[(&str, &str)]] = &[
        &[],
        &[("authorization", "Bearer wrong-secret")],
        &[("authorization", "Bearer ")],
        &[("authorization", "Basic dXNlcjpwYXNz")],
        &[("authorization", "the-admin-secret")],
    ];
    for headers in headers {
        for (method, path) in [
            ("GET", "/sync/pull?node=r"),
            ("GET", "/sync/snapshot?node=r"),
            ("GET", "/c/a/sync/pull"),
            ("POST", "/sync/push"),
            ("GET", "/admin/tokens"),
            ("GET", "/admin/status"),
        ] {
            let reply = hub.send(method, path, headers, b"").await;
            assert_eq!(reply.refusal(401), "unauthorized", "{method} {path} {headers:?}");
            assert_eq!(reply.headers["www-authenticate"], "Bearer");
        }
        let health = hub.send("GET", "/sync/health", headers, b"").await;
        assert_eq!((health.status, &health.json()["status"]), (200, &json!("ok")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_reads_and_writes_only_inside_its_grants() {
    let hub = Hub::start().await;
    let narrow = token(&hub, &json!({ "name": "narrow", "space": "acme", "collections": ["a", "b"] })).await;
    let reader = token(&hub, &json!({ "name": "reader", "space": "acme", "write": false })).await;
    let writer = token(&hub, &json!({ "name": "writer", "space": "acme", "read": false })).await;
    let bound = token(&hub, &json!({ "name": "bound", "space": "acme", "node": "n7" })).await;
    let expired = token(&hub, &json!({ "name": "expired", "space": "acme", "expires_at": 1 })).await;
    let nothing = Value::Null;

    for (secret, method, path, body, status) in [
        (&narrow, "POST", "/sync/push", push("n1", "a"), 200),
        (&narrow, "POST", "/c/c/sync/push", push("n1", "c"), 403),
        (&narrow, "GET", "/sync/pull?node=n1", nothing.clone(), 200),
        (&narrow, "GET", "/sync/pull?node=n1&collections=a,c", nothing.clone(), 403),
        (&narrow, "GET", "/s/main/sync/pull?node=n1", nothing.clone(), 403),
        (&narrow, "GET", "/s/acme/c/a/sync/snapshot?node=n1", nothing.clone(), 200),
        (&narrow, "GET", "/s/acme/c/c/sync/snapshot?node=n1", nothing.clone(), 403),
        (&narrow, "GET", "/admin/tokens", nothing.clone(), 403),
        (&reader, "GET", "/sync/pull?node=n1", nothing.clone(), 200),
        (&reader, "POST", "/sync/push", push("n2", "a"), 403),
        (&writer, "POST", "/sync/push", push("n3", "a"), 200),
        (&writer, "GET", "/sync/pull?node=n3", nothing.clone(), 403),
        (&bound, "GET", "/sync/pull?node=n7", nothing.clone(), 200),
        (&bound, "GET", "/sync/pull?node=n8", nothing.clone(), 403),
        (&bound, "POST", "/sync/push", push("n8", "a"), 403),
        (&expired, "GET", "/sync/pull?node=n1", nothing.clone(), 401),
    ] {
        let reply = with(&hub, secret, method, path, &body).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
        if status == 403 {
            assert_eq!(reply.refusal(403), "forbidden", "{method} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_of_collections_a_reader_gets_what_its_token_covers() {
    let hub = Hub::start().await;
    let narrow = token(&hub, &json!({ "name": "narrow", "collections": ["a"] })).await;
    hub.push("n1", "b1", &json!([insert(1, "a", "x"), insert(2, "b", "y")])).await;
    let page = with(&hub, &narrow, "GET", "/sync/pull?node=r", &Value::Null).await.json();
    assert_eq!(page["ops"].as_array().unwrap().len(), 1);
    let snapshot = with(&hub, &narrow, "GET", "/sync/snapshot?node=r", &Value::Null).await.text();
    assert!(snapshot.contains(r#""id":"x""#) && !snapshot.contains(r#""id":"y""#), "{snapshot}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_op_outside_the_grants_is_rejected_and_holds_up_nothing() {
    let hub = Hub::start().await;
    let narrow = token(&hub, &json!({ "name": "narrow", "collections": ["a"] })).await;
    let ops = json!([insert(1, "a", "x"), insert(2, "secret", "y"), insert(3, "a", "z")]);
    let body = json!({ "node": "n1", "batchId": "b1", "ops": ops });
    let reply = with(&hub, &narrow, "POST", "/sync/push", &body).await.json();
    let results: Vec<_> = reply["receipts"].as_array().unwrap().iter().map(|r| r["result"].clone()).collect();
    assert_eq!(results, ["applied", "rejected", "applied"]);
    assert_eq!(reply["receipts"][1]["code"], "forbidden");
    let kept = hub.get("/admin/spaces/main/quarantine").await.json();
    let sent: Value = serde_json::from_str(kept["quarantine"][0]["op"].as_str().unwrap()).unwrap();
    assert_eq!(sent, ops[1], "the op is kept as it was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_of_a_collection_decides_its_conflicts() {
    let hub = Hub::start().await;
    let put = with(&hub, ADMIN, "PUT", "/admin/spaces/main/collections/a", &json!({ "strategy": "server-wins" })).await;
    assert_eq!(put.status, 200, "{put:?}");
    let rules = hub.get("/admin/spaces/main/collections").await.json();
    assert_eq!(rules["collections"], json!([{ "collection": "a", "strategy": "server-wins" }]));

    hub.push("n1", "b1", &json!([insert(1, "a", "x")])).await;
    let update = json!([{ "seq": 1, "op": "update", "collection": "a", "id": "x", "base": 0,
                          "stamp": support::stamp(900), "set": { "n": 2 } }]);
    let late = hub.push("n2", "b1", &update).await;
    assert_eq!(late["receipts"][0]["result"], "superseded");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_of_each_space() {
    let hub = Hub::start().await;
    hub.push("n1", "b1", &json!([insert(1, "a", "x")])).await;
    let status = hub.get("/admin/status").await.json();
    assert_eq!((&status["spaces"][0]["space"], &status["spaces"][0]["head"]), (&json!("main"), &json!(1)));
    let nodes = hub.get("/admin/spaces/main/nodes").await.json();
    assert_eq!((&nodes["nodes"][0]["node"], &nodes["nodes"][0]["last_seq"]), (&json!("n1"), &json!(1)));
    let trimmed = hub.post("/admin/spaces/main/trim", &Value::Null).await;
    assert_eq!(trimmed.json()["horizon"], json!(0), "nothing is 90 days old");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_removed_while_its_poll_waits_gets_nothing_more() {
    let hub = Arc::new(Hub::start().await);
    let device = token(&hub, &json!({ "name": "device" })).await;
    let waiting = tokio::spawn({
        let hub = Arc::clone(&hub);
        async move { with(&hub, &device, "GET", "/sync/pull?node=r&wait=30", &Value::Null).await }
    });
    while !hub.get("/metrics").await.text().contains("syncline_waiting_polls 1") {
        tokio::task::yield_now().await;
    }
    assert_eq!(with(&hub, ADMIN, "DELETE", "/admin/tokens/device", &Value::Null).await.status, 200);
    hub.push("n1", "b1", &json!([insert(1, "a", "x")])).await;
    assert_eq!(waiting.await.unwrap().refusal(401), "unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_belongs_to_the_token_that_first_pushed_as_it() {
    for hub in Hub::on_every_store().await {
        let op = |batch: &str, node: &str, seq: u64| {
            let id = format!("{node}-{seq}");
            json!({ "node": node, "batchId": batch, "ops": [insert(seq, "a", &id)] })
        };
        let phone = token(&hub, &json!({ "name": "phone" })).await;
        let thief = token(&hub, &json!({ "name": "thief" })).await;
        let made = token(&hub, &json!({ "name": "made", "node": "n2" })).await;
        let push = async |secret: &str, body: Value| with(&hub, secret, "POST", "/sync/push", &body).await;

        // One token may have many nodes; a node has one token.
        assert_eq!(push(&phone, op("b1", "n1", 1)).await.status, 200);
        assert_eq!(push(&phone, op("b1", "n2", 1)).await.status, 200);
        let refused = push(&thief, op("b1", "n1", 1)).await;
        assert_eq!(refused.refusal(403), "forbidden");
        let reason = refused.json()["error"].as_str().unwrap().to_owned();
        assert!(reason.contains("`n1`") && reason.contains("`phone`") && reason.contains("--node"), "{reason}");
        let nodes = hub.get("/admin/spaces/main/nodes").await.json();
        assert_eq!((&nodes["nodes"][0]["node"], &nodes["nodes"][0]["owner"]), (&json!("n1"), &json!("phone")));

        // An admin's token may, and leaves the node with its owner.
        assert_eq!(push(ADMIN, op("b2", "n1", 2)).await.status, 200);
        // A token that was made for the node takes it over.
        assert_eq!(push(&made, op("b3", "n2", 3)).await.status, 200);
        assert_eq!(push(&phone, op("b4", "n2", 4)).await.refusal(403), "forbidden");
        // A new secret is the same token.
        let rotated = hub.post("/admin/tokens/phone/rotate", &Value::Null).await.json()["token"].clone();
        assert_eq!(push(rotated.as_str().unwrap(), op("b5", "n1", 5)).await.status, 200);
        // What a removed token had is free again.
        let header = format!("Bearer {ADMIN}");
        let removed = hub.send("DELETE", "/admin/tokens/phone", &[("authorization", &header)], b"").await;
        assert_eq!(removed.status, 200);
        while push(&thief, op("b6", "n1", 6)).await.status == 403 {
            // Until the worker that answers has heard that the token is no more.
        }
        assert_eq!(push(&thief, op("b6", "n1", 6)).await.status, 200, "the same again");
        assert_eq!(push(&made, op("b7", "n2", 7)).await.status, 200);

        // Foreign clients have no node but their token, under a name that no own client's node can have.
        let foreign = json!({ "batchId": "f1", "ops": [{ "op": "INSERT", "doc": { "_id": "f" }, "opId": "o1" }] });
        for secret in [&thief, &made] {
            assert_eq!(with(&hub, secret, "POST", "/c/a/sync/push", &foreign).await.status, 200);
        }
        let other = token(&hub, &json!({ "name": "other" })).await;
        assert_eq!(push(&other, op("b8", "(token:thief)", 1)).await.refusal(403), "forbidden");
        assert_eq!(push(&other, op("b8", "thief", 1)).await.status, 200);
        assert_eq!(with(&hub, &thief, "POST", "/c/a/sync/push", &foreign).await.status, 200);
        assert_eq!(push(&other, op("b9", "thief", 2)).await.status, 200, "the token's name took no node over");
        let nodes = hub.get("/admin/spaces/main/nodes").await.json();
        let owner = |name: &str| {
            nodes["nodes"].as_array().unwrap().iter().find(|n| n["node"] == name).unwrap()["owner"].clone()
        };
        assert_eq!((owner("thief"), owner("(token:thief)")), (json!("other"), Value::Null));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_in_the_name_of_another_tokens_node_says_nothing_about_it() {
    let dir = tempfile::TempDir::new().unwrap();
    let open = || Arc::new(SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap());
    let mut hub = Hub::on(open(), |_| {}).await;
    let phone = token(&hub, &json!({ "name": "phone" })).await;
    let spy = token(&hub, &json!({ "name": "spy" })).await;
    let own = json!({ "node": "n1", "batchId": "b1", "ops": [insert(1, "a", "x")] });
    assert_eq!(with(&hub, &phone, "POST", "/sync/push", &own).await.status, 200);
    hub.push("n2", "b1", &json!([insert(1, "a", "y"), insert(2, "a", "z")])).await;

    // Owners are known from the decision, and from the store.
    for restarted in [false, true] {
        let pull = async |secret: &str, path: &str| with(&hub, secret, "GET", path, &Value::Null).await.status;
        let node = async || hub.get("/admin/spaces/main/nodes").await.json()["nodes"][0].clone();
        let behind = async || node().await["behind"].clone();
        assert_eq!(pull(&phone, "/sync/pull?node=n1&since_lsn=1&limit=1").await, 200);
        assert_eq!((behind().await, &node().await["cursor"]), (json!(1), &json!(1)), "at once, whatever the store has");
        assert_eq!(pull(&spy, "/sync/pull?node=n1&since_lsn=3").await, 200, "it is served");
        assert_eq!(pull(&spy, "/sync/pull?node=n1&since_lsn=0").await, 200);
        assert_eq!(behind().await, 1, "restarted: {restarted}");
        assert_eq!(pull(ADMIN, "/sync/pull?node=n1&since_lsn=3").await, 200);
        assert_eq!(behind().await, 0, "an admin's token speaks for every node");
        assert_eq!(node().await["cursor"], 3);
        if !restarted {
            hub.shut_down().await;
            hub = Hub::on(open(), |_| {}).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_explain_themselves_and_show_spaces_only_to_admins() {
    let hub = Hub::start().await;
    hub.push("n1", "b1", &json!([insert(1, "a", "x")])).await;
    assert_eq!(hub.get("/nothing").await.status, 404);
    let full = hub.get("/metrics").await.text();
    let open = hub.send("GET", "/metrics", &[], b"").await.text();

    for text in [&full, &open] {
        let names = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        for line in names {
            let name = line.split(['{', ' ']).next().unwrap();
            let name = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            for kind in ["HELP", "TYPE"] {
                let comments = text.lines().filter(|line| line.starts_with(&format!("# {kind} {name} ")));
                assert_eq!(comments.count(), 1, "{kind} of {name}");
            }
        }
    }
    assert!(full.contains(r#"syncline_space_head_lsn{space="main"} 1"#), "{full}");
    assert!(open.contains("syncline_commits_total 1") && !open.contains("main"), "{open}");

    let device = token(&hub, &json!({ "name": "device" })).await;
    assert_eq!(with(&hub, &device, "GET", "/metrics", &Value::Null).await.refusal(403), "forbidden");
    let closed = Hub::with(|options| options.open_metrics = false).await;
    assert_eq!(closed.send("GET", "/metrics", &[], b"").await.refusal(401), "unauthorized");
    assert_eq!(closed.get("/metrics").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_read_what_others_wrote_is_in_step() {
    // Another worker knows of a page only what the node confirms with its next request.
    for hub in Hub::on_every_store().await.into_iter().filter(Hub::is_one) {
        let behind = async || {
            let nodes = hub.get("/admin/spaces/main/nodes").await.json()["nodes"].clone();
            let of = |name: &str| {
                let node = nodes.as_array().unwrap().iter().find(|node| node["node"] == name);
                node.map(|node| node["behind"].as_u64().unwrap())
            };
            (of("n1"), of("n2"))
        };
        hub.push("n1", "b1", &json!([insert(1, "a", "x"), insert(2, "a", "y")])).await;
        assert_eq!(behind().await, (Some(0), None), "its own changes a node need not read");
        hub.push("n2", "b1", &json!([insert(1, "a", "z")])).await;
        assert_eq!(behind().await, (Some(3), Some(2)));
        assert_eq!(hub.get("/sync/pull?node=n1&since_lsn=0").await.status, 200);
        assert_eq!(behind().await.0, Some(0), "it was handed everything");
        assert_eq!(hub.get("/sync/pull?node=n1&since_lsn=3").await.status, 200);
        hub.push("n1", "b2", &json!([insert(3, "a", "w")])).await;
        let nodes = hub.get("/admin/spaces/main/nodes").await.json()["nodes"].clone();
        let n1 = nodes.as_array().unwrap().iter().find(|node| node["node"] == "n1").unwrap().clone();
        assert_eq!((&n1["cursor"], &n1["last_seq"]), (&json!(3), &json!(3)), "a push says nothing of where it is");
        assert_eq!(hub.get("/sync/pull?node=n1&since_lsn=2&limit=1&collections=b").await.status, 200);
        hub.push("n1", "b2", &json!([insert(3, "a", "w")])).await;
        assert_eq!(behind().await, (Some(0), Some(4)));
    }
}
