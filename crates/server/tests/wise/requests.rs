//! Single requests: paths, keys, bodies, positions, refusals.

use super::wire::parsed;
use super::{Device, Wire, converged, device, trimmed_past, world};
use crate::support::{ADMIN, Hub};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use syncline_core::model::NodeId;
use syncline_server::auth::{DeclaredToken, TokenSpec};

fn insert(id: &str) -> Value {
    json!({ "op": "INSERT", "doc": { "_id": id, "createdAt": "2026-01-01T00:00:00.000Z",
            "updatedAt": "2026-01-01T00:00:00.000Z" }, "opId": format!("op-{id}") })
}

fn push(batch: &str, ops: &Value) -> Value {
    json!({ "batchId": batch, "ops": ops })
}

#[tokio::test(flavor = "multi_thread")]
async fn l01_four_endpoints_under_any_prefix() {
    let hub = Arc::new(Hub::start().await);
    for (n, base) in ["", "/c/one", "/s/main/c/two", "/tenant/three"].into_iter().enumerate() {
        let wire = Wire::new(&hub, ADMIN, base);
        let id = format!("d{n}");
        let pushed = parsed(&wire.post("/sync/push", &push(&format!("b{n}"), &json!([insert(&id)]))).await).unwrap();
        assert_eq!(pushed["status"], "ok", "{base}");
        assert!(pushed["server_lsn"].is_u64(), "{base}: {pushed}");
        let snapshot = parsed(&wire.get("/sync/snapshot").await).unwrap();
        assert_eq!(snapshot["documents"][0]["_id"], json!(id), "{base}");
        assert!(snapshot["server_lsn"].is_u64() && snapshot["timestamp"].is_string());
        let pulled = parsed(&wire.get("/sync/pull?since_lsn=0").await).unwrap();
        assert_eq!(pulled["ops"].as_array().unwrap().len(), 1, "{base}");
        assert_eq!(pulled["server_lsn"], snapshot["server_lsn"]);
        assert_eq!(parsed(&wire.get("/sync/health").await).unwrap()["status"], "ok");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l02_a_key_is_required_and_a_refusal_is_a_sentence() {
    let hub = Arc::new(Hub::start().await);
    let wrong = Wire::new(&hub, "not-the-key", "/c/articles");
    for path in ["/sync/snapshot", "/sync/pull?since_lsn=0"] {
        assert_eq!(wrong.get(path).await.refusal(401), "unauthorized");
        assert_eq!(hub.send("GET", path, &[("authorization", "Basic eDp5")], b"").await.status, 401);
        assert_eq!(hub.send("GET", path, &[], b"").await.status, 401);
    }
    assert_eq!(wrong.post("/sync/push", &push("b", &json!([insert("x")]))).await.refusal(401), "unauthorized");

    let mut device = Device::new(wrong);
    device.local.insert("kept", &json!({}));
    assert!(device.cycle().await.unwrap_err().contains("Bearer"));
    assert_eq!((device.docs().len(), device.local.log.len()), (1, 1), "nothing local is lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn l03_large_chunked_bodies_pass_and_replies_are_plain() {
    let (hub, mut devices) = world(1).await;
    let text = "x".repeat(1 << 20);
    let docs: Vec<_> = (0..70).map(|n| (format!("d{n}"), json!({ "text": text[..900_000] }))).collect();
    devices[0].local.insert_many(&docs[..12]);
    devices[0].local.insert("five", &json!({ "text": text.repeat(5) }));
    devices[0].cycle().await.unwrap();
    let reply = devices[0].wire.get("/sync/snapshot").await;
    assert!(!reply.headers.contains_key("content-encoding"));
    assert_eq!(reply.json()["documents"].as_array().unwrap().len(), 13);
    devices[0].local.insert_many(&docs[12..]);
    devices[0].cycle().await.unwrap();
    let mut newcomer = device(&hub);
    newcomer.cycle().await.unwrap();
    assert_eq!(newcomer.docs().len(), 71);
}

#[tokio::test(flavor = "multi_thread")]
async fn l04_a_repeated_batch_gets_its_first_answer_and_does_nothing() {
    let (_hub, devices) = world(1).await;
    let wire = &devices[0].wire;
    let body = push("same", &json!([insert("x")]));
    let first = parsed(&wire.post("/sync/push", &body).await).unwrap();
    let again = parsed(&wire.post("/sync/push", &body).await).unwrap();
    assert_eq!(first, again);
    let other = parsed(&wire.post("/sync/push", &push("same", &json!([insert("y")]))).await).unwrap();
    assert_eq!(first, other, "a batch id stands for its first content");
    let pulled = parsed(&wire.get("/sync/pull?since_lsn=0").await).unwrap();
    assert_eq!(pulled["ops"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn l12_every_position_has_an_answer() {
    let (_hub, mut devices) = world(1).await;
    let wire = devices[0].wire.clone();
    let mut old = 0;
    for n in 0..3 {
        old = parsed(&wire.get("/sync/snapshot").await).unwrap()["server_lsn"].as_u64().unwrap();
        devices[0].local.insert(&format!("d{n}"), &json!({}));
        devices[0].cycle().await.unwrap();
    }
    let pull = async |since: &str| parsed(&wire.get(&format!("/sync/pull?since_lsn={since}")).await).unwrap();
    let count = |reply: &Value| reply["ops"].as_array().unwrap().len();
    let all = pull("0").await;
    let head = all["server_lsn"].as_u64().unwrap();
    assert_eq!(count(&all), 3);
    assert_eq!(count(&pull(&old.to_string()).await), 1);
    let end = pull(&head.to_string()).await;
    assert_eq!((count(&end), &end["server_lsn"]), (0, &json!(head)));
    for anew in ["-5", "0.7", "1e300", "999999"] {
        assert_eq!(pull(anew).await, all, "{anew}");
    }
    assert_eq!(pull(&format!("{head}.25")).await, all, "read under some rows");
    for garbage in ["", "abc", "NaN", "inf", "1,2"] {
        assert_eq!(wire.get(&format!("/sync/pull?since_lsn={garbage}")).await.refusal(400), "malformed_query");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l12_the_number_of_a_push_reply_means_nothing_to_other_keys() {
    let other =
        DeclaredToken { secret: "another-secret".to_owned(), spec: TokenSpec::admin(NodeId::new("other").unwrap()) };
    let hub = Arc::new(Hub::with(|options| options.tokens.push(other)).await);
    let (mut first, naive) = (device(&hub), Wire::new(&hub, "another-secret", "/c/articles"));
    first.local.insert("early", &json!({}));
    first.cycle().await.unwrap();
    first.local.insert("late", &json!({}));
    first.cycle().await.unwrap();
    let ticket = first.cursor;
    let pull = async |wire: &Wire| parsed(&wire.get(&format!("/sync/pull?since_lsn={ticket}")).await).unwrap();
    assert_eq!(pull(&first.wire).await["ops"], json!([]), "its holder wrote the document itself");
    let told = pull(&naive).await;
    assert_eq!(told["ops"].as_array().unwrap().len(), 1, "what comes after the position: {told}");
    assert_eq!((&told["ops"][0]["op"], &told["ops"][0]["doc"]["_id"]), (&json!("INSERT"), &json!("late")));
}

#[tokio::test(flavor = "multi_thread")]
async fn l12_a_position_behind_the_horizon_or_ahead_of_the_log_rebuilds_everything() {
    let hub = Arc::new(Hub::with(|options| options.settings.retention.log = Duration::ZERO).await);
    let mut d = vec![device(&hub), device(&hub)];
    for n in 0..3 {
        d[0].local.insert(&format!("d{n}"), &json!({ "v": n }));
    }
    converged(&hub, &mut d).await;
    let old = d[1].cursor;
    d[0].local.update("d0", &json!({ "v": 7 }));
    d[0].local.remove("d1");
    d[0].cycle().await.unwrap();
    d[0].local.insert("d1", &json!({ "again": true }));
    d[0].local.insert("new", &json!({}));
    d[0].cycle().await.unwrap();
    trimmed_past(&hub, old).await;

    let from = async |wire: &Wire, since: u64| {
        let reply = parsed(&wire.get(&format!("/sync/pull?since_lsn={since}")).await).unwrap();
        let ops = reply["ops"].as_array().unwrap().clone();
        let put = ops.iter().filter(|op| op["op"] == "INSERT").filter_map(|op| op["doc"]["_id"].as_str());
        let ids: BTreeSet<String> = put.map(ToOwned::to_owned).collect();
        (ids, reply["server_lsn"].as_u64().unwrap())
    };
    let (all, head) = from(&d[1].wire, 0).await;
    assert_eq!(all.iter().collect::<Vec<_>>(), ["d0", "d1", "d2", "new"]);
    assert_eq!(from(&d[1].wire, old).await, (all.clone(), head), "behind the horizon");
    assert_eq!(from(&d[1].wire, head + 1_000).await, (all, head), "ahead of the log");

    assert_eq!(d[1].cursor, old);
    let all = converged(&hub, &mut d).await;
    assert_eq!((&all["d0"]["v"], &all["d1"]), (&json!(7), &json!({ "_id": "d1", "again": true })));
    d[1].cursor = 1_000_000;
    d[0].local.insert("after the backup", &json!({}));
    assert_eq!(converged(&hub, &mut d).await.len(), 5);
    assert!(d[1].cursor < 1_000_000, "it took the hub's position");
}

#[tokio::test(flavor = "multi_thread")]
async fn l14_impossible_pushes_are_refused_whole_and_harm_nobody() {
    let (hub, mut devices) = world(1).await;
    let wire = devices[0].wire.clone();
    let broken = [
        json!(null),
        json!(5),
        json!("text"),
        json!([]),
        json!({}),
        json!({ "op": "FOO", "id": "x" }),
        json!({ "op": "insert", "doc": { "_id": "x" } }),
        json!({ "op": "INSERT" }),
        json!({ "op": "INSERT", "doc": { "v": 1 } }),
        json!({ "op": "INSERT", "doc": ["x"] }),
        json!({ "op": "BATCH_INSERT", "docs": { "_id": "x" } }),
        json!({ "op": "UPDATE", "id": "x" }),
        json!({ "op": "UPDATE", "data": {} }),
        json!({ "op": "REMOVE" }),
        json!({ "txn": "op", "txid": "t" }),
    ];
    for bad in broken {
        let reply = wire.post("/sync/push", &push("b", &json!([insert("good"), bad]))).await;
        assert_eq!(reply.refusal(400), "malformed_json", "{bad}");
    }
    for text in ["", "null", "{}", "{\"ops\":7}", "{\"ops\":[", "\u{1}", "{\"batchId\":\"b\"}"] {
        assert_eq!(wire.post_text("/sync/push", text.as_bytes()).await.status, 400, "{text}");
    }
    let odd = json!([
        { "op": "REMOVE", "id": "unknown", "opId": "1" }, { "op": "UPDATE", "id": "unknown", "data": { "v": 1 } },
        { "op": "INSERT", "doc": { "_id": "x".repeat(600) }, "opId": "2" }, insert("kept"), insert("kept")
    ]);
    assert_eq!(parsed(&wire.post("/sync/push", &push("odd", &odd)).await).unwrap()["status"], "ok");
    devices[0].local.insert("mine", &json!({}));
    devices[0].cycle().await.unwrap();
    devices[0].cycle().await.unwrap();
    assert_eq!(devices[0].docs().keys().collect::<Vec<_>>(), ["kept", "mine"]);
    drop(hub);
}

#[tokio::test(flavor = "multi_thread")]
async fn l16_expired_documents_are_absent_from_the_snapshot() {
    let (_hub, devices) = world(1).await;
    let wire = &devices[0].wire;
    let old = "2020-01-01T00:00:00.000Z";
    let doc = |id: &str, more: Value| {
        let mut doc = json!({ "_id": id, "createdAt": old, "updatedAt": old });
        doc.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "op": "INSERT", "doc": doc, "opId": id })
    };
    let ops = json!([
        doc("ttl", json!({ "ttl": 1000 })),
        doc("number", json!({ "expireAt": 1_600_000_000_000_u64 })),
        doc("text", json!({ "expireAt": old })),
        doc("decided", json!({ "expireAt": "2999-01-01T00:00:00Z", "ttl": 1 })),
        doc("odd", json!({ "expireAt": "never", "ttl": 1 })),
        doc("plain", json!({}))
    ]);
    parsed(&wire.post("/sync/push", &push("b", &ops)).await).unwrap();
    let snapshot = parsed(&wire.get("/sync/snapshot").await).unwrap();
    let documents = snapshot["documents"].as_array().unwrap();
    let ids: Vec<_> = documents.iter().map(|doc| doc["_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["decided", "odd", "plain"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn l17_streams_with_different_prefixes_are_separate() {
    let hub = Arc::new(Hub::start().await);
    let mut first = Device::new(Wire::new(&hub, ADMIN, "/app/articles"));
    let mut second = Device::new(Wire::new(&hub, ADMIN, "/app/users"));
    first.local.insert("x", &json!({ "of": "articles" }));
    second.local.insert("x", &json!({ "of": "users" }));
    for _ in 0..3 {
        first.cycle().await.unwrap();
        second.cycle().await.unwrap();
    }
    assert_eq!(
        (first.docs()["x"]["of"].as_str(), second.docs()["x"]["of"].as_str()),
        (Some("articles"), Some("users"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn l18_health_answers_without_a_key() {
    let hub = Arc::new(Hub::start().await);
    for key in [ADMIN, "wrong"] {
        let reply = Wire::new(&hub, key, "/c/articles").get("/sync/health").await;
        assert_eq!((reply.status, &reply.json()["status"]), (200, &json!("ok")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l19_pushes_are_answered_fast_while_others_push_and_pull() {
    let (_hub, mut devices) = world(8).await;
    let mut tasks = Vec::new();
    for (n, mut device) in devices.drain(..).enumerate() {
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            for round in 0..25 {
                device.local.insert(&format!("d{n}-{round}"), &json!({ "v": round }));
                device.pull().await.unwrap();
                for body in device.batches() {
                    let started = Instant::now();
                    device.push(&body).await.unwrap();
                    times.push(started.elapsed());
                }
                device.pushed_all();
            }
            times
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    times.sort();
    let p99 = times[times.len() * 99 / 100];
    println!("push replies: p50 {:?}, p99 {p99:?}", times[times.len() / 2]);
    assert!(p99.as_secs() < 5, "{p99:?}");
}
