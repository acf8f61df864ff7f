//! The envelope of a push: which generation sent it, which elements count.

use super::element::{Element, Reader};
use crate::model::{BatchId, CollectionName, ForeignOp, Limits, Lsn, Malformed};
use crate::wire::digest::fnv128;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;

/// Who sends such an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// 5.6.2 and later: an object with `ops`.
    Object,
    /// 5.5.0 to 5.6.1: the bare lines of the client's log.
    List,
}

/// A push of a foreign client, read.
#[derive(Clone, Debug)]
pub struct WisePush {
    /// Which envelope it came in.
    pub shape: Shape,
    /// The batch's name; clients before 5.6.3 send none.
    pub batch: Option<BatchId>,
    /// Its ops in the order in which they were sent.
    pub ops: Vec<ForeignOp>,
    /// LSNs that came from a hub before: clients that are sent lists bring them back.
    pub echoes: Vec<Lsn>,
}

/// Reads a push. Elements that came from the hub (`_remote`) are left out; elements over a limit
/// of the hub become unusable ops, because a refusal would be repeated for ever.
///
/// # Errors
/// [`Malformed`] when the envelope or an element is not one; then nothing of it may be applied.
pub fn decode_push(text: &[u8], collection: &CollectionName, limits: &Limits) -> Result<WisePush, Malformed> {
    let (shape, batch, elements) = open(text)?;
    let mut reader = Reader::new(collection, limits);
    let parsed = elements.iter().enumerate().map(|(n, raw)| Element::parse(n, raw));
    let parsed = parsed.collect::<Result<Vec<_>, _>>()?;
    let open = if shape == Shape::List { uncommitted(&parsed) } else { BTreeSet::new() };
    let echoes = parsed.iter().filter(|e| e.is_remote()).filter_map(Element::lsn).collect();
    let mut ops = Vec::with_capacity(elements.len());
    for (n, element) in parsed.into_iter().enumerate() {
        if element.is_remote() || element.txid().is_some_and(|txid| open.contains(txid)) {
            continue;
        }
        reader.read(n, &element, elements[n], &mut ops)?;
    }
    Ok(WisePush { shape, batch, ops, echoes })
}

type Opened<'a> = (Shape, Option<BatchId>, Vec<&'a RawValue>);

fn open(text: &[u8]) -> Result<Opened<'_>, Malformed> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(rename = "batchId", borrow, default)]
        batch_id: Option<&'a RawValue>,
        #[serde(borrow)]
        ops: Vec<&'a RawValue>,
    }
    let wrong = |e| Malformed::json("push (an object with `ops`, or a list of operations)", e);
    match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => Ok((Shape::List, None, serde_json::from_slice(text).map_err(wrong)?)),
        Some(b'{') => {
            let envelope: Envelope<'_> = serde_json::from_slice(text).map_err(wrong)?;
            let batch = envelope.batch_id.filter(|raw| raw.get() != "null").map(batch_id);
            Ok((Shape::Object, batch, envelope.ops))
        }
        _ => Err(Malformed::json("push", "must be an object with `ops`, or a list of operations")),
    }
}

/// Any JSON value names a batch; one that is not a usable name as it stands is named by its digest.
fn batch_id(raw: &RawValue) -> BatchId {
    let name = serde_json::from_str::<String>(raw.get()).ok().and_then(|name| BatchId::new(name).ok());
    name.unwrap_or_else(|| {
        let digest = u128::from_be_bytes(fnv128(&[raw.get().as_bytes()]));
        BatchId::new(format!("{digest:032x}")).expect("hexadecimal digits make a batch id")
    })
}

