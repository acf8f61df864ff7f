//! The link to Redis: what one worker has to tell the others, and what other back ends publish for pages. Only
//! hints and notices travel here, never data: with Redis down everything but their speed is as before. Nobody
//! waits for it; a message that cannot be sent now is dropped and counted. Knows nothing of rooms and spaces.
//!
//! In reading order: [`Link`] and [`Runner`] keep the connection, `emission` is what an emitter of another back end
//! asks for, `python` and `node` read their formats, `refusals` says what was not understood, `trouble` what is wrong with a Redis,
//! and [`examine`] looks at one from outside.

#[cfg(test)]
mod damaged;
mod emission;
mod examine;
mod link;
mod node;
mod python;
mod refusals;
mod trouble;

pub use emission::Emission;
pub use examine::{RedisFacts, examine};
pub use link::{Channel, Link, Runner, Taken};
pub use refusals::{Refusals, Refused};
