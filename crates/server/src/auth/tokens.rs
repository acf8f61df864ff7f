//! The tokens of a hub: declared by the configuration or kept in the store, cached by hash.

use super::change::{TokenChange, changed};
use super::declared;
use super::former::{Before, Former, heads};
use super::grant::{Grant, Proof};
use super::jwt::{Jwt, JwtOptions};
use super::remarks::remarks;
use super::secret::{Secret, digest, fingerprint, parse_fingerprint};
use super::spec::{DeclaredToken, TokenSpec, is_signed};
use crate::clock;
use crate::error::ServerError;
use crate::store::{RecordKind, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use syncline_core::model::{Millis, NodeId};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep_until};

/// A token as the store keeps it.
#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    hash: String,
    created_at: Millis,
    spec: TokenSpec,
    /// What it granted before, for those who have read by it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    before: Vec<Before>,
    /// All of it as it stands in the store, however that was spelled.
    #[serde(skip)]
    text: String,
}

impl Stored {
    /// With the text that the store is to have of it.
    fn spelled(self) -> Stored {
        Stored { text: serde_json::to_string(&self).expect("a token serializes"), ..self }
    }
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

impl TokenView {
    fn of(stored: &Stored) -> TokenView {
        TokenView { spec: stored.spec.clone(), declared: false, created_at: Some(stored.created_at) }
    }
}

/// All tokens of a hub.
pub struct Tokens {
    store: Arc<dyn Store>,
    declared: HashMap<[u8; 32], Grant>,
    jwt: Option<Box<Jwt>>,
    kept: RwLock<Kept>,
    /// One change at a time, here. Others that share the store change it at the same time: what was read is written over only
    /// while it stands, or a change that was read before a removal and written after it would bring the removed token back.
    changing: Mutex<()>,
    /// When all were read last for the sake of a token that was not known.
    looked_at: Mutex<Option<Instant>>,
}

/// Between two looks for tokens that are not known here: strangers must not keep the store busy. Who comes meanwhile waits
/// for the next one.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// What the store keeps, so that neither a request nor a change of one token reads all of them.
#[derive(Default)]
struct Kept {
    named: BTreeMap<NodeId, Stored>,
    grants: HashMap<[u8; 32], Grant>,
}

impl Kept {
    fn put(&mut self, stored: Stored) {
        self.remove(&stored.spec.name);
        let hash = parse_fingerprint(&stored.hash);
        self.grants.extend(hash.and_then(|hash| Some((hash, usable(hash, &stored)?))));
        self.named.insert(stored.spec.name.clone(), stored);
    }

    fn remove(&mut self, name: &NodeId) {
        let hash = self.named.remove(name).and_then(|old| parse_fingerprint(&old.hash));
        hash.map(|hash| self.grants.remove(&hash));
    }
}

impl Tokens {
    /// Reads the stored tokens and adds the declared ones.
    ///
    /// # Errors
    /// Those of the store, or of [`TokenSpec::check`].
    pub async fn open(store: Arc<dyn Store>, declared: &[DeclaredToken]) -> Result<Tokens, ServerError> {
        declared.iter().try_for_each(|token| token.spec.check())?;
        let mut grants = HashMap::new();
        let mut noted = declared::noted(store.as_ref()).await?;
        for DeclaredToken { secret, spec } in declared {
            let hash = digest(secret);
            let grant = Grant::new(Proof::Secret(hash), spec.clone())?;
            let before = declared::note(store.as_ref(), spec, noted.remove(spec.name.as_str())).await?;
            grants.insert(hash, Grant { formers: Former::all(&before), ..grant });
        }
        let tokens = Tokens {
            store,
            declared: grants,
            jwt: None,
            kept: RwLock::default(),
            changing: Mutex::default(),
            looked_at: Mutex::default(),
        };
        tokens.refresh().await?;
        Ok(tokens)
    }

    /// Takes signed tokens of an identity provider as well.
    ///
    /// # Errors
    /// [`ServerError::Config`] for keys and grants that cannot be. Keys that cannot be read now are no error.
    pub async fn with_jwt(self, options: JwtOptions) -> Result<Tokens, ServerError> {
        Ok(Tokens { jwt: Some(Box::new(Jwt::open(options).await?)), ..self })
    }