/// Transactions of a raw log that begin in it and are never committed: the client crashed meanwhile.
fn uncommitted<'a>(elements: &[Element<'a>]) -> BTreeSet<&'a str> {
    let of = |kind: &str| elements.iter().filter(move |e| e.is_txn(kind)).filter_map(Element::line_id).collect();
    let (begun, done): (BTreeSet<&str>, BTreeSet<&str>) = (of("start"), of("commit"));
    begun.difference(&done).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ForeignEdit, Millis};

    fn read(text: &str) -> Result<WisePush, Malformed> {
        decode_push(text.as_bytes(), &CollectionName::new("c").unwrap(), &Limits::default())
    }
    fn ops(text: &str) -> Vec<ForeignOp> {
        read(&format!(r#"{{"batchId":"b","ops":[{text}]}}"#)).unwrap().ops
    }

    /// What an op does, in one line.
    fn line(op: &ForeignOp) -> String {
        match &op.edit {
            ForeignEdit::Insert(id, body) => format!("insert {id} {}", body.text()),
            ForeignEdit::Update(id, set) => format!("update {id} {}", set.to_body().text()),
            ForeignEdit::Remove(id) => format!("remove {id}"),
            ForeignEdit::Clear => "clear".to_owned(),
            ForeignEdit::Unusable(why) => format!("unusable {}", why.code),
        }
    }

    #[test]
    fn repeats_have_the_same_keys_and_different_ops_have_different_ones() {
        let text = concat!(
            r#"{"op":"BATCH_INSERT","docs":[{"_id":"a"},{"_id":"b"}],"opId":"1"},"#,
            r#"{"op":"REMOVE","id":"a","opId":"2"},"#,
            r#"{"txn":"op","txid":"t","type":"insert","args":[{"v":1}],"ts":"2026-01-01T00:00:00Z"},"#,
            r#"{"txn":"op","txid":"t","type":"insert","args":[{"v":1}],"ts":"2026-01-01T00:00:00Z"}"#
        );
        let keys: BTreeSet<_> = ops(text).iter().map(|op| op.key.unwrap()).collect();
        assert_eq!(keys.len(), 5);
        assert_eq!(keys, ops(text).iter().map(|op| op.key.unwrap()).collect());
        let ids: BTreeSet<_> = ops(text)[3..].iter().map(line).collect();
        assert_eq!(ids.len(), 2, "each insert without an id gets its own");
    }

    #[test]
    fn numeric_ids_become_strings_inside_the_document_too() {
        let read = ops(concat!(
            r#"{"op":"INSERT","doc":{"_id":7,"v":1.50},"opId":"1"},{"op":"UPDATE","id":7,"data":{"v":2},"opId":"2"},"#,
            r#"{"op":"REMOVE","id":7,"opId":"3"}"#
        ));
        let lines: Vec<_> = read.iter().map(line).collect();
        assert_eq!(lines, [r#"insert 7 {"_id":"7","v":1.50}"#, r#"update 7 {"v":2}"#, "remove 7"]);
    }

    #[test]
    fn what_a_transaction_leaves_out_is_filled_in() {
        let read = ops(concat!(
            r#"{"txn":"op","txid":"t","type":"insertMany","args":[[{"_id":"x"},{"v":1}]],"ts":"2026-01-01T00:00:00.000Z"},"#,
            r#"{"txn":"op","txid":"t","type":"update","args":["x",{"_id":"x","createdAt":"no","v":2}],"ts":"2026-01-01T00:00:00.000Z"},"#,
            r#"{"txn":"op","txid":"t","type":"clear","args":[],"ts":"2026-01-01T00:00:00.001Z"}"#
        ));
        let times = r#""createdAt":"2026-01-01T00:00:00.000Z","updatedAt":"2026-01-01T00:00:00.000Z""#;
        assert_eq!(line(&read[0]), format!(r#"insert x {{"_id":"x",{times}}}"#));
        assert!(line(&read[1]).starts_with("insert txn-"), "{}", line(&read[1]));
        assert!(line(&read[1]).ends_with(&format!("\",{times}}}")), "{}", line(&read[1]));
        assert_eq!(line(&read[2]), r#"update x {"v":2,"updatedAt":"2026-01-01T00:00:00.000Z"}"#);
        assert!(read.iter().all(|op| op.txn == Some(0)));
        assert_eq!(read[3].time, Millis::parse("2026-01-01T00:00:00.001Z"));
    }

    #[test]
    fn a_raw_log_counts_committed_transactions_only() {
        let text = concat!(
            r#"[{"txn":"start","id":"t1"},{"txn":"op","txid":"t1","type":"remove","args":["a"],"ts":"x"},{"txn":"commit","id":"t1"},"#,
            r#"{"txn":"start","id":"t2"},{"txn":"op","txid":"t2","type":"remove","args":["b"],"ts":"x"},"#,
            r#"{"op":"REMOVE","id":"c","lsn":7,"_remote":true},{"op":"REMOVE","id":"d"}]"#
        );
        let push = read(text).unwrap();
        assert_eq!(push.shape, Shape::List);
        assert_eq!(push.ops.iter().map(line).collect::<Vec<_>>(), ["remove a", "remove d"]);
        assert_eq!(push.echoes, [Lsn(7)]);
    }

    #[test]
    fn structurally_impossible_elements_refuse_the_push_and_say_where() {
        for bad in [
            "5",
            "null",
            "[]",
            r#""text""#,
            "{}",
            r#"{"op":"insert","doc":{"_id":"a"}}"#,
            r#"{"op":"INSERT"}"#,
            r#"{"op":"INSERT","doc":{"v":1}}"#,
            r#"{"op":"INSERT","doc":[1]}"#,
            r#"{"op":"INSERT","doc":{"_id":""}}"#,
            r#"{"op":"BATCH_INSERT","docs":{}}"#,
            r#"{"op":"BATCH_INSERT","docs":[{"_id":"a"},7]}"#,
            r#"{"op":"UPDATE","id":"a"}"#,
            r#"{"op":"UPDATE","data":{}}"#,
            r#"{"op":"UPDATE","id":"a","data":[]}"#,
            r#"{"op":"REMOVE"}"#,
            r#"{"op":"REMOVE","id":{}}"#,
            r#"{"op":"FOO","id":"a"}"#,
            r#"{"op":7}"#,
            r#"{"txn":"op"}"#,
            r#"{"txn":"op","txid":"t","type":"explode","args":[]}"#,
            r#"{"txn":"op","txid":"t","type":"update","args":["a"]}"#,
            r#"{"txn":"nonsense"}"#,
        ] {
            let good = r#"{"op":"REMOVE","id":"good"}"#;
            let error = read(&format!(r#"{{"ops":[{good},{bad}]}}"#)).expect_err(bad);
            assert!(error.to_string().contains("ops[1]"), "{bad}: {error}");
        }
        for bad in ["", "null", "7", "{}", r#"{"ops":{}}"#, r#"{"ops":null}"#, "[", "\u{0}"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_only_over_a_limit_is_set_aside() {
        let long = "x".repeat(600);
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        let read = ops(&format!(
            concat!(
                r#"{{"op":"INSERT","doc":{{"_id":"{l}"}}}},{{"op":"INSERT","doc":{{"_id":"d","v":{d}}}}},"#,
                r#"{{"op":"UPDATE","id":"{l}","data":{{}}}},{{"op":"INSERT","doc":{{"_id":true}}}},{{"op":"REMOVE","id":"ok"}}"#
            ),
            l = long,
            d = deep
        ));
        let lines: Vec<_> = read.iter().map(line).collect();
        let id = "unusable malformed_id";
        assert_eq!(lines, [id, "unusable too_deep", id, id, "remove ok"]);
    }
}
