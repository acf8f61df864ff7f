//! Databases that exchange packets with a real hub, beside one that syncs by the log.

use crate::world::{Device, Hub, PATIENCE, TOKEN, manual};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use syncline::sync::{ApiClient, ApiError, ApiReply, HttpApiClient, Protocol, SyncOptions};
use syncline::{Database, DatabaseOptions, Millis};
use tokio::runtime::Runtime;

type Boxed<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, ApiError>> + Send + 'a>>;

fn id(n: usize) -> String {
    format!("22222222-2222-4222-8222-{n:012}")
}

/// Asks the hub as its administrator.
fn admin(hub: &Hub, path: &str, body: Option<&str>) -> Value {
    let api = HttpApiClient::new(hub.url(), TOKEN, PATIENCE).unwrap();
    let path = format!("/admin/spaces/main{path}");
    let asked = async {
        match body {
            Some(body) => api.post(&path, body.to_owned()).await,
            None => api.get(&path).await,
        }
    };
    let reply = Runtime::new().unwrap().block_on(asked).unwrap();
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    serde_json::from_slice(&reply.body).unwrap()
}

/// Registers a database under a code; returns its token.
fn register(hub: &Hub, db: &Database, code: &str) -> String {
    register_for(hub, db, code, &json!({}))
}

/// The same, with a plan.
fn register_for(hub: &Hub, db: &Database, code: &str, plan: &Value) -> String {
    let wish = json!({ "id": db.replica().node().unwrap(), "code": code, "name": code, "plan": plan });
    admin(hub, "/nodes", Some(&wish.to_string()))["token"].as_str().unwrap().to_owned()
}

fn packets(options: SyncOptions) -> SyncOptions {
    SyncOptions { protocol: Protocol::Exchange, push_batch_size: 4, ..manual(options) }
}

/// A clock for all devices of a test that moves on whenever it is read: no two edits are made at once.
#[derive(Clone)]
struct Clock(Arc<AtomicU64>);

impl Clock {
    fn new() -> Clock {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        Clock(Arc::new(AtomicU64::new(u64::try_from(now).unwrap() - 3_600_000)))
    }

    fn open(&self, options: DatabaseOptions) -> Database {
        let ticks = Arc::clone(&self.0);
        Database::open_with(options.time(move || Millis(ticks.fetch_add(1, Ordering::SeqCst)))).unwrap()
    }

    fn memory(&self) -> Database {
        self.open(DatabaseOptions::memory())
    }
}

fn device(hub: &Hub, clock: &Clock) -> Device {
    Device::with(clock.memory(), manual(SyncOptions::new(hub.url(), TOKEN)))
}

fn node(hub: &Hub, clock: &Clock, code: &str) -> Device {
    let db = clock.memory();
    let token = register(hub, &db, code);
    Device::with(db, packets(SyncOptions::new(hub.url(), token)))
}

/// A line that loses requests and answers, by the seed of a test.
struct Line {
    inner: HttpApiClient,
    luck: Mutex<fastrand::Rng>,
    /// Of ten requests so many meet a mishap.
    tenths: u32,
}

impl Line {
    fn before(hub: &Hub, token: &str, seed: u64, tenths: u32) -> Arc<Line> {
        let inner = HttpApiClient::new(hub.url(), token, PATIENCE).unwrap();
        Arc::new(Line { inner, luck: Mutex::new(fastrand::Rng::with_seed(seed)), tenths })
    }
}

impl ApiClient for Line {
    fn get<'a>(&'a self, path: &'a str) -> Boxed<'a, ApiReply> {
        self.inner.get(path)
    }

    fn post<'a>(&'a self, path: &'a str, body: String) -> Boxed<'a, ApiReply> {
        Box::pin(async move {
            let (mishap, early) = {
                let mut luck = self.luck.lock().unwrap();
                (luck.u32(..10) < self.tenths, luck.bool())
            };
            if mishap && early {
                return Err(ApiError::new("the request was lost"));
            }
            let reply = self.inner.post(path, body).await?;
            if mishap { Err(ApiError::new("the answer was lost")) } else { Ok(reply) }
        })
    }
}

