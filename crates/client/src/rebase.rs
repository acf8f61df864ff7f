//! What the app sees of a document is the hub's version with the pending ops on top (step 9 of the
//! life of a change).
//!
//! Folds ops by the same rule as the hub ([`syncline_core::merge::apply`]), so that both come to the
//! same document. An application's own resolver decides instead where only ops that no hub has seen
//! are concerned. Never moves a cursor.

use crate::error::{Error, Result};
use crate::outbox::{self, OpKind, OpRow, OpState, Payload};
use crate::store::{Named, Row, Unit, rows};
use crate::text;
use serde_json::Value;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use syncline_core::merge::{Party, apply};
use syncline_core::model::{Base, Body, CollectionName, DocId, Limits, Lsn, Verdict};

/// A local edit that no hub has seen meets somebody else's change of the same document.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// Where.
    pub collection: CollectionName,
    /// Which document.
    pub id: DocId,
    /// The hub's version that the local edit was made on; `None`: there was none.
    pub base: Option<Value>,
    /// The document with the local edit; `None`: removed.
    pub local: Option<Value>,
    /// The hub's version now; `None`: removed.
    pub remote: Option<Value>,
}

/// How an application decides a [`Conflict`].
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// The local document replaces the hub's.
    KeepLocal,
    /// The local edit is given up.
    KeepRemote,
    /// This document replaces both. It keeps the `_id`.
    Use(Value),
}

/// Decides conflicts. Runs inside the transaction: it must not call the database.
pub type Resolver = Arc<dyn Fn(&Conflict) -> Resolution + Send + Sync>;

/// A concurrent edit that was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decided {
    /// What became of the local edit.
    pub verdict: Verdict,
    /// The change that stands now.
    pub lsn: Lsn,
}

/// Brings a document in line after its hub version, its ops or both changed. `row` holds the new hub
/// version (with its text as shadow) and the newest op that is left; `row.body` is still the text before.
pub(crate) fn refold(
    unit: &mut Unit<'_>,
    named: &Named,
    row: Row,
    clears: &[OpRow],
    meets: Option<&Meets<'_>>,
) -> Result<Option<Decided>> {
    let mut row = row;
    let mut folded = fold(unit, named, &row, clears)?;
    let concerned = folded.verdict != Verdict::Applied && meets.is_some();
    if let (true, Some(Meets { base, resolver: Some(resolver) })) = (concerned && folded.only_fresh, meets)
        && resolve(unit, named, &mut row, base.as_deref(), resolver)?
    {
        folded = fold(unit, named, &row, clears)?;
    }
    let decided = concerned.then(|| Decided { verdict: folded.verdict, lsn: row.lsn() });
    settle(unit, named, row, folded)?;
    Ok(decided)
}

/// A version by somebody else that comes upon pending ops.
pub(crate) struct Meets<'a> {
    /// The hub's text before.
    pub base: Option<String>,
    /// The application's own decision.
    pub resolver: Option<&'a Resolver>,
}

struct Folded {
    /// What the app sees.
    text: Option<String>,
    /// What became of the ops, seen as one.
    verdict: Verdict,
    /// Whether any op lies over the hub's version.
    any: bool,
    /// Whether no hub has seen any of them.
    only_fresh: bool,
}

fn fold(unit: &Unit<'_>, named: &Named, row: &Row, clears: &[OpRow]) -> Result<Folded> {
    let mut version = row.version()?;
    let mut ops = outbox::of_doc(unit.conn, row.op)?;
    ops.extend(clears.iter().cloned());
    ops.sort_by_key(|op| op.seq);
    let (mut verdict, mut any, mut only_fresh) = (Verdict::Applied, false, true);
    let hub_lsn = row.lsn();
    for op in &ops {
        let seen = matches!(op.state, OpState::Receipted(lsn) if lsn <= hub_lsn);
        if seen || (op.kind == OpKind::Clear && !outbox::clear_reaches(version.as_ref(), op, unit.author())) {
            continue;
        }
        any = true;
        only_fresh &= op.state == OpState::Fresh && op.kind != OpKind::Clear;
        let edit = outbox::edit_of(op, row.body.as_deref())?;
        let lsn = version.as_ref().map_or(Lsn::ZERO, |version| version.lsn).next();
        let party = Party { author: unit.author(), stamp: op.stamp, base: Base::At(op.base), lsn };
        let merged = apply(version.as_ref(), &edit, party, named.strategy);
        if merged.verdict != Verdict::Applied {
            verdict = merged.verdict;
        }
        version = merged.version.or(version);
    }
    let live = version.filter(|version| version.meta.is_live());
    Ok(Folded { text: live.map(|version| version.body.text().to_owned()), verdict, any, only_fresh })
}

