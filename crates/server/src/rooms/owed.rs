//! What slow readers have missed. One whose queue is full hears the newest notice of each kind as soon as it
//! takes anything again, and fetches what it shows once; one that takes nothing at all is cut off below
//! (`limits.reader_stall`) and refreshes when it comes back.

use super::delivery::Delivery;
use crate::socket::{Line, Message, Sid, Unsent};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use syncline_core::model::{EventName, RoomName};

const TRY_AGAIN: Duration = Duration::from_millis(250);

/// Kinds of notices that are kept for one connection.
const KINDS_MAX: usize = 256;

type Kind = (EventName, Option<RoomName>);
type Notice = (Kind, Message);

/// What each connection has missed, in the order in which it was told.
type Debts = HashMap<Sid, (Arc<Line>, Vec<Notice>)>;

#[derive(Default)]
pub(super) struct Owed(Arc<Mutex<Debts>>);

/// The books, while somebody writes in them.
pub(super) struct Open<'a>(MutexGuard<'a, Debts>);

impl Owed {
    pub(super) fn start() -> Owed {
        let owed = Owed::default();
        tokio::spawn(pay(Arc::downgrade(&owed.0)));
        owed
    }

    pub(super) fn open(&self) -> Open<'_> {
        Open(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Open<'_> {
    /// Whether something is owed to a connection.
    pub(super) fn holds(&self, line: &Line) -> bool {
        !self.0.is_empty() && self.0.contains_key(&line.sid)
    }

    pub(super) fn note(&mut self, line: &Arc<Line>, delivery: &Delivery) {
        let (_, missed) = self.0.entry(line.sid).or_insert_with(|| (Arc::clone(line), Vec::new()));
        let kind = (delivery.event.clone(), delivery.to.rooms.first().cloned());
        missed.retain(|(noted, _)| *noted != kind);
        if missed.len() < KINDS_MAX {
            missed.push((kind, delivery.message.clone()));
        }
    }
}

async fn pay(owed: Weak<Mutex<Debts>>) {
    loop {
        tokio::time::sleep(TRY_AGAIN).await;
        let Some(owed) = owed.upgrade() else { return };
        let mut owed = owed.lock().unwrap_or_else(PoisonError::into_inner);
        owed.retain(|_, (line, missed)| {
            let mut paid = 0;
            let refused = missed.iter().find_map(|(_, message)| {
                let refused = line.hand(message).err();
                paid += usize::from(refused.is_none());
                refused
            });
            missed.drain(..paid);
            refused == Some(Unsent::Full)
        });
    }
}
