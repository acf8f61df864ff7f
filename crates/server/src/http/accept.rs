//! Takes connections in: no delay, not more than the limit, and none whose other side takes nothing.

use super::stall::Impatient;
use crate::options::Bounds;
use axum_server::accept::Accept;
use std::future::{Ready, ready};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;

/// Accepts up to `limits.connections`; further ones are closed at once, so that what is connected
/// keeps working.
#[derive(Clone)]
pub(super) struct Bounded {
    free: Arc<Semaphore>,
    stall: Duration,
}

impl Bounded {
    pub(super) fn new(bounds: &Bounds) -> Bounded {
        let free = Arc::new(Semaphore::new(bounds.connections.min(Semaphore::MAX_PERMITS)));
        Bounded { free, stall: bounds.reader_stall }
    }
}

/// A connection as it comes from a listener.
pub(super) trait Fresh {
    /// Lets small answers go out at once.
    fn prepare(&self) -> io::Result<()>;
}

impl Fresh for TcpStream {
    fn prepare(&self) -> io::Result<()> {
        self.set_nodelay(true)
    }
}

impl Fresh for UnixStream {
    /// Nothing is held back at a socket file.
    fn prepare(&self) -> io::Result<()> {
        Ok(())
    }
}

impl<C: Fresh, S> Accept<C, S> for Bounded {
    type Stream = Impatient<C>;
    type Service = Counted<S>;
    type Future = Ready<io::Result<(Impatient<C>, Counted<S>)>>;

    fn accept(&self, stream: C, service: S) -> Self::Future {
        let permit = Arc::clone(&self.free).try_acquire_owned();
        let taken_in = permit.map_err(io::Error::other).and_then(|permit| {
            stream.prepare()?;
            Ok((Impatient::new(stream, self.stall), Counted { service, _permit: Arc::new(permit) }))
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
