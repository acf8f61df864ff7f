//! Clients of two workers that share a database.

use super::bare::{registered, state};
use super::events::{delete, insert, update};
use crate::support::postgres::{Pooler, Postgres};
use crate::support::socket::{Client, LONG};
use crate::support::{Hub, insert as pushed, stamp};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Longer than the hub doubts what it has sent, with pings as quick as here.
const PROVED: Duration = Duration::from_secs(4);

async fn write(client: &mut Client, id: &str) {
    let said = client.call("client:sync", &json!([insert("users", &json!({ "id": id }))])).await;
    assert_eq!(said, json!({ "success": true }));
}

/// Hears until a document comes, and tells all that came.
async fn heard_until(client: &mut Client, id: &str) -> BTreeSet<String> {
    let mut heard = BTreeSet::new();
    while !heard.contains(id) {
        let (_, list) = client.event().await;
        heard.extend(state(&list).iter().map(|document: &Value| document["id"].as_str().unwrap().to_owned()));
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_at_another_worker_goes_on() {
    let [one, two] = Hub::workers(|_| {}).await;
    let mut writer = registered(&one, "writer", &["users"]).await;
    let mut reader = registered(&one, "reader", &["users"]).await;
    for n in 0..3 {
        write(&mut writer, &format!("early-{n}")).await;
        heard_until(&mut reader, &format!("early-{n}")).await;
    }
    for (n, worker) in [&two, &one, &two].into_iter().enumerate() {
        drop(reader);
        let id = format!("meanwhile-{n}");
        write(&mut writer, &id).await;
        reader = registered(worker, "reader", &["users"]).await;
        heard_until(&mut reader, &id).await;
        let own = format!("own-{n}");
        write(&mut reader, &own).await;
        heard_until(&mut writer, &own).await;
    }
    let log = two.pull("since_lsn=0").await;
    assert_eq!(log["ops"].as_array().unwrap().len(), 9, "each document once, however often it was told");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_to_a_worker_whose_log_has_gone_meanwhile_goes_on_from_where_it_was_elsewhere() {
    let [one, two] = Hub::workers(|options| {
        options.live.ping_interval = Duration::from_millis(500);
        options.live.ping_timeout = Duration::from_millis(1_500);
        options.settings.retention.log = Duration::ZERO;
    })
    .await;
    let written = async |seq: u64, op: Value| drop(one.push("writer", &format!("b{seq}"), &json!([op])).await);
    written(1, pushed(1, "users", "goes")).await;
    let mut reader = registered(&one, "reader", &["users"]).await;
    heard_until(&mut reader, "goes").await;
    // Until what was sent counts as arrived.
    while reader.event_within(PROVED).await.is_some() {}
    drop(reader);
    let mut reader = registered(&two, "reader", &["users"]).await;
    for (seq, id) in [(2, "stays"), (3, "stays-too")] {
        written(seq, pushed(seq, "users", id)).await;
        heard_until(&mut reader, id).await;
    }
    while reader.event_within(PROVED).await.is_some() {}
    drop(reader);
    let horizon = async || two.post("/admin/spaces/main/trim", &Value::Null).await.json()["horizon"].as_u64();
    let begun = Instant::now();
    while horizon().await != Some(3) {
        let nodes = two.get("/admin/spaces/main/nodes").await.text();
        assert!(begun.elapsed() < LONG, "the log is kept for nobody: {nodes}");
    }

    written(4, json!({ "seq": 4, "op": "remove", "collection": "users", "id": "goes", "stamp": stamp(4) })).await;
    let mut reader = registered(&one, "reader", &["users"]).await;

    let (_, list) = reader.event().await;
    assert!(list[0]["type"] == "delete" && list[0]["query"].to_string().contains("goes"), "{list}");
}

/// A connection may be cut without a word: its worker serves it on while the client is elsewhere, and the log is kept for
/// where the client was last.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_serves_a_client_on_which_has_got_further_elsewhere_tells_it_every_removal() {
    let [one, two] = Hub::workers(|options| options.settings.retention.log = Duration::ZERO).await;
    let written = async |seq: u64, op: Value| drop(one.push("writer", &format!("b{seq}"), &json!([op])).await);
    let mut left = registered(&two, "reader", &["users"]).await;
    written(1, pushed(1, "users", "goes")).await;
    let (_, list) = left.event().await;
    reported(&mut left, &report(&list)).await;
    written(2, pushed(2, "users", "crossed")).await;
    left.event().await;
    // It does not say that this has come, so it waits, and its own change is in doubt.
    let change = update("users", &json!({ "id": "crossed" }), &json!({ "$set": { "n": 3 } }));
    reported(&mut left, &[change]).await;

    let mut reader = registered(&one, "reader", &["users"]).await;
    written(3, pushed(3, "users", "stays")).await;
    while let Some((_, list)) = reader.event_within(Duration::from_millis(300)).await {
        reported(&mut reader, &report(&list)).await;
    }
    drop(reader);
    let head = one.pull("since_lsn=0").await["server_lsn"].clone();
    let begun = Instant::now();
    loop {
        let horizon = one.post("/admin/spaces/main/trim", &Value::Null).await.json()["horizon"].clone();
        if horizon == head {
            break;
        }
        assert!(begun.elapsed() < LONG, "the log is kept for nobody: {horizon} of {head}");
    }
    written(4, json!({ "seq": 4, "op": "remove", "collection": "users", "id": "goes", "stamp": stamp(4) })).await;

    let is_told = |list: &Value| list.to_string().contains("goes") && list[0]["type"] == "delete";
    let mut heard = Vec::new();
    while !heard.iter().any(is_told) {
        let (_, list) = left.event_within(PROVED).await.unwrap_or_else(|| panic!("it is not told: {heard:?}"));
        reported(&mut left, &report(&list)).await;
        heard.push(list);
    }
}

/// Behind a pooler no worker hears of the other one at once.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_to_a_worker_that_has_not_heard_of_the_last_changes_is_told_them_once() {
    let server = Postgres::shared();
    let pooler = Pooler::before(server);
    let [one, two] = Hub::workers_at(&pooler.url(&server.database()), |_| {}).await;
    let mut writer = registered(&one, "writer", &["users"]).await;

    write(&mut writer, "early").await;
    let mut reader = registered(&two, "reader", &["users"]).await;

    assert_eq!(heard_until(&mut reader, "early").await.len(), 1);
    write(&mut writer, "late").await;
    assert_eq!(heard_until(&mut reader, "late").await, BTreeSet::from(["late".to_owned()]));
}

/// What the plugin says of a message that it has applied: every event of it as one of its own.
fn report(list: &Value) -> Vec<Value> {
    let again = |event: &Value| match event["type"].as_str().unwrap() {
        "insert" => insert("users", &event["data"]),
        _ => delete("users", &event["query"]),
    };
    list.as_array().unwrap().iter().map(again).collect()
}

/// Lists are repeated with all that stands in them when their answer is lost, and messages are reported late: at a worker
/// that has not sent them, nothing of it may stand as a newer document.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_reports_at_another_worker_than_the_one_that_told_it_is_no_change() {
    let [one, two] = Hub::workers(|_| {}).await;
    let mut writer = registered(&one, "writer", &["users"]).await;
    for (n, back) in [&two, &one].into_iter().enumerate() {
        let id = format!("told-{n}");
        let reader = format!("reader-{n}");
        // Each of the two knows the client already.
        for worker in [&one, &two] {
            let mut client = registered(worker, &reader, &["users"]).await;
            let early = format!("early-{n}-{}", worker.addr);
            write(&mut writer, &early).await;
            heard_until(&mut client, &early).await;
        }
        let told_at = if n == 0 { &one } else { &two };
        let mut client = registered(told_at, &reader, &["users"]).await;
        write(&mut writer, &id).await;
        let (_, list) = loop {
            let (name, list) = client.event().await;
            if state(&list).iter().any(|document| document["id"] == id.as_str()) {
                break (name, list);
            }
            let said = client.call("client:sync", &json!(report(&list))).await;
            assert_eq!(said, json!({ "success": true }));
        };
        let reported = report(&list);
        // It is heard, and the answer does not arrive.
        assert_eq!(client.call("client:sync", &json!(reported)).await, json!({ "success": true }));
        drop(client);
        let change = update("users", &json!({ "id": id }), &json!({ "$set": { "n": 2 } }));
        assert_eq!(writer.call("client:sync", &json!([change])).await, json!({ "success": true }));

        let mut client = registered(back, &reader, &["users"]).await;
        assert_eq!(client.call("client:sync", &json!(reported)).await, json!({ "success": true }));
        let log = two.pull("since_lsn=0").await;
        let versions: Vec<&Value> =
            log["ops"].as_array().unwrap().iter().filter(|op| op["id"] == id.as_str()).collect();
        assert_eq!(versions.len(), 2, "what was reported late changes nothing: {versions:?}");
        assert_eq!(versions[1]["doc"]["n"], 2, "{versions:?}");
    }
}

