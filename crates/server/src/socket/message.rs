//! An event for many connections: encoded once, for as many as there are.

use super::packet;
use bytes::Bytes;
use serde::Serialize;

/// An event with its arguments, as all connections send it.
#[derive(Clone, Debug)]
pub struct Message(Bytes);

impl Message {
    /// Encodes it; `args` is a tuple.
    ///
    /// # Errors
    /// The arguments are no JSON.
    pub fn new<A: Serialize + ?Sized>(event: &str, args: &A) -> Result<Message, serde_json::Error> {
        Message::with_attachments(event, args, &[])
    }

    /// As [`Message::new`], with bytes for the places `{"_placeholder": true, "num": n}` in the arguments.
    ///
    /// # Errors
    /// As [`Message::new`].
    pub fn with_attachments<A: Serialize + ?Sized>(
        event: &str,
        args: &A,
        attachments: &[Vec<u8>],
    ) -> Result<Message, serde_json::Error> {
        packet::event(event, args, attachments).map(Message)
    }

    pub(super) fn frames(&self) -> Bytes {
        self.0.clone()
    }

    /// What one connection sends.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.0.len()
    }
}
