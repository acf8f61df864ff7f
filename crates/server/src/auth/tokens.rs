//! The tokens of a hub: declared by the configuration or kept in the store, cached by hash.

use super::grant::Grant;
use super::secret::{Secret, digest, fingerprint, parse_fingerprint};
use super::spec::{DeclaredToken, TokenSpec};
use crate::clock;
use crate::error::ServerError;
use crate::store::{RecordKind, Store};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use syncline_core::model::{Millis, NodeId};
use tokio::sync::Mutex;

/// A token as the store keeps it.
#[derive(Serialize, Deserialize)]
struct Stored {
    hash: String,
    created_at: Millis,
    spec: TokenSpec,
}

/// A token as it is listed: everything but its secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenView {
    /// What it grants.
    #[serde(flatten)]
    pub spec: TokenSpec,
    /// Whether the configuration declares it; such a token is changed there.
    pub declared: bool,
    /// When it was made; absent for declared ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Millis>,
}

/// All tokens of a hub.
pub struct Tokens {
    store: Arc<dyn Store>,
    declared: HashMap<[u8; 32], Grant>,
    stored: RwLock<HashMap<[u8; 32], Grant>>,
    /// One change at a time: what is in memory must not fall behind the store, or a removed token
    /// would go on being accepted.
    changing: Mutex<()>,
}

impl Tokens {
    /// Reads the stored tokens and adds the declared ones.
    ///
    /// # Errors
    /// Those of the store, or of [`TokenSpec::check`].
    pub async fn open(store: Arc<dyn Store>, declared: &[DeclaredToken]) -> Result<Tokens, ServerError> {
        declared.iter().try_for_each(|token| token.spec.check())?;
        let declared = declared.iter().map(|t| grant(digest(&t.secret), t.spec.clone())).collect();
        let tokens = Tokens { store, declared, stored: RwLock::default(), changing: Mutex::default() };
        tokens.refresh().await?;
        Ok(tokens)
    }

    /// Finds the grant of a secret that came without a scheme.
    ///
    /// # Errors
    /// [`ServerError::Unauthorized`].
    pub fn authenticate_secret(&self, secret: &[u8]) -> Result<Grant, ServerError> {
        match std::str::from_utf8(secret).map(str::trim) {
            Ok(secret) if !secret.is_empty() => self.find(&digest(secret)),
            _ => Err(ServerError::Unauthorized { reason: "the request has no token" }),
        }
    }

    /// Finds the grant of an `Authorization` header.
    ///
    /// # Errors
    /// [`ServerError::Unauthorized`].
    pub fn authenticate(&self, header: Option<&[u8]>) -> Result<Grant, ServerError> {
        let refuse = |reason| Err(ServerError::Unauthorized { reason });
        let Some(header) = header else { return refuse("the request has no token") };
        let Some(secret) = bearer(header) else { return refuse("the authorization is not `Bearer <token>`") };
        self.find(&digest(secret))
    }

    /// Whether a token that was accepted some time ago still is.
    ///
    /// # Errors
    /// [`ServerError::Unauthorized`].
    pub fn check_again(&self, grant: &Grant) -> Result<(), ServerError> {
        self.find(&grant.1).map(drop)
    }

    /// Whether there is a token of this name that is still accepted.
    #[must_use]
    pub fn accepts(&self, name: &NodeId) -> bool {
        let now = clock::now();
        let valid = |grant: &Grant| grant.token_name() == name && grant.0.expires_at.is_none_or(|end| end > now);
        let stored = self.stored.read().unwrap_or_else(PoisonError::into_inner);
        self.declared.values().any(valid) || stored.values().any(valid)
    }

    fn find(&self, hash: &[u8; 32]) -> Result<Grant, ServerError> {
        let refuse = |reason| Err(ServerError::Unauthorized { reason });
        let stored = || self.stored.read().unwrap_or_else(PoisonError::into_inner).get(hash).cloned();
        let Some(grant) = self.declared.get(hash).cloned().or_else(stored) else {
            return refuse("the token is unknown");
        };
        if grant.0.expires_at.is_some_and(|end| end <= clock::now()) {
            return refuse("the token has expired");
        }
        Ok(grant)
    }

    /// Makes a token. The secret is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`ServerError::Taken`] for a name in use, or those of [`TokenSpec::check`].
    pub async fn add(&self, spec: TokenSpec) -> Result<Secret, ServerError> {
        self.add_with(spec, None).await
    }

    /// Makes a token with a secret that its holder knows already; `None` draws one.
    ///
    /// # Errors
    /// As [`Tokens::add`], and [`ServerError::BadRequest`] for a secret that is too short or in use.
    pub async fn add_with(&self, spec: TokenSpec, secret: Option<String>) -> Result<Secret, ServerError> {
        spec.check()?;
        let _turn = self.changing.lock().await;
        let secret = match secret {
            Some(text) => self.fresh(Secret::given(text)?)?,
            None => drawn()?,
        };
        if self.list().await?.iter().any(|t| t.spec.name == spec.name) {
            let reason = format!("a token named `{}` exists; rotate it, remove it or take another name", spec.name);
            return Err(ServerError::Taken { code: "token_exists", reason });
        }
        if let Some(space) = &spec.space {
            self.store.open_space(space).await?;
        }
        self.write(spec, clock::now(), &secret).await?;
        Ok(secret)
    }

