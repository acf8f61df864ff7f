//! An event for many connections: encoded once, for as many as there are.

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use socketioxide::ParserError;
use socketioxide::handler::Value;
use socketioxide_core::packet::Packet;
use socketioxide_core::parser::Parse;
use socketioxide_parser_common::CommonParser;

/// First bytes of whole frames: text and binary.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
/// Engine.IO's word for a message.
const MESSAGE: &[u8] = b"4";

/// An event with its arguments.
#[derive(Debug)]
pub struct Message<A> {
    /// The event's name.
    pub(super) event: String,
    /// A tuple of its arguments.
    pub(super) args: A,
    /// The same as WebSocket frames.
    pub(super) frames: Bytes,
}

impl<A: Serialize> Message<A> {
    /// Encodes it; `args` is a tuple.
    ///
    /// # Errors
    /// The arguments are no JSON.
    pub fn new(event: impl Into<String>, args: A) -> Result<Message<A>, ParserError> {
        let event = event.into();
        let content = CommonParser.encode_value(&args, Some(&event))?;
        let frames = match CommonParser.encode(Packet::event("/", content)) {
            Value::Str(text, attachments) => {
                let mut frames = BytesMut::with_capacity(text.len() + 16);
                put(&mut frames, TEXT, MESSAGE, text.as_bytes());
                attachments.iter().flatten().for_each(|bytes| put(&mut frames, BINARY, &[], bytes));
                frames.freeze()
            }
            Value::Bytes(bytes) => {
                let mut frames = BytesMut::with_capacity(bytes.len() + 16);
                put(&mut frames, BINARY, &[], &bytes);
                frames.freeze()
            }
        };
        Ok(Message { event, args, frames })
    }
}

fn put(frames: &mut BytesMut, first: u8, prefix: &[u8], content: &[u8]) {
    let length = prefix.len() + content.len();
    frames.put_u8(first);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => frames.put_u8(short),
        (_, Ok(medium)) => {
            frames.put_u8(126);
            frames.put_u16(medium);
        }
        _ => {
            frames.put_u8(127);
            frames.put_u64(length as u64);
        }
    }
    frames.put_slice(prefix);
    frames.put_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_frame_whatever_its_length() {
        for (length, head) in [(3, 2), (200, 4), (70_000, 10)] {
            let message = Message::new("news", ("x".repeat(length),)).unwrap();
            let expected = format!(r#"42["news","{}"]"#, "x".repeat(length));
            assert_eq!(&message.frames[head..], expected.as_bytes());
            assert_eq!((message.frames[0], message.frames[1] & 0x80), (TEXT, 0));
        }
    }

    #[test]
    fn bytes_follow_in_frames_of_their_own() {
        let message = Message::new("file", (rmpv::Value::Binary(vec![1, 2, 3]),)).unwrap();
        let text = br#"451-["file",{"_placeholder":true,"num":0}]"#;
        let expected = [&[TEXT, 42][..], text, &[BINARY, 3, 1, 2, 3]].concat();
        assert_eq!(message.frames, expected);
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        let map = rmpv::Value::Map(vec![(rmpv::Value::Nil, rmpv::Value::Nil)]);
        assert!(Message::new("odd", (map,)).is_err());
    }
}