/// Cycles until each has had a successful one after everybody's edits.
fn settle(devices: &[&Device]) {
    for _ in 0..3 {
        for device in devices {
            let done = (0..200).any(|_| device.sync.sync_now_blocking().success);
            assert!(done, "{:?}", device.sync.status());
        }
    }
}

fn assert_equal(devices: &[&Device], what: &str) {
    for device in &devices[1..] {
        assert_eq!(device.all(), devices[0].all(), "{what}");
        assert_eq!(device.sync.status().unwrap().pending, 0, "{what}");
    }
}

#[test]
fn nodes_and_a_device_of_the_log_converge() {
    let hub = Hub::start();
    let clock = Clock::new();
    let (ada, bob, cem) = (node(&hub, &clock, "ADA"), node(&hub, &clock, "BOB"), device(&hub, &clock));
    ada.notes.insert(json!({"_id": id(1), "title": "a", "lines": [{"n": 1, "qty": 2.50}]})).unwrap();
    cem.notes.insert(json!({"_id": id(2), "title": "c"})).unwrap();
    settle(&[&ada, &bob, &cem]);
    assert_equal(&[&cem, &ada, &bob], "inserts");
    assert_eq!(bob.all().len(), 2);

    bob.notes.update(&id(1), &json!({"title": "b", "lines": null})).unwrap();
    ada.notes.replace(&id(2), json!({"text": "whole"})).unwrap();
    settle(&[&ada, &bob, &cem]);
    assert_equal(&[&cem, &ada, &bob], "edits");
    let first = ada.notes.get(&id(1)).unwrap().unwrap();
    assert_eq!((&first["title"], first.get("lines")), (&json!("b"), None), "a field that went is gone everywhere");
    assert_eq!(bob.notes.get(&id(2)).unwrap().unwrap().get("title"), None);

    cem.notes.clear().unwrap();
    settle(&[&cem, &ada, &bob]);
    assert!(ada.all().is_empty() && bob.all().is_empty());
}

#[test]
fn offline_edits_of_one_document_end_equal_and_the_loser_is_told() {
    let hub = Hub::start();
    let clock = Clock::new();
    let (ada, bob, cem) = (node(&hub, &clock, "ADA"), node(&hub, &clock, "BOB"), device(&hub, &clock));
    ada.notes.insert(json!({"_id": id(1), "title": "t", "text": "x", "n": 0})).unwrap();
    settle(&[&ada, &bob, &cem]);
    // The later edit arrives first.
    ada.notes.update(&id(1), &json!({"title": "early", "text": "ada's"})).unwrap();
    bob.notes.update(&id(1), &json!({"title": "late", "n": 1})).unwrap();
    let told = ada.hear("sync:conflict");
    settle(&[&bob]);
    settle(&[&ada, &bob, &cem]);
    assert_equal(&[&cem, &ada, &bob], "conflict");
    let note = ada.notes.get(&id(1)).unwrap().unwrap();
    assert_eq!((&note["title"], &note["text"], &note["n"]), (&json!("late"), &json!("ada's"), &json!(1)));
    assert!(told.try_iter().any(|conflict| conflict["docId"] == id(1)), "its author hears of it");

    ada.notes.remove(&id(1)).unwrap();
    bob.notes.update(&id(1), &json!({"n": 2})).unwrap();
    settle(&[&ada, &bob, &cem]);
    assert_equal(&[&cem, &ada, &bob], "removal against a later edit");
    assert_eq!(ada.notes.get(&id(1)).unwrap().unwrap()["n"], 2);
}

#[test]
fn what_the_hub_refuses_is_set_aside_and_the_rest_goes_on() {
    let hub = Hub::start_with(|options| options.settings.limits.document_bytes = 300);
    let ada = node(&hub, &Clock::new(), "ADA");
    ada.notes.insert(json!({"_id": id(1), "n": 1})).unwrap();
    settle(&[&ada]);
    ada.notes.update(&id(1), &json!({"long": "x".repeat(400)})).unwrap();
    ada.notes.insert(json!({"_id": id(2), "n": 2})).unwrap();
    settle(&[&ada]);
    let aside = ada.db.quarantined().unwrap();
    assert_eq!((aside.len(), aside[0].code.as_str()), (1, "document_too_large"));
    assert_eq!(ada.notes.get(&id(1)).unwrap().unwrap().get("long"), None, "it is the hub's again");
    let cem = Device::on(&hub);
    settle(&[&cem]);
    assert_equal(&[&cem, &ada], "refusal");
}

