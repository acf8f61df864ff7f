//! The form of a signed token, and what every one must say: which key has signed it, for whom, and until when.

use super::options::{JwtAlgorithm, JwtOptions};
use crate::clock;
use crate::error::ServerError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::Duration;
use syncline_core::model::Millis;

/// Bytes of a token; more are never looked at.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// A token whose signature is still to be checked.
pub(super) struct Signed<'a> {
    /// How it says that it is signed: one of the algorithms that count.
    pub(super) algorithm: JwtAlgorithm,
    /// Which key it names.
    pub(super) kid: Option<String>,
    /// What is signed.
    pub(super) message: &'a [u8],
    /// The signature.
    pub(super) signature: Vec<u8>,
    claims: &'a str,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    /// Extensions that must be understood, and are not.
    #[serde(default)]
    crit: Option<Value>,
}

/// Three parts, the first of which is JSON. Tokens of the hub's own never look like that.
pub(super) fn is_signed(secret: &str) -> bool {
    secret.starts_with("ey") && secret.bytes().filter(|byte| *byte == b'.').count() == 2
}

fn refuse<T>(reason: &'static str) -> Result<T, ServerError> {
    Err(ServerError::Unauthorized { reason })
}

impl<'a> Signed<'a> {
    /// Takes a token apart.
    pub(super) fn read(secret: &'a str, options: &JwtOptions) -> Result<Signed<'a>, ServerError> {
        if secret.len() > TOKEN_BYTES_MAX {
            return refuse("the token is longer than 16 KiB");
        }
        let parts = secret.rsplit_once('.').and_then(|(message, signature)| {
            let (header, claims) = message.split_once('.')?;
            Some((message, header, claims, URL_SAFE_NO_PAD.decode(signature).ok()?))
        });
        let Some((message, header, claims, signature)) = parts else { return refuse("the token is no signed token") };
        let Some(header) = decoded::<Header>(header) else { return refuse("the token's header cannot be read") };
        if header.crit.is_some() {
            return refuse("the token asks for extensions (`crit`) that the hub does not know");
        }
        // The configuration says what counts, never the token.
        match JwtAlgorithm::parse(&header.alg).filter(|algorithm| options.algorithms.contains(algorithm)) {
            Some(algorithm) => {
                Ok(Signed { algorithm, kid: header.kid, message: message.as_bytes(), signature, claims })
            }
            None => refuse("the token is signed in a way that the hub does not accept (`auth.jwt.algorithms`)"),
        }
    }

    /// Whether it says of itself that it is not older than that. Nobody has checked who says so.
    pub(super) fn is_issued_within(&self, age: Duration) -> bool {
        let issued = decoded::<Map<String, Value>>(self.claims).and_then(|claims| time(claims.get("iat")?));
        // Most say it in whole seconds.
        issued.is_some_and(|at| at.0.saturating_add(1_000) >= clock::now().0.saturating_sub(millis(age)))
    }

    /// What it says, and when it ends. To be asked only after the signature was checked.
    pub(super) fn claims(
        &self,
        options: &JwtOptions,
        now: Millis,
    ) -> Result<(Map<String, Value>, Millis), ServerError> {
        let Some(claims) = decoded::<Map<String, Value>>(self.claims) else {
            return refuse("the token's claims cannot be read");
        };
        let leeway = millis(options.leeway);
        let ends = match claims.get("exp").map(time) {
            Some(Some(ends)) => ends,
            None => return refuse("the token has no end (`exp`); the hub takes none that would hold for ever"),
            Some(None) => return refuse("the token's `exp` is no time: a number of seconds since 1970, not a text"),
        };
        let ends = Millis(ends.0.saturating_add(leeway));
        if ends <= now {
            return refuse("the token has expired");
        }
        match claims.get("nbf").map(time) {
            Some(None) => return refuse("the token's `nbf` is no time: a number of seconds since 1970, not a text"),
            Some(Some(begins)) if begins.0 > now.0.saturating_add(leeway) => {
                return refuse("the token is not valid yet (`nbf`)");
            }
            _ => {}
        }
        if options.issuer.as_ref().is_some_and(|wanted| claims.get("iss").and_then(Value::as_str) != Some(wanted)) {
            return refuse("the token comes from somebody else (`iss`)");
        }
        if options.audience.as_ref().is_some_and(|wanted| !is_for(claims.get("aud"), wanted)) {
            return refuse("the token is for somebody else (`aud`)");
        }
        Ok((claims, ends))
    }
}

fn decoded<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// Seconds since 1970, with or without a fraction.
fn time(value: &Value) -> Option<Millis> {
    let millis = value.as_f64().filter(|seconds| *seconds >= 0.0).map(|seconds| (seconds * 1_000.0).min(MILLIS_MAX))?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // it was just cut to what fits
    Some(Millis(millis as u64))
}

/// Beyond every time that means anything, and exact as a float.
const MILLIS_MAX: f64 = 9_007_199_254_740_991.0;

fn is_for(audience: Option<&Value>, wanted: &str) -> bool {
    match audience {
        Some(Value::String(one)) => one == wanted,
        Some(Value::Array(many)) => many.iter().any(|one| one.as_str() == Some(wanted)),
        _ => false,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
