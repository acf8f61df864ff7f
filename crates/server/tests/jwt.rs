//! Tokens of an identity provider over HTTP: keys at an address that rotate, fail and come back.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod support;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::{Hub, Reply, insert};
use syncline_core::model::NodeId;
use syncline_server::auth::{JwtAlgorithm, JwtGrant, JwtKeys, JwtOptions, TokenSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Who signs, with a key of this name.
struct Signer {
    kid: &'static str,
    pair: EcdsaKeyPair,
}

fn part(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    fn new(kid: &'static str) -> Signer {
        let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        Signer { kid, pair: EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &random).unwrap() }
    }

    fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        json!({ "kty": "EC", "crv": "P-256", "kid": self.kid, "x": part(&point[1..33]), "y": part(&point[33..]) })
    }

    /// A token that ends in so many seconds.
    fn token(&self, sub: &str, seconds: u64) -> String {
        self.sign(&json!({ "sub": sub, "exp": now() + seconds, "tenant": "acme" }))
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": "ES256", "kid": self.kid }).to_string();
        let message = format!("{}.{}", part(header), part(claims.to_string()));
        let made = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", part(made))
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// An address with a key set; `None`: it is out of order.
struct Address {
    url: String,
    set: Arc<Mutex<Option<Value>>>,
}

impl Address {
    async fn open(keys: &[&Signer]) -> Address {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let address = Address { url, set: Arc::default() };
        address.show(keys);
        let set = Arc::clone(&address.set);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = match &*set.lock().unwrap() {
                    Some(set) => (200, set.to_string()),
                    None => (500, String::new()),
                };
                let (status, body) = answer;
                let head =
                    format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
                drop(stream.read(&mut [0; 4096]).await);
                drop(stream.write_all(format!("{head}{body}").as_bytes()).await);
            }
        });
        address
    }

    fn show(&self, keys: &[&Signer]) {
        *self.set.lock().unwrap() = Some(json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }));
    }

    fn fail(&self) {
        *self.set.lock().unwrap() = None;
    }
}

fn options(address: &Address) -> JwtOptions {
    let spec = TokenSpec {
        rows: [(syncline_core::model::CollectionName::new("tasks").unwrap(), json!({ "owner": "$sub" }))].into(),
        ..TokenSpec::named(NodeId::new("everybody").unwrap())
    };
    JwtOptions {
        grants: vec![JwtGrant { when: json!({}), space_claim: None, spec }],
        ask_every: Duration::ZERO,
        ..JwtOptions::new([JwtAlgorithm::Es256], JwtKeys::Url(address.url.clone()))
    }
}

async fn get(hub: &Hub, token: &str, path: &str) -> Reply {
    hub.send("GET", path, &[("authorization", &format!("Bearer {token}"))], b"").await
}

