//! A connection over a WebSocket: one task that reads, writes and keeps time. Between messages it holds no buffer. Whatever
//! ends it, its client is told why, behind everything that was sent before. Must never write into the middle of a frame, or
//! after a goodbye.

use super::connection::Connection;
use super::farewell::Farewell;
use super::frame::{self, Arrived, Frames, PONG};
use super::hall::Hall;
use super::hearing::{hear, hear_attachment};
use super::packet::{CHANGE, PROBE, PROBED};
use super::pulse::Pulse;
use super::session::{CONNECT_TIMEOUT, GOODBYE_LASTS, Transport};
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a client may send before it is let in: its CONNECT, and what goes with a change of transport.
pub(super) const GREETING_BYTES_MAX: usize = 32 << 10;
/// Read at once, on the stack.
const READ_BYTES: usize = 16 << 10;
/// Frames that are written at once.
const AT_ONCE: usize = 16;

const GREETING: Farewell = Farewell::refused("more than 32 KiB came before the client was let in; send CONNECT first");
const NO_PROBE: Farewell = Farewell::malformed("a change of transport begins with `2probe` and ends with `5`");

/// How a connection ends: with a goodbye, or because the other side is gone.
type End = Option<Farewell>;

/// The task of a connection.
pub(super) struct WebSocket<S> {
    stream: S,
    hall: Arc<Hall>,
    connection: Arc<Connection>,
    frames: Frames,
    /// What is being written; of the first, a part may be gone.
    going: VecDeque<Bytes>,
    pulse: Pulse,
    greeting_bytes: usize,
    phase: Phase,
    /// The client has said goodbye.
    parted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It is tried whether the WebSocket works; the connection polls still.
    Trying,
    Open,
    /// Everything is over but for what is still to be written.
    Ending,
    /// It was tried in vain: the same, and the connection polls on.
    Failing,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Serves a connection, a new one or one that polls still.
    pub(super) fn new(stream: S, hall: Arc<Hall>, connection: Arc<Connection>) -> WebSocket<S> {
        let trying = connection.transport() != Transport::WebSocket;
        let (interval, phase) = match trying {
            true => (CONNECT_TIMEOUT, Phase::Trying),
            false => (connection.rules.live.ping_interval, Phase::Open),
        };
        WebSocket {
            stream,
            hall,
            connection,
            frames: Frames::default(),
            going: VecDeque::new(),
            parted: false,
            pulse: Pulse::start(interval),
            greeting_bytes: 0,
            phase,
        }
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            if let Poll::Ready(Err(_)) = self.poll_write(cx) {
                return Poll::Ready(None);
            }
            match self.poll_read(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Pending => break,
            }
        }
        match self.phase {
            Phase::Trying => self.pulse.poll_end(cx).map(|()| Some(NO_PROBE)),
            _ => self.pulse.poll(cx, &self.hall, &self.connection, Transport::WebSocket),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let mut space = [MaybeUninit::uninit(); READ_BYTES];
        let mut into = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut into)).map_err(|_| None)?;
        let mut bytes = into.filled();
        if bytes.is_empty() {
            return Poll::Ready(Err(None));
        }
        let read = self.count(bytes.len());
        let read = read.and_then(|()| {
            while !bytes.is_empty() {
                let (arrived, rest) = self.frames.read(bytes, &self.connection.rules)?;
                bytes = rest;
                arrived.map_or(Ok(()), |arrived| self.take_in(arrived))?;
            }
            Ok(())
        });
        if read.is_err_and(Farewell::is_fault) {
            self.hall.rules.meters.refused("malformed_frame");
        }
        Poll::Ready(read.map_err(Some))
    }

    fn count(&mut self, bytes: usize) -> Result<(), Farewell> {
        if !self.connection.is_inside() {
            self.greeting_bytes += bytes;
        }
        if self.greeting_bytes > GREETING_BYTES_MAX { Err(GREETING) } else { Ok(()) }
    }

    fn take_in(&mut self, arrived: Arrived) -> Result<(), Farewell> {
        match arrived {
            Arrived::Text(text) if self.phase == Phase::Trying => self.change(&text),
            Arrived::Text(text) => hear(&self.hall, &self.connection, &text),
            Arrived::Binary => hear_attachment(&self.hall, &self.connection),
            Arrived::Ping(content) => {
                // Of many, not all need an answer.
                if self.going.len() < AT_ONCE {
                    self.going.push_back(frame::whole(PONG, &content));
                }
                Ok(())
            }
            Arrived::Goodbye => {
                self.parted = true;
                Err(Farewell::LEFT)
            }
        }
    }

    /// The connection polled, and becomes a WebSocket.
    fn change(&mut self, text: &str) -> Result<(), Farewell> {
        match text {
            PROBE if self.connection.change(Transport::Changing, Transport::Changeable) => {
                self.going.push_back(PROBED);
                Ok(())
            }
            CHANGE if self.connection.change(Transport::Changeable, Transport::WebSocket) => {
                self.pulse = Pulse::start(self.connection.rules.live.ping_interval);
                self.phase = Phase::Open;
                Ok(())
            }
            _ => Err(NO_PROBE),
        }
    }

    /// Writes what waits.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.going.is_empty() && self.phase == Phase::Open {
                self.connection.take(&mut self.going, cx);
            }
            if self.going.is_empty() {
                return Pin::new(&mut self.stream).poll_flush(cx);
            }
            let written = self.write_going(cx);
            if written.is_pending() {
                self.connection.note_going(self.going.len());
            }
            match ready!(written)? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                written => self.forget(written),
            }
        }
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

    /// From now on there is only what waits, and the goodbye behind it.
    fn begin_end(&mut self, end: End) {
        if self.phase == Phase::Trying {
            self.phase = Phase::Failing;
            self.connection.poll_on();
        } else {
            self.phase = Phase::Ending;
            self.connection.end(end.unwrap_or(Farewell::LEFT));
            self.hall.part(&self.connection);
            self.connection.take_all(&mut self.going);
        }
        self.going.extend(end.map(frame::goodbye));
        self.pulse.end(GOODBYE_LASTS);
    }

    /// Writes what is left, and reads over what still comes until the other side hangs up: what is unread would reset the
    /// connection, and the goodbye would never arrive.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.pulse.poll_end(cx).is_ready() {
            return Poll::Ready(());
        }
        let written = self.poll_write(cx);
        if matches!(written, Poll::Ready(Err(_))) || self.parted && written.is_ready() {
            return Poll::Ready(());
        }
        loop {
            let mut space = [MaybeUninit::uninit(); READ_BYTES];
            let mut into = ReadBuf::uninit(&mut space);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut into)) {
                Ok(()) if !into.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for WebSocket<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let socket = self.get_mut();
        if matches!(socket.phase, Phase::Trying | Phase::Open) {
            let end = ready!(socket.poll_open(cx));
            socket.begin_end(end);
            if end.is_none() {
                return Poll::Ready(());
            }
        }
        socket.poll_end(cx)
    }
}

