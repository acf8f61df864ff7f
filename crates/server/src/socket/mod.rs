//! The door for live connections (Socket.IO 4 over WebSocket or long polling, namespace `/`): lets clients in
//! by their token, bounds what they may send, and hands their messages on in the order of arrival. Step 3 of the
//! life of a change for live clients. Knows no dialect's messages by content and holds no rule about data.
//!
//! The seam for what is spoken over a connection: when a client is accepted, before it hears so, [`Line`] is made
//! for it, and every [`Listener`] is told of it (`greeting`). Each message comes to `ear` as an [`Incoming`],
//! synchronously and in order; the listener that knows it must not wait but enqueue. What is
//! sent goes through [`Line::emit`], which may find the connection full or gone: an emit is a hint, never a promise.
//! What many get is a [`Message`]: encoded once and written below the library (`wire`), by [`Line::hand`].
//!
//! What comes in is looked at first (`inbox` and `packets` for WebSockets, `posts` for polling): a client that sends what it
//! may not, or more than it may before it is in, is told so (`farewell`), where the library would merely hang up. Who is in (`guests`) is looked at again now and
//! then (`rounds`).

mod admission;
mod caller;
mod door;
mod ear;
mod farewell;
mod greeting;
mod guests;
mod house;
mod inbox;
mod line;
mod listener;
mod message;
mod opening;
mod pace;
mod packets;
mod posts;
mod rounds;
mod rules;
mod side;
mod wire;

pub use caller::Caller;
pub use door::{Door, PATHS};
pub(crate) use house::House;
pub use line::{Incoming, Line};
pub use listener::Listener;
pub use message::Message;
pub use side::Unsent;
