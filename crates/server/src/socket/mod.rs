//! The door for live connections (Socket.IO 4 over WebSocket or long polling, namespace `/`): lets clients in
//! by their token, bounds what they may send, and hands their messages on in the order of arrival. Step 3 of the
//! life of a change for live clients. Knows no dialect's messages by content and holds no rule about data.
//!
//! In reading order:
//!
//! 1. `door`: requests. Each `connection` has a `session`, whatever carries it (what waits to be sent, how far its client is let
//!    in, how it ends), and an ear for its client. The `hall` has all of them.
//! 2. `websocket` and `polling` carry it. Each connection has one task, which owns its time (`pulse`) and its end (`farewell`).
//! 3. `frame` and `packet` are the formats. `refusal` is what requests hear that are none.
//! 4. `hearing`: what packets bring about. A CONNECT goes to `greeting`, which decides who comes in; who is in is looked at again now
//!    and then (`rounds`). An event goes to the first [`Listener`] that knows it, as an [`Incoming`], synchronously and
//!    in order: it must not wait but enqueue.
//! 5. `line`: an accepted client. What is sent to it arrives in the order of sending, or is not taken at all ([`Unsent`]); what many
//!    get is a [`Message`], encoded once.

mod admission;
mod connection;
#[cfg(test)]
mod damaged;
mod door;
mod farewell;
mod frame;
mod greeting;
mod hall;
mod hearing;
mod line;
mod listener;
mod message;
mod pace;
mod packet;
mod polling;
mod pulse;
mod refusal;
mod rounds;
mod rules;
mod session;
mod sid;
mod websocket;

pub use door::{Door, PATHS};
pub(crate) use hall::House;
pub use line::{Ack, Caller, Incoming, Line};
pub use listener::Listener;
pub use message::Message;
pub(crate) use rules::Rules;
pub use session::Unsent;
pub use sid::Sid;
