//! What is no frame, no packet or no event: who sends it is told what is wrong, and nobody else notices.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod support;

use serde_json::{Value, json};
use std::time::Duration;
use support::socket::{Client, Packet};
use support::{ADMIN, Hub};

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

/// First bytes of frames: a text that is whole, a text that goes on, bytes.
const TEXT: u8 = 0x81;
const BEGUN: u8 = 0x01;
const BINARY: u8 = 0x82;

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_frame_or_packet_ends_its_connection_with_a_code_and_a_reason() {
    let hub = Hub::start().await;
    let mut other = Client::connect(&hub.addr, ADMIN).await;
    for (first, content, code, why) in [
        (TEXT, &b"9"[..], 1002, "Engine.IO begins with its type"),
        (TEXT, b"", 1002, "empty"),
        (TEXT, b"2probe", 1002, "no content"),
        (TEXT, b"47[\"a\"]", 1002, "Socket.IO begins with its type"),
        (TEXT, b"42", 1002, "before its content"),
        (TEXT, b"42{}", 1002, "JSON list"),
        (TEXT, b"42[7,8]", 1007, "begins with its name"),
        (TEXT, b"42[\"a", 1007, "begins with its name"),
        (TEXT, b"427[\"client:sync\",{bad]", 1007, "begins with its name"),
        (TEXT, b"42[\"\xff\"]", 1007, "UTF-8"),
        (TEXT, b"4299999999999999999999[\"a\"]", 1002, "below 2^63"),
        (TEXT, b"43[1]", 1002, "names what it acknowledges"),
        (TEXT, b"4599999999999999999999-[\"a\"]", 1002, "more binary attachments"),
        (TEXT, b"45x[\"a\"]", 1002, "how many attachments"),
        (BINARY, b"bytes", 1002, "no packet announced"),
        (0x83, b"42[\"a\"]", 1002, "WebSocket does not know"),
        (0xc1, b"42[\"a\"]", 1002, "extension"),
        (0x80, b"42[\"a\"]", 1002, "in a row"),
        (0x09, b"ping", 1002, "control frame"),
    ] {
        let mut client = Client::connect(&hub.addr, ADMIN).await;
        client.send_frame(first, content).await;
        let (told, reason) = client.goodbye().await;
        assert!(told == code && reason.contains(why), "{}: {told} {reason}", String::from_utf8_lossy(content));
    }
    let metrics = hub.get("/metrics").await.text();
    assert!(metrics.contains("malformed_frame"), "{metrics}");
    assert_eq!(other.call("files:presence", &Value::Null).await["success"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_became_a_websocket_and_one_that_was_not_let_in_hear_the_same() {
    let hub = Hub::start().await;
    let open = hub.send("GET", POLLING, &[], b"").await.text();
    let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
    let changed = Client::upgrade(&hub.addr, open["sid"].as_str().unwrap()).await;
    for mut client in [changed, Client::open(&hub.addr).await] {
        client.send_frame(TEXT, b"8").await;
        let (code, reason) = client.goodbye().await;
        assert!(code == 1002 && reason.contains("Engine.IO begins"), "{code} {reason}");
    }
    let mut early = Client::open(&hub.addr).await;
    early.send_frame(BEGUN, format!("42[\"a\",\"{}", "x".repeat(40_000)).as_bytes()).await;
    let (code, reason) = early.goodbye().await;
    assert!(code == 1008 && reason.contains("send CONNECT first"), "{code} {reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_too_much_at_once_is_told_by_the_setting() {
    let hub = Hub::with(|options| {
        options.live.message_bytes = 60_000;
        options.settings.bounds.inflight_body_bytes = 60_000;
    })
    .await;
    let mut large = Client::connect(&hub.addr, ADMIN).await;
    large.send_frame(TEXT, &[b'4'; 60_001]).await;
    let (code, reason) = large.goodbye().await;
    assert!(code == 1009 && reason.contains("live.message_bytes"), "{code} {reason}");

    let mut slow = Client::connect(&hub.addr, ADMIN).await;
    slow.send_frame(BEGUN, format!("421[\"unknown\",\"{}\"", "x".repeat(40_000)).as_bytes()).await;
    let mut refused = false;
    // Until the hub has read so far, there is room.
    while !refused {
        let mut client = Client::connect(&hub.addr, ADMIN).await;
        client.send_frame(TEXT, format!("421[\"client:sync\",\"{}\"]", "x".repeat(40_000)).as_bytes()).await;
        refused = match client.packet().await {
            Packet::Answer(..) => false,
            Packet::Closed => true,
            other => panic!("{other:?}"),
        };
    }
    let mut client = Client::connect(&hub.addr, ADMIN).await;
    client.send_frame(TEXT, &[b'4'; 40_000]).await;
    let (code, reason) = client.goodbye().await;
    assert!(code == 1013 && reason.contains("limits.inflight_body_bytes"), "{code} {reason}");
    drop(slow);
    loop {
        let mut client = Client::connect(&hub.addr, ADMIN).await;
        client.send_frame(TEXT, format!("421[\"client:sync\",\"{}\"]", "x".repeat(40_000)).as_bytes()).await;
        if let Packet::Answer(..) = client.packet().await {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_body_is_answered_with_what_is_wrong() {
    let hub = Hub::start().await;
    for (body, why) in [
        (&b"9"[..], "Engine.IO begins with its type"),
        (b"40{}\x1e47[]", "Socket.IO begins with its type"),
        (b"bAAA=", "follow the packet that announces them"),
        (b"3\x1ebAAA=", "no packet announced"),
        (b"452-[\"a\"]", "more binary attachments"),
        (b"4299999999999999999999[\"a\"]", "below 2^63"),
        (b"42[\"\xff\"]", "no text"),
        (b"3\x1e\x1e3", "empty"),
        (b"40{\"token\":\"secret-of-the-admin\"}\x1e42[7]", "begins with its name"),
    ] {
        let open = hub.send("GET", POLLING, &[], b"").await.text();
        let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
        let path = format!("{POLLING}&sid={}", open["sid"].as_str().unwrap());
        let reply = hub.send("POST", &path, &[("content-type", "text/plain")], body).await;
        let said = reply.json();
        assert_eq!((reply.status, &said["code"]), (400, &json!(3)), "{said}");
        assert!(said["message"].as_str().unwrap().contains(why), "{said}");
        let gone = hub.send("POST", &path, &[], b"3").await;
        assert_eq!((gone.status, &gone.json()["message"]), (400, &json!("Session ID unknown")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_ended_for_another_reason_hears_that() {
    let hub = Hub::with(|options| {
        options.live.ping_interval = Duration::from_millis(200);
        options.live.ping_timeout = Duration::from_millis(200);
    })
    .await;
    // It answers no ping.
    let mut silent = Client::connect(&hub.addr, ADMIN).await;
    let (code, reason) = silent.goodbye().await;
    assert!(code == 1008 && reason.contains("live.ping_timeout"), "{code} {reason}");

    let hub = Hub::start().await;
    let mut stays = Client::connect(&hub.addr, ADMIN).await;
    let down = tokio::spawn(hub.shut_down());
    let (code, reason) = stays.goodbye().await;
    assert!(code == 1001 && reason.contains("shutting down"), "{code} {reason}");
    down.await.unwrap();
}
