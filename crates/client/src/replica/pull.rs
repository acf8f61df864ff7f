//! A pulled page: documents, cursors and receipted ops change in one transaction, pending edits are
//! rebased on top (step 9 of the life of a change).

use super::{Applying, Scope, known};
use crate::conflicts;
use crate::error::Result;
use crate::outbox;
use crate::quarantine::{self, Aside};
use crate::rebase::{self, Meets, expiry};
use crate::store::{HubVersion, Named, Row, Unit, rows};
use rusqlite::params;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use syncline_core::model::{Author, CollectionName, Lsn, Rejection};
use syncline_core::session::notice;
use syncline_core::wire::own::{Page, PageEdit, PageOp};

/// Applies a page and moves the cursors.
pub(super) fn page(unit: &mut Unit<'_>, applying: &mut Applying, scope: &Scope, page: &Page) -> Result<()> {
    let members = known(unit, scope)?;
    let stale = retire_passed(unit, &members, page.server_lsn)?;
    let mut targets = Targets::of(unit, &members, Source::Page)?;
    for op in &page.ops {
        let own = op.author == unit.author() && op.author != Author::SELF;
        match targets.of_name(&op.collection) {
            Some(target) if target.named.lsn.is_some_and(|read| op.lsn > read) => {
                apply(unit, applying, target, op)?;
                applying.echoes += u64::from(own);
            }
            _ => applying.echoes += 1,
        }
    }
    refold_stale(unit, &stale)?;
    if let Some(late) = &page.conflicts {
        applying.conflicts.extend(conflicts::take_late(unit, late)?);
    }
    for named in members.iter().filter(|named| named.lsn.is_some_and(|read| read < page.server_lsn)) {
        unit.conn.prepare_cached("UPDATE collections SET lsn = ?2, epoch = ?3 WHERE cid = ?1")?.execute(params![
            named.cid,
            page.server_lsn.0,
            page.epoch.as_str()
        ])?;
        unit.renamed(&named.name);
    }
    Ok(())
}

/// Takes away the ops whose effect the cursor is about to pass. Returns their documents.
pub(super) fn retire_passed(unit: &mut Unit<'_>, members: &[Arc<Named>], lsn: Lsn) -> Result<Stale> {
    let mut stale = Stale::default();
    for named in members {
        let passed = outbox::passed(unit.conn, named.cid, lsn)?;
        if passed.is_empty() {
            continue;
        }
        unit.outbox_shrinks();
        let mut by_doc: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
        for op in passed {
            match op.doc {
                Some(doc) => drop(by_doc.entry(doc).or_default().insert(op.number())),
                None => {
                    unit.conn.prepare_cached("DELETE FROM outbox WHERE seq = ?1")?.execute([op.number()])?;
                    stale.docs.extend(covered(unit, named.cid)?);
                }
            }
        }
        for (doc, gone) in by_doc {
            let sql = "SELECT op FROM docs WHERE doc = ?1";
            let newest = unit.conn.prepare_cached(sql)?.query_row([doc], |row| row.get(0))?;
            let left = outbox::retire(unit.conn, newest, &gone)?;
            unit.conn.prepare_cached("UPDATE docs SET op = ?2 WHERE doc = ?1")?.execute(params![doc, left])?;
            stale.docs.insert(doc);
        }
    }
    Ok(stale)
}

/// Documents whose ops changed.
#[derive(Default)]
pub(super) struct Stale {
    pub docs: BTreeSet<i64>,
}

