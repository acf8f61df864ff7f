//! One connection, whatever carries it: what waits to be sent, how far its client is let in, and how it ends. Shared by
//! whoever sends, by the one task that owns it, and by the requests of a client that polls. Nothing here waits.

use super::admission::Admitted;
use super::farewell::Farewell;
use super::packet;
use super::rules::Rules;
use super::sid::Sid;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// From the opening of a connection until somebody is let in.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the other side has to take a goodbye, and to hang up itself.
pub(super) const GOODBYE_LASTS: Duration = Duration::from_secs(1);
/// Room in a queue that is kept when it is empty.
const KEPT: usize = 16;

const NOBODY: Farewell =
    Farewell::refused("nobody was let in by this connection in time; send CONNECT with a token that is accepted");

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// The client takes what is sent too slowly (`live.queued_messages`).
    Full,
    /// The connection is closed.
    Gone,
}

/// What carries a connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Polling,
    /// A WebSocket is being opened.
    Changing,
    /// It works; the client takes it as soon as no request of its waits.
    Changeable,
    WebSocket,
}

/// How far a client is let in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Outside,
    /// It has asked.
    Asking,
    Inside,
    /// The hub has said goodbye to it.
    SentAway,
}

/// A connection.
pub(super) struct Session {
    pub(super) sid: Sid,
    pub(super) rules: Arc<Rules>,
    /// Held for moments, and nobody is called meanwhile.
    state: Mutex<State>,
}

struct State {
    /// Whole frames: packets, each with its attachments.
    waiting: VecDeque<Bytes>,
    /// How many more are being written.
    going: usize,
    /// When nothing was left to send.
    sent_at: Instant,
    transport: Transport,
    stage: Stage,
    /// Until when somebody must be let in, or gone, and how the connection ends where not.
    empty_until: Option<(Instant, Farewell)>,
    /// The client has given a sign of life.
    sign: bool,
    end: Option<Farewell>,
    /// A request waits for what is sent.
    polled: bool,
    task: Option<Waker>,
    poll: Option<Waker>,
    place: Option<Admitted>,
}

/// What the owner of a connection has to know.
pub(super) struct Watched {
    pub(super) sign: bool,
    pub(super) empty_until: Option<(Instant, Farewell)>,
    pub(super) end: Option<Farewell>,
    pub(super) is_sent_away: bool,
}

impl Session {
    pub(super) fn new(sid: Sid, transport: Transport, rules: &Arc<Rules>, place: Option<Admitted>) -> Session {
        let state = State {
            waiting: VecDeque::new(),
            going: 0,
            sent_at: Instant::now(),
            transport,
            stage: Stage::Outside,
            empty_until: Some((Instant::now() + CONNECT_TIMEOUT, NOBODY)),
            sign: false,
            end: None,
            polled: false,
            task: None,
            poll: None,
            place,
        };
        Session { sid, rules: Arc::clone(rules), state: Mutex::new(state) }
    }

    /// Sends a packet to a client that is in.
    pub(super) fn send(&self, frames: Bytes) -> Result<(), Unsent> {
        let mut state = self.state();
        if state.end.is_some() || state.stage != Stage::Inside {
            return Err(Unsent::Gone);
        }
        if state.waiting.len() + state.going >= self.rules.live.queued_messages.max(1) {
            return Err(Unsent::Full);
        }
        state.waiting.push_back(frames);
        wake(state);
        Ok(())
    }

    /// Says what belongs to the protocol. Who asks for more than it takes hears no more.
    pub(super) fn say(&self, frames: Bytes) {
        let mut state = self.state();
        if state.waiting.len() <= self.rules.live.queued_messages {
            state.waiting.push_back(frames);
            wake(state);
        }
    }

    /// Asks for a sign of life, also of who has not taken what was sent before.
    pub(super) fn ping(&self) {
        let mut state = self.state();
        state.waiting.push_back(packet::PING);
        wake(state);
    }

    /// The client asks to be let in; `false`: it has asked, or is in.
    pub(super) fn ask(&self) -> bool {
        let mut state = self.state();
        let asks = state.stage == Stage::Outside && state.end.is_none();
        if asks {
            state.stage = Stage::Asking;
        }
        asks
    }

    pub(super) fn refuse(&self, why: &str) {
        self.state().stage = Stage::Outside;
        self.say(packet::refused(packet::ROOT, why));
    }

    /// The client is in, and hears so before anything else. `false`: the connection has ended meanwhile.
    pub(super) fn let_in(&self) -> bool {
        let mut state = self.state();
        if state.end.is_some() {
            return false;
        }
        (state.stage, state.empty_until) = (Stage::Inside, None);
        state.waiting.push_back(packet::connected(self.sid));
        wake(state);
        true
    }

    /// Whether the client is heard, and its messages may be as large as messages may be.
    pub(super) fn is_inside(&self) -> bool {
        self.state().stage == Stage::Inside
    }

