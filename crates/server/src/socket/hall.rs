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
    pub(super) fn enter(&self, connection: &Connection, line: Line) {
        let mut ear = connection.ear();
        if connection.let_in() {
            let line = Arc::new(line);
            self.listeners.iter().for_each(|listener| listener.enter(&line));
            ear.guest = Some(line);
        }
    }

    /// Who was in is gone.
    pub(super) fn see_off(&self, connection: &Connection) {
        let mut ear = connection.ear();
        if let Some(line) = ear.guest.take() {
            self.listeners.iter().for_each(|listener| listener.leave(&line));
        }
    }

    /// The connection has ended, and nothing is found under its id. What was sent before may still be fetched or written.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::App;
    use crate::http::open;
    use crate::options::Options;
    use crate::socket::session::{Session, Transport};
    use crate::socket::{Caller, Incoming};
    use crate::store::MemoryStore;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;

    /// Lets nobody through before it is told to, and says who comes and goes.
    struct Porter {
        said: Sender<&'static str>,
        through: Mutex<Receiver<()>>,
    }

    impl Listener for Porter {
        fn enter(&self, _: &Arc<Line>) {
            self.said.send("comes").unwrap();
            self.through.lock().unwrap().recv().unwrap();
            self.said.send("is in").unwrap();
        }

        fn hear<'a>(&self, _: &Arc<Line>, incoming: Incoming<'a>) -> Option<Incoming<'a>> {
            Some(incoming)
        }

        fn leave(&self, _: &Arc<Line>) {
            self.said.send("leaves").unwrap();
        }
    }

    fn hall_of(app: &Arc<App>, porter: Porter) -> Hall {
        let house = House {
            hub: Arc::clone(&app.hub),
            tokens: Arc::clone(&app.tokens),
            gate: None,
            default_space: app.options.default_space.clone(),
            anonymous: true,
        };
        let rules = Arc::clone(&app.door.hall.rules);
        Hall { house, rules, listeners: vec![Arc::new(porter)], sessions: Sessions::default() }
    }

    #[tokio::test]
    async fn a_connection_that_ends_while_it_is_let_in_has_left() {
        let app = open(Arc::new(MemoryStore::default()), Options::default()).await.unwrap();
        let ((said, hears), (let_in, through)) = (channel(), channel());
        let hall = hall_of(&app, Porter { said, through: through.into() });
        let session = Session::new(Sid::draw().unwrap(), Transport::WebSocket, &hall.rules, None);
        let connection = Arc::new(Connection::new(session, None));
        let caller = Caller { grant: None, space: app.hub.space(&app.options.default_space).await.unwrap() };
        let line = Line::new(caller, &connection.session);
        assert!(hall.sessions.add(&connection));

        thread::scope(|threads| {
            threads.spawn(|| hall.enter(&connection, line));
            assert_eq!(hears.recv().unwrap(), "comes");
            threads.spawn(|| hall.close(&connection));
            while hall.sessions.find(connection.sid).is_some() {
                thread::yield_now();
            }
            let_in.send(()).unwrap();
        });
        assert_eq!(hears.try_iter().collect::<Vec<_>>(), ["is in", "leaves"]);
        assert!(hall.sessions.guests().is_empty());
    }
}
