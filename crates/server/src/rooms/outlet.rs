//! The one way out to the members of this worker: events leave in the order in which they were put in. Who puts
//! one in never waits for those who read slowly.

use super::members::{Audience, Members};
use super::owed::Owed;
use crate::meters::Meters;
use crate::socket::{Message, Unsent};
use serde::Serialize;
use serde::ser::SerializeTuple;
use serde_json::value::RawValue;
use std::sync::Arc;
use syncline_core::model::EventName;
use tokio::sync::mpsc::{self, OwnedPermit};

/// An event on its way.
pub(super) struct Parcel {
    pub(super) to: Audience,
    pub(super) event: EventName,
    pub(super) message: Arc<Message<Args>>,
}

/// What members get behind the event's name.
pub(super) enum Args {
    /// An envelope.
    Told(Arc<RawValue>),
    /// The arguments of another back end, as they are.
    Passed(Vec<rmpv::Value>),
}

/// Where events are put in.
pub(super) struct Outlet(mpsc::Sender<Parcel>);

/// A place in the queue.
pub(super) struct Room(OwnedPermit<Parcel>);

impl Room {
    pub(super) fn put(self, parcel: Parcel) {
        self.0.send(parcel);
    }
}

impl Outlet {
    /// Delivers until nobody can put anything in any more.
    pub(super) fn start(queued: usize, members: Arc<Members>, meters: Arc<Meters>) -> Outlet {
        let (put, mut parcels) = mpsc::channel(queued.max(1));
        tokio::spawn(async move {
            let owed = Owed::start();
            while let Some(parcel) = parcels.recv().await {
                deliver(&parcel, &members, &owed, &meters);
            }
        });
        Outlet(put)
    }

    /// `None`: the queue is full.
    pub(super) fn try_place(&self) -> Option<Room> {
        self.0.clone().try_reserve_owned().ok().map(Room)
    }

    pub(super) async fn place(&self) -> Room {
        Room(self.0.clone().reserve_owned().await.expect("the outlet lives as long as it is called"))
    }
}

fn deliver(parcel: &Parcel, members: &Members, owed: &Owed, meters: &Meters) {
    let (mut owed, mut told) = (owed.open(), 0);
    members.each(&parcel.to, |line| {
        // What is owed goes first, or an older event would come after a newer one.
        let handed = if owed.holds(line) { Err(Unsent::Full) } else { line.hand(&parcel.message) };
        match handed {
            Ok(()) => told += 1,
            Err(Unsent::Full) => owed.note(line, parcel),
            Err(Unsent::Gone) => {}
        }
    });
    meters.room_deliveries.increment(told);
}

impl Serialize for Args {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Args::Told(envelope) => (&**envelope,).serialize(serializer),
            Args::Passed(args) => {
                let mut tuple = serializer.serialize_tuple(args.len())?;
                args.iter().try_for_each(|arg| tuple.serialize_element(arg))?;
                tuple.end()
            }
        }
    }
}
