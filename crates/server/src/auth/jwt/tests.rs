//! Signed tokens: what is taken, and what is not.

use super::keys::{Key, key_set};
use super::token::Signed;
use super::*;
use crate::auth::TokenSpec;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use syncline_core::model::NodeId;

/// Signed with a key that was thrown away: `{"sub":"anna","exp":4102444800}`.
pub(super) const RSA_TOKEN: &str = concat!(
    "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYS0xIn0.eyJzdWIiOiAiYW5uYSIsICJleHAiOiA0MTAyNDQ0ODAwfQ.AXbFZ8zY1fntP",
    "2haC4o01yBgaRM3tABj5wUS0UE1yn9H_DBZSiWt4bFjPPYtuBVulOujKqRuD4h6qRbb_RCKY2-",
    "Nu5bkNl0TXtMoT8ToU7tCIPngj-BPeX4cEAOZ6q_HE3QDhRpMTggxV3k5DT5BhZU6-",
    "uevpvzxHyuYPxmRsKVIUi7LmfiS4E4kVv64CsSyNuUlge_2rYZLjJ0UtiDJVQjFh9YWQKui_VWR9_vvaP0LAS5DbZmZoRkl923Aw",
    "v4uavHUeQIH4IkI8P9eLjWW89qi-HuWC4xywG12L_N_VfyoOC1WnLl3azHPwX8ISIsA9N9m5xbN7PTxJfdobm3L5Q",
);
/// Of its key.
pub(super) const RSA_MODULUS: &str = concat!(
    "tCWWWLkV5fG5MirW5JAl_meaoXtVVr00FLb-fBBp9tcFCFb3zA-_zUqg5Kdkf-NWaG4V7qXJ-",
    "WLnYU9XZiS4bwLIwlIY4Lrbau1xbiJclq_q079AT2HHHx86OTrubtjDjZXS_Z7ANqP5kEvTusqW-rCO-mkjJitK85IRPzi_WlbDT",
    "DPkxCte283ixWxjoRV0ye9lYABeQONj10gD0deG0jd7sKIrybekjDMbR16lXQRcWRi4AGPPkDBysXQQ9iaRFKPCWgtCDrHzmFGEB",
    "S_ISNnU7jGR6Q4A0nb2ONs0k5QhqcGZxbvUQqLtce0WH-4SLw3E8114XHvUfu7xt-pm4w",
);
/// The same key.
pub(super) const RSA_PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAtCWWWLkV5fG5MirW5JAl\n\
/meaoXtVVr00FLb+fBBp9tcFCFb3zA+/zUqg5Kdkf+NWaG4V7qXJ+WLnYU9XZiS4\n\
bwLIwlIY4Lrbau1xbiJclq/q079AT2HHHx86OTrubtjDjZXS/Z7ANqP5kEvTusqW\n\
+rCO+mkjJitK85IRPzi/WlbDTDPkxCte283ixWxjoRV0ye9lYABeQONj10gD0deG\n\
0jd7sKIrybekjDMbR16lXQRcWRi4AGPPkDBysXQQ9iaRFKPCWgtCDrHzmFGEBS/I\n\
SNnU7jGR6Q4A0nb2ONs0k5QhqcGZxbvUQqLtce0WH+4SLw3E8114XHvUfu7xt+pm\n\
4wIDAQAB\n\
-----END PUBLIC KEY-----\n";

pub(super) const SECRET: &[u8] = b"a-secret-of-at-least-thirty-two-bytes";
pub(super) const NOW: Millis = Millis(1_700_000_000_000);

pub(super) fn part(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", part(header.to_string()), part(claims.to_string()))
}

fn by_secret(secret: &[u8], header: &Value, claims: &Value) -> String {
    let message = message(header, claims);
    let made = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", part(made))
}

pub(super) fn hs256(claims: &Value) -> String {
    by_secret(SECRET, &json!({"alg": "HS256"}), claims)
}