    /// Finds the grant of a secret that came without a scheme.
    ///
    /// # Errors
    /// [`ServerError::Unauthorized`]; of a signed token also [`ServerError::Forbidden`] where nothing is for its claims, and
    /// [`ServerError::KeysPending`].
    pub async fn authenticate_secret(&self, secret: &[u8]) -> Result<Grant, ServerError> {
        match std::str::from_utf8(secret).map(str::trim) {
            Ok(secret) if !secret.is_empty() => self.accept(secret).await,
            _ => Err(ServerError::Unauthorized { reason: "the request has no token" }),
        }
    }

    /// Finds the grant of an `Authorization` header.
    ///
    /// # Errors
    /// As [`Tokens::authenticate_secret`].
    pub async fn authenticate(&self, header: Option<&[u8]>) -> Result<Grant, ServerError> {
        let refuse = |reason| Err(ServerError::Unauthorized { reason });
        let Some(header) = header else { return refuse("the request has no token") };
        let Some(secret) = bearer(header) else { return refuse("the authorization is not `Bearer <token>`") };
        self.accept(secret).await
    }

    async fn accept(&self, secret: &str) -> Result<Grant, ServerError> {
        let hash = digest(secret);
        match (self.find(&hash), &self.jwt) {
            (Err(_), Some(jwt)) if jwt.speaks(secret) => jwt.accept(secret, hash, clock::now()).await,
            (Err(_), _) if self.store.is_shared() => {
                self.look_for_new().await?;
                self.find(&hash)
            }
            (found, _) => found,
        }
    }

    /// Another worker may have made a token a moment ago, of which no hint has come yet.
    async fn look_for_new(&self) -> Result<(), ServerError> {
        let arrived = Instant::now();
        let mut looked_at = self.looked_at.lock().await;
        if looked_at.is_some_and(|at| at >= arrived) {
            return Ok(());
        }
        if let Some(at) = *looked_at {
            sleep_until(at + LOOK_PAUSE).await;
        }
        let began = Instant::now();
        self.read_again().await?;
        *looked_at = Some(began);
        Ok(())
    }

    /// Whether a token that was accepted some time ago still is, and grants what it granted then.
    ///
    /// # Errors
    /// [`ServerError::Unauthorized`], or [`ServerError::RightsChanged`].
    pub fn check_again(&self, grant: &Grant) -> Result<(), ServerError> {
        match (&grant.proof, &self.jwt) {
            (Proof::Secret(hash), _) if self.find(hash)?.spec == grant.spec => Ok(()),
            (Proof::Secret(_), _) => Err(ServerError::RightsChanged),
            (Proof::Signed { .. }, Some(jwt)) => jwt.check_again(grant, clock::now()),
            (Proof::Signed { .. }, None) => Err(ServerError::Unauthorized { reason: "the token is unknown" }),
        }
    }

    /// Why signed tokens are not taken although the configuration knows of some, in words; `None`: they are.
    #[must_use]
    pub fn keys_trouble(&self) -> Option<String> {
        self.jwt.as_ref()?.trouble()
    }

    /// Whether there is a token of this name that is still accepted. Signed ones come again under their name at any time.
    #[must_use]
    pub fn accepts(&self, name: &NodeId) -> bool {
        if is_signed(name) {
            return self.jwt.is_some();
        }
        let now = clock::now();
        let valid = |spec: &TokenSpec| spec.name == *name && spec.expires_at.is_none_or(|end| end > now);
        self.declared.values().any(|grant| valid(&grant.spec)) || self.stored(name).is_some_and(|spec| valid(&spec))
    }

