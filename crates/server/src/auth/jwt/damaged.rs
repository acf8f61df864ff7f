//! Tokens, claims and keys, damaged: they are taken or refused with a reason, what was not signed is never taken, and no
//! claims open more than the rule that they were filled into says.

use super::keys::{Key, key_set};
use super::tests::{NOW, RSA_MODULUS, RSA_PEM, RSA_TOKEN, SECRET, hs256, options, part};
use super::token::Signed;
use super::*;
use proptest::prelude::*;
use ring::hmac;
use serde_json::{Value, json};
use std::sync::OnceLock;
use syncline_core::mutation::{damaged, damaged_text};

const CLAIMS: [&str; 4] = [
    r#"{"sub":"anna","exp":1700003600,"iss":"login","aud":["x","hub"],"role":"clerk","teams":["a",1]}"#,
    r#"{"sub":"anna","exp":1700003600.5,"nbf":1600000000,"iss":"login","aud":"hub","role":["guest"],"teams":[true]}"#,
    r#"{"sub":"anna","exp":1700003600,"iss":"login","aud":"hub","role":"guest","teams":{"$exists":true}}"#,
    r#"{"sub":{"$ne":null},"exp":1e30,"iss":"login","aud":"hub","role":"clerk","teams":[{"$in":[1]}],"teams":"$sub"}"#,
];
const HEADERS: [&str; 3] = [
    r#"{"alg":"HS256"}"#,
    r#"{"alg":"HS256","kid":"one","typ":"JWT"}"#,
    r#"{"alg":"none","crit":["exp"],"jwk":{"kty":"oct","k":"AAAA"}}"#,
];

/// The provider of the neighbouring tests, opened once.
fn provider() -> &'static Jwt {
    static PROVIDER: OnceLock<Jwt> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Jwt::open(options())).unwrap()
    })
}

fn accept(token: &str) -> Result<Grant, ServerError> {
    provider().accept_now(token, crate::auth::secret::digest(token), NOW)
}

/// Whatever header and claims, signed as if they were the provider's.
fn signed(header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let made = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), message.as_bytes());
    format!("{message}.{}", part(made))
}

fn texts(seeds: &[&str]) -> Vec<Vec<u8>> {
    seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect()
}

/// What stands in a grant is what its claims said, and opens nothing of others.
fn sound(grant: &Grant) {
    let spec = &grant.spec;
    let said = |name: &str| spec.claims.get(name).unwrap_or(&Value::Null);
    let subject = said("sub").as_str().expect("a subject is text");
    assert!(spec.name.as_str().starts_with("jwt:"), "{}", spec.name);
    if subject.len() < 100 && subject.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        assert_eq!(spec.name.as_str(), format!("jwt:{subject}"));
    }
    assert_eq!(said("iss"), "login");
    assert!(spec.expires_at.is_some_and(|end| end > NOW) && !spec.admin);
    if grant.read_rows().is_empty() {
        let boss = json!("boss");
        let role = said("role");
        assert!(*role == boss || role.as_array().is_some_and(|all| all.contains(&boss)), "{:?}", spec.claims);
        return;
    }
    let teams = said("teams").as_array().expect("only a list can stand there");
    for (owner, team) in
        [(json!("ben"), json!("a")), (json!({"$ne": null}), json!(1)), (said("sub").clone(), json!("no team"))]
    {
        let same = |one: &Value| *one == team || one.as_f64().is_some_and(|n| Some(n) == team.as_f64());
        let may = owner == *said("sub") && teams.iter().any(same);
        let document = json!({"owner": owner, "team": team}).to_string();
        assert_eq!(grant.read_rows().mean("tasks", &document), may, "{document} {:?}", spec.claims);
        assert_eq!(grant.write_rows().mean("tasks", &document), may, "{document} {:?}", spec.claims);
    }
}

proptest! {
    #[test]
    fn what_was_not_signed_is_never_taken(token in damaged_text(&[&hs256(&serde_json::from_str(CLAIMS[0]).unwrap())])) {
        let good = hs256(&serde_json::from_str(CLAIMS[0]).unwrap());
        match accept(&token) {
            Ok(_) => prop_assert_eq!(token, good),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn signed_claims_open_what_their_rule_says_or_nothing(
        header in damaged(texts(&HEADERS)), claims in damaged(texts(&CLAIMS)),
    ) {
        for header in [HEADERS[0].as_bytes(), &header] {
            match accept(&signed(header, &claims)) {
                Ok(grant) => sound(&grant),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }

    #[test]
    fn a_key_set_holds_public_keys_that_check_nothing_else(
        set in damaged_text(&[
            &format!(r#"{{"keys":[{{"kty":"RSA","kid":"rsa-1","use":"sig","alg":"RS256","n":"{RSA_MODULUS}","e":"AQAB"}}]}}"#),
            r#"{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"},{"kty":"EC","crv":"P-256",
                "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#,
        ])
    ) {
        let options = JwtOptions::new([JwtAlgorithm::Rs256, JwtAlgorithm::Es256], JwtKeys::Secret(SECRET.to_vec()));
        let ours = Signed::read(RSA_TOKEN, &options).unwrap();
        match key_set(set.as_bytes()) {
            Ok(keys) => for key in keys {
                prop_assert!(key.algorithm() != JwtAlgorithm::Hs256);
                prop_assert!(!key.signed(&ours) || set.contains(RSA_MODULUS));
            },
            Err(why) => prop_assert!(!why.is_empty()),
        }
    }

    #[test]
    fn a_public_key_in_pem_form(pem in damaged_text(&[RSA_PEM])) {
        let options = JwtOptions::new([JwtAlgorithm::Rs256], JwtKeys::Secret(SECRET.to_vec()));
        let ours = Signed::read(RSA_TOKEN, &options).unwrap();
        if let Ok(key) = Key::public(pem.as_bytes()) {
            // It may check the token or not; what it may not do is stumble.
            prop_assert!(key.signed(&ours) || pem != RSA_PEM);
        }
    }
}
