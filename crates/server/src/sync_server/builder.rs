//! The options of a sync server, with the defaults of its document.

use super::SyncServer;
use super::filling::fill;
use super::log_storage::LogStorage;
use crate::auth::{DeclaredToken, Gate, Handshake, Secret, TokenSpec};
use crate::error::ServerError;
use crate::events::{EventStorage, SyncStorage};
use crate::http::open;
use crate::options::{LiveOptions, Options};
use crate::store::{MemoryStore, Store};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::{Arc, Mutex};
use syncline_core::model::NodeId;

/// Where clients reach the server.
#[derive(Clone, Debug, Default)]
pub enum Http {
    /// On an application's own router ([`SyncServer::router`]).
    #[default]
    Mounted,
    /// On an address and port of its own; port 0 takes a free one.
    Listen(String),
}

/// What is logged.
#[derive(Clone, Debug)]
pub struct Logging {
    /// Whether the server writes a log. An application that has set up `tracing` itself keeps its own way.
    pub enabled: bool,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
}

impl Default for Logging {
    fn default() -> Self {
        Logging { enabled: true, level: "info".to_owned() }
    }
}

impl Logging {
    pub(super) fn start(&self) {
        if self.enabled {
            let level = self.level.parse().unwrap_or(tracing::Level::INFO);
            // Where there is a subscriber already, it stays.
            drop(tracing_subscriber::fmt().with_max_level(level).try_init());
        }
    }
}

type Ask = Arc<dyn Fn(Handshake, Option<String>) -> BoxFuture<'static, bool> + Send + Sync>;

/// Options of a [`SyncServer`].
#[derive(Default)]
pub struct Builder {
    http: Http,
    socket_options: LiveOptions,
    ask: Option<Ask>,
    store: Option<Arc<dyn Store>>,
    storage: Option<Arc<dyn SyncStorage>>,
    logging: Logging,
}

impl Builder {
    /// Where clients reach it. Default: mounted.
    #[must_use]
    pub fn http(mut self, http: Http) -> Builder {
        self.http = http;
        self
    }

    /// Limits and pings of the connections.
    #[must_use]
    pub fn socket_options(mut self, options: LiveOptions) -> Builder {
        self.socket_options = options;
        self
    }

    /// Decides by its handshake and token whether a client comes in. Default: everybody does.
    #[must_use]
    pub fn authenticate<F, R>(mut self, ask: F) -> Builder
    where
        F: Fn(Handshake, Option<String>) -> R + Send + Sync + 'static,
        R: Future<Output = bool> + Send + 'static,
    {
        self.ask = Some(Arc::new(move |handshake, token| ask(handshake, token).boxed()));
        self
    }

    /// The application's own storage of events. It is given every event before the event's client hears that it is
    /// safe, and the log is filled from it when a server first starts over it: with an engine that keeps the log
    /// ([`Builder::store`]) once, with the default one at each start.
    #[must_use]
    pub fn storage(mut self, storage: Arc<dyn SyncStorage>) -> Builder {
        self.storage = Some(storage);
        self
    }

    /// The engine of the built-in storage. Default: memory.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Builder {
        self.store = Some(store);
        self
    }

    /// What is logged.
    #[must_use]
    pub fn logging(mut self, logging: Logging) -> Builder {
        self.logging = logging;
        self
    }

    /// Opens the hub below.
    ///
    /// # Errors
    /// Those of the store, of the application's storage, or a log level that is none.
    pub async fn build(self) -> Result<SyncServer, ServerError> {
        let Builder { http, socket_options, ask, store, storage, logging } = self;
        if logging.level.parse::<tracing::Level>().is_err() {
            let rule = "is no level; use `error`, `warn`, `info`, `debug` or `trace`";
            return Err(ServerError::Config(format!("`logging.level`: `{}` {rule}", logging.level)));
        }
        let drawn = |source| ServerError::Io { action: "drawing a secret".to_owned(), source };
        let secret = Secret::generate().map_err(drawn)?;
        let token = DeclaredToken { secret: secret.reveal().to_owned(), spec: TokenSpec::named(NodeId::new("sync")?) };
        let mut options = Options { live: socket_options, tokens: vec![token], ..Options::default() };
        options.gate = Some(Gate::new(ask, secret));
        options.event_storage = storage.clone().map(EventStorage);
        if let Http::Listen(address) = &http {
            options.listen.clone_from(address);
        }
        let app = open(store.unwrap_or_else(|| Arc::new(MemoryStore::default())), options).await?;
        let space = app.hub.space(&app.options.default_space).await?;
        if let Some(storage) = &storage {
            fill(&**app.hub.store(), &space, &**storage).await?;
        }
        let storage = storage.unwrap_or_else(|| Arc::new(LogStorage(space)));
        Ok(SyncServer { app, storage, http, logging, running: Mutex::default() })
    }
}
