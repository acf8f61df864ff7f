//! What is told, to whom, and by whom.

use super::{changed, emit, heard, nothing_more, page};
use crate::support::socket::Client;
use crate::support::{ADMIN, Hub, insert};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use syncline_server::{DEFAULT_ROOMS, RoomRule};

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_member_gets_an_event_once_and_nobody_else_any() {
    let hub = Hub::start().await;
    let (mut a, mut b) = (page(&hub, "files").await, page(&hub, "files").await);
    let (mut users, mut nowhere) = (page(&hub, "users").await, Client::connect(&hub.addr, ADMIN).await);
    let event = json!({ "event": "files:changed", "reason": "updated", "id": "42", "data": { "name": "файл" } });

    let seq = emit(&hub, &event).await;

    let worker = std::process::id();
    let expected = json!({ "reason": "updated", "seq": seq, "worker": worker, "scope": "room:files", "id": "42",
                           "data": { "name": "файл" } });
    assert_eq!(heard(&mut a).await, ("files:changed".to_owned(), expected.clone()));
    assert_eq!(heard(&mut b).await, ("files:changed".to_owned(), expected));
    assert!(seq.abs_diff(now_ms()) < 60_000);
    nothing_more(&hub, &mut [&mut a, &mut b, &mut users, &mut nowhere]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_reasons_in_seven_rooms_come_with_six_fields() {
    let hub = Hub::start().await;
    for room in DEFAULT_ROOMS {
        let mut member = page(&hub, room).await;
        for reason in ["updated", "added", "deleted", "toggled"] {
            emit(&hub, &json!({ "event": format!("{room}:changed"), "reason": reason, "id": 7 })).await;
            let (event, envelope) = heard(&mut member).await;
            assert_eq!((event, &envelope["reason"]), (format!("{room}:changed"), &json!(reason)));
            assert_eq!((&envelope["id"], &envelope["data"]), (&json!(7), &Value::Null));
            assert_eq!(envelope["scope"], format!("room:{room}"));
            assert_eq!(envelope.as_object().unwrap().len(), 6, "{envelope}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_in_the_order_in_which_they_were_told_and_seq_only_grows() {
    let hub = Hub::start().await;
    let mut files = page(&hub, "files").await;
    let mut told = Vec::new();
    for n in 0..40 {
        told.push((n, emit(&hub, &json!({ "event": "files:changed", "reason": "updated", "id": n })).await));
    }
    let mut last = 0;
    for (n, seq) in told {
        let (_, envelope) = heard(&mut files).await;
        assert_eq!((&envelope["id"], &envelope["seq"]), (&json!(n), &json!(seq)));
        assert!(seq > last, "{seq} after {last}");
        last = seq;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_reads_slowly_never_hears_an_older_event_after_a_newer_one_and_ends_with_the_newest() {
    let hub = Hub::with(|options| options.live.queued_messages = 8).await;
    let mut slow = page(&hub, "files").await;
    let large = json!({ "event": "files:changed", "reason": "updated", "data": "x".repeat(60_000) });
    let mut put_off = false;
    while !put_off {
        emit(&hub, &large).await;
        let metrics = hub.get("/metrics").await.text();
        put_off = !metrics.lines().any(|line| line == "syncline_live_messages_put_off_total 0");
    }

    let (mut last, mut newest) = (0, 0);
    for _ in 0..20 {
        newest = emit(&hub, &large).await;
        let seq = heard(&mut slow).await.1["seq"].as_u64().unwrap();
        assert!(seq > last, "{seq} after {last}");
        last = seq;
    }
    while last < newest {
        let seq = heard(&mut slow).await.1["seq"].as_u64().unwrap();
        assert!(seq > last, "{seq} after {last}");
        last = seq;
    }
    nothing_more(&hub, &mut [&mut slow]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_refreshed_softly_by_categories_and_registrators_and_by_nothing_else() {
    let hub = Hub::start().await;
    let rooms = ["files", "categories", "registrators", "users"];
    let mut pages = Vec::new();
    for room in rooms {
        pages.push(page(&hub, room).await);
    }
    for source in ["categories", "registrators"] {
        let event = json!({ "event": format!("{source}:changed"), "reason": "added", "id": 5, "data": { "x": 1 } });
        emit(&hub, &event).await;
        let own = rooms.iter().position(|room| *room == source).unwrap();
        assert_eq!(heard(&mut pages[own]).await.0, format!("{source}:changed"));
        let (event, envelope) = heard(&mut pages[0]).await;
        assert_eq!(event, "files:changed");
        assert_eq!(envelope["data"], json!({ "soft": true, "source": format!("{source}:changed") }));
        assert_eq!((&envelope["reason"], &envelope["id"]), (&json!("added"), &json!(5)));
        assert_eq!(envelope["scope"], "room:files");
    }
    for room in ["users", "groups", "admin", "index", "files"] {
        changed(&hub, room).await;
    }
    assert_eq!(heard(&mut pages[3]).await.0, "users:changed");
    let (_, files) = heard(&mut pages[0]).await;
    assert_eq!(files["data"], Value::Null, "its own event, not a soft one: {files}");
    let mut all: Vec<&mut Client> = pages.iter_mut().collect();
    nothing_more(&hub, &mut all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn soft_refreshes_of_a_window_are_one() {
    let hub = Hub::with(|options| options.rooms.debounce = std::time::Duration::from_millis(400)).await;
    let mut files = page(&hub, "files").await;
    for n in 0..20 {
        let source = if n % 2 == 0 { "categories" } else { "registrators" };
        emit(&hub, &json!({ "event": format!("{source}:changed"), "reason": "added", "id": n })).await;
    }
    let (_, envelope) = heard(&mut files).await;
    assert_eq!((&envelope["data"]["soft"], &envelope["id"]), (&json!(true), &Value::Null), "{envelope}");
    nothing_more(&hub, &mut [&mut files]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_event_is_refused_by_name_of_the_field() {
    let hub = Hub::start().await;
    let good = json!({ "event": "files:changed", "reason": "updated" });
    let with = |field: &str, value: Value| {
        let mut event = good.clone();
        event[field] = value;
        event
    };
    for (field, event) in [
        ("event", json!({ "reason": "updated" })),
        ("event", with("event", json!(7))),
        ("event", with("event", json!(""))),
        ("event", with("event", json!("a\u{7}b"))),
        ("event", with("event", json!("x".repeat(129)))),
        ("event", with("event", json!("server:sync"))),
        ("event", with("event", json!("disconnect"))),
        ("reason", json!({ "event": "files:changed" })),
        ("reason", with("reason", json!("exploded"))),
        ("room", with("event", json!("nowhere:changed"))),
        ("room", with("event", json!("no_colon"))),
        ("room", with("room", json!("nowhere"))),
        ("room", with("room", json!(["files"]))),
        ("id", with("id", json!({}))),
        ("id", with("id", json!("x".repeat(600)))),
        ("space", with("space", json!("no space"))),
        ("romm", with("romm", json!("files"))),
    ] {
        let reply = hub.post("/api/sync/emit", &event).await;
        assert_eq!(reply.refusal(422), "malformed_field", "{event}");
        assert_eq!(reply.json()["field"], field, "{event}");
        assert!(reply.json()["error"].as_str().unwrap().contains(&format!("`{field}`")), "{}", reply.text());
    }
    for body in ["", "{", "[]", "7", "\"files\""] {
        assert_eq!(hub.post_raw("/api/sync/emit", body.as_bytes()).await.status, 400, "{body}");
    }
    let large = hub.post("/api/sync/emit", &with("data", json!("x".repeat(70_000)))).await;
    assert_eq!((large.refusal(413).as_str(), &large.json()["limit"]), ("event_too_large", &json!("rooms.event_bytes")));
    assert_eq!(hub.post("/api/sync/emit", &with("space", json!("nobodys"))).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_token_with_the_right_publishes_and_only_where_it_may() {
    let hub = Hub::start().await;
    let mut files = page(&hub, "files").await;
    let mut secrets = Vec::new();
    for spec in [
        json!({ "name": "plain", "space": "main" }),
        json!({ "name": "emitter", "space": "main", "read": false, "write": false, "emit": true }),
        json!({ "name": "narrow", "space": "main", "emit": true, "rooms": ["users"] }),
    ] {
        let reply = hub.post("/admin/tokens", &spec).await;
        secrets.push(reply.json()["token"].as_str().unwrap().to_owned());
    }
    let post = async |secret: &str, event: Value| {
        let authorization = format!("Bearer {secret}");
        let headers = [("authorization", authorization.as_str())];
        hub.send("POST", "/api/sync/emit", &headers, event.to_string().as_bytes()).await
    };
    let event = |room: Value| json!({ "event": "files:changed", "reason": "updated", "room": room });

    let missing = hub.send("POST", "/api/sync/emit", &[], event(json!("files")).to_string().as_bytes()).await;
    assert_eq!(missing.refusal(401), "unauthorized");
    assert_eq!(post("wrong-secret", event(json!("files"))).await.refusal(401), "unauthorized");
    let refused = post(&secrets[0], event(json!("files"))).await;
    assert_eq!(refused.refusal(403), "forbidden");
    assert!(refused.text().contains("--emit"), "{}", refused.text());
    assert_eq!(post(&secrets[2], event(json!("files"))).await.refusal(403), "forbidden");
    assert_eq!(post(&secrets[2], event(Value::Null)).await.refusal(403), "forbidden");
    assert_eq!(post(&secrets[2], event(json!("users"))).await.status, 200);
    nothing_more(&hub, &mut [&mut files]).await;
    assert_eq!(post(&secrets[1], event(json!("files"))).await.status, 200);
    assert_eq!(heard(&mut files).await.0, "files:changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_pages_get_ten_events_each_and_a_hundred_others_none() {
    let hub = Hub::start().await;
    let (mut members, mut others) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        members.push(page(&hub, "files").await);
        others.push(page(&hub, "users").await);
    }
    for n in 0..10 {
        emit(&hub, &json!({ "event": "files:changed", "reason": "updated", "id": n })).await;
    }
    for member in &mut members {
        for n in 0..10 {
            assert_eq!(heard(member).await.1["id"], n);
        }
    }
    let mut all: Vec<&mut Client> = members.iter_mut().chain(&mut others).collect();
    nothing_more(&hub, &mut all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_a_mapped_collection_is_told_once_with_its_reason() {
    // Without Redis a published event stays with its worker.
    let hubs = Hub::on_every_store_with(|options| {
        let rooms = &mut options.rooms.rooms;
        let stock = syncline_core::model::RoomName::new("stock").unwrap();
        let collections = ["articles", "stock"].map(|name| syncline_core::model::CollectionName::new(name).unwrap());
        rooms.insert(stock, RoomRule { collections: collections.into(), ..RoomRule::default() });
    })
    .await;
    for hub in hubs.into_iter().filter(Hub::is_one) {
        let mut stock = page(&hub, "stock").await;
        let mut users = page(&hub, "users").await;
        hub.push("n1", "b1", &json!([insert(1, "articles", "a1"), insert(2, "other", "o1")])).await;
        let update = json!({ "seq": 3, "op": "update", "collection": "articles", "id": "a1",
                             "stamp": crate::support::stamp(3), "base": 1, "set": { "n": 9 } });
        hub.push("n1", "b2", &json!([update])).await;
        let remove = json!({ "seq": 4, "op": "remove", "collection": "articles", "id": "a1",
                             "stamp": crate::support::stamp(4), "base": 3 });
        hub.push("n1", "b3", &json!([remove])).await;
        for reason in ["added", "updated", "deleted"] {
            let (event, envelope) = heard(&mut stock).await;
            assert_eq!(event, "stock:changed");
            assert_eq!((&envelope["reason"], &envelope["id"]), (&json!(reason), &json!("a1")), "{envelope}");
            assert_eq!((&envelope["scope"], &envelope["data"]), (&json!("room:stock"), &Value::Null));
        }
        nothing_more(&hub, &mut [&mut stock, &mut users]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_changes_is_told_as_one() {
    let hub = Hub::start().await;
    let mut files = page(&hub, "files").await;
    let ops: Vec<Value> = (1..=5_000).map(|n| insert(n, "files", &format!("f{n}"))).collect();
    hub.push("n1", "b1", &json!(ops)).await;
    let (mut told, mut events) = (0, 0);
    while told < 5_000 {
        let (_, envelope) = heard(&mut files).await;
        assert_eq!(envelope["reason"], "added");
        told += envelope["data"]["changes"].as_u64().unwrap_or(1);
        events += 1;
    }
    assert!(told == 5_000 && events <= 100, "{told} changes in {events} events");
}
