//! What all live connections share, and all of them: who enters and who is gone, each said once to every listener.

use super::connection::Connection;
use super::line::Line;
use super::listener::Listener;
use super::rules::Rules;
use super::sid::Sid;
use crate::auth::{Gate, Tokens};
use crate::hub::Hub;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use syncline_core::model::SpaceName;

/// The hub as seen from its door, and nothing else of it.
pub(crate) struct House {
    pub hub: Arc<Hub>,
    pub tokens: Arc<Tokens>,
    /// An application's own decision, instead of the tokens.
    pub gate: Option<Gate>,
    /// The space of those who name none.
    pub default_space: SpaceName,
    /// Whether those come in who have no token (`rooms.anonymous`).
    pub anonymous: bool,
}

/// What is behind the door.
pub(super) struct Hall {
    pub(super) house: House,
    pub(super) rules: Arc<Rules>,
    pub(super) listeners: Vec<Arc<dyn Listener>>,
    pub(super) sessions: Sessions,
}

/// The connections by their ids.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Table>);

#[derive(Default)]
struct Table {
    open: HashMap<Sid, Arc<Connection>>,
    /// The hub goes down: there will be no more.
    closed: bool,
}

impl Hall {
    /// The client is in, unless its connection has ended meanwhile. Nothing can be sent to it before it has heard so, and
    /// nothing of it is heard before all listeners know it.
    pub(super) fn enter(&self, connection: &Connection, line: impl FnOnce(u32) -> Line) {
        // Whoever was in before by the same connection is gone before.
        self.see_off(connection);
        let line = Arc::new(line(connection.begin_entering()));
        self.listeners.iter().for_each(|listener| listener.enter(&line));
        let mut ear = connection.ear();
        if connection.end_entering() {
            ear.guest = Some(line);
        } else {
            self.listeners.iter().for_each(|listener| listener.leave(&line));
        }
    }

    /// Tells that a guest is gone, if there is one who has left; at the end also who has not.
    pub(super) fn see_off(&self, connection: &Connection) {
        let mut ear = connection.ear();
        if let Some(line) = ear.guest.take_if(|line| connection.is_gone(line.guest)) {
            self.listeners.iter().for_each(|listener| listener.leave(&line));
        }
    }

    /// The connection has ended: who was in is gone, and nothing is found under its id. What was sent before may still be
    /// fetched or written.
    pub(super) fn part(&self, connection: &Connection) {
        self.sessions.table().open.remove(&connection.sid);
        self.see_off(connection);
    }

    /// Nothing is left of the connection.
    pub(super) fn close(&self, connection: &Connection) {
        connection.vacate();
        self.part(connection);
    }
}

impl Sessions {
    /// `false`: the hub goes down.
    pub(super) fn add(&self, connection: &Arc<Connection>) -> bool {
        let mut table = self.table();
        if !table.closed {
            table.open.insert(connection.sid, Arc::clone(connection));
        }
        !table.closed
    }

    pub(super) fn find(&self, sid: Sid) -> Option<Arc<Connection>> {
        self.table().open.get(&sid).cloned()
    }

    /// All of them; where it is the last time, there are no others afterwards.
    pub(super) fn all(&self, closes: bool) -> Vec<Arc<Connection>> {
        let mut table = self.table();
        table.closed |= closes;
        table.open.values().cloned().collect()
    }

    /// Who is in.
    pub(super) fn guests(&self) -> Vec<Arc<Line>> {
        self.all(false).iter().filter_map(|connection| connection.ear().guest.clone()).collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