/// A list is answered, and the client does not hear of it.
async fn reported(client: &mut Client, events: &[Value]) {
    assert_eq!(client.call("client:sync", &json!(events)).await, json!({ "success": true }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_which_another_worker_heard_the_first_half_is_no_change() {
    let [one, two] = Hub::workers(|_| {}).await;
    let mut writer = registered(&one, "writer", &["users"]).await;
    for worker in [&one, &two] {
        let mut reader = registered(worker, "reader", &["users"]).await;
        write(&mut writer, &format!("early-{}", worker.addr)).await;
        heard_until(&mut reader, &format!("early-{}", worker.addr)).await;
        // It has brought what it had there.
        reported(&mut reader, &[]).await;
    }
    let mut reader = registered(&one, "reader", &["users"]).await;
    write(&mut writer, "told").await;
    let list = loop {
        let (_, list) = reader.event().await;
        let is_it = state(&list).iter().any(|document| document["id"] == "told");
        if is_it {
            break list;
        }
        reported(&mut reader, &report(&list)).await;
    };
    let half = |kind: &str| report(&list).into_iter().filter(|event| event["type"] == kind).collect::<Vec<_>>();
    reported(&mut reader, &half("delete")).await;
    drop(reader);
    reported(&mut writer, &[delete("users", &json!({ "id": "told" }))]).await;

    let mut reader = registered(&two, "reader", &["users"]).await;
    let mut late = half("insert");
    // Later than the removal, by the clock of its client.
    late.iter_mut().for_each(|event| event["timestamp"] = json!(2_000_000_000_000u64));
    reported(&mut reader, &late).await;

    let log = two.pull("since_lsn=0").await;
    let versions: Vec<&Value> = log["ops"].as_array().unwrap().iter().filter(|op| op["id"] == "told").collect();
    assert_eq!(versions.last().unwrap()["op"], "remove", "{versions:?}");
}

/// What another worker told a client may have crossed with what it wrote: it may stand there as somebody else's older one.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_at_another_worker_hears_what_stands_of_its_own_changes() {
    let [one, two] = Hub::workers(|_| {}).await;
    let mut client = registered(&one, "client", &["users"]).await;
    write(&mut client, "at-one").await;
    drop(client);
    let mut client = registered(&two, "client", &["users"]).await;
    write(&mut client, "at-two").await;
    drop(client);

    let mut client = registered(&one, "client", &["users"]).await;

    heard_until(&mut client, "at-two").await;
}
