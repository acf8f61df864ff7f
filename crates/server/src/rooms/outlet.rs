//! The one way out to the members of this worker: events leave in the order in which they were put in. Who puts
//! one in never waits for those who read slowly.

use super::members::{Audience, Members};
use super::owed::Owed;
use crate::meters::Meters;
use serde::Serialize;
use serde::ser::SerializeTuple;
use serde_json::value::RawValue;
use std::sync::Arc;
use syncline_core::model::EventName;
use tokio::sync::mpsc::{self, OwnedPermit};

/// An event on its way.
pub(super) enum Parcel {
    /// One with an envelope.
    Told { to: Audience, event: EventName, envelope: Arc<RawValue> },
    /// Another back end's, as it is.
    Passed { to: Audience, event: EventName, args: Vec<rmpv::Value> },
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
                deliver(parcel, &members, &owed, &meters);
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

fn deliver(parcel: Parcel, members: &Members, owed: &Owed, meters: &Meters) {
    let told = match parcel {
        Parcel::Told { to, event, envelope } => {
            let (told, slow) = members.tell(&to, event.as_str(), &(&*envelope,));
            for line in slow {
                owed.note(line, &event, &to, &envelope);
            }
            told
        }
        Parcel::Passed { to, event, args } => members.tell(&to, event.as_str(), &Args(&args)).0,
    };
    meters.room_deliveries.increment(told as u64);
}

/// A list that is spread over the arguments of an event.
struct Args<'a>(&'a [rmpv::Value]);

impl Serialize for Args<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for arg in self.0 {
            tuple.serialize_element(arg)?;
        }
        tuple.end()
    }
}
