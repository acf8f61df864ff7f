//! A connection as its transport has it: the session, and what is heard of the client.

use super::line::{Ack, Line};
use super::pace::Pace;
use super::session::Session;
use crate::auth::Handshake;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A connection.
pub(super) struct Connection {
    pub(super) session: Arc<Session>,
    /// The request that opened it, where an application decides by that.
    pub(super) handshake: Option<Box<Handshake>>,
    ear: Mutex<Ear>,
}

/// What hears the client. It is held while somebody hears it, or is told that it is gone: whoever is told of its end is told
/// after everything that it said.
pub(super) struct Ear {
    /// Whom listeners know as the one who is in.
    pub(super) guest: Option<Arc<Line>>,
    pub(super) pace: Pace,
    /// A packet whose attachments have not come.
    pub(super) begun: Option<Begun>,
}

/// A packet that announced attachments.
pub(super) struct Begun {
    /// How many are still to come.
    pub(super) left: u64,
    /// It is an event that somebody here would hear, and how it is answered.
    pub(super) event: Option<Ack>,
}

impl Connection {
    pub(super) fn new(session: Session, handshake: Option<Box<Handshake>>) -> Connection {
        let ear = Ear { guest: None, pace: Pace::new(session.rules.live.events_per_second), begun: None };
        Connection { session: Arc::new(session), handshake, ear: Mutex::new(ear) }
    }

    pub(super) fn ear(&self) -> MutexGuard<'_, Ear> {
        self.ear.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Connection {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}
