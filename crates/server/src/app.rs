//! What every request handler shares.

use crate::auth::{Access, EarlierViews, Grant, Tokens};
use crate::error::ServerError;
use crate::hub::{Hub, Space};
use crate::io::Io;
use crate::meters::Meters;
use crate::nodes::Nodes;
use crate::options::{Bounds, Options};
use crate::redis::Link;
use crate::rooms::{self, Rooms};
use crate::shares::{Piece, Shares};
use crate::socket::{Door, House, Listener, Rules};
use crate::workers;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use syncline_core::model::{NodeId, SpaceName};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Polls that read at once after their wait. One change wakes all of them: they read in turn, and
/// beside the requests that come in meanwhile.
const WOKEN_READS: usize = 64;

/// Where programs send a token that cannot set `Authorization`.
pub(crate) const SYNC_TOKEN: &str = "x-sync-token";

/// A hub with its door: tokens, limits, counters.
pub struct App {
    /// The hub.
    pub hub: Arc<Hub>,
    /// Who may come in.
    pub tokens: Arc<Tokens>,
    /// What tokens opened before they were changed.
    pub earlier: EarlierViews,
    /// Who exchanges packets.
    pub nodes: Nodes,
    /// How it was set up.
    pub options: Options,
    /// What is counted.
    pub meters: Arc<Meters>,
    /// What pages are told.
    pub rooms: Arc<Rooms>,
    /// Events of an application's own.
    pub io: Arc<Io>,
    /// Where live connections come in.
    pub door: Door,
    /// Clients of event sync that are connected and have said who they are.
    live_clients: AtomicUsize,
    requests: Arc<Semaphore>,
    space_requests: Shares<SpaceName>,
    token_requests: Shares<NodeId>,
    space_polls: Shares<SpaceName>,
    waiting: Arc<Semaphore>,
    woken: Arc<Semaphore>,
    pub(crate) body_bytes: Arc<Semaphore>,
    pub(crate) space_bytes: Shares<SpaceName>,
}

/// The right to work on one request; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
    _space: Option<Piece<SpaceName>>,
    _token: Option<Piece<NodeId>>,
}

/// What one space or token may take of what all share: requests of each, waiting polls, bytes of bodies.
fn shares(bounds: &Bounds) -> (Shares<SpaceName>, Shares<NodeId>, Shares<SpaceName>, Shares<SpaceName>) {
    let many = "it works on as many requests of the space as it may";
    let of_token = "it works on as many requests of the token as it may";
    let polls = "as many polls of the space wait as may";
    let bytes = "request bodies of the space take as much memory as they may";
    (
        Shares::new(bounds.space_requests, many, "limits.space_requests"),
        Shares::new(bounds.token_requests, of_token, "limits.token_requests"),
        Shares::new(bounds.space_polls, polls, "limits.space_polls"),
        Shares::new(bounds.space_body_bytes, bytes, "limits.space_body_bytes"),
    )
}

impl App {
    /// Puts the parts together. Must be called inside a Tokio runtime, which then also runs the rooms and the link
    /// to Redis. `event_sync`: who else speaks over live connections.
    #[must_use]
    pub fn new(
        hub: Arc<Hub>,
        tokens: Tokens,
        options: Options,
        meters: Arc<Meters>,
        event_sync: impl FnOnce(Weak<App>) -> Arc<dyn Listener>,
    ) -> Arc<App> {
        let tokens = Arc::new(tokens);
        let bounds = &options.settings.bounds;
        let requests = Arc::new(Semaphore::new(bounds.requests));
        let (space_requests, token_requests, space_polls, space_bytes) = shares(bounds);
        let (waiting, woken) = (Arc::new(Semaphore::new(bounds.waiting_polls)), Arc::new(Semaphore::new(WOKEN_READS)));
        let body_bytes = Arc::new(Semaphore::new(bounds.inflight_body_bytes.min(Semaphore::MAX_PERMITS)));
        let nodes = Nodes::new(Arc::clone(hub.store()), &options.exchange.hub_id, &options.settings);
        let event_bytes = options.rooms.event_bytes;
        let (link, runner) =
            options.redis.clone().map(|redis| Link::new(redis, event_bytes, Arc::clone(&meters))).unzip();
        let (space, joined) = (options.default_space.clone(), options.live.joins);
        let rooms = Rooms::open(options.rooms.clone(), space, joined, link, Arc::clone(&meters));
        tokio::spawn(rooms::follow(Arc::clone(&rooms), Arc::clone(&hub)));
        workers::listen(&hub, &tokens);
        if let Some(runner) = runner {
            workers::start(runner, &hub, &rooms);
        }
        let house = House {
            hub: Arc::clone(&hub),
            tokens: Arc::clone(&tokens),
            gate: options.gate.clone(),
            default_space: options.default_space.clone(),
            anonymous: options.rooms.anonymous,
        };
        let rules = Rules {
            live: options.live,
            bounds: options.settings.bounds,
            body_bytes: Arc::clone(&body_bytes),
            meters: Arc::clone(&meters),
        };
        let io = Arc::<Io>::default();
        Arc::new_cyclic(|app| {
            let listeners: Vec<Arc<dyn Listener>> =
                vec![event_sync(app.clone()), Arc::clone(&rooms) as _, Arc::clone(&io) as _];
            let door = Door::new(house, listeners, rules);
            App {
                hub,
                tokens,
                earlier: EarlierViews::default(),
                nodes,
                options,
                meters,
                rooms,
                io,
                door,
                live_clients: AtomicUsize::new(0),
                requests,
                space_requests,
                token_requests,
                space_polls,
                waiting,
                woken,
                body_bytes,
                space_bytes,
            }
        })
    }

