//! Packets of Engine.IO 4 with those of Socket.IO 5 in them: what a client's says, and the hub's as whole frames. Looks at
//! the head of a packet; its content is read by whoever understands it.

use super::farewell::Farewell;
use super::frame;
use super::rules::Rules;
use super::sid::Sid;
use bytes::Bytes;
use serde::Serialize;
use serde::ser::Error;
use serde_json::json;

/// Between the packets of a body.
pub(super) const SEPARATOR: char = '\u{1e}';
/// The one namespace that there is.
pub(super) const ROOT: &str = "/";

/// What a client says of a change of transport, over the WebSocket.
pub(super) const PROBE: &str = "2probe";
pub(super) const CHANGE: &str = "5";

/// Attachments that a packet may announce; nobody here understands them.
const ATTACHMENTS_MAX: u64 = 1;

/// Whole frames of the hub that are always the same: Engine.IO's ping, and Socket.IO's goodbye.
pub(super) const PING: Bytes = Bytes::from_static(&[0x81, 1, b'2']);
pub(super) const DISCONNECT: Bytes = Bytes::from_static(&[0x81, 2, b'4', b'1']);
pub(super) const PROBED: Bytes = Bytes::from_static(b"\x81\x063probe");

/// What a packet of a client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    /// That it lives.
    Sign,
    /// That the connection is over.
    Parting,
    /// That it wants to be let in; with what it shows, as JSON text.
    Connect { namespace: &'a str, auth: &'a str },
    /// That it leaves.
    Disconnect { namespace: &'a str },
    /// An event.
    Event(Event<'a>),
    /// That it got something; the hub never asks. So many attachments follow.
    Ack { attachments: u64 },
}

/// A JSON list that begins with the event's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event<'a> {
    pub(super) namespace: &'a str,
    /// Under which the client wants an answer.
    pub(super) ack: Option<u64>,
    /// How many follow.
    pub(super) attachments: u64,
    pub(super) list: &'a str,
}

impl Packet<'_> {
    /// Reads a whole packet.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(text: &str) -> Result<Packet<'_>, Farewell> {
        let fault = Err("a packet of Engine.IO begins with its type; a client sends 1, 2, 3 and 4");
        let read = match (text.as_bytes().first(), text.get(1..)) {
            (None, _) => Err("a packet is empty"),
            (Some(b'1'), _) => Ok(Packet::Parting),
            (Some(b'2' | b'3'), Some("")) => Ok(Packet::Sign),
            (Some(b'2' | b'3'), _) => Err("a ping or pong of Engine.IO has no content"),
            (Some(b'4'), Some(message)) => read_message(message),
            _ => fault,
        };
        read.map_err(Farewell::malformed)
    }
}

fn read_message(message: &str) -> Result<Packet<'_>, &'static str> {
    const CUT: &str = "a packet of Socket.IO ends before its content";
    let kind = *message.as_bytes().first().ok_or(CUT)?;
    let (attachments, rest) = match kind {
        b'0'..=b'3' => (0, &message[1..]),
        b'5' | b'6' => read_count(&message[1..]).map_err(|why| why.unwrap_or(CUT))?,
        _ => return Err("a packet of Socket.IO begins with its type; a client sends 0 to 3, 5 and 6"),
    };
    let (namespace, rest) = match rest.split_once(',') {
        _ if !rest.starts_with('/') => (ROOT, rest),
        Some(parts) => parts,
        None => (rest, ""),
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (ack, content) = rest.split_at(if kind < b'2' { 0 } else { digits });
    let whole = |ack: &str| ack.parse().ok().filter(|ack| *ack <= i64::MAX.unsigned_abs());
    let ack = match ack {
        "" => None,
        ack => Some(whole(ack).ok_or("the id of an acknowledgement is a whole number below 2^63")?),
    };
    match kind {
        b'0' => Ok(Packet::Connect { namespace, auth: content }),
        b'1' => Ok(Packet::Disconnect { namespace }),
        _ if content.is_empty() => Err(CUT),
        b'3' | b'6' if ack.is_none() => Err("an acknowledgement names what it acknowledges"),
        _ if !content.starts_with('[') => Err("an event or acknowledgement is a JSON list"),
        b'3' | b'6' => Ok(Packet::Ack { attachments }),
        _ => Ok(Packet::Event(Event { namespace, ack, attachments, list: content })),
    }
}

/// How many attachments follow, and what is behind that; `Err(None)`: it ends before.
fn read_count(text: &str) -> Result<(u64, &str), Option<&'static str>> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, rest) = text.split_at(digits);
    if digits > 0 && count.parse().ok().is_none_or(|count: u64| count > ATTACHMENTS_MAX) {
        return Err(Some("a packet announces more binary attachments than one; send JSON"));
    }
    match (count.parse(), rest.strip_prefix('-')) {
        (Ok(count), Some(rest)) => Ok((count, rest)),
        _ if rest.is_empty() => Err(None),
        _ => Err(Some("a binary packet says how many attachments follow, and then `-`")),
    }
}