impl<S> Drop for WebSocket<S> {
    /// Also where it was broken off.
    fn drop(&mut self) {
        match self.phase {
            Phase::Trying => self.connection.poll_on(),
            Phase::Open | Phase::Ending => self.hall.close(&self.connection),
            Phase::Failing => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::App;
    use crate::http::open;
    use crate::options::Options;
    use crate::socket::frame::contents;
    use crate::socket::frame::tests::masked;
    use crate::socket::line::Line;
    use crate::socket::session::{Session, Unsent};
    use crate::socket::{Caller, Sid};
    use crate::store::MemoryStore;
    use serde_json::json;
    use std::task::Waker;

    /// Takes a few bytes now and then, and says what it has to say a few bytes at a time.
    #[derive(Default)]
    struct Narrow {
        says: VecDeque<u8>,
        taken: Vec<u8>,
        takes: usize,
    }

    impl AsyncRead for Narrow {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let few = into.remaining().min(8).min(self.says.len());
            self.says.drain(..few).for_each(|byte| into.put_slice(&[byte]));
            if few == 0 { Poll::Pending } else { Poll::Ready(Ok(())) }
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

    /// A connection and its client.
    struct Rig {
        app: Arc<App>,
        connection: Arc<Connection>,
        socket: WebSocket<Narrow>,
    }

    impl Rig {
        async fn new(queued: usize) -> Rig {
            let mut options = Options::default();
            options.live.queued_messages = queued;
            let app = open(Arc::new(MemoryStore::default()), options).await.unwrap();
            let hall = Arc::clone(&app.door.hall);
            let session = Session::new(Sid::draw().unwrap(), Transport::WebSocket, &hall.rules, None);
            let connection = Arc::new(Connection::new(session, None));
            assert!(hall.sessions.add(&connection));
            let socket = WebSocket::new(Narrow::default(), hall, Arc::clone(&connection));
            Rig { app, connection, socket }
        }

        async fn enter(&self) -> Arc<Line> {
            let space = self.app.hub.space(&self.app.options.default_space).await.unwrap();
            let line = Line::new(Caller { grant: None, space }, &self.connection.session);
            self.socket.hall.enter(&self.connection, line);
            self.connection.ear().guest.clone().unwrap()
        }

        /// The task runs, and the other end takes at most so many bytes. Whether the task has ended.
        fn run(&mut self, takes: usize) -> bool {
            self.socket.stream.takes = takes;
            Pin::new(&mut self.socket).poll(&mut Context::from_waker(Waker::noop())).is_ready()
        }

        fn run_on(&mut self, times: usize, takes: usize) {
            for _ in 0..times {
                self.run(takes);
            }
        }

        fn taken(&self) -> Vec<String> {
            let text = |(_, content): (_, &[u8])| String::from_utf8_lossy(content).into_owned();
            contents(&self.socket.stream.taken).map(text).collect()
        }
    }

    #[tokio::test]
    async fn frames_stay_whole_and_in_order_however_slowly_they_are_taken() {
        for seed in 0..50 {
            let (mut random, mut rig) = (fastrand::Rng::with_seed(seed), Rig::new(1000).await);
            let line = rig.enter().await;
            let mut sent = vec![format!("40{{\"sid\":\"{}\"}}", rig.connection.sid)];
            for n in 0..60 {
                let filler = "x".repeat(random.usize(..200));
                line.emit("a", &format!("{n}{filler}")).unwrap();
                sent.push(format!("42[\"a\",\"{n}{filler}\"]"));
                rig.run(random.usize(..150));
            }
            rig.run_on(200, 1 << 20);
            assert_eq!(rig.taken(), sent, "seed {seed}");
        }
    }

    #[tokio::test]
    async fn what_was_sent_comes_before_the_goodbye_and_nothing_behind_it() {
        for step in 1..40 {
            let mut rig = Rig::new(8).await;
            let line = rig.enter().await;
            line.emit("a", &1).unwrap();
            // It is a frame without a mask.
            rig.socket.stream.says = [0x81, 1, b'3'].into();
            rig.run(step);
            assert_eq!(line.emit("a", &2), Err(Unsent::Gone), "{step}");
            rig.run_on(200, step);
            let taken = rig.taken();
            assert_eq!((taken.len(), taken[1].as_str()), (3, "42[\"a\",1]"), "{step}: {taken:?}");
            assert!(taken[2].contains("masked"), "{step}: {taken:?}");
            assert!(
                rig.connection.ear().guest.is_none() && rig.socket.hall.sessions.find(rig.connection.sid).is_none()
            );
        }
    }

    #[tokio::test]
    async fn who_has_said_goodbye_is_answered_and_gone() {
        let mut rig = Rig::new(8).await;
        rig.socket.stream.says = masked(0x88, &[3, 232]).into();
        assert!(!rig.run(1));
        assert!((0..40).any(|_| rig.run(1)));
        assert!(rig.taken()[0].contains("goodbye"));
    }

    #[tokio::test]
    async fn as_many_wait_as_may_and_then_there_is_no_room() {
        let mut rig = Rig::new(2).await;
        let line = rig.enter().await;
        rig.run(1 << 10);
        let send = || line.emit("a", &json!({}));
        assert_eq!([send(), send(), send()], [Ok(()), Ok(()), Err(Unsent::Full)]);
        rig.run(1);
        assert_eq!(send(), Err(Unsent::Full), "one is on its way, but has not gone");
        rig.run_on(3, 1 << 10);
        assert_eq!(send(), Ok(()));
        drop(rig.socket);
        assert_eq!(send(), Err(Unsent::Gone));
    }

    #[tokio::test]
    async fn a_ping_is_sent_back_between_the_parts_of_a_message() {
        let mut rig = Rig::new(8).await;
        let line = rig.enter().await;
        rig.run(1 << 10);
        let says = [masked(0x01, b"427[\"files:"), masked(0x89, b"alive?"), masked(0x80, b"presence\"]")];
        rig.socket.stream.says = says.concat().into();
        rig.run_on(4, 1 << 10);
        let taken = rig.taken();
        assert!(taken[1] == "alive?" && taken[2].starts_with("437[{\"success\":true"), "{taken:?}");
        drop(line);
    }
}
