//! Clients of two workers that share a database.

use super::bare::{registered, state};
use super::events::insert;
use crate::support::Hub;
use crate::support::socket::Client;
use serde_json::{Value, json};
use std::collections::BTreeSet;

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