/// The first packet of a connection.
pub(super) fn open(sid: Sid, upgrades: &[&str], rules: &Rules) -> Bytes {
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let open = json!({
        "sid": sid.to_string(),
        "upgrades": upgrades,
        "pingInterval": millis(rules.live.ping_interval),
        "pingTimeout": millis(rules.live.ping_timeout),
        "maxPayload": rules.live.message_bytes,
    });
    frame::whole(frame::TEXT, format!("0{open}").as_bytes())
}

/// The client is in.
pub(super) fn connected(sid: Sid) -> Bytes {
    frame::whole(frame::TEXT, format!("40{{\"sid\":\"{sid}\"}}").as_bytes())
}

/// The client is not let in.
pub(super) fn refused(namespace: &str, why: &str) -> Bytes {
    let address = if namespace == ROOT { String::new() } else { format!("{namespace},") };
    let why = json!({ "message": why });
    frame::whole(frame::TEXT, format!("44{address}{why}").as_bytes())
}

/// An event; `args` is a tuple, in which the attachments have their places.
///
/// # Errors
/// The arguments are no JSON.
pub(super) fn event<A: Serialize + ?Sized>(
    name: &str,
    args: &A,
    attachments: &[Vec<u8>],
) -> Result<Bytes, serde_json::Error> {
    let mut text = match attachments.len() {
        0 => b"42[".to_vec(),
        count => format!("45{count}-[").into_bytes(),
    };
    serde_json::to_writer(&mut text, name)?;
    let list = text.len();
    serde_json::to_writer(&mut text, args)?;
    match &text[list..] {
        // Without any, it is the name alone.
        b"[]" | b"null" => text.splice(list.., *b"]").for_each(drop),
        [b'[', ..] => text[list] = b',',
        _ => return Err(serde_json::Error::custom("the arguments of an event are a tuple")),
    }
    let mut frames = Vec::with_capacity(text.len() + frame::OWN_HEAD_BYTES_MAX);
    frame::put(&mut frames, frame::TEXT, &text);
    attachments.iter().for_each(|bytes| frame::put(&mut frames, frame::BINARY, bytes));
    Ok(frames.into())
}

