//! What the tests of rooms share.

mod emitting;
mod frames;
mod joining;
mod link;
mod workers;

use crate::support::socket::Client;
use crate::support::{ADMIN, Hub};
use serde_json::{Value, json};

/// A page in a room.
pub async fn page(hub: &Hub, room: &str) -> Client {
    let mut page = Client::connect(&hub.addr, ADMIN).await;
    join(&mut page, room).await;
    page
}

/// Joins as pages do, and waits for the answer.
pub async fn join(page: &mut Client, room: &str) {
    let answer = page.call(&format!("{room}:join"), &json!({ "ts": 1_700_000_000_000_u64 })).await;
    assert_eq!(answer, json!({ "success": true, "room": room }));
}

/// Publishes and returns the `seq`.
pub async fn emit(hub: &Hub, event: &Value) -> u64 {
    let reply = hub.post("/api/sync/emit", event).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["status"], "ok");
    reply.json()["seq"].as_u64().unwrap()
}

pub async fn changed(hub: &Hub, room: &str) -> u64 {
    emit(hub, &json!({ "event": format!("{room}:changed"), "reason": "updated" })).await
}

/// The next event of a page, taken apart.
pub async fn heard(page: &mut Client) -> (String, Value) {
    page.event_within(crate::support::socket::LONG).await.expect("an event comes")
}

/// That a page has heard nothing more: the next thing that it hears is an event for everybody.
pub async fn nothing_more(hub: &Hub, pages: &mut [&mut Client]) {
    let fence = json!({ "event": "fence", "reason": "updated", "room": null });
    let seq = emit(hub, &fence).await;
    for page in pages {
        let (event, envelope) = heard(page).await;
        assert_eq!((event.as_str(), &envelope["seq"]), ("fence", &json!(seq)), "{envelope}");
    }
}