/// Documents of which the app sees something else than the hub has: edits, a removal or a clear lie over them. What a clear
/// takes from a document here may be less or more than what it takes at the hub, which knows better who wrote what.
pub(super) fn covered(unit: &Unit<'_>, cid: i64) -> Result<Vec<i64>> {
    let sql = "SELECT doc FROM docs WHERE cid = ?1 AND (body IS NULL OR shadow IS NOT NULL)";
    let mut statement = unit.conn.prepare_cached(sql)?;
    Ok(statement.query_map([cid], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// Brings documents in line that the page itself did not bring.
pub(super) fn refold_stale(unit: &mut Unit<'_>, stale: &Stale) -> Result<()> {
    for doc in &stale.docs {
        let cid = unit
            .conn
            .prepare_cached("SELECT cid FROM docs WHERE doc = ?1")?
            .query_map([doc], |row| row.get(0))?
            .next()
            .transpose()?;
        let Some(cid) = cid else { continue };
        let named = unit.by_cid(cid)?;
        let clears = outbox::clears(unit.conn, cid)?;
        if let Some(row) = rows::by_doc(unit.conn, *doc)? {
            rebase::refold(unit, &named, row, &clears, None)?;
        }
    }
    Ok(())
}

/// The collections of a page, with what applying to them needs.
pub(super) struct Targets {
    members: Vec<Target>,
    last: usize,
}

/// One collection that documents are applied to.
pub(super) struct Target {
    pub named: Arc<Named>,
    clears: Vec<outbox::OpRow>,
    /// Nobody needs to know the text before: no index, no live query, no clear.
    plain: bool,
    /// What brings the documents.
    source: Source,
}

/// What brings documents of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A page of the log: a version that is known already stays.
    Page,
    /// A snapshot: its documents are marked, and stand even where their version was known.
    Snapshot,
    /// A packet: its documents stand, because its numbers tell nothing about single versions.
    Packet,
}

impl Targets {
    pub(super) fn of(unit: &mut Unit<'_>, members: &[Arc<Named>], source: Source) -> Result<Targets> {
        let targets = members.iter().map(|named| {
            let clears = outbox::clears(unit.conn, named.cid)?;
            let plain = clears.is_empty() && !unit.is_observed(named);
            Ok(Target { named: named.clone(), clears, plain, source })
        });
        Ok(Targets { members: targets.collect::<Result<_>>()?, last: 0 })
    }

    /// Pages hold long runs of one collection.
    pub(super) fn of_name(&mut self, name: &CollectionName) -> Option<&Target> {
        if self.members.get(self.last).is_none_or(|target| target.named.name != *name) {
            self.last = self.members.iter().position(|target| target.named.name == *name)?;
        }
        self.members.get(self.last)
    }
}

/// Applies one document of a page or snapshot.
pub(super) fn apply(unit: &mut Unit<'_>, applying: &mut Applying, target: &Target, op: &PageOp) -> Result<()> {
    unit.see(op.stamp);
    let text = op.doc.as_ref().map(|doc| doc.get()).filter(|_| op.op == PageEdit::Put);
    let expires = text.and_then(expiry);
    if let (true, Some(text)) = (target.plain, text)
        && upsert(unit, target, op, text, expires.map(|at| at.0))?
    {
        return Ok(());
    }
    let named = &target.named;
    match (rows::by_id(unit.conn, named.cid, &op.id)?, text) {
        (None, None) => Ok(()),
        (Some(row), _) if target.source == Source::Page && row.lsn() >= op.lsn => Ok(()),
        (Some(row), None) if row.op.is_none() && target.clears.is_empty() => {
            unit.changed(named, row.doc, row.body.as_deref(), None)?;
            rows::delete(unit.conn, row.doc)
        }
        (Some(row), text) => over(unit, applying, target, op, (row, text)),
        (None, Some(text)) => {
            upsert(unit, target, op, text, expires.map(|at| at.0))?;
            let Some(row) = rows::by_id(unit.conn, named.cid, &op.id)? else { return Ok(()) };
            report_not_unique(unit, applying, target, op, (row.doc, text))?;
            unit.changed(named, row.doc, None, Some(text))?;
            if target.clears.is_empty() {
                return Ok(());
            }
            rebase::refold(unit, named, row, &target.clears, None).map(drop)
        }
    }
}

/// Writes the hub's version where no op lies over it. Returns whether it did.
fn upsert(unit: &Unit<'_>, target: &Target, op: &PageOp, text: &str, expires: Option<u64>) -> Result<bool> {
    let generation = if target.source == Source::Snapshot { target.named.generation } else { 0 };
    let written = unit
        .conn
        .prepare_cached(
            "INSERT INTO docs(cid, id, body, lsn, stamp, author, meta, expires, generation)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT(cid, id) DO UPDATE SET body = excluded.body, lsn = excluded.lsn, stamp = excluded.stamp,
               author = excluded.author, meta = excluded.meta, shadow = NULL, expires = excluded.expires,
               generation = excluded.generation
             WHERE op IS NULL AND (lsn < excluded.lsn OR ?10)",
        )?
        .execute(params![
            target.named.cid,
            op.id.as_str(),
            text,
            op.lsn.0,
            op.stamp.0,
            op.author.0,
            meta_text(op),
            expires,
            generation,
            target.source != Source::Page
        ])?;
    Ok(written == 1)
}

fn meta_text(op: &PageOp) -> Option<String> {
    op.meta.as_ref().map(|meta| serde_json::to_string(meta).expect("meta serializes"))
}

/// The hub's new version comes upon a row: without ops it takes its place, with ops they are rebased.
fn over(
    unit: &mut Unit<'_>,
    applying: &mut Applying,
    target: &Target,
    op: &PageOp,
    (mut row, text): (Row, Option<&str>),
) -> Result<()> {
    let named = &target.named;
    let known = row.hub_text().map(str::to_owned);
    if let Some(text) = text {
        report_not_unique(unit, applying, target, op, (row.doc, text))?;
    }
    let removed_text = || known.clone().unwrap_or_else(|| json!({ "_id": op.id }).to_string());
    let shadow = text.map_or_else(removed_text, str::to_owned);
    if target.source == Source::Snapshot {
        mark(unit, target, row.doc)?;
        snapshot_bases(unit, &row, op)?;
    }
    if target.source == Source::Packet {
        packet_bases(unit, &row, op)?;
    }
    row.hub =
        Some(HubVersion { lsn: op.lsn, stamp: op.stamp, author: op.author, meta: meta_text(op), shadow: Some(shadow) });
    let resolver = applying.resolvers.get(&named.name);
    let by_other = op.author != unit.author() || unit.author().0 == 0;
    let meets = by_other.then_some(Meets { base: known, resolver });
    if let Some(decided) = rebase::refold(unit, named, row, &target.clears, meets.as_ref())? {
        let (collection, id) = (named.name.clone(), op.id.clone());
        applying.conflicts.push(notice::Conflict { collection, id, result: decided.verdict, lsn: decided.lsn });
    }
    Ok(())
}

/// The snapshot has brought this document.
fn mark(unit: &Unit<'_>, target: &Target, doc: i64) -> Result<()> {
    let sql = "UPDATE docs SET generation = ?2 WHERE doc = ?1";
    unit.conn.prepare_cached(sql)?.execute(params![doc, target.named.generation])?;
    Ok(())
}

/// Positions of another history mean nothing in this one: a pending edit is based on the version of the
/// snapshot where that is the one it knew, and else on none.
fn snapshot_bases(unit: &Unit<'_>, row: &Row, op: &PageOp) -> Result<()> {
    let Some(known) = &row.hub else { return Ok(()) };
    if known.lsn == op.lsn {
        return Ok(());
    }
    let base = if known.stamp == op.stamp { op.lsn } else { Lsn::ZERO };
    for pending in outbox::of_doc(unit.conn, row.op)?.iter().filter(|pending| pending.base > base || base > Lsn::ZERO) {
        if pending.batch.is_none() {
            outbox::save(unit.conn, &outbox::OpRow { base, ..pending.clone() })?;
        }
    }
    Ok(())
}

/// What pends was made on an older version than this one, whatever number an accepted edit or a restored
/// hub has given to that.
fn packet_bases(unit: &Unit<'_>, row: &Row, op: &PageOp) -> Result<()> {
    let older = Lsn(op.lsn.0.saturating_sub(1));
    for pending in outbox::of_doc(unit.conn, row.op)?.iter().filter(|pending| pending.base > older) {
        outbox::save(unit.conn, &outbox::OpRow { base: older, ..pending.clone() })?;
    }
    Ok(())
}

/// A pulled document that breaks a unique index is stored all the same, so that nothing behind it
/// waits; the application is told.
fn report_not_unique(
    unit: &Unit<'_>,
    applying: &mut Applying,
    target: &Target,
    op: &PageOp,
    (doc, text): (i64, &str),
) -> Result<()> {
    let Some(taken) = unit.not_unique(&target.named, Some(doc), text)? else { return Ok(()) };
    let rejection = Rejection { code: "not_unique".into(), reason: taken.into_error(&target.named.name).to_string() };
    let operation = json!({ "op": "put", "collection": op.collection, "id": op.id, "lsn": op.lsn, "doc": op.doc });
    let aside = Aside { collection: &target.named.name, id: Some(&op.id), seq: None, operation, rejection: &rejection };
    applying.quarantined.push(quarantine::add(unit, aside)?);
    Ok(())
}
