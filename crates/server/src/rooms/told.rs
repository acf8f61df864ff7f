//! What other workers and other programs have to tell, as it comes from Redis: checked, and passed on unchanged.

use super::delivery::{Delivery, passed};
use super::envelope::{Item, Reason, Scope};
use super::members::Audience;
use super::{Rooms, RoomsOptions};
use crate::redis::{Emission, Refused};
use crate::socket::Message;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use syncline_core::model::{Epoch, EventName, RoomName, SpaceName};

/// An event between workers. Other programs may publish such ones, too; they leave out what they do not know.
#[derive(Serialize, Deserialize)]
pub(super) struct Notice<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    /// Null: everybody.
    room: Option<Cow<'a, str>>,
    envelope: &'a RawValue,
    #[serde(default)]
    origin: Cow<'a, str>,
    #[serde(default)]
    space: Option<SpaceName>,
    /// The log that it was read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<Epoch>,
}

/// The fields that every envelope has.
#[derive(Deserialize)]
struct Claimed {
    reason: String,
    seq: u64,
    worker: u32,
    scope: String,
    id: Value,
    #[serde(rename = "data")]
    _data: Value,
}

impl<'a> Notice<'a> {
    pub(super) fn of(
        event: &'a EventName,
        scope: &'a Scope,
        envelope: &'a RawValue,
        space: &SpaceName,
        epoch: Option<&Epoch>,
        origin: &'a str,
    ) -> Notice<'a> {
        Notice {
            event: event.as_str().into(),
            room: scope.room().map(|room| room.as_str().into()),
            envelope,
            origin: origin.into(),
            space: Some(space.clone()),
            epoch: epoch.cloned(),
        }
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self).expect("a notice serializes").into()
    }
}

impl Rooms {
    /// Passes on what another worker or program tells. `own_epoch` is that of a space's log here, if it is open: what was
    /// read from that log, this worker reads there itself.
    ///
    /// # Errors
    /// Why the message is not taken.
    pub fn hear_notice(&self, payload: &[u8], own_epoch: impl Fn(&SpaceName) -> Option<Epoch>) -> Result<(), Refused> {
        let malformed = |why: String| Refused::new("notice_malformed", format!("it is no event for rooms: {why}"));
        let notice: Notice<'_> = serde_json::from_slice(payload).map_err(|error| malformed(error.to_string()))?;
        if self.link.as_ref().is_some_and(|link| link.origin() == notice.origin) {
            return Ok(());
        }
        let space = notice.space.unwrap_or_else(|| self.default_space.clone());
        if notice.epoch.is_some() && notice.epoch == own_epoch(&space) {
            return Ok(());
        }
        let event = EventName::new(&notice.event).map_err(|error| malformed(error.to_string()))?;
        let scope = match &notice.room {
            None => Scope::Global,
            Some(name) => Scope::Room(known(&self.options, name)?),
        };
        check(notice.envelope, &scope).map_err(malformed)?;
        fits(&self.options, notice.envelope.get().len())?;
        let to = Audience { space, rooms: scope.room().cloned().into_iter().collect(), except: Vec::new() };
        let message =
            Message::new(event.as_str(), &(notice.envelope,)).map_err(|error| malformed(error.to_string()))?;
        self.pass(Delivery { to, event, message })
    }

    /// Passes on what an emitter of another back end asks for, to the default space.
    ///
    /// # Errors
    /// Why the event is not taken.
    pub fn hear_emission(&self, emission: Emission) -> Result<(), Refused> {
        let Emission { event, args, rooms, except } = emission;
        let event = EventName::new(event).map_err(|error| Refused::new("emission_malformed", error.to_string()))?;
        fits(&self.options, args.iter().map(weight).sum())?;
        let space = self.default_space.clone();
        // A back end has rooms of its own, of single users for example: nobody here is in them.
        let names = |names: &[String]| -> Vec<RoomName> {
            names.iter().filter_map(|name| known(&self.options, name).ok()).collect()
        };
        let to = Audience { space, except: names(&except), rooms: names(&rooms) };
        if to.rooms.is_empty() && !rooms.is_empty() {
            let shown: String = rooms[0].chars().take(64).collect();
            return Err(unknown(&shown));
        }
        let message = passed(&event, args);
        let message = message.map_err(|error| Refused::new("emission_malformed", error.to_string()))?;
        self.pass(Delivery { to, event, message })
    }

    fn pass(&self, delivery: Delivery) -> Result<(), Refused> {
        let full = || Refused::new("too_many_events", format!("too many wait for their delivery (`{}`)", super::QUEUE));
        self.outlet.try_place().ok_or_else(full)?.put(delivery);
        self.meters.room_events_heard.increment(1);
        Ok(())
    }
}

fn known(options: &RoomsOptions, name: &str) -> Result<RoomName, Refused> {
    let room = RoomName::new(name).ok().filter(|room| options.rooms.contains_key(room));
    room.ok_or_else(|| unknown(&name.chars().take(64).collect::<String>()))
}

fn unknown(name: &str) -> Refused {
    Refused::new("unknown_room", format!("there is no room `{name}` (`[[rooms.room]]`)"))
}

fn fits(options: &RoomsOptions, bytes: usize) -> Result<(), Refused> {
    // The rest of an envelope is small.
    if bytes <= options.event_bytes + 1024 {
        return Ok(());
    }
    let why = format!("its {bytes} bytes are over the limit of {} (`rooms.event_bytes`)", options.event_bytes);
    Err(Refused::new("event_too_large", why))
}

fn check(envelope: &RawValue, scope: &Scope) -> Result<(), String> {
    let claimed: Claimed = serde_json::from_str(envelope.get()).map_err(|error| format!("its envelope: {error}"))?;
    if Reason::parse(&claimed.reason).is_none() {
        return Err("the reason in its envelope is not updated, added, deleted or toggled".to_owned());
    }
    if claimed.seq == 0 || claimed.worker == 0 {
        return Err("the seq and the worker in its envelope are numbers above zero".to_owned());
    }
    if claimed.scope != scope.to_string() {
        return Err(format!("the scope in its envelope is not `{scope}`"));
    }
    match Item::read(claimed.id) {
        Some(_) => Ok(()),
        None => Err("the id in its envelope is neither text nor number nor null".to_owned()),
    }
}

/// About what an argument takes on the wire.
fn weight(value: &rmpv::Value) -> usize {
    match value {
        rmpv::Value::String(text) => text.as_bytes().len() + 2,
        rmpv::Value::Binary(bytes) | rmpv::Value::Ext(_, bytes) => bytes.len(),
        rmpv::Value::Array(items) => items.iter().map(|item| weight(item) + 1).sum::<usize>() + 2,
        rmpv::Value::Map(pairs) => pairs.iter().map(|(key, value)| weight(key) + weight(value) + 2).sum::<usize>() + 2,
        _ => 8,
    }
}
