//! What is told of one event: six fields, always the same ones, made once by the worker that emits it.

use serde::Serialize;
use serde_json::{Number, Value};
use std::fmt;
use syncline_core::model::{Millis, RoomName};

/// Longest text that names a changed item.
const ID_BYTES_MAX: usize = 512;

/// Why something is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// It is another now.
    Updated,
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
    /// It was switched on or off.
    Toggled,
}

impl Reason {
    /// Reads the word on the wire.
    #[must_use]
    pub fn parse(word: &str) -> Option<Reason> {
        match word {
            "updated" => Some(Reason::Updated),
            "added" => Some(Reason::Added),
            "deleted" => Some(Reason::Deleted),
            "toggled" => Some(Reason::Toggled),
            _ => None,
        }
    }
}

/// The changed item.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Item {
    /// None, or more than one.
    #[default]
    Unknown,
    /// Its number in somebody's database.
    Number(Number),
    /// Its id.
    Text(String),
}

impl Item {
    /// Reads what a publisher gave; `None`: it is neither text nor number nor null, or too long.
    #[must_use]
    pub fn read(value: Value) -> Option<Item> {
        match value {
            Value::Null => Some(Item::Unknown),
            Value::Number(number) => Some(Item::Number(number)),
            Value::String(text) if text.len() <= ID_BYTES_MAX => Some(Item::Text(text)),
            _ => None,
        }
    }
}

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everybody in the space.
    Global,
    /// Who is in the room.
    Room(RoomName),
}

impl Scope {
    /// The room, where it is one.
    #[must_use]
    pub fn room(&self) -> Option<&RoomName> {
        match self {
            Scope::Global => None,
            Scope::Room(room) => Some(room),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Global => f.write_str("global"),
            Scope::Room(room) => write!(f, "room:{room}"),
        }
    }
}

/// What pages get beside the event's name.
#[derive(Clone, Debug, Serialize)]
pub struct Envelope {
    /// Why.
    pub reason: Reason,
    /// Milliseconds since 1970, strictly increasing per worker.
    pub seq: u64,
    /// The process that emitted it.
    pub worker: u32,
    /// `global` or `room:<name>`.
    pub scope: String,
    /// The changed item.
    pub id: Item,
    /// Whatever the publisher adds.
    pub data: Value,
}

/// The clock that events are ordered by.
#[derive(Debug, Default)]
pub(super) struct SeqClock {
    last: u64,
}

impl SeqClock {
    /// The time, or a little more: never the same number twice, never one before the last.
    pub(super) fn next(&mut self, now: Millis) -> u64 {
        self.last = now.0.max(self.last + 1);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_envelope_has_its_six_fields_also_when_little_is_known() {
        let full = Envelope {
            reason: Reason::Toggled,
            seq: 1_700_000_000_000,
            worker: 7,
            scope: Scope::Room(RoomName::new("users").unwrap()).to_string(),
            id: Item::read(json!(42)).unwrap(),
            data: json!({ "active": false }),
        };
        let text = serde_json::to_string(&full).unwrap();
        let expected = r#"{"reason":"toggled","seq":1700000000000,"worker":7,"scope":"room:users","id":42,"data":{"active":false}}"#;
        assert_eq!(text, expected);
        let bare =
            Envelope { reason: Reason::Updated, id: Item::Unknown, data: Value::Null, scope: "global".into(), ..full };
        let bare = serde_json::to_value(&bare).unwrap();
        assert_eq!((&bare["id"], &bare["data"], bare.as_object().unwrap().len()), (&Value::Null, &Value::Null, 6));
    }

    #[test]
    fn the_clock_follows_the_time_and_never_stands_or_goes_back() {
        let mut clock = SeqClock::default();
        let times = [1_000, 1_000, 1_000, 900, 1_001, 2_000].map(|now| clock.next(Millis(now)));
        assert_eq!(times, [1_000, 1_001, 1_002, 1_003, 1_004, 2_000]);
    }

    #[test]
    fn an_item_is_a_text_or_a_number() {
        assert_eq!(Item::read(json!("7")), Some(Item::Text("7".into())));
        assert_eq!(Item::read(json!(7)), Some(Item::Number(7.into())));
        assert_eq!(Item::read(Value::Null), Some(Item::Unknown));
        for wrong in [json!(true), json!([1]), json!({}), json!("x".repeat(513))] {
            assert_eq!(Item::read(wrong), None);
        }
    }
}
