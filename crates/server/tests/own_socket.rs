//! Pulls of an own client on a line that stays open: the same answers as over HTTP, one at a time.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod support;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use support::{ADMIN, Hub, insert};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

struct Line(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Line {
    async fn open(hub: &Hub, path: &str, secret: &str) -> Result<Line, Error> {
        let mut request = format!("ws://{}{path}", hub.addr).into_client_request()?;
        let bearer = HeaderValue::from_str(&format!("Bearer {secret}")).unwrap();
        request.headers_mut().insert("authorization", bearer);
        Ok(Line(connect_async(request).await?.0))
    }

    async fn ask(&mut self, path: &str) {
        self.0.send(Message::text(path)).await.unwrap();
    }

    async fn said(&mut self) -> Message {
        timeout(LONG, self.0.next()).await.unwrap().unwrap().unwrap()
    }

    async fn answer(&mut self) -> Value {
        serde_json::from_str(self.said().await.to_text().unwrap()).unwrap()
    }

    /// Why the hub ends the line.
    async fn goodbye(&mut self) -> String {
        match self.said().await {
            Message::Close(Some(frame)) => format!("{} {}", u16::from(frame.code), frame.reason),
            other => panic!("no goodbye: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_pull_is_answered_by_the_change_and_the_line_stays_open() {
    for hub in Hub::on_every_store().await {
        let mut line = Line::open(&hub, "/sync/live", ADMIN).await.unwrap();
        for n in 1..=3 {
            line.ask(&format!("/sync/pull?node=reader&since_lsn={}&wait=20", n - 1)).await;
            hub.push("n1", &format!("b{n}"), &json!([insert(n, "users", &format!("u{n}"))])).await;
            let answer = line.answer().await;
            assert_eq!((&answer["status"], &answer["retry_after"]), (&json!(200), &Value::Null));
            assert_eq!(answer["body"]["ops"][0]["doc"]["_id"], json!(format!("u{n}")));
            assert_eq!(answer["body"], hub.pull(&format!("since_lsn={}", n - 1)).await, "as over HTTP");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_path_and_the_token_of_the_line_say_which_space_and_who() {
    let hub = Hub::start().await;
    let made =
        hub.post("/admin/tokens", &json!({ "name": "reader", "space": "shop", "collections": ["orders"] })).await;
    assert_eq!(made.status, 200, "{made:?}");
    let secret = made.json()["token"].as_str().unwrap().to_owned();
    let mut line = Line::open(&hub, "/s/shop/sync/live", &secret).await.unwrap();
    line.ask("/sync/pull?node=reader&since_lsn=0&collections=orders").await;
    assert_eq!(line.answer().await["status"], json!(200));
    line.ask("/sync/pull?node=reader&since_lsn=0&collections=salaries").await;
    assert_eq!(line.answer().await["status"], json!(403));
    let removed =
        hub.send("DELETE", "/admin/tokens/reader", &[("authorization", &format!("Bearer {ADMIN}"))], b"").await;
    assert_eq!(removed.status, 200, "{removed:?}");
    line.ask("/sync/pull?node=reader&since_lsn=0&collections=orders").await;
    assert_eq!(line.answer().await["status"], json!(401), "a removed token ends with its next pull");

    let refused = Line::open(&hub, "/s/shop/sync/live", "wrong").await.err().unwrap();
    assert!(matches!(refused, Error::Http(response) if response.status() == 401));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_pull_is_refused_and_the_line_goes_on() {
    let hub = Hub::start().await;
    let mut line = Line::open(&hub, "/sync/live", ADMIN).await.unwrap();
    for path in
        ["", "hello", "/sync/push", "/sync/pull?since_lsn=0", "/sync/snapshot?node=n", "/admin/tokens", "http://["]
    {
        line.ask(path).await;
        let answer = line.answer().await;
        assert_eq!((&answer["status"], &answer["body"]["code"]), (&json!(400), &json!("malformed_message")), "{path}");
    }
    line.ask("/sync/pull?node=n&since_lsn=99").await;
    assert_eq!(line.answer().await["status"], json!(410), "a refusal of the pull itself");
    line.ask("/sync/pull?node=n&since_lsn=0").await;
    assert_eq!(line.answer().await["status"], json!(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_break_the_rules_are_ended_with_the_reason() {
    let hub = Hub::start().await;
    let mut eager = Line::open(&hub, "/sync/live", ADMIN).await.unwrap();
    eager.ask("/sync/pull?node=n&since_lsn=0&wait=20").await;
    eager.ask("/sync/pull?node=n&since_lsn=0&wait=20").await;
    assert_eq!(eager.goodbye().await, "1008 one pull at a time");
    let mut binary = Line::open(&hub, "/sync/live", ADMIN).await.unwrap();
    binary.0.send(Message::binary(vec![0; 9])).await.unwrap();
    assert_eq!(binary.goodbye().await, "1003 messages are paths of pulls");
    let mut huge = Line::open(&hub, "/sync/live", ADMIN).await.unwrap();
    // The hub may close before everything is written.
    drop(huge.0.send(Message::text("x".repeat(300 << 10))).await);
    assert!(!matches!(timeout(LONG, huge.0.next()).await.unwrap(), Some(Ok(Message::Text(_)))));

    let plain = hub.get("/sync/live").await;
    assert_eq!(plain.refusal(400), "not_a_websocket");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_goes_down_answers_or_says_goodbye() {
    let hub = Hub::start().await;
    let mut waiting = Line::open(&hub, "/sync/live", ADMIN).await.unwrap();
    waiting.ask("/sync/pull?node=n&since_lsn=0&wait=20").await;
    let mut idle = Line::open(&hub, "/sync/live", ADMIN).await.unwrap();
    hub.shut_down().await;
    assert_eq!(idle.goodbye().await, "1001 the hub goes down");
    let last = waiting.said().await;
    assert!(last.is_close() || last.is_text(), "{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_count_as_live_connections() {
    let hub = Hub::with(|options| options.live.connections = 1).await;
    let line = Line::open(&hub, "/sync/live", ADMIN).await.unwrap();
    let refused = Line::open(&hub, "/sync/live", ADMIN).await.err().unwrap();
    assert!(matches!(refused, Error::Http(response) if response.status() == 503));
    drop(line);
}
