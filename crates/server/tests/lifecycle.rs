//! A hub's life: what it says of itself, how it goes down, and that it comes back with everything.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use support::{Hub, insert};
use syncline_core::model::Millis;
use syncline_server::clock::Clock;
use syncline_server::http::ROUTES;
use syncline_server::store::{SqliteOptions, SqliteStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_poll_is_answered_when_the_hub_goes_down() {
    let hub = Hub::start().await;
    let addr = hub.addr.clone();
    let waiting = tokio::spawn(async move {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!(
            "GET /sync/pull?node=r&wait=60 HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\n\r\n",
            support::ADMIN
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        reply
    });
    while !hub.get("/metrics").await.text().contains("syncline_waiting_polls 1") {
        tokio::task::yield_now().await;
    }
    hub.shut_down().await;
    let reply = waiting.await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains(r#""ops":[]"#), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_before_the_end_is_answered() {
    let hub = Hub::start().await;
    let body = json!({ "node": "n1", "batchId": "b1", "ops": [insert(1, "a", "x")] }).to_string();
    let mut stream = TcpStream::connect(&hub.addr).await.unwrap();
    let request = format!(
        "POST /sync/push HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
        support::ADMIN,
        body.len()
    );
    let (now, later) = request.split_at(request.len() - 10);
    stream.write_all(now.as_bytes()).await.unwrap();
    while !hub.get("/metrics").await.text().contains("syncline_requests_in_work 1") {
        tokio::task::yield_now().await;
    }
    let going_down = tokio::spawn(hub.shut_down());
    stream.write_all(later.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    going_down.await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("applied"), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_say_what_the_hub_does() {
    let hub = Hub::start().await;
    for path in ["/health/live", "/health/ready", "/sync/health", "/c/any/sync/health"] {
        let reply = hub.send("GET", path, &[], b"").await;
        assert_eq!((reply.status, &reply.json()["status"]), (200, &json!("ok")), "{path}");
    }
    hub.push("n1", "b1", &json!([insert(1, "a", "x")])).await;
    hub.get("/nothing").await;
    let metrics = hub.get("/metrics").await.text();
    for line in [
        r#"syncline_ops_total{result="applied"} 1"#,
        "syncline_commits_total 1",
        r#"syncline_refused_total{code="not_found"} 1"#,
        r#"syncline_space_head_lsn{space="main"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

/// What the clock of the test below shows.
static NOW: AtomicU64 = AtomicU64::new(1_700_000_000_000);

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_tell_of_a_reader_that_asks_again_and_again_and_takes_nothing() {
    let clock = Clock::of(|| Millis(NOW.load(Ordering::Acquire)));
    let hub = Hub::with(|options| options.settings.clock = clock).await;
    hub.push("n1", "b1", &json!([insert(1, "a", "x")])).await;
    for _ in 0..3 {
        hub.get("/sync/pull?node=phone&since_lsn=0").await;
        NOW.fetch_add(61_000, Ordering::AcqRel);
    }
    let ready = hub.get("/health/ready").await.json();
    assert_eq!((&ready["status"], &ready["stalled"]), (&json!("ok"), &json!(1)), "{ready}");
    assert_eq!(ready["stalls"], json!({ "main": ["phone"] }));
    let anybody = hub.send("GET", "/health/ready", &[], b"").await.json();
    assert_eq!(anybody, json!({ "status": "ok", "store": "ok", "stalled": 1 }));
    assert!(hub.get("/metrics").await.text().contains(r#"syncline_space_stalled_readers{space="main"} 1"#));

    hub.get("/sync/pull?node=phone&since_lsn=1").await;
    assert_eq!(hub.get("/health/ready").await.json(), json!({ "status": "ok", "store": "ok" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_is_given_back_or_made() {
    let hub = Hub::start().await;
    let given = hub.send("GET", "/sync/health", &[("x-request-id", "abc-1")], b"").await;
    assert_eq!(given.headers["x-request-id"], "abc-1");
    let long = "x".repeat(1_000);
    let made = hub.send("GET", "/sync/health", &[("x-request-id", &long)], b"").await;
    assert_eq!(made.headers["x-request-id"].len(), 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_are_let_in_only_when_configured() {
    let preflight = [("origin", "https://app.example"), ("access-control-request-method", "POST")];
    let closed = Hub::start().await;
    let reply = closed.send("GET", "/sync/health", &preflight[..1], b"").await;
    assert!(!reply.headers.contains_key("access-control-allow-origin"));

    let open = Hub::with(|options| options.cors_origins = vec!["https://app.example".to_owned()]).await;
    let reply = open.send("OPTIONS", "/sync/push", &preflight, b"").await;
    assert_eq!((reply.status, reply.headers["access-control-allow-origin"].as_str()), (200, "https://app.example"));
    let other = open.send("GET", "/sync/health", &[("origin", "https://evil.example")], b"").await;
    assert!(!other.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_interface_description_lists_exactly_the_routes() {
    let hub = Hub::start().await;
    let described = hub.send("GET", "/openapi.json", &[], b"").await.json();
    let paths = described["paths"].as_object().unwrap();
    let listed: BTreeSet<(String, String)> = paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
            methods.map(move |method| (method.clone(), path.clone()))
        })
        .collect();
    let routed = ROUTES.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(listed, routed);
    let page = hub.send("GET", "/docs", &[], b"").await;
    assert!(page.headers["content-type"].starts_with("text/html"));
    assert!(!page.text().contains("://"), "nothing from elsewhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_listed_route_is_answered_by_the_router() {
    let hub = Hub::start().await;
    for (method, path) in ROUTES {
        let path = path
            .replace("{space}", "main")
            .replace("{collection}", "a")
            .replace("{name}", "nobody")
            .replace("{id}", "nobody");
        let headers = [("authorization", format!("Bearer {}", support::ADMIN))];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let reply = hub.send(&method.to_uppercase(), &path, &headers, b"").await;
        let missing = reply.status == 404 && !reply.text().contains("nobody");
        assert!(!missing && reply.status != 405, "{method} {path}: {} {}", reply.status, reply.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn references_in_the_interface_description_lead_somewhere() {
    let described: Value = serde_json::from_str(include_str!("../src/http/openapi.json")).unwrap();
    let mut places = vec![&described];
    while let Some(place) = places.pop() {
        match place {
            Value::Object(fields) => {
                if let Some(Value::String(target)) = fields.get("$ref") {
                    let found = described.pointer(target.trim_start_matches('#'));
                    assert!(found.is_some(), "{target}");
                }
                places.extend(fields.values());
            }
            Value::Array(items) => places.extend(items),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_documents_are_there_again_after_a_restart() {
    let dir = tempfile::TempDir::new().unwrap();
    let open = || Arc::new(SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap());
    let first = Hub::on(open(), |_| {}).await;
    let made = first.post("/admin/tokens", &json!({ "name": "device" })).await.json();
    first.push("n1", "b1", &json!([insert(1, "a", "x")])).await;
    first.shut_down().await;

    let second = Hub::on(open(), |_| {}).await;
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let page = second.send("GET", "/sync/pull?node=r", &[("authorization", &bearer)], b"").await.json();
    assert_eq!(page["ops"][0]["id"], "x");
    let again = second.push("n1", "b1", &json!([insert(1, "a", "x")])).await;
    assert_eq!(again["receipts"][0]["lsn"], 1, "the first receipt");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_router_can_be_mounted_below_another_one() {
    let store = Arc::new(syncline_server::store::MemoryStore::default());
    let app = syncline_server::open(store, syncline_server::Options::default()).await.unwrap();
    let outer = axum::Router::new().nest("/hub", syncline_server::router(app));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, outer).await });
    for (path, status) in [("/hub/health/live", 200), ("/hub/c/a/sync/health", 200), ("/hub/sync/pull", 401)] {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {reply}");
    }
    serving.abort();
}
