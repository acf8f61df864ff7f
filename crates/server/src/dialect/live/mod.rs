//! Event sync over live connections, as NebulaDB's plugin speaks it (steps 3, 8 and 9 of the life of a change).
//! Holds no rule about data: what an event does is `syncline_core::hub`'s decision.
//!
//! In reading order:
//!
//! 1. `seat`: what a connection hands in is enqueued for its client, without waiting.
//! 2. `client`: one task for each client id. It outlives the connection (`presence`), so that a client that comes back goes
//!    on where it was. The clients of a space are a `circle`, which hands them their `mail`.
//! 3. `intake`: lists of events, read piece by piece in `lists`, become commits. What merely reports back what was delivered is known by
//!    `echoes`, or by `past` where the hub began anew, and swallowed. What a client put in beside what it had: `doubles`.
//! 4. `due`: what a client is to hear next, by its `position` in the log: each `change` from `feed` (the newest of the space,
//!    read once for all) or from the store (`pages`).
//! 5. `bundle`: a message: the state of some documents, encoded once for all who lack the same.
//! 6. `flight`: one message is under way at a time, because clients process two of them interleaved.
//! 7. `sight`: which rows a client sees, where that is not all.
//! 8. `places`: how far each client has got, noted now and then.

mod bundle;
mod change;
mod circle;
mod client;
mod doubles;
mod due;
mod echoes;
mod feed;
mod flight;
mod intake;
mod lists;
mod mail;
mod pages;
mod past;
mod places;
mod position;
mod presence;
mod run;
mod seat;
mod sight;

pub(crate) use pages::{Open, resolve};
pub(crate) use run::Run;

use crate::app::App;
use crate::hub::Space;
use crate::socket::Sid;
use circle::Circle;
use lists::Toil;
use seat::Seat;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use syncline_core::model::SpaceName;

/// The live clients of a hub.
pub struct Live {
    app: Weak<App>,
    toil: Arc<Toil>,
    circles: Mutex<BTreeMap<SpaceName, Arc<Circle>>>,
    /// Connections that have said whose they are.
    seats: Mutex<HashMap<Sid, Seat>>,
}

impl Live {
    pub(crate) fn new(app: Weak<App>) -> Live {
        Live { app, toil: Arc::default(), circles: Mutex::default(), seats: Mutex::default() }
    }

    fn circle(&self, space: &Arc<Space>) -> Arc<Circle> {
        let mut circles = self.circles.lock().unwrap_or_else(PoisonError::into_inner);
        let open = || Circle::open(self.app.clone(), Arc::clone(space), Arc::clone(&self.toil));
        Arc::clone(circles.entry(space.name().clone()).or_insert_with(open))
    }
}
