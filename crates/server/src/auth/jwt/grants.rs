//! What claims open: the first grant whose condition they meet.

use super::options::{JwtGrant, JwtOptions};
use crate::auth::rows::RowRules;
use crate::auth::spec::{NAME_BYTES_MAX, SIGNED, TokenSpec};
use crate::error::{Denied, ServerError};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use syncline_core::filter::{Filter, FilterError, bind_claims};
use syncline_core::model::{Millis, NodeId, SpaceName};

/// A claim that names a space is not looked at beyond this.
const SPACE_BYTES_MAX: usize = 4 << 10;
/// Bytes of a `sub`: as many as OpenID Connect allows.
const SUBJECT_BYTES_MAX: usize = 255;

/// The grants of a configuration, read.
pub(super) struct Grants(Vec<(Filter, JwtGrant)>);

impl Grants {
    pub(super) fn read(options: &JwtOptions) -> Result<Grants, ServerError> {
        if options.grants.is_empty() {
            let why = "`auth.jwt` has no `[[auth.jwt.grants]]`, so that its tokens would open nothing; add one";
            return Err(ServerError::Config(why.to_owned()));
        }
        let read = |grant: &JwtGrant| {
            let bad = |what: &str, why: String| {
                ServerError::Config(format!("the grant `{}` of `auth.jwt`: {what}: {why}", grant.spec.name))
            };
            let when = Filter::parse(&grant.when).map_err(|error| bad("`when`", error.to_string()))?;
            let spec = &grant.spec;
            for (name, rule) in spec.rows.iter().chain(&spec.read_rows).chain(&spec.write_rows) {
                check(rule).map_err(|error| bad(&format!("the rows of `{name}`"), error.to_string()))?;
            }
            plain(grant).check().map_err(|error| bad("it contradicts itself", error.to_string()))?;
            Ok((when, grant.clone()))
        };
        options.grants.iter().map(read).collect::<Result<_, _>>().map(Grants)
    }

    /// What a token with these claims opens until it ends.
    pub(super) fn spec(&self, claims: Map<String, Value>, ends: Millis) -> Result<TokenSpec, ServerError> {
        let name = name(&claims)?;
        let claims = Value::Object(claims);
        let forbidden =
            |missing: String| ServerError::Forbidden { token: name.to_string(), missing, part: Denied::Request };
        let Some((_, grant)) = self.0.iter().find(|(when, _)| when.matches(&claims)) else {
            return Err(forbidden("no grant of the hub (`[[auth.jwt.grants]]`) is for its claims".to_owned()));
        };
        let Value::Object(claims) = claims else { return Err(forbidden("it has no claims".to_owned())) };
        let space = match &grant.space_claim {
            Some(claim) => Some(space(claim, &claims).map_err(&forbidden)?),
            None => grant.spec.space.clone(),
        };
        Ok(TokenSpec { name, space, claims, expires_at: Some(ends), ..grant.spec.clone() })
    }
}

/// The grant with something in the place of what claims will say, so that its limits count as limits.
fn plain(grant: &JwtGrant) -> TokenSpec {
    let open = |rules: &RowRules| rules.keys().map(|name| (name.clone(), json!({}))).collect();
    let spec = &grant.spec;
    let claimed = grant.space_claim.as_ref().and_then(|_| SpaceName::new("claimed").ok());
    TokenSpec {
        space: claimed.or_else(|| spec.space.clone()),
        rows: open(&spec.rows),
        read_rows: open(&spec.read_rows),
        write_rows: open(&spec.write_rows),
        ..spec.clone()
    }
}

/// Where the token's claims do not fit a rule of its grant.
pub(super) fn unbound(name: &NodeId, why: &ServerError) -> ServerError {
    ServerError::Forbidden { token: name.to_string(), missing: why.to_string(), part: Denied::Request }
}

/// A `sub` is any text; the name has what may stand in a name as it is, and the rest as bytes of UTF-8 (`%c3%b6`). A
/// longer one is cut, with a digest of all of it behind `%~`, which stands in no other name.
fn name(claims: &Map<String, Value>) -> Result<NodeId, ServerError> {
    let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
    let refusal = || ServerError::Unauthorized {
        reason: "the token has no `sub` of 1 to 255 bytes of text, by which the hub knows whose edits are whose",
    };
    if !(1..=SUBJECT_BYTES_MAX).contains(&subject.len()) {
        return Err(refusal());
    }
    let mut name = String::from(SIGNED);
    for byte in subject.bytes() {
        match byte {
            b'!'..=b'~' if byte != b'%' => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    if name.len() > NAME_BYTES_MAX {
        let digest = Sha256::digest(subject.as_bytes());
        let digest: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        name.truncate(NAME_BYTES_MAX - digest.len() - 2);
        name = format!("{name}%~{digest}");
    }
    NodeId::new(name).map_err(|_| refusal())
}

fn space(claim: &str, claims: &Map<String, Value>) -> Result<SpaceName, String> {
    let bound = bind_claims(&json!(format!("${claim}")), claims, SPACE_BYTES_MAX).map_err(|error| error.to_string())?;
    let name = bound.as_str().ok_or_else(|| format!("the claim `{claim}`, which names its space, is no text"))?;
    SpaceName::new(name).map_err(|error| error.to_string())
}

/// Whether a rule can be one at all, whatever the claims will be.
fn check(rule: &Value) -> Result<(), FilterError> {
    Filter::parse(&sampled(rule, false)).map(drop)
}

/// The rule with something in the place of each claim: a list where only a list may stand.
fn sampled(rule: &Value, list: bool) -> Value {
    match rule {
        Value::String(text) if text.starts_with('$') => {
            if list {
                json!([])
            } else {
                json!("claim")
            }
        }
        Value::Array(values) => values.iter().map(|value| sampled(value, false)).collect::<Vec<_>>().into(),
        Value::Object(fields) => {
            let inner = |(name, value): (&String, &Value)| {
                (name.clone(), sampled(value, matches!(name.as_str(), "$in" | "$nin")))
            };
            Value::Object(fields.iter().map(inner).collect())
        }
        other => other.clone(),
    }
}
