//! What can be set about rooms: which there are, whom they let in, and what tells them of changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use syncline_core::model::{CollectionName, EventName, RoomName};

/// The rooms that a hub has when nothing is configured.
pub const DEFAULT_ROOMS: [&str; 7] = ["index", "files", "users", "groups", "categories", "registrators", "admin"];

/// Rooms and what is told in them.
#[derive(Clone, Debug)]
pub struct RoomsOptions {
    /// The rooms that there are; joining any other is ignored.
    pub rooms: BTreeMap<RoomName, RoomRule>,
    /// Whether pages without a token are let in (`rooms.anonymous`), to rooms of the default space that need
    /// no grant.
    pub anonymous: bool,
    /// Events that softly refresh a room within this time are told as one (`rooms.debounce`).
    pub debounce: Duration,
    /// After so long without an event a page refreshes by itself (`rooms.idle_seconds`); pages ask for it.
    pub idle: Duration,
    /// Bytes of the data of one event (`rooms.event_bytes`).
    pub event_bytes: usize,
    /// Events that wait for their delivery (`rooms.queued_events`).
    pub queued_events: usize,
}

impl Default for RoomsOptions {
    fn default() -> Self {
        RoomsOptions {
            rooms: DEFAULT_ROOMS.into_iter().map(default_room).collect(),
            anonymous: false,
            debounce: Duration::from_millis(200),
            idle: Duration::from_secs(30),
            event_bytes: 64 << 10,
            queued_events: 4_096,
        }
    }
}

fn default_room(name: &str) -> (RoomName, RoomRule) {
    const SOFT: [&str; 2] = ["categories:changed", "registrators:changed"];
    let name = RoomName::new(name).expect("a valid name");
    let mut rule = RoomRule::of(&name);
    if name.as_str() == "files" {
        rule.refresh_on = SOFT.map(|event| EventName::new(event).expect("a valid name")).into();
    }
    (name, rule)
}

/// One room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomRule {
    /// Only tokens whose grant names the room let somebody in (`grant`).
    pub granted: bool,
    /// Changes in these collections are told as `<room>:changed`.
    pub collections: BTreeSet<CollectionName>,
    /// These events, wherever they are told, softly refresh the room as well.
    pub refresh_on: BTreeSet<EventName>,
}

impl RoomRule {
    /// An open room that is told of the collection of its own name.
    #[must_use]
    pub fn of(name: &RoomName) -> RoomRule {
        let own = CollectionName::new(name.as_str()).ok();
        RoomRule { collections: own.into_iter().collect(), ..RoomRule::default() }
    }
}