#[test]
fn a_node_hears_of_an_edit_that_lost_after_it_was_accepted() {
    let (hub, clock) = (Hub::start(), Clock::new());
    let (ada, bob, cem) = (node(&hub, &clock, "ADA"), node(&hub, &clock, "BOB"), device(&hub, &clock));
    ada.notes.insert(json!({"_id": id(1), "title": "t", "text": "x"})).unwrap();
    settle(&[&ada, &bob, &cem]);
    ada.notes.update(&id(1), &json!({"title": "ada's"})).unwrap();
    bob.notes.update(&id(1), &json!({"title": "bob's"})).unwrap();
    // On its way while hers is taken.
    let carried = bob.db.export_packet(&SyncOptions::default().collections(["notes"])).unwrap();
    settle(&[&ada]);
    assert_eq!(ada.db.conflicts().unwrap().len(), 0, "it was accepted");
    let told = ada.hear("sync:conflict");
    admin(&hub, "/packets", Some(&carried));
    settle(&[&ada]);
    let kept = ada.db.conflicts().unwrap();
    assert_eq!((kept.len(), &kept[0].operation["set"]["title"]), (1, &json!("ada's")), "{kept:?}");
    assert!(told.try_iter().any(|conflict| conflict["docId"] == id(1)));
    settle(&[&ada, &ada]);
    assert_eq!(ada.db.conflicts().unwrap().len(), 1, "once");
    assert_eq!(bob.db.conflicts().unwrap().len(), 0);
    settle(&[&cem, &ada, &bob]);
    assert_equal(&[&cem, &ada, &bob], "late conflict");
}

#[test]
fn a_node_takes_back_what_its_row_filter_refuses_and_shows_what_the_hub_has() {
    let (hub, clock) = (Hub::start(), Clock::new());
    let cem = device(&hub, &clock);
    let db = clock.memory();
    let token = register_for(&hub, &db, "ADA", &json!({ "rows": { "notes": { "team": 1 } } }));
    let ada = Device::with(db, SyncOptions { push_batch_size: 100, ..packets(SyncOptions::new(hub.url(), token)) });
    for (n, team) in [(1, 1), (2, 2), (3, 1)] {
        cem.notes.insert(json!({ "_id": id(n), "team": team, "text": "cem's" })).unwrap();
    }
    settle(&[&cem, &ada]);
    let fate = ada.hear("sync:quarantine");
    // Away while the other edits it, taken although it is not seen, made for others, and one of its own.
    cem.notes.update(&id(1), &json!({ "more": true })).unwrap();
    ada.notes.update(&id(1), &json!({ "team": 2 })).unwrap();
    ada.notes.insert(json!({ "_id": id(2), "team": 1 })).unwrap();
    ada.notes.insert(json!({ "_id": id(4), "team": 2 })).unwrap();
    ada.notes.insert(json!({ "_id": id(5), "team": 1 })).unwrap();
    // It leaves while she edits it.
    cem.notes.update(&id(3), &json!({ "team": 2 })).unwrap();
    ada.notes.update(&id(3), &json!({ "text": "ada's" })).unwrap();
    settle(&[&cem, &ada, &cem]);

    let shown: Vec<_> = ada.all().iter().map(|note| (note["_id"].clone(), note["more"].clone())).collect();
    assert_eq!(shown, [(json!(id(1)), json!(true)), (json!(id(5)), Value::Null)], "as the hub has them");
    let aside = ada.db.quarantined().unwrap();
    assert_eq!(aside.len(), 4, "{aside:?}");
    assert!(aside.iter().all(|one| one.code == "row_forbidden"), "{aside:?}");
    assert!(fate.recv().unwrap().to_string().contains("rows.notes"));
    assert_eq!(ada.sync.status().unwrap().pending, 0);
    assert_eq!((cem.all().len(), &cem.notes.get(&id(2)).unwrap().unwrap()["text"]), (4, &json!("cem's")));
}

