//! Clients that send what they like and never echo.

mod grants;
mod lists;
mod returning;

use super::events::{delete, insert, update};
use crate::support::faulty::FaultyStore;
use crate::support::socket::{Client, Packet};
use crate::support::{ADMIN, Hub};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use syncline_core::model::{CollectionName, NodeId};
use syncline_server::Options;
use syncline_server::auth::{DeclaredToken, TokenSpec};
use syncline_server::store::MemoryStore;

const SOON: Duration = Duration::from_millis(600);

/// A hub that takes what it sent for arrived once a connection has lived for three seconds after it.
fn quick_pings(options: &mut Options) {
    options.live.ping_interval = Duration::from_millis(500);
    options.live.ping_timeout = Duration::from_millis(1_500);
}
/// Longer than that.
const PROVED: Duration = Duration::from_secs(4);

/// Until the hub takes all for arrived. What changed while the client was filled it may hear twice.
async fn until_proved(client: &mut Client) {
    while client.event_within(PROVED).await.is_some() {}
}

pub async fn registered(hub: &Hub, client: &str, collections: &[&str]) -> Client {
    registered_with(hub, ADMIN, client, collections).await
}

pub async fn registered_with(hub: &Hub, token: &str, client: &str, collections: &[&str]) -> Client {
    let mut socket = Client::connect(&hub.addr, token).await;
    socket.emit("client:info", &json!({ "clientId": client, "collections": collections })).await;
    socket
}

pub async fn sync(client: &mut Client, events: &[Value]) -> Value {
    client.call("client:sync", &json!(events)).await
}

/// The documents that a list of events leaves, after checking that it is well formed.
pub fn state(list: &Value) -> Vec<Value> {
    let events = list.as_array().expect("a list");
    assert!(!events.is_empty());
    for event in events {
        assert!(event["id"].is_string() && event["timestamp"].is_u64() && event["clientId"].is_string(), "{event}");
        assert!(event["collection"].is_string() && event["documentId"].is_string(), "{event}");
    }
    let first_insert = events.iter().position(|event| event["type"] == "insert").unwrap_or(events.len());
    assert!(events[..first_insert].iter().all(|event| event["type"] == "delete" && event["query"].is_object()));
    events[first_insert..].iter().map(|event| event["data"].clone()).collect()
}

async fn heard(client: &mut Client) -> Vec<Value> {
    let (name, list) = client.event().await;
    assert_eq!(name, "server:sync", "{list}");
    state(&list)
}

