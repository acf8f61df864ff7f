//! What an op carries, as text in the file and as an edit of the merge rule.

use super::{OpKind, OpRow, damaged};
use crate::error::Result;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use syncline_core::model::{Body, Edit, Fields};

/// What an op carries. An insert's is the document's text alone; a removal and a clear carry nothing.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Payload {
    /// The document (`replace`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc: Option<Box<RawValue>>,
    /// Fields that differ from the base (`replace`).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub changed: BTreeSet<String>,
    /// New values by field (`update`).
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub set: Fields,
    /// Fields to take away (`update`).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unset: BTreeSet<String>,
}

impl Payload {
    /// Of an op that is neither insert, removal nor clear.
    pub(crate) fn of(op: &OpRow) -> Result<Payload> {
        let text = op.payload.as_deref().ok_or_else(|| damaged(op.seq, "has lost its payload"))?;
        serde_json::from_str(text).map_err(|e| damaged(op.seq, &format!("has an unreadable payload: {e}")))
    }

    /// A replacement by this text.
    pub(crate) fn replacement(text: &str, changed: BTreeSet<String>) -> Payload {
        let doc = RawValue::from_string(text.to_owned()).expect("a document is JSON");
        Payload { doc: Some(doc), changed, ..Payload::default() }
    }

    /// Every field that it names.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let set = self.set.iter().map(|(name, _)| name.to_owned());
        set.chain(self.unset.iter().cloned()).chain(self.changed.iter().cloned()).collect()
    }

    /// As it stands in the file.
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a payload serializes")
    }
}

/// An op as an edit. `inserted` is the text of the document's row, for an insert that has none.
pub(crate) fn edit_of(op: &OpRow, inserted: Option<&str>) -> Result<Edit> {
    match op.kind {
        OpKind::Insert => {
            let text = op.payload.as_deref().or(inserted).ok_or_else(|| damaged(op.seq, "has lost its document"))?;
            let body = Body::stored(text).map_err(|why| damaged(op.seq, &format!("has a damaged document: {why}")))?;
            Ok(Edit::Insert(body))
        }
        OpKind::Update => {
            let Payload { set, unset, .. } = Payload::of(op)?;
            Ok(Edit::Update { set, unset })
        }
        OpKind::Replace => {
            let Payload { doc, changed, .. } = Payload::of(op)?;
            let doc = doc.ok_or_else(|| damaged(op.seq, "has lost its document"))?;
            let body = Body::stored(doc.get());
            let body = body.map_err(|why| damaged(op.seq, &format!("has a damaged document: {why}")))?;
            Ok(Edit::Replace { body, changed })
        }
        OpKind::Remove | OpKind::Clear => Ok(Edit::Remove),
    }
}
