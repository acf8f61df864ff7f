//! Rules of collections over HTTP: what breaks one is refused with its reason, what was there before is named and stays,
//! and rules outlive the hub.

#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod support;

use serde_json::{Value, json};
use std::sync::Arc;
use support::faulty::FaultyStore;
use support::socket::Client;
use support::{ADMIN, Hub, Reply, insert, stamp};
use syncline_core::model::{CollectionName, CollectionRule, SpaceName};
use syncline_server::DeclaredRule;
use syncline_server::store::{MemoryStore, RecordKind, SqliteOptions, SqliteStore, Store};

const USERS: &str = "/admin/spaces/main/collections/users";

async fn put(hub: &Hub, path: &str, rule: &Value) -> Reply {
    hub.send("PUT", path, &[("authorization", &format!("Bearer {ADMIN}"))], rule.to_string().as_bytes()).await
}

async fn set(hub: &Hub, rule: &Value) -> Value {
    let reply = put(hub, USERS, rule).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn user(seq: u64, id: &str, fields: &Value) -> Value {
    let mut doc = fields.clone();
    doc["_id"] = json!(id);
    json!({ "seq": seq, "op": "insert", "collection": "users", "id": id, "stamp": stamp(seq), "doc": doc })
}

/// The receipt of the only op of a push.
async fn write(hub: &Hub, seq: u64, id: &str, fields: &Value) -> Value {
    hub.push("n1", &format!("b{seq}"), &json!([user(seq, id, fields)])).await["receipts"][0].clone()
}

async fn lines(hub: &Hub) -> Vec<Value> {
    let reply = hub.get(&format!("{USERS}/violations")).await;
    assert_eq!((reply.status, reply.headers["content-type"].as_str()), (200, "application/x-ndjson"));
    reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_op_that_breaks_a_rule_is_refused_with_its_reason_and_kept() {
    for hub in Hub::on_every_store().await {
        let schema = json!({ "properties": { "age": { "type": "integer" } } });
        let rule = json!({ "unique": ["email", ["country", "number"]], "schema": schema, "max_bytes": 200 });
        let answer = set(&hub, &rule).await;
        assert_eq!(answer["checked"], json!({ "documents": 0, "violating": 0, "end": true }));
        assert_eq!(
            write(&hub, 1, "ann", &json!({ "email": "a@x", "country": "NL", "number": 1 })).await["result"],
            "applied"
        );

        for (seq, fields, code, words) in [
            (2, json!({ "email": "a@x" }), "unique_violation", "document `ann` has it"),
            (3, json!({ "country": "NL", "number": 1.0 }), "unique_violation", "`country`, `number`"),
            (4, json!({ "age": "seven" }), "schema_violation", "`/age`"),
            (5, json!({ "text": "x".repeat(300) }), "size_violation", "allows 200"),
        ] {
            let receipt = write(&hub, seq, "bob", &fields).await;
            assert_eq!((&receipt["result"], &receipt["code"]), (&json!("rejected"), &json!(code)), "{receipt}");
            assert!(receipt["reason"].as_str().unwrap().contains(words), "{receipt}");
        }
        assert_eq!(write(&hub, 6, "bob", &json!({ "country": "NL", "email": null })).await["result"], "applied");

        let kept = hub.get("/admin/spaces/main/quarantine").await.json();
        let codes: Vec<&str> =
            kept["quarantine"].as_array().unwrap().iter().map(|row| row["code"].as_str().unwrap()).collect();
        assert_eq!(codes, ["size_violation", "schema_violation", "unique_violation", "unique_violation"]);
        if hub.is_one() {
            let status = hub.get("/admin/status").await.json();
            assert_eq!(status["spaces"][0]["rule_refusals"], 4, "{status}");
            let metrics = hub.get("/metrics").await.text();
            assert!(metrics.contains(r#"syncline_rule_refusals_total{code="unique_violation"} 2"#), "{metrics}");
        }

        // Once the value is free the op can be retried.
        hub.push(
            "n1",
            "b7",
            &json!([{ "seq": 7, "op": "remove", "collection": "users", "id": "ann", "base": 1, "stamp": stamp(7) }]),
        )
        .await;
        let retried = hub
            .post(
                "/admin/spaces/main/quarantine/1/retry",
                &json!({ "op": "replace", "doc": { "_id": "bob", "email": "a@x" } }),
            )
            .await;
        assert_eq!(retried.json()["result"], "applied", "{}", retried.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_on_existing_data_names_what_breaks_it_and_changes_nothing() {
    for hub in Hub::on_every_store().await {
        let many: Vec<Value> =
            (1..=1_200).map(|n| user(n, &format!("u{n}"), &json!({ "email": n % 1_000, "n": n }))).collect();
        hub.push("n1", "b1", &json!(many)).await;

        let answer =
            set(&hub, &json!({ "unique": ["email"], "schema": { "properties": { "n": { "maximum": 1_190 } } } })).await;

        // 1001 … 1200 share their value with 1 … 200; 1191 … 1200 break the schema as well.
        assert_eq!(answer["checked"], json!({ "documents": 1_200, "violating": 200, "end": true }));
        assert_eq!(answer["violations"].as_array().unwrap().len(), 20);
        let first = &answer["violations"][0];
        assert_eq!((&first["id"], &first["code"]), (&json!("u1001"), &json!("unique_violation")));
        assert!(first["reason"].as_str().unwrap().contains("document `u1` has it"), "{first}");
        assert_eq!(answer.get("warnings"), None);
        let all = lines(&hub).await;
        assert_eq!(all.iter().filter(|line| line["code"] == "unique_violation").count(), 200);
        assert_eq!(all.iter().filter(|line| line["code"] == "schema_violation").count(), 10);
        let pages: Vec<&Value> = all.iter().filter_map(|line| line.get("documents")).collect();
        assert_eq!(pages, [500, 1_000, 1_200], "it says how far it has come");
        assert_eq!(all.last().unwrap()["end"], true);

        let update = |seq: u64, id: &str, set: Value| json!([{ "seq": seq, "op": "update", "collection": "users", "id": id, "base": 9_000, "stamp": stamp(seq), "set": set }]);
        let reply = hub.push("n1", "b2", &update(2_001, "u1001", json!({ "n": 7 }))).await;
        assert_eq!(reply["receipts"][0]["result"], "applied", "it may be edited: {reply}");
        let reply = hub.push("n1", "b3", &update(2_002, "u500", json!({ "email": 3 }))).await;
        assert_eq!(reply["receipts"][0]["code"], "unique_violation", "and nobody may join: {reply}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_nothing_keeps_is_set_with_a_warning() {
    let hub = Hub::start().await;
    hub.push("n1", "b1", &json!([user(1, "ann", &json!({})), user(2, "bob", &json!({}))])).await;
    for (rule, words) in [
        (json!({ "schema": { "required": ["emial"] } }), "none of the 2 documents"),
        (json!({ "schema": { "type": "array" } }), "no document can keep the rule"),
        (json!({ "max_bytes": 3 }), "no document can keep the rule"),
    ] {
        let answer = set(&hub, &rule).await;
        assert!(answer["warnings"][0].as_str().unwrap().contains(words), "{answer}");
        assert_eq!(answer["checked"]["violating"], 2, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_cannot_be_used_is_refused_and_the_old_one_stays() {
    let hub = Hub::start().await;
    set(&hub, &json!({ "max_bytes": 500 })).await;
    for (rule, words) in [
        (json!({ "uniqe": ["email"] }), "uniqe"),
        (json!({ "unique": ["_id"] }), "_id"),
        (json!({ "unique": [[]] }), "1 to 8 fields"),
        (json!({ "strategy": "mine" }), "mine"),
        (json!({ "max_bytes": -1 }), "-1"),
        (json!({ "schema": { "$ref": "https://example.com/s" } }), "points outside"),
        (json!({ "schema": { "$ref": "#" } }), "refers to itself"),
        (json!({ "schema": "text" }), "object"),
        (json!({ "schema": { "type": "objekt" } }), "or a list of these, not"),
        (json!({ "unique": [7] }), "the name of a field, or a list of names"),
        (json!({ "unique": (0..17).map(|n| format!("f{n}")).collect::<Vec<_>>() }), "may have 16"),
    ] {
        let reply = put(&hub, USERS, &rule).await;
        reply.refusal(400);
        assert!(reply.text().contains(words), "{rule}: {}", reply.text());
    }
    put(&hub, &format!("{USERS}?check=perhaps"), &json!({})).await.refusal(400);
    let listed = hub.get("/admin/spaces/main/collections").await.json();
    assert_eq!(listed, json!({ "collections": [{ "collection": "users", "max_bytes": 500 }] }));
    hub.get("/admin/spaces/none/collections/users/violations").await.refusal(404);
    set(&hub, &json!({})).await;
    assert_eq!(hub.get("/admin/spaces/main/collections").await.json(), json!({ "collections": [] }));
}

/// A hub that is killed between the two steps of setting a rule leaves it without its index.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_after_a_crash_in_the_middle_of_setting_a_rule_sees_what_breaks_it() {
    let dir = tempfile::TempDir::new().unwrap();
    let stores: [Arc<dyn Store>; 2] =
        [Arc::new(MemoryStore::default()), Arc::new(SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap())];
    for store in stores {
        let hub = Hub::on(Arc::clone(&store), |_| {}).await;
        hub.push("n1", "b1", &json!([user(1, "ann", &json!({ "email": 1 })), user(2, "eve", &json!({ "email": 1 }))]))
            .await;
        let rule = Some(r#"{"unique":["email"]}"#.to_owned());
        store.put_record(RecordKind::Collection, "main/users".to_owned(), rule).await.unwrap();

        let found = lines(&hub).await;

        assert_eq!((&found[0]["id"], &found[0]["code"]), (&json!("eve"), &json!("unique_violation")), "{found:?}");
        assert_eq!(found.last().unwrap()["violating"], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_whose_time_is_over_holds_no_value_and_takes_it_anew_when_it_is_prolonged() {
    for hub in Hub::on_every_store().await {
        set(&hub, &json!({ "unique": ["email"] })).await;
        let past = json!({ "email": "a@x", "expireAt": "2020-01-01T00:00:00Z" });
        assert_eq!(write(&hub, 1, "old", &past).await["result"], "applied");
        assert_eq!(write(&hub, 2, "new", &json!({ "email": "a@x" })).await["result"], "applied");
        assert_eq!(write(&hub, 3, "third", &json!({ "email": "a@x" })).await["code"], "unique_violation");
        assert_eq!(lines(&hub).await, [json!({ "documents": 1, "violating": 0, "end": true })]);

        let prolong = |seq: u64| json!([{ "seq": seq, "op": "update", "collection": "users", "id": "old", "base": 9_000, "stamp": stamp(seq), "set": { "expireAt": null } }]);
        let refused = hub.push("n1", "b4", &prolong(4)).await["receipts"][0].clone();
        assert_eq!(refused["code"], "unique_violation", "{refused}");
        assert!(refused["reason"].as_str().unwrap().contains("document `new` has it"), "{refused}");
        let removal =
            json!([{ "seq": 5, "op": "remove", "collection": "users", "id": "new", "base": 9_000, "stamp": stamp(5) }]);
        hub.push("n1", "b5", &removal).await;
        assert_eq!(hub.push("n1", "b6", &prolong(6)).await["receipts"][0]["result"], "applied");
        assert_eq!(write(&hub, 7, "third", &json!({ "email": "a@x" })).await["code"], "unique_violation");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unique_field_may_be_inside_another_and_reasons_show_values_as_they_were_written() {
    for hub in Hub::on_every_store().await {
        set(&hub, &json!({ "unique": ["address.zip"] })).await;
        assert_eq!(write(&hub, 1, "ann", &json!({ "address": { "zip": 20 } })).await["result"], "applied");
        let refused = write(&hub, 2, "eve", &json!({ "address": { "zip": 20 } })).await;
        assert!(refused["reason"].as_str().unwrap().contains("cannot have 20 in `address.zip`"), "{refused}");
        assert_eq!(write(&hub, 3, "eve", &json!({ "address": { "zip": 21 } })).await["result"], "applied");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retention_says_what_it_would_remove_and_a_schema_what_it_does_not_know() {
    let hub = Hub::start().await;
    hub.push(
        "n1",
        "b1",
        &json!([user(1, "ann", &json!({})), user(2, "bob", &json!({ "createdAt": 1, "updatedAt": 2 }))]),
    )
    .await;
    let answer = set(&hub, &json!({ "retention_ms": 86_400_000 })).await;
    assert_eq!(answer["checked"], json!({ "documents": 2, "violating": 0, "end": true }));
    let schema = json!({ "additionalProperties": false, "requird": ["x"] });
    let rule = json!({ "retention_ms": 1, "schema": schema });
    let mut answer = set(&hub, &rule).await;
    while answer["checked"].get("overdue") != Some(&json!(2)) {
        answer = set(&hub, &rule).await;
    }
    assert_eq!(answer["checked"], json!({ "documents": 2, "violating": 0, "overdue": 2, "end": true }));
    assert!(answer["warnings"][0].as_str().unwrap().contains("`requird`"), "{answer}");
    assert_eq!(write(&hub, 3, "eve", &json!({ "other": 1 })).await["code"], "schema_violation");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_outlive_the_hub_and_the_configuration_comes_before_them() {
    let dir = tempfile::TempDir::new().unwrap();
    let open = || Arc::new(SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap());
    let hub = Hub::on(open(), |_| {}).await;
    set(&hub, &json!({ "unique": ["email"] })).await;
    write(&hub, 1, "ann", &json!({ "email": "a@x" })).await;
    hub.shut_down().await;

    let hub = Hub::on(open(), |_| {}).await;
    assert_eq!(write(&hub, 2, "bob", &json!({ "email": "a@x" })).await["code"], "unique_violation");
    hub.shut_down().await;

    let rule: CollectionRule = serde_json::from_value(json!({ "unique": ["name"], "max_bytes": 100 })).unwrap();
    let declared = DeclaredRule {
        space: SpaceName::new("main").unwrap(),
        collection: CollectionName::new("users").unwrap(),
        rule,
    };
    let hub = Hub::on(open(), |options| options.collections = vec![declared]).await;
    let refused = put(&hub, USERS, &json!({})).await;
    assert_eq!(refused.refusal(409), "declared_rule");
    assert!(refused.text().contains("configuration"), "{}", refused.text());
    let listed = hub.get("/admin/spaces/main/collections").await.json();
    assert_eq!(
        listed["collections"][0],
        json!({ "collection": "users", "unique": ["name"], "max_bytes": 100, "declared": true })
    );
    assert_eq!(write(&hub, 3, "bob", &json!({ "email": "a@x", "name": "B" })).await["result"], "applied");
    assert_eq!(write(&hub, 4, "eve", &json!({ "name": "B" })).await["code"], "unique_violation");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_nobody_changes_go_when_their_collection_keeps_them_no_longer() {
    for hub in Hub::on_every_store().await {
        hub.push("n1", "b1", &json!([user(1, "ann", &json!({})), insert(2, "notes", "n1")])).await;
        set(&hub, &json!({ "retention_ms": 86_400_000 })).await;
        let kept = hub.post("/admin/spaces/main/trim", &Value::Null).await.json();
        assert_eq!(kept["expired"], 0, "a day is not over");

        set(&hub, &json!({ "retention_ms": 1 })).await;
        let mut expired = 0;
        for _ in 0..1_000 {
            expired += hub.post("/admin/spaces/main/trim", &Value::Null).await.json()["expired"].as_u64().unwrap();
            if expired > 0 {
                break;
            }
        }
        assert_eq!(expired, 1);
        let ops = hub.pull("since_lsn=0").await["ops"].clone();
        let last = ops.as_array().unwrap().last().unwrap();
        assert_eq!((&last["op"], &last["id"]), (&json!("remove"), &json!("ann")), "every reader hears of it: {ops}");
        let snapshot = hub.get("/sync/snapshot?node=late").await.text();
        assert!(snapshot.contains("n1") && !snapshot.contains("ann"), "{snapshot}");

        let prolonged = json!([{ "seq": 3, "op": "update", "collection": "users", "id": "ann", "base": 1, "stamp": stamp(3), "set": { "n": 3 } }]);
        let reply = hub.push("n1", "b2", &prolonged).await;
        assert_eq!(reply["receipts"][0]["result"], "merged", "a later edit of a device that was away wins: {reply}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_client_that_may_read_nothing_hears_the_rule_and_no_document() {
    let hub = Hub::start().await;
    set(&hub, &json!({ "unique": ["email"] })).await;
    write(&hub, 1, "ann", &json!({ "email": "a@x" })).await;
    let slot = json!({ "name": "slot", "read": false, "collections": ["users"] });
    let slot = hub.post("/admin/tokens", &slot).await.json()["token"].as_str().unwrap().to_owned();
    for (token, client, reads) in [(ADMIN, "desk", true), (slot.as_str(), "letter-box", false)] {
        let mut socket = Client::connect(&hub.addr, token).await;
        socket.emit("client:info", &json!({ "clientId": client, "collections": ["users"] })).await;
        let event = json!({
            "id": format!("{client}-1"), "type": "insert", "collection": "users", "documentId": client,
            "data": { "id": client, "email": "a@x" }, "timestamp": 1, "clientId": client,
        });
        let answer = socket.call("client:sync", &json!([event])).await;
        assert_eq!(answer["success"], true, "a refused list would come again for ever: {answer}");
        let told = loop {
            let (name, payload) = socket.event().await;
            // Who may not read is told so as well.
            if name == "error" && payload["message"].as_str().is_some_and(|words| words.contains("unique")) {
                break payload["message"].as_str().unwrap().to_owned();
            }
        };
        assert_eq!(told.contains("ann"), reads, "{told}");
    }
    let kept = hub.get("/admin/spaces/main/quarantine").await.json();
    assert_eq!(kept["quarantine"].as_array().unwrap().len(), 2, "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_of_one_client_that_depend_on_each_other_cost_another_one_nothing() {
    let store = FaultyStore::held();
    store.passes.add_permits(3);
    let hub = Arc::new(Hub::on(store.clone(), |_| {}).await);
    set(&hub, &json!({ "unique": [["email", "number"]] })).await;
    // Each edit is refused, and only then it is known which values the next one asks for.
    let taken = (1..=7).flat_map(|n| [(n, 0), (0, n)]);
    let taken = (2..)
        .zip(taken)
        .map(|(seq, (email, number))| user(seq, &format!("u{seq}"), &json!({ "email": email, "number": number })));
    let begun: Vec<Value> = std::iter::once(user(1, "x", &json!({ "email": 0, "number": 0 }))).chain(taken).collect();
    hub.push("n1", "b1", &json!(begun)).await;
    store.passes.forget_permits(1_000);
    while store.begun.try_acquire().map(tokio::sync::SemaphorePermit::forget).is_ok() {}
    let send = |node: &str, ops: Vec<Value>| {
        let (hub, body) = (Arc::clone(&hub), json!({ "node": node, "batchId": "b2", "ops": ops }));
        tokio::spawn(async move { hub.post("/sync/push", &body).await.json() })
    };
    let first = send("n2", vec![insert(1, "other", "d1")]);
    store.begun.acquire().await.unwrap().forget();
    let chain = (1..=14).map(|n| {
        let field = if n % 2 == 1 { "email" } else { "number" };
        json!({ "seq": n, "op": "update", "collection": "users", "id": "x", "base": 9_000, "stamp": stamp(100 + n),
            "set": { field: n.div_ceil(2) } })
    });
    let entangled = send("n3", chain.collect());
    let honest = send("n4", vec![user(1, "y", &json!({ "email": 50, "number": 50 }))]);
    while !hub.get("/metrics").await.text().contains(r#"syncline_space_queued_pushes{space="main"} 2"#) {
        tokio::task::yield_now().await;
    }
    store.passes.add_permits(1_000);

    let (_, entangled, honest) = (first.await.unwrap(), entangled.await.unwrap(), honest.await.unwrap());

    assert_eq!(honest["receipts"][0]["result"], "applied", "{honest}");
    let receipts = entangled["receipts"].as_array().unwrap();
    assert!(receipts.len() == 14 && receipts.iter().all(|receipt| receipt["result"] == "rejected"), "{entangled}");
}