    /// How many clients of event sync are connected and have said who they are.
    #[must_use]
    pub fn live_clients(&self) -> usize {
        self.live_clients.load(Ordering::Relaxed)
    }

    pub(crate) fn count_live_client(&self, comes: bool) {
        if comes {
            self.live_clients.fetch_add(1, Ordering::Relaxed);
        } else {
            self.live_clients.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Finds the grant of a request.
    ///
    /// # Errors
    /// As [`Tokens::authenticate_secret`].
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Grant, ServerError> {
        self.tokens.authenticate(headers.get(AUTHORIZATION).map(|value| value.as_bytes())).await
    }

    /// As [`App::authenticate`]; the header `X-Sync-Token` counts where there is no `Authorization`.
    ///
    /// # Errors
    /// As [`Tokens::authenticate_secret`].
    pub async fn authenticate_sender(&self, headers: &HeaderMap) -> Result<Grant, ServerError> {
        match (headers.get(AUTHORIZATION), headers.get(SYNC_TOKEN)) {
            (None, Some(secret)) => self.tokens.authenticate_secret(secret.as_bytes()).await,
            _ => self.authenticate(headers).await,
        }
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
        self.hub.space(grant.choose_space(named, &self.options.default_space, access)?).await
    }

    /// Takes up a request of a token in a space, within the shares of both.
    ///
    /// # Errors
    /// [`ServerError::Overloaded`].
    pub fn slot(&self, space: &SpaceName, grant: &Grant) -> Result<Slot, ServerError> {
        let (space, token) = (self.space_requests.take(space)?, self.token_requests.take(grant.token_name())?);
        let permit = Arc::clone(&self.requests).try_acquire_owned();
        let permit = permit.map_err(|_| ServerError::Overloaded {
            what: "it works on as many requests as it may",
            limit: "limits.requests",
        })?;
        Ok(Slot { _permit: permit, _space: Some(space), _token: Some(token) })
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
    pub fn waiting_slot(&self, space: &SpaceName) -> Result<Slot, ServerError> {
        let space = self.space_polls.take(space)?;
        let permit = Arc::clone(&self.waiting).try_acquire_owned();
        let permit = permit.map_err(|_| ServerError::Overloaded {
            what: "as many polls wait as may",
            limit: "limits.waiting_polls",
        })?;
        Ok(Slot { _permit: permit, _space: Some(space), _token: None })
    }

    /// Lets a poll that has waited read on, in its turn.
    ///
    /// # Errors
    /// [`ServerError::Overloaded`] when its turn does not come in time.
    pub async fn turn(&self) -> Result<Slot, ServerError> {
        let turn = timeout(self.options.settings.bounds.request_timeout, Arc::clone(&self.woken).acquire_owned());
        match turn.await {
            Ok(Ok(permit)) => Ok(Slot { _permit: permit, _space: None, _token: None }),
            Ok(Err(_)) | Err(_) => Err(ServerError::Overloaded {
                what: "more polls woke at once than it can answer in time",
                limit: "limits.request_timeout",
            }),
        }
    }
}