    fn find(&self, hash: &[u8; 32]) -> Result<Grant, ServerError> {
        let refuse = |reason| Err(ServerError::Unauthorized { reason });
        let kept = || self.kept().grants.get(hash).cloned();
        let Some(grant) = self.declared.get(hash).cloned().or_else(kept) else {
            return refuse("the token is unknown");
        };
        if grant.spec.expires_at.is_some_and(|end| end <= clock::now()) {
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
        let _turn = self.turn().await?;
        let secret = match secret {
            Some(text) => self.fresh(Secret::given(text)?)?,
            None => drawn()?,
        };
        if self.is_declared(&spec.name) || self.stored(&spec.name).is_some() {
            return Err(exists(&spec.name));
        }
        if let Some(space) = &spec.space {
            self.store.open_space(space).await?;
        }
        let (hash, created_at) = (fingerprint(secret.reveal()), clock::now());
        let stored = Stored { hash, created_at, spec, before: Vec::new(), text: String::new() }.spelled();
        if !self.store.add_record(RecordKind::Token, stored.spec.name.to_string(), stored.text.clone()).await? {
            self.refresh().await?;
            return Err(exists(&stored.spec.name));
        }
        self.kept_mut().put(stored);
        Ok(secret)
    }

    /// A secret opens one token only, or one of the two would be lost.
    fn fresh(&self, secret: Secret) -> Result<Secret, ServerError> {
        let hash = digest(secret.reveal());
        if self.kept().grants.contains_key(&hash) || self.declared.contains_key(&hash) {
            let reason = "this token is in use already; choose another one, or leave it out and the hub makes one";
            return Err(ServerError::bad("malformed_token", reason));
        }
        Ok(secret)
    }

    /// Changes what a stored token grants; its secret and its name stay, and so does what the change does not name.
    /// Returns what it grants now.
    ///
    /// # Errors
    /// [`ServerError::NotFound`], [`ServerError::BadRequest`] for a change that names nothing or what is no field, or those
    /// of [`TokenSpec::check`].
    pub async fn change(&self, name: &NodeId, change: &TokenChange) -> Result<TokenView, ServerError> {
        let change = |old: Stored| {
            let spec = changed(&old.spec, change)?;
            spec.check()?;
            Ok(Stored { spec, ..old })
        };
        Ok(TokenView::of(&self.rewrite(name, change).await?))
    }

    /// Puts another grant in the place of a stored token's; its secret stays.
    ///
    /// # Errors
    /// [`ServerError::NotFound`], or those of [`TokenSpec::check`].
    pub(crate) async fn replace(&self, spec: TokenSpec) -> Result<(), ServerError> {
        spec.check()?;
        let name = spec.name.clone();
        self.rewrite(&name, |old| Ok(Stored { spec: spec.clone(), ..old })).await.map(drop)
    }

    /// What whoever made or changed a token may not have meant: sentences, each about one thing.
    pub async fn remarks(&self, spec: &TokenSpec) -> Vec<String> {
        let said = remarks(self.store.as_ref(), spec).await;
        said.inspect_err(|error| tracing::warn!(%error, "a token was not looked at for slips")).unwrap_or_default()
    }

    /// Replaces a token's secret.
    ///
    /// # Errors
    /// [`ServerError::NotFound`], or [`ServerError::Taken`] for a declared token.
    pub async fn rotate(&self, name: &NodeId) -> Result<Secret, ServerError> {
        let secret = drawn()?;
        self.rewrite(name, |old| Ok(Stored { hash: fingerprint(secret.reveal()), ..old })).await?;
        Ok(secret)
    }

    /// Removes a token.
    ///
    /// # Errors
    /// [`ServerError::NotFound`], or [`ServerError::Taken`] for a declared token.
    pub async fn remove(&self, name: &NodeId) -> Result<(), ServerError> {
        let _turn = self.turn().await?;
        self.find_stored(name)?;
        let removed = self.store.put_record(RecordKind::Token, name.to_string(), None).await;
        self.read_after(removed).await?;
        self.kept_mut().remove(name);
        Ok(())
    }

    /// All tokens by name.
    #[must_use]
    pub fn list(&self) -> Vec<TokenView> {
        let mut all: Vec<_> = self.kept().named.values().map(TokenView::of).collect();
        let declared = self.declared.values();
        all.extend(declared.map(|g| TokenView { spec: g.spec.as_ref().clone(), declared: true, created_at: None }));
        all.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        all
    }

    /// What a stored token grants.
    #[must_use]
    pub fn stored(&self, name: &NodeId) -> Option<TokenSpec> {
        self.kept().named.get(name).map(|stored| stored.spec.clone())
    }

    fn is_declared(&self, name: &NodeId) -> bool {
        self.declared.values().any(|grant| grant.token_name() == name)
    }

    fn find_stored(&self, name: &NodeId) -> Result<Stored, ServerError> {
        if self.is_declared(name) {
            let reason = format!("token `{name}` is declared in the configuration; change it there");
            return Err(ServerError::Taken { code: "token_declared", reason });
        }
        let found = self.kept().named.get(name).cloned();
        found.ok_or_else(|| ServerError::NotFound(format!("there is no token named `{name}`")))
    }

    /// Puts what `change` makes of a stored token in its place, as often as another worker is quicker. Returns what stands there then.
    async fn rewrite(
        &self,
        name: &NodeId,
        change: impl Fn(Stored) -> Result<Stored, ServerError>,
    ) -> Result<Stored, ServerError> {
        let _turn = self.turn().await?;
        loop {
            let old = self.find_stored(name)?;
            let mut after = change(old.clone())?;
            if let Some(space) = &after.spec.space {
                self.store.open_space(space).await?;
            }
            if after.spec != old.spec {
                let until = heads(self.store.as_ref(), old.spec.space.as_ref()).await?;
                Before::remember(&mut after.before, &old.spec, &after.spec, until);
            }
            let after = after.spelled();
            let written =
                self.store.replace_record(RecordKind::Token, name.to_string(), old.text, after.text.clone()).await;
            if self.read_after(written).await? {
                self.kept_mut().put(after.clone());
                return Ok(after);
            }
            self.refresh().await?;
        }
    }

    /// After a failure to write nobody knows what stands in the store, so all is read again.
    async fn read_after<T>(&self, written: Result<T, StoreError>) -> Result<T, ServerError> {
        if written.is_err() {
            self.refresh().await?;
        }
        Ok(written?)
    }

    /// Reads all tokens again, as others that share the store may have left them.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn read_again(&self) -> Result<(), ServerError> {
        let _turn = self.changing.lock().await;
        self.refresh().await
    }

