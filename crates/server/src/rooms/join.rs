//! Who listens: pages join rooms and leave them over their live connection. Joining twice changes nothing, rooms
//! that there are not are ignored.

use super::Rooms;
use super::members::Joined;
use crate::socket::{Incoming, Line, Listener};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use syncline_core::model::RoomName;

/// What names a room, as JSON text; whatever is longer names none.
const NAMED_BYTES_MAX: usize = 1 << 10;

/// What a page asks for.
enum Wish {
    Join,
    Leave,
    Presence,
}

/// How the generic forms name a room: `{"room": "files"}` or just `"files"`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Object { room: String },
    Plain(String),
}

impl Listener for Rooms {
    fn enter(&self, line: &Arc<Line>) {
        self.members.enter(line);
    }

    fn hear<'a>(&self, line: &Arc<Line>, incoming: Incoming<'a>) -> Option<Incoming<'a>> {
        let Some((wish, room)) = read(&incoming) else { return Some(incoming) };
        let answer = match self.known(room) {
            None => Err("there is no such room".to_owned()),
            Some(room) => match wish {
                Wish::Join => self.join(line, &room),
                Wish::Leave => Ok(self.leave(line, &room)),
                Wish::Presence => self.allowed(line, &room).map(|()| self.head_count(line, &room)),
            },
        };
        let answer = answer.unwrap_or_else(|why| json!({ "success": false, "error": why }));
        // A page that did not ask hears nothing, and one that is gone needs no answer.
        let _ = line.answer(incoming.ack, &answer);
        None
    }

    fn leave(&self, line: &Arc<Line>) {
        let left = self.members.go(line);
        if !left.is_empty() {
            self.meters.room_members.decrement(f64::from(u32::try_from(left.len()).unwrap_or(u32::MAX)));
            self.elsewhere.changed();
        }
    }
}

/// `files:join`, `join` and `join_room`, and the same for leaving; `None`: it is not about rooms.
fn read(incoming: &Incoming<'_>) -> Option<(Wish, Option<String>)> {
    let (topic, word) = match incoming.event.split_once(':') {
        Some((topic, word)) => (Some(topic.to_owned()), word),
        None => (None, incoming.event),
    };
    let wish = match (&topic, word) {
        (Some(_), "join") | (None, "join" | "join_room") => Wish::Join,
        (Some(_), "leave") | (None, "leave" | "leave_room") => Wish::Leave,
        (Some(_), "presence") | (None, "presence") => Wish::Presence,
        _ => return None,
    };
    let named = || {
        if incoming.payload.get().len() > NAMED_BYTES_MAX {
            return None;
        }
        Some(match serde_json::from_str(incoming.payload.get()).ok()? {
            Named::Object { room } | Named::Plain(room) => room,
        })
    };
    Some((wish, topic.or_else(named)))
}

impl Rooms {
    fn known(&self, name: Option<String>) -> Option<RoomName> {
        let (room, _) = self.options.rooms.get_key_value(&RoomName::new(name?).ok()?)?;
        Some(room.clone())
    }

    fn allowed(&self, line: &Line, room: &RoomName) -> Result<(), String> {
        let rule = &self.options.rooms[room];
        match &line.caller.grant {
            Some(grant) => grant.check_room(room, rule.granted, &rule.collections).map_err(|error| error.to_string()),
            None if rule.granted => Err(format!("room `{room}` needs a token whose rooms name it")),
            None => Ok(()),
        }
    }

    fn join(&self, line: &Arc<Line>, room: &RoomName) -> Result<Value, String> {
        if let Err(why) = self.allowed(line, room) {
            // Without this, a page that does not ask for answers would wait for ever.
            let _ = line.emit("error", &json!({ "room": room, "error": &why }));
            return Err(why);
        }
        match self.members.join(line, room, self.joined) {
            Joined::Gone => Err("this connection has ended".to_owned()),
            Joined::TooMany => Err(format!("this connection is in {} rooms already (`live.joins`)", self.joined)),
            joined => {
                if joined == Joined::New {
                    self.meters.room_members.increment(1.0);
                    self.elsewhere.changed();
                }
                Ok(json!({ "success": true, "room": room }))
            }
        }
    }

    fn leave(&self, line: &Line, room: &RoomName) -> Value {
        if self.members.leave(line, room) {
            self.meters.room_members.decrement(1.0);
            self.elsewhere.changed();
        }
        json!({ "success": true, "room": room })
    }

    fn head_count(&self, line: &Line, room: &RoomName) -> Value {
        json!({ "success": true, "room": room, "members": self.present(line.caller.space.name(), room) })
    }
}
