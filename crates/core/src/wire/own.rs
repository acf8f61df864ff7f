//! The `lsn` dialect as our own client speaks it; the shapes are in `spec/lsn.md`, part "Own clients".
//!
//! A request with a `node` is from our own client. Elements that cannot be read become
//! [`Step::Poison`], so that one bad op never holds up the batch around it.

use super::digest::fnv64;
use crate::model::{
    Base, BatchId, Body, Claim, CollectionName, DocId, Edit, Epoch, Fields, Limits, Lsn, Malformed, NodeId, Op, OpKey,
    OwnBatch, Poison, Rejection, Seq, Stamp, Step, Strategy,
};
pub use crate::model::{Page, PageEdit, PageOp, PushReply, SnapshotEnd, SnapshotHead};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A push as it stands on the wire.
#[derive(Debug, Serialize, Deserialize)]
pub struct PushRequest<'a> {
    /// Who pushes.
    pub node: NodeId,
    /// The batch's name, persisted before the first attempt.
    #[serde(rename = "batchId")]
    pub batch_id: BatchId,
    /// The history that the ops' bases belong to; absent on first contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// For collections where the hub sets no strategy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// The ops, each as [`WireOp`].
    #[serde(borrow)]
    pub ops: Vec<&'a RawValue>,
}

/// One op as it stands on the wire.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WireOp {
    /// Its number in the node's outbox.
    pub seq: Seq,
    /// What it does.
    pub op: WireEdit,
    /// Where.
    pub collection: CollectionName,
    /// Which document; absent for `clear`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<DocId>,
    /// LSN of the version it was made on, 0: none; for `clear`: what the node had read.
    #[serde(default)]
    pub base: Lsn,
    /// When it was made.
    pub stamp: Stamp,
    /// Its transaction within the batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txn: Option<u32>,
    /// The document (`insert`, `replace`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc: Option<Box<RawValue>>,
    /// New values by field (`update`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<Fields>,
    /// Fields to take away (`update`).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unset: BTreeSet<String>,
    /// Fields that differ from the base (`replace`).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub changed: BTreeSet<String>,
}

/// The kinds of ops on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WireEdit {
    /// A new document.
    Insert,
    /// Fields set and taken away.
    Update,
    /// The whole document anew.
    Replace,
    /// The document goes away.
    Remove,
    /// Every document that the node knew goes away.
    Clear,
}

/// A push of our own client, read.
#[derive(Clone, Debug)]
pub struct OwnPush {
    /// For the hub.
    pub batch: OwnBatch,
    /// The history that the client believes in.
    pub epoch: Option<Epoch>,
}

/// Reads a push. Bad elements become poison; only a broken envelope is an error. Nothing in the text can
/// say on what grounds it speaks for its node: whoever knows the token sets the claim.
///
/// # Errors
/// [`Malformed`] when the envelope is not one, or an element has no usable `seq` or `txn`.
pub fn decode_push(text: &[u8], limits: &Limits) -> Result<OwnPush, Malformed> {
    let request: PushRequest<'_> = serde_json::from_slice(text).map_err(|e| Malformed::json("push", e))?;
    let steps = request.ops.iter().enumerate().map(|(n, raw)| decode_op(n, raw, limits)).collect::<Result<_, _>>()?;
    let batch = OwnBatch {
        node: request.node,
        claim: Claim::Free,
        rows: Arc::default(),
        readable: Some(Arc::default()),
        batch: request.batch_id,
        digest: fnv64(text),
        strategy: request.strategy,
        steps,
    };
    Ok(OwnPush { batch, epoch: request.epoch })
}

/// What ops are numbered with. "Nothing receipted yet" is 0; above, numbers lose digits on their way
/// through other languages.
const SEQS: std::ops::Range<u64> = 1..1 << 53;

fn decode_op(n: usize, raw: &RawValue, limits: &Limits) -> Result<Step, Malformed> {
    let wire: Result<WireOp, _> = serde_json::from_str(raw.get());
    let read = match wire {
        Ok(wire) => step_of(wire, limits),
        Err(e) => Err(Malformed::json(format!("ops[{n}]"), e)),
    };
    let step = match read {
        Ok(step) => step,
        Err(why) => poison(n, raw, &why)?,
    };
    if SEQS.contains(&step.seq().0) {
        Ok(step)
    } else {
        Err(Malformed::json(format!("ops[{n}] has no usable `seq`"), "must be at least 1 and below 2^53"))
    }
}

