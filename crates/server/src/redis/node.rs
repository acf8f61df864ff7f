//! The format of `@socket.io/redis-emitter` and of the Redis adapter of Node servers: msgpack, on a channel for
//! each namespace and for each single room in it.

use super::emission::Emission;
use super::refusals::Refused;
use rmpv::Value;
use syncline_core::model::Millis;

/// Nesting of a message; pages could follow no deeper one.
const DEPTH_MAX: usize = 64;

/// An event, and one with bytes in it.
const EVENTS: [u64; 2] = [2, 5];

/// Msgpack's own extension: a time.
const TIME: i8 = -1;

/// Reads a message from a channel whose name begins with `prefix`; `None`: it is for another namespace.
pub(super) fn read(prefix: &str, channel: &[u8], payload: &[u8]) -> Result<Option<Emission>, Refused> {
    let malformed = |why: &str| Refused::new("node_malformed", format!("it is not a message of a Node emitter: {why}"));
    let place = std::str::from_utf8(channel).ok().and_then(|name| name.strip_prefix(prefix)?.strip_prefix('#'));
    let place = place.ok_or_else(|| malformed("the name of its channel"))?;
    // `/#` for the namespace, `/#room#` for a room.
    if !place.starts_with("/#") {
        return Ok(None);
    }
    let message = rmpv::decode::read_value_with_max_depth(&mut &payload[..], DEPTH_MAX);
    let Ok(Value::Array(parts)) = message else { return Err(malformed("no list in msgpack")) };
    let [_, packet, options] = parts.as_slice() else { return Err(malformed("not a list of three")) };
    if !matches!(field(packet, "nsp").and_then(Value::as_str), None | Some("/")) {
        return Ok(None);
    }
    if field(packet, "type").and_then(Value::as_u64).is_none_or(|kind| !EVENTS.contains(&kind)) {
        return Err(malformed("its packet is no event"));
    }
    let Some(Value::Array(data)) = field(packet, "data") else { return Err(malformed("its packet has no data")) };
    let Some((Value::String(event), args)) = data.split_first() else { return Err(malformed("its event has no name")) };
    let event = event.as_str().ok_or_else(|| malformed("its event has no name"))?;
    let names = |list| names(field(options, list)).ok_or_else(|| malformed("its rooms are no list of names"));
    let (rooms, except) = (names("rooms")?, names("except")?);
    let mut args = args.to_vec();
    args.iter_mut().try_for_each(translate).map_err(malformed)?;
    Ok(Some(Emission { event: event.to_owned(), args, rooms, except }))
}

/// A `Date` of Node comes as a time, and pages get what JSON makes of it. Any other extension means something to
/// its sender only.
fn translate(value: &mut Value) -> Result<(), &'static str> {
    match value {
        Value::Ext(TIME, bytes) => {
            *value = time(bytes).ok_or("a time in it is none, or before 1970")?.iso().into();
            Ok(())
        }
        Value::Ext(..) => Err("it holds an extension of msgpack other than a time"),
        Value::Array(items) => items.iter_mut().try_for_each(translate),
        Value::Map(pairs) => pairs.iter_mut().try_for_each(|(_, value)| translate(value)),
        _ => Ok(()),
    }
}

/// Seconds in 32 bits; nanoseconds in 30 and seconds in 34; or nanoseconds in 32 and seconds in 64.
fn time(bytes: &[u8]) -> Option<Millis> {
    let (seconds, nanoseconds) = match bytes.len() {
        4 => (u64::from(u32::from_be_bytes(bytes.try_into().ok()?)), 0),
        8 => {
            let both = u64::from_be_bytes(bytes.try_into().ok()?);
            (both & ((1 << 34) - 1), both >> 34)
        }
        12 => {
            let seconds = i64::from_be_bytes(bytes[4..].try_into().ok()?);
            (u64::try_from(seconds).ok()?, u64::from(u32::from_be_bytes(bytes[..4].try_into().ok()?)))
        }
        _ => return None,
    };
    Some(Millis(seconds.checked_mul(1_000)?.checked_add(nanoseconds / 1_000_000)?))
}

fn field<'a>(map: &'a Value, name: &str) -> Option<&'a Value> {
    map.as_map()?.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value)
}

