//! The sync server as a library: mounted on an application or by itself, with the application's own decision about
//! who comes in and its own storage of events.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod support;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use std::sync::{Arc, Mutex};
use support::socket::{Client, Packet};
use syncline_server::ServerError;
use syncline_server::store::{SqliteOptions, SqliteStore};
use syncline_server::sync_server::{EventKind, Http, Sid, SyncEvent, SyncServer, SyncStorage, Unsent};
use tower::ServiceExt;

/// A storage that an application might bring.
#[derive(Default)]
struct Kept(Mutex<Vec<SyncEvent>>);

impl SyncStorage for Kept {
    fn save_events(&self, events: Vec<SyncEvent>) -> BoxFuture<'_, Result<(), ServerError>> {
        self.0.lock().unwrap().extend(events);
        std::future::ready(Ok(())).boxed()
    }

    fn get_events_after(&self, timestamp: u64) -> BoxFuture<'_, Result<Vec<SyncEvent>, ServerError>> {
        let all = self.0.lock().unwrap().iter().filter(|event| event.timestamp > timestamp).cloned().collect();
        std::future::ready(Ok(all)).boxed()
    }

    fn get_events_for_client<'a>(
        &'a self,
        client_id: &'a str,
        collections: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<SyncEvent>, ServerError>> {
        let wanted = |event: &&SyncEvent| event.client_id != client_id && collections.contains(&event.collection);
        let all = self.0.lock().unwrap().iter().filter(wanted).cloned().collect();
        std::future::ready(Ok(all)).boxed()
    }

    fn clear_events_before(&self, timestamp: u64) -> BoxFuture<'_, Result<u64, ServerError>> {
        let mut all = self.0.lock().unwrap();
        let before = all.len();
        all.retain(|event| event.timestamp >= timestamp);
        std::future::ready(Ok((before - all.len()) as u64)).boxed()
    }
}

fn event(id: &str, client: &str, data: &serde_json::Value) -> serde_json::Value {
    json!({ "id": id, "type": "insert", "collection": "users", "documentId": data["id"], "data": data,
            "timestamp": 1_700_000_000_000u64, "clientId": client })
}