/// `SYNCLINE_SEEDS=100..200` plays others.
fn seeds() -> std::ops::Range<u64> {
    let chosen = std::env::var("SYNCLINE_SEEDS").ok();
    let chosen = chosen.as_deref().and_then(|text| text.split_once(".."));
    chosen.map_or(0..6, |(first, end)| first.parse().unwrap()..end.parse().unwrap())
}

#[test]
fn a_bad_line_and_restarts_in_the_middle_cost_nothing() {
    for seed in seeds() {
        let (hub, clock) = (Hub::start(), Clock::new());
        let cem = device(&hub, &clock);
        let dir = tempfile::TempDir::new().unwrap();
        let file = |n: usize| dir.path().join(format!("{n}.db"));
        let tokens = [0, 1].map(|n| register(&hub, &Database::open(file(n)).unwrap(), &format!("N{n}")));
        let mut luck = fastrand::Rng::with_seed(seed);
        let open = |n: usize, seed: u64, tenths: u32| {
            let line = Line::before(&hub, &tokens[n], seed, tenths);
            Device::with(clock.open(DatabaseOptions::file(file(n))), packets(SyncOptions::with_api_client(line)))
        };
        let mut nodes = [0, 1].map(|n| Some(open(n, seed, 4)));
        for step in 0..120 {
            let who = luck.usize(..3);
            let device = if who == 2 { &cem } else { nodes[who].as_ref().unwrap() };
            edit(device, &mut luck, step);
            match luck.u32(..10) {
                0..5 => drop(device.sync.sync_now_blocking()),
                5 if who < 2 => {
                    nodes[who] = None;
                    nodes[who] = Some(open(who, luck.u64(..), 4));
                }
                _ => {}
            }
        }
        let [ada, bob] = [0, 1].map(|n| nodes[n].take().unwrap());
        settle(&[&ada, &bob, &cem]);
        settle(&[&cem, &bob, &ada]);
        assert_equal(&[&cem, &ada, &bob], &format!("seed {seed}"));
        assert_eq!(ada.db.quarantined().unwrap(), [], "seed {seed}");
    }
}

/// One edit of one of a few documents.
fn edit(device: &Device, luck: &mut fastrand::Rng, step: usize) {
    let id = id(luck.usize(..6));
    let field = ["a", "b", "c"][luck.usize(..3)];
    let there = device.notes.get(&id).unwrap().is_some();
    match luck.u32(..10) {
        0..5 if there => drop(device.notes.update(&id, &json!({ field: step })).unwrap()),
        5 if there => drop(device.notes.update(&id, &json!({ field: null })).unwrap()),
        6 if there => drop(device.notes.replace(&id, json!({ field: step })).unwrap()),
        7 if there => drop(device.notes.remove(&id).unwrap()),
        8 if step.is_multiple_of(10) => drop(device.notes.clear().unwrap()),
        _ if !there => drop(device.notes.insert(json!({ "_id": id, field: step })).unwrap()),
        _ => {}
    }
}

#[test]
fn a_site_without_a_network_exchanges_files_with_the_hub() {
    let hub = Hub::start();
    let cem = Device::on(&hub);
    cem.notes.insert(json!({"_id": id(1), "title": "from the log", "gone": 1})).unwrap();
    settle(&[&cem]);
    let db = Database::open_in_memory().unwrap();
    register(&hub, &db, "SITE");
    let node = db.replica().node().unwrap();
    let options = SyncOptions::default().collections(["notes"]);
    let notes = db.collection("notes").unwrap();
    notes.insert(json!({"_id": id(2), "title": "from the site"})).unwrap();
    let round = || {
        admin(&hub, "/packets", Some(&db.export_packet(&options).unwrap()));
        let answer = admin(&hub, &format!("/nodes/{node}/packet"), None);
        db.import_packet(&options, &answer.to_string()).unwrap()
    };
    let imported = round();
    assert_eq!((imported.applied, imported.settled, imported.pending), (1, 1, 0), "{imported:?}");
    settle(&[&cem]);
    let all = |notes: &syncline::Collection| [1, 2].map(|n| notes.get(&id(n)).unwrap());
    assert_eq!(all(&notes), all(&cem.notes));

    cem.notes.update(&id(1), &json!({"gone": null})).unwrap();
    settle(&[&cem]);
    round();
    assert_eq!(all(&notes), all(&cem.notes), "a field that went is gone here too");
}
