//! Every limit has a name, and reaching it has a defined answer.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod support;

use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use support::{ADMIN, Hub, insert, stamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PUSH_GZ: &[u8] = include_bytes!("data/push.json.gz");
const PUSH_ZST: &[u8] = include_bytes!("data/push.json.zst");
/// The push of [`PUSH_GZ`], cut into two members.
const PUSH_MEMBERS_GZ: &[u8] = include_bytes!("data/push-members.json.gz");
/// 8 MiB of spaces in 8 KiB.
const BOMB_GZ: &[u8] = include_bytes!("data/bomb.gz");

fn bearer() -> String {
    format!("Bearer {ADMIN}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused_by_name() {
    let hub = Hub::with(|options| options.settings.limits.body_bytes = 1 << 20).await;
    let big = vec![b' '; (1 << 20) + 1];
    let reply = hub.post_raw("/sync/push", &big).await;
    assert_eq!(reply.refusal(413), "body_too_large");
    assert_eq!((&reply.json()["limit"], &reply.json()["value"]), (&json!("limits.body_bytes"), &json!(1 << 20)));
    assert!(reply.json()["error"].as_str().unwrap().contains("limits.body_bytes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_bodies_are_read_and_bombs_are_not() {
    let auth = bearer();
    for (coding, body) in
        [("gzip", PUSH_GZ), ("zstd", PUSH_ZST), ("gzip", PUSH_MEMBERS_GZ), ("GZIP", PUSH_GZ), ("x-gzip", PUSH_GZ)]
    {
        let hub = Hub::start().await;
        let headers = [("authorization", auth.as_str()), ("content-encoding", coding)];
        let reply = hub.send("POST", "/sync/push", &headers, body).await;
        assert_eq!(reply.status, 200, "{coding}: {}", reply.text());
        assert_eq!(reply.json()["receipts"][0]["result"], "applied", "{coding}");
    }
    let hub = Hub::with(|options| options.settings.limits.body_bytes = 1 << 20).await;
    let gzip = [("authorization", auth.as_str()), ("content-encoding", "gzip")];
    assert_eq!(hub.send("POST", "/sync/push", &gzip, BOMB_GZ).await.refusal(413), "body_too_large");
    assert_eq!(hub.send("POST", "/sync/push", &gzip, b"not gzip").await.refusal(400), "malformed_body");
    let cut = &PUSH_GZ[..PUSH_GZ.len() - 4];
    assert_eq!(hub.send("POST", "/sync/push", &gzip, cut).await.refusal(400), "malformed_body");
    let other = [("authorization", auth.as_str()), ("content-encoding", "br")];
    assert_eq!(hub.send("POST", "/sync/push", &other, b"x").await.refusal(415), "unsupported_encoding");
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_are_compressed_only_for_those_who_ask() {
    let hub = Hub::start().await;
    let ops: Vec<_> = (1..=100).map(|n| insert(n, "a", &format!("d{n}"))).collect();
    hub.push("n1", "b1", &json!(ops)).await;
    let auth = bearer();
    let path = "/sync/pull?node=r";
    let plain = hub.send("GET", path, &[("authorization", &auth)], b"").await;
    assert!(!plain.headers.contains_key("content-encoding"), "{:?}", plain.headers);
    assert_eq!(plain.headers["content-length"], plain.body.len().to_string());
    for (coding, magic) in [("gzip", &[0x1f, 0x8b][..]), ("zstd", &[0x28, 0xb5, 0x2f, 0xfd][..])] {
        let headers = [("authorization", auth.as_str()), ("accept-encoding", coding)];
        let reply = hub.send("GET", path, &headers, b"").await;
        assert_eq!(reply.headers["content-encoding"], coding);
        assert!(reply.body.starts_with(magic) && reply.body.len() < plain.body.len() / 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_of_too_many_ops_and_a_document_too_large_are_refused_by_name() {
    let hub = Hub::with(|options| {
        options.settings.limits.batch_ops = 2;
        options.settings.limits.document_bytes = 64;
    })
    .await;
    let three = json!([insert(1, "a", "x"), insert(2, "a", "y"), insert(3, "a", "z")]);
    let body = json!({ "node": "n1", "batchId": "b1", "ops": three });
    let reply = hub.post("/sync/push", &body).await;
    assert_eq!((reply.refusal(413).as_str(), &reply.json()["limit"]), ("batch_too_large", &json!("limits.batch_ops")));

    let mut big = insert(1, "a", "x");
    big["doc"]["text"] = json!("t".repeat(100));
    let receipts = hub.push("n1", "b2", &json!([big])).await["receipts"].clone();
    assert_eq!(receipts[0]["code"], "document_too_large");
    assert!(receipts[0]["reason"].as_str().unwrap().contains("limits.document_bytes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_without_room_says_so_and_when_to_come_back() {
    type Change = fn(&mut syncline_server::Bounds);
    let full: [(&str, Change); 2] =
        [("limits.requests", |b| b.requests = 0), ("limits.inflight_body_bytes", |b| b.inflight_body_bytes = 10)];
    for (limit, change) in full {
        let hub = Hub::with(|options| change(&mut options.settings.bounds)).await;
        let body = json!({ "node": "n1", "batchId": "b1", "ops": [insert(1, "a", "x")] });
        let reply = hub.post("/sync/push", &body).await;
        assert_eq!((reply.refusal(503).as_str(), &reply.json()["limit"]), ("overloaded", &json!(limit)));
        let seconds: u64 = reply.headers["retry-after"].parse().unwrap();
        assert!((1..=5).contains(&seconds));
    }
    let hub = Hub::with(|options| options.settings.bounds.waiting_polls = 0).await;
    let reply = hub.get("/sync/pull?node=r&wait=5").await;
    assert_eq!(reply.refusal(503), "overloaded");
    assert_eq!(hub.get("/sync/pull?node=r").await.status, 200, "who does not wait is served");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_larger_than_a_page_still_comes_through() {
    let hub = Hub::with(|options| options.settings.limits.page_bytes = 1_000).await;
    let ops: Vec<_> = (1..=3)
        .map(|n| {
            let mut op = insert(n, "a", &format!("d{n}"));
            op["doc"]["text"] = json!("t".repeat(600_000));
            op
        })
        .collect();
    hub.push("n1", "b1", &json!(ops)).await;
    let (mut after, mut found) = (0, 0);
    loop {
        let page = hub.pull(&format!("since_lsn={after}")).await;
        found += page["ops"].as_array().unwrap().len();
        after = page["server_lsn"].as_u64().unwrap();
        if page["has_more"] == json!(false) {
            break;
        }
    }
    assert_eq!((found, after), (3, 3));
    let snapshot = hub.get("/sync/snapshot?node=r").await.text();
    assert_eq!(snapshot.lines().count(), 5, "several chunks, one stream");
    assert!(snapshot.ends_with("{\"end\":true,\"documents\":3}\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_limit_and_those_that_dawdle_are_closed() {
    let hub = Hub::with(|options| {
        options.settings.bounds.connections = 1;
        options.settings.bounds.header_timeout = Duration::from_millis(300);
    })
    .await;
    let mut first = TcpStream::connect(&hub.addr).await.unwrap();
    first.write_all(b"GET /health/live HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let mut start = [0u8; 12];
    first.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");

    let mut second = TcpStream::connect(&hub.addr).await.unwrap();
    assert_eq!(closed(&mut second).await, 0, "closed without an answer");

    first.write_all(b"GET /health/live HT").await.unwrap();
    closed(&mut first).await;
    assert_eq!(hub.get("/health/live").await.status, 200, "the place is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_takes_nothing_is_cut_off_and_holds_no_place() {
    let hub = Hub::with(|options| {
        options.settings.bounds.requests = 1;
        options.settings.bounds.reader_stall = Duration::from_millis(100);
    })
    .await;
    let text = "x".repeat(1_000_000);
    for n in 1..=16 {
        let id = format!("big{n}");
        let op = json!({ "seq": n, "op": "insert", "collection": "a", "id": id, "stamp": stamp(n),
                         "doc": { "_id": id, "text": text } });
        hub.push("n1", &format!("b{n}"), &json!([op])).await;
    }
    let mut reader = TcpStream::connect(&hub.addr).await.unwrap();
    let request = format!("GET /sync/snapshot?node=r HTTP/1.1\r\nhost: h\r\nauthorization: {}\r\n\r\n", bearer());
    reader.write_all(request.as_bytes()).await.unwrap();
    reader.readable().await.unwrap();

    while hub.get("/sync/pull?node=q&limit=1").await.status != 200 {
        tokio::task::yield_now().await;
    }

    assert!(closed(&mut reader).await < 16_000_000, "the answer was cut");
}

/// Reads until the other side closes; how many bytes came.
async fn closed(stream: &mut TcpStream) -> usize {
    let mut rest = Vec::new();
    drop(stream.read_to_end(&mut rest).await);
    rest.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stops_coming_is_given_up() {
    let hub = Arc::new(Hub::with(|options| options.settings.bounds.body_idle = Duration::from_millis(50)).await);
    let head = format!(
        "POST /sync/push HTTP/1.1\r\nhost: h\r\nconnection: close\r\nauthorization: {}\r\ncontent-length: 100\r\n\r\n{{",
        bearer()
    );
    let reply = hub.send_bytes(head.as_bytes()).await;
    assert_eq!((reply.refusal(408).as_str(), &reply.json()["limit"]), ("slow_body", &json!("limits.body_idle")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_trickles_for_ever_is_given_up() {
    let hub = Hub::with(|options| {
        options.settings.bounds.requests = 1;
        options.settings.bounds.body_timeout = Duration::from_millis(150);
    })
    .await;
    let head = format!(
        "POST /sync/push HTTP/1.1\r\nhost: h\r\nauthorization: {}\r\ncontent-length: 1000000\r\n\r\n{{",
        bearer()
    );
    let mut sender = TcpStream::connect(&hub.addr).await.unwrap();
    sender.write_all(head.as_bytes()).await.unwrap();
    let mut reply = [0u8; 12];
    let mut pause = tokio::time::interval(Duration::from_millis(5));
    loop {
        tokio::select! {
            read = sender.read_exact(&mut reply) => {
                read.unwrap();
                break;
            }
            _ = pause.tick() => {
                tokio::task::yield_now().await;
            }
        }
        // The piece may meet a hub that has answered already.
        let _ = sender.try_write(b" ");
    }
    assert_eq!(&reply, b"HTTP/1.1 408");
    assert_eq!(hub.get("/sync/pull?node=r").await.status, 200, "its place is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_that_one_change_wakes_are_all_answered_although_few_requests_may_be_in_work() {
    let hub = Arc::new(Hub::with(|options| options.settings.bounds.requests = 1).await);
    let mut polls = Vec::new();
    for n in 1..=8 {
        let waiting = Arc::clone(&hub);
        polls.push(tokio::spawn(async move { waiting.get("/sync/pull?node=r&since_lsn=0&wait=30").await }));
        while !hub.get("/metrics").await.text().contains(&format!("syncline_waiting_polls {n}")) {
            tokio::task::yield_now().await;
        }
    }
    hub.push("n1", "b1", &json!([insert(1, "a", "x")])).await;
    for poll in polls {
        let reply = poll.await.unwrap();
        assert_eq!((reply.status, &reply.json()["server_lsn"]), (200, &json!(1)));
    }
}
