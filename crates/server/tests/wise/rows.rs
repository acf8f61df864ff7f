//! Clients of the third generation whose token opens only some rows.

use super::durability::start;
use super::local::{Local, now, shown};
use super::wire::{Wire, parsed};
use crate::support::{ADMIN, Hub};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use syncline_core::model::{Millis, Stamp};

async fn token(hub: &Hub, owner: &Value) -> String {
    let spec = json!({ "name": "anna", "rows": { "tasks": { "owner": owner } } });
    let reply = hub.post("/admin/tokens", &spec).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["token"].as_str().unwrap().to_owned()
}

/// A device that keeps its cursor as the number that it was given.
struct Device {
    wire: Wire,
    local: Local,
    cursor: Value,
}

impl Device {
    /// Starts with the snapshot.
    async fn new(hub: &Arc<Hub>, secret: &str) -> Device {
        let wire = Wire::new(hub, secret, "/c/tasks");
        let snapshot = parsed(&wire.get("/sync/snapshot").await).unwrap();
        let mut local = Local::default();
        for doc in snapshot["documents"].as_array().unwrap() {
            local.docs.insert(doc["_id"].as_str().unwrap().to_owned(), doc.as_object().unwrap().clone());
        }
        Device { wire, local, cursor: snapshot["server_lsn"].clone() }
    }

    /// Pulls, and tells the ops.
    async fn pull(&mut self) -> Vec<(String, String)> {
        let reply = parsed(&self.wire.get(&format!("/sync/pull?since_lsn={}", self.cursor)).await).unwrap();
        let ops = reply["ops"].as_array().unwrap();
        ops.iter().for_each(|op| self.local.apply(op));
        if !ops.is_empty() {
            self.cursor = reply["server_lsn"].clone();
        }
        let id = |op: &Value| op["id"].as_str().or(op["doc"]["_id"].as_str()).unwrap().to_owned();
        ops.iter().map(|op| (op["op"].as_str().unwrap().to_owned(), id(op))).collect()
    }

    async fn push(&mut self) {
        let ops: Vec<_> = self.local.log.drain(..).filter(|line| line["_remote"] != true).collect();
        if !ops.is_empty() {
            let body = json!({ "batchId": super::local::uuid(), "ops": ops });
            let reply = parsed(&self.wire.post("/sync/push", &body).await).unwrap();
            self.cursor = reply["server_lsn"].clone();
        }
    }

    fn ids(&self) -> Vec<&str> {
        self.local.docs.keys().map(String::as_str).collect()
    }
}

/// Somebody who may do anything, by the hub's own dialect.
struct Boss {
    hub: Arc<Hub>,
    seq: u64,
}

impl Boss {
    fn of(hub: &Arc<Hub>) -> Boss {
        Boss { hub: Arc::clone(hub), seq: 0 }
    }

    async fn does(&mut self, mut op: Value) {
        self.seq += 1;
        op["seq"] = json!(self.seq);
        op["collection"] = json!("tasks");
        op["stamp"] = json!(Stamp::at(Millis::parse(&now()).unwrap()).0);
        self.hub.push("boss", &format!("b{}", self.seq), &json!([op])).await;
    }

    async fn insert(&mut self, id: &str, owner: &str) {
        let doc = json!({ "_id": id, "owner": owner, "n": self.seq });
        self.does(json!({ "op": "insert", "id": id, "doc": doc })).await;
    }

    async fn update(&mut self, id: &str, set: Value) {
        self.does(json!({ "op": "update", "id": id, "base": self.head().await, "set": set })).await;
    }

    async fn replace(&mut self, id: &str, mut doc: Value) {
        doc["_id"] = json!(id);
        self.does(json!({ "op": "replace", "id": id, "base": self.head().await, "doc": doc })).await;
    }

    async fn remove(&mut self, id: &str) {
        self.does(json!({ "op": "remove", "id": id, "base": self.head().await })).await;
    }

    async fn head(&self) -> u64 {
        let page = self.hub.pull("since_lsn=0&collections=none").await;
        page["server_lsn"].as_u64().unwrap()
    }

