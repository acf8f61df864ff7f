//! Dependencies: an event that is told in one room refreshes others softly. A refresh never leads to another
//! one, and several within `rooms.debounce` are told as one.

use super::envelope::{Item, Reason};
use crate::options::RoomsOptions;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use syncline_core::model::{Epoch, EventName, RoomName, SpaceName};

/// Where a refresh is due.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Refreshed {
    pub(super) space: SpaceName,
    pub(super) room: RoomName,
    /// The log that the cause was read from, where it was.
    pub(super) epoch: Option<Epoch>,
}

/// What caused a refresh.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cause {
    pub(super) event: EventName,
    pub(super) reason: Reason,
    pub(super) id: Item,
}

/// Which events refresh which rooms, and the refreshes that are due.
pub(super) struct Refreshes {
    by_event: HashMap<EventName, Vec<RoomName>>,
    due: Mutex<HashMap<Refreshed, Cause>>,
}

impl Refreshes {
    pub(super) fn new(options: &RoomsOptions) -> Refreshes {
        let mut by_event: HashMap<EventName, Vec<RoomName>> = HashMap::new();
        for (room, rule) in &options.rooms {
            for event in &rule.refresh_on {
                by_event.entry(event.clone()).or_default().push(room.clone());
            }
        }
        Refreshes { by_event, due: Mutex::default() }
    }

    /// The rooms that an event refreshes.
    pub(super) fn of(&self, event: &EventName) -> &[RoomName] {
        self.by_event.get(event).map_or(&[], Vec::as_slice)
    }

    /// Notes a refresh. `true`: it is the first of its window, and whoever noted it has to see to its end.
    pub(super) fn note(&self, place: Refreshed, cause: Cause) -> bool {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(earlier) = due.get_mut(&place) else {
            due.insert(place, cause);
            return true;
        };
        // Of several changes nobody is the changed item.
        if earlier.id != cause.id {
            earlier.id = Item::Unknown;
        }
        if earlier.reason != cause.reason {
            earlier.reason = Reason::Updated;
        }
        earlier.event = cause.event;
        false
    }

    /// Ends a window.
    pub(super) fn take(&self, place: &Refreshed) -> Option<Cause> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).remove(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(event: &str, reason: Reason, id: &str) -> Cause {
        Cause { event: EventName::new(event).unwrap(), reason, id: Item::Text(id.into()) }
    }

    #[test]
    fn files_depend_on_categories_and_registrators_by_default_and_nothing_else_depends() {
        let refreshes = Refreshes::new(&RoomsOptions::default());
        let of = |event: &str| refreshes.of(&EventName::new(event).unwrap()).to_vec();
        assert_eq!(of("categories:changed"), [RoomName::new("files").unwrap()]);
        assert_eq!(of("registrators:changed"), [RoomName::new("files").unwrap()]);
        for event in ["files:changed", "users:changed", "groups:changed", "admin:changed", "index:changed"] {
            assert!(of(event).is_empty(), "{event}");
        }
    }

    #[test]
    fn several_within_a_window_are_one_that_names_what_they_have_in_common() {
        let refreshes = Refreshes::new(&RoomsOptions::default());
        let (space, room) = (SpaceName::new("main").unwrap(), RoomName::new("files").unwrap());
        let place = Refreshed { space, room, epoch: None };
        assert!(refreshes.note(place.clone(), cause("categories:changed", Reason::Added, "a")));
        assert!(!refreshes.note(place.clone(), cause("categories:changed", Reason::Added, "b")));
        let merged = refreshes.take(&place).unwrap();
        assert_eq!((merged.id, merged.reason), (Item::Unknown, Reason::Added));
        assert_eq!(refreshes.take(&place), None);
        assert!(refreshes.note(place.clone(), cause("categories:changed", Reason::Added, "c")), "a new window");
        assert!(!refreshes.note(place.clone(), cause("registrators:changed", Reason::Deleted, "c")));
        let merged = refreshes.take(&place).unwrap();
        assert_eq!(merged, cause("registrators:changed", Reason::Updated, "c"));
    }
}
