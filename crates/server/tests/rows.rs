//! Row-level access over HTTP: what a token with filters is told, what it may write, and where it is refused.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod support;

use serde_json::{Value, json};
use support::socket::Client;
use support::{ADMIN, Hub, Reply, stamp};

/// Makes a token and returns its secret.
async fn token(hub: &Hub, spec: Value) -> String {
    let reply = hub.post("/admin/tokens", &spec).await;
    assert_eq!(reply.status, 200, "{reply:?} {}", reply.text());
    reply.json()["token"].as_str().unwrap().to_owned()
}

/// For the tasks whose `owner` is the token's name.
async fn own_tasks(hub: &Hub, name: &str) -> String {
    token(hub, json!({ "name": name, "rows": { "tasks": { "owner": "$sub" } } })).await
}

async fn with(hub: &Hub, secret: &str, method: &str, path: &str, body: &Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    hub.send(method, path, &[("authorization", &format!("Bearer {secret}"))], body.as_bytes()).await
}

async fn get(hub: &Hub, secret: &str, path: &str) -> Reply {
    with(hub, secret, "GET", path, &Value::Null).await
}

fn task(seq: u64, id: &str, owner: &str) -> Value {
    json!({ "seq": seq, "op": "insert", "collection": "tasks", "id": id, "stamp": stamp(seq),
            "doc": { "_id": id, "owner": owner } })
}

fn give(seq: u64, id: &str, owner: &str) -> Value {
    json!({ "seq": seq, "op": "update", "collection": "tasks", "id": id, "base": 1_000, "stamp": stamp(seq),
            "set": { "owner": owner } })
}

fn remove(seq: u64, id: &str) -> Value {
    json!({ "seq": seq, "op": "remove", "collection": "tasks", "id": id, "stamp": stamp(seq) })
}

