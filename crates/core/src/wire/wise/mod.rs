//! The `lsn` dialect as WiseJSON clients speak it (steps 3 and 8 of the life of a change); the shapes
//! are in `spec/lsn.md`, part "Foreign clients".
//!
//! Three generations differ in the envelope; [`decode_push`] reads all of them. [`net_ops`] writes
//! what brings such a client to a document's present state, [`document`] writes a snapshot's line.

mod element;
mod envelope;
mod reply;
mod splice;

pub use envelope::{Shape, WisePush, decode_push};
pub use reply::{Holding, NetDoc, document, net_ops};
pub use splice::IsoTimes;
