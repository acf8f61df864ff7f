//! The bytes below a WebSocket, with a side entrance for frames that are ready: what goes to many connections is encoded
//! once, shared by all of them, and written by each in one piece between the frames of the library. Must never write into
//! the middle of a frame, before the client heard that it is connected, or after a goodbye.

use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// Frames that are written at once.
const AT_ONCE: usize = 16;
/// Room in a queue that is kept when it is empty.
const KEPT: usize = 16;
/// A text frame and a goodbye.
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
/// How Socket.IO's CONNECT begins inside its frame.
const CONNECTED: &[u8] = b"40";

/// The stream that the library gets.
pub(super) struct Wire<S> {
    stream: S,
    side: Arc<Side>,
    /// Ready frames that are being written; of the first, a part may be gone.
    going: VecDeque<Bytes>,
    /// How many of the bytes that the library writes next were looked at already.
    seen: usize,
    /// The library has written a part of a frame.
    within: bool,
    /// Goes with the wire.
    _alive: oneshot::Sender<Infallible>,
}

/// The side entrance of one connection.
pub(super) struct Side {
    most: usize,
    state: Mutex<State>,
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// The client takes what is sent too slowly (`live.queued_messages`).
    Full,
    /// The connection is closed.
    Gone,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Bytes>,
    /// How many more are being written.
    going: usize,
    connected: bool,
    closed: bool,
    waker: Option<Waker>,
}

impl Side {
    /// `most`: frames that may wait (`live.queued_messages`).
    pub(super) fn new(most: usize) -> Side {
        Side { most, state: Mutex::default() }
    }