/// The page behind a position, as `put id` and `remove id`, and where it ends.
async fn page(hub: &Hub, secret: &str, rest: &str) -> (Vec<String>, u64) {
    let reply = get(hub, secret, &format!("/sync/pull?node=reader&{rest}")).await;
    assert_eq!(reply.status, 200, "{reply:?} {}", reply.text());
    let page = reply.json();
    let word = |op: &Value| format!("{} {}", op["op"].as_str().unwrap(), op["id"].as_str().unwrap());
    (page["ops"].as_array().unwrap().iter().map(word).collect(), page["server_lsn"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_enter_and_leave_what_a_token_sees() {
    for hub in Hub::on_every_store().await {
        let anna = own_tasks(&hub, "anna").await;
        hub.push("w", "b1", &json!([task(1, "hers", "anna"), task(2, "his", "ben"), task(3, "turn", "ben")])).await;

        // Only what matches; of the rest not even the id.
        assert_eq!(page(&hub, &anna, "since_lsn=0").await, (vec!["put hers".to_owned()], 3));
        // It enters, leaves, is gone for others; and what was never seen stays unseen, also when it is removed.
        hub.push("w", "b2", &json!([give(4, "turn", "anna"), give(5, "hers", "ben"), give(6, "his", "carl")])).await;
        assert_eq!(page(&hub, &anna, "since_lsn=3").await, (vec!["put turn".to_owned(), "remove hers".to_owned()], 6));
        hub.push("w", "b3", &json!([remove(7, "his"), remove(8, "turn"), give(9, "hers", "carl")])).await;
        assert_eq!(page(&hub, &anna, "since_lsn=6").await, (vec!["remove turn".to_owned()], 9));
        // Whoever was further behind is told the way, and ends where the others are.
        let way = ["put hers", "put turn", "remove hers", "remove turn"].map(str::to_owned);
        assert_eq!(page(&hub, &anna, "since_lsn=0").await, (way.to_vec(), 9));
        hub.push("w", "b4", &json!([task(10, "turn", "anna")])).await;
        assert_eq!(page(&hub, &anna, "since_lsn=9").await, (vec!["put turn".to_owned()], 10));

        let lines = get(&hub, &anna, "/sync/snapshot?node=reader").await.text();
        let (lines, documents): (Vec<&str>, _) = (lines.lines().collect(), r#"{"end":true,"documents":1}"#);
        assert!(lines.len() == 3 && lines[1].contains("\"turn\"") && lines[2] == documents, "{lines:?}");
        // A removal says nothing of what stands.
        let reply = get(&hub, &anna, "/sync/pull?node=reader&since_lsn=3").await.text();
        assert!(!reply.contains("carl") && !reply.contains("\"his\""), "{reply}");
        hub.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trim_loses_no_removal() {
    let short = |options: &mut syncline_server::Options| options.settings.limits.page_changes = 2;
    for hub in Hub::on_every_store_with(short).await {
        let anna = own_tasks(&hub, "anna").await;
        hub.push("w", "b1", &json!([task(1, "hers", "anna"), task(2, "his", "ben")])).await;
        let ops: Vec<Value> = (3..=60).map(|n| give(n, "his", &format!("owner {n}"))).collect();
        hub.push("w", "b2", &json!(ops)).await;
        hub.push("w", "b3", &json!([give(61, "hers", "ben")])).await;
        // Pages of nothing have an end, and say that more follows.
        let (mut since, mut told, mut pages) = (1, Vec::new(), 0);
        while since < 61 {
            let (ops, upto) = page(&hub, &anna, &format!("since_lsn={since}")).await;
            assert!(upto > since);
            (since, pages) = (upto, pages + 1);
            told.extend(ops);
        }
        assert_eq!(told, ["remove hers"]);
        assert!(pages >= 2, "no request looks at the whole log");
        hub.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_of_foreign_rows_are_rejected_one_by_one() {
    for hub in Hub::on_every_store().await {
        let anna = own_tasks(&hub, "anna").await;
        hub.push("w", "b1", &json!([task(1, "his", "ben"), task(2, "hers", "anna")])).await;
        let ops = json!([give(1, "his", "anna"), task(2, "new", "anna"), give(3, "hers", "ben"), task(4, "x", "ben")]);
        let body = json!({ "node": "phone", "batchId": "p1", "ops": ops });
        let reply = with(&hub, &anna, "POST", "/sync/push", &body).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let said = reply.json();
        let results: Vec<&str> =
            said["receipts"].as_array().unwrap().iter().map(|r| r["result"].as_str().unwrap()).collect();
        assert_eq!(results, ["rejected", "applied", "rejected", "rejected"]);
        let receipt = &said["receipts"][0];
        assert_eq!(receipt["code"], "row_forbidden");
        let reason = receipt["reason"].as_str().unwrap();
        assert!(reason.contains("`rows.tasks`") && !reason.contains("ben"), "{reason}");
        // A repeat is told the same.
        assert_eq!(with(&hub, &anna, "POST", "/sync/push", &body).await.json()["receipts"], said["receipts"]);
        assert_eq!(page(&hub, ADMIN, "since_lsn=2").await.0, ["put new"]);
        hub.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_and_writing_may_have_rules_of_their_own_and_one_that_nothing_satisfies_is_kept() {
    let hub = Hub::start().await;
    let spec = json!({ "name": "clerk", "claims": { "team": [1, 2] },
        "read_rows": { "tasks": { "team": { "$in": "$team" } } }, "write_rows": { "tasks": { "team": { "$in": [] } } } });
    let clerk = token(&hub, spec).await;
    let insert = |seq: u64, team: u64| {
        json!({ "seq": seq, "op": "insert", "collection": "tasks", "id": format!("t{team}"), "stamp": stamp(seq),
                "doc": { "_id": format!("t{team}"), "team": team } })
    };
    hub.push("w", "b1", &json!([insert(1, 1), insert(2, 2), insert(3, 3)])).await;
    assert_eq!(page(&hub, &clerk, "since_lsn=0").await.0, ["put t1", "put t2"]);
    let body = json!({ "node": "c", "batchId": "p1", "ops": [insert(1, 9)] });
    let said = with(&hub, &clerk, "POST", "/sync/push", &body).await.json();
    assert_eq!(said["receipts"][0]["code"], "row_forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_cannot_be_are_refused_when_the_token_is_made() {
    let hub = Hub::start().await;
    let list = vec![0; 10_001];
    for (spec, says) in [
        (json!({ "rows": { "tasks": { "owner": { "$regex": "a" } } } }), "`$regex`"),
        (json!({ "rows": { "tasks": { "owner": { "$in": list } } } }), "10001 values; the limit is 10000"),
        (json!({ "rows": { "tasks": { "org": "$org" } } }), "the claim `org`"),
        (json!({ "rows": { "tasks": { "org": "$org" } }, "claims": { "org": { "$exists": true } } }), "no filter"),
        (json!({ "rows": { "tasks": [1] } }), "the filter is a list"),
        (json!({ "rows": { "tasks": {} }, "collections": ["notes"] }), "does not open this collection"),
        (json!({ "rows": { "tasks": {} }, "admin": true }), "limited to a space, collections, rows"),
    ] {
        let mut spec = spec;
        spec["name"] = json!("bad");
        let reply = hub.post("/admin/tokens", &spec).await;
        let (status, text) = (reply.status, reply.text());
        assert!(status == 400 && text.contains(says), "{status} {text}");
    }
    assert_eq!(hub.get("/admin/tokens").await.json()["tokens"].as_array().unwrap().len(), 1, "only the admin's");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_snapshots_name_what_a_token_sees_of_filtered_collections() {
    let hub = Hub::start().await;
    let anna = own_tasks(&hub, "anna").await;
    let ben = own_tasks(&hub, "ben").await;
    let views = async |secret: &str, path: &str| {
        let text = get(&hub, secret, path).await.text();
        let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        first["views"].clone()
    };
    let pulled = views(&anna, "/sync/pull?node=r").await;
    assert_eq!(pulled.as_object().unwrap().keys().collect::<Vec<_>>(), ["tasks"]);
    assert_eq!(views(&anna, "/sync/snapshot?node=r").await, pulled);
    assert_eq!(views(&anna, "/sync/pull?node=r&collections=notes,tasks").await, pulled);
    assert_eq!(views(&anna, "/sync/pull?node=r&collections=notes").await, Value::Null);
    assert_ne!(views(&ben, "/sync/pull?node=r").await, pulled);
    assert_eq!(views(ADMIN, "/sync/pull?node=r").await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn digests_count_only_what_a_token_sees() {
    let hub = Hub::start().await;
    let anna = own_tasks(&hub, "anna").await;
    hub.push("w", "b1", &json!([task(1, "hers", "anna"), task(2, "his", "ben"), task(3, "other", "ben")])).await;
    let lines = get(&hub, &anna, "/sync/digests?node=r&at=3").await.text();
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(last, json!({ "end": true, "documents": 1 }), "{lines}");
    let one = get(&hub, &anna, "/sync/snapshot?node=r").await.text();
    assert_eq!(get(&hub, &anna, "/sync/snapshot?node=r&ranges=").await.text(), one);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_later_is_told_to_its_author_alone_and_without_what_others_wrote() {
    for hub in Hub::on_every_store().await {
        let (anna, ben) = (own_tasks(&hub, "anna").await, own_tasks(&hub, "ben").await);
        let set = |seq: u64, at: u64, id: &str, set: Value| json!({ "seq": seq, "op": "update", "collection": "tasks", "id": id, "base": 2, "stamp": stamp(at), "set": set });
        let phone = async |batch: &str, ops: Value| {
            let body = json!({ "node": "phone", "batchId": batch, "ops": ops });
            with(&hub, &anna, "POST", "/sync/push", &body).await.json()
        };
        phone("p1", json!([task(1, "taken", "anna"), task(2, "kept", "anna")])).await;
        phone("p2", json!([set(3, 40, "taken", json!({ "v": 1 })), set(4, 40, "kept", json!({ "v": 1 }))])).await;
        let mut gone = remove(3, "taken");
        (gone["base"], gone["stamp"]) = (json!(2), stamp(60).into());
        let taken = set(1, 30, "taken", json!({ "owner": "ben", "secret": 7 }));
        hub.push("w", "b1", &json!([taken, set(2, 50, "kept", json!({ "v": 2 })), gone])).await;

        let ledger = hub.get("/admin/spaces/main/conflicts").await.text();
        assert!(ledger.contains("secret"), "the removal met what the phone wrote: {ledger}");
        let told = async |secret: &str| {
            get(&hub, secret, "/sync/pull?node=phone&since_lsn=0&conflicts_after=0").await.json()["conflicts"].clone()
        };
        let rows = told(&anna).await["rows"].clone();
        assert_eq!((rows.as_array().unwrap().len(), &rows[0]["id"]), (1, &json!("kept")), "{rows}");
        assert_eq!(rows[0]["values"], json!({ "v": 1 }));
        assert_eq!(told(&ben).await, Value::Null, "the phone is not his");
        assert_eq!(with(&hub, ADMIN, "DELETE", "/admin/tokens/anna", &Value::Null).await.status, 200);
        let mut rows = Value::Null;
        while rows.is_null() {
            // Until the worker that answers has heard that the token is no more.
            rows = told(&ben).await["rows"].clone();
        }
        assert_eq!(rows, json!([]), "nor what it wrote, where he sees only some rows");
        hub.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_tell_nothing_of_a_filtered_collection_and_everything_of_others() {
    let hub = Hub::start().await;
    let anna = token(&hub, json!({ "name": "anna", "rows": { "users": { "owner": "$sub" } } })).await;
    let mut page = Client::connect(&hub.addr, &anna).await;

    // Notices of the room `users` would name documents.
    let refused = page.call("users:join", &json!({})).await;
    assert_eq!(refused["success"], false);
    assert!(page.event().await.1.to_string().contains("only some rows"), "{refused}");
    let rooms = get(&hub, &anna, "/api/sync/rooms").await.text();
    assert!(rooms.contains("\"files\"") && !rooms.contains("\"users\""), "{rooms}");
}
