//! The server side of NebulaDB's sync plugin as one object, with the options and methods that its document names.
//! Below it is a whole hub; this sets it up and hides what an application that only syncs events does not need.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), syncline_server::ServerError> {
//! use syncline_server::sync_server::{Http, Logging, SyncServer};
//!
//! let sync = SyncServer::builder()
//!     .http(Http::Mounted)
//!     .authenticate(|_handshake, token| async move { token.as_deref() == Some("valid-token") })
//!     .logging(Logging { enabled: true, level: "info".to_owned() })
//!     .build()
//!     .await?;
//!
//! // Beside what the application serves already.
//! let app: axum::Router = axum::Router::new().merge(sync.router());
//! # drop(app);
//! sync.start().await?;
//! assert_eq!(sync.clients_count(), 0);
//! assert!(sync.storage().get_events_after(0).await?.is_empty());
//! sync.stop().await
//! # }
//! ```

mod builder;
mod filling;
mod log_storage;

pub use crate::auth::Handshake;
pub use crate::events::{EventKind, SyncEvent, SyncStorage};
pub use crate::io::{Io, To};
pub use crate::socket::{Ack, Incoming, Line, Sid, Unsent};
pub use builder::{Builder, Http, Logging};

use crate::app::App;
use crate::error::ServerError;
use crate::http::{ListenAddress, Server, socket_router};
use axum::Router;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A sync server: mounted on an application's router, or listening by itself.
pub struct SyncServer {
    app: Arc<App>,
    storage: Arc<dyn SyncStorage>,
    http: Http,
    logging: Logging,
    running: Mutex<Option<Running>>,
}

struct Running {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), ServerError>>,
    addr: ListenAddress,
}

impl SyncServer {
    /// Begins to set one up.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// What an application mounts with `merge`: `/socket.io/` and nothing else, whatever paths and fallback it has.
    /// The hub's whole interface is [`syncline_server::router`](crate::router) over [`SyncServer::app`].
    pub fn router(&self) -> Router {
        socket_router(Arc::clone(&self.app))
    }

    /// Begins to serve. With [`Http::Listen`] it takes its port; mounted, clients come as soon as the application
    /// listens. A server that was stopped is not started again: build another one.
    ///
    /// # Errors
    /// A port in use.
    pub async fn start(&self) -> Result<(), ServerError> {
        self.logging.start();
        let Http::Listen(_) = &self.http else { return Ok(()) };
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_some() {
            return Ok(());
        }
        let server = Server::over(Arc::clone(&self.app))?;
        let addr = server.addr().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        // A dropped sender is a stop as well.
        let ended = tokio::spawn(server.run(async { stopped.await.unwrap_or_default() }));
        *running = Some(Running { stop, ended, addr });
        Ok(())
    }

    /// Where it listens, if it does.
    #[must_use]
    pub fn addr(&self) -> Option<ListenAddress> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|running| running.addr.clone())
    }

    /// Closes the connections so that clients come back to the next server, commits what was accepted, and closes
    /// the storage.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn stop(&self) -> Result<(), ServerError> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { stop, ended, .. }) = running {
            // It may have ended by itself; then it says why below.
            let _ = stop.send(());
            return ended.await.unwrap_or_else(|e| Err(ServerError::Bug(format!("the sync server ended: {e}"))));
        }
        self.app.hub.leave();
        self.app.door.close(self.app.options.settings.bounds.shutdown_grace).await;
        self.app.hub.close().await
    }

    /// Clients that are connected and have said who they are.
    #[must_use]
    pub fn clients_count(&self) -> usize {
        self.app.live_clients()
    }

    /// The storage of events.
    #[must_use]
    pub fn storage(&self) -> &Arc<dyn SyncStorage> {
        &self.storage
    }

    /// The Socket.IO server, for events of the application's own.
    #[must_use]
    pub fn io(&self) -> &Arc<Io> {
        &self.app.io
    }

    /// The hub below.
    #[must_use]
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }
}
