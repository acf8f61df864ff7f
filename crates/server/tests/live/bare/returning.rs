//! Clients that come back: after a cut link, a restart of the hub, a kill, a slow commit.

use super::*;
use std::sync::atomic::Ordering;

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
async fn a_client_that_was_filled_and_has_read_on_holds_no_part_of_the_log_back() {
    let dir = tempfile::TempDir::new().unwrap();
    let open = || {
        let options = syncline_server::store::SqliteOptions::default();
        std::sync::Arc::new(syncline_server::store::SqliteStore::open(dir.path(), options).unwrap())
    };
    let hub = Hub::on(open(), quick_pings).await;
    let mut a = registered(&hub, "a", &[]).await;
    sync(&mut a, &[insert("users", &json!({ "id": "old" }))]).await;
    let mut b = registered(&hub, "b", &["users"]).await;
    assert_eq!(heard(&mut b).await.len(), 1);
    for n in 0..3 {
        sync(&mut a, &[update("users", &json!({ "id": "old" }), &json!({ "$set": { "n": n } }))]).await;
    }
    while heard(&mut b).await != [json!({ "id": "old", "n": 2 })] {}
    until_proved(&mut b).await;
    hub.shut_down().await;

    let hub = Hub::on(open(), |options| options.settings.retention.log = Duration::ZERO).await;
    let trimmed = hub.post("/admin/spaces/main/trim", &Value::Null).await.json();

    let nodes = hub.get("/admin/spaces/main/nodes").await.text();
    assert_eq!(trimmed["horizon"], json!(4), "{nodes}");
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
async fn a_list_waits_while_nobody_can_say_whether_it_reports_what_the_hub_told_before_it_began_anew() {
    let store = FaultyStore::held();
    store.passes.add_permits(1_000);
    let hub = Hub::on(store.clone(), |_| {}).await;
    let mut a = registered(&hub, "a", &["users"]).await;
    let mut b = registered(&hub, "b", &["users"]).await;
    sync(&mut a, &[insert("users", &json!({ "id": "seen" }))]).await;
    heard(&mut b).await;
    drop((a, b));
    hub.shut_down().await;
    let hub = Hub::on(store.clone(), |_| {}).await;
    let mut a = registered(&hub, "a", &["users"]).await;
    let told = json!({ "id": "x", "n": 1 });
    sync(&mut a, &[insert("users", &told)]).await;
    sync(&mut a, &[update("users", &json!({ "id": "x" }), &json!({ "$set": { "n": 2 } }))]).await;
    let mut b = registered(&hub, "b", &["users"]).await;
    let late = [insert("users", &told)];

    store.fails_scans.store(true, Ordering::SeqCst);
    assert_eq!(sync(&mut b, &late).await["success"], json!(false));
    store.fails_scans.store(false, Ordering::SeqCst);
    assert_eq!(sync(&mut b, &late).await["success"], json!(true), "it is sent again");

    let log = hub.pull("since_lsn=0").await;
    assert_eq!(log["ops"].as_array().unwrap().last().unwrap()["doc"]["n"], json!(2), "{log}");
}
