//! Who is in which room.

use super::{changed, heard, join, nothing_more, page};
use crate::support::socket::{Client, Packet};
use crate::support::{ADMIN, Hub};
use serde_json::{Value, json};
use syncline_core::model::{CollectionName, RoomName};
use syncline_server::RoomRule;

async fn token(hub: &Hub, spec: &Value) -> String {
    let reply = hub.post("/admin/tokens", spec).await;
    reply.json()["token"].as_str().unwrap_or_else(|| panic!("{}", reply.text())).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_joins_by_any_form_and_gets_an_answer_only_when_it_asks() {
    let hub = Hub::start().await;
    for (event, payload) in [
        ("files:join", json!({ "ts": 1_700_000_000_000_u64 })),
        ("files:join", Value::Null),
        ("files:join", json!("odd")),
        ("files:join", json!([1, { "x": [] }])),
        ("join", json!({ "room": "files" })),
        ("join", json!("files")),
        ("join_room", json!({ "room": "files", "more": 1 })),
        ("join_room", json!("files")),
    ] {
        let mut page = Client::connect(&hub.addr, ADMIN).await;
        page.emit(event, &payload).await;
        // The next message is answered after the join was taken in.
        let answer = page.call("presence", &json!("files")).await;
        assert_eq!(answer["success"], true, "{event} {payload}");
        let seq = changed(&hub, "files").await;
        assert_eq!(heard(&mut page).await.1["seq"], seq, "{event} {payload}");
        assert!(page.waiting.is_empty(), "no answer that nobody asked for: {:?}", page.waiting);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_twice_or_a_thousand_times_doubles_nothing() {
    let hub = Hub::start().await;
    let mut files = page(&hub, "files").await;
    for _ in 0..1_000 {
        files.emit("files:join", &json!({})).await;
    }
    join(&mut files, "files").await;
    changed(&hub, "files").await;
    assert_eq!(heard(&mut files).await.0, "files:changed");
    nothing_more(&hub, &mut [&mut files]).await;
    let rooms = hub.get("/api/sync/rooms").await.json();
    let count = rooms["rooms"].as_array().unwrap().iter().find(|room| room["room"] == "files").unwrap();
    assert_eq!(count["members"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_rooms_and_broken_wishes_are_ignored() {
    let hub = Hub::start().await;
    let mut page = Client::connect(&hub.addr, ADMIN).await;
    for (event, payload) in [
        ("nowhere:join", json!({})),
        ("join", json!("../files")),
        ("join", json!({ "room": 7 })),
        ("join", Value::Null),
        ("join_room", json!({})),
        (":join", json!({})),
        ("x:presence", json!({})),
        ("leave", json!("files")),
        ("no:such:event", json!({})),
    ] {
        page.emit(event, &payload).await;
    }
    assert_eq!(page.call("join", &json!("nowhere")).await["success"], false);
    changed(&hub, "files").await;
    nothing_more(&hub, &mut [&mut page]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_has_left_hears_nothing_and_is_not_counted() {
    let hub = Hub::start().await;
    let (mut a, mut b) = (page(&hub, "files").await, page(&hub, "files").await);
    assert_eq!(a.call("files:presence", &Value::Null).await["members"], 2);
    assert_eq!(b.call("leave", &json!({ "room": "files" })).await["success"], true);
    assert_eq!(a.call("presence", &json!({ "room": "files" })).await["members"], 1);
    changed(&hub, "files").await;
    assert_eq!(heard(&mut a).await.0, "files:changed");
    nothing_more(&hub, &mut [&mut a, &mut b]).await;
    join(&mut b, "files").await;
    drop(a);
    while b.call("presence", &json!("files")).await["members"] != 1 {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_with_a_grant_opens_only_to_tokens_that_name_it() {
    let hub = Hub::with(|options| {
        let admin = options.rooms.rooms.values_mut().last().unwrap();
        admin.granted = true;
    })
    .await;
    let granted = "users";
    let plain = token(&hub, &json!({ "name": "plain", "space": "main" })).await;
    let named = token(&hub, &json!({ "name": "named", "space": "main", "rooms": [granted] })).await;
    let mut stranger = Client::connect(&hub.addr, &plain).await;
    let answer = stranger.call("users:join", &Value::Null).await;
    assert_eq!(answer["success"], false);
    assert!(answer["error"].as_str().unwrap().contains("--rooms users"), "{answer}");
    let (event, told) = heard(&mut stranger).await;
    assert_eq!((event.as_str(), &told["room"]), ("error", &json!("users")));
    assert_eq!(stranger.call("files:join", &Value::Null).await["success"], true);

    let mut member = Client::connect(&hub.addr, &named).await;
    assert_eq!(member.call("users:join", &Value::Null).await["success"], true);
    assert_eq!(member.call("files:join", &Value::Null).await["success"], false, "its token is for one room");
    heard(&mut member).await;
    changed(&hub, "users").await;
    assert_eq!(heard(&mut member).await.0, "users:changed");
    nothing_more(&hub, &mut [&mut stranger, &mut member]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_some_collections_hears_of_no_others_unless_it_names_the_room() {
    let hub = Hub::with(|options| {
        let rule = |of: &[&str]| RoomRule {
            collections: of.iter().map(|name| CollectionName::new(*name).unwrap()).collect(),
            ..RoomRule::default()
        };
        options.rooms.rooms.insert(RoomName::new("desk").unwrap(), rule(&["notes", "letters"]));
        options.rooms.rooms.insert(RoomName::new("lobby").unwrap(), rule(&[]));
    })
    .await;
    let notes = token(&hub, &json!({ "name": "notes", "space": "main", "collections": ["notes"] })).await;
    let mut page = Client::connect(&hub.addr, &notes).await;
    for (room, opens) in [("users", false), ("files", false), ("desk", true), ("lobby", true)] {
        let answer = page.call(&format!("{room}:join"), &Value::Null).await;
        assert_eq!(answer["success"], opens, "{room}: {answer}");
    }
    let answer = page.call("users:presence", &Value::Null).await;
    assert!(answer["error"].as_str().unwrap().contains("--rooms users"), "{answer}");
    let bearer = format!("Bearer {notes}");
    let shown = hub.send("GET", "/api/sync/rooms", &[("authorization", &bearer)], b"").await.json();
    let names: Vec<_> = shown["rooms"].as_array().unwrap().iter().map(|room| room["room"].as_str().unwrap()).collect();
    assert_eq!(names, ["desk", "lobby"]);

    let spec = json!({ "name": "named", "space": "main", "collections": ["notes"], "rooms": ["users"] });
    let mut named = Client::connect(&hub.addr, &token(&hub, &spec).await).await;
    assert_eq!(named.call("users:join", &Value::Null).await["success"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_without_a_token_come_in_only_where_that_is_allowed() {
    let closed = Hub::start().await;
    let (_, said) = Client::greet(&closed.addr, &Value::Null).await;
    assert!(matches!(said, Packet::Refused(_)), "{said:?}");
    assert_eq!(closed.send("GET", "/api/sync/rooms", &[], b"").await.refusal(401), "unauthorized");

    let open = Hub::with(|options| {
        options.rooms.anonymous = true;
        options.rooms.rooms.values_mut().next().unwrap().granted = true;
    })
    .await;
    let (mut page, said) = Client::greet(&open.addr, &Value::Null).await;
    assert_eq!(said, Packet::Connected);
    assert_eq!(page.call("files:join", &Value::Null).await["success"], true);
    assert_eq!(page.call("admin:join", &Value::Null).await["success"], false, "it needs a grant");
    let shown = open.send("GET", "/api/sync/rooms", &[], b"").await.json();
    assert_eq!(shown["idle_seconds"], 30);
    let names: Vec<_> = shown["rooms"].as_array().unwrap().iter().map(|room| room["room"].as_str().unwrap()).collect();
    assert!(names.contains(&"files") && !names.contains(&"admin"), "{names:?}");
    for shown in [("authorization", "Bearer wrong-secret"), ("x-sync-token", "wrong-secret")] {
        assert_eq!(open.send("GET", "/api/sync/rooms", &[shown], b"").await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_in_no_more_rooms_than_it_may_be() {
    let hub = Hub::with(|options| options.live.joins = 2).await;
    let mut page = Client::connect(&hub.addr, ADMIN).await;
    for room in ["files", "users", "files"] {
        join(&mut page, room).await;
    }
    let answer = page.call("groups:join", &Value::Null).await;
    assert!(answer["error"].as_str().unwrap().contains("live.joins"), "{answer}");
    page.call("files:leave", &Value::Null).await;
    join(&mut page, "groups").await;
}
