//! Rooms: pages join them and are told what changed (step 8 of the life of a change for those who fetch their
//! data elsewhere). An event comes from a publisher, from a change in a collection, or from another worker;
//! it gets its envelope once and goes to each member once. Owns no data: what is missed is not repeated, pages
//! refresh when they come back. Never waits for Redis.
//!
//! In reading order: [`Rooms`] takes events in, `join` who listens, `envelope` what is told, `soft` what else is
//! refreshed, `outlet` and `members` deliver; `source` reads the log, `told` what other workers say, `presence`
//! how many are where.

mod delivery;
mod envelope;
mod join;
mod members;
mod outlet;
mod owed;
mod presence;
mod soft;
mod source;
mod told;

pub use envelope::{Envelope, Item, Reason, Scope};
pub use presence::say_presence;
pub use source::follow;

use crate::clock;
use crate::error::ServerError;
use crate::meters::Meters;
use crate::options::RoomsOptions;
use crate::redis::{Channel, Link};
use crate::socket::Message;
use delivery::Delivery;
use envelope::SeqClock;
use members::{Audience, Members};
use outlet::{Outlet, Slot};
use presence::Elsewhere;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use soft::{Cause, Refreshed, Refreshes};
use std::sync::{Arc, Mutex, PoisonError};
use syncline_core::model::{Epoch, EventName, RoomName, SpaceName};

/// The limit that a full queue of events names.
const QUEUE: &str = "rooms.queued_events";

/// What somebody wants pages to be told.
#[derive(Clone, Debug)]
pub struct Event {
    /// Where.
    pub space: SpaceName,
    /// Its name.
    pub name: EventName,
    /// Who is told.
    pub scope: Scope,
    /// Why.
    pub reason: Reason,
    /// The changed item.
    pub id: Item,
    /// Whatever else is to be said.
    pub data: Value,
    /// The log that it was read from; `None`: a publisher's. A worker with the same log reads it there itself.
    pub epoch: Option<Epoch>,
}

/// The rooms of this worker.
pub struct Rooms {
    options: RoomsOptions,
    default_space: SpaceName,
    /// Rooms that one connection may be in.
    joined: usize,
    members: Arc<Members>,
    elsewhere: Elsewhere,
    refreshes: Refreshes,
    outlet: Outlet,
    /// Held while an event gets its number and its place in the queue, so that the two agree.
    clock: Mutex<SeqClock>,
    worker: u32,
    link: Option<Link>,
    meters: Arc<Meters>,
}

impl Rooms {
    /// Opens the rooms; must be called inside a Tokio runtime. `joined`: how many rooms one connection may be in.
    #[must_use]
    pub fn open(
        options: RoomsOptions,
        default_space: SpaceName,
        joined: usize,
        link: Option<Link>,
        meters: Arc<Meters>,
    ) -> Arc<Rooms> {
        let members = Arc::<Members>::default();
        Arc::new(Rooms {
            refreshes: Refreshes::new(&options),
            outlet: Outlet::start(options.queued_events, Arc::clone(&members), Arc::clone(&meters)),
            members,
            elsewhere: Elsewhere::default(),
            clock: Mutex::default(),
            worker: number(std::process::id()),
            options,
            default_space,
            joined,
            link,
            meters,
        })
    }

    /// How they are set up.
    #[must_use]
    pub fn options(&self) -> &RoomsOptions {
        &self.options
    }

    /// Tells an event, here and through Redis to the other workers. Returns its `seq`.
    ///
    /// # Errors
    /// [`ServerError::Overloaded`] when too many events wait for their delivery.
    pub fn emit(self: &Arc<Self>, event: Event) -> Result<u64, ServerError> {
        let what = "too many events wait for their delivery";
        let place = self.outlet.try_place().ok_or(ServerError::Overloaded { what, limit: QUEUE })?;
        Ok(self.tell(event, place))
    }

    /// As [`Rooms::emit`], and waits where that is overloaded.
    pub async fn emit_in_turn(self: &Arc<Self>, event: Event) -> u64 {
        let place = self.outlet.place().await;
        self.tell(event, place)
    }

    fn tell(self: &Arc<Self>, event: Event, place: Slot) -> u64 {
        let refreshed = self.refreshes.of(&event.name).to_vec();
        let cause = Cause { event: event.name.clone(), reason: event.reason, id: event.id.clone() };
        let (space, epoch) = (event.space.clone(), event.epoch.clone());
        let seq = self.hand_out(event, place);
        for room in refreshed {
            let place = Refreshed { space: space.clone(), room, epoch: epoch.clone() };
            if self.refreshes.note(place.clone(), cause.clone()) {
                tokio::spawn(refresh(Arc::clone(self), place));
            }
        }
        seq
    }

    /// Gives an event its envelope and sends it on its ways.
    fn hand_out(&self, event: Event, place: Slot) -> u64 {
        let Event { space, name, scope, reason, id, data, epoch } = event;
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let seq = clock.next(clock::now());
        let envelope = Envelope { reason, seq, worker: self.worker, scope: scope.to_string(), id, data };
        let envelope = to_raw_value(&envelope).expect("an envelope serializes");
        if let Some(link) = &self.link {
            let notice = told::Notice::of(&name, &scope, &envelope, &space, epoch.as_ref(), link.origin());
            link.publish(Channel::Rooms, notice.to_bytes());
        }
        let rooms = scope.room().cloned().into_iter().collect();
        let to = Audience { space, rooms, except: Vec::new() };
        let message = Message::new(name.as_str(), &(envelope,)).expect("an envelope is JSON");
        place.put(Delivery { to, event: name, message });
        self.meters.room_events.increment(1);
        seq
    }

    /// The space of publishers that name none.
    #[must_use]
    pub fn default_space(&self) -> &SpaceName {
        &self.default_space
    }
}

/// Who this worker is among others. In containers every process is one of the first, whose numbers Linux keeps for the
/// start of a machine: among so many equal ones chance tells them apart, above all that a process can have.
fn number(process: u32) -> u32 {
    const FIRST: u32 = 300;
    const BEYOND_PROCESSES: u32 = 1 << 22;
    if process < FIRST { fastrand::u32(BEYOND_PROCESSES..1 << 31) } else { process }
}

/// Ends the window of a soft refresh.
async fn refresh(rooms: Arc<Rooms>, place: Refreshed) {
    tokio::time::sleep(rooms.options.debounce).await;
    let Some(cause) = rooms.refreshes.take(&place) else { return };
    let event = Event {
        space: place.space,
        name: changed(&place.room),
        scope: Scope::Room(place.room),
        reason: cause.reason,
        id: cause.id,
        data: json!({ "soft": true, "source": cause.event }),
        epoch: place.epoch,
    };
    let room = rooms.outlet.place().await;
    rooms.hand_out(event, room);
}

/// What the members of a room are told when something of it changed.
fn changed(room: &RoomName) -> EventName {
    EventName::new(format!("{room}:changed")).expect("a room's name and a word are an event's name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_in_containers_are_told_apart_and_others_are_their_process() {
        let (one, two) = (number(1), number(1));
        assert!(one != two && one.min(two) > 4_194_303, "{one} {two}");
        assert_eq!(number(300), 300);
    }
}