async fn register(client: &mut Client, id: &str) {
    client.emit("client:info", &json!({ "clientId": id, "collections": ["users"] })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_decides_who_comes_in_and_mounts_the_server() {
    let sync = SyncServer::builder()
        .authenticate(|handshake, token| async move {
            handshake.uri.path().starts_with("/socket.io") && token.as_deref() == Some("valid-token")
        })
        .build()
        .await
        .unwrap();
    let page = || axum::routing::get(|| async { "the application's own page" });
    let app = axum::Router::new().route("/metrics", page()).fallback(page()).merge(sync.router());
    for path in ["/metrics", "/docs", "/sync/pull", "/anything"] {
        let said = app.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let text = to_bytes(said.into_body(), 1_000).await.unwrap();
        assert_eq!(text, "the application's own page", "{path}");
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    sync.start().await.unwrap();

    assert_eq!(
        Client::greet(&addr, &json!({ "token": "other" })).await.1,
        Packet::Refused("Authentication failed".to_owned())
    );
    let mut a = Client::connect(&addr, "valid-token").await;
    register(&mut a, "a").await;
    let said = a.call("client:sync", &json!([event("e1", "a", &json!({ "id": "u1" }))])).await;

    assert_eq!(said, json!({ "success": true }));
    assert_eq!(sync.clients_count(), 1);
    let kept = sync.storage().get_events_for_client("b", &["users".to_owned()]).await.unwrap();
    assert_eq!(
        (kept[0].kind, &kept[0].data, kept[0].client_id.as_str()),
        (EventKind::Insert, &Some(json!({ "id": "u1" })), "a")
    );
    assert!(sync.storage().get_events_for_client("a", &["users".to_owned()]).await.unwrap().is_empty());
    sync.stop().await.unwrap();
    assert_eq!(a.packet().await, Packet::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_applications_own_storage_is_given_everything_and_fills_the_next_server() {
    let kept = Arc::new(Kept::default());
    for round in 0..2 {
        let sync = SyncServer::builder()
            .http(Http::Listen("127.0.0.1:0".to_owned()))
            .storage(Arc::clone(&kept) as Arc<dyn SyncStorage>)
            .build()
            .await
            .unwrap();
        sync.start().await.unwrap();
        let addr = sync.addr().unwrap().to_string();
        let mut client = Client::open(&addr).await;
        client.send_raw("40").await;
        assert_eq!(client.packet().await, Packet::Connected, "nobody is asked for a token");
        register(&mut client, &format!("client-{round}")).await;
        if round == 0 {
            let list = json!([event("e1", "client-0", &json!({ "id": "u1", "n": 1 }))]);
            for _ in 0..2 {
                assert_eq!(client.call("client:sync", &list).await, json!({ "success": true }));
            }
        } else {
            let (name, list) = client.event().await;
            assert_eq!((name.as_str(), &list[1]["data"]), ("server:sync", &json!({ "id": "u1", "n": 1 })));
        }
        sync.stop().await.unwrap();
        assert_eq!(kept.0.lock().unwrap().len(), 1);
    }
    assert_eq!(kept.clear_events_before(u64::MAX).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_events_are_kept_as_they_were_understood_and_the_next_server_starts() {
    let kept = Arc::new(Kept::default());
    let start = || async {
        let storage = Arc::clone(&kept) as Arc<dyn SyncStorage>;
        let sync = SyncServer::builder().http(Http::Listen("127.0.0.1:0".to_owned())).storage(storage).build().await;
        let sync = sync.unwrap();
        sync.start().await.unwrap();
        sync
    };
    let sync = start().await;
    let mut client = Client::connect(&sync.addr().unwrap().to_string(), "any").await;
    register(&mut client, "a").await;
    let odd = json!([
        { "id": 7, "type": "insert", "collection": "users", "data": { "id": "u1", "n": 1 }, "clientId": "" },
        { "id": "e2", "type": "insert", "collection": "users", "documentId": "u2", "data": {}, "timestamp": "soon" },
        { "id": "e3", "type": "update", "collection": "users", "documentId": "u1", "data": { "n": 2 } },
    ]);
    assert_eq!(client.call("client:sync", &odd).await, json!({ "success": true }));
    assert_eq!(kept.0.lock().unwrap().len(), 3, "what is accepted is kept");
    assert!(kept.0.lock().unwrap().iter().all(|event| event.client_id == "a"));
    sync.stop().await.unwrap();

    let unusable = |client: &str| SyncEvent { client_id: client.to_owned(), ..kept.0.lock().unwrap()[0].clone() };
    let unusable = [unusable(""), unusable("no such client")];
    kept.0.lock().unwrap().splice(0..0, unusable);
    let sync = start().await;
    let mut client = Client::connect(&sync.addr().unwrap().to_string(), "any").await;
    register(&mut client, "b").await;
    let (_, list) = client.event().await;
    let told: Vec<_> = list.as_array().unwrap().iter().filter_map(|event| event.get("data").cloned()).collect();
    assert_eq!(told, [json!({ "id": "u2" }), json!({ "id": "u1", "n": 2 })]);
    sync.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lasts_is_filled_once_and_knows_what_was_sent_before() {
    let kept = Arc::new(Kept::default());
    let event_of = |event: serde_json::Value| serde_json::from_value::<SyncEvent>(event).unwrap();
    let update = json!({ "id": "e2", "type": "update", "collection": "users", "documentId": "query-based", "clientId": "a",
                         "query": {}, "update": { "$inc": { "n": 1 } }, "timestamp": 1_700_000_000_001u64 });
    let first = [event("e1", "a", &json!({ "id": "u1", "n": 1 })), update];
    kept.0.lock().unwrap().extend(first.clone().map(event_of));
    let dir = tempfile::TempDir::new().unwrap();
    for _ in 0..2 {
        let store = SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap();
        let builder = SyncServer::builder().http(Http::Listen("127.0.0.1:0".to_owned()));
        let storage = Arc::clone(&kept) as Arc<dyn SyncStorage>;
        let sync = builder.store(Arc::new(store)).storage(storage).build().await.unwrap();
        sync.start().await.unwrap();
        let mut client = Client::connect(&sync.addr().unwrap().to_string(), "any").await;
        register(&mut client, "a").await;
        let said = client.call("client:sync", &json!(first)).await;
        assert_eq!(said, json!({ "success": true }), "repeats of what the storage had");
        let space = sync.app().hub.space(&sync.app().options.default_space).await.unwrap();
        assert_eq!(space.head().last_change.0, 2, "an insert and one increment");
        sync.stop().await.unwrap();
        // It would be another increment.
        let later = json!({ "id": "e3", "type": "update", "collection": "users", "documentId": "u1", "clientId": "z",
                            "update": { "$inc": { "n": 1 } }, "timestamp": 1_700_000_000_002u64 });
        kept.0.lock().unwrap().push(event_of(later));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_built_in_storage_answers_for_a_time_and_for_a_client() {
    let sync = SyncServer::builder().build().await.unwrap();
    let event_of = |event: serde_json::Value| serde_json::from_value::<SyncEvent>(event).unwrap();
    let of = |id: &str, client: &str| event_of(event(id, client, &json!({ "id": id })));
    let storage = sync.storage();
    // Both names end in brackets of their own.
    storage.save_events(vec![of("e1", "a"), of("e2", "a)"), of("e3", "b"), of("e1", "a")]).await.unwrap();

    let users = ["users".to_owned()];
    let of_others = storage.get_events_for_client("a", &users).await.unwrap();
    let authors: Vec<_> = of_others.iter().map(|event| event.client_id.as_str()).collect();
    assert_eq!(authors, ["a)", "b"]);
    assert!(storage.get_events_for_client("a", &["posts".to_owned()]).await.unwrap().is_empty());
    let all = storage.get_events_after(0).await.unwrap();
    assert_eq!(all.len(), 3);
    assert!(storage.get_events_after(all[2].timestamp).await.unwrap().is_empty());
    assert_eq!(storage.clear_events_before(all[2].timestamp + 1).await.unwrap(), 0, "all of it stands");
    sync.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_has_events_and_rooms_of_its_own() {
    let sync = SyncServer::builder().http(Http::Listen("127.0.0.1:0".to_owned())).build().await.unwrap();
    sync.start().await.unwrap();
    let io = Arc::clone(sync.io());
    let rooms = Arc::downgrade(&io);
    io.on("enter", move |line, incoming| {
        let room: String = serde_json::from_str(incoming.payload.get()).unwrap_or_default();
        let entered = rooms.upgrade().is_some_and(|io| io.join(line.sid, room));
        line.answer(incoming.ack, &json!({ "entered": entered, "sid": line.sid.to_string() })).unwrap();
    });
    let addr = sync.addr().unwrap().to_string();
    let (mut a, mut b, mut c) =
        (Client::connect(&addr, "a").await, Client::connect(&addr, "b").await, Client::connect(&addr, "c").await);
    let sid = async |client: &mut Client, room: &str| {
        let said = client.call("enter", &json!(room)).await;
        assert_eq!(said["entered"], true);
        Sid::parse(said["sid"].as_str().unwrap()).unwrap()
    };
    let (of_a, of_b) = (sid(&mut a, "chat").await, sid(&mut b, "chat").await);
    sid(&mut b, "muted").await;

    assert_eq!(io.to("chat").except("muted").emit("said", &json!(1)).unwrap(), 1);
    assert_eq!(io.to("chat").to("muted").emit("said", &json!([2])).unwrap(), 2);
    assert!(io.leave(of_b, "muted") && !io.leave(of_b, "muted"));
    assert_eq!(io.except("chat").emit("said", &json!(3)).unwrap(), 1);
    io.emit_to(of_a, "said", &json!(4)).unwrap();
    assert_eq!(io.emit("said", &json!(5)).unwrap(), 3);

    for (client, heard) in
        [(&mut a, vec![json!(1), json!([2]), json!(4), json!(5)]), (&mut b, vec![json!([2]), json!(5)])]
    {
        for said in heard {
            assert_eq!(client.event().await, ("said".to_owned(), said));
        }
    }
    assert_eq!((c.event().await.1, c.event().await.1), (json!(3), json!(5)));
    assert!(io.disconnect(of_a));
    assert_eq!(a.packet().await, Packet::Disconnect);
    assert_eq!(a.packet().await, Packet::Closed);
    assert!(!io.join(of_a, "chat") && !io.disconnect(of_a));
    assert_eq!(io.emit_to(of_a, "said", &json!(6)), Err(Unsent::Gone));
    assert_eq!(io.to("chat").emit("said", &json!(7)).unwrap(), 1);
    sync.stop().await.unwrap();
}
