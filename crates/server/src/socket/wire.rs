//! The bytes below a WebSocket, with a side entrance for frames that are ready: what goes to many connections is encoded
//! once, shared by all of them, and written by each in one piece between the frames of the library. Whatever ends the
//! connection, its client is told why, which the library does not. Must never write into
//! the middle of a frame, before the client heard that it is connected, or after a goodbye.

use super::admission::Admitted;
use super::farewell::Farewell;
use super::inbox::Inbox;
use super::packets::Way;
use super::side::Side;
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep};

/// Frames that are written at once.
const AT_ONCE: usize = 16;
/// A text frame and a goodbye.
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
/// The library's goodbye, which has no reason.
const BARE_BYTES: usize = 2;
/// How Socket.IO's CONNECT begins inside its frame.
const CONNECTED: &[u8] = b"40";
/// Engine.IO's ping.
const PING: &[u8] = b"2";
/// How long the other side has to take the goodbye, and to hang up itself: what it still sends would reset the connection,
/// and the goodbye with it.
const LINGER: Duration = Duration::from_secs(1);

/// The stream that the library gets.
pub(super) struct Wire<S> {
    stream: S,
    side: Arc<Side>,
    inbox: Inbox,
    /// Ready frames that are being written; of the first, a part may be gone.
    going: VecDeque<Bytes>,
    /// How many of the bytes that the library writes next were looked at already.
    seen: usize,
    /// The library has written a part of a frame.
    within: bool,
    /// Since when a ping is without its answer.
    pinged_at: Option<Instant>,
    /// What is said instead of the library's goodbye, when that is due.
    instead: Option<Farewell>,
    ending: Option<Box<Ending>>,
    _with: GoWith,
}

/// What goes with the wire.
#[derive(Default)]
pub(super) struct GoWith {
    /// Where it was a WebSocket from the beginning; else the engine keeps it with the first request.
    pub(super) _place: Option<Arc<Admitted>>,
    /// Who waits for its end.
    pub(super) _alive: Option<oneshot::Sender<Infallible>>,
}

