//! The one way out to the members of this worker: events leave in the order in which they were put in. Who puts
//! one in never waits for those who read slowly.

use super::delivery::Delivery;
use super::members::Members;
use super::owed::Owed;
use crate::meters::Meters;
use crate::socket::Unsent;
use std::sync::Arc;
use tokio::sync::mpsc::{self, OwnedPermit};

/// Where events are put in.
pub(super) struct Outlet(mpsc::Sender<Delivery>);

/// A place in the queue.
pub(super) struct Slot(OwnedPermit<Delivery>);

impl Slot {
    pub(super) fn put(self, delivery: Delivery) {
        self.0.send(delivery);
    }
}

impl Outlet {
    /// Delivers until nobody can put anything in any more.
    pub(super) fn start(queued: usize, members: Arc<Members>, meters: Arc<Meters>) -> Outlet {
        let (put, mut deliveries) = mpsc::channel(queued.max(1));
        tokio::spawn(async move {
            let owed = Owed::start();
            while let Some(delivery) = deliveries.recv().await {
                deliver(&delivery, &members, &owed, &meters);
            }
        });
        Outlet(put)
    }

    /// `None`: the queue is full.
    pub(super) fn try_place(&self) -> Option<Slot> {
        self.0.clone().try_reserve_owned().ok().map(Slot)
    }

    pub(super) async fn place(&self) -> Slot {
        Slot(self.0.clone().reserve_owned().await.expect("the outlet lives as long as it is called"))
    }
}

fn deliver(delivery: &Delivery, members: &Members, owed: &Owed, meters: &Meters) {
    let (mut owed, mut told) = (owed.open(), 0);
    members.each(&delivery.to, |line| {
        // What is owed goes first, or an older event would come after a newer one.
        let handed = if owed.holds(line) { Err(Unsent::Full) } else { line.hand(&delivery.message) };
        match handed {
            Ok(()) => told += 1,
            Err(Unsent::Full) => owed.note(line, delivery),
            Err(Unsent::Gone) => {}
        }
    });
    meters.room_deliveries.increment(told);
}