    /// A secret opens one token only, or one of the two would be lost.
    fn fresh(&self, secret: Secret) -> Result<Secret, ServerError> {
        let hash = digest(secret.reveal());
        let stored = self.stored.read().unwrap_or_else(PoisonError::into_inner);
        if stored.contains_key(&hash) || self.declared.contains_key(&hash) {
            let reason = "this token is in use already; choose another one, or leave it out and the hub makes one";
            return Err(ServerError::bad("malformed_token", reason));
        }
        Ok(secret)
    }

    /// Changes what a stored token grants; its secret and its name stay.
    ///
    /// # Errors
    /// [`ServerError::NotFound`], or those of [`TokenSpec::check`].
    pub async fn change(&self, spec: TokenSpec) -> Result<(), ServerError> {
        spec.check()?;
        let _turn = self.changing.lock().await;
        let old = self.find_stored(&spec.name).await?;
        self.put(&Stored { spec, ..old }).await
    }

    /// Replaces a token's secret.
    ///
    /// # Errors
    /// [`ServerError::NotFound`], or [`ServerError::Taken`] for a declared token.
    pub async fn rotate(&self, name: &NodeId) -> Result<Secret, ServerError> {
        let _turn = self.changing.lock().await;
        let old = self.find_stored(name).await?;
        let secret = drawn()?;
        self.write(old.spec, old.created_at, &secret).await?;
        Ok(secret)
    }

    /// Removes a token.
    ///
    /// # Errors
    /// [`ServerError::NotFound`], or [`ServerError::Taken`] for a declared token.
    pub async fn remove(&self, name: &NodeId) -> Result<(), ServerError> {
        let _turn = self.changing.lock().await;
        self.find_stored(name).await?;
        self.store.put_record(RecordKind::Token, name.to_string(), None).await?;
        self.refresh().await
    }

    /// All tokens by name.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list(&self) -> Result<Vec<TokenView>, ServerError> {
        let stored = self.read_all().await?.into_iter();
        let stored = stored.map(|t| TokenView { spec: t.spec, declared: false, created_at: Some(t.created_at) });
        let declared = self.declared.values();
        let declared = declared.map(|g| TokenView { spec: g.0.as_ref().clone(), declared: true, created_at: None });
        let mut all: Vec<_> = stored.chain(declared).collect();
        all.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        Ok(all)
    }

    async fn find_stored(&self, name: &NodeId) -> Result<Stored, ServerError> {
        if self.declared.values().any(|g| g.token_name() == name) {
            let reason = format!("token `{name}` is declared in the configuration; change it there");
            return Err(ServerError::Taken { code: "token_declared", reason });
        }
        let found = self.read_all().await?.into_iter().find(|t| t.spec.name == *name);
        found.ok_or_else(|| ServerError::NotFound(format!("there is no token named `{name}`")))
    }

    async fn write(&self, spec: TokenSpec, created_at: Millis, secret: &Secret) -> Result<(), ServerError> {
        self.put(&Stored { hash: fingerprint(secret.reveal()), created_at, spec }).await
    }

    async fn put(&self, stored: &Stored) -> Result<(), ServerError> {
        let value = serde_json::to_string(stored).expect("a token serializes");
        self.store.put_record(RecordKind::Token, stored.spec.name.to_string(), Some(value)).await?;
        self.refresh().await
    }

    async fn refresh(&self) -> Result<(), ServerError> {
        let all = self.read_all().await?.into_iter();
        let fresh = all.filter_map(|t| Some(grant(parse_fingerprint(&t.hash)?, t.spec))).collect();
        *self.stored.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    async fn read_all(&self) -> Result<Vec<Stored>, ServerError> {
        let records = self.store.records(RecordKind::Token).await?.into_iter();
        let read = |r: crate::store::Record| {
            serde_json::from_str(&r.value)
                .map_err(|e| ServerError::Bug(format!("the stored token `{}` cannot be read: {e}", r.key)))
        };
        records.map(read).collect()
    }
}

fn drawn() -> Result<Secret, ServerError> {
    Secret::generate().map_err(|source| ServerError::Io { action: "drawing a secret".to_owned(), source })
}

fn grant(hash: [u8; 32], spec: TokenSpec) -> ([u8; 32], Grant) {
    (hash, Grant(Arc::new(spec), hash))
}

/// The secret in `Bearer <secret>`; the scheme's case does not matter.
fn bearer(header: &[u8]) -> Option<&str> {
    let (scheme, secret) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    let secret = secret.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty()).then_some(secret)
}
