//! What a client may send: long lists, odd ones, and what it says of itself.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_is_answered_with_an_object() {
    let hub = Hub::start().await;
    let mut early = Client::connect(&hub.addr, ADMIN).await;
    let said = early.call("client:sync", &json!([])).await;
    assert_eq!(said, json!({ "success": false, "error": "Client not registered" }));
    let mut a = registered(&hub, "a", &["users"]).await;
    for broken in [json!(null), json!({}), json!(5), json!("x"), json!(true)] {
        let said = a.call("client:sync", &broken).await;
        assert_eq!(said["success"], json!(false), "{broken}");
        assert!(said["error"].as_str().is_some_and(|why| !why.is_empty()), "{said}");
    }
    let odd = json!([null, 5, [], {}, { "type": "insert" }, insert("no/such", &json!({ "id": "x" })),
        insert("users", &json!({ "id": "x", "_id": "y" })), insert("users", &json!({ "id": {} })),
        update("users", &json!(null), &json!(null)), update("users", &json!([]), &json!(5)),
        delete("users", &json!({ "id": { "$regex": "(a+)+$" } })),
        delete("users", &json!({ "$or": vec![json!({ "id": { "$regex": "\\w{40}" } }); 51] })), insert("users", &json!({ "id": "good" }))]);
    assert_eq!(a.call("client:sync", &odd).await, json!({ "success": true }), "a refusal would block the client");
    let (name, told) = a.event().await;
    assert_eq!(name, "error");
    assert!(told["message"].as_str().is_some_and(|why| why.len() > 10), "{told}");
    let set_aside = hub.get("/admin/spaces/main/quarantine").await.json();
    assert!(set_aside.to_string().contains("no/such"), "{set_aside}");
    let mut b = registered(&hub, "b", &["users"]).await;
    assert_eq!(heard(&mut b).await, [json!({ "id": "good" })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_backlog_is_taken() {
    let hub = Hub::start().await;
    let mut a = registered(&hub, "a", &["users"]).await;
    let text = "t".repeat(300);
    let many: Vec<_> = (0..6_000).map(|n| insert("users", &json!({ "id": format!("d{n}"), "text": text }))).collect();
    assert_eq!(sync(&mut a, &many).await, json!({ "success": true }));
    let mut b = registered(&hub, "b", &["users"]).await;
    let mut got = 0;
    while got < 6_000 {
        got += heard(&mut b).await.len();
    }
    assert_eq!(got, 6_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_in_a_long_list_means_what_stands_by_then() {
    let hub = Hub::start().await;
    let mut a = registered(&hub, "a", &["users"]).await;
    let some = |range: std::ops::Range<u32>| range.map(|n| insert("users", &json!({ "id": format!("d{n}"), "n": n })));
    let mut list: Vec<Value> = some(0..1_500).collect();
    list.push(delete("users", &json!({ "n": { "$gte": 0 } })));
    list.extend(some(1_500..3_000));
    list.push(delete("users", &json!({ "n": { "$gte": 1_510 } })));
    assert_eq!(sync(&mut a, &list).await, json!({ "success": true }));
    assert_eq!(sync(&mut a, &list).await, json!({ "success": true }), "a repeat");

    let mut b = registered(&hub, "b", &["users"]).await;
    let mut got = Vec::new();
    while got.len() < 10 {
        got.extend(heard(&mut b).await);
    }
    assert!(got.len() == 10 && got.iter().all(|document| document["n"].as_u64() >= Some(1_500)), "{got:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn removals_behind_each_other_mean_what_those_before_them_leave() {
    let hub = Hub::start().await;
    let mut a = registered(&hub, "a", &["users"]).await;
    let some = |range: std::ops::Range<u32>| range.map(|n| insert("users", &json!({ "id": format!("d{n}"), "n": n })));
    let mut list: Vec<Value> = some(0..300).collect();
    list.extend((0..120).map(|n| delete("users", &json!({ "id": { "$regex": format!("^d{n}$") } }))));
    list.push(delete("users", &json!({ "n": { "$lt": 200 } })));
    list.push(delete("posts", &json!({ "n": { "$gte": 0 } })));
    list.push(update("users", &json!({ "n": { "$lt": 205 } }), &json!({ "$set": { "n": 1_000 } })));
    list.push(delete("users", &json!({ "n": { "$lt": 290 } })));
    list.push(delete("users", &json!({ "n": 1_000, "id": "d204" })));
    list.extend(some(0..1));
    assert_eq!(sync(&mut a, &list).await, json!({ "success": true }));

    let mut b = registered(&hub, "b", &["users"]).await;
    let mut got = BTreeSet::new();
    while got.len() < 15 {
        got.extend(heard(&mut b).await.iter().map(|document| document["id"].as_str().unwrap().to_owned()));
    }
    let left = (200..204).chain(290..300).chain(0..1).map(|n| format!("d{n}")).collect();
    assert_eq!(got, left);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_of_any_length_is_one_row_of_the_quarantine() {
    let hub = Hub::start().await;
    let mut a = registered(&hub, "a", &["users"]).await;
    let good = insert("users", &json!({ "id": "good" }));
    let said = a.call("client:sync", &json!([vec![json!(0); 300_000], vec![good]].concat())).await;
    assert_eq!(said, json!({ "success": true }));
    let rows = hub.get("/admin/spaces/main/quarantine").await.json();
    assert_eq!(rows["quarantine"].as_array().unwrap().len(), 1, "{rows}");
    let mut b = registered(&hub, "b", &["users"]).await;
    assert_eq!(heard(&mut b).await, [json!({ "id": "good" })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_one_clients_and_may_say_more_of_it() {
    let hub = Hub::start().await;
    let mut other = registered(&hub, "other", &[]).await;
    let mut a = registered(&hub, "a", &[]).await;

    a.emit("client:info", &json!({ "clientId": "b", "collections": ["users"] })).await;
    let (name, told) = a.event().await;
    assert!(name == "error" && told["message"].as_str().unwrap().contains("`clientId`"), "{told}");
    a.emit("client:info", &json!({ "clientId": "a", "collections": ["users"] })).await;
    sync(&mut a, &[insert("users", &json!({ "_id": "odd" }))]).await;
    assert_eq!(a.event().await.0, "error", "an event that is set aside");
    sync(&mut other, &[insert("users", &json!({ "id": "x" }))]).await;

    assert_eq!(heard(&mut a).await, [json!({ "id": "x" })]);
    let rows = hub.get("/admin/spaces/main/quarantine").await.json();
    assert_eq!(rows["quarantine"][0]["node"], json!("(live:a)"), "it is still who it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_listens_to_a_thousand_collections_and_may_write_to_more() {
    let hub = Hub::start().await;
    let names: Vec<String> = (0..1_000).map(|n| format!("c{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut a = registered(&hub, "a", &names).await;
    let mut b = registered(&hub, "b", &["more"]).await;

    assert_eq!(sync(&mut a, &[insert("more", &json!({ "id": "of-a" }))]).await, json!({ "success": true }));
    assert_eq!(heard(&mut b).await, [json!({ "id": "of-a" })]);
    sync(&mut b, &[insert("more", &json!({ "id": "of-b" })), insert("c7", &json!({ "id": "listed" }))]).await;

    assert_eq!(heard(&mut a).await, [json!({ "id": "listed" })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_larger_than_all_bodies_may_be_is_taken_alone() {
    let hub = Hub::with(|options| options.settings.bounds.inflight_body_bytes = 1_000).await;
    let mut a = registered(&hub, "a", &["users"]).await;
    let large = insert("users", &json!({ "id": "u1", "text": "t".repeat(2_000) }));
    assert_eq!(sync(&mut a, &[large]).await, json!({ "success": true }), "busy it would be for ever");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_was_cut_within_a_character_hinders_nobody() {
    let hub = Hub::start().await;
    let mut a = registered(&hub, "a", &["notes"]).await;
    let raw = async |client: &mut Client, ack: u64, event: &Value, cut: &str| {
        let list = json!(["client:sync", [event]]).to_string().replace("CUT", cut);
        client.send_raw(&format!("42{ack}{list}")).await;
        client.packet().await
    };
    let done = |ack| Packet::Answer(ack, json!({ "success": true }));
    let note = insert("notes", &json!({ "id": "x", "text": "nice CUT", "n": 1 }));
    assert_eq!(raw(&mut a, 1, &note, r"\ud83d").await, done(1));

    let change = update("notes", &json!({ "id": "x", "text": "nice CUT" }), &json!({ "$set": { "n": 2, "t": "CUT" } }));
    assert_eq!(raw(&mut a, 2, &change, r"\ud83d").await, done(2));
    assert_eq!(raw(&mut a, 3, &delete("notes", &json!({ "n": 2 })), "").await, done(3));
    let mut late = registered(&hub, "late", &["notes"]).await;
    sync(&mut a, &[insert("notes", &json!({ "id": "fence" }))]).await;
    assert_eq!(heard(&mut late).await, [json!({ "id": "fence" })]);
}
