//! The recorded frames of a page, over both transports.

use super::{emit, nothing_more, page};
use crate::support::socket::Client;
use crate::support::{ADMIN, Hub};
use serde_json::{Value, json};

/// What a page sends as it was recorded, and what it got.
struct Session {
    transport: String,
    published: Vec<String>,
    sent: Vec<String>,
    got: Vec<String>,
}

fn sessions() -> Vec<Session> {
    let recorded: Value = serde_json::from_str(include_str!("../../../../spec/vectors/rooms-frames.json")).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |session: &Value| {
        let frames = session["frames"].as_array().unwrap();
        let events = |dir: &str| -> Vec<String> {
            let those = frames.iter().filter(|frame| frame["dir"] == dir).map(|frame| text(&frame["data"]));
            those.filter(|data| data.starts_with("2[")).collect()
        };
        Session {
            transport: text(&session["transport"]),
            published: session["published"].as_array().unwrap().iter().map(text).collect(),
            sent: events("client->server"),
            got: events("server->client"),
        }
    };
    recorded["sessions"].as_array().unwrap().iter().map(of).collect()
}

/// Numbers that differ from run to run become 0.
fn leveled(frame: &str) -> String {
    let mut parts: Value = serde_json::from_str(frame.strip_prefix('2').unwrap()).unwrap();
    parts[1]["seq"] = json!(0);
    parts[1]["worker"] = json!(0);
    parts.to_string()
}

/// Publishes what the session's publisher did; the soft refresh comes when its window is over.
async fn publish(hub: &Hub, session: &Session) {
    for event in &session.published {
        let data = if event == "files:changed" { json!({ "name": "файл" }) } else { Value::Null };
        emit(hub, &json!({ "event": event, "reason": "updated", "id": "42", "data": data })).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_gets_the_recorded_frames_over_a_websocket() {
    let hub = Hub::start().await;
    let session = sessions().into_iter().find(|session| session.transport == "websocket").unwrap();
    let mut page = Client::connect(&hub.addr, ADMIN).await;
    for frame in &session.sent {
        page.send_raw(&format!("4{frame}")).await;
    }
    page.call("presence", &json!("files")).await;
    publish(&hub, &session).await;
    for expected in &session.got {
        let (event, envelope) = page.event().await;
        assert_eq!(leveled(&format!("2{}", json!([event, envelope]))), leveled(expected));
    }
    nothing_more(&hub, &mut [&mut page]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_gets_the_recorded_frames_by_polling() {
    const PATH: &str = "/socket.io/?EIO=4&transport=polling";
    let hub = Hub::start().await;
    let session = sessions().into_iter().find(|session| session.transport == "polling").unwrap();
    let opened = hub.send("GET", PATH, &[], b"").await.text();
    let opened: Value = serde_json::from_str(opened.strip_prefix('0').unwrap()).unwrap();
    let path = format!("{PATH}&sid={}", opened["sid"].as_str().unwrap());
    let mut frames = vec![format!("40{}", json!({ "token": ADMIN }))];
    frames.extend(session.sent.iter().map(|frame| format!("4{frame}")));
    for frame in frames {
        assert_eq!(hub.send("POST", &path, &[], frame.as_bytes()).await.text(), "ok");
    }
    let mut counted = page(&hub, "users").await;
    while counted.call("presence", &json!("files")).await["members"] != 1 {}
    publish(&hub, &session).await;
    let mut got = Vec::new();
    while got.len() < session.got.len() {
        let packets = hub.send("GET", &path, &[], b"").await.text();
        got.extend(
            packets
                .split('\u{1e}')
                .filter_map(|packet| packet.strip_prefix('4'))
                .filter(|p| p.starts_with("2["))
                .map(leveled),
        );
    }
    assert_eq!(got, session.got.iter().map(|frame| leveled(frame)).collect::<Vec<_>>());
    assert_eq!(hub.send("GET", &format!("{PATH}&sid=unknown"), &[], b"").await.status, 400);
}