    /// Says Socket.IO's goodbye. The client has a moment to hang up by itself: one that hears it together with the end of
    /// the connection may come back.
    pub(super) fn send_away(&self) {
        let mut state = self.state();
        if state.stage == Stage::Inside {
            state.waiting.push_back(packet::DISCONNECT);
            state.stage = Stage::SentAway;
            state.empty_until = Some((Instant::now() + GOODBYE_LASTS, Farewell::LEFT));
            wake(state);
        }
    }

    pub(super) fn note_sign(&self) {
        let mut state = self.state();
        state.sign = true;
        wake(state);
    }

    /// The connection is over but for its goodbye.
    pub(super) fn end(&self, why: Farewell) {
        let mut state = self.state();
        state.end.get_or_insert(why);
        wake(state);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state().end.is_some()
    }

    /// What its owner has to know; it is woken when that changes. `None`: a WebSocket has taken over from who polls.
    pub(super) fn watch(&self, cx: &Context<'_>, transport: Transport) -> Option<Watched> {
        let mut state = self.state();
        if state.transport == Transport::WebSocket && transport == Transport::Polling {
            return None;
        }
        keep(&mut state.task, cx.waker());
        let (sign, is_sent_away) = (std::mem::take(&mut state.sign), state.stage == Stage::SentAway);
        Some(Watched { sign, empty_until: state.empty_until, end: state.end, is_sent_away })
    }

    /// Hands out what waits, to its owner, which is woken when there is more.
    pub(super) fn take(&self, going: &mut VecDeque<Bytes>, cx: &Context<'_>) {
        if going.capacity() > KEPT {
            *going = VecDeque::new();
        }
        let mut state = self.state();
        std::mem::swap(&mut state.waiting, going);
        state.going = going.len();
        keep(&mut state.task, cx.waker());
    }

    /// So many of those that were handed out are not written yet.
    pub(super) fn note_going(&self, going: usize) {
        let mut state = self.state();
        state.going = going;
        state.note_sent();
    }

    /// When the last of what was to be sent went out; `None`: something waits.
    pub(super) fn sent_at(&self) -> Option<Instant> {
        let state = self.state();
        state.is_sent().then_some(state.sent_at)
    }

    /// Hands out everything, at the end.
    pub(super) fn take_all(&self, going: &mut VecDeque<Bytes>) {
        going.append(&mut self.state().waiting);
    }

    /// A request begins to wait; `false`: another one does.
    pub(super) fn begin_poll(&self) -> bool {
        !std::mem::replace(&mut self.state().polled, true)
    }

    pub(super) fn end_poll(&self) {
        let mut state = self.state();
        (state.polled, state.poll) = (false, None);
    }

    /// What waits, to a request, as soon as there is something, up to a size; nothing where the request is not to wait.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<Vec<Bytes>> {
        let mut state = self.state();
        let mut left = self.rules.live.message_bytes;
        let fits = state.waiting.iter().take_while(|frames| {
            let fits = left > 0;
            left = left.saturating_sub(frames.len());
            fits
        });
        let count = fits.count();
        let waits = state.end.is_none() && state.transport != Transport::WebSocket;
        if count == 0 && waits {
            keep(&mut state.poll, cx.waker());
            return Poll::Pending;
        }
        let taken = state.waiting.drain(..count).collect();
        state.note_sent();
        if state.end.is_some() {
            wake(state);
        }
        Poll::Ready(taken)
    }

    /// Whether everything was fetched that was sent before the end.
    pub(super) fn poll_fetched(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        keep(&mut state.task, cx.waker());
        if state.waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    pub(super) fn transport(&self) -> Transport {
        self.state().transport
    }

    /// The transport changes from one to another; `false`: it was not the one.
    pub(super) fn change(&self, from: Transport, to: Transport) -> bool {
        let mut state = self.state();
        let changes = state.transport == from && state.end.is_none();
        if changes {
            state.transport = to;
            wake(state);
        }
        changes
    }

    /// A WebSocket was tried in vain.
    pub(super) fn poll_on(&self) {
        let mut state = self.state();
        if state.transport != Transport::WebSocket {
            state.transport = Transport::Polling;
        }
    }

    /// Nothing is left of the connection.
    pub(super) fn vacate(&self) {
        let mut state = self.state();
        state.end.get_or_insert(Farewell::LEFT);
        (state.waiting, state.place) = (VecDeque::new(), None);
        wake(state);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Nothing is left to send.
    fn is_sent(&self) -> bool {
        self.waiting.is_empty() && self.going == 0
    }

    fn note_sent(&mut self) {
        if self.is_sent() {
            self.sent_at = Instant::now();
        }
    }
}

/// Wakes whoever waits, outside the lock.
fn wake(mut state: MutexGuard<'_, State>) {
    let (task, poll) = (state.task.take(), state.poll.take());
    drop(state);
    task.into_iter().chain(poll).for_each(Waker::wake);
}

fn keep(kept: &mut Option<Waker>, waker: &Waker) {
    if kept.as_ref().is_none_or(|kept| !kept.will_wake(waker)) {
        *kept = Some(waker.clone());
    }
}
