//! Listens, serves, and goes down without losing what was accepted.

use super::accept::Bounded;
use super::open::open;
use super::router::router;
use crate::app::App;
use crate::error::ServerError;
use crate::options::{Options, TlsFiles};
use crate::store::Store;
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

/// A hub that listens.
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    addr: SocketAddr,
    tls: Option<RustlsConfig>,
}

impl Server {
    /// Opens the hub and its port. Connections are accepted from here on and served by [`Server::run`].
    ///
    /// # Errors
    /// A bad address or certificate, a port in use, or those of the store.
    pub async fn bind(store: Arc<dyn Store>, options: Options) -> Result<Server, ServerError> {
        let tls = match &options.tls {
            Some(files) => Some(load_tls(files).await?),
            None => None,
        };
        let (listener, addr) = listen(&options.listen)?;
        let app = open(store, options).await?;
        Ok(Server { app, listener, addr, tls })
    }

    /// The same for a hub that is open already, without TLS.
    ///
    /// # Errors
    /// A bad address or a port in use.
    pub fn over(app: Arc<App>) -> Result<Server, ServerError> {
        let (listener, addr) = listen(&app.options.listen)?;
        Ok(Server { app, listener, addr, tls: None })
    }

    /// The address that was taken.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where clients on this machine reach it.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.addr)
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
        let bounds = app.options.settings.bounds;
        let handle = Handle::new();
        let acceptor = Bounded::new(&bounds);
        let routes = router(Arc::clone(&app));
        let serving = tokio::spawn({
            let handle = handle.clone();
            async move {
                let server = configured(listener, handle, bounds.header_timeout)?;
                let routes = routes.into_make_service();
                match tls {
                    None => server.acceptor(acceptor).serve(routes).await,
                    Some(tls) => server.acceptor(RustlsAcceptor::new(tls).acceptor(acceptor)).serve(routes).await,
                }
            }
        });
        let failed = |source| ServerError::Io { action: format!("serving on {addr}"), source };
        tokio::pin!(serving);
        let ended = tokio::select! {
            ended = &mut serving => ended,
            () = stop => {
                app.hub.leave();
                app.door.close(bounds.shutdown_grace).await;
                handle.graceful_shutdown(Some(bounds.shutdown_grace));
                serving.await
            }
        };
        let served = ended.unwrap_or_else(|e| Err(io::Error::other(e))).map_err(failed);
        app.hub.close().await.and(served)
    }
}

fn configured(
    listener: TcpListener,
    handle: Handle<SocketAddr>,
    header_timeout: Duration,
) -> io::Result<axum_server::Server<SocketAddr>> {
    let mut server = axum_server::from_tcp(listener)?.handle(handle);
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(header_timeout);
    Ok(server)
}

fn listen(address: &str) -> Result<(TcpListener, SocketAddr), ServerError> {
    let failed = |source| ServerError::Io { action: format!("listening on `{address}`"), source };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    Ok((listener, addr))
}

async fn load_tls(files: &TlsFiles) -> Result<RustlsConfig, ServerError> {
    // Another part of the process may have chosen a provider before: then that one is used.
    drop(rustls::crypto::ring::default_provider().install_default());
    RustlsConfig::from_pem_file(&files.cert, &files.key).await.map_err(|source| {
        let action = format!("reading the certificate {} and the key {}", files.cert.display(), files.key.display());
        ServerError::Io { action, source }
    })
}