fn step_of(wire: WireOp, limits: &Limits) -> Result<Step, Malformed> {
    let what = |field: &str| format!("op {} ({})", wire.seq.0, field);
    if wire.op == WireEdit::Clear {
        let (seq, stamp, txn) = (wire.seq, wire.stamp, wire.txn);
        return Ok(Step::Clear { seq, collection: wire.collection, read_up_to: wire.base, stamp, txn });
    }
    let id = wire.id.clone().ok_or_else(|| Malformed::json(what("id"), "is missing"))?;
    let document = || {
        let raw = wire.doc.as_ref().ok_or_else(|| Malformed::json(what("doc"), "is missing"))?;
        let (body, facts) = Body::parse(raw.get(), limits)?;
        if facts.id.as_deref() == Some(id.as_str()) {
            Ok(body)
        } else {
            Err(Malformed::json(what("doc._id"), "must be the same string as `id`"))
        }
    };
    let edit = match wire.op {
        WireEdit::Insert => Edit::Insert(document()?),
        WireEdit::Replace => Edit::Replace { body: document()?, changed: wire.changed.clone() },
        WireEdit::Update => {
            let set = wire.set.clone().unwrap_or_default();
            Body::parse(set.to_body().text(), limits)?;
            Edit::Update { set, unset: wire.unset.clone() }
        }
        WireEdit::Remove | WireEdit::Clear => Edit::Remove,
    };
    Ok(Step::Edit(Op {
        key: OpKey::Seq(wire.seq),
        collection: wire.collection,
        id,
        edit,
        base: Base::At(wire.base),
        stamp: wire.stamp,
        txn: wire.txn,
    }))
}

/// What can still be read of an element that cannot be read.
fn poison(n: usize, raw: &RawValue, why: &Malformed) -> Result<Step, Malformed> {
    #[derive(Deserialize)]
    struct Remains {
        seq: Seq,
        #[serde(default)]
        txn: Option<u32>,
        #[serde(default)]
        collection: Option<Value>,
        #[serde(default)]
        id: Option<Value>,
    }
    let text = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned));
    let remains: Remains = serde_json::from_str(raw.get())
        .map_err(|e| Malformed::json(format!("ops[{n}] has no usable `seq` or `txn`"), e))?;
    Ok(Step::Poison(Poison {
        seq: remains.seq,
        txn: remains.txn,
        collection: text(remains.collection).and_then(|name| CollectionName::new(name).ok()),
        id: text(remains.id).and_then(|id| DocId::new(id).ok()),
        raw: raw.get().to_owned(),
        rejection: Rejection { code: why.code().to_owned(), reason: why.to_string() },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(ops: &str) -> Result<OwnPush, Malformed> {
        let text = format!(r#"{{"node":"n1","batchId":"b1","ops":[{ops}]}}"#);
        decode_push(text.as_bytes(), &Limits::default())
    }

    #[test]
    fn a_bad_element_becomes_poison_and_the_rest_is_read() {
        let read = push(concat!(
            r#"{"seq":1,"op":"insert","collection":"a","id":"x","stamp":1,"doc":{"_id":"x"}},"#,
            r#"{"seq":2,"op":"explode","collection":"a","id":"x","stamp":2},"#,
            r#"{"seq":3,"op":"insert","collection":"a","id":"y","stamp":3,"doc":{"_id":"other"}},"#,
            r#"{"seq":4,"op":"remove","collection":"a","id":"x","stamp":4}"#
        ))
        .unwrap();
        let kinds: Vec<_> = read.batch.steps.iter().map(|s| matches!(s, Step::Poison(_))).collect();
        assert_eq!(kinds, [false, true, true, false]);
    }

    #[test]
    fn an_element_without_a_number_cannot_be_answered() {
        let error = push(r#"{"op":"insert"}"#).unwrap_err();
        assert!(error.to_string().contains("seq"), "{error}");
    }
}