/// In an hour, with these beside.
fn claims(more: Value) -> Value {
    let mut all = json!({"sub": "anna", "exp": 1_700_003_600, "iss": "login", "aud": ["x", "hub"]});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

fn grant(when: Value, rows: Value) -> JwtGrant {
    let spec = TokenSpec::named(NodeId::new("grant").unwrap());
    JwtGrant { when, space_claim: None, spec: TokenSpec { rows: serde_json::from_value(rows).unwrap(), ..spec } }
}

pub(super) fn options() -> JwtOptions {
    JwtOptions {
        issuer: Some("login".into()),
        audience: Some("hub".into()),
        grants: vec![
            grant(json!({"role": "boss"}), json!({})),
            grant(
                json!({"role": {"$in": ["clerk", "guest"]}}),
                json!({"tasks": {"owner": "$sub", "team": {"$in": "$teams"}}}),
            ),
        ],
        ..JwtOptions::new([JwtAlgorithm::Hs256], JwtKeys::Secret(SECRET.to_vec()))
    }
}

async fn jwt(options: JwtOptions) -> Jwt {
    Jwt::open(options).await.unwrap()
}

async fn accept(jwt: &Jwt, token: &str) -> Result<Grant, ServerError> {
    jwt.accept(token, crate::auth::secret::digest(token), NOW).await
}

async fn refusal(jwt: &Jwt, token: &str) -> String {
    let error = accept(jwt, token).await.unwrap_err();
    format!("{}: {error}", error.code())
}

#[tokio::test]
async fn claims_open_what_the_first_fitting_grant_says_until_the_token_ends() {
    let jwt = jwt(options()).await;
    let boss = accept(&jwt, &hs256(&claims(json!({"role": "boss"})))).await.unwrap();
    assert_eq!(boss.token_name().as_str(), "jwt:anna");
    assert!(boss.read_rows().is_empty());
    let clerk = hs256(&claims(json!({"role": ["x", "clerk"], "teams": [1, 2]})));
    let grant = accept(&jwt, &clerk).await.unwrap();
    assert!(grant.read_rows().mean("tasks", r#"{"owner":"anna","team":2}"#));
    assert!(!grant.write_rows().mean("tasks", r#"{"owner":"anna","team":3}"#));
    assert_eq!(accept(&jwt, &clerk).await.unwrap().views(), grant.views(), "it is remembered");
    assert!(jwt.check_again(&grant, NOW).is_ok());
    assert!(jwt.check_again(&grant, Millis(NOW.0 + 3_629_000)).is_ok(), "clocks may differ by 30 s");
    assert!(jwt.check_again(&grant, Millis(NOW.0 + 3_631_000)).is_err());
}

#[tokio::test]
async fn every_subject_is_a_name_of_its_own() {
    let jwt = jwt(options()).await;
    let long = "ö".repeat(127);
    let subjects = ["anna", "jörg@example.org", "j%c3%b6rg@example.org", "CN=Anna Bo, O=Acme", "x", &long, &long[2..]];
    let mut names = std::collections::BTreeSet::new();
    for sub in subjects {
        let grant = accept(&jwt, &hs256(&claims(json!({"role": "boss", "sub": sub})))).await.unwrap();
        assert!(names.insert(grant.token_name().clone()), "{sub}");
    }
    let shown = |name: &str| names.iter().any(|known| known.as_str() == name);
    assert!(shown("jwt:j%c3%b6rg@example.org") && shown("jwt:CN=Anna%20Bo,%20O=Acme"), "{names:?}");
}

#[tokio::test]
async fn a_key_set_in_a_file_that_is_none_refuses_the_start() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for text in ["", "garbage", r#"{"keys":[]}"#] {
        std::fs::write(file.path(), text).unwrap();
        let keys = JwtKeys::File(file.path().to_owned());
        let options = JwtOptions { algorithms: [JwtAlgorithm::Rs256].into(), keys, ..options() };
        let why = Jwt::open(options).await.err().unwrap().to_string();
        assert!(why.contains("auth.jwt.jwks_file") && why.contains("it"), "{why}");
    }
}

#[tokio::test]
async fn what_a_rule_needs_and_the_token_does_not_have_is_named() {
    let jwt = jwt(options()).await;
    let missing = refusal(&jwt, &hs256(&claims(json!({"role": "clerk"})))).await;
    assert!(missing.starts_with("forbidden") && missing.contains("the claim `teams`"), "{missing}");
    let sly = claims(json!({"role": "guest", "teams": {"$exists": true}}));
    assert!(refusal(&jwt, &hs256(&sly)).await.contains("the claim `teams` can stand in no filter"));
    let none = refusal(&jwt, &hs256(&claims(json!({"role": "thief"})))).await;
    assert!(none.starts_with("forbidden") && none.contains("[[auth.jwt.grants]]"), "{none}");
}

#[tokio::test]
async fn tokens_that_are_late_early_strange_or_for_somebody_else_are_refused() {
    let jwt = jwt(options()).await;
    for (change, says) in [
        (json!({"exp": 1_699_999_000}), "has expired"),
        (json!({"exp": null}), "`exp` is no time"),
        (json!({"exp": "1900000000"}), "`exp` is no time"),
        (json!({"nbf": 1_700_000_100}), "not valid yet"),
        (json!({"nbf": "1"}), "`nbf` is no time"),
        (json!({"iss": "other"}), "`iss`"),
        (json!({"aud": "other"}), "`aud`"),
        (json!({"aud": null}), "`aud`"),
        (json!({"sub": ""}), "no `sub`"),
        (json!({"sub": 7}), "no `sub`"),
        (json!({"sub": "x".repeat(256)}), "no `sub`"),
    ] {
        let mut all = claims(json!({"role": "boss"}));
        all.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let why = refusal(&jwt, &hs256(&all)).await;
        assert!(why.starts_with("unauthorized") && why.contains(says), "{change}: {why}");
    }
    let soon = hs256(&claims(json!({"role": "boss", "nbf": 1_700_000_029.5, "exp": 1_699_999_971.5})));
    assert!(accept(&jwt, &soon).await.is_ok(), "within 30 s");
}

#[tokio::test]
async fn a_token_does_not_choose_how_it_is_checked() {
    let jwt = jwt(options()).await;
    let all = claims(json!({"role": "boss"}));
    let unsigned = message(&json!({"alg": "none"}), &all) + ".";
    let wrong = by_secret(b"another-secret-of-thirty-two-bytes!", &json!({"alg": "HS256"}), &all);
    let critical = by_secret(SECRET, &json!({"alg": "HS256", "crit": ["b64"]}), &all);
    let mut changed = hs256(&all);
    changed.replace_range(25..26, if &changed[25..26] == "A" { "B" } else { "A" });
    for (token, says) in [
        (unsigned, "in a way that the hub does not accept"),
        (by_secret(SECRET, &json!({"alg": "HS384"}), &all), "in a way that the hub does not accept"),
        (by_secret(SECRET, &json!({"alg": "RS256"}), &all), "in a way that the hub does not accept"),
        (wrong, "signature is not"),
        (critical, "`crit`"),
        (format!("ey.{}.x", "a".repeat(20_000)), "longer than 16 KiB"),
        ("ey.ey.ey".to_owned(), "is no signed token"),
    ] {
        let why = refusal(&jwt, &token).await;
        assert!(why.starts_with("unauthorized") && why.contains(says), "{why}");
    }
    assert!(accept(&jwt, &changed).await.is_err());

    // A public key, which everybody knows, taken for the secret of HS256.
    let keys = [Key::public(RSA_PEM.as_bytes()).unwrap()];
    let forged = by_secret(RSA_PEM.as_bytes(), &json!({"alg": "HS256"}), &all);
    let both = JwtOptions { algorithms: [JwtAlgorithm::Hs256, JwtAlgorithm::Rs256].into(), ..options() };
    let forged = Signed::read(&forged, &both).unwrap();
    assert!(keys.iter().all(|key| !key.is_meant(&forged)));
}

#[test]
fn keys_of_both_kinds_check_what_they_have_signed_and_nothing_else() {
    let both = JwtOptions { algorithms: [JwtAlgorithm::Es256, JwtAlgorithm::Rs256].into(), ..options() };
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &SystemRandom::new()).unwrap();
    let text = message(&json!({"alg": "ES256", "kid": "ec-1"}), &claims(json!({})));
    let made = pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    let token = format!("{text}.{}", part(made));
    let point = pair.public_key().as_ref();
    let ec = json!({"kty": "EC", "crv": "P-256", "kid": "ec-1", "use": "sig", "x": part(&point[1..33]), "y": part(&point[33..])});
    let rsa = json!({"kty": "RSA", "kid": "rsa-1", "alg": "RS256", "n": RSA_MODULUS, "e": "AQAB"});
    let others = [
        json!({"kty": "oct", "k": "c2VjcmV0"}),
        json!({"kty": "OKP", "crv": "Ed25519"}),
        json!(7),
        json!({"kty": "RSA", "use": "enc", "n": RSA_MODULUS, "e": "AQAB"}),
    ];
    let set = json!({"keys": [others[0], others[1], ec, rsa, others[2], others[3]]}).to_string();
    let keys = key_set(set.as_bytes()).unwrap();
    assert_eq!(keys.len(), 2);
    let signers = |token: &str| {
        let signed = Signed::read(token, &both).unwrap();
        keys.iter().map(|key| (key.is_meant(&signed), key.signed(&signed))).collect::<Vec<_>>()
    };
    assert_eq!(signers(&token), [(true, true), (false, false)]);
    assert_eq!(signers(RSA_TOKEN), [(false, false), (true, true)]);
    let cut = RSA_TOKEN.rsplit_once('.').unwrap().0;
    assert_eq!(signers(&format!("{cut}.{}", part([7; 256])))[1], (true, false));

    let pem = Key::public(RSA_PEM.as_bytes()).unwrap();
    assert!(pem.signed(&Signed::read(RSA_TOKEN, &both).unwrap()));
    assert!(Key::public(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").is_err());
    for broken in ["", "{}", "[]", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#] {
        assert!(key_set(broken.as_bytes()).is_err(), "{broken}");
    }
    let many = json!({"keys": vec![json!({}); 101]}).to_string();
    assert!(key_set(many.as_bytes()).err().unwrap().contains("101 keys"));
}

#[tokio::test]
async fn configurations_that_cannot_work_say_why() {
    let grants = |when: Value, rows: Value| JwtOptions { grants: vec![grant(when, rows)], ..options() };
    let keys = |keys| JwtOptions { keys, ..options() };
    let es = JwtOptions { algorithms: [JwtAlgorithm::Es256].into(), ..options() };
    let with = |change: &dyn Fn(&mut JwtGrant)| {
        let mut limited = grant(json!({}), json!({"tasks": {"owner": "$sub"}}));
        change(&mut limited);
        JwtOptions { grants: vec![limited], ..options() }
    };
    let space = |grant: &mut JwtGrant| (grant.spec.rows, grant.space_claim) = ([].into(), Some("org".into()));
    let url = |url: &str| JwtOptions { algorithms: [JwtAlgorithm::Rs256].into(), ..keys(JwtKeys::Url(url.into())) };
    for (options, says) in [
        (JwtOptions { grants: Vec::new(), ..options() }, "[[auth.jwt.grants]]"),
        (grants(json!({"role": {"$like": 1}}), json!({})), "`$like`"),
        (grants(json!({}), json!({"tasks": {"owner": {"$regex": "$sub"}}})), "`$regex`"),
        (with(&|grant| grant.spec.admin = true), "limited to a space, collections, rows"),
        (with(&|grant| (space(grant), grant.spec.admin = true).1), "limited to a space, collections, rows"),
        (with(&|grant| grant.spec.collections = Some([].into())), "does not open this collection"),
        (keys(JwtKeys::Secret(b"short".to_vec())), "5 bytes"),
        (es, "does not fit"),
        (keys(JwtKeys::Url("https://login.example/keys".into())), "does not fit"),
        (url("http://login.example/keys"), "must be https"),
        (url("keys"), "`keys`"),
    ] {
        let why = Jwt::open(options).await.err().unwrap().to_string();
        assert!(why.contains(says), "{why}");
    }
}
