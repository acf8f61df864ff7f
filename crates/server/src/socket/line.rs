//! One accepted connection, as those see it who speak over it.

use super::farewell::Farewell;
use super::message::Message;
use super::packet;
use super::session::{Session, Unsent};
use super::sid::Sid;
use crate::auth::Grant;
use crate::error::ServerError;
use crate::hub::Space;
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::sync::Arc;
use tokio::time::Instant;

/// An accepted client.
#[derive(Clone)]
pub struct Caller {
    /// What its token allows; `None`: it came without one (`rooms.anonymous`) and may do nothing that needs a grant.
    pub grant: Option<Grant>,
    /// The space that it lives in.
    pub space: Arc<Space>,
}

/// A connection from the moment when its client is let in. All that is sent over it arrives in the order of sending.
pub struct Line {
    /// Who is at its other end.
    pub caller: Arc<Caller>,
    /// The connection's id.
    pub sid: Sid,
    session: Arc<Session>,
}

/// A message of a client.
pub struct Incoming<'a> {
    /// The event's name.
    pub event: &'a str,
    /// The first argument after the name as JSON text; `null` where there is none.
    pub payload: &'a RawValue,
    /// Answers it; does nothing where the client asked for no answer.
    pub ack: Ack,
}

/// The number under which a client waits for an answer, if it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack(pub(super) Option<u64>);

impl Line {
    pub(super) fn new(caller: Caller, session: &Arc<Session>) -> Line {
        Line { caller: Arc::new(caller), sid: session.sid, session: Arc::clone(session) }
    }

    /// One that has ended.
    #[cfg(test)]
    pub(crate) fn ended(caller: Caller) -> Line {
        let session = Session::new(
            Sid::draw().unwrap(),
            super::session::Transport::WebSocket,
            &super::rules::Rules::of(1, 1, 1),
            None,
        );
        session.vacate();
        Line::new(caller, &Arc::new(session))
    }

    /// Sends an event with one argument.
    ///
    /// # Errors
    /// [`Unsent`]: nothing was sent, and whoever owes it to the client sends it again later.
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, payload: &T) -> Result<(), Unsent> {
        // A tuple is spread over the arguments: the payload is one of them whatever it is.
        self.send(packet::event(event, &(payload,), &[]))
    }

    /// Sends an event that many get.
    ///
    /// # Errors
    /// As [`Line::emit`].
    pub fn hand(&self, message: &Message) -> Result<(), Unsent> {
        self.send(Ok(message.frames()))
    }

    /// When the last of what was sent went out; `None`: something waits, perhaps for the client's next poll.
    pub fn sent_at(&self) -> Option<Instant> {
        self.session.sent_at()
    }

    /// Answers a message.
    ///
    /// # Errors
    /// As [`Line::emit`].
    pub fn answer<T: Serialize + ?Sized>(&self, ack: Ack, payload: &T) -> Result<(), Unsent> {
        match ack {
            Ack(Some(number)) => self.send(packet::ack(number, payload)),
            Ack(None) => Ok(()),
        }
    }

    /// Ends the connection and says why. The client is to stay away until it has another token, so it is told by
    /// Socket.IO's own goodbye, after which clients do not come back by themselves.
    ///
    /// Where only its rights have changed, or the keys of its token cannot be told now, it is the door that ends the connection (`rounds`), and the client comes
    /// back with those that it has now.
    pub fn dismiss(&self, why: &ServerError) {
        // A connection that takes nothing is closed by its pings, or by the next attempt.
        let _ = self.emit("error", &json!({ "message": why.to_string() }));
        if !why.is_passing() {
            self.disconnect();
        }
    }

    /// Says Socket.IO's goodbye: clients do not come back by themselves. A second later the connection ends.
    pub fn disconnect(&self) {
        self.session.send_away();
    }

    /// Ends the connection, because of its client something cannot be known now; it comes back by itself.
    pub fn put_off(&self, why: &'static str) {
        self.hang_up(Farewell::busy(why));
    }

    /// Ends the connection below Socket.IO: clients come back by themselves.
    pub(super) fn hang_up(&self, why: Farewell) {
        self.session.end(why);
    }

    fn send(&self, frames: Result<Bytes, serde_json::Error>) -> Result<(), Unsent> {
        let frames = frames.map_err(|error| {
            tracing::error!(%error, "a message for a live client does not serialize");
            Unsent::Gone
        })?;
        let (sent, meters) = (self.session.send(frames), &self.session.rules.meters);
        match sent {
            Ok(()) => meters.live_sent.increment(1),
            Err(Unsent::Full) => meters.live_put_off.increment(1),
            Err(Unsent::Gone) => {}
        }
        sent
    }
}
