//! The bytes that come in by a WebSocket, held at a cord: so few as a greeting needs until the client was let in, and none
//! after the cord was cut. The engine offers neither.

use futures_util::task::AtomicWaker;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a client may send before it is let in: its CONNECT, and what goes with a change of transport.
pub(super) const GREETING_BYTES_MAX: usize = 32 << 10;

/// The end of it that the door holds.
#[derive(Default)]
pub(super) struct Cord {
    let_in: AtomicBool,
    cut: AtomicBool,
    reader: AtomicWaker,
}

impl Cord {
    /// From now on messages have the size that messages may have.
    pub(super) fn let_in(&self) {
        self.let_in.store(true, Ordering::Release);
    }

    /// Ends the connection: it reads as if the other side had gone.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.reader.wake();
    }
}

/// The stream at the cord.
pub(super) struct Corded<S> {
    stream: S,
    cord: Arc<Cord>,
    greeting_bytes: usize,
}

impl<S> Corded<S> {
    pub(super) fn new(stream: S, cord: Arc<Cord>) -> Corded<S> {
        Corded { stream, cord, greeting_bytes: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Corded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.cord.reader.register(cx.waker());
        if self.cord.cut.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        if !self.cord.let_in.load(Ordering::Acquire) {
            self.greeting_bytes += into.filled().len() - before;
            if self.greeting_bytes > GREETING_BYTES_MAX {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "too much before a CONNECT")));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Corded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
