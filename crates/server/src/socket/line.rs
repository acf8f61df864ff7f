//! One accepted connection, as those see it who speak over it.

use super::caller::Caller;
use super::message::Message;
use super::side::{Side, Unsent};
use crate::error::ServerError;
use crate::meters::Meters;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use socketioxide::adapter::LocalAdapter;
use socketioxide::extract::{AckSender, SocketRef};
use socketioxide::socket::{Sid, Socket};
use socketioxide::{SendError, SocketError};
use std::sync::{Arc, Weak};

/// A connection. Handlers that hang on the socket hold this, and this does not hold the socket: else neither
/// would ever go.
pub struct Line {
    /// Who is at its other end.
    pub caller: Arc<Caller>,
    /// The connection's id.
    pub sid: Sid,
    socket: Weak<Socket<LocalAdapter>>,
    /// Where it was a WebSocket from the beginning.
    pub(super) side: Option<Arc<Side>>,
    meters: Arc<Meters>,
}

/// A message of a client.
pub struct Incoming<'a> {
    /// The event's name.
    pub event: &'a str,
    /// The first argument after the name as JSON text; `null` where there is none.
    pub payload: &'a RawValue,
    /// Answers it; does nothing where the client asked for no answer.
    pub ack: AckSender,
}

impl Line {
    pub(super) fn new(caller: Arc<Caller>, socket: &Arc<Socket<LocalAdapter>>, meters: Arc<Meters>) -> Line {
        let side = socket.req_parts().extensions.get().cloned();
        Line { caller, sid: socket.id, socket: Arc::downgrade(socket), side, meters }
    }

    /// One that has ended.
    #[cfg(test)]
    pub(crate) fn ended(caller: Caller, meters: Arc<Meters>) -> Line {
        Line { caller: Arc::new(caller), sid: Sid::new(), socket: Weak::new(), side: None, meters }
    }

    /// The socket, while it is open.
    #[must_use]
    pub fn socket(&self) -> Option<SocketRef> {
        self.socket.upgrade().map(SocketRef::from)
    }

    /// Whether nothing is left of the connection: neither does anybody still take in a message of it. Asks without
    /// taking part in the socket, so that its end never falls to who asks.
    pub(super) fn is_gone(&self) -> bool {
        self.socket.strong_count() == 0
    }

    /// Sends an event with one argument.
    ///
    /// # Errors
    /// [`Unsent`]: nothing was sent, and whoever owes it to the client sends it again later.
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, payload: &T) -> Result<(), Unsent> {
        // A tuple is spread over the arguments: the payload is one of them whatever it is.
        self.emit_args(event, &(payload,))
    }

    /// Sends an event with the arguments that a tuple holds.
    ///
    /// # Errors
    /// As [`Line::emit`].
    pub fn emit_args<T: Serialize>(&self, event: &str, args: &T) -> Result<(), Unsent> {
        let socket = self.socket.upgrade().ok_or(Unsent::Gone)?;
        let sent = socket.emit(event, args).map_err(|error| unsent(&error));
        self.count(sent)
    }

    /// Sends an event that many get. Between themselves such events keep their order; what is sent by
    /// [`Line::emit`] may overtake them, and they it.
    ///
    /// # Errors
    /// As [`Line::emit`].
    pub fn hand<A: Serialize>(&self, message: &Message<A>) -> Result<(), Unsent> {
        let Some(side) = &self.side else { return self.emit_args(&message.event, &message.args) };
        let socket = self.socket.upgrade().filter(|socket| socket.connected());
        let sent = socket.ok_or(Unsent::Gone).and_then(|_| side.send(&message.frames));
        self.count(sent)
    }

    /// Answers a message.
    ///
    /// # Errors
    /// As [`Line::emit`].
    pub fn answer<T: Serialize + ?Sized>(&self, ack: AckSender, payload: &T) -> Result<(), Unsent> {
        let sent = ack.send(&(payload,)).map_err(|error| unsent(&error));
        self.count(sent)
    }

    /// Ends the connection and says why. The client is to stay away until it has another token, so it is told by
    /// Socket.IO's own goodbye, after which clients do not come back by themselves.
    ///
    /// Where only its rights have changed, or the keys of its token cannot be told now, it is the door that ends the connection (`rounds`), and the client comes
    /// back with those that it has now.
    pub fn dismiss(&self, why: &ServerError) {
        // A connection that takes nothing is closed by its pings, or by the next attempt.
        let _ = self.emit("error", &json!({ "message": why.to_string() }));
        if why.is_passing() {
            return;
        }
        let _ = self.socket().map(SocketRef::disconnect);
    }

    fn count(&self, sent: Result<(), Unsent>) -> Result<(), Unsent> {
        match sent {
            Ok(()) => self.meters.live_sent.increment(1),
            Err(Unsent::Full) => self.meters.live_put_off.increment(1),
            Err(Unsent::Gone) => {}
        }
        sent
    }
}

fn unsent(error: &SendError) -> Unsent {
    match error {
        SendError::Socket(SocketError::InternalChannelFull) => Unsent::Full,
        SendError::Socket(SocketError::Closed) => Unsent::Gone,
        SendError::Serialize(error) => {
            tracing::error!(%error, "a message for a live client does not serialize");
            Unsent::Gone
        }
    }
}
