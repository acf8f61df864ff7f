//! Takes the messages of a connection in, in the order of their arrival. Runs on the task that reads the
//! connection: nothing here may wait.

use super::line::{Incoming, Line};
use super::listener::Listener;
use super::pace::Pace;
use crate::meters::Meters;
use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use serde_json::value::RawValue;
use socketioxide::adapter::LocalAdapter;
use socketioxide::extract::AckSender;
use socketioxide::handler::{FromMessageParts, MessageHandler, Value};
use socketioxide::socket::Socket;
use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Turns that other threads are given until a client counts as connected: one that has gone never does.
const GREETING_TURNS: usize = 10_000;

pub(super) struct Ear {
    line: Arc<Line>,
    listeners: Arc<[Arc<dyn Listener>]>,
    pace: Mutex<Pace>,
    meters: Arc<Meters>,
}

/// Tells the compiler which of the library's kinds of handlers this is.
pub(super) struct Direct;

impl Ear {
    pub(super) fn new(
        line: Arc<Line>,
        listeners: Arc<[Arc<dyn Listener>]>,
        events_per_second: u32,
        meters: Arc<Meters>,
    ) -> Ear {
        Ear { line, listeners, pace: Mutex::new(Pace::new(events_per_second)), meters }
    }

    fn hear(&self, text: &str, ack: AckSender) {
        let Ok(Parts { event, payload }) = serde_json::from_str(text) else { return };
        self.hand_on(Incoming { event: &event, payload: payload.unwrap_or(RawValue::NULL), ack });
    }

    /// The first listener who knows the event gets it; one that nobody knows is ignored.
    fn hand_on(&self, incoming: Incoming<'_>) {
        let mut unheard = Some(incoming);
        for listener in self.listeners.iter() {
            let Some(incoming) = unheard else { return };
            unheard = listener.hear(&self.line, incoming);
        }
        let Some(incoming) = unheard else { return };
        tracing::debug!(event = incoming.event, space = %self.line.caller.space.name(), "nobody knows this event");
    }

    fn refuse(&self, ack: AckSender, why: &str) {
        // Whether the client hears of it makes no difference to what becomes of its message.
        let _ = self.line.answer(ack, &json!({ "success": false, "error": why }));
    }
}

/// The library tells a client that it is connected a moment before it lets anything be sent to it: what a quick client
/// brings about by its first message would be lost. The moment is a few instructions of another thread.
fn await_greeting(socket: &Socket<LocalAdapter>) {
    for _ in 0..GREETING_TURNS {
        if socket.connected() {
            return;
        }
        std::thread::yield_now();
    }
}

/// A message is a list: the event's name, its first argument, and more that nobody looks at or keeps.
struct Parts<'a> {
    event: Cow<'a, str>,
    payload: Option<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Parts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ReadParts)
    }
}

struct ReadParts;

impl<'de> Visitor<'de> for ReadParts {
    type Value = Parts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list that begins with an event's name")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Parts<'de>, A::Error> {
        let Name(event) = list.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        let payload = list.next_element()?;
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Parts { event, payload })
    }
}

/// Borrowed where the text allows it.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl MessageHandler<LocalAdapter, Direct> for Ear {
    fn call(&self, socket: Arc<Socket<LocalAdapter>>, mut value: Value, ack: Option<i64>) {
        self.meters.live_received.increment(1);
        await_greeting(&socket);
        let Ok(ack) = AckSender::from_message_parts(&socket, &mut value, &ack);
        if !self.pace.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now()) {
            return self.refuse(ack, "too many messages in a second (`live.events_per_second`); send it again later");
        }
        match value {
            Value::Str(text, None) => self.hear(&text, ack),
            Value::Str(_, Some(_)) | Value::Bytes(_) => {
                self.refuse(ack, "binary payloads are not understood; send JSON");
            }
        }
    }
}
