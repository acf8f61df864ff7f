//! Bad input: each kind has a defined answer; nothing panics, nothing is half applied, nothing
//! else waits.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod support;

use serde_json::{Value, json};
use support::{ADMIN, Hub, insert, stamp};

/// What the hub holds afterwards: the ids of all documents.
async fn ids(hub: &Hub) -> Vec<String> {
    let text = hub.get("/sync/snapshot?node=reader").await.text();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter_map(|line| line["id"].as_str().map(str::to_owned)).collect()
}

fn receipts(reply: &Value) -> Vec<(String, String)> {
    let receipts = reply["receipts"].as_array().unwrap();
    let word = |r: &Value, key: &str| r[key].as_str().unwrap_or_default().to_owned();
    receipts.iter().map(|r| (word(r, "result"), word(r, "code"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_not_one_is_refused_whole() {
    let hub = Hub::start().await;
    let good = insert(1, "a", "x").to_string();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("not JSON", b"{\"node\":\"n1\",".to_vec(), "malformed_json"),
        ("cut", format!(r#"{{"node":"n1","batchId":"b","ops":[{good}"#).into_bytes(), "malformed_json"),
        (
            "not UTF-8",
            b"{\"node\":\"n1\",\"batchId\":\"b\",\"ops\":[{\"seq\":1,\"op\":\"\xff\xfe\"}]}".to_vec(),
            "malformed_json",
        ),
        ("no batch id", format!(r#"{{"node":"n1","ops":[{good}]}}"#).into_bytes(), "malformed_json"),
        ("ops of a wrong type", br#"{"node":"n1","batchId":"b","ops":{}}"#.to_vec(), "malformed_json"),
        ("node of a wrong type", br#"{"node":7,"batchId":"b","ops":[]}"#.to_vec(), "malformed_json"),
        ("a batch id that is none", br#"{"node":"n1","batchId":"","ops":[]}"#.to_vec(), "malformed_json"),
        (
            "an op without a number",
            format!(r#"{{"node":"n1","batchId":"b","ops":[{good},{{"op":"insert"}}]}}"#).into_bytes(),
            "malformed_json",
        ),
        (
            "an op that is no object",
            format!(r#"{{"node":"n1","batchId":"b","ops":[{good},7]}}"#).into_bytes(),
            "malformed_json",
        ),
        (
            "a negative number",
            format!(r#"{{"node":"n1","batchId":"b","ops":[{good},{{"seq":-1}}]}}"#).into_bytes(),
            "malformed_json",
        ),
        (
            "the number that means none",
            format!(r#"{{"node":"n1","batchId":"b","ops":[{good},{{"seq":0,"op":"remove"}}]}}"#).into_bytes(),
            "malformed_json",
        ),
        (
            "a number that others would round",
            format!(r#"{{"node":"n1","batchId":"b","ops":[{good},{{"seq":9007199254740992}}]}}"#).into_bytes(),
            "malformed_json",
        ),
        (
            "an unknown strategy",
            br#"{"node":"n1","batchId":"b","strategy":"coin","ops":[]}"#.to_vec(),
            "malformed_json",
        ),
        ("something after the end", br#"{"node":"n1","batchId":"b","ops":[]} x"#.to_vec(), "malformed_json"),
    ];
    for (what, body, code) in cases {
        assert_eq!(hub.post_raw("/sync/push", &body).await.refusal(400), code, "{what}");
    }
    assert!(ids(&hub).await.is_empty(), "nothing was applied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_op_is_set_aside_and_the_rest_of_the_batch_goes_on() {
    let hub = Hub::start().await;
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let bottomless = "[".repeat(200_000);
    let long = "i".repeat(513);
    let op = |seq: u64, rest: Value| {
        let mut op = json!({ "seq": seq, "collection": "a", "stamp": stamp(seq) });
        op.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        op
    };
    let deep: Value = serde_json::from_str(&deep).unwrap();
    let reply = hub
        .push(
            "n1",
            "b1",
            &json!([
                insert(1, "a", "first"),
                op(2, json!({ "op": "explode", "id": "x" })),
                op(3, json!({ "op": "insert", "id": "x" })),
                op(4, json!({ "op": "insert", "id": "x", "doc": { "n": 1 } })),
                op(5, json!({ "op": "insert", "id": "x", "doc": { "_id": "y" } })),
                op(6, json!({ "op": "insert", "id": long, "doc": { "_id": long } })),
                op(7, json!({ "op": "insert", "id": "x", "doc": { "_id": "x", "deep": deep } })),
                op(8, json!({ "op": "insert", "id": "x", "doc": [1] })),
                op(9, json!({ "op": "update", "id": "nobody", "base": 1, "set": { "v": 1 } })),
                op(10, json!({ "op": "remove" })),
                op(11, json!({ "op": "insert", "id": "", "doc": { "_id": "" } })),
                insert(12, "a", "last"),
            ]),
        )
        .await;
    let found = receipts(&reply);
    assert_eq!(found.len(), 12);
    assert_eq!((found[0].0.as_str(), found[11].0.as_str()), ("applied", "applied"));
    for (n, (result, code)) in found.iter().enumerate().take(11).skip(1) {
        assert_eq!(result, "rejected", "op {}: {code}", n + 1);
        assert!(!code.is_empty(), "op {} says why", n + 1);
    }
    assert_eq!(found[6].1, "too_deep");
    assert_eq!(ids(&hub).await, ["first", "last"]);
    let kept = hub.get("/admin/spaces/main/quarantine").await.json();
    assert_eq!(kept["quarantine"].as_array().unwrap().len(), 10);
    let unclosed = format!(r#"{{"node":"n1","batchId":"b2","ops":{bottomless}"#);
    assert_eq!(hub.post_raw("/sync/push", unclosed.as_bytes()).await.refusal(400), "malformed_json");
}

#[tokio::test(flavor = "multi_thread")]
async fn ops_of_a_transaction_with_a_bad_one_are_rejected_together() {
    let hub = Hub::start().await;
    let with_txn = |mut op: Value| {
        op["txn"] = json!(1);
        op
    };
    let bad = json!({ "seq": 2, "op": "explode", "collection": "a", "stamp": stamp(2) });
    let ops = json!([with_txn(insert(1, "a", "x")), with_txn(bad), insert(3, "a", "free")]);
    let found = receipts(&hub.push("n1", "b1", &ops).await);
    let results: Vec<_> = found.iter().map(|(result, _)| result.as_str()).collect();
    assert_eq!(results, ["rejected", "rejected", "applied"]);
    assert_eq!(ids(&hub).await, ["free"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_op_twice_in_a_batch_takes_effect_once() {
    let hub = Hub::start().await;
    let reply = hub.push("n1", "b1", &json!([insert(1, "a", "x"), insert(1, "a", "x"), insert(2, "a", "y")])).await;
    assert_eq!(reply["receipts"].as_array().unwrap().len(), 3);
    assert_eq!(reply["receipts"][0], reply["receipts"][1]);
    assert_eq!(ids(&hub).await, ["x", "y"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_are_no_values_are_refused() {
    let hub = Hub::start().await;
    for (query, code) in [
        ("since_lsn=-1", "malformed_query"),
        ("since_lsn=1.5", "malformed_query"),
        ("since_lsn=x", "malformed_query"),
        ("since_lsn=99999999999999999999999", "malformed_query"),
        ("limit=0", "malformed_query"),
        ("limit=-3", "malformed_query"),
        ("wait=-1", "malformed_query"),
        ("wait=NaN", "malformed_query"),
        ("wait=soon", "malformed_query"),
        ("collections=", "malformed_query"),
        ("collections=a,.b", "malformed_id"),
        ("collections=a%2Fb", "malformed_id"),
        ("collection=%ff", "malformed_id"),
        ("since_lsn=7", "resync"),
    ] {
        let reply = hub.get(&format!("/sync/pull?node=r&{query}")).await;
        let status = if code == "resync" { 410 } else { 400 };
        assert_eq!(reply.refusal(status), code, "{query}");
    }
    assert_eq!(hub.get("/sync/pull?node=").await.refusal(400), "malformed_id");
    assert_eq!(hub.get("/sync/snapshot?node=r&after=x").await.refusal(400), "malformed_query");
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_methods_that_do_not_exist_are_refused_as_json() {
    let hub = Hub::start().await;
    for (method, path, status, code) in [
        ("GET", "/", 404, "not_found"),
        ("GET", "/nothing/here", 404, "not_found"),
        ("GET", "/sync/other", 404, "not_found"),
        ("GET", "/admin/other", 404, "not_found"),
        ("POST", "/sync/pull", 405, "method_not_allowed"),
        ("GET", "/c/a/sync/push", 405, "method_not_allowed"),
        ("DELETE", "/sync/health", 405, "method_not_allowed"),
        ("PUT", "/admin/tokens", 405, "method_not_allowed"),
        ("GET", "/c/%zz/sync/pull?node=r", 400, "malformed_path"),
        ("GET", "/c/%ff/sync/pull?node=r", 400, "malformed_path"),
        ("GET", "/c/.hidden/sync/pull?node=r", 400, "malformed_id"),
        ("GET", "/s/no%20name/sync/pull?node=r", 400, "malformed_id"),
        ("DELETE", "/admin/tokens/%ff", 400, "malformed_path"),
        ("GET", "/s/unheard-of/sync/pull?node=r", 404, "unknown_space"),
        ("GET", "/admin/spaces/unheard-of/nodes", 404, "unknown_space"),
    ] {
        let reply = hub.send(method, path, &[("authorization", &format!("Bearer {ADMIN}"))], b"").await;
        assert_eq!(reply.refusal(status), code, "{method} {path}");
        if status == 405 {
            assert!(reply.headers.contains_key("allow"), "{method} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_body_applies_nothing() {
    let hub = Hub::start().await;
    let body = json!({ "node": "n1", "batchId": "b1", "ops": [insert(1, "a", "x")] }).to_string();
    let head = format!("POST /sync/push HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {ADMIN}\r\n");
    let broken_chunk = format!("{head}transfer-encoding: chunked\r\n\r\n5\r\n{{\"nod\r\nZZ\r\n");
    assert_eq!(hub.send_bytes(broken_chunk.as_bytes()).await.refusal(400), "malformed_body");
    assert!(ids(&hub).await.is_empty());

    let chunked =
        format!("{head}connection: close\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    assert_eq!(hub.send_bytes(chunked.as_bytes()).await.status, 200, "chunks without a length are welcome");
    assert_eq!(ids(&hub).await, ["x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_with_the_character_zero_are_refused_and_texts_with_it_are_kept() {
    for hub in Hub::on_every_store().await {
        let zero = "a\0b";
        let text = json!({ "_id": "x", "text": zero, zero: 1 });
        let ops = json!([
            insert(1, "a", zero),
            { "seq": 2, "op": "insert", "collection": "a", "id": "x", "stamp": stamp(2), "doc": text },
            { "seq": 3, "op": "insert", "collection": zero, "id": "y", "stamp": stamp(3), "doc": { "_id": "y" } },
            { "seq": 4, "op": "remove", "collection": "a", "id": zero, "stamp": stamp(4) },
        ]);
        let reply = hub.push("n1", "b1", &ops).await;
        let results: Vec<_> = receipts(&reply).into_iter().map(|(result, _)| result).collect();
        assert_eq!(results, ["rejected", "applied", "rejected", "rejected"]);
        let reason = reply["receipts"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("U+0000") && !reason.contains('\0'), "{reason}");

        let foreign = json!({ "batchId": "f1", "ops": [
            { "op": "INSERT", "doc": { "_id": zero }, "opId": "o1" },
            { "op": "INSERT", "doc": { "_id": "z" }, "opId": "o2" },
        ] });
        assert_eq!(hub.post("/c/a/sync/push", &foreign).await.status, 200);

        assert_eq!(ids(&hub).await, ["x", "z"]);
        let snapshot = hub.get("/sync/snapshot?node=reader").await.text();
        assert!(snapshot.contains(r#""text":"a\u0000b""#), "{snapshot}");
        let kept = hub.get("/admin/spaces/main/quarantine").await.json();
        assert_eq!(kept["quarantine"].as_array().unwrap().len(), 4);
        let push = br#"{"node":"n\u0000","batchId":"b","ops":[]}"#;
        assert_eq!(hub.post_raw("/sync/push", push).await.refusal(400), "malformed_json");
        assert_eq!(hub.get("/sync/pull?node=n%00").await.refusal(400), "malformed_id");
        assert_eq!(hub.get("/c/a%00b/sync/pull?node=r").await.refusal(400), "malformed_id");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_ahead_of_the_log_counts_as_none() {
    let hub = Hub::start().await;
    hub.push("n1", "b1", &json!([insert(1, "a", "x")])).await;
    let ahead = |seq: u64, rest: Value| {
        let mut op = json!({ "seq": seq, "collection": "a", "id": "x", "base": 9_000, "stamp": stamp(seq + 10) });
        op.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        op
    };
    let clear = json!({ "seq": 1, "op": "clear", "collection": "a", "base": 9_000, "stamp": stamp(9) });
    let ops = json!([clear, ahead(2, json!({ "op": "remove" }))]);
    let found = receipts(&hub.push("n2", "b1", &ops).await);
    assert_eq!((found[0].0.as_str(), found[1].0.as_str()), ("applied", "merged"));
    let lost = hub.get("/admin/spaces/main/conflicts").await.json();
    assert_eq!(lost["conflicts"].as_array().unwrap().len(), 1, "what the removal took away is in the ledger: {lost}");
}
