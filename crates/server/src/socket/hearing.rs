//! What a client's packets bring about, in the order of their arrival. Nothing here may wait.

use super::connection::{Begun, Connection, Ear};
use super::farewell::Farewell;
use super::greeting;
use super::hall::Hall;
use super::line::{Ack, Incoming, Line};
use super::packet::{self, Event, Packet, ROOT};
use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use tokio::time::Instant;

const UNREADABLE: Farewell =
    Farewell::unreadable("a packet could not be read; an event is a JSON list that begins with its name");
const UNANNOUNCED: Farewell =
    Farewell::malformed("binary data came that no packet announced; they follow the packet that announces them");
const INTERRUPTED: Farewell = Farewell::malformed("a packet announced binary attachments, and text follows it");

/// Takes a packet in.
///
/// # Errors
/// How the connection is to end.
pub(super) fn hear(hall: &Arc<Hall>, connection: &Arc<Connection>, text: &str) -> Result<(), Farewell> {
    let packet = Packet::read(text)?;
    let mut ear = connection.ear();
    if ear.begun.is_some() && !matches!(packet, Packet::Sign | Packet::Parting) {
        return Err(INTERRUPTED);
    }
    match packet {
        Packet::Sign => connection.note_sign(),
        Packet::Parting | Packet::Disconnect { namespace: ROOT } => return Err(Farewell::LEFT),
        Packet::Connect { namespace: ROOT, auth } => greeting::greet(hall, connection, auth),
        Packet::Connect { namespace, .. } => connection.say(packet::refused(namespace, "Invalid namespace")),
        Packet::Disconnect { .. } | Packet::Ack { attachments: 0 } => {}
        Packet::Ack { attachments } => ear.begun = Some(Begun { left: attachments, event: None }),
        Packet::Event(event) => ear.event(hall, event)?,
    }
    Ok(())
}

/// Takes an attachment in.
///
/// # Errors
/// No packet has announced it.
pub(super) fn hear_attachment(hall: &Hall, connection: &Connection) -> Result<(), Farewell> {
    let mut ear = connection.ear();
    let begun = ear.begun.as_mut().ok_or(UNANNOUNCED)?;
    begun.left -= 1;
    if begun.left == 0
        && let Some(ack) = ear.begun.take().and_then(|begun| begun.event)
        && let Some(line) = ear.admit(hall, ack)
    {
        refuse(&line, ack, "binary payloads are not understood; send JSON");
    }
    Ok(())
}

impl Ear {
    fn event(&mut self, hall: &Hall, event: Event<'_>) -> Result<(), Farewell> {
        let Parts { event: name, payload } = serde_json::from_str(event.list).map_err(|_| UNREADABLE)?;
        let (ack, is_ours) = (Ack(event.ack), event.namespace == ROOT);
        if event.attachments > 0 {
            self.begun = Some(Begun { left: event.attachments, event: is_ours.then_some(ack) });
        } else if is_ours && let Some(line) = self.admit(hall, ack) {
            hand_on(hall, &line, Incoming { event: &name, payload: payload.unwrap_or(RawValue::NULL), ack });
        }
        Ok(())
    }

    /// Whose message it is, if it is a guest's that may send one more now.
    fn admit(&mut self, hall: &Hall, ack: Ack) -> Option<Arc<Line>> {
        let line = self.guest.clone()?;
        hall.rules.meters.live_received.increment(1);
        if self.pace.take(Instant::now()) {
            return Some(line);
        }
        refuse(&line, ack, "too many messages in a second (`live.events_per_second`); send it again later");
        None
    }
}

/// The first listener who knows the event gets it; one that nobody knows is ignored.
fn hand_on(hall: &Hall, line: &Arc<Line>, incoming: Incoming<'_>) {
    let mut unheard = Some(incoming);
    for listener in &hall.listeners {
        let Some(incoming) = unheard else { return };
        unheard = listener.hear(line, incoming);
    }
    let Some(incoming) = unheard else { return };
    tracing::debug!(event = incoming.event, space = %line.caller.space.name(), "nobody knows this event");
}

fn refuse(line: &Line, ack: Ack, why: &str) {
    // Whether the client hears of it makes no difference to what becomes of its message.
    let _ = line.answer(ack, &json!({ "success": false, "error": why }));
}

/// A message is a list: the event's name, its first argument, and more that nobody looks at or keeps.
struct Parts<'a> {
    event: Cow<'a, str>,
    payload: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Parts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Parts<'de>, D::Error> {
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