fn names(list: Option<&Value>) -> Option<Vec<String>> {
    match list {
        None | Some(Value::Nil) => Some(Vec::new()),
        Some(list) => list.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, Value)]) -> Value {
        Value::Map(pairs.iter().map(|(key, value)| ((*key).into(), value.clone())).collect())
    }

    fn packed(value: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, value).unwrap();
        bytes
    }

    fn message(packet: &[(&str, Value)], options: &[(&str, Value)]) -> Vec<u8> {
        packed(&Value::Array(vec!["emitter".into(), map(packet), map(options)]))
    }

    fn event(args: &[Value]) -> Value {
        let mut data = vec![Value::from("files:changed")];
        data.extend_from_slice(args);
        Value::Array(data)
    }

    #[test]
    fn events_for_a_room_for_several_and_for_all_are_read() {
        let args = [map(&[("id", 7.into())]), Value::Binary(vec![0, 255])];
        let packet = [("type", 2.into()), ("data", event(&args)), ("nsp", "/".into())];
        let rooms = Value::Array(vec!["files".into()]);
        let bytes =
            message(&packet, &[("rooms", rooms), ("flags", map(&[])), ("except", Value::Array(vec!["x".into()]))]);
        let read_one = read("socket.io", b"socket.io#/#files#", &bytes).unwrap().unwrap();
        assert_eq!((read_one.event.as_str(), read_one.args.as_slice()), ("files:changed", &args[..]));
        assert_eq!((read_one.rooms, read_one.except), (vec!["files".to_owned()], vec!["x".to_owned()]));
        let bare = message(&[("type", 2.into()), ("data", event(&[]))], &[]);
        let all = read("socket.io", b"socket.io#/#", &bare).unwrap().unwrap();
        assert!(all.rooms.is_empty() && all.args.is_empty());
        assert_eq!(read("socket.io", b"socket.io#/chat#", &bare), Ok(None));
    }

    #[test]
    fn times_become_text_and_other_extensions_are_refused() {
        let sent = |value: Value| {
            let nested = map(&[("list", Value::Array(vec![value]))]);
            read("socket.io", b"socket.io#/#", &message(&[("type", 2.into()), ("data", event(&[nested]))], &[]))
        };
        let ms: u64 = 1_795_251_158_756;
        let (s, ns) = (ms / 1_000, ms % 1_000 * 1_000_000);
        let in_96 = [&u32::try_from(ns).unwrap().to_be_bytes()[..], &s.to_be_bytes()].concat();
        for (bytes, text) in [
            (u32::try_from(s).unwrap().to_be_bytes().to_vec(), "2026-11-21T08:52:38.000Z"),
            ((ns << 34 | s).to_be_bytes().to_vec(), "2026-11-21T08:52:38.756Z"),
            (in_96, "2026-11-21T08:52:38.756Z"),
        ] {
            let args = sent(Value::Ext(-1, bytes)).unwrap().unwrap().args;
            assert_eq!(args, [map(&[("list", Value::Array(vec![text.into()]))])]);
        }
        let before_1970 = [[0; 4].to_vec(), (-1i64).to_be_bytes().to_vec()].concat();
        for (kind, bytes) in [(-1, vec![0; 5]), (-1, before_1970), (0, vec![0; 8]), (7, vec![1])] {
            assert_eq!(sent(Value::Ext(kind, bytes)).unwrap_err().code, "node_malformed");
        }
    }

    #[test]
    fn garbage_is_refused() {
        let deep = (0..200).fold(Value::Nil, |inner, _| Value::Array(vec![inner]));
        let cases: &[Vec<u8>] = &[
            vec![],
            b"{}".to_vec(),
            vec![0xdd, 0xff, 0xff, 0xff, 0xff],
            packed(&deep),
            packed(&Value::Array(vec![])),
            message(&[("type", 2.into())], &[]),
            message(&[("type", 4.into()), ("data", event(&[]))], &[]),
            message(&[("type", 2.into()), ("data", Value::Array(vec![7.into()]))], &[]),
            message(&[("type", 2.into()), ("data", event(&[]))], &[("rooms", "files".into())]),
        ];
        for case in cases {
            assert_eq!(read("socket.io", b"socket.io#/#", case).unwrap_err().code, "node_malformed", "{case:?}");
        }
    }
}
