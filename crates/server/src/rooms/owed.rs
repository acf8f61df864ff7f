//! What slow readers have missed. One whose queue is full hears the newest notice of each kind as soon as it
//! takes anything again, and fetches what it shows once; one that takes nothing at all is cut off below
//! (`limits.reader_stall`) and refreshes when it comes back.

use super::members::Audience;
use crate::socket::{Line, Unsent};
use serde_json::value::RawValue;
use socketioxide::socket::Sid;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use syncline_core::model::{EventName, RoomName};

const TRY_AGAIN: Duration = Duration::from_millis(250);

/// Kinds of notices that are kept for one connection.
const KINDS_MAX: usize = 256;

type Kind = (EventName, Option<RoomName>);
type Missed = (Arc<Line>, BTreeMap<Kind, Arc<RawValue>>);

#[derive(Default)]
pub(super) struct Owed(Arc<Mutex<HashMap<Sid, Missed>>>);

impl Owed {
    pub(super) fn start() -> Owed {
        let owed = Owed::default();
        tokio::spawn(pay(Arc::downgrade(&owed.0)));
        owed
    }

    pub(super) fn note(&self, line: Arc<Line>, event: &EventName, to: &Audience, envelope: &Arc<RawValue>) {
        let mut owed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, missed) = owed.entry(line.sid).or_insert_with(|| (line, BTreeMap::new()));
        let kind = (event.clone(), to.rooms.first().cloned());
        if missed.len() < KINDS_MAX || missed.contains_key(&kind) {
            missed.insert(kind, Arc::clone(envelope));
        }
    }
}

async fn pay(owed: Weak<Mutex<HashMap<Sid, Missed>>>) {
    loop {
        tokio::time::sleep(TRY_AGAIN).await;
        let Some(owed) = owed.upgrade() else { return };
        let mut owed = owed.lock().unwrap_or_else(PoisonError::into_inner);
        owed.retain(|_, (line, missed)| {
            while let Some(entry) = missed.first_entry() {
                match line.emit_args(entry.key().0.as_str(), &(&**entry.get(),)) {
                    Ok(()) => drop(entry.remove()),
                    Err(Unsent::Full) => return true,
                    Err(Unsent::Gone) => return false,
                }
            }
            false
        });
    }
}
