//! The format of python-socketio from 5.14 on: JSON on one channel. Earlier ones send pickle, which is a program:
//! it is never run.

use super::emission::Emission;
use super::refusals::Refused;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rmpv::Value;
use serde::Deserialize;

/// What a pickle of any protocol that is in use begins with.
const PICKLE: u8 = 0x80;

#[derive(Deserialize)]
struct Message {
    method: String,
    #[serde(default)]
    event: Option<String>,
    #[serde(default = "nil")]
    data: Value,
    #[serde(default)]
    binary: bool,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    room: Option<Rooms>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Rooms {
    One(String),
    Several(Vec<String>),
}

/// Reads a message; `None`: it is one of those by which Python servers talk among themselves.
pub(super) fn read(payload: &[u8]) -> Result<Option<Emission>, Refused> {
    if payload.first() == Some(&PICKLE) {
        let why = "python-socketio before 5.14 publishes pickle, which is a program and is never run; update \
                   python-socketio to 5.14 or later, or publish with POST /api/sync/emit";
        return Err(Refused::new("python_pickle", why));
    }
    let message: Message = serde_json::from_slice(payload).map_err(|error| {
        Refused::new("python_malformed", format!("it is not a message of python-socketio: {error}"))
    })?;
    if message.method != "emit" || !matches!(message.namespace.as_deref(), None | Some("/" | "")) {
        return Ok(None);
    }
    let Some(event) = message.event else {
        return Err(Refused::new("python_malformed", "an emit of python-socketio without `event`"));
    };
    let data = if message.binary { with_bytes(message.data)? } else { message.data };
    let args = match data {
        Value::Array(args) if args.len() != 1 => args,
        Value::Array(mut args) => args.pop().filter(|arg| !arg.is_nil()).into_iter().collect(),
        Value::Nil => Vec::new(),
        one => vec![one],
    };
    let rooms = match message.room {
        None => Vec::new(),
        Some(Rooms::One(room)) => vec![room],
        Some(Rooms::Several(rooms)) => rooms,
    };
    Ok(Some(Emission { event, args, rooms, except: Vec::new() }))
}

fn nil() -> Value {
    Value::Nil
}

/// Data with bytes are a list: the data with a placeholder at each place, then the bytes in base64.
fn with_bytes(data: Value) -> Result<Value, Refused> {
    let malformed = || Refused::new("python_malformed", "bytes of python-socketio that are not where they belong");
    let Value::Array(mut parts) = data else { return Err(malformed()) };
    if parts.is_empty() {
        return Err(malformed());
    }
    let bytes: Option<Vec<Option<Vec<u8>>>> =
        parts.split_off(1).iter().map(|part| STANDARD.decode(part.as_str()?).ok().map(Some)).collect();
    let mut bytes = bytes.ok_or_else(malformed)?;
    let mut data = parts.pop().ok_or_else(malformed)?;
    put_bytes(&mut data, &mut bytes).ok_or_else(malformed)?;
    Ok(data)
}

/// Each has one place: a short message could else fill the memory.
fn put_bytes(value: &mut Value, bytes: &mut [Option<Vec<u8>>]) -> Option<()> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| put_bytes(item, bytes)),
        Value::Map(pairs) => {
            let field = |name: &str| pairs.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value);
            if field("_placeholder").and_then(Value::as_bool) == Some(true) {
                let number = usize::try_from(field("num")?.as_u64()?).ok()?;
                *value = Value::Binary(bytes.get_mut(number)?.take()?);
                return Some(());
            }
            pairs.iter_mut().try_for_each(|(_, item)| put_bytes(item, bytes))
        }
        _ => Some(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emission(text: &str) -> Emission {
        read(text.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn an_event_with_or_without_a_room_is_read() {
        let one = emission(
            r#"{"method":"emit","event":"files:changed","data":[{"id":7}],"binary":false,"namespace":"/",
               "room":"files","skip_sid":null,"callback":null,"host_id":"h"}"#,
        );
        assert_eq!((one.event.as_str(), one.rooms.as_slice()), ("files:changed", &["files".to_owned()][..]));
        assert_eq!(one.args, [Value::Map(vec![("id".into(), 7.into())])]);
        let all = emission(r#"{"method":"emit","event":"x","data":{"a":1},"namespace":"/","room":null}"#);
        assert_eq!((all.rooms.len(), all.args.len()), (0, 1));
        let several = emission(r#"{"method":"emit","event":"x","data":[1,2],"room":["a","b"]}"#);
        assert_eq!((several.rooms.len(), several.args), (2, vec![1.into(), 2.into()]));
        assert!(emission(r#"{"method":"emit","event":"x","data":[null],"room":"a"}"#).args.is_empty());
    }

    #[test]
    fn bytes_come_back_to_their_places() {
        let with = emission(
            r#"{"method":"emit","event":"x","binary":true,"room":null,
               "data":[[{"a":{"_placeholder":true,"num":1}},{"_placeholder":true,"num":0}],"aGVsbG8=","AP8="]}"#,
        );
        let expected = [Value::Map(vec![("a".into(), Value::Binary(vec![0, 255]))]), Value::Binary(b"hello".to_vec())];
        assert_eq!(with.args, expected);
    }

    #[test]
    fn a_pickle_is_refused_and_what_is_not_for_pages_is_left_alone() {
        assert_eq!(read(b"\x80\x04\x95cos\nsystem").unwrap_err().code, "python_pickle");
        for text in
            ["", "{}", "[1]", r#"{"method":"emit"}"#, r#"{"method":7}"#, "{\"method\":\"emit\",\"event\":\"x\","]
        {
            assert_eq!(read(text.as_bytes()).unwrap_err().code, "python_malformed", "{text}");
        }
        for data in [r#""x""#, "[]", r#"[{"_placeholder":true,"num":9}]"#, r#"[1,"*"]"#] {
            let text = format!(r#"{{"method":"emit","event":"x","binary":true,"data":{data}}}"#);
            assert_eq!(read(text.as_bytes()).unwrap_err().code, "python_malformed", "{text}");
        }
        assert_eq!(read(br#"{"method":"disconnect","sid":"x"}"#), Ok(None));
        assert_eq!(read(br#"{"method":"emit","event":"x","data":1,"namespace":"/chat"}"#), Ok(None));
    }
}
