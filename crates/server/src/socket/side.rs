//! The door's end of a WebSocket: frames that are ready go in here beside those of the library, and the connection is
//! ended here below Socket.IO.

use super::farewell::Farewell;
use super::rules::Rules;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// Room in a queue that is kept when it is empty.
const KEPT: usize = 16;

/// The side entrance of one connection.
pub(super) struct Side {
    pub(super) rules: Arc<Rules>,
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
    /// The client has heard that it is connected.
    connected: bool,
    closed: bool,
    /// Messages may have the size that messages may have.
    let_in: bool,
    cut: Option<Farewell>,
    waker: Option<Waker>,
}

impl Side {
    pub(super) fn new(rules: Arc<Rules>) -> Side {
        Side { rules, state: Mutex::default() }
    }

    /// Sends whole WebSocket frames as soon as the connection takes them.
    pub(super) fn send(&self, frames: &Bytes) -> Result<(), Unsent> {
        let waker = {
            let mut state = self.state();
            if state.closed {
                return Err(Unsent::Gone);
            }
            if state.waiting.len() + state.going >= self.rules.queued {
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

    /// The client was let in.
    pub(super) fn let_in(&self) {
        self.state().let_in = true;
    }

    /// Ends the connection: for the library, the other side has gone.
    pub(super) fn cut(&self, why: Farewell) {
        let waker = {
            let mut state = self.state();
            state.cut = Some(why);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the client was let in, or how the connection ends; whoever asks is woken when it is cut.
    pub(super) fn watch(&self, waker: &Waker) -> Result<bool, Farewell> {
        let mut state = self.state();
        if let Some(why) = state.cut {
            return Err(why);
        }
        keep(&mut state.waker, waker);
        Ok(state.let_in)
    }

    pub(super) fn was_let_in(&self) -> bool {
        self.state().let_in
    }

    /// Hands out what waits; whoever asks is woken when there is more.
    pub(super) fn take(&self, into: &mut VecDeque<Bytes>, waker: &Waker) {
        if into.capacity() > KEPT {
            *into = VecDeque::new();
        }
        let mut state = self.state();
        if state.connected && !state.closed {
            std::mem::swap(&mut state.waiting, into);
        }
        state.going = into.len();
        keep(&mut state.waker, waker);
    }

    /// So many of those that were handed out are not written yet.
    pub(super) fn note_going(&self, going: usize) {
        self.state().going = going;
    }

    pub(super) fn note_connected(&self) {
        self.state().connected = true;
    }

    /// Nothing is taken any more.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        (state.waiting, state.waker) = (VecDeque::new(), None);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep(kept: &mut Option<Waker>, waker: &Waker) {
    if kept.as_ref().is_none_or(|kept| !kept.will_wake(waker)) {
        *kept = Some(waker.clone());
    }
}
