//! Ops that never reach the hub: given up by the application, or tried again out of the quarantine.

use super::pull::{self, Stale};
use super::{Scope, known_only};
use crate::conflicts;
use crate::error::{Error, Result};
use crate::outbox;
use crate::quarantine;
use crate::rebase;
use crate::store::{Store, Unit};
use crate::transaction::Writer;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use syncline_core::model::{CollectionName, Fields, Malformed};
use syncline_core::wire::own::{WireEdit, WireOp};

/// Takes every op back that the hub has not receipted.
pub(super) fn clear_pending(unit: &mut Unit<'_>, scope: &Scope) -> Result<u64> {
    let members = known_only(unit, scope)?;
    outbox::dissolve_under_way(unit, &members)?;
    let mut count = 0;
    for named in &members {
        let mut by_doc: BTreeMap<Option<i64>, BTreeSet<i64>> = BTreeMap::new();
        // A packet under way may have been accepted, and its hub would not bring these documents back.
        for op in outbox::unreceipted(unit.conn, named.cid)?.into_iter().filter(|op| op.batch.is_none()) {
            by_doc.entry(op.doc).or_default().insert(op.number());
            count += 1;
        }
        unit.outbox_shrinks();
        unit.recount_waiting(named.cid);
        for clear in by_doc.remove(&None).into_iter().flatten() {
            unit.conn.prepare_cached("DELETE FROM outbox WHERE seq = ?1")?.execute([clear])?;
        }
        for (doc, gone) in by_doc {
            if let Some(doc) = doc {
                rebase::take_back(unit, named, doc, &gone)?;
            }
        }
        let docs = pull::covered(unit, named.cid)?.into_iter().collect();
        pull::refold_stale(unit, &Stale { docs })?;
    }
    Ok(count)
}

/// Makes the edit of a quarantined op once more; `content`: with this content in the place of its own.
pub(super) fn retry(store: &Store, unit: &mut Unit<'_>, number: i64, content: Option<&Value>) -> Result<()> {
    let mut taken = quarantine::take(unit, number)?;
    if let (Some(content), true) = (content, taken.seq.is_some()) {
        mend(number, &mut taken.operation, content)?;
    }
    if taken.seq.is_none() {
        // A pulled change that broke a unique index stands already; there is nothing to make again.
        return Ok(());
    }
    // By way of text, because raw JSON cannot be read from a tree.
    again(store, unit, &taken.collection, &taken.operation.to_string())
}

/// Gives an op another content: of an insert or a replacement the document, of an update `set` and `unset`.
fn mend(number: i64, operation: &mut Value, content: &Value) -> Result<()> {
    let parts: &[&str] = match operation["op"].as_str() {
        Some("insert" | "replace") => {
            let id = operation["id"].as_str().unwrap_or_default();
            if content["_id"].as_str() != Some(id) {
                let rule = format!("must be the document with the `_id` `{id}`");
                return Err(Malformed::json("the content", rule).into());
            }
            operation["doc"] = content.clone();
            return Ok(());
        }
        Some("update") => &["set", "unset"],
        _ => return Err(Error::NoContent(number)),
    };
    let strange = content.as_object().is_none_or(|fields| !fields.keys().all(|name| parts.contains(&name.as_str())));
    if strange {
        return Err(Malformed::json("the content of an update", "must be an object with `set` and `unset`").into());
    }
    operation["set"] = content.get("set").cloned().unwrap_or_else(|| json!({}));
    operation["unset"] = content.get("unset").cloned().unwrap_or_else(|| json!([]));
    Ok(())
}

/// Makes an edit that did not stand once more, on top of what stands now.
pub(super) fn restore(store: &Store, unit: &mut Unit<'_>, number: i64) -> Result<()> {
    let (taken, text) = conflicts::take(unit, number)?;
    let wire: WireOp = serde_json::from_str(&text)?;
    let mut writer = Writer::new(store, unit, &taken.collection, None)?;
    match wire.doc.as_ref().filter(|_| wire.op == WireEdit::Insert) {
        // Two devices have made the document: what the other one gave it beside stays.
        Some(doc) if writer.exists(&taken.id)? => {
            let mut fields: Fields = serde_json::from_str(doc.get())?;
            fields.remove("_id");
            writer.assign(taken.id.as_str(), &fields, &BTreeSet::new()).map(drop)
        }
        _ => again(store, unit, &taken.collection, &text),
    }
}

/// Makes the edit of an op as a new one.
fn again(store: &Store, unit: &mut Unit<'_>, collection: &CollectionName, op: &str) -> Result<()> {
    let unreadable = |reason: String| Error::Damaged(format!("an op that was kept: {reason}"));
    let wire: WireOp = serde_json::from_str(op).map_err(|e| unreadable(e.to_string()))?;
    let mut writer = Writer::new(store, unit, collection, None)?;
    let id = wire.id.as_ref().map(|id| id.as_str());
    let document = wire.doc.as_ref().map(|doc| serde_json::from_str::<Value>(doc.get()).unwrap_or(Value::Null));
    match (wire.op, id, document) {
        (WireEdit::Insert | WireEdit::Replace, _, Some(document)) => writer.upsert(document).map(drop),
        (WireEdit::Update, Some(id), _) => {
            // Not as a patch, to which null means something else.
            writer.assign(id, &wire.set.unwrap_or_default(), &wire.unset).map(drop)
        }
        (WireEdit::Remove, Some(id), _) => writer.remove(id).map(drop),
        (WireEdit::Clear, ..) => writer.clear().map(drop),
        _ => Err(unreadable("it names no document".into())),
    }
}