async fn status(hub: &Hub, token: &str) -> u16 {
    get(hub, token, "/sync/pull?node=r").await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_token_pushes_and_reads_its_rows_and_its_devices_are_its_own() {
    let signer = Signer::new("a");
    let address = Address::open(&[&signer]).await;
    for hub in Hub::on_every_store_with(|hub| hub.jwt = Some(options(&address))).await {
        let (anna, ben) = (signer.token("anna", 600), signer.token("ben", 600));
        let op = |owner: &str| {
            json!({ "seq": 1, "op": "insert", "collection": "tasks", "id": owner,
            "stamp": support::stamp(1), "doc": { "_id": owner, "owner": owner } })
        };
        for (token, owner) in [(&anna, "anna"), (&ben, "ben")] {
            let body = json!({ "node": owner, "batchId": owner, "ops": [op(owner)] }).to_string();
            let reply =
                hub.send("POST", "/sync/push", &[("authorization", &format!("Bearer {token}"))], body.as_bytes()).await;
            assert_eq!(reply.json()["receipts"][0]["result"], "applied");
        }
        let page = get(&hub, &anna, "/sync/pull?node=anna").await.json();
        assert_eq!(page["ops"].as_array().unwrap().len(), 1);
        assert_eq!(page["ops"][0]["id"], "anna");
        // Another token for the same `sub` goes on as the same one; another `sub` does not get its node.
        let body =
            |token: &str| (format!("Bearer {token}"), json!({ "node": "anna", "batchId": "2", "ops": [] }).to_string());
        for (token, expected) in [(signer.token("anna", 500), 200), (ben, 403)] {
            let (bearer, body) = body(&token);
            let reply = hub.send("POST", "/sync/push", &[("authorization", &bearer)], body.as_bytes()).await;
            assert_eq!(reply.status, expected);
        }
        hub.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_while_tokens_are_in_use() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let address = Address::open(&[&old]).await;
    let hub = Hub::with(|hub| hub.jwt = Some(options(&address))).await;
    let before = old.token("anna", 600);
    assert_eq!(status(&hub, &before).await, 200);

    // A key that nobody has told of yet: the request waits for it.
    address.show(&[&old, &new]);
    assert_eq!(status(&hub, &new.token("anna", 600)).await, 200);
    assert_eq!(status(&hub, &before).await, 200, "the old one is still in the set");

    // While the address is out of order, the keys that are known go on, and nobody learns new ones.
    address.fail();
    let stranger = Signer::new("stranger");
    assert_eq!(status(&hub, &stranger.token("anna", 600)).await, 401);
    assert_eq!(status(&hub, &before).await, 200);

    // A key that has left the set counts no more.
    address.show(&[&new]);
    assert_eq!(status(&hub, &stranger.token("anna", 600)).await, 401);
    assert_eq!(get(&hub, &before, "/sync/pull?node=r").await.refusal(401), "unauthorized");
    assert_eq!(status(&hub, &new.token("anna", 600)).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_issued_since_the_keys_were_read_waits_for_the_next_reading() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let address = Address::open(&[&old]).await;
    let ask_every = Duration::from_secs(3_600);
    let hub = Hub::with(|hub| hub.jwt = Some(JwtOptions { ask_every, ..options(&address) })).await;
    address.show(&[&new]);

    let issued = |iat: u64| new.sign(&json!({ "sub": "anna", "exp": now() + 600, "iat": iat }));
    let fresh = get(&hub, &issued(now() + 60), "/sync/pull?node=r").await;
    assert_eq!(fresh.refusal(503), "keys_pending", "its key may be a new one");
    assert_eq!(status(&hub, &issued(now() - 3_600)).await, 401, "its key was not in the set when it was read");
    assert_eq!(status(&hub, &new.token("anna", 600)).await, 401, "nobody knows when it was issued");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_out_of_order_is_a_pause_for_signed_tokens_and_nothing_for_others() {
    let signer = Signer::new("a");
    let address = Address::open(&[&signer]).await;
    address.fail();
    let hub = Hub::with(|hub| hub.jwt = Some(options(&address))).await;
    let token = signer.token("anna", 600);
    let paused = get(&hub, &token, "/sync/pull?node=r").await;
    assert_eq!(paused.refusal(503), "keys_pending");
    assert!(paused.headers.contains_key("retry-after"));
    assert_eq!(hub.push("w", "b", &json!([insert(1, "notes", "x")])).await["status"], "ok");
    address.show(&[&signer]);
    assert_eq!(status(&hub, &token).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_ends_its_connections() {
    let signer = Signer::new("a");
    let address = Address::open(&[&signer]).await;
    let change = |hub: &mut syncline_server::Options| {
        hub.jwt = Some(JwtOptions { leeway: Duration::ZERO, ..options(&address) });
    };
    let hub = Hub::with(change).await;
    let token = signer.token("anna", 3);
    let waiting = get(&hub, &token, "/sync/pull?node=r&wait=4");
    assert_eq!(waiting.await.refusal(401), "unauthorized", "it has ended while it waited");
    assert_eq!(status(&hub, &token).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_count_no_more_when_they_could_not_be_read_for_too_long() {
    let signer = Signer::new("a");
    let address = Address::open(&[&signer]).await;
    let keep = Duration::from_millis(500);
    let hub = Hub::with(|hub| hub.jwt = Some(JwtOptions { keep, ..options(&address) })).await;
    let token = signer.token("anna", 600);
    assert_eq!(status(&hub, &token).await, 200);
    address.fail();
    while status(&hub, &token).await == 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(get(&hub, &token, "/sync/pull?node=r").await.refusal(503), "keys_pending");
    let ready = hub.get("/health/ready").await.json();
    assert_eq!((&ready["status"], &ready["keys"]), (&json!("degraded"), &json!("missing")));
    let why = ready["trouble"][0].as_str().unwrap();
    assert!(why.contains(&address.url) && why.contains("it answers 500"), "{why}");
    assert!(hub.get("/metrics").await.text().contains("\nsyncline_keys_missing 1\n"));
    address.show(&[&signer]);
    assert_eq!(status(&hub, &token).await, 200, "it is read when it is asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_set_in_a_file_is_read_again_and_a_claim_names_the_space() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.json");
    let write = |keys: &[&Signer]| {
        let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
        std::fs::write(&path, json!({ "keys": keys }).to_string()).unwrap();
    };
    write(&[&old]);
    let spec = TokenSpec::named(NodeId::new("tenants").unwrap());
    let grants = vec![JwtGrant { when: json!({}), space_claim: Some("tenant".to_owned()), spec }];
    let keys = JwtKeys::File(path.clone());
    let jwt = JwtOptions { grants, ask_every: Duration::ZERO, ..JwtOptions::new([JwtAlgorithm::Es256], keys) };
    let hub = Hub::with(|hub| hub.jwt = Some(jwt)).await;
    // A space is made by a token or a collection in it, not by a claim.
    assert_eq!(status(&hub, &old.token("anna", 600)).await, 404);
    let made = hub.post("/admin/tokens", &json!({ "name": "acme", "space": "acme" })).await;
    assert_eq!(made.status, 200);
    assert_eq!(status(&hub, &old.token("anna", 600)).await, 200);
    assert_eq!(get(&hub, &old.token("anna", 600), "/s/main/sync/pull?node=r").await.refusal(403), "forbidden");
    write(&[&new]);
    assert_eq!(status(&hub, &new.token("anna", 600)).await, 200);
    assert_eq!(status(&hub, &old.token("anna", 600)).await, 401);
}
