//! A device whose token opens only some rows: what it has is always what its filter means of the hub's documents.

use super::world::{Device, Hub, manual};
use serde_json::{Value, json};
use syncline::Database;
use syncline::query::Query;
use syncline::sync::SyncOptions;
use syncline_core::model::{CollectionName, NodeId};
use syncline_server::auth::{DeclaredToken, TokenSpec};

fn notes() -> CollectionName {
    CollectionName::new("notes").unwrap()
}

/// A token for the notes of one team.
fn team(name: &str, team: &Value) -> DeclaredToken {
    let mut spec = TokenSpec::named(NodeId::new(name).unwrap());
    spec.rows = [(notes(), json!({ "team": team }))].into();
    DeclaredToken { secret: secret(name), spec }
}

fn secret(name: &str) -> String {
    format!("a-secret-for-{name}")
}

fn device(hub: &Hub, name: &str) -> Device {
    Device::with(Database::open_in_memory().unwrap(), manual(SyncOptions::new(hub.url(), secret(name))))
}

fn sync(device: &Device) {
    let outcome = device.sync.sync_now_blocking();
    assert!(outcome.success, "{outcome:?}");
}

fn of_team(all: &[Value], wanted: &[u64]) -> Vec<Value> {
    all.iter().filter(|note| note["team"].as_u64().is_some_and(|team| wanted.contains(&team))).cloned().collect()
}

/// One random edit of one of a few notes, whatever the device has of it.
fn edit(device: &Device, random: &mut fastrand::Rng, value: u64) {
    let id = format!("n{}", random.u32(..8));
    let team = random.u64(1..=3);
    match (device.notes.get(&id).unwrap().is_some(), random.u32(..10)) {
        (false, _) => drop(device.notes.insert(json!({ "_id": id, "team": team, "value": value }))),
        (true, 0..4) => drop(device.notes.update(&id, &json!({ "team": team }))),
        (true, 4..8) => drop(device.notes.update(&id, &json!({ "value": value }))),
        (true, _) => drop(device.notes.remove(&id)),
    }
}

fn play(seed: u64) {
    let hub = Hub::start_with(|options| {
        options.tokens.push(team("one", &json!(1)));
        options.tokens.push(team("some", &json!({ "$in": [1, 2] })));
        options.settings.limits.page_changes = 3;
    });
    let all = Device::on(&hub);
    let (one, some) = (device(&hub, "one"), device(&hub, "some"));
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..40 {
        for device in [&all, &one, &some] {
            for n in 0..random.u64(..4) {
                edit(device, &mut random, round * 10 + n);
            }
            if random.bool() {
                sync(device);
            }
        }
        if round % 8 == 7 {
            // What was rejected is gone, what was accepted is everywhere where it may be seen.
            for device in [&all, &one, &some, &all, &one, &some] {
                sync(device);
            }
            let hub_has = all.all();
            assert_eq!(one.all(), of_team(&hub_has, &[1]), "seed {seed}, round {round}");
            assert_eq!(some.all(), of_team(&hub_has, &[1, 2]), "seed {seed}, round {round}");
        }
    }
    assert!(!all.all().is_empty());
}

#[test]
fn a_filtered_device_has_what_its_filter_means_of_the_hubs_documents() {
    for seed in 1..=4 {
        play(seed);
    }
}

#[test]
fn an_edit_that_may_not_be_is_told_and_taken_back() {
    let hub = Hub::start_with(|options| options.tokens.push(team("one", &json!(1))));
    let (all, one) = (Device::on(&hub), device(&hub, "one"));
    all.notes.insert(json!({ "_id": "mine", "team": 1 })).unwrap();
    sync(&all);
    sync(&one);
    let told = one.hear("sync:quarantine");
    one.notes.update("mine", &json!({ "team": 2 })).unwrap();
    one.notes.insert(json!({ "_id": "yours", "team": 2 })).unwrap();
    one.notes.insert(json!({ "_id": "new", "team": 1 })).unwrap();
    sync(&one);

    let ids: Vec<Value> = one.all().iter().map(|note| note["_id"].clone()).collect();
    assert_eq!(ids, ["mine", "new"], "the first is as it was, the second is gone");
    assert_eq!(one.notes.get("mine").unwrap().unwrap()["team"], 1);
    assert!(told.recv().unwrap().to_string().contains("rows.notes"));
    assert_eq!(one.db.replica().quarantined(None).unwrap().len(), 2);
    sync(&all);
    assert_eq!(all.all(), one.all());
}

#[test]
fn what_a_token_sees_anew_arrives_and_what_it_no_longer_sees_goes() {
    let given = |rule: Value| move |options: &mut syncline_server::Options| options.tokens.push(team("one", &rule));
    let hub = Hub::start_with(given(json!(1)));
    let (all, one) = (Device::on(&hub), device(&hub, "one"));
    for (id, team) in [("a", 1), ("b", 2), ("c", 3)] {
        all.notes.insert(json!({ "_id": id, "team": team })).unwrap();
    }
    sync(&all);
    sync(&one);
    assert_eq!(one.all(), of_team(&all.all(), &[1]));

    // The rule is another one now: the old notes that it means arrive, although they stand behind the cursor, and
    // what pends is kept.
    let hub = hub.stop().start_again_with(given(json!({ "$in": [2, 3] })));
    one.notes.insert(json!({ "_id": "d", "team": 2 })).unwrap();
    sync(&one);
    sync(&all);
    assert_eq!(one.all(), of_team(&all.all(), &[2, 3]));
    assert_eq!(one.all().len(), 3);

    // And without a rule all arrive.
    let hub = hub.stop().start_again_with(|options| {
        let spec = TokenSpec::named(NodeId::new("one").unwrap());
        options.tokens.push(DeclaredToken { secret: secret("one"), spec });
    });
    sync(&one);
    assert_eq!(one.all(), all.all());
    drop(hub);
}

#[test]
fn a_revoked_collection_goes_away_and_comes_back_with_its_grant() {
    let limited = |names: &'static [&'static str]| {
        move |options: &mut syncline_server::Options| {
            let collections = names.iter().map(|name| CollectionName::new(name).unwrap()).collect();
            let name = NodeId::new("one").unwrap();
            let spec = TokenSpec { collections: Some(collections), ..TokenSpec::named(name) };
            options.tokens.push(DeclaredToken { secret: secret("one"), spec });
        }
    };
    let hub = Hub::start_with(limited(&["notes", "diary"]));
    let one = device(&hub, "one");
    one.sync.add_collection("diary").unwrap();
    let diary = one.db.collection("diary").unwrap();
    diary.insert(json!({ "_id": "old" })).unwrap();
    one.notes.insert(json!({ "_id": "n" })).unwrap();
    sync(&one);

    let hub = hub.stop().start_again_with(limited(&["notes"]));
    diary.insert(json!({ "_id": "unsent" })).unwrap();
    assert!(!one.sync.sync_now_blocking().success);
    let ids = |all: Vec<Value>| all.iter().map(|doc| doc["_id"].clone()).collect::<Vec<_>>();
    let find = || {
        let mut all = diary.find(&Query::from_json(&json!({})).unwrap()).unwrap();
        all.sort_by_key(|document| document["_id"].to_string());
        all
    };
    assert_eq!(ids(find()), ["unsent"], "what the hub had told is gone, what it was never told is not");
    assert_eq!(ids(one.all()), ["n"]);

    let hub = hub.stop().start_again_with(limited(&["notes", "diary"]));
    sync(&one);
    assert_eq!(ids(find()), ["old", "unsent"]);
    assert_eq!(one.sync.status().unwrap().pending, 0);
    drop(hub);
}