/// The connection is over but for the goodbye.
struct Ending {
    unsaid: Bytes,
    patience: Pin<Box<Sleep>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S, side: Arc<Side>, way: Way, with: GoWith) -> Wire<S> {
        Wire {
            stream,
            side,
            inbox: Inbox::new(way),
            going: VecDeque::new(),
            seen: 0,
            within: false,
            pinged_at: None,
            instead: None,
            ending: None,
            _with: with,
        }
    }

    /// Writes the ready frames, and the goodbye behind them, unless the library is within a frame of its own.
    fn send_aside(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.within {
            if self.going.is_empty() {
                self.side.take(&mut self.going, cx.waker());
            }
            if self.going.is_empty() {
                return self.say_goodbye(cx);
            }
            let written = self.write_going(cx);
            if written.is_pending() {
                self.side.note_going(self.going.len());
            }
            match ready!(written)? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                written => self.forget(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn say_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(ending) = &mut self.ending else { return Poll::Ready(Ok(())) };
        while !ending.unsaid.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &ending.unsaid))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                written => ending.unsaid.advance(written),
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

    /// Notices in what the library writes that the client is told it is connected, the pings, and the goodbye.
    fn look_at(&mut self, bytes: &[u8]) {
        let mut rest = bytes.get(self.seen..).unwrap_or_default();
        while let Some((opcode, content, end)) = frame(rest) {
            match opcode {
                TEXT if rest[content..].starts_with(CONNECTED) => self.side.note_connected(),
                TEXT if rest.get(content..end) == Some(PING) => self.pinged_at = Some(Instant::now()),
                CLOSE => {
                    self.side.close();
                    // Where the client went first, the library merely answers.
                    self.instead = (content == end && !self.inbox.has_parted()).then(|| self.reason());
                }
                _ => {}
            }
            rest = rest.get(end..).unwrap_or_default();
        }
        self.seen = bytes.len();
    }

    /// Why the library ends the connection of its own accord.
    fn reason(&self) -> Farewell {
        let rules = &self.side.rules;
        if rules.closing.load(Ordering::Acquire) {
            Farewell::GOING_AWAY
        } else if !self.side.was_let_in() {
            Farewell::refused(
                "nobody was let in by this connection in time; send CONNECT with a token that is accepted",
            )
        } else if self.pinged_at.is_some_and(|at| at.elapsed() >= rules.ping_timeout) {
            Farewell::refused("a ping was not answered in time (`live.ping_timeout`)")
        } else {
            Farewell::unreadable("a packet could not be read; an event is a JSON list that begins with its name")
        }
    }

    /// From now on there is only the goodbye.
    fn end(&mut self, why: Farewell) {
        self.side.close();
        if self.ending.is_none() {
            self.ending = Some(Box::new(Ending { unsaid: why.frame(), patience: Box::pin(sleep(LINGER)) }));
        }
    }

    /// Reads over what still comes until the other side hangs up, and then as if it had done so at once.
    fn linger(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(ending) = &mut self.ending else { return Poll::Ready(Ok(())) };
        let before = into.filled().len();
        while ending.patience.as_mut().poll(cx).is_pending() {
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, into));
            if read.is_err() || into.filled().len() == before {
                break;
            }
            into.set_filled(before);
        }
        Poll::Ready(Ok(()))
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
        let watched = wire.side.watch(cx.waker());
        if let Err(why) = watched {
            wire.end(why);
        }
        if let Poll::Ready(Err(error)) = wire.send_aside(cx) {
            return Poll::Ready(Err(error));
        }
        let Some(let_in) = watched.ok().filter(|_| wire.ending.is_none()) else { return wire.linger(cx, into) };
        let before = into.filled().len();
        ready!(Pin::new(&mut wire.stream).poll_read(cx, into))?;
        match wire.inbox.read(&into.filled()[before..], let_in, &wire.side.rules) {
            Ok(sign) => {
                wire.pinged_at = wire.pinged_at.filter(|_| !sign);
                Poll::Ready(Ok(()))
            }
            Err(why) => {
                wire.side.rules.meters.refused("malformed_frame");
                into.set_filled(before);
                wire.end(why);
                match wire.send_aside(cx) {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    _ => wire.linger(cx, into),
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    /// `bytes` end with a frame, always: the library writes all that it has.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        ready!(wire.send_aside(cx))?;
        if wire.ending.is_some() && !wire.within {
            return Poll::Ready(Ok(bytes.len()));
        }
        wire.look_at(bytes);
        // The library's goodbye is the last that it writes.
        let own = bytes.len() - if wire.instead.is_some() { BARE_BYTES } else { 0 };
        let written = match own {
            0 => 0,
            _ => ready!(Pin::new(&mut wire.stream).poll_write(cx, &bytes[..own]))?,
        };
        wire.seen = bytes.len() - written;
        wire.within = wire.seen > 0 && (wire.within || written > 0);
        if let Some(why) = wire.instead.take_if(|_| written == own) {
            wire.within = false;
            wire.end(why);
            ready!(wire.send_aside(cx))?;
            return Poll::Ready(Ok(bytes.len()));
        }
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
    use crate::socket::rules::Rules;
    use crate::socket::side::Unsent;
    use std::task::Waker;

    /// Takes a few bytes now and then, and what it has to say comes a few bytes at a time.
    #[derive(Default)]
    struct Narrow {
        says: VecDeque<u8>,
        taken: Vec<u8>,
        takes: usize,
    }

    impl AsyncRead for Narrow {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let before = into.filled().len();
            while let Some(byte) = self.says.pop_front_if(|_| into.remaining() > 0) {
                into.put_slice(&[byte]);
            }
            if into.filled().len() == before { Poll::Pending } else { Poll::Ready(Ok(())) }
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
            let side = Arc::new(Side::new(Rules::of(most, 1 << 20, 1 << 20)));
            let wire = Wire::new(Narrow::default(), Arc::clone(&side), Way::WebSocket, GoWith::default());
            Rig { wire, side, unwritten: Vec::new() }
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
                contents.push(String::from_utf8_lossy(&rest[content..end]).into_owned());
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

    #[tokio::test]
    async fn nothing_comes_before_the_client_is_connected_or_after_the_goodbye() {
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
        let taken = rig.taken();
        assert_eq!(taken[..5], ["0{}", "2", "40{}", "42a", "42b"]);
        assert!(taken.len() == 6 && taken[5].contains("nobody was let in"), "{taken:?}");
    }

    #[tokio::test]
    async fn a_goodbye_has_a_reason_and_comes_behind_what_was_begun_however_slowly_that_is_taken() {
        for step in 1..40 {
            let mut rig = Rig::new(8);
            rig.side.let_in();
            rig.unwritten = [text("40{}"), text("42[\"a\"]"), vec![0x80 | CLOSE, 0]].concat();
            for _ in 0..200 {
                rig.run(step);
            }
            let taken = rig.taken();
            assert_eq!((taken.len(), &taken[..2]), (3, &["40{}".to_owned(), "42[\"a\"]".to_owned()][..]), "{step}");
            assert!(taken[2].contains("a packet could not be read"), "{step}: {taken:?}");
        }
    }

    #[tokio::test]
    async fn what_is_malformed_is_not_read_and_ends_the_connection_in_its_turn() {
        let mut rig = Rig::new(8);
        rig.unwritten = text("40{}");
        rig.run(3);
        // A frame without a mask, while the library is within one of its own.
        rig.wire.stream.says = text("42[]").into();
        rig.run(1);
        for _ in 0..200 {
            rig.run(2);
        }
        let taken = rig.taken();
        assert!(taken.len() == 2 && taken[0] == "40{}" && taken[1].contains("masked"), "{taken:?}");
        assert_eq!(rig.side.send(&text("42").into()), Err(Unsent::Gone));
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