/// Writes what the fold came to.
fn settle(unit: &mut Unit<'_>, named: &Named, mut row: Row, folded: Folded) -> Result<()> {
    let before = row.body.clone();
    if let (Some(newest), true) = (row.op, before != folded.text) {
        for op in outbox::of_doc(unit.conn, Some(newest))? {
            outbox::materialise(unit, &op, &row)?;
        }
    }
    unit.changed(named, row.doc, before.as_deref(), folded.text.as_deref())?;
    let hub_text = row.hub.as_ref().and_then(|hub| hub.shadow.clone()).or(before);
    row.expires = folded.text.as_deref().and_then(expiry);
    let nothing_left = row.op.is_none() && folded.text.is_none() && !folded.any;
    if nothing_left {
        return rows::delete(unit.conn, row.doc);
    }
    if let Some(hub) = &mut row.hub {
        let covered = folded.any || row.op.is_some();
        hub.shadow = if covered { hub_text } else { None };
    }
    row.body = folded.text;
    rows::save(unit.conn, &row)
}

/// Lets the application decide. Returns whether it did.
fn resolve(unit: &mut Unit<'_>, named: &Named, row: &mut Row, base: Option<&str>, resolver: &Resolver) -> Result<bool> {
    let remote = row.version()?.filter(|version| version.meta.is_live());
    let read = |text: &str| text::read(text).map_err(|why| Error::damaged(Some(&named.name), &row.id, why));
    let conflict = Conflict {
        collection: named.name.clone(),
        id: row.id.clone(),
        base: base.map(read).transpose()?,
        local: row.body.as_deref().map(read).transpose()?,
        remote: remote.as_ref().map(|version| read(version.body.text())).transpose()?,
    };
    let resolution = catch_unwind(AssertUnwindSafe(|| resolver(&conflict)));
    let chosen = match resolution {
        Ok(Resolution::KeepRemote) => None,
        Ok(Resolution::KeepLocal) => Some(conflict.local),
        Ok(Resolution::Use(value)) => match with_id(value, &row.id) {
            Some(value) => Some(Some(value)),
            None => {
                return Ok(declined(&conflict, "did not give a document with the same `_id` and within the limits"));
            }
        },
        Err(_) => return Ok(declined(&conflict, "panicked")),
    };
    let chain = outbox::of_doc(unit.conn, row.op)?;
    let Some(last) = chain.last() else { return Ok(false) };
    unit.outbox_shrinks();
    unit.recount_waiting(named.cid);
    let Some(chosen) = chosen else {
        row.op = outbox::retire(unit.conn, row.op, &chain.iter().map(OpRow::number).collect())?;
        return Ok(true);
    };
    let earlier: BTreeSet<i64> = chain[..chain.len() - 1].iter().map(OpRow::number).collect();
    row.op = outbox::retire(unit.conn, row.op, &earlier)?;
    let (kind, payload) = match &chosen {
        None => (OpKind::Remove, None),
        Some(value) => {
            let text = value.to_string();
            let changed = value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
            (OpKind::Replace, Some(Payload::replacement(&text, changed).to_text()))
        }
    };
    let op = OpRow { kind, payload, base: row.lsn(), stamp: unit.tick(), ..last.clone() };
    outbox::save(unit.conn, &op)?;
    Ok(true)
}

fn declined(conflict: &Conflict, why: &str) -> bool {
    let (collection, id) = (&conflict.collection, &conflict.id);
    tracing::warn!(%collection, %id, "the conflict resolver {why}; the collection's strategy decides");
    false
}

fn with_id(mut value: Value, id: &DocId) -> Option<Value> {
    let fields = value.as_object_mut()?;
    let given = fields.entry("_id").or_insert_with(|| Value::String(id.as_str().to_owned()));
    let same = given.as_str() == Some(id.as_str());
    (same && Body::parse(&value.to_string(), &Limits::default()).is_ok()).then_some(value)
}

/// When a stored text expires. Only texts that name a time are looked at closely.
pub(crate) fn expiry(text: &str) -> Option<syncline_core::model::Millis> {
    let may = text.contains("\"ttl\"") || text.contains("\"expireAt\"") || text.contains("\\u");
    if may { Body::stored(text).ok()?.facts().expires } else { None }
}

/// Takes ops of one document out of the outbox and brings the document in line.
pub(crate) fn take_back(unit: &mut Unit<'_>, named: &Named, doc: i64, gone: &BTreeSet<i64>) -> Result<()> {
    unit.outbox_shrinks();
    unit.recount_waiting(named.cid);
    let Some(mut row) = rows::by_doc(unit.conn, doc)? else { return Ok(()) };
    for op in outbox::of_doc(unit.conn, row.op)? {
        if !gone.contains(&op.number()) {
            outbox::materialise(unit, &op, &row)?;
        }
    }
    row.op = outbox::retire(unit.conn, row.op, gone)?;
    let clears = outbox::clears(unit.conn, named.cid)?;
    refold(unit, named, row, &clears, None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_that_name_a_time_expire() {
        assert_eq!(expiry(r#"{"_id":"a"}"#), None);
        assert_eq!(expiry(r#"{"_id":"a","expireAt":5}"#).map(|at| at.0), Some(5));
        assert_eq!(expiry("{\"_id\":\"a\",\"expire\\u0041t\":5}").map(|at| at.0), Some(5), "spelling does not matter");
    }

    #[test]
    fn a_resolver_cannot_move_a_document() {
        let id = DocId::new("a").unwrap();
        assert!(with_id(serde_json::json!({"_id": "b"}), &id).is_none());
        assert_eq!(with_id(serde_json::json!({"x": 1}), &id).unwrap()["_id"], "a");
    }
}
