//! Messages of other back ends, damaged: they are read or refused with a code, and nothing grows beyond what came in.

use super::emission::Emission;
use super::refusals::Refused;
use super::{node, python};
use proptest::prelude::*;
use rmpv::Value;
use syncline_core::mutation::{damaged, seeds_in};

/// What each byte of a message may become in an event's own description.
const GROWTH: usize = 200;
const BASE_BYTES: usize = 10_000;

const PYTHON: [&str; 3] = [
    r#"{"method":"emit","event":"files:changed","data":[{"id":7}],"binary":false,"namespace":"/","room":"files"}"#,
    r#"{"method":"emit","event":"x","binary":true,"room":["a","b"],"data":[[{"a":{"_placeholder":true,"num":1}},{"_placeholder":true,"num":0}],"aGVsbG8=","AP8="]}"#,
    r#"{"method":"disconnect","sid":"x","namespace":"/"}"#,
];

fn sound(read: &Result<Option<Emission>, Refused>, input: &[u8]) {
    if let Err(refused) = read {
        assert!(!refused.code.is_empty());
    }
    let shown = format!("{read:?}");
    assert!(shown.len() <= BASE_BYTES + GROWTH * input.len(), "{} bytes became {}", input.len(), shown.len());
}

/// A message as the emitter of Node packs it.
fn packed(data: Value) -> Vec<u8> {
    let map = |pairs: &[(&str, Value)]| {
        Value::Map(pairs.iter().map(|(key, value)| (Value::from(*key), value.clone())).collect())
    };
    let packet = map(&[("type", 2.into()), ("data", data), ("nsp", "/".into())]);
    let options = map(&[("rooms", Value::Array(vec!["a".into()])), ("except", Value::Array(vec![]))]);
    let mut bytes = Vec::new();
    let message = Value::Array(vec!["uid".into(), packet, options]);
    rmpv::encode::write_value(&mut bytes, &message).unwrap();
    bytes
}

fn messages() -> Vec<Vec<u8>> {
    let data = Value::Map(vec![("a".into(), Value::Binary(vec![0, 255])), (Value::Nil, Value::F64(0.5))]);
    vec![packed(Value::Array(vec!["x".into(), 1.into()])), packed(Value::Array(vec!["y".into(), data]))]
}

#[test]
fn a_message_that_places_the_same_bytes_again_and_again_is_refused() {
    let place = r#"{"_placeholder":true,"num":0}"#;
    let bytes = "AAAA".repeat(1_000);
    let twice = format!(r#"{{"method":"emit","event":"x","binary":true,"data":[[{place},{place}],"{bytes}"]}}"#);
    assert_eq!(python::read(twice.as_bytes()).unwrap_err().code, "python_malformed");
}

proptest! {
    #[test]
    fn a_message_of_python_socketio(
        input in damaged(PYTHON.iter().flat_map(|seed| seeds_in(seed)).collect())
    ) {
        sound(&python::read(&input), &input);
    }

    #[test]
    fn a_message_of_a_node_emitter(input in damaged(messages())) {
        for channel in ["socket.io#/#", "socket.io#/#room#", "socket.io#/other#"] {
            sound(&node::read("socket.io", channel.as_bytes(), &input), &input);
        }
    }

    #[test]
    fn the_name_of_a_channel(channel in damaged(vec![b"socket.io#/#room#".to_vec()])) {
        for message in messages() {
            sound(&node::read("socket.io", &channel, &message), &message);
        }
    }
}
