//! Events of an application's own over the same connections: to all, to rooms of its own, to one; and from clients. Its
//! rooms are its own: they have nothing to do with those of pages.

use crate::socket::{Incoming, Line, Listener, Message, Sid, Unsent};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

type Handler = Arc<dyn Fn(&Arc<Line>, Incoming<'_>) + Send + Sync>;

/// The Socket.IO server as an application sees it; the guide `docs/sync-server.md` shows it at work.
#[derive(Default)]
pub struct Io {
    present: RwLock<Present>,
    handlers: RwLock<HashMap<String, Handler>>,
}

#[derive(Default)]
struct Present {
    lines: HashMap<Sid, Arc<Line>>,
    rooms: HashMap<String, HashSet<Sid>>,
}

/// Whom an event is for.
pub struct To<'a> {
    io: &'a Io,
    rooms: Vec<String>,
    except: Vec<String>,
}

impl Io {
    /// Handles an event of clients, in the order in which each sends its own, on the task that reads the connection: nothing
    /// in it may wait. Events of the hub itself never come here: `client:info`, `client:sync`, and
    /// whatever ends in `join`, `leave` or `presence`. A second
    /// handler of the same event takes the place of the first.
    pub fn on(&self, event: impl Into<String>, handler: impl Fn(&Arc<Line>, Incoming<'_>) + Send + Sync + 'static) {
        let mut handlers = self.handlers.write().unwrap_or_else(PoisonError::into_inner);
        handlers.insert(event.into(), Arc::new(handler));
    }

    /// Sends an event with one argument to everybody who is in. Returns how many it is on its way to: who takes what is sent
    /// too slowly (`live.queued_messages`) misses it.
    ///
    /// # Errors
    /// The argument is no JSON.
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, payload: &T) -> Result<usize, serde_json::Error> {
        To { io: self, rooms: Vec::new(), except: Vec::new() }.emit(event, payload)
    }

    /// Who is in a room.
    #[must_use]
    pub fn to(&self, room: impl Into<String>) -> To<'_> {
        To { io: self, rooms: vec![room.into()], except: Vec::new() }
    }

    /// Everybody but who is in a room.
    #[must_use]
    pub fn except(&self, room: impl Into<String>) -> To<'_> {
        To { io: self, rooms: Vec::new(), except: vec![room.into()] }
    }

    /// Sends an event to one connection.
    ///
    /// # Errors
    /// [`Unsent`].
    pub fn emit_to<T: Serialize + ?Sized>(&self, sid: Sid, event: &str, payload: &T) -> Result<(), Unsent> {
        self.line(sid).ok_or(Unsent::Gone)?.emit(event, payload)
    }

    /// Puts a connection in a room, which it leaves at its end. `false`: there is no such connection.
    pub fn join(&self, sid: Sid, room: impl Into<String>) -> bool {
        let mut present = self.write();
        let is_in = present.lines.contains_key(&sid);
        if is_in {
            present.rooms.entry(room.into()).or_default().insert(sid);
        }
        is_in
    }

    /// Takes a connection out of a room. `false`: it was not in it.
    pub fn leave(&self, sid: Sid, room: &str) -> bool {
        let mut present = self.write();
        let Some(members) = present.rooms.get_mut(room) else { return false };
        let was_in = members.remove(&sid);
        if members.is_empty() {
            present.rooms.remove(room);
        }
        was_in
    }

    /// Sends a client away: it does not come back by itself. `false`: there is no such connection.
    pub fn disconnect(&self, sid: Sid) -> bool {
        self.line(sid).map(|line| line.disconnect()).is_some()
    }

    /// An accepted connection.
    #[must_use]
    pub fn line(&self, sid: Sid) -> Option<Arc<Line>> {
        self.read().lines.get(&sid).cloned()
    }

    fn read(&self) -> RwLockReadGuard<'_, Present> {
        self.present.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Present> {
        self.present.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl To<'_> {
    /// Who is in this room as well.
    #[must_use]
    pub fn to(mut self, room: impl Into<String>) -> Self {
        self.rooms.push(room.into());
        self
    }

    /// But not who is in this room.
    #[must_use]
    pub fn except(mut self, room: impl Into<String>) -> Self {
        self.except.push(room.into());
        self
    }

    /// As [`Io::emit`].
    ///
    /// # Errors
    /// As [`Io::emit`].
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, payload: &T) -> Result<usize, serde_json::Error> {
        let message = Message::new(event, &(payload,))?;
        let present = self.io.read();
        let is_in = |sid: Sid, room: &String| present.rooms.get(room).is_some_and(|members| members.contains(&sid));
        let is_meant = |line: &&Arc<Line>| {
            let meant = self.rooms.is_empty() || self.rooms.iter().any(|room| is_in(line.sid, room));
            meant && !self.except.iter().any(|room| is_in(line.sid, room))
        };
        Ok(present.lines.values().filter(is_meant).filter(|line| line.hand(&message).is_ok()).count())
    }
}

impl Listener for Io {
    fn enter(&self, line: &Arc<Line>) {
        self.write().lines.insert(line.sid, Arc::clone(line));
    }

    fn hear<'a>(&self, line: &Arc<Line>, incoming: Incoming<'a>) -> Option<Incoming<'a>> {
        let handlers = self.handlers.read().unwrap_or_else(PoisonError::into_inner);
        let handler = handlers.get(incoming.event).cloned();
        drop(handlers);
        let Some(handler) = handler else { return Some(incoming) };
        handler(line, incoming);
        None
    }

    fn leave(&self, line: &Arc<Line>) {
        let mut present = self.write();
        present.lines.remove(&line.sid);
        present.rooms.retain(|_, members| {
            members.remove(&line.sid);
            !members.is_empty()
        });
    }
}