    /// Changes take turns, and see what others that share the store have changed.
    async fn turn(&self) -> Result<MutexGuard<'_, ()>, ServerError> {
        let turn = self.changing.lock().await;
        if self.store.is_shared() {
            self.refresh().await?;
        }
        Ok(turn)
    }

    async fn refresh(&self) -> Result<(), ServerError> {
        let mut fresh = Kept::default();
        self.read_all().await?.into_iter().for_each(|stored| fresh.put(stored));
        *self.kept_mut() = fresh;
        Ok(())
    }

    fn kept(&self) -> RwLockReadGuard<'_, Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept_mut(&self) -> RwLockWriteGuard<'_, Kept> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read_all(&self) -> Result<Vec<Stored>, ServerError> {
        let records = self.store.records(RecordKind::Token).await?.into_iter();
        let read = |r: crate::store::Record| {
            let read = serde_json::from_str::<Stored>(&r.value);
            let read = read.map(|stored| Stored { text: r.value, ..stored });
            read.map_err(|e| ServerError::Bug(format!("the stored token `{}` cannot be read: {e}", r.key)))
        };
        records.map(read).collect()
    }
}

fn exists(name: &NodeId) -> ServerError {
    let reason = format!("a token named `{name}` exists; rotate it, remove it or take another name");
    ServerError::Taken { code: "token_exists", reason }
}

fn drawn() -> Result<Secret, ServerError> {
    Secret::generate().map_err(|source| ServerError::Io { action: "drawing a secret".to_owned(), source })
}

/// A stored token that a limit of today forbids opens nothing, and stays in the list.
fn usable(hash: [u8; 32], Stored { spec, before, .. }: &Stored) -> Option<Grant> {
    let grant = Grant::new(Proof::Secret(hash), spec.clone());
    let grant = grant.inspect_err(|error| tracing::error!(token = %spec.name, %error, "a stored token cannot be used"));
    Some(Grant { formers: Former::all(before), ..grant.ok()? })
}

/// The secret in `Bearer <secret>`; the scheme's case does not matter.
fn bearer(header: &[u8]) -> Option<&str> {
    let (scheme, secret) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    let secret = secret.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty()).then_some(secret)
}
