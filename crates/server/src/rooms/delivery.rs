//! An event on its way to members, encoded once for all of them.

use super::members::Audience;
use crate::socket::Message;
use serde::ser::SerializeTuple;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::sync::Arc;
use syncline_core::model::EventName;

/// An event on its way.
pub(super) struct Delivery {
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

impl Serialize for Args {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
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
