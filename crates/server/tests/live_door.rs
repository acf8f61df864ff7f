//! The door for live connections: who comes in, by which transport, within which limits, and how it closes.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod support;

use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::socket::{Client, LONG, Packet};
use support::{ADMIN, Hub, Reply};

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

/// A session over long polling.
struct Poller<'a> {
    hub: &'a Hub,
    path: String,
    open: Value,
}

impl Poller<'_> {
    async fn open(hub: &Hub) -> Poller<'_> {
        let reply = hub.send("GET", POLLING, &[], b"").await;
        assert_eq!(reply.status, 200);
        assert!(reply.headers["content-type"].starts_with("text/plain"));
        let open: Value = serde_json::from_str(reply.text().strip_prefix('0').unwrap()).unwrap();
        Poller { hub, path: format!("{POLLING}&sid={}", open["sid"].as_str().unwrap()), open }
    }

    async fn post(&self, body: &str) -> Reply {
        self.hub.send("POST", &self.path, &[("content-type", "text/plain")], body.as_bytes()).await
    }

    async fn get(&self) -> String {
        self.hub.send("GET", &self.path, &[], b"").await.text()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_valid_token_comes_in_and_others_hear_why() {
    let hub = Hub::start().await;
    let refused = |text: &str| Packet::Refused(text.to_owned());
    for (auth, said) in [
        (json!({ "token": ADMIN }), Packet::Connected),
        (json!({ "token": ADMIN, "space": "main" }), Packet::Connected),
        (json!({ "token": "wrong-secret" }), refused("Authentication failed")),
        (json!({ "token": 7 }), refused("Authentication failed")),
        (json!({ "token": null }), refused("Authentication token required")),
        (json!({}), refused("Authentication token required")),
        (json!([1]), refused("Authentication token required")),
        (Value::Null, refused("Authentication token required")),
    ] {
        assert_eq!(Client::greet(&hub.addr, &auth).await.1, said, "{auth}");
    }
    let (_, said) = Client::greet(&hub.addr, &json!({ "token": ADMIN, "space": "elsewhere" })).await;
    assert!(matches!(said, Packet::Refused(text) if text.contains("space `elsewhere` does not exist")));
}

#[tokio::test(flavor = "multi_thread")]
async fn polling_serves_a_whole_session() {
    let hub = Hub::start().await;
    let poller = Poller::open(&hub).await;
    assert_eq!(poller.open["upgrades"], json!(["websocket"]));
    assert_eq!((&poller.open["pingInterval"], &poller.open["pingTimeout"]), (&json!(10_000), &json!(5_000)));
    assert_eq!(poller.open["maxPayload"], json!(64 << 20));

    let reply = poller.post(&format!("40{}", json!({ "token": ADMIN }))).await;

    assert_eq!((reply.status, reply.text().as_str()), (200, "ok"));
    let said = poller.get().await;
    assert!(said.split('\u{1e}').any(|packet| packet.starts_with("40{\"sid\":")), "{said}");
    let unknown = hub.send("GET", &format!("{POLLING}&sid=AAAAAAAAAAAAAAAA"), &[], b"").await;
    assert_eq!((unknown.status, &unknown.json()["message"]), (400, &json!("Session ID unknown")));
    let old = hub.send("GET", "/socket.io/?EIO=2&transport=polling", &[], b"").await;
    assert_eq!(old.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_goes_down_closes_the_transport_and_never_says_goodbye() {
    let hub = Hub::start().await;
    let mut client = Client::connect(&hub.addr, ADMIN).await;
    let mut half_way = Client::open(&hub.addr).await;

    let down = tokio::spawn(hub.shut_down());

    assert_eq!(client.packet().await, Packet::Closed, "and no packet 41 before it");
    half_way.send_raw(&format!("40{}", json!({ "token": ADMIN }))).await;
    tokio::time::timeout(LONG, down).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_limit_are_put_off_and_places_come_back() {
    let hub = Hub::with(|options| options.live.connections = 1).await;
    let client = Client::connect(&hub.addr, ADMIN).await;
    let reply = hub.send("GET", POLLING, &[], b"").await;
    assert_eq!((reply.refusal(503).as_str(), &reply.json()["limit"]), ("overloaded", &json!("live.connections")));
    assert!(hub.get("/metrics").await.text().contains("syncline_live_connections 1"));
    drop(client);
    let back = async {
        while hub.send("GET", POLLING, &[], b"").await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, back).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_leaves_when_its_token_is_removed_or_expires() {
    let hub = Hub::start().await;
    let soon = SystemTime::now() + Duration::from_secs(3);
    let soon = u64::try_from(soon.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let secret = async |spec: Value| {
        let made = hub.post("/admin/tokens", &spec).await;
        made.json()["token"].as_str().unwrap().to_owned()
    };
    let (removed, expiring) =
        (secret(json!({ "name": "removed" })).await, secret(json!({ "name": "expiring", "expires_at": soon })).await);
    let mut stays = Client::connect(&hub.addr, ADMIN).await;
    let mut leaving = [Client::connect(&hub.addr, &removed).await, Client::connect(&hub.addr, &expiring).await];
    for member in leaving.iter_mut().chain([&mut stays]) {
        assert_eq!(member.call("files:join", &json!({})).await["success"], json!(true));
    }

    let admin = format!("Bearer {ADMIN}");
    let gone = hub.send("DELETE", "/admin/tokens/removed", &[("authorization", &admin)], b"").await;
    assert_eq!(gone.status, 200);

    for (member, why) in leaving.iter_mut().zip(["the token is unknown", "the token has expired"]) {
        let (event, said) = member.event().await;
        assert_eq!(event, "error");
        assert!(said["message"].as_str().unwrap().contains(why), "{said}");
        assert_eq!(member.packet().await, Packet::Disconnect);
    }
    let event = json!({ "event": "files:changed", "reason": "updated" });
    assert_eq!(hub.post("/api/sync/emit", &event).await.status, 200);
    assert_eq!(stays.event().await.0, "files:changed");
    let present = stays.call("files:presence", &json!({})).await;
    assert_eq!(present["members"], json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_messages_harm_nobody() {
    let hub = Hub::start().await;
    let mut other = Client::connect(&hub.addr, ADMIN).await;
    for odd in
        ["42[]", "42[null]", "42[7,8]", "42{}", "42", "4", "9", "", "43999[1]", "45-x", "42[\"a\"", "41", "40", "zzz"]
    {
        let mut client = Client::connect(&hub.addr, ADMIN).await;
        client.send_raw(odd).await;
        client.send_raw("42[\"unknown\",{}]").await;
    }
    let mut binary = Client::connect(&hub.addr, ADMIN).await;
    binary.send_raw("451-7[\"client:sync\",{\"_placeholder\":true,\"num\":0}]").await;
    binary.send_bytes(b"bytes").await;
    let said = binary.answer(7).await;
    assert_eq!(said["success"], json!(false));
    assert!(said["error"].as_str().unwrap().contains("binary"), "{said}");
    other.emit("unknown", &json!(null)).await;
    assert_eq!(other.event_within(Duration::from_millis(50)).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_messages_in_a_second_than_allowed_are_answered_with_the_limit() {
    let hub = Hub::with(|options| options.live.events_per_second = 1).await;
    let mut client = Client::connect(&hub.addr, ADMIN).await;
    for _ in 0..2 {
        client.emit("unknown", &json!({})).await;
    }
    let said = client.call("unknown", &json!({})).await;
    assert!(said["error"].as_str().unwrap().contains("live.events_per_second"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_limit_ends_its_connection_only() {
    let hub = Hub::with(|options| options.live.message_bytes = 1_000).await;
    let mut other = Client::connect(&hub.addr, ADMIN).await;
    let mut client = Client::connect(&hub.addr, ADMIN).await;
    client.emit("unknown", &json!("x".repeat(2_000))).await;
    assert_eq!(client.packet().await, Packet::Closed);
    let poller = Poller::open(&hub).await;
    assert_eq!(poller.post(&format!("42[\"unknown\",\"{}\"]", "x".repeat(2_000))).await.status, 413);
    other.emit("unknown", &json!(null)).await;
    assert_eq!(other.event_within(Duration::from_millis(50)).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_who_somebody_is_or_where_it_goes_is_measured_before_it_is_looked_into() {
    let hub = Hub::start().await;
    let (_, said) = Client::greet(&hub.addr, &json!({ "token": ADMIN, "more": vec![0; 10_000] })).await;
    assert!(matches!(&said, Packet::Refused(why) if why.contains("fit in 16384")), "{said:?}");
    let mut client = Client::connect(&hub.addr, ADMIN).await;
    client.emit("client:info", &json!({ "clientId": "c", "collections": vec![0; 200_000] })).await;
    let (event, said) = client.event().await;
    assert_eq!(event, "error");
    assert!(said["message"].as_str().unwrap().contains("262144 bytes"), "{said}");
    let said = client.call("join", &json!({ "room": "files", "more": vec![0; 1_000] })).await;
    assert_eq!(said["error"], "there is no such room");
    let members = client.call("presence", &json!({ "room": "files" })).await;
    assert_eq!(members["members"], 0);
}
