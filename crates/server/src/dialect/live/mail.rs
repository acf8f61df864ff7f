//! What is handed to a client's task, and how much of it may wait.

use crate::socket::{Ack, Line, Sid};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use syncline_core::model::CollectionName;
use tokio::sync::mpsc::error::SendError;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Collections that a client may listen to.
pub(super) const COLLECTIONS_MAX: usize = 1_000;

/// What a client's task is told.
pub(super) enum Mail {
    /// `client:info`; a repeated one takes room.
    Here { line: Arc<Line>, collections: BTreeSet<CollectionName>, _share: Option<Share> },
    /// `client:sync`.
    Events(Events),
    /// The connection has ended.
    Gone { sid: Sid },
    /// Too many clients are away: this one longest.
    Forget,
}

/// A list of events, not yet read.
pub(super) struct Events {
    pub line: Arc<Line>,
    pub text: Arc<str>,
    pub ack: Ack,
    pub _share: Share,
}

/// What a list takes of the limits until it is answered.
pub(super) struct Share {
    _place: OwnedSemaphorePermit,
    _bytes: Option<OwnedSemaphorePermit>,
}

/// Where mail for a client goes.
#[derive(Clone)]
pub(super) struct Mailbox {
    sender: UnboundedSender<Mail>,
    places: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    /// How many there are.
    bytes_max: usize,
}

impl Events {
    /// Says what became of the list: done, or why not. The client's process ends when an answer is not an object.
    pub(super) fn answer(self, outcome: Result<(), String>) {
        let said = match outcome {
            Ok(()) => json!({ "success": true }),
            Err(why) => json!({ "success": false, "error": why }),
        };
        // A client that cannot be answered sends the list again, and repeats are known.
        let _ = self.line.answer(self.ack, &said);
    }
}

impl Mailbox {
    /// A mailbox for at most so many lists, which take their bytes from what all bodies may take: `bytes_max`.
    pub(super) fn open(lists: usize, bytes: Arc<Semaphore>, bytes_max: usize) -> (Mailbox, UnboundedReceiver<Mail>) {
        let (sender, mail) = unbounded_channel();
        (Mailbox { sender, places: Arc::new(Semaphore::new(lists)), bytes, bytes_max }, mail)
    }

    pub(super) fn send(&self, mail: Mail) -> Result<(), SendError<Mail>> {
        self.sender.send(mail)
    }

    /// What a message takes; `None`: as many of this client wait already (`live.queued_messages`), or bodies take too much
    /// memory (`limits.inflight_body_bytes`). One that is larger than that goes alone: refused, it would come again.
    pub(super) fn share_of(&self, bytes: usize) -> Option<Share> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let bytes = match u32::try_from(bytes.min(self.bytes_max)).ok()? {
            0 => None,
            bytes => Some(Arc::clone(&self.bytes).try_acquire_many_owned(bytes).ok()?),
        };
        Some(Share { _place: place, _bytes: bytes })
    }
}