    /// What the hub has of these owners.
    async fn tasks_of(&self, owners: &[&str]) -> BTreeMap<String, Value> {
        let mut all = Device::new(&self.hub, ADMIN).await.local.docs;
        all.retain(|_, doc| owners.contains(&doc["owner"].as_str().unwrap()));
        shown(&all)
    }
}

fn op(kind: &str, id: &str) -> (String, String) {
    (kind.to_owned(), id.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_enter_and_leave_come_and_go_and_of_others_nothing_is_said() {
    for hub in Hub::on_every_store().await.map(Arc::new) {
        let mut boss = Boss::of(&hub);
        for (id, owner) in [("hers", "anna"), ("his", "ben"), ("turn", "ben")] {
            boss.insert(id, owner).await;
        }
        let anna = token(&hub, &json!("$sub")).await;
        let mut device = Device::new(&hub, &anna).await;
        assert_eq!(device.ids(), ["hers"]);

        boss.update("his", json!({ "n": 7 })).await;
        boss.remove("his").await;
        assert_eq!(device.pull().await, [], "not even the id");
        boss.update("turn", json!({ "owner": "anna" })).await;
        assert_eq!(device.pull().await, [op("REMOVE", "turn"), op("INSERT", "turn")]);
        boss.update("turn", json!({ "n": 8 })).await;
        assert_eq!(device.pull().await, [op("UPDATE", "turn")]);
        // Away, changed there, and something else: one look at what stands would not tell.
        boss.update("turn", json!({ "owner": "ben" })).await;
        boss.update("turn", json!({ "secret": 1 })).await;
        boss.insert("new", "ben").await;
        assert_eq!(device.pull().await, [op("REMOVE", "turn")]);
        boss.update("turn", json!({ "owner": "anna", "n": null })).await;
        boss.remove("hers").await;
        device.pull().await;
        assert_eq!(shown(&device.local.docs), boss.tasks_of(&["anna"]).await);
        assert_eq!(device.pull().await, []);
    }
}

/// So many documents of somebody else, in one push.
async fn crowd(hub: &Hub, first: u64, count: u64) {
    let op = |n: u64| {
        let (id, stamp) = (format!("c{n}"), Stamp::at(Millis::parse(&now()).unwrap()).0);
        json!({ "seq": n, "op": "insert", "collection": "tasks", "id": id, "stamp": stamp, "doc": { "_id": id, "owner": "ben" } })
    };
    hub.push("crowd", &format!("c{first}"), &(first..first + count).map(op).collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_far_behind_is_brought_up_in_bounded_steps_also_past_what_it_does_not_see() {
    for hub in Hub::on_every_store_with(|options| options.settings.limits.page_changes = 1).await.map(Arc::new) {
        let mut boss = Boss::of(&hub);
        for id in ["hers", "leaves", "returns"] {
            boss.insert(id, "anna").await;
        }
        boss.update("returns", json!({ "note": 1 })).await;
        let anna = token(&hub, &json!("$sub")).await;
        let mut device = Device::new(&hub, &anna).await;
        let mut starts_anew = Device::new(&hub, &anna).await;
        starts_anew.cursor = json!(0);
        crowd(&hub, 1, 400).await;
        for id in ["leaves", "returns"] {
            boss.update(id, json!({ "owner": "ben" })).await;
        }
        boss.replace("returns", json!({ "owner": "anna" })).await;
        crowd(&hub, 401, 400).await;
        boss.update("leaves", json!({ "secret": 1 })).await;
        boss.update("returns", json!({ "n": 9 })).await;
        boss.insert("new", "anna").await;

        for device in [&mut device, &mut starts_anew] {
            let (mut pulls, mut told) = (0, Vec::new());
            while device.cursor.as_f64().unwrap().floor() < boss.head().await as f64 {
                let ops = device.pull().await;
                assert!(!ops.is_empty(), "without an op the client would stay where it is: {}", device.cursor);
                (pulls, told) = (pulls + 1, [told, ops].concat());
            }
            assert!((5..30).contains(&pulls), "{pulls} pulls: {told:?}");
            assert_eq!(shown(&device.local.docs), boss.tasks_of(&["anna"]).await, "{told:?}");
            assert!(told.iter().all(|(_, id)| id == "\0" || !id.starts_with('c')), "{told:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_outside_is_set_aside_and_holds_up_nothing() {
    let hub = Arc::new(Hub::start().await);
    let mut boss = Boss::of(&hub);
    boss.insert("hers", "anna").await;
    boss.insert("his", "ben").await;
    boss.insert("gone", "ben").await;
    boss.remove("gone").await;
    let anna = token(&hub, &json!("$sub")).await;
    let mut device = Device::new(&hub, &anna).await;
    let before = boss.tasks_of(&["ben"]).await;

    assert!(device.local.update("hers", &json!({ "owner": "ben", "n": 9 })));
    for id in ["his", "gone"] {
        let taking = json!({ "owner": "anna", "updatedAt": now() });
        device.local.log.push(json!({ "op": "UPDATE", "id": id, "data": taking, "opId": super::local::uuid() }));
    }
    for id in ["his", "to-come"] {
        device.local.log.push(json!({ "op": "REMOVE", "id": id, "opId": super::local::uuid() }));
    }
    let taking = json!({ "owner": "anna", "updatedAt": "2099-01-01T00:00:00.000Z" });
    device.local.log.push(json!({ "op": "UPDATE", "id": "to-come", "data": taking, "opId": super::local::uuid() }));
    device.local.insert("for-ben", &json!({ "owner": "ben" }));
    device.local.insert("new", &json!({ "owner": "anna" }));
    device.push().await;
    device.pull().await;

    assert_eq!(boss.tasks_of(&["ben"]).await, before);
    assert_eq!(boss.tasks_of(&["anna"]).await.keys().map(String::as_str).collect::<Vec<_>>(), ["hers", "new"]);
    assert_eq!(device.local.docs["hers"]["owner"], "anna", "its own row is told again as it stands");
    assert!(!device.ids().contains(&"his") && !device.ids().contains(&"gone"));
    let kept = hub.get("/admin/spaces/main/quarantine").await.json();
    let codes: Vec<_> = kept["quarantine"].as_array().unwrap().iter().map(|row| row["code"].clone()).collect();
    assert_eq!(codes, vec![json!("row_forbidden"); 7], "{kept}");

    boss.insert("to-come", "ben").await;
    let before = boss.tasks_of(&["ben"]).await;
    assert!(before.contains_key("to-come"), "nothing lay in wait for it");

    device.local.clear();
    device.push().await;
    assert_eq!(boss.tasks_of(&["anna"]).await, BTreeMap::new());
    assert_eq!(boss.tasks_of(&["ben"]).await, before, "it cleared its own rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_view_starts_the_client_over() {
    let hub = Arc::new(Hub::start().await);
    let mut boss = Boss::of(&hub);
    for (id, owner) in [("a", "anna"), ("b", "ben"), ("c", "carla")] {
        boss.insert(id, owner).await;
    }
    let anna = token(&hub, &json!("$sub")).await;
    let mut device = Device::new(&hub, &anna).await;
    assert_eq!(device.ids(), ["a"]);
    let change = async |rows: Value| change(&hub, &rows).await;

    change(json!({ "tasks": { "owner": { "$in": ["anna", "ben"] } } })).await;
    device.pull().await;
    assert_eq!(device.ids(), ["a", "b"], "what stands behind the cursor");
    assert_eq!(device.pull().await, []);
    boss.update("b", json!({ "n": 3 })).await;
    change(json!({ "tasks": { "owner": "$sub" } })).await;
    assert_eq!(device.pull().await, [op("INSERT", "a"), op("REMOVE", "b")], "and what it sees no more goes");
    assert_eq!(device.ids(), ["a"]);

    // A push in between does not take the new view for one that was read.
    change(Value::Null).await;
    device.local.update("a", &json!({ "n": 5 }));
    device.push().await;
    device.pull().await;
    assert_eq!(device.ids(), ["a", "b", "c"]);
    change(json!({ "tasks": { "owner": "$sub" } })).await;
    device.local.update("a", &json!({ "n": 6 }));
    device.push().await;
    device.pull().await;
    assert_eq!(device.ids(), ["a"]);
}

async fn change(hub: &Hub, rows: &Value) {
    let (admin, body) = (format!("Bearer {ADMIN}"), json!({ "rows": rows }).to_string());
    let reply = hub.send("PATCH", "/admin/tokens/anna", &[("authorization", &admin)], body.as_bytes()).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_opened_before_a_restart_goes_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(&dir).await;
    let mut boss = Boss::of(&hub);
    boss.insert("a", "anna").await;
    boss.insert("b", "ben").await;
    let anna = token(&hub, &json!({ "$in": ["anna", "ben"] })).await;
    let mut device = Device::new(&hub, &anna).await;
    assert_eq!(device.ids(), ["a", "b"]);

    change(&hub, &json!({ "tasks": { "owner": "$sub" } })).await;
    boss.insert("later", "ben").await;
    let elsewhere = Arc::new(Hub::start().await);
    (device.wire.hub, boss.hub) = (Arc::clone(&elsewhere), elsewhere);
    Arc::into_inner(hub).expect("nobody else holds the hub").shut_down().await;
    device.wire.hub = start(&dir).await;

    assert_eq!(device.pull().await, [op("INSERT", "a"), op("REMOVE", "b")], "of what came later not even the id");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_opened_at_another_worker_goes_as_well() {
    let [one, two] = Hub::workers(|_| {}).await.map(Arc::new);
    let mut boss = Boss::of(&one);
    boss.insert("a", "anna").await;
    boss.insert("b", "ben").await;
    let anna = token(&one, &json!({ "$in": ["anna", "ben"] })).await;
    let mut device = Device::new(&one, &anna).await;
    assert_eq!(device.ids(), ["a", "b"]);

    change(&two, &json!({ "tasks": { "owner": "$sub" } })).await;
    device.wire.hub = two;

    assert_eq!(device.pull().await, [op("INSERT", "a"), op("REMOVE", "b")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn older_generations_are_refused_only_some_rows() {
    let hub = Arc::new(Hub::start().await);
    let anna = token(&hub, &json!("$sub")).await;
    let reply = Wire::new(&hub, &anna, "/c/tasks").get("/sync/pull").await;
    assert_eq!(reply.refusal(403), "forbidden");
    assert!(reply.text().contains("only some rows of `tasks`"), "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filtered_device_has_what_its_filter_means_whatever_happens() {
    for seed in 0..6 {
        let mut random = fastrand::Rng::with_seed(seed);
        let hub = Arc::new(Hub::start().await);
        let mut boss = Boss::of(&hub);
        let anna = token(&hub, &json!("$sub")).await;
        let mut device = Device::new(&hub, &anna).await;
        for round in 0..40 {
            for _ in 0..random.u32(0..4) {
                let (id, owner) = (format!("t{}", random.u32(..6)), ["anna", "ben"][random.usize(..2)]);
                let there = boss.tasks_of(&["anna", "ben"]).await.contains_key(&id);
                match random.u32(..6) {
                    _ if !there => boss.insert(&id, owner).await,
                    0..3 => boss.update(&id, json!({ "owner": owner })).await,
                    3..5 => boss.update(&id, json!({ "n": round })).await,
                    _ => boss.remove(&id).await,
                }
            }
            if random.bool() {
                continue;
            }
            device.pull().await;
            assert_eq!(shown(&device.local.docs), boss.tasks_of(&["anna"]).await, "seed {seed}, round {round}");
            let mine: Vec<String> = device.local.docs.keys().cloned().collect();
            let some = (!mine.is_empty()).then(|| mine[random.usize(..mine.len())].clone());
            match (random.u32(..6), some) {
                (0, Some(id)) => drop(device.local.remove(&id)),
                (1, Some(id)) => drop(device.local.update(&id, &json!({ "owner": "ben" }))),
                (2..4, Some(id)) => drop(device.local.update(&id, &json!({ "m": round }))),
                (4, _) => drop(device.local.insert(&format!("d{round}"), &json!({ "owner": "anna" }))),
                _ => {}
            }
            device.push().await;
        }
        device.pull().await;
        assert_eq!(shown(&device.local.docs), boss.tasks_of(&["anna"]).await, "seed {seed}");
    }
}