    /// Sends whole WebSocket frames as soon as the connection takes them.
    pub(super) fn send(&self, frames: &Bytes) -> Result<(), Unsent> {
        let waker = {
            let mut state = self.state();
            if state.closed {
                return Err(Unsent::Gone);
            }
            if state.waiting.len() + state.going >= self.most {
                return Err(Unsent::Full);
            }
            state.waiting.push_back(frames.clone());
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Hands out what waits; whoever asks is woken when there is more.
    fn take(&self, into: &mut VecDeque<Bytes>, waker: &Waker) {
        if into.capacity() > KEPT {
            *into = VecDeque::new();
        }
        let mut state = self.state();
        if state.connected && !state.closed {
            std::mem::swap(&mut state.waiting, into);
        }
        state.going = into.len();
        state.waker = Some(waker.clone());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        (state.waiting, state.waker) = (VecDeque::new(), None);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S, side: Arc<Side>, alive: oneshot::Sender<Infallible>) -> Wire<S> {
        Wire { stream, side, going: VecDeque::new(), seen: 0, within: false, _alive: alive }
    }

    /// Writes the ready frames, unless the library is within one of its own.
    fn send_aside(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.within {
            if self.going.is_empty() {
                self.side.take(&mut self.going, cx.waker());
            }
            if self.going.is_empty() {
                break;
            }
            let written = self.write_going(cx);
            if written.is_pending() {
                self.side.state().going = self.going.len();
            }
            match ready!(written)? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                written => self.forget(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn write_going(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        if let (Some(only), 1) = (self.going.front(), self.going.len()) {
            return stream.poll_write(cx, only);
        }
        let mut slices = [IoSlice::new(&[]); AT_ONCE];
        let count = self.going.iter().zip(&mut slices).map(|(frame, slice)| *slice = IoSlice::new(frame)).count();
        stream.poll_write_vectored(cx, &slices[..count])
    }

    fn forget(&mut self, mut written: usize) {
        while let Some(first) = self.going.front_mut() {
            if first.len() > written {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.going.pop_front();
        }
    }

    /// Notices in what the library writes that the client is told it is connected, and the goodbye.
    fn look_at(&self, bytes: &[u8]) {
        let mut rest = bytes.get(self.seen..).unwrap_or_default();
        while let Some((opcode, content, end)) = frame(rest) {
            match opcode {
                TEXT if rest[content..].starts_with(CONNECTED) => self.side.state().connected = true,
                CLOSE => self.side.close(),
                _ => {}
            }
            rest = rest.get(end..).unwrap_or_default();
        }
    }
}

/// What the first frame of some bytes is, where its content begins, and where it ends.
fn frame(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (first, short) = (*bytes.first()?, *bytes.get(1)?);
    let (content, length) = match short & 0x7f {
        126 => (4, u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
        length => (2, u64::from(length)),
    };
    Some((first & 0x0f, content, content.saturating_add(usize::try_from(length).ok()?)))
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    /// The task that reads is the one that the side entrance wakes.
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        if let Poll::Ready(Err(error)) = wire.send_aside(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut wire.stream).poll_read(cx, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    /// `bytes` end with a frame, always: the library writes all that it has.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        ready!(wire.send_aside(cx))?;
        wire.look_at(bytes);
        wire.seen = bytes.len();
        let written = ready!(Pin::new(&mut wire.stream).poll_write(cx, bytes))?;
        wire.seen = bytes.len() - written;
        wire.within = wire.seen > 0 && (wire.within || written > 0);
        // What came meanwhile was not written within the frame.
        match wire.send_aside(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(written)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S> Drop for Wire<S> {
    fn drop(&mut self) {
        self.side.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a few bytes now and then.
    #[derive(Default)]
    struct Narrow {
        taken: Vec<u8>,
        takes: usize,
    }

    impl AsyncRead for Narrow {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Narrow {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let length = bytes.len().min(std::mem::take(&mut self.takes));
            self.taken.extend_from_slice(&bytes[..length]);
            if length == 0 { Poll::Pending } else { Poll::Ready(Ok(length)) }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// A wire with what the library has still to write.
    struct Rig {
        wire: Wire<Narrow>,
        side: Arc<Side>,
        unwritten: Vec<u8>,
    }

    impl Rig {
        fn new(most: usize) -> Rig {
            let side = Arc::new(Side::new(most));
            Rig {
                wire: Wire::new(Narrow::default(), Arc::clone(&side), oneshot::channel().0),
                side,
                unwritten: Vec::new(),
            }
        }

        /// Both tasks of the library run, and the other end takes at most so many bytes.
        fn run(&mut self, takes: usize) {
            let cx = &mut Context::from_waker(Waker::noop());
            self.wire.stream.takes = takes;
            let wire = Pin::new(&mut self.wire);
            let write = |bytes: &Vec<u8>| wire.poll_write(cx, bytes);
            if let Some(Poll::Ready(written)) = Some(&self.unwritten).filter(|bytes| !bytes.is_empty()).map(write) {
                self.unwritten.drain(..written.unwrap());
            }
            assert!(Pin::new(&mut self.wire).poll_read(cx, &mut ReadBuf::new(&mut [0; 8])).is_pending());
        }

        fn taken(&self) -> Vec<String> {
            let (mut rest, mut contents) = (&self.wire.stream.taken[..], Vec::new());
            while let Some((_, content, end)) = frame(rest) {
                contents.push(String::from_utf8(rest[content..end].to_vec()).unwrap());
                rest = &rest[end..];
            }
            contents
        }
    }

    fn text(content: &str) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap();
        let head = match u8::try_from(length) {
            Ok(short @ ..126) => vec![0x80 | TEXT, short],
            _ => [&[0x80 | TEXT, 126][..], &length.to_be_bytes()].concat(),
        };
        [head, content.into()].concat()
    }

    #[test]
    fn frames_of_both_sides_stay_whole_and_in_order_however_slowly_they_are_taken() {
        for seed in 0..200 {
            let (mut random, mut rig) = (fastrand::Rng::with_seed(seed), Rig::new(1000));
            let (mut said, mut told) = (vec!["40{}".to_owned()], Vec::new());
            rig.unwritten = text("40{}");
            for n in 0..60 {
                let filler = "x".repeat(random.usize(..200));
                if random.bool() {
                    said.push(format!("3{n}{filler}"));
                    rig.unwritten.extend(text(&said[said.len() - 1]));
                } else {
                    told.push(format!("42{n}{filler}"));
                    rig.side.send(&text(&told[told.len() - 1]).into()).unwrap();
                }
                rig.run(random.usize(..150));
            }
            for _ in 0..200 {
                rig.run(1 << 20);
            }

            let (side, library): (Vec<_>, Vec<_>) = rig.taken().into_iter().partition(|one| one.starts_with("42"));
            assert_eq!((side, library), (told, said), "seed {seed}");
        }
    }

    #[test]
    fn nothing_comes_before_the_client_is_connected_or_after_the_goodbye() {
        let mut rig = Rig::new(8);
        rig.side.send(&text("42a").into()).unwrap();
        rig.unwritten = text("0{}");
        rig.run(100);
        assert_eq!(rig.taken(), ["0{}"]);

        rig.unwritten = [text("2"), text("40{}")].concat();
        rig.run(100);
        rig.run(100);
        assert_eq!(rig.taken(), ["0{}", "2", "40{}", "42a"]);

        rig.side.send(&text("42b").into()).unwrap();
        rig.unwritten = vec![0x80 | CLOSE, 0];
        rig.run(100);
        rig.run(100);
        assert_eq!(rig.side.send(&text("42c").into()), Err(Unsent::Gone));
        assert_eq!(rig.taken(), ["0{}", "2", "40{}", "42a", "42b", ""]);
    }

    #[test]
    fn as_many_wait_as_may_and_then_there_is_no_room() {
        let mut rig = Rig::new(2);
        rig.unwritten = text("40{}");
        rig.run(100);
        let send = |rig: &Rig| rig.side.send(&text("42").into());
        assert_eq!([send(&rig), send(&rig), send(&rig)], [Ok(()), Ok(()), Err(Unsent::Full)]);
        rig.run(1);
        assert_eq!(send(&rig), Err(Unsent::Full), "one is on its way, but has not gone");
        rig.run(100);
        rig.run(100);
        assert_eq!(send(&rig), Ok(()));
        drop(rig.wire);
        assert_eq!(rig.side.send(&Bytes::new()), Err(Unsent::Gone));
    }
}
