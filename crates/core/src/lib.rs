//! Every decision of Syncline, and nothing else.
//!
//! In reading order, which is also the life of a change:
//!
//! 1. [`model`]: the words: ids, stamps, bodies, ops, versions, receipts, limits.
//! 2. [`filter`]: which documents are meant; asked on the client and on the hub.
//! 3. [`live`]: queries and update operators of the `live` dialect, which the hub carries out.
//! 4. [`merge`]: the one rule that decides concurrent edits, on the hub and on the client.
//! 5. [`session`]: the client's side of a dialogue: events in, effects out.
//! 6. [`hub`]: the hub's side: given what a batch touches and the time, the write set.
//! 7. [`wire`]: bytes to words and back, one module per dialect.
//!
//! This crate reads no clock, draws no random number, opens no file or socket and starts no
//! thread. Time and ids are arguments. `session`, `hub` and `wire` never import each other.

pub mod filter;
pub mod hub;
pub mod live;
pub mod merge;
pub mod model;
#[cfg(any(test, feature = "arbitrary"))]
pub mod mutation;
pub mod session;
pub mod wire;

#[cfg(test)]
mod decoders;
