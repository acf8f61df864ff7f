//! Clients that send what they like and never echo.

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

async fn registered_with(hub: &Hub, token: &str, client: &str, collections: &[&str]) -> Client {
    let mut socket = Client::connect(&hub.addr, token).await;
    socket.emit("client:info", &json!({ "clientId": client, "collections": collections })).await;
    socket
}

async fn sync(client: &mut Client, events: &[Value]) -> Value {
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
async fn a_newcomer_gets_what_stands_and_a_returning_one_what_it_missed() {
    let hub = Hub::with(quick_pings).await;
    let mut a = registered(&hub, "a", &["users"]).await;
    let many: Vec<_> = (0..60).map(|n| insert("users", &json!({ "id": format!("d{n}"), "n": n }))).collect();
    sync(&mut a, &many).await;
    sync(&mut a, &[delete("users", &json!({ "n": { "$lt": 10 } }))]).await;

    let mut b = registered(&hub, "b", &["users"]).await;
    let mut got = Vec::new();
    while got.len() < 50 {
        let part = heard(&mut b).await;
        assert!(part.len() <= 20);
        got.extend(part);
    }
    assert_eq!(tokio::join!(a.event_within(PROVED), until_proved(&mut b)).0, None);
    drop(b);
    sync(&mut a, &[insert("users", &json!({ "id": "new" })), delete("users", &json!({ "id": "d20" }))]).await;
    let mut b = registered(&hub, "b", &["users"]).await;
    let (_, list) = b.event().await;
    assert_eq!(state(&list), [json!({ "id": "new" })]);
    assert!(list[0]["query"].to_string().contains("d20"), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lay_in_a_cut_link_is_sent_again_to_a_client_that_does_not_say_what_arrives() {
    let hub = Hub::start().await;
    let mut a = registered(&hub, "a", &["users"]).await;
    let mut filled: BTreeSet<String> = (0..60).map(|n| format!("d{n}")).collect();
    let many: Vec<_> = filled.iter().map(|id| insert("users", &json!({ "id": id }))).collect();
    sync(&mut a, &many).await;
    let unread = registered(&hub, "b", &["users"]).await;
    assert_eq!(a.event_within(SOON).await, None, "the hub does not wait for ever");
    sync(&mut a, &[insert("users", &json!({ "id": "later" }))]).await;
    assert_eq!(a.event_within(SOON).await, None);
    drop(unread);

    let mut b = registered(&hub, "b", &["users"]).await;

    filled.insert("later".to_owned());
    while !filled.is_empty() {
        for document in heard(&mut b).await {
            filled.remove(document["id"].as_str().unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_survives_a_restart_of_the_hub() {
    let dir = tempfile::TempDir::new().unwrap();
    let open = || {
        let options = syncline_server::store::SqliteOptions::default();
        std::sync::Arc::new(syncline_server::store::SqliteStore::open(dir.path(), options).unwrap())
    };
    let hub = Hub::on(open(), quick_pings).await;
    let mut a = registered(&hub, "a", &["users"]).await;
    let mut b = registered(&hub, "b", &["users"]).await;
    sync(&mut a, &[insert("users", &json!({ "id": "old" }))]).await;
    assert_eq!(heard(&mut b).await.len(), 1);
    assert_eq!(tokio::join!(a.event_within(PROVED), until_proved(&mut b)).0, None);
    hub.shut_down().await;
    assert_eq!(b.packet().await, Packet::Closed);

    let hub = Hub::on(open(), |_| {}).await;
    let mut a = registered(&hub, "a", &["users"]).await;
    sync(&mut a, &[insert("users", &json!({ "id": "new" }))]).await;
    let mut b = registered(&hub, "b", &["users"]).await;
    assert_eq!(heard(&mut b).await, [json!({ "id": "new" })]);
    hears_nothing_more(&hub, &mut b, "users").await;
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
async fn whatever_is_sent_is_answered_with_an_object() {
    let hub = Hub::start().await;
    let mut early = Client::connect(&hub.addr, ADMIN).await;
    let said = early.call("client:sync", &json!([])).await;
    assert_eq!(said, json!({ "success": false, "error": "Client not registered" }));
    let mut a = registered(&hub, "a", &["users"]).await;
    for broken in [json!(null), json!({}), json!(5), json!("x"), json!(true)] {
        let said = a.call("client:sync", &broken).await;
        assert_eq!(said["success"], json!(false), "{broken}");
        assert!(said["error"].as_str().is_some_and(|why| !why.is_empty()), "{said}");
    }
    let odd = json!([null, 5, [], {}, { "type": "insert" }, insert("no/such", &json!({ "id": "x" })),
        insert("users", &json!({ "id": "x", "_id": "y" })), insert("users", &json!({ "id": {} })),
        update("users", &json!(null), &json!(null)), update("users", &json!([]), &json!(5)),
        delete("users", &json!({ "id": { "$regex": "(a+)+$" } })),
        delete("users", &json!({ "$or": vec![json!({ "id": { "$regex": "\\w{40}" } }); 51] })), insert("users", &json!({ "id": "good" }))]);
    assert_eq!(a.call("client:sync", &odd).await, json!({ "success": true }), "a refusal would block the client");
    let (name, told) = a.event().await;
    assert_eq!(name, "error");
    assert!(told["message"].as_str().is_some_and(|why| why.len() > 10), "{told}");
    let set_aside = hub.get("/admin/spaces/main/quarantine").await.json();
    assert!(set_aside.to_string().contains("no/such"), "{set_aside}");
    let mut b = registered(&hub, "b", &["users"]).await;
    assert_eq!(heard(&mut b).await, [json!({ "id": "good" })]);
}

fn with_limited_tokens(options: &mut Options) {
    let limited = TokenSpec {
        collections: Some([CollectionName::new("users").unwrap()].into()),
        ..TokenSpec::named(NodeId::new("limited").unwrap())
    };
    let reader = TokenSpec { write: false, ..TokenSpec::named(NodeId::new("reader").unwrap()) };
    for (secret, spec) in [("limited-secret", limited), ("reader-secret", reader)] {
        options.tokens.push(DeclaredToken { secret: secret.to_owned(), spec });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tokens_with_one_client_id_never_share_their_rights() {
    let hub = Hub::with(with_limited_tokens).await;
    let mut first = registered(&hub, "c", &["users"]).await;
    sync(&mut first, &[insert("posts", &json!({ "id": "secret" }))]).await;
    let mut second = registered_with(&hub, "limited-secret", "c", &["users"]).await;
    assert_eq!(sync(&mut second, &[]).await["success"], json!(true));

    let late = sync(&mut first, &[insert("posts", &json!({ "id": "late" }))]).await;

    assert_eq!(late["success"], json!(false), "{late}");
    assert!(late["error"].as_str().unwrap().starts_with("Client not registered"), "{late}");
    hears_nothing_more(&hub, &mut second, "users").await;
    let mut third = registered(&hub, "d", &["posts"]).await;
    assert_eq!(heard(&mut third).await, [json!({ "id": "secret" })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_reads_and_writes_only_within_its_grant() {
    let hub = Hub::with(with_limited_tokens).await;
    let mut all = registered(&hub, "all", &["users", "posts"]).await;
    let mut limited = registered_with(&hub, "limited-secret", "limited", &["users", "posts"]).await;
    let (name, told) = limited.event().await;
    assert!(name == "error" && told["message"].as_str().unwrap().contains("posts"), "{told}");

    let both = [insert("posts", &json!({ "id": "no" })), insert("users", &json!({ "id": "yes" }))];
    assert_eq!(sync(&mut limited, &both).await["success"], json!(true), "what comes behind must not wait");
    assert_eq!(heard(&mut all).await, [json!({ "id": "yes" })]);
    assert_eq!(limited.event().await.0, "error");
    let theirs = [insert("posts", &json!({ "id": "theirs" })), insert("users", &json!({ "id": "later" }))];
    sync(&mut all, &theirs).await;
    assert_eq!(heard(&mut limited).await, [json!({ "id": "later" })]);

    let mut reader = registered_with(&hub, "reader-secret", "reader", &["users"]).await;
    assert_eq!(heard(&mut reader).await, [json!({ "id": "yes" }), json!({ "id": "later" })]);
    sync(&mut reader, &[insert("users", &json!({ "id": "by-reader" }))]).await;
    assert_eq!(reader.event().await.0, "error");
    hears_nothing_more(&hub, &mut all, "users").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_backlog_is_taken() {
    let hub = Hub::start().await;
    let mut a = registered(&hub, "a", &["users"]).await;
    let text = "t".repeat(300);
    let many: Vec<_> = (0..6_000).map(|n| insert("users", &json!({ "id": format!("d{n}"), "text": text }))).collect();
    assert_eq!(sync(&mut a, &many).await, json!({ "success": true }));
    let mut b = registered(&hub, "b", &["users"]).await;
    let mut got = 0;
    while got < 6_000 {
        got += heard(&mut b).await.len();
    }
    assert_eq!(got, 6_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_in_a_long_list_means_what_stands_by_then() {
    let hub = Hub::start().await;
    let mut a = registered(&hub, "a", &["users"]).await;
    let some = |range: std::ops::Range<u32>| range.map(|n| insert("users", &json!({ "id": format!("d{n}"), "n": n })));
    let mut list: Vec<Value> = some(0..1_500).collect();
    list.push(delete("users", &json!({ "n": { "$gte": 0 } })));
    list.extend(some(1_500..3_000));
    list.push(delete("users", &json!({ "n": { "$gte": 1_510 } })));
    assert_eq!(sync(&mut a, &list).await, json!({ "success": true }));
    assert_eq!(sync(&mut a, &list).await, json!({ "success": true }), "a repeat");

    let mut b = registered(&hub, "b", &["users"]).await;
    let mut got = Vec::new();
    while got.len() < 10 {
        got.extend(heard(&mut b).await);
    }
    assert!(got.len() == 10 && got.iter().all(|document| document["n"].as_u64() >= Some(1_500)), "{got:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_of_any_length_is_one_row_of_the_quarantine() {
    let hub = Hub::start().await;
    let mut a = registered(&hub, "a", &["users"]).await;
    let good = insert("users", &json!({ "id": "good" }));
    let said = a.call("client:sync", &json!([vec![json!(0); 300_000], vec![good]].concat())).await;
    assert_eq!(said, json!({ "success": true }));
    let rows = hub.get("/admin/spaces/main/quarantine").await.json();
    assert_eq!(rows["quarantine"].as_array().unwrap().len(), 1, "{rows}");
    let mut b = registered(&hub, "b", &["users"]).await;
    assert_eq!(heard(&mut b).await, [json!({ "id": "good" })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_one_clients_and_may_say_more_of_it() {
    let hub = Hub::start().await;
    let mut other = registered(&hub, "other", &[]).await;
    let mut a = registered(&hub, "a", &[]).await;

    a.emit("client:info", &json!({ "clientId": "b", "collections": ["users"] })).await;
    let (name, told) = a.event().await;
    assert!(name == "error" && told["message"].as_str().unwrap().contains("`clientId`"), "{told}");
    a.emit("client:info", &json!({ "clientId": "a", "collections": ["users"] })).await;
    sync(&mut a, &[insert("users", &json!({ "_id": "odd" }))]).await;
    assert_eq!(a.event().await.0, "error", "an event that is set aside");
    sync(&mut other, &[insert("users", &json!({ "id": "x" }))]).await;

    assert_eq!(heard(&mut a).await, [json!({ "id": "x" })]);
    let rows = hub.get("/admin/spaces/main/quarantine").await.json();
    assert_eq!(rows["quarantine"][0]["node"], json!("(live:a)"), "it is still who it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_listens_to_a_thousand_collections_and_may_write_to_more() {
    let hub = Hub::start().await;
    let names: Vec<String> = (0..1_000).map(|n| format!("c{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut a = registered(&hub, "a", &names).await;
    let mut b = registered(&hub, "b", &["more"]).await;

    assert_eq!(sync(&mut a, &[insert("more", &json!({ "id": "of-a" }))]).await, json!({ "success": true }));
    assert_eq!(heard(&mut b).await, [json!({ "id": "of-a" })]);
    sync(&mut b, &[insert("more", &json!({ "id": "of-b" })), insert("c7", &json!({ "id": "listed" }))]).await;

    assert_eq!(heard(&mut a).await, [json!({ "id": "listed" })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_larger_than_all_bodies_may_be_is_taken_alone() {
    let hub = Hub::with(|options| options.settings.bounds.inflight_body_bytes = 1_000).await;
    let mut a = registered(&hub, "a", &["users"]).await;
    let large = insert("users", &json!({ "id": "u1", "text": "t".repeat(2_000) }));
    assert_eq!(sync(&mut a, &[large]).await, json!({ "success": true }), "busy it would be for ever");
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

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_after_a_kill_reaches_a_client_that_had_just_come() {
    let store = Arc::new(MemoryStore::default());
    let killed = Hub::on(store.clone(), |_| {}).await;
    let mut a = registered(&killed, "a", &["users"]).await;
    sync(&mut a, &[insert("users", &json!({ "id": "gone" })), insert("users", &json!({ "id": "stays" }))]).await;
    let mut b = registered(&killed, "b", &["users"]).await;
    assert_eq!(heard(&mut b).await.len(), 2);
    // Nothing of what it only remembers is in the store of the next one.
    killed.ended.abort();
    let hub = Hub::on(store, |_| {}).await;
    let mut a = registered(&hub, "a", &["users"]).await;
    sync(&mut a, &[delete("users", &json!({ "id": "gone" }))]).await;

    let mut b = registered(&hub, "b", &["users"]).await;

    while !b.event().await.1[0]["query"].to_string().contains("\"gone\"") {}
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_filled_anew_hears_of_its_own_changes_too() {
    let store = Arc::new(MemoryStore::default());
    let killed = Hub::on(store.clone(), |_| {}).await;
    let mut a = registered(&killed, "a", &["users"]).await;
    sync(&mut a, &[insert("users", &json!({ "id": "mine" }))]).await;
    assert_eq!(a.event_within(SOON).await, None, "it has it");
    killed.ended.abort();
    let hub = Hub::on(store, |_| {}).await;

    let mut a = registered(&hub, "a", &["users", "posts"]).await;

    assert_eq!(heard(&mut a).await, [json!({ "id": "mine" })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_slow_commit_made_of_an_event_reaches_its_author() {
    let store = FaultyStore::held();
    store.passes.add_permits(1);
    let quick = |options: &mut Options| options.settings.bounds.request_timeout = Duration::from_millis(100);
    let hub = Hub::on(store.clone(), quick).await;
    let mut a = registered(&hub, "a", &["users"]).await;
    let mut b = registered(&hub, "b", &["users"]).await;
    sync(&mut a, &[insert("users", &json!({ "id": "x", "by": "a" }))]).await;
    assert_eq!(heard(&mut b).await, [json!({ "id": "x", "by": "a" })]);
    assert_eq!(b.event_within(SOON).await, None);
    store.begun.forget_permits(usize::MAX);
    let mut earlier = insert("users", &json!({ "id": "x", "by": "b" }));
    earlier["timestamp"] = json!(1);
    let asked = b.ask("client:sync", &json!([earlier])).await;
    store.begun.acquire().await.unwrap().forget();
    assert_eq!(b.event_within(Duration::from_millis(150)).await, None, "the hub gives up waiting, and tries again");

    store.passes.add_permits(100);

    assert_eq!(b.answer(asked).await["success"], json!(true));
    assert_eq!(heard(&mut b).await, [json!({ "id": "x", "by": "a" })], "it lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_was_cut_within_a_character_hinders_nobody() {
    let hub = Hub::start().await;
    let mut a = registered(&hub, "a", &["notes"]).await;
    let raw = async |client: &mut Client, ack: u64, event: &Value, cut: &str| {
        let list = json!(["client:sync", [event]]).to_string().replace("CUT", cut);
        client.send_raw(&format!("42{ack}{list}")).await;
        client.packet().await
    };
    let done = |ack| Packet::Answer(ack, json!({ "success": true }));
    let note = insert("notes", &json!({ "id": "x", "text": "nice CUT", "n": 1 }));
    assert_eq!(raw(&mut a, 1, &note, r"\ud83d").await, done(1));

    let change = update("notes", &json!({ "id": "x", "text": "nice CUT" }), &json!({ "$set": { "n": 2, "t": "CUT" } }));
    assert_eq!(raw(&mut a, 2, &change, r"\ud83d").await, done(2));
    assert_eq!(raw(&mut a, 3, &delete("notes", &json!({ "n": 2 })), "").await, done(3));
    let mut late = registered(&hub, "late", &["notes"]).await;
    sync(&mut a, &[insert("notes", &json!({ "id": "fence" }))]).await;
    assert_eq!(heard(&mut late).await, [json!({ "id": "fence" })]);
}
