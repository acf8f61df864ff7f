//! What a client may read and write by its token.

use super::*;

fn with_limited_tokens(options: &mut Options) {
    let limited = TokenSpec {
        collections: Some([CollectionName::new("users").unwrap()].into()),
        ..TokenSpec::named(NodeId::new("limited").unwrap())
    };
    let reader = TokenSpec { write: false, ..TokenSpec::named(NodeId::new("reader").unwrap()) };
    for (secret, spec) in [("limited-secret", limited), ("reader-secret", reader)] {
        options.tokens.push(DeclaredToken { secret: secret.to_owned(), spec });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tokens_with_one_client_id_never_share_their_rights() {
    let hub = Hub::with(with_limited_tokens).await;
    let mut first = registered(&hub, "c", &["users"]).await;
    sync(&mut first, &[insert("posts", &json!({ "id": "secret" }))]).await;
    let mut second = registered_with(&hub, "limited-secret", "c", &["users"]).await;
    assert_eq!(sync(&mut second, &[]).await["success"], json!(true));

    let late = sync(&mut first, &[insert("posts", &json!({ "id": "late" }))]).await;

    assert_eq!(late["success"], json!(false), "{late}");
    assert!(late["error"].as_str().unwrap().starts_with("Client not registered"), "{late}");
    hears_nothing_more(&hub, &mut second, "users").await;
    let mut third = registered(&hub, "d", &["posts"]).await;
    assert_eq!(heard(&mut third).await, [json!({ "id": "secret" })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_reads_and_writes_only_within_its_grant() {
    let hub = Hub::with(with_limited_tokens).await;
    let mut all = registered(&hub, "all", &["users", "posts"]).await;
    let mut limited = registered_with(&hub, "limited-secret", "limited", &["users", "posts"]).await;
    let (name, told) = limited.event().await;
    assert!(name == "error" && told["message"].as_str().unwrap().contains("posts"), "{told}");

    let both = [insert("posts", &json!({ "id": "no" })), insert("users", &json!({ "id": "yes" }))];
    assert_eq!(sync(&mut limited, &both).await["success"], json!(true), "what comes behind must not wait");
    assert_eq!(heard(&mut all).await, [json!({ "id": "yes" })]);
    assert_eq!(limited.event().await.0, "error");
    let theirs = [insert("posts", &json!({ "id": "theirs" })), insert("users", &json!({ "id": "later" }))];
    sync(&mut all, &theirs).await;
    assert_eq!(heard(&mut limited).await, [json!({ "id": "later" })]);

    let mut reader = registered_with(&hub, "reader-secret", "reader", &["users"]).await;
    assert_eq!(heard(&mut reader).await, [json!({ "id": "yes" }), json!({ "id": "later" })]);
    sync(&mut reader, &[insert("users", &json!({ "id": "by-reader" }))]).await;
    assert_eq!(reader.event().await.0, "error");
    hears_nothing_more(&hub, &mut all, "users").await;
}