/// That nothing more comes to a client: the next that it hears is what somebody else writes now.
async fn hears_nothing_more(hub: &Hub, client: &mut Client, collection: &str) {
    let mut other = registered(hub, "the-one-who-sets-the-fence", &[]).await;
    let fence = json!({ "id": "fence" });
    assert_eq!(sync(&mut other, &[insert(collection, &fence)]).await, json!({ "success": true }));
    assert_eq!(heard(client).await, [fence]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_reaches_the_others_and_never_its_author() {
    for hub in Hub::on_every_store().await {
        let mut a = registered(&hub, "a", &["users"]).await;
        let mut b = registered(&hub, "b", &["users"]).await;

        let said = sync(&mut a, &[insert("users", &json!({ "id": "u1", "name": "Ann" }))]).await;

        assert_eq!(said, json!({ "success": true }));
        assert_eq!(heard(&mut b).await, [json!({ "id": "u1", "name": "Ann" })]);
        hears_nothing_more(&hub, &mut a, "users").await;
        let pulled = hub.pull("since_lsn=0").await;
        assert_eq!(pulled["ops"][0]["doc"], json!({ "_id": "u1", "name": "Ann" }), "other dialects see it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_many_own_changes_a_client_hears_those_of_others() {
    let hub = Hub::start().await;
    let mut a = registered(&hub, "a", &["users"]).await;
    let mut b = registered(&hub, "b", &["users"]).await;
    let mine: Vec<Value> = (0..100).map(|n| insert("users", &json!({ "id": format!("mine-{n}") }))).collect();
    sync(&mut a, &mine).await;

    sync(&mut b, &[insert("users", &json!({ "id": "theirs" }))]).await;

    assert_eq!(heard(&mut a).await, [json!({ "id": "theirs" })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_has_replaced_since_is_not_delivered_to_it() {
    let hub = Hub::start().await;
    let mut a = registered(&hub, "a", &["users"]).await;
    let mut b = registered(&hub, "b", &["users"]).await;
    // The next messages to `b` wait behind this one.
    sync(&mut a, &[insert("users", &json!({ "id": "first" }))]).await;
    assert_eq!(heard(&mut b).await, [json!({ "id": "first" })]);
    let many: Vec<Value> = (0..50).map(|n| insert("users", &json!({ "id": format!("u{n}"), "by": "a" }))).collect();
    sync(&mut a, &many).await;

    sync(&mut b, &[insert("users", &json!({ "id": "u0", "by": "b" }))]).await;

    let mut told = Vec::new();
    while !told.iter().any(|document: &Value| document["id"] == "u49") {
        told.extend(heard(&mut b).await);
    }
    let before = json!({ "id": "u0", "by": "a" });
    assert!(!told.contains(&before), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_and_removals_by_query_travel_as_state() {
    let hub = Hub::start().await;
    let mut a = registered(&hub, "a", &["users"]).await;
    sync(&mut a, &[insert("users", &json!({ "id": "1", "n": 1 })), insert("users", &json!({ "id": "2", "n": 5 }))])
        .await;
    let mut b = registered(&hub, "b", &["users"]).await;
    assert_eq!(heard(&mut b).await.len(), 2);

    let change = [
        update("users", &json!({ "n": { "$gt": 0 } }), &json!({ "$inc": { "n": 10 } })),
        delete("users", &json!({ "n": 15 })),
        update("users", &json!({ "id": "1" }), &json!({ "$inc": { "n": 1 } })),
    ];
    assert_eq!(sync(&mut a, &change).await["success"], json!(true));
    assert_eq!(sync(&mut a, &change).await["success"], json!(true), "a repeat");

    let mut shown = Vec::new();
    let mut removed = false;
    while shown != [json!({ "id": "1", "n": 12 })] || !removed {
        let (_, list) = b.event().await;
        removed |= list[0]["query"].to_string().contains("\"2\"");
        shown = state(&list);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_listed_collections_are_delivered_and_one_that_is_used_is_listed() {
    let hub = Hub::start().await;
    let mut a = registered(&hub, "a", &["users", "posts"]).await;
    let mut b = registered(&hub, "b", &["users"]).await;
    sync(&mut a, &[insert("posts", &json!({ "id": "p1" })), insert("users", &json!({ "id": "u1" }))]).await;
    assert_eq!(heard(&mut b).await, [json!({ "id": "u1" })]);
    assert_eq!(b.event_within(SOON).await, None);

    sync(&mut b, &[insert("posts", &json!({ "id": "p2" }))]).await;

    assert_eq!(heard(&mut b).await, [json!({ "id": "p1" })]);
    assert_eq!(heard(&mut a).await, [json!({ "id": "p2" })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_other_dialects_arrive() {
    let hub = Hub::start().await;
    let mut a = registered(&hub, "a", &["users"]).await;
    hub.push("n1", "b1", &json!([crate::support::insert(1, "users", "x")])).await;
    assert_eq!(heard(&mut a).await, [json!({ "id": "x", "n": 1 })]);
    let remove =
        json!([{ "seq": 2, "op": "remove", "collection": "users", "id": "x", "stamp": crate::support::stamp(2) }]);
    hub.push("n1", "b2", &remove).await;
    let (_, list) = a.event().await;
    assert_eq!(state(&list), [json!(null); 0]);
    assert!(list[0]["query"].to_string().contains("\"x\""), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomers_insert_counts_also_where_it_says_what_stood_there_before() {
    let hub = Hub::start().await;
    let mut old = registered(&hub, "c-1", &["users"]).await;
    let first = json!({ "id": "a", "n": 1 });
    sync(&mut old, &[insert("users", &first), insert("users", &json!({ "id": "a", "n": 2 }))]).await;
    let mut newcomer = registered(&hub, "c-2", &["users"]).await;
    assert_eq!(heard(&mut newcomer).await, [json!({ "id": "a", "n": 2 })]);

    sync(&mut newcomer, &[insert("users", &first)]).await;

    assert_eq!(heard(&mut old).await, [first]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_writes_that_reports_nothing_is_no_echo_of_what_it_was_sent() {
    let hub = Hub::start().await;
    let mut a = registered(&hub, "a", &["lamps"]).await;
    let mut b = registered(&hub, "b", &["lamps"]).await;
    let lamp = |on: bool| json!({ "id": "x", "on": on });
    for on in [false, true] {
        sync(&mut a, &[insert("lamps", &lamp(on))]).await;
        assert_eq!(heard(&mut b).await, [lamp(on)]);
    }
    assert_eq!(b.event_within(SOON).await, None);

    sync(&mut b, &[insert("lamps", &lamp(false))]).await;
    assert_eq!(heard(&mut a).await, [lamp(false)]);
    assert_eq!(a.event_within(SOON).await, None);

    sync(&mut a, &[insert("lamps", &lamp(true))]).await;
    while heard(&mut b).await != [lamp(true)] {}
    assert_eq!(b.event_within(SOON).await, None);
    sync(&mut b, &[delete("lamps", &json!({ "id": "x" }))]).await;
    while !heard(&mut a).await.is_empty() {}
    sync(&mut b, &[insert("lamps", &lamp(true))]).await;
    assert_eq!(heard(&mut a).await, [lamp(true)], "it took its removal back");
}
