//! Tokens as administrators make and change them, and what requests of administration may say.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_added_rotated_listed_without_secrets_and_removed() {
    let hub = Hub::start().await;
    let first = token(&hub, &json!({ "name": "device" })).await;
    assert_eq!(hub.post("/admin/tokens", &json!({ "name": "device" })).await.refusal(409), "token_exists");
    let limited_admin = json!({ "name": "x", "admin": true, "space": "acme" });
    assert_eq!(hub.post("/admin/tokens", &limited_admin).await.refusal(400), "malformed_token");
    let nowhere = json!({ "name": ".." });
    assert_eq!(hub.post("/admin/tokens", &nowhere).await.refusal(400), "malformed_token", "it could not be removed");
    let long = json!({ "name": "n".repeat(121) });
    assert_eq!(hub.post("/admin/tokens", &long).await.refusal(400), "malformed_token", "no room for its clients' name");
    let impostor = json!({ "name": "x", "node": "(token:device)" });
    assert_eq!(hub.post("/admin/tokens", &impostor).await.refusal(400), "malformed_token");
    let reserved = json!({ "name": "(token:device)" });
    assert_eq!(hub.post("/admin/tokens", &reserved).await.refusal(400), "malformed_token", "a name of the hub's own");
    let heavy = json!({ "name": "x", "claims": { "a": "z".repeat(300_000) } });
    assert_eq!(hub.post("/admin/tokens", &heavy).await.refusal(400), "malformed_token");
    assert_eq!(
        hub.post("/admin/tokens", &json!({ "name": "x", "colections": [] })).await.refusal(400),
        "malformed_json"
    );

    let second =
        hub.post("/admin/tokens/device/rotate", &Value::Null).await.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(with(&hub, &first, "GET", "/sync/pull?node=r", &Value::Null).await.status, 401);
    assert_eq!(with(&hub, &second, "GET", "/sync/pull?node=r", &Value::Null).await.status, 200);

    let listed = hub.get("/admin/tokens").await.text();
    assert!(listed.contains("device") && listed.contains("admin"));
    assert!(!listed.contains(&second) && !listed.contains(ADMIN) && !listed.contains("hash"), "{listed}");

    assert_eq!(with(&hub, ADMIN, "DELETE", "/admin/tokens/device", &Value::Null).await.status, 200);
    assert_eq!(with(&hub, &second, "GET", "/sync/pull?node=r", &Value::Null).await.status, 401);
    assert_eq!(with(&hub, ADMIN, "DELETE", "/admin/tokens/device", &Value::Null).await.refusal(404), "not_found");
    assert_eq!(with(&hub, ADMIN, "DELETE", "/admin/tokens/admin", &Value::Null).await.refusal(409), "token_declared");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_token_leaves_what_it_does_not_name_and_says_what_it_may_not_have_meant() {
    let hub = Hub::start().await;
    hub.push("n1", "b1", &json!([insert(1, "tasks", "x")])).await;
    let rows = json!({ "tasks": { "owner": "$sub" } });
    let made =
        hub.post("/admin/tokens", &json!({ "name": "anna", "space": "main", "write": false, "rows": rows })).await;
    let (secret, remarks) = (made.json()["token"].as_str().unwrap().to_owned(), made.json()["remarks"].to_string());
    assert!(remarks.contains("all other collections of space `main` are open whole"), "{remarks}");

    let change = async |body: &Value| with(&hub, ADMIN, "PATCH", "/admin/tokens/anna", body).await;
    let answer =
        change(&json!({ "expires_at": 4_000_000_000_000_u64, "collections": ["tasks", "taskz"] })).await.json();
    let now = &answer["changed"];
    assert_eq!((&now["rows"], &now["write"], &now["space"]), (&rows, &json!(false), &json!("main")), "{answer}");
    assert!(answer["remarks"].to_string().contains("nothing is in `taskz` of space `main` yet"), "{answer}");
    assert_eq!(answer["remarks"].as_array().unwrap().len(), 1, "{answer}");
    let page = with(&hub, &secret, "GET", "/sync/pull?node=r", &Value::Null).await.json();
    assert_eq!(page["ops"], json!([]), "the filter still holds");

    for (body, code) in [
        (json!({}), "malformed_token"),
        (json!({ "name": "ben" }), "malformed_token"),
        (json!({ "collections": ["notes"] }), "malformed_rows"),
        (json!({ "rows": { "tasks": null }, "admin": true }), "malformed_token"),
        (json!([{ "write": true }]), "malformed_json"),
    ] {
        assert_eq!(change(&body).await.refusal(400), code, "{body}");
    }
    let twice = br#"{"rows": {"tasks": {"owner": "$sub"}, "tasks": {}}}"#;
    let admin = format!("Bearer {ADMIN}");
    let twice = hub.send("PATCH", "/admin/tokens/anna", &[("authorization", &admin)], twice).await;
    assert_eq!(twice.refusal(400), "malformed_json");
    assert!(twice.text().contains("`tasks` stands twice"), "{}", twice.text());
    let listed = hub.get("/admin/tokens").await.json()["tokens"][1].clone();
    assert_eq!((&listed["rows"], &listed["write"]), (&rows, &json!(false)), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_no_body_of_an_admin_request() {
    let hub = Hub::start().await;
    let rules = "/admin/spaces/main/collections/notes";
    let admin = [("authorization", &*format!("Bearer {ADMIN}"))];
    assert_eq!(hub.send("PUT", rules, &admin, br#"{"max_bytes": 100}"#).await.status, 200);
    let node = r#"{"id":"11111111-1111-4111-8111-000000000001","code":"N1","name":"","plan":[["notes"]]}"#;
    for (method, path, body) in [
        ("PUT", rules, "[]"),
        ("POST", "/admin/tokens", r#"["sly"]"#),
        ("POST", "/admin/spaces/main/nodes", r#"["11111111-1111-4111-8111-000000000001", "N1", "x"]"#),
        ("POST", "/admin/spaces/main/nodes", node),
    ] {
        let reply = hub.send(method, path, &admin, body.as_bytes()).await;
        assert_eq!(reply.refusal(400), "malformed_json", "{method} {path} {body}");
        assert!(reply.text().contains("a list stands where") && !reply.text().contains("struct"), "{}", reply.text());
    }
    let kept = hub.get("/admin/spaces/main/collections").await.json();
    assert_eq!(kept["collections"][0]["max_bytes"], 100, "{kept}");
    assert_eq!(hub.get("/admin/tokens").await.json()["tokens"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_of_tokens_at_once_none_brings_back_what_the_other_removed() {
    let store = FaultyStore::held();
    let hub = Arc::new(Hub::on(store.clone(), |_| {}).await);
    let gone = token(&hub, &json!({ "name": "gone" })).await;

    // The rotation has found its token, and writes it only when the removal has had its time.
    store.hold_next_record();
    let rotation = tokio::spawn({
        let hub = Arc::clone(&hub);
        async move { hub.post("/admin/tokens/gone/rotate", &Value::Null).await.json()["token"].clone() }
    });
    while store.holds_next_record() {
        tokio::task::yield_now().await;
    }
    let mut removal = tokio::spawn({
        let hub = Arc::clone(&hub);
        async move { with(&hub, ADMIN, "DELETE", "/admin/tokens/gone", &Value::Null).await.status }
    });
    // Time in which a removal that does not wait for its turn is done.
    let early = tokio::time::timeout(Duration::from_millis(200), &mut removal).await;
    store.late_record.add_permits(1);
    let removed = match early {
        Ok(done) => done.unwrap(),
        Err(_) => removal.await.unwrap(),
    };

    let rotated = rotation.await.unwrap();
    assert_eq!(removed, 200);
    for secret in [gone.as_str(), rotated.as_str().unwrap()] {
        assert_eq!(with(&hub, secret, "GET", "/sync/pull?node=r", &Value::Null).await.status, 401);
    }
    let listed = hub.get("/admin/tokens").await.json()["tokens"].clone();
    assert!(!listed.to_string().contains("gone"), "{listed}");
    assert!(store.records(RecordKind::Token).await.unwrap().is_empty(), "nor after a restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_one_token_does_not_read_all_tokens() {
    let store = FaultyStore::held();
    let hub = Hub::on(store.clone(), |_| {}).await;
    let reads = || store.reads_of_records.load(Ordering::SeqCst);
    let before = reads();
    for n in 0..20 {
        let id = format!("11111111-1111-4111-8111-{n:012}");
        let wish = json!({ "id": id, "code": format!("N{n}"), "name": "" });
        assert_eq!(hub.post("/admin/spaces/main/nodes", &wish).await.status, 200);
        let node = format!("/admin/spaces/main/nodes/{id}");
        assert_eq!(hub.post(&format!("{node}/rotate-token"), &Value::Null).await.status, 200);
        if n % 2 == 0 {
            assert_eq!(with(&hub, ADMIN, "DELETE", &node, &Value::Null).await.status, 200);
        }
    }
    assert_eq!(reads(), before);
    assert_eq!(hub.get("/admin/tokens").await.json()["tokens"].as_array().unwrap().len(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_of_an_admin_list_that_is_wrong_or_unknown_is_named() {
    let hub = Hub::start().await;
    for (path, named) in [
        ("/admin/spaces/main/conflicts?limit=many", "limit"),
        ("/admin/spaces/main/conflicts?limit=0", "limit"),
        ("/admin/spaces/main/quarantine?limit=-1", "limit"),
        ("/admin/spaces/main/quarantine?before=x", "before"),
        ("/admin/spaces/main/conflicts?after=7", "after"),
        ("/admin/spaces/main/nodes?limit=x", "limit"),
        ("/admin/spaces/main/collections?limit=1", "limit"),
        ("/admin/tokens?after=x", "after"),
        ("/admin/status?limit=x", "limit"),
    ] {
        let reply = hub.get(path).await;
        assert_eq!(reply.refusal(400), "malformed_query", "{path}");
        assert!(reply.json()["error"].as_str().unwrap().contains(&format!("`{named}")), "{path}: {}", reply.text());
    }
    assert_eq!(hub.get("/admin/spaces/main/conflicts?limit=5000&before=9&collection=a&id=x").await.status, 200);
}
