//! The client's side of a dialogue with a hub, as a state machine (steps 2 and 9 of the life of a
//! change). [`interface`] lists every event that goes in and every effect that comes out and is the
//! contract with the shell that drives it.
//!
//! ```
//! use syncline_core::model::{CollectionName, Millis};
//! use syncline_core::session::{Effect, Enable, Event, Positions, Request, Session, Settings};
//!
//! let mut session = Session::new(Settings::default());
//! let users = CollectionName::new("users")?;
//! let enable = Enable { positions: Positions::fresh([users]), ..Enable::default() };
//! let effects = session.handle(Millis(0), Event::Enable(enable));
//! // A collection that was never synced starts with a snapshot.
//! assert!(matches!(effects.last(), Some(Effect::Send(_, Request::Snapshot { .. }))));
//! # Ok::<(), syncline_core::model::Malformed>(())
//! ```
//!
//! In reading order: [`interface`], [`notice`], [`positions`], `state`, `machine` (what comes from outside),
//! `cycle` (snapshot, pull, push, step by step), `wait` (the long-poll), `failure` (what every kind
//! of failure leads to), `refusal` and `stopped` (what a token may not), `pace` (when to try again), `status`.
//!
//! The machine reads no clock, draws no random number and does no I/O: the time and the seed of the
//! jitter are arguments. It never lets a push reply move a cursor.

pub mod interface;
pub mod notice;
pub mod positions;

mod cycle;
mod failure;
mod machine;
mod pace;
mod refusal;
mod state;
mod status;
mod stopped;
mod wait;

#[cfg(test)]
mod tests;

pub use interface::{
    Answer, Backlog, Batch, Effect, Enable, Event, Failure, Report, Request, RequestId, Retry, Settings, Stored,
    Ticket, Write,
};
pub use notice::{Conflict, Quarantined, Renamed, SyncEvent};
pub use positions::{Positions, SnapshotProgress};
pub use state::Session;
pub use status::{Phase, Refusals, Status};