/// The answer to an event.
///
/// # Errors
/// It is no JSON.
pub(super) fn ack<T: Serialize + ?Sized>(ack: u64, payload: &T) -> Result<Bytes, serde_json::Error> {
    let mut text = format!("43{ack}[").into_bytes();
    serde_json::to_writer(&mut text, payload)?;
    text.push(b']');
    Ok(frame::whole(frame::TEXT, &text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event_of(ack: Option<u64>, attachments: u64, list: &str) -> Packet<'_> {
        Packet::Event(Event { namespace: ROOT, ack, attachments, list })
    }

    #[test]
    fn what_clients_send_is_read() {
        let admin = "/admin";
        for (packet, said) in [
            ("2", Packet::Sign),
            ("3", Packet::Sign),
            ("1", Packet::Parting),
            ("40", Packet::Connect { namespace: ROOT, auth: "" }),
            ("40{\"token\":1}", Packet::Connect { namespace: ROOT, auth: "{\"token\":1}" }),
            ("40/admin,{\"a\":1}", Packet::Connect { namespace: admin, auth: "{\"a\":1}" }),
            ("40/admin", Packet::Connect { namespace: admin, auth: "" }),
            ("41", Packet::Disconnect { namespace: ROOT }),
            ("41/admin,", Packet::Disconnect { namespace: admin }),
            ("42[\"a\",{}]", event_of(None, 0, "[\"a\",{}]")),
            ("4217[\"a\"]", event_of(Some(17), 0, "[\"a\"]")),
            ("429223372036854775807[\"a\"]", event_of(Some(u64::MAX >> 1), 0, "[\"a\"]")),
            ("42/admin,3[1]", Packet::Event(Event { namespace: admin, ack: Some(3), attachments: 0, list: "[1]" })),
            ("433[{}]", Packet::Ack { attachments: 0 }),
            ("451-[\"a\"]", event_of(None, 1, "[\"a\"]")),
            ("450-[\"a\"]", event_of(None, 0, "[\"a\"]")),
            ("461-7[1]", Packet::Ack { attachments: 1 }),
        ] {
            assert_eq!(Packet::read(packet), Ok(said), "{packet}");
        }
    }

    #[test]
    fn what_is_malformed_is_told_by_what_is_wrong() {
        for (packet, fault) in [
            ("", "empty"),
            ("0{}", "Engine.IO begins"),
            ("é", "Engine.IO begins"),
            ("5", "Engine.IO begins"),
            ("b4AA=", "Engine.IO begins"),
            ("2probe", "no content"),
            ("3é", "no content"),
            ("4", "before its content"),
            ("44{}", "Socket.IO begins"),
            ("47[]", "Socket.IO begins"),
            ("4é", "Socket.IO begins"),
            ("42", "before its content"),
            ("42{}", "JSON list"),
            ("42x[\"a\"]", "JSON list"),
            ("4292233720368547758080[\"a\"]", "below 2^63"),
            ("429223372036854775808[\"a\"]", "below 2^63"),
            ("43[{}]", "names what it acknowledges"),
            ("45", "before its content"),
            ("45[\"a\"]", "how many attachments"),
            ("45-[\"a\"]", "how many attachments"),
            ("451[\"a\"]", "how many attachments"),
            ("452-[\"a\"]", "more binary attachments"),
            ("4599999999999999999999999-[\"a\"]", "more binary attachments"),
        ] {
            let said = Packet::read(packet);
            assert!(said.is_err_and(|farewell| farewell.why.contains(fault)), "{packet}: {said:?}");
        }
    }

    #[test]
    fn an_event_is_a_list_of_its_name_and_its_arguments() {
        let said = |frames: Bytes| frame::contents(&frames).map(|(_, said)| said.to_vec()).collect::<Vec<_>>();
        assert_eq!(said(event("a\"", &(), &[]).unwrap()), [br#"42["a\""]"#]);
        assert_eq!(said(event("a", &([0; 0], 1), &[]).unwrap()), [br#"42["a",[],1]"#]);
        assert!(event("a", &7, &[]).is_err());
        assert_eq!(said(ack(7, &json!({})).unwrap()), [b"437[{}]"]);
        let place = json!({ "_placeholder": true, "num": 0 });
        let with_bytes = said(event("file", &(place,), &[vec![1, 2, 3]]).unwrap());
        assert_eq!(with_bytes, [&br#"451-["file",{"_placeholder":true,"num":0}]"#[..], &[1, 2, 3]]);
        assert_eq!(said(refused("/admin", "no")), [br#"44/admin,{"message":"no"}"#]);
    }
}
