//! The door for live connections: who comes in, by which transport, within which limits, and how it closes.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod support;

use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::socket::{Client, LONG, Packet};
use support::{ADMIN, Hub, Reply, insert as pushed};

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

    /// Comes in: the hub's first ping may be told apart from the welcome.
    async fn greet(&self, secret: &str) {
        let sent = self.post(&format!("40{}", json!({ "token": secret }))).await;
        assert_eq!((sent.status, sent.text().as_str()), (200, "ok"));
        let welcomed = async {
            loop {
                let said = self.get().await;
                if said.split('\u{1e}').any(|packet| packet.starts_with("40{\"sid\":")) {
                    return;
                }
                assert_eq!(said, "2", "something else than a ping came before the welcome");
            }
        };
        tokio::time::timeout(LONG, welcomed).await.expect("a known token comes in")
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
    for space in [json!(7), json!(""), json!("../x")] {
        let (_, said) = Client::greet(&hub.addr, &json!({ "token": ADMIN, "space": space })).await;
        assert!(matches!(&said, Packet::Refused(why) if why.contains("space")), "{space}: {said:?}");
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

    poller.greet(ADMIN).await;

    let unknown = hub.send("GET", &format!("{POLLING}&sid=AAAAAAAAAAAAAAAA"), &[], b"").await;
    assert_eq!((unknown.status, &unknown.json()["message"]), (400, &json!("Session ID unknown")));
    let old = hub.send("GET", "/socket.io/?EIO=2&transport=polling", &[], b"").await;
    assert_eq!(old.status, 400);
}

/// The plugin works on messages side by side: of two that come together it keeps documents twice.
#[tokio::test(flavor = "multi_thread")]
async fn who_reports_nothing_and_polls_seldom_gets_one_message_at_a_time() {
    let hub = without_pings().await;
    let poller = Poller::open(&hub).await;
    poller.greet(ADMIN).await;
    let info = json!({ "clientId": "seldom", "collections": ["users"] });
    poller.post(&format!(r#"42["client:info",{info}]"#)).await;
    let mut heard = Vec::new();
    for (seq, id) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
        hub.push("writer", &format!("b{seq}"), &json!([pushed(seq, "users", id)])).await;
        tokio::time::sleep(Duration::from_millis(500)).await; // sleep: longer than the hub waits for the report of a message
    }
    while !heard.iter().any(|said: &String| said.contains(r#""d""#)) {
        heard.push(poller.get().await);
    }
    for said in &heard {
        assert!(said.matches("server:sync").count() < 2, "together: {said}");
    }
    assert!(heard.len() > 1, "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_change_to_a_websocket_fails_polls_on_and_may_try_again() {
    let hub = without_pings().await;
    let poller = Poller::open(&hub).await;
    poller.greet(ADMIN).await;
    let sid = poller.open["sid"].as_str().unwrap();
    let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket&sid={sid}", hub.addr);
    let is_answered = async |number: u8| {
        let asks = format!(r#"42{number}["files:presence"]"#);
        let (said, asked) = tokio::join!(poller.get(), poller.post(&asks));
        assert_eq!(asked.status, 200);
        assert!(said.starts_with(&format!("43{number}[")), "neither cut off nor told to ask again: {said}");
    };

    let (silent, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
    is_answered(1).await;
    drop(silent);
    is_answered(2).await;
    let mut wrong = again(&url).await;
    wrong.send_raw("3probe").await;
    assert_eq!(wrong.goodbye().await.0, 1002);
    is_answered(3).await;

    let mut changed = again(&url).await;
    drop(wrong);
    changed.probe().await;
    changed.send_raw("5").await;
    assert_eq!(changed.call("files:join", &Value::Null).await["success"], true);
}

async fn without_pings() -> Hub {
    Hub::with(|options| options.live.ping_interval = Duration::from_secs(3_600)).await
}

/// A WebSocket as soon as the hub has noticed that the one before is gone.
async fn again(url: &str) -> Client {
    let opened = async {
        loop {
            if let Ok((ws, _)) = tokio_tungstenite::connect_async(url).await {
                return Client::over(ws);
            }
        }
    };
    tokio::time::timeout(LONG, opened).await.expect("it may try again")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_could_take_the_websocket_is_not_kept_waiting_by_a_request_and_asks_ten_times_a_second_at_most() {
    let hub = without_pings().await;
    let poller = Poller::open(&hub).await;
    poller.greet(ADMIN).await;
    let sid = poller.open["sid"].as_str().unwrap();
    let mut half_way = again(&format!("ws://{}/socket.io/?EIO=4&transport=websocket&sid={sid}", hub.addr)).await;
    half_way.probe().await;
    for _ in 0..3 {
        let asked = tokio::time::Instant::now();
        assert_eq!(poller.get().await, "6");
        assert!(asked.elapsed() >= Duration::from_millis(90), "{:?}", asked.elapsed());
    }
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
    assert_eq!(other.call("files:presence", &Value::Null).await["success"], true);
    assert_eq!(other.waiting, []);
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
    assert_eq!(other.call("files:presence", &Value::Null).await["success"], true);
    assert_eq!(other.waiting, []);
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

#[tokio::test(flavor = "multi_thread")]
async fn who_was_not_let_in_sends_no_more_than_a_greeting() {
    let hub = Hub::start().await;
    let large = format!("42[\"unknown\",\"{}\"]", "x".repeat(100_000));
    let mut stranger = Client::open(&hub.addr).await;
    stranger.send_raw(&large).await;
    assert_eq!(stranger.packet().await, Packet::Closed);
    let poller = Poller::open(&hub).await;
    assert_eq!(poller.post(&large).await.refusal(400), "greeting_too_large");
    let chunked = format!(
        "POST {} HTTP/1.1\r\nhost: hub\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        poller.path,
        large.len()
    );
    assert_eq!(hub.send_bytes(chunked.as_bytes()).await.status, 400);

    let mut guest = Client::connect(&hub.addr, ADMIN).await;
    guest.send_raw(&large).await;
    assert_eq!(guest.call("files:presence", &Value::Null).await["success"], true);
    let poller = Poller::open(&hub).await;
    poller.greet(ADMIN).await;
    assert_eq!(poller.post(&large).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_becomes_a_websocket_goes_on_within_the_same_bounds() {
    let hub = Hub::start().await;
    let large = format!("42[\"unknown\",\"{}\"]", "x".repeat(100_000));
    let known = Poller::open(&hub).await;
    known.greet(ADMIN).await;
    let mut guest = Client::upgrade(&hub.addr, known.open["sid"].as_str().unwrap()).await;
    guest.send_raw(&large).await;
    assert_eq!(guest.call("files:join", &Value::Null).await["success"], true);

    let stranger = Poller::open(&hub).await;
    let mut late = Client::upgrade(&hub.addr, stranger.open["sid"].as_str().unwrap()).await;
    late.send_raw(&format!("40{}", json!({ "token": ADMIN }))).await;
    assert_eq!(late.packet().await, Packet::Connected);
    late.send_raw(&large).await;
    assert_eq!(late.call("files:join", &Value::Null).await["success"], true);

    let stranger = Poller::open(&hub).await;
    let mut never = Client::upgrade(&hub.addr, stranger.open["sid"].as_str().unwrap()).await;
    never.send_raw(&large).await;
    assert_eq!(never.packet().await, Packet::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_arrive_is_given_up_with_its_memory() {
    let hub = Hub::with(|options| {
        options.live.message_bytes = 1 << 20;
        options.settings.bounds.inflight_body_bytes = 1 << 20;
        options.settings.bounds.body_idle = Duration::from_millis(300);
    })
    .await;
    let poller = Poller::open(&hub).await;
    poller.greet(ADMIN).await;
    let half = format!("POST {} HTTP/1.1\r\nhost: hub\r\ncontent-length: 1000000\r\n\r\n4", poller.path);
    let mut slow = tokio::net::TcpStream::connect(&hub.addr).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut slow, half.as_bytes()).await.unwrap();

    let other = Poller::open(&hub).await;
    other.greet(ADMIN).await;
    let message = format!("42[\"unknown\",\"{}\"]", "x".repeat(500_000));
    let mut refused = false;
    let taken = async {
        loop {
            let reply = other.post(&message).await;
            if reply.status == 200 && refused {
                return;
            }
            if reply.status == 503 {
                assert_eq!(reply.json()["limit"], "limits.inflight_body_bytes");
                refused = true;
            }
        }
    };
    tokio::time::timeout(LONG, taken).await.expect("the memory comes back");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_goodbye_of_either_side_a_connection_keeps_no_place() {
    let hub = Hub::start().await;
    let made = hub.post("/admin/tokens", &json!({ "name": "removed" })).await;
    let secret = made.json()["token"].as_str().unwrap().to_owned();
    let polling = Poller::open(&hub).await;
    polling.greet(&secret).await;
    let sent_away = Client::connect(&hub.addr, &secret).await;
    let mut leaving = Client::connect(&hub.addr, ADMIN).await;
    let mut stays = Client::connect(&hub.addr, ADMIN).await;
    assert!(hub.get("/metrics").await.text().contains("syncline_live_connections 4"));

    leaving.send_raw("41").await;
    let admin = format!("Bearer {ADMIN}");
    hub.send("DELETE", "/admin/tokens/removed", &[("authorization", &admin)], b"").await;

    assert_eq!(leaving.packet().await, Packet::Closed, "who comes again opens another connection");
    let freed = async {
        while !hub.get("/metrics").await.text().contains("syncline_live_connections 1\n") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, freed).await.expect("three places are free");
    assert_eq!(stays.call("files:join", &Value::Null).await["success"], true);
    drop(sent_away);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_allows_something_else_now_has_its_clients_come_in_again() {
    let hub = Hub::start().await;
    let node = json!({ "id": "11111111-1111-4111-8111-111111111111", "code": "KIOSK", "name": "Kiosk",
                       "plan": { "types": ["notes", "prices"] } });
    let made = hub.post("/admin/spaces/main/nodes", &node).await;
    let secret = made.json()["token"].as_str().unwrap_or_else(|| panic!("{}", made.text())).to_owned();
    let mut client = Client::connect(&hub.addr, &secret).await;
    client.emit("client:info", &json!({ "clientId": "k", "collections": ["notes", "prices"] })).await;
    assert_eq!(client.call("client:sync", &json!([])).await["success"], true);

    let narrowed = json!({ "plan": { "types": ["notes"] } });
    let path = "/admin/spaces/main/nodes/11111111-1111-4111-8111-111111111111";
    let admin = format!("Bearer {ADMIN}");
    let changed = hub.send("PUT", path, &[("authorization", &admin)], narrowed.to_string().as_bytes()).await;
    assert_eq!(changed.status, 200, "{}", changed.text());

    let mut said = client.packet().await;
    while let Packet::Event(_, _) = said {
        said = client.packet().await;
    }
    assert_eq!(said, Packet::Closed, "below Socket.IO, so that it comes back by itself");
    let mut again = Client::connect(&hub.addr, &secret).await;
    again.emit("client:info", &json!({ "clientId": "k", "collections": ["prices"] })).await;
    let (event, told) = again.event().await;
    assert_eq!(event, "error");
    assert!(told["message"].as_str().unwrap().contains("prices"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_not_tried_one_behind_the_other() {
    let hub = Hub::start().await;
    let mut guessing = Client::open(&hub.addr).await;
    for n in 0..100 {
        guessing.send_raw(&format!("40{}", json!({ "token": format!("wrong-secret-{n}") }))).await;
    }
    assert_eq!(guessing.packet().await, Packet::Refused("Authentication failed".to_owned()));
    guessing.send_raw(&format!("40{}", json!({ "token": ADMIN }))).await;
    assert_eq!(guessing.packet().await, Packet::Connected, "and no other refusal");
}
