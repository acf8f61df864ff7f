//! How tokens of an identity provider are accepted, and what their claims open.

use crate::auth::spec::TokenSpec;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How a token is signed. There are no others, and none without a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256: a secret that the hub shares with whoever signs.
    Hs256,
    /// RSA (PKCS #1 v1.5) with SHA-256, keys of at least 2,048 bits.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl JwtAlgorithm {
    /// The name that tokens and configurations write.
    #[must_use]
    pub fn parse(name: &str) -> Option<JwtAlgorithm> {
        match name {
            "HS256" => Some(JwtAlgorithm::Hs256),
            "RS256" => Some(JwtAlgorithm::Rs256),
            "ES256" => Some(JwtAlgorithm::Es256),
            _ => None,
        }
    }
}

/// Where the keys come from that tokens are checked with.
#[derive(Clone)]
pub enum JwtKeys {
    /// The secret of HS256 itself, at least 32 bytes.
    Secret(Vec<u8>),
    /// One public key in PEM form (`BEGIN PUBLIC KEY`).
    PublicKey(Vec<u8>),
    /// A file with a JSON Web Key Set; read again as an address is.
    File(PathBuf),
    /// The https address of one; http only on this machine.
    Url(String),
}

impl fmt::Debug for JwtKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JwtKeys::Secret(_) => f.write_str("Secret"),
            JwtKeys::PublicKey(_) => f.write_str("PublicKey"),
            JwtKeys::File(path) => f.debug_tuple("File").field(path).finish(),
            JwtKeys::Url(url) => f.debug_tuple("Url").field(url).finish(),
        }
    }
}

/// Tokens of an identity provider.
#[derive(Clone, Debug)]
pub struct JwtOptions {
    /// The only ones that count.
    pub algorithms: BTreeSet<JwtAlgorithm>,
    /// The keys.
    pub keys: JwtKeys,
    /// What `iss` must be; `None`: anything.
    pub issuer: Option<String>,
    /// What must be among `aud`; `None`: anything.
    pub audience: Option<String>,
    /// By how much the provider's clock may differ.
    pub leeway: Duration,
    /// At this age a key set is read again.
    pub refresh: Duration,
    /// While a key set cannot be read, the old one counts for so long since it was read.
    pub keep: Duration,
    /// Between two readings of a key set because of keys that are not in it.
    pub ask_every: Duration,
    /// What claims open; the first that fits counts.
    pub grants: Vec<JwtGrant>,
}

impl JwtOptions {
    /// With the usual times, and nothing opened yet.
    #[must_use]
    pub fn new(algorithms: impl IntoIterator<Item = JwtAlgorithm>, keys: JwtKeys) -> JwtOptions {
        JwtOptions {
            algorithms: algorithms.into_iter().collect(),
            keys,
            issuer: None,
            audience: None,
            leeway: Duration::from_secs(30),
            refresh: Duration::from_secs(15 * 60),
            keep: Duration::from_secs(24 * 60 * 60),
            ask_every: Duration::from_secs(10),
            grants: Vec::new(),
        }
    }
}

/// What tokens with certain claims open.
#[derive(Clone, Debug)]
pub struct JwtGrant {
    /// A filter over the claims, such as `{"role": "editor"}`; `{}` fits every token.
    pub when: Value,
    /// The claim that names the space, in place of the one in `spec`.
    pub space_claim: Option<String>,
    /// What is opened. Its name is how errors call this grant; the token's own name is made of `sub`. Its rows ask for
    /// the token's claims.
    pub spec: TokenSpec,
}
