//! An event on its way to members, encoded once for all of them.

use super::members::Audience;
use crate::socket::Message;
use rmpv::Value;
use syncline_core::model::EventName;

/// An event on its way.
pub(super) struct Delivery {
    pub(super) to: Audience,
    pub(super) event: EventName,
    pub(super) message: Message,
}

/// An event with the arguments of another back end, as they are: bytes among them go as bytes.
pub(super) fn passed(event: &EventName, mut args: Vec<Value>) -> Result<Message, serde_json::Error> {
    let mut attachments = Vec::new();
    args.iter_mut().for_each(|arg| take_out(arg, &mut attachments));
    Message::with_attachments(event.as_str(), &args, &attachments)
}

/// Puts a place where bytes are.
fn take_out(value: &mut Value, attachments: &mut Vec<Vec<u8>>) {
    let bytes = match value {
        Value::Array(items) => return items.iter_mut().for_each(|item| take_out(item, attachments)),
        Value::Map(pairs) => return pairs.iter_mut().for_each(|(_, item)| take_out(item, attachments)),
        Value::Binary(bytes) => std::mem::take(bytes),
        Value::String(text) if !text.is_str() => text.as_bytes().to_vec(),
        _ => return,
    };
    *value = Value::Map(vec![("_placeholder".into(), true.into()), ("num".into(), attachments.len().into())]);
    attachments.push(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(args: Vec<Value>) -> Result<Message, serde_json::Error> {
        super::passed(&EventName::new("file").unwrap(), args)
    }

    #[test]
    fn bytes_follow_the_event_in_the_order_of_their_places() {
        let nested = Value::Map(vec![("a".into(), Value::Binary(vec![1, 2])), ("b".into(), 1.into())]);
        let message = passed(vec![nested, Value::Array(vec![Value::Binary(vec![3])]), Value::Nil]).unwrap();
        let shown = format!("{message:?}");
        let list = r#"452-[\"file\",{\"a\":{\"_placeholder\":true,\"num\":0},\"b\":1},[{\"_placeholder\":true,\"num\":1}],null]"#;
        assert!(shown.contains(list) && shown.contains(r"\x82\x02\x01\x02\x82\x01\x03"), "{shown}");
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        assert!(passed(vec![Value::Map(vec![(Value::Nil, Value::Nil)])]).is_err());
    }
}
