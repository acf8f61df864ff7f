//! Clients whose token opens only some rows of a collection.

use super::bare::{registered, registered_with, state, sync};
use super::device::Device;
use super::events::{delete, insert, update};
use crate::support::postgres::Postgres;
use crate::support::socket::Client;
use crate::support::{ADMIN, Hub};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use syncline_core::model::NodeId;
use syncline_server::Options;
use syncline_server::auth::{DeclaredToken, TokenSpec};
use syncline_server::store::{MemoryStore, PostgresOptions, PostgresStore, PostgresUrl, SqliteOptions, SqliteStore};

const LONG: Duration = Duration::from_secs(60);

async fn token(hub: &Hub, spec: &Value) -> String {
    let mut spec = spec.clone();
    spec["name"] = json!("anna");
    hub.post("/admin/tokens", &spec).await.json()["token"].as_str().unwrap().to_owned()
}

async fn change(hub: &Hub, rows: &Value) {
    let bearer = format!("Bearer {ADMIN}");
    let body = json!({ "rows": rows }).to_string();
    let reply = hub.send("PATCH", "/admin/tokens/anna", &[("authorization", &bearer)], body.as_bytes()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

fn hers() -> Value {
    json!({ "tasks": { "owner": "$sub" } })
}

fn task(id: &str, owner: &str) -> Value {
    json!({ "id": id, "owner": owner })
}

fn give(id: &str, owner: &str) -> Value {
    update("tasks", &json!({ "id": id }), &json!({ "$set": { "owner": owner } }))
}

/// What a message says of documents: the ids that it removes, and the documents that stand.
async fn heard(client: &mut Client) -> (BTreeSet<String>, Vec<Value>) {
    let (name, list) = client.event().await;
    assert_eq!(name, "server:sync", "{list}");
    let removals = list.as_array().unwrap().iter().filter(|event| event["type"] == "delete");
    let ids = removals.flat_map(|event| event["query"]["$and"][0]["id"]["$in"].as_array().unwrap());
    (ids.map(|id| id.as_str().unwrap().to_owned()).collect(), state(&list))
}

fn ids(of: &[&str]) -> BTreeSet<String> {
    of.iter().map(|id| (*id).to_owned()).collect()
}

async fn told(client: &mut Client) -> String {
    let (name, told) = client.event().await;
    assert_eq!(name, "error", "{told}");
    told["message"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_enter_and_leave_come_and_go_and_of_others_nothing_is_said() {
    for hub in Hub::on_every_store().await {
        let anna = token(&hub, &json!({ "rows": hers() })).await;
        let mut boss = registered(&hub, "boss", &[]).await;
        sync(&mut boss, &[insert("tasks", &task("hers", "anna")), insert("tasks", &task("his", "ben"))]).await;

        let mut page = registered_with(&hub, &anna, "page", &["tasks", "notes"]).await;

        assert_eq!(heard(&mut page).await, (ids(&["hers"]), vec![task("hers", "anna")]));
        sync(&mut boss, &[give("his", "carla"), delete("tasks", &json!({ "id": "his" }))]).await;
        sync(&mut boss, &[insert("tasks", &task("turn", "ben"))]).await;
        sync(&mut boss, &[give("turn", "anna")]).await;
        assert_eq!(heard(&mut page).await, (ids(&["turn"]), vec![task("turn", "anna")]), "of his not even the id");
        // Away, changed there, and a note: one look at what stands would not tell.
        sync(&mut boss, &[give("turn", "ben"), give("turn", "carla"), insert("notes", &json!({ "id": "n" }))]).await;
        let (mut gone, mut shown) = (BTreeSet::new(), Vec::new());
        while !(gone.contains("turn") && gone.contains("n")) {
            let message = heard(&mut page).await;
            gone.extend(message.0);
            shown.extend(message.1);
        }
        assert_eq!((gone, shown), (ids(&["n", "turn"]), vec![json!({ "id": "n" })]));
        sync(&mut boss, &[delete("tasks", &json!({ "id": "hers" }))]).await;
        assert_eq!(heard(&mut page).await, (ids(&["hers"]), vec![]));
        hub.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_written_is_set_aside_and_put_right_and_queries_mean_ones_own() {
    let hub = Hub::start().await;
    let anna = token(&hub, &json!({ "rows": hers() })).await;
    let mut boss = registered(&hub, "boss", &[]).await;
    sync(&mut boss, &[insert("tasks", &task("hers", "anna")), insert("tasks", &task("his", "ben"))]).await;
    let mut page = registered_with(&hub, &anna, "page", &["tasks"]).await;
    heard(&mut page).await;

    for (event, back) in [
        (give("hers", "ben"), vec![task("hers", "anna")]),
        (give("his", "anna"), vec![]),
        (give("nobodys", "anna"), vec![]),
        (delete("tasks", &json!({ "id": "his" })), vec![]),
        (insert("tasks", &task("for-ben", "ben")), vec![]),
    ] {
        assert_eq!(
            sync(&mut page, std::slice::from_ref(&event)).await,
            json!({ "success": true }),
            "nothing behind it waits"
        );
        let why = told(&mut page).await;
        assert!(why.contains("only some documents of `tasks` may be written here"), "{event} {why}");
        assert_eq!(heard(&mut page).await.1, back, "{event}");
    }
    let kept = hub.get("/admin/spaces/main/quarantine").await.json();
    let codes: Vec<_> = kept["quarantine"].as_array().unwrap().iter().map(|row| row["code"].clone()).collect();
    assert_eq!(codes, vec![json!("row_forbidden"); 5], "{kept}");

    let all = update("tasks", &json!({}), &json!({ "$set": { "done": true } }));
    assert_eq!(sync(&mut page, &[all, insert("tasks", &task("new", "anna"))]).await, json!({ "success": true }));
    let mut reader = registered(&hub, "reader", &["tasks"]).await;
    let mut stand = state(&reader.event().await.1);
    stand.sort_by_key(|task| task["id"].as_str().unwrap().to_owned());
    let done = json!({ "id": "hers", "owner": "anna", "done": true });
    assert_eq!(stand, [done, task("his", "ben"), task("new", "anna")]);
    assert_eq!(sync(&mut page, &[delete("tasks", &json!({}))]).await, json!({ "success": true }));
    assert_eq!(heard(&mut reader).await, (ids(&["hers", "new"]), vec![]), "and not his");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_more_than_it_writes_gets_its_copies_back() {
    let hub = Hub::start().await;
    let anna = token(&hub, &json!({ "write_rows": hers() })).await;
    let mut boss = registered(&hub, "boss", &[]).await;
    sync(&mut boss, &[insert("tasks", &task("hers", "anna")), insert("tasks", &task("his", "ben"))]).await;
    let mut page = registered_with(&hub, &anna, "page", &["tasks"]).await;
    assert_eq!(heard(&mut page).await.1.len(), 2);

    let all = update("tasks", &json!({}), &json!({ "$set": { "done": true } }));
    assert_eq!(sync(&mut page, &[all]).await, json!({ "success": true }));

    let (_, stand) = heard(&mut page).await;
    assert_eq!(stand.into_iter().find(|task| task["id"] == "his"), Some(task("his", "ben")));
}

/// A message, and the reports of what it does, in its order.
async fn heard_with_reports(client: &mut Client) -> (Vec<Value>, Vec<Value>) {
    let list = loop {
        // Why something was refused is told as well.
        if let (name, list) = client.event().await
            && name == "server:sync"
        {
            break list;
        }
    };
    let report = |event: &Value| match event["type"].as_str() {
        Some("insert") => insert("tasks", &event["data"]),
        _ => delete("tasks", &event["query"]),
    };
    (state(&list), list.as_array().unwrap().iter().map(report).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_its_way_back_and_refused_once_more_meanwhile_comes_back_once_more() {
    let hub = Hub::start().await;
    let anna = token(&hub, &json!({ "rows": hers() })).await;
    let mut boss = registered(&hub, "boss", &[]).await;
    sync(&mut boss, &[insert("tasks", &task("a", "anna")), insert("tasks", &task("b", "anna"))]).await;
    let mut page = registered_with(&hub, &anna, "page", &["tasks"]).await;
    let (_, reports) = heard_with_reports(&mut page).await;
    sync(&mut page, &reports).await;
    sync(&mut page, &[give("a", "ben"), give("b", "ben")]).await;
    let (back, reports) = heard_with_reports(&mut page).await;
    assert_eq!(back, [task("a", "anna"), task("b", "anna")]);

    // It has applied the first one and changes it again; the second one is still to come.
    let (last, first) = reports.split_last().unwrap();
    sync(&mut page, first).await;
    sync(&mut page, &[give("a", "ben")]).await;
    sync(&mut page, std::slice::from_ref(last)).await;

    assert_eq!(heard_with_reports(&mut page).await.0, [task("a", "anna")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_another_grant_rows_arrive_and_go_whether_the_client_was_there_or_not() {
    let hub = Hub::start().await;
    let anna = token(&hub, &json!({ "rows": hers() })).await;
    let mut boss = registered(&hub, "boss", &[]).await;
    let tasks = ["anna", "ben", "carla"].map(|name| insert("tasks", &task(&format!("of-{name}"), name)));
    sync(&mut boss, &tasks).await;
    let mut page = registered_with(&hub, &anna, "page", &["tasks"]).await;
    assert_eq!(heard(&mut page).await.0, ids(&["of-anna"]));

    change(&hub, &json!({ "tasks": { "owner": { "$in": ["anna", "ben"] } } })).await;
    while page.any().await {}
    let mut page = registered_with(&hub, &anna, "page", &["tasks"]).await;
    assert_eq!(heard(&mut page).await.1, [task("of-anna", "anna"), task("of-ben", "ben")]);

    drop(page);
    change(&hub, &json!({ "tasks": { "owner": "carla" } })).await;
    sync(&mut boss, &[delete("tasks", &json!({ "id": "of-anna" })), insert("tasks", &task("more", "carla"))]).await;
    let mut page = registered_with(&hub, &anna, "page", &["tasks"]).await;
    let (mut gone, mut shown) = (BTreeSet::new(), BTreeSet::new());
    while gone != ids(&["of-anna", "of-ben", "of-carla", "more"]) {
        let message = heard(&mut page).await;
        gone.extend(message.0);
        shown.extend(message.1.iter().map(|task| task["id"].as_str().unwrap().to_owned()));
    }
    assert_eq!(shown, ids(&["of-carla", "more"]));

    change(&hub, &Value::Null).await;
    let mut page = registered_with(&hub, &anna, "page", &["tasks"]).await;
    let mut shown = BTreeSet::new();
    while shown != ids(&["of-ben", "of-carla", "more"]) {
        shown.extend(heard(&mut page).await.1.iter().map(|task| task["id"].as_str().unwrap().to_owned()));
    }
}

/// A token of the configuration that opens some tasks.
fn declared(rows: &Value) -> impl Fn(&mut Options) {
    let rows = serde_json::from_value(json!({ "tasks": rows })).unwrap();
    let spec = TokenSpec { rows, ..TokenSpec::named(NodeId::new("kiosk").unwrap()) };
    let token = DeclaredToken { secret: "a-secret-of-the-kiosk".to_owned(), spec };
    move |options| options.tokens.push(token.clone())
}

async fn kiosk(hub: &Hub) -> Client {
    registered_with(hub, "a-secret-of-the-kiosk", "page", &["tasks"]).await
}

/// What a client is told until it has heard of so many documents.
async fn told_of(client: &mut Client, count: usize) -> (BTreeSet<String>, Vec<Value>) {
    let (mut named, mut shown) = (BTreeSet::new(), Vec::new());
    while named.len() < count {
        let message = heard(client).await;
        named.extend(message.0);
        shown.extend(message.1);
    }
    (named, shown)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_declared_token_opened_goes_when_the_hub_starts_with_another_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Arc::new(SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap());
    let hub = Hub::on(open(), declared(&json!({ "owner": "anna" }))).await;
    let mut boss = registered(&hub, "boss", &[]).await;
    sync(&mut boss, &[insert("tasks", &task("hers", "anna")), insert("tasks", &task("his", "ben"))]).await;
    assert_eq!(heard(&mut kiosk(&hub).await).await.1, [task("hers", "anna")]);
    hub.shut_down().await;
    // Another start with the same one is no change.
    Hub::on(open(), declared(&json!({ "owner": "anna" }))).await.shut_down().await;

    let hub = Hub::on(open(), declared(&json!({ "owner": "ben" }))).await;
    let mut boss = registered(&hub, "boss", &[]).await;
    sync(&mut boss, &[insert("tasks", &task("later", "anna")), insert("tasks", &task("fence", "ben"))]).await;
    let (named, shown) = told_of(&mut kiosk(&hub).await, 3).await;

    assert_eq!(named, ids(&["fence", "hers", "his"]), "of what came later not even the id");
    assert_eq!(shown, [task("his", "ben"), task("fence", "ben")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_declared_token_opened_at_another_worker_goes_as_well() {
    let server = Postgres::shared();
    let url = PostgresUrl::parse(&server.url(&server.database())).unwrap();
    let open = async || Arc::new(PostgresStore::open(&url, PostgresOptions::default()).await.unwrap());
    let one = Hub::on(open().await, declared(&json!({ "owner": "anna" }))).await;
    let mut boss = registered(&one, "boss", &[]).await;
    sync(&mut boss, &[insert("tasks", &task("hers", "anna")), insert("tasks", &task("his", "ben"))]).await;
    assert_eq!(heard(&mut kiosk(&one).await).await.1, [task("hers", "anna")]);

    let two = Hub::on(open().await, declared(&json!({ "owner": "ben" }))).await;

    assert_eq!(told_of(&mut kiosk(&two).await, 2).await, (ids(&["hers", "his"]), vec![task("his", "ben")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_over_anothers_client_id_learns_nothing_of_what_it_saw() {
    let hub = Hub::start().await;
    let anna = token(&hub, &json!({ "rows": hers() })).await;
    let mut boss = registered(&hub, "page", &["tasks"]).await;
    sync(&mut boss, &[insert("tasks", &task("his", "ben")), insert("tasks", &task("hers", "anna"))]).await;

    let mut page = registered_with(&hub, &anna, "page", &["tasks"]).await;
    assert_eq!(heard(&mut page).await, (ids(&["hers"]), vec![task("hers", "anna")]));
    sync(&mut page, &[insert("tasks", &task("new", "anna"))]).await;
    let mut boss = registered(&hub, "boss", &[]).await;
    sync(&mut boss, &[give("his", "carla"), insert("tasks", &task("fence", "anna"))]).await;
    let mut all = BTreeSet::new();
    while !all.contains("fence") {
        all.extend(heard(&mut page).await.0);
    }
    assert!(!all.contains("his"), "{all:?}");
}

/// Takes in what comes until a device has what the filter means, and no more.
async fn settles(hub: &Hub, page: &mut Device, what: &str) {
    let begun = Instant::now();
    loop {
        let log = hub.get("/sync/snapshot?node=judge&collections=tasks").await.text();
        let rows = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let hers = rows.filter(|row| row["doc"]["owner"] == "anna");
        let hers: BTreeMap<String, Value> = hers.map(|row| (row["id"].to_string(), row["doc"]["n"].clone())).collect();
        let shown: BTreeMap<_, _> = page.shown("tasks").into_iter().map(|(id, task)| (id, task["n"].clone())).collect();
        if shown == hers && !page.waits() {
            return;
        }
        assert!(begun.elapsed() < LONG, "{what}: {shown:?} and not {hers:?}");
        while page.step(Duration::from_millis(20)).await {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_with_some_rows_has_what_they_mean_whatever_happens() {
    for seed in 0..4 {
        let mut random = fastrand::Rng::with_seed(seed);
        let store = std::sync::Arc::new(MemoryStore::default());
        let mut hub = Hub::on(store.clone(), |_| {}).await;
        let anna = token(&hub, &json!({ "rows": hers() })).await;
        let mut page = Device::new("page", &anna, &["tasks"]);
        page.connect(&hub.addr).await;
        let mut boss = registered(&hub, "boss", &[]).await;
        for round in 0..12 {
            for _ in 0..random.u32(0..5) {
                let (id, owner) = (format!("t{}", random.u32(..6)), ["anna", "ben"][random.usize(..2)]);
                let event = match random.u32(..6) {
                    0 => insert("tasks", &json!({ "id": id, "owner": owner, "n": round })),
                    1 | 2 => give(&id, owner),
                    3 => delete("tasks", &json!({ "id": id })),
                    _ => update("tasks", &json!({ "id": id }), &json!({ "$set": { "n": round } })),
                };
                sync(&mut boss, &[event]).await;
            }
            match random.u32(..8) {
                0 => page.disconnect(),
                1 => page.insert("tasks", &json!({ "id": format!("p{round}"), "owner": "anna", "n": round })).await,
                2 => page.insert("tasks", &json!({ "id": format!("p{round}"), "owner": "ben", "n": round })).await,
                3 => page.update("tasks", &json!({}), &json!({ "$set": { "n": -round } })).await,
                4 => page.update("tasks", &json!({ "n": round }), &json!({ "$set": { "owner": "ben" } })).await,
                5 => page.delete("tasks", &json!({ "n": { "$lt": round / 2 } })).await,
                6 if round > 8 => {
                    page.disconnect();
                    // What it only remembers is gone.
                    hub.ended.abort();
                    hub = Hub::on(store.clone(), |_| {}).await;
                    boss = registered(&hub, "boss", &[]).await;
                }
                _ => {}
            }
            if !page.is_connected() {
                page.connect(&hub.addr).await;
            }
            if random.bool() {
                settles(&hub, &mut page, &format!("seed {seed}, round {round}")).await;
            }
        }
        settles(&hub, &mut page, &format!("seed {seed}, at the end")).await;
    }
}
