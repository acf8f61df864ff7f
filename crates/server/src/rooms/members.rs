//! Who is in which room of which space, and the delivery to them. An event reaches each member once, in the
//! order in which events are handed in.

use crate::socket::{Line, Sid};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use syncline_core::model::{RoomName, SpaceName};

type Lines = HashMap<Sid, Arc<Line>>;

/// The live connections of this worker.
#[derive(Default)]
pub(super) struct Members(RwLock<HashMap<SpaceName, Present>>);

/// Those in one space.
#[derive(Default)]
struct Present {
    everybody: Lines,
    rooms: HashMap<RoomName, Lines>,
}

/// Whom an event is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Audience {
    pub(super) space: SpaceName,
    /// Who is in any of these; empty: everybody in the space.
    pub(super) rooms: Vec<RoomName>,
    /// But not who is in one of these.
    pub(super) except: Vec<RoomName>,
}

/// What a join did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// The connection is in the room now.
    New,
    /// It was already.
    Already,
    /// It is in as many rooms as it may be.
    TooMany,
    /// It has ended.
    Gone,
}

impl Members {
    pub(super) fn enter(&self, line: &Arc<Line>) {
        let mut spaces = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let present = spaces.entry(line.caller.space.name().clone()).or_default();
        present.everybody.insert(line.sid, Arc::clone(line));
    }

    pub(super) fn join(&self, line: &Arc<Line>, room: &RoomName, most: usize) -> Joined {
        let mut spaces = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let present = spaces.get_mut(line.caller.space.name());
        let Some(present) = present.filter(|present| present.everybody.contains_key(&line.sid)) else {
            return Joined::Gone;
        };
        if present.rooms.get(room).is_some_and(|lines| lines.contains_key(&line.sid)) {
            return Joined::Already;
        }
        if present.rooms.values().filter(|lines| lines.contains_key(&line.sid)).count() >= most {
            return Joined::TooMany;
        }
        present.rooms.entry(room.clone()).or_default().insert(line.sid, Arc::clone(line));
        Joined::New
    }

    /// `false`: the connection was not in the room.
    pub(super) fn leave(&self, line: &Line, room: &RoomName) -> bool {
        let mut spaces = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let present = spaces.get_mut(line.caller.space.name());
        present.is_some_and(|present| take_out(present, line.sid, room))
    }

    /// The rooms that a connection was in when it went.
    pub(super) fn go(&self, line: &Line) -> BTreeSet<RoomName> {
        let mut spaces = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let name = line.caller.space.name();
        let Some(present) = spaces.get_mut(name) else { return BTreeSet::new() };
        let is_in = |(room, lines): (&RoomName, &Lines)| lines.contains_key(&line.sid).then(|| room.clone());
        let left: BTreeSet<RoomName> = present.rooms.iter().filter_map(is_in).collect();
        for room in &left {
            take_out(present, line.sid, room);
        }
        present.everybody.remove(&line.sid);
        if present.everybody.is_empty() {
            spaces.remove(name);
        }
        left
    }

    pub(super) fn count(&self, space: &SpaceName, room: &RoomName) -> usize {
        let spaces = self.0.read().unwrap_or_else(PoisonError::into_inner);
        spaces.get(space).and_then(|present| present.rooms.get(room)).map_or(0, HashMap::len)
    }

    /// How many are in each room that is not empty.
    pub(super) fn counts(&self) -> Vec<(SpaceName, RoomName, usize)> {
        let spaces = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let of = |(space, present): (&SpaceName, &Present)| {
            let rooms = present.rooms.iter().map(|(room, lines)| (space.clone(), room.clone(), lines.len()));
            rooms.collect::<Vec<_>>()
        };
        spaces.iter().flat_map(of).collect()
    }

    /// Whether anybody here would be told of an event in one of these rooms.
    pub(super) fn any_in<'a>(&self, space: &SpaceName, rooms: impl IntoIterator<Item = &'a RoomName>) -> bool {
        let spaces = self.0.read().unwrap_or_else(PoisonError::into_inner);
        spaces.get(space).is_some_and(|present| rooms.into_iter().any(|room| present.rooms.contains_key(room)))
    }

    /// Goes to all that an event is for.
    pub(super) fn each(&self, to: &Audience, mut hand: impl FnMut(&Arc<Line>)) {
        let spaces = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(present) = spaces.get(&to.space) else { return };
        let lines_of = |room: &RoomName| present.rooms.get(room);
        match to.rooms.as_slice() {
            [room] if to.except.is_empty() => lines_of(room).into_iter().flat_map(HashMap::values).for_each(hand),
            [] if to.except.is_empty() => present.everybody.values().for_each(hand),
            rooms => {
                let is_in = |room: &RoomName, sid: &Sid| lines_of(room).is_some_and(|lines| lines.contains_key(sid));
                for (sid, line) in &present.everybody {
                    let meant = rooms.is_empty() || rooms.iter().any(|room| is_in(room, sid));
                    if meant && !to.except.iter().any(|room| is_in(room, sid)) {
                        hand(line);
                    }
                }
            }
        }
    }
}

/// A room that nobody is in takes no memory.
fn take_out(present: &mut Present, sid: Sid, room: &RoomName) -> bool {
    let Some(lines) = present.rooms.get_mut(room) else { return false };
    let was_in = lines.remove(&sid).is_some();
    if lines.is_empty() {
        present.rooms.remove(room);
    }
    was_in
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::open;
    use crate::options::Options;
    use crate::socket::{Caller, Listener};
    use crate::store::MemoryStore;

    #[tokio::test]
    async fn who_has_left_joins_nothing_any_more() {
        let app = open(Arc::new(MemoryStore::default()), Options::default()).await.unwrap();
        let space = app.hub.space(&app.options.default_space).await.unwrap();
        let line = Arc::new(Line::ended(Caller { grant: None, space }));
        let (members, files) = (&app.rooms.members, RoomName::new("files").unwrap());

        app.rooms.enter(&line);
        assert_eq!(members.join(&line, &files, 8), Joined::New);
        Listener::leave(&*app.rooms, &line);

        assert_eq!(members.counts(), Vec::new());
        assert_eq!(members.join(&line, &files, 8), Joined::Gone);
        assert_eq!(members.counts(), Vec::new());
    }
}
