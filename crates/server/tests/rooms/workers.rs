//! Several workers with a real Redis between them, and what else may be said through it.

use super::{changed, emit, heard, join, nothing_more, page};
use crate::support::redis::{DB, PASSWORD, Redis};
use crate::support::socket::Client;
use crate::support::{ADMIN, Hub, insert};
use rmpv::Value as Packed;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use syncline_server::store::MemoryStore;
use tokio::time::{sleep, timeout};

async fn worker(redis: &Redis) -> Hub {
    let hub = Hub::with(|options| options.redis = Some(redis.options())).await;
    is_linked(&hub, true).await;
    hub
}

/// The number that a metric without labels shows.
async fn metric(hub: &Hub, name: &str) -> f64 {
    let text = hub.get("/metrics").await.text();
    let line = text.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
    line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !holds().await {
            sleep(Duration::from_millis(5)).await; // sleep: between two questions to a real server
        }
    };
    timeout(Duration::from_secs(30), waited).await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn is_linked(hub: &Hub, linked: bool) {
    let expected = if linked { 1.0 } else { 0.0 };
    until("linked as expected", async || metric(hub, "syncline_redis_up").await.to_bits() == f64::to_bits(expected))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_reaches_the_pages_of_every_worker_once_with_the_same_envelope() {
    let redis = Redis::start().await;
    let (one, two) = (worker(&redis).await, worker(&redis).await);
    let (mut at_one, mut at_two) = (page(&one, "files").await, page(&two, "files").await);
    let mut stranger = page(&two, "users").await;
    let event =
        json!({ "event": "files:changed", "reason": "toggled", "id": "ž", "data": { "n": 1.0, "deep": [null] } });

    let seq = emit(&one, &event).await;

    let (first, second) = (heard(&mut at_one).await, heard(&mut at_two).await);
    assert_eq!((&first, &first.1["seq"]), (&second, &json!(seq)));
    nothing_more(&one, &mut [&mut at_one, &mut at_two, &mut stranger]).await;
    emit(&two, &json!({ "event": "categories:changed", "reason": "added", "id": 1 })).await;
    let (soft, again) = (heard(&mut at_one).await, heard(&mut at_two).await);
    assert_eq!((&soft, &soft.1["data"]["soft"]), (&again, &json!(true)), "a soft refresh as well");
    nothing_more(&two, &mut [&mut at_one, &mut at_two]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_each_worker_goes_on_and_with_it_they_are_together_again() {
    let mut redis = Redis::start().await;
    let (one, two) = (worker(&redis).await, worker(&redis).await);
    let (mut at_one, mut at_two) = (page(&one, "files").await, page(&two, "files").await);
    let clients = redis.clients().await;
    assert!(clients.matches(&format!(" db={DB} ")).count() >= 4, "both select the database: {clients}");

    redis.stop();
    is_linked(&one, false).await;
    is_linked(&two, false).await;
    let alone = changed(&one, "files").await;
    assert_eq!(heard(&mut at_one).await.1["seq"], alone);

    redis.start_again().await;
    is_linked(&one, true).await;
    is_linked(&two, true).await;
    let together = changed(&one, "files").await;
    assert_eq!(heard(&mut at_one).await.1["seq"], together);
    assert_eq!(heard(&mut at_two).await.1["seq"], together, "what was told meanwhile is not repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn those_in_a_room_are_counted_on_all_workers() {
    let redis = Redis::start().await;
    let (one, two) = (worker(&redis).await, worker(&redis).await);
    let mut here = page(&one, "files").await;
    let there = [page(&two, "files").await, page(&two, "files").await];
    until("three are counted", async || here.call("presence", &json!("files")).await["members"] == 3).await;
    let mut late = Client::connect(&two.addr, ADMIN).await;
    until("the other counts them, too", async || late.call("files:presence", &Value::Null).await["members"] == 3).await;
    drop(there);
    until("one is left", async || here.call("presence", &json!("files")).await["members"] == 1).await;
    let three = worker(&redis).await;
    until("a new worker hears who is there", async || {
        let rooms = three.get("/api/sync/rooms").await.json();
        rooms["rooms"].as_array().unwrap().iter().any(|room| room["room"] == "files" && room["members"] == 1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_wakes_readers_of_another_worker_on_the_same_store() {
    let mut redis = Redis::start().await;
    let store = Arc::new(MemoryStore::default());
    let start = async || {
        let options = redis.options();
        Hub::on(store.clone(), |all| all.redis = Some(options)).await
    };
    let (one, two) = (start().await, start().await);
    is_linked(&one, true).await;
    is_linked(&two, true).await;
    let (mut at_one, mut at_two) = (page(&one, "files").await, page(&two, "files").await);

    let poll = two.pull("since_lsn=0&wait=60");
    let push = async {
        until("the poll waits", async || metric(&two, "syncline_waiting_polls").await > 0.0).await;
        one.push("n1", "b1", &json!([insert(1, "files", "f1")])).await
    };
    let (page_of_two, _) = timeout(Duration::from_secs(20), async { tokio::join!(poll, push) }).await.unwrap();
    assert_eq!(page_of_two["ops"][0]["id"], "f1");
    for page in [&mut at_one, &mut at_two] {
        let (_, envelope) = heard(page).await;
        assert_eq!((&envelope["reason"], &envelope["id"]), (&json!("added"), &json!("f1")));
    }
    nothing_more(&one, &mut [&mut at_one, &mut at_two]).await;

    redis.stop();
    is_linked(&one, false).await;
    is_linked(&two, false).await;
    one.push("n1", "b2", &json!([insert(2, "files", "f2")])).await;
    redis.start_again().await;
    let missed = timeout(Duration::from_secs(30), two.pull("since_lsn=1&wait=60")).await.unwrap();
    assert_eq!(missed["ops"][0]["id"], "f2", "what was missed is read when Redis is back");
    assert_eq!(heard(&mut at_two).await.1["id"], "f2", "and pages are told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_on_a_store_of_its_own_is_told_to_pages_of_other_workers() {
    let redis = Redis::start().await;
    let (one, two) = (worker(&redis).await, worker(&redis).await);
    let (mut at_one, mut at_two) = (page(&one, "files").await, page(&two, "files").await);
    one.push("n1", "b1", &json!([insert(1, "files", "f1")])).await;
    let (here, there) = (heard(&mut at_one).await, heard(&mut at_two).await);
    assert_eq!((&here, &here.1["id"]), (&there, &json!("f1")));
    nothing_more(&one, &mut [&mut at_one, &mut at_two]).await;
}

/// Each worker reads the log for its own pages, whether they hear of it through Redis or the database.
#[tokio::test(flavor = "multi_thread")]
async fn workers_on_one_database_tell_every_page_of_each_change_once() {
    let redis = Redis::start().await;
    for link in [None, Some(redis.options())] {
        let [one, two] = Hub::workers(|options| options.redis.clone_from(&link)).await;
        let mut pages = [page(&one, "files").await, page(&two, "files").await];
        let mut stranger = page(&two, "users").await;
        for hub in [&one, &two] {
            is_linked(hub, link.is_some()).await;
        }
        for (n, writer) in [&one, &two, &one].into_iter().enumerate() {
            let id = format!("f{n}");
            writer.push("n1", &id, &json!([insert(n as u64 + 1, "files", &id)])).await;
            for page in &mut pages {
                let (event, envelope) = heard(page).await;
                assert_eq!((event.as_str(), &envelope["reason"]), ("files:changed", &json!("added")), "{envelope}");
                assert_eq!(envelope["id"], json!(id), "in the order of the log, and none twice");
            }
        }
        let [here, there] = &mut pages;
        if link.is_some() {
            let seq = changed(&one, "files").await;
            assert_eq!((&heard(here).await.1["seq"], &heard(there).await.1["seq"]), (&json!(seq), &json!(seq)));
            nothing_more(&two, &mut [here, there, &mut stranger]).await;
        } else {
            nothing_more(&one, &mut [here]).await;
            nothing_more(&two, &mut [there, &mut stranger]).await;
        }
        // Pages that come back at the other worker go on there.
        let mut moved = page(&one, "files").await;
        two.push("n2", "b", &json!([insert(1, "files", "late")])).await;
        assert_eq!(heard(&mut moved).await.1["id"], json!("late"));
        one.shut_down().await;
        two.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_python_and_node_back_ends_are_passed_on_as_they_are() {
    let redis = Redis::start().await;
    let hub = worker(&redis).await;
    let (mut files, mut users) = (page(&hub, "files").await, page(&hub, "users").await);
    let python = |room: Value, data: Value| {
        json!({ "method": "emit", "event": "files:changed", "data": data, "binary": false, "namespace": "/",
                "room": room, "skip_sid": null, "callback": null, "host_id": "a back end" })
        .to_string()
    };
    redis.publish("socketio", python(json!("files"), json!([{ "reason": "updated", "name": "файл" }]))).await;
    let told = json!({ "reason": "updated", "name": "файл" });
    assert_eq!(heard(&mut files).await, ("files:changed".to_owned(), told));
    redis.publish("socketio", python(Value::Null, json!([7]))).await;
    for page in [&mut files, &mut users] {
        assert_eq!(heard(page).await, ("files:changed".to_owned(), json!(7)), "without a room to everybody");
    }

    let node = |rooms: &[&str], data: Packed| {
        let map = |pairs: &[(&str, Packed)]| Packed::Map(pairs.iter().map(|(k, v)| ((*k).into(), v.clone())).collect());
        let rooms = Packed::Array(rooms.iter().map(|room| Packed::from(*room)).collect());
        let packet = map(&[("type", 2.into()), ("data", Packed::Array(vec!["x".into(), data])), ("nsp", "/".into())]);
        let options = map(&[("rooms", rooms), ("flags", map(&[])), ("except", Packed::Array(vec![]))]);
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, &Packed::Array(vec!["emitter".into(), packet, options])).unwrap();
        bytes
    };
    redis.publish("socket.io#/#files#", node(&["files"], 1.into())).await;
    assert_eq!(heard(&mut files).await, ("x".to_owned(), json!(1)));
    redis.publish("socket.io#/#", node(&["files", "users", "files"], 2.into())).await;
    for page in [&mut files, &mut users] {
        assert_eq!(heard(page).await, ("x".to_owned(), json!(2)), "once, however many rooms are named");
    }
    redis.publish("socket.io#/chat#", node(&[], 3.into())).await;
    nothing_more(&hub, &mut [&mut files, &mut users]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_publishes_in_the_format_of_workers() {
    let redis = Redis::start().await;
    let hub = worker(&redis).await;
    let mut files = page(&hub, "files").await;
    let envelope = json!({ "reason": "deleted", "seq": 1_700_000_000_000_u64, "worker": 7, "scope": "room:files",
                           "id": 4, "data": null });
    let message = json!({ "event": "files:changed", "room": "files", "envelope": envelope });
    assert_eq!(redis.publish("syncline:rooms", message.to_string()).await, 1);
    assert_eq!(heard(&mut files).await, ("files:changed".to_owned(), envelope));
}

/// Messages that nobody who means well sends, with the channels that they come by.
fn forgeries() -> Vec<(&'static str, Vec<u8>)> {
    let good = json!({ "reason": "updated", "seq": 1, "worker": 7, "scope": "room:files", "id": 4, "data": null });
    let with = |field: &str, value: Value| {
        let mut envelope = good.clone();
        envelope[field] = value;
        json!({ "event": "files:changed", "room": "files", "envelope": envelope }).to_string()
    };
    let notice = |event: &str, room: &str| json!({ "event": event, "room": room, "envelope": good }).to_string();
    let mut forged: Vec<(&str, Vec<u8>)> = Vec::new();
    for channel in ["syncline:rooms", "syncline:hints", "syncline:presence", "socketio", "socket.io#/#", "socket.io#x"]
    {
        for garbage in [&b""[..], b"\0\xff\xfe", b"{", b"[]", b"null", b"{\"event\":1}", &[b'['; 5_000][..]] {
            forged.push((channel, garbage.to_vec()));
        }
    }
    for text in [
        with("reason", json!("exploded")),
        with("seq", json!("now")),
        with("seq", json!(-1)),
        with("worker", json!(0)),
        with("scope", json!("global")),
        with("id", json!({})),
        with("data", json!("x".repeat(100_000))),
        notice("server:sync", "files"),
        notice("client:sync", "files"),
        notice("files:changed", "nowhere"),
        notice("files:changed", "main/files"),
        notice("", "files"),
    ] {
        forged.push(("syncline:rooms", text.into_bytes()));
    }
    forged.extend(forged_emissions());
    for channel in ["syncline:hints", "syncline:rooms", "socketio", "socket.io#/#"] {
        forged.push((channel, vec![b'['; 1 << 20]));
    }
    forged.push(("syncline:presence", vec![b' '; 5 << 20]));
    forged
}

/// Those in the formats of other back ends.
fn forged_emissions() -> Vec<(&'static str, Vec<u8>)> {
    let emission = |event: &str, room: &str| json!({ "method": "emit", "event": event, "data": [1], "room": room });
    let mut forged = vec![("socketio", emission("server:sync", "files").to_string().into_bytes())];
    forged.push(("socketio", emission("x", "nowhere").to_string().into_bytes()));
    forged.push(("socketio", b"\x80\x04\x95\x20cposix\nsystem\n(S'touch /tmp/owned'\ntR.".to_vec()));
    let odd = Packed::Map(vec![(Packed::Nil, 1.into())]);
    let data = Packed::Array(vec!["x".into(), odd]);
    let packet = Packed::Map(vec![("type".into(), 2.into()), ("data".into(), data)]);
    let mut bytes = Vec::new();
    let parts = vec!["emitter".into(), packet, Packed::Map(vec![])];
    rmpv::encode::write_value(&mut bytes, &Packed::Array(parts)).unwrap();
    forged.push(("socket.io#/#files#", bytes));
    forged
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_and_garbled_messages_are_refused_and_no_page_notices() {
    let redis = Redis::start().await;
    let hub = worker(&redis).await;
    let mut files = page(&hub, "files").await;
    let forged = forgeries();
    let refused = forged.len();
    for (channel, message) in forged {
        redis.publish(channel, &message).await;
    }
    let lsn = u64::MAX;
    let hint = json!({ "space": "main", "lsn": lsn, "epoch": "not-ours", "origin": "somebody" });
    redis.publish("syncline:hints", hint.to_string()).await;
    for origin in ["somebody", "somebody else"] {
        let many = json!({ "origin": origin, "rooms": { "main": { "files": u64::MAX } } });
        redis.publish("syncline:presence", many.to_string()).await;
    }

    let seq = changed(&hub, "files").await;
    assert_eq!(heard(&mut files).await.1["seq"], seq, "the first thing that the page hears");
    until("all of them are counted", async || {
        let text = hub.get("/metrics").await.text();
        let lines = text.lines().filter(|line| line.starts_with("syncline_redis_refused_total{"));
        let sum: usize = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum();
        // Of the garbage, `socket.io#x` is another namespace's, and nobody's business here.
        sum + 7 >= refused
    })
    .await;
    let text = hub.get("/metrics").await.text();
    for code in [
        "python_pickle",
        "python_malformed",
        "node_malformed",
        "notice_malformed",
        "emission_malformed",
        "message_too_large",
        "unknown_room",
    ] {
        assert!(text.contains(&format!("code=\"{code}\"")), "{code}: {text}");
    }
    assert!(!text.contains(PASSWORD));
    // The last that came through Redis, and harmless.
    until("what was forged is counted", async || {
        files.call("files:presence", &Value::Null).await["members"].as_u64().unwrap() > 1
    })
    .await;
    join(&mut files, "users").await;
    nothing_more(&hub, &mut [&mut files]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_page_ends_with_the_newest_event_of_another_back_end() {
    let redis = Redis::start().await;
    let hub = Hub::with(|options| {
        options.redis = Some(redis.options());
        options.live.queued_messages = 8;
    })
    .await;
    is_linked(&hub, true).await;
    let mut slow = page(&hub, "files").await;
    let large = "x".repeat(60_000);
    let told = async |n: u64| {
        let data = json!([{ "n": n, "pad": large }]);
        let message = json!({ "method": "emit", "event": "files:changed", "data": data, "room": "files" });
        redis.publish("socketio", message.to_string()).await;
    };
    let mut newest = 0;
    while metric(&hub, "syncline_live_messages_put_off_total").await < 3.0 {
        newest += 1;
        told(newest).await;
    }

    let (mut last, mut heard_of) = (0, 0);
    while last < newest {
        let n = heard(&mut slow).await.1["n"].as_u64().unwrap();
        assert!(n > last, "{n} after {last}");
        (last, heard_of) = (n, heard_of + 1);
    }
    assert!(heard_of < newest, "some were missed");
}
