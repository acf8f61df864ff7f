//! Takes connections in: no delay, and not more than the limit.

use axum_server::accept::Accept;
use std::future::{Ready, ready};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;

/// Accepts up to `limits.connections`; further ones are closed at once, so that what is connected
/// keeps working.
#[derive(Clone)]
pub(super) struct Bounded {
    free: Arc<Semaphore>,
}

impl Bounded {
    pub(super) fn new(connections: usize) -> Bounded {
        Bounded { free: Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS))) }
    }
}

impl<S> Accept<TcpStream, S> for Bounded {
    type Stream = TcpStream;
    type Service = Counted<S>;
    type Future = Ready<io::Result<(TcpStream, Counted<S>)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let permit = Arc::clone(&self.free).try_acquire_owned();
        let taken_in = permit.map_err(io::Error::other).and_then(|permit| {
            stream.set_nodelay(true)?;
            Ok((stream, Counted { service, _permit: Arc::new(permit) }))
        });
        ready(taken_in)
    }
}

/// A connection's service; the connection counts for as long as it lives.
#[derive(Clone)]
pub(super) struct Counted<S> {
    service: S,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl<S: Service<R>, R> Service<R> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.service.call(request)
    }
}
