//! Listens, serves, and goes down without losing what was accepted.

use super::accept::Bounded;
use super::address::{ListenAddress, Listener, listen};
use super::open::open;
use super::router::router;
use crate::app::App;
use crate::error::ServerError;
use crate::options::{Options, TlsFiles};
use crate::store::Store;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Address, Handle};
use hyper_util::rt::TokioTimer;
use std::io;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// A hub that listens.
pub struct Server {
    app: Arc<App>,
    listener: Listener,
    addr: ListenAddress,
    tls: Option<RustlsConfig>,
}

impl Server {
    /// Opens the hub and its port or socket file. Connections are accepted from here on and served by [`Server::run`].
    ///
    /// # Errors
    /// A bad address or certificate, a port or socket file in use, TLS at a socket file, or those of the store.
    pub async fn bind(store: Arc<dyn Store>, options: Options) -> Result<Server, ServerError> {
        let tls = match &options.tls {
            Some(files) => Some(load_tls(files).await?),
            None => None,
        };
        let (listener, addr) = listen(&options.listen)?;
        if tls.is_some() && addr.tcp().is_none() {
            let reason = "is for an address and port; at a socket file the proxy before the hub speaks TLS";
            return Err(ServerError::Config(format!("`tls.cert` {reason}")));
        }
        let app = open(store, options).await?;
        Ok(Server { app, listener, addr, tls })
    }

    /// The same for a hub that is open already, without TLS.
    ///
    /// # Errors
    /// A bad address, or a port or socket file in use.
    pub fn over(app: Arc<App>) -> Result<Server, ServerError> {
        let (listener, addr) = listen(&app.options.listen)?;
        Ok(Server { app, listener, addr, tls: None })
    }

    /// The address that was taken.
    #[must_use]
    pub fn addr(&self) -> &ListenAddress {
        &self.addr
    }

    /// Where clients on this machine reach it: `http://127.0.0.1:7460`, or `unix:/run/syncline/one.sock`.
    #[must_use]
    pub fn url(&self) -> String {
        match (&self.addr, &self.tls) {
            (ListenAddress::Tcp(addr), Some(_)) => format!("https://{addr}"),
            (ListenAddress::Tcp(addr), None) => format!("http://{addr}"),
            (ListenAddress::Unix(_), _) => self.addr.to_string(),
        }
    }

    /// The hub behind the door.
    #[must_use]
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Serves until `stop` is done. Then waiting polls are answered at once, accepted requests are
    /// finished (within `limits.shutdown_grace`), and the store is closed.
    ///
    /// # Errors
    /// A failing listener, or a store that does not close.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), ServerError> {
        let Server { app, listener, addr, tls } = self;
        let acceptor = Bounded::new(&app.options.settings.bounds);
        let routes = router(Arc::clone(&app)).into_make_service();
        let failed = |source| ServerError::Io { action: format!("serving on {addr}"), source };
        let served = match listener {
            Listener::Tcp(listener) => {
                let handle = Handle::new();
                let server = configured(axum_server::from_tcp(listener).map_err(failed)?, &handle, &app);
                let serving = match tls {
                    None => tokio::spawn(server.acceptor(acceptor).serve(routes)),
                    Some(tls) => {
                        tokio::spawn(server.acceptor(RustlsAcceptor::new(tls).acceptor(acceptor)).serve(routes))
                    }
                };
                until_stopped(&app, serving, &handle, stop).await?
            }
            Listener::Unix(listener, _file) => {
                let handle = Handle::new();
                let server = configured(axum_server::from_unix(listener).map_err(failed)?, &handle, &app);
                let serving = tokio::spawn(server.acceptor(acceptor).serve(routes));
                until_stopped(&app, serving, &handle, stop).await?
            }
        };
        served.map_err(failed)
    }
}

fn configured<A: Address>(server: axum_server::Server<A>, handle: &Handle<A>, app: &App) -> axum_server::Server<A> {
    let mut server = server.handle(handle.clone());
    let header_timeout = app.options.settings.bounds.header_timeout;
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(header_timeout);
    server
}

/// Serves, goes down when `stop` is done, and closes the store.
async fn until_stopped<A: Address>(
    app: &App,
    mut serving: JoinHandle<io::Result<()>>,
    handle: &Handle<A>,
    stop: impl Future<Output = ()>,
) -> Result<io::Result<()>, ServerError> {
    let grace = app.options.settings.bounds.shutdown_grace;
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = stop => {
            app.hub.leave();
            app.door.close(grace).await;
            handle.graceful_shutdown(Some(grace));
            serving.await
        }
    };
    app.hub.close().await?;
    Ok(ended.unwrap_or_else(|e| Err(io::Error::other(e))))
}

async fn load_tls(files: &TlsFiles) -> Result<RustlsConfig, ServerError> {
    // Another part of the process may have chosen a provider before: then that one is used.
    drop(rustls::crypto::ring::default_provider().install_default());
    RustlsConfig::from_pem_file(&files.cert, &files.key).await.map_err(|source| {
        let action = format!("reading the certificate {} and the key {}", files.cert.display(), files.key.display());
        ServerError::Io { action, source }
    })
}
