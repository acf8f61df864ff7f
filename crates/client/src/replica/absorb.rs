//! Accepted ops that the hub does not tell again become part of its version here (step 9 of the life of a
//! change).

use crate::error::Result;
use crate::outbox::{self, OpRow};
use crate::rebase;
use crate::store::{HubVersion, Named, Row, Unit};
use std::collections::BTreeSet;
use syncline_core::merge::{Party, apply};
use syncline_core::model::{Author, Base, Body, Lsn, Stamp, Strategy};

/// Hub versions bear no times in a packet; this one is before every edit, so that what pends stays visible.
pub(crate) const UNTIMED: Stamp = Stamp(1);

/// Ops become part of the hub's version, which the hub itself does not tell. Returns it before and after.
pub(super) fn absorb(
    unit: &mut Unit<'_>,
    named: &Named,
    mut row: Row,
    (ops, lsn): (&[&OpRow], Lsn),
) -> Result<(Option<Body>, Option<Body>)> {
    let known = row.version()?;
    let before = known.as_ref().filter(|version| version.meta.is_live()).map(|version| version.body.clone());
    let mut version = known;
    for op in ops {
        let edit = outbox::edit_of(op, row.body.as_deref())?;
        let stamp = version.as_ref().map_or(op.stamp, |version| op.stamp.max(version.meta.stamp().next()));
        let party = Party { author: Author::SELF, stamp, base: Base::At(Lsn(u64::MAX)), lsn };
        version = apply(version.as_ref(), &edit, party, Strategy::LastWriteWins).version.or(version);
    }
    let after = version.filter(|version| version.meta.is_live()).map(|version| version.body);
    let gone: BTreeSet<i64> = ops.iter().map(|op| op.number()).collect();
    for op in outbox::of_doc(unit.conn, row.op)?.iter().filter(|op| !gone.contains(&op.number())) {
        outbox::materialise(unit, op, &row)?;
    }
    row.op = outbox::retire(unit.conn, row.op, &gone)?;
    row.hub = after.as_ref().map(|body| HubVersion {
        lsn: row.lsn().max(lsn),
        stamp: UNTIMED,
        author: Author::SELF,
        meta: None,
        shadow: Some(body.text().to_owned()),
    });
    unit.outbox_shrinks();
    unit.recount_waiting(named.cid);
    let clears = outbox::clears(unit.conn, named.cid)?;
    rebase::refold(unit, named, row, &clears, None)?;
    Ok((before, after))
}
