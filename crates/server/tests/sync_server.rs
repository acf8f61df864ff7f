//! The sync server as a library: mounted on an application or by itself, with the application's own decision about
//! who comes in and its own storage of events.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod support;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use std::sync::{Arc, Mutex};
use support::socket::{Client, Packet};
use syncline_server::ServerError;
use syncline_server::sync_server::{EventKind, Http, SyncEvent, SyncServer, SyncStorage};

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
    let page = axum::routing::get(|| async { "the application's own page" });
    let app = axum::Router::new().route("/page", page).merge(sync.router());
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
