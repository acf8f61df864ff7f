//! Signed tokens of an identity provider (JWT) as grants. In reading order: `options`, `token` (the form, the signature, the
//! times), `keys` (what a signature is checked with), `source` (where keys come from, and when they are read again),
//! `grants` (what claims open), `memory` (tokens that were accepted). Never keeps a token, only the hash that an accepted one is found by.

#[cfg(test)]
mod damaged;
mod der;
mod grants;
mod keys;
mod memory;
mod options;
mod source;
#[cfg(test)]
mod tests;
mod token;

pub use options::{JwtAlgorithm, JwtGrant, JwtKeys, JwtOptions};

use super::grant::{Grant, Proof};
use crate::error::ServerError;
use grants::Grants;
use memory::Accepted;
use source::{Source, may_come};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use syncline_core::model::Millis;
use token::{Signed, is_signed};

/// The tokens of one identity provider.
pub(super) struct Jwt {
    options: JwtOptions,
    grants: Grants,
    source: Arc<Source>,
    accepted: Mutex<Accepted>,
}

impl Jwt {
    /// Reads the keys for the first time. A key set at an address that cannot be read now is no error: it is tried again, and
    /// until then its tokens are asked to come back.
    pub(super) async fn open(options: JwtOptions) -> Result<Jwt, ServerError> {
        let grants = Grants::read(&options)?;
        let source = Source::open(&options).await?;
        Ok(Jwt { options, grants, source, accepted: Mutex::default() })
    }

    /// Whether a secret has the form of such a token.
    pub(super) fn speaks(&self, secret: &str) -> bool {
        is_signed(secret)
    }

    /// Checks a token and finds what it opens. Waits where its key is being fetched.
    pub(super) async fn accept(&self, secret: &str, hash: [u8; 32], now: Millis) -> Result<Grant, ServerError> {
        match self.accept_now(secret, hash, now) {
            Err(error) if may_come(&error) && self.source.ask() && self.source.fetched().await => {
                self.accept_now(secret, hash, now)
            }
            decided => decided,
        }
    }

    fn accept_now(&self, secret: &str, hash: [u8; 32], now: Millis) -> Result<Grant, ServerError> {
        if let Some(grant) = self.remembered(&hash) {
            return self.check_again(&grant, now).map(|()| grant);
        }
        let signed = Signed::read(secret, &self.options)?;
        let key = self.source.key_of(&signed)?;
        let (claims, ends) = signed.claims(&self.options, now)?;
        let spec = self.grants.spec(claims, ends)?;
        let name = spec.name.clone();
        let grant = Grant::new(Proof::Signed { key }, spec).map_err(|why| grants::unbound(&name, &why))?;
        self.accepted().put(hash, grant.clone());
        Ok(grant)
    }

    /// Whether a token that was accepted still is: its time goes on, and its key counts.
    pub(super) fn check_again(&self, grant: &Grant, now: Millis) -> Result<(), ServerError> {
        let refuse = |reason| Err(ServerError::Unauthorized { reason });
        if grant.spec.expires_at.is_none_or(|end| end <= now) {
            return refuse("the token has expired");
        }
        match &grant.proof {
            Proof::Signed { key } => self.source.check(key),
            Proof::Secret(_) => refuse("the token is unknown"),
        }
    }

    /// Why no token is taken, in words; `None`: they are.
    pub(super) fn trouble(&self) -> Option<String> {
        self.source.trouble()
    }

    fn remembered(&self, hash: &[u8; 32]) -> Option<Grant> {
        self.accepted().get(hash)
    }

    fn accepted(&self) -> MutexGuard<'_, Accepted> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
