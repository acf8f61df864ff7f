//! What every request handler shares.

use crate::auth::{Access, Grant, Tokens};
use crate::error::ServerError;
use crate::hub::{Hub, Space};
use crate::meters::Meters;
use crate::options::Options;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use std::sync::Arc;
use syncline_core::model::SpaceName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A hub with its door: tokens, limits, counters.
pub struct App {
    /// The hub.
    pub hub: Arc<Hub>,
    /// Who may come in.
    pub tokens: Tokens,
    /// How it was set up.
    pub options: Options,
    /// What is counted.
    pub meters: Arc<Meters>,
    requests: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    pub(crate) body_bytes: Arc<Semaphore>,
}

/// The right to work on one request; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
}

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(hub: Arc<Hub>, tokens: Tokens, options: Options, meters: Arc<Meters>) -> Arc<App> {
        let bounds = &options.settings.bounds;
        let requests = Arc::new(Semaphore::new(bounds.requests));
        let waiting = Arc::new(Semaphore::new(bounds.waiting_polls));
        let body_bytes = Arc::new(Semaphore::new(bounds.inflight_body_bytes.min(Semaphore::MAX_PERMITS)));
        Arc::new(App { hub, tokens, options, meters, requests, waiting, body_bytes })
    }

    /// Finds the grant of a request.
    ///
    /// # Errors
    /// [`ServerError::Unauthorized`].
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<Grant, ServerError> {
        self.tokens.authenticate(headers.get(AUTHORIZATION).map(|value| value.as_bytes()))
    }

    /// The space that a request means, if the token allows it.
    ///
    /// # Errors
    /// [`ServerError::Forbidden`], or the space does not exist.
    pub async fn space(
        &self,
        grant: &Grant,
        named: Option<&SpaceName>,
        access: Access,
    ) -> Result<Arc<Space>, ServerError> {
        let name = named.or(grant.space()).unwrap_or(&self.options.default_space);
        grant.check_space(name)?;
        grant.check_access(access)?;
        self.hub.space(name).await
    }

    /// Takes up a request.
    ///
    /// # Errors
    /// [`ServerError::Overloaded`].
    pub fn slot(&self) -> Result<Slot, ServerError> {
        let permit = Arc::clone(&self.requests).try_acquire_owned();
        let permit = permit.map_err(|_| ServerError::Overloaded {
            what: "it works on as many requests as it may",
            limit: "limits.requests",
        })?;
        Ok(Slot { _permit: permit })
    }

    /// How many requests are in work.
    #[must_use]
    pub fn in_work(&self) -> usize {
        self.options.settings.bounds.requests.saturating_sub(self.requests.available_permits())
    }

    /// Lets a poll wait.
    ///
    /// # Errors
    /// [`ServerError::Overloaded`].
    pub fn waiting_slot(&self) -> Result<Slot, ServerError> {
        let permit = Arc::clone(&self.waiting).try_acquire_owned();
        let permit = permit.map_err(|_| ServerError::Overloaded {
            what: "as many polls wait as may",
            limit: "limits.waiting_polls",
        })?;
        Ok(Slot { _permit: permit })
    }
}
