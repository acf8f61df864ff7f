//! The row of a space: where its log stands, and the lock that gives each commit its turn (step 6 of the life of a
//! change). Whoever holds it takes the next LSNs, so their order is the order of commits.

use super::pipeline::{Answers, Pipeline, text};
use super::trouble::Failure;
use crate::store::columns::nat;
use crate::store::{Head, Kept, StoreError};
use syncline_core::model::{Epoch, Lsn, SpaceName};
use tokio_postgres::Row;

/// A space's row.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub head: Head,
    /// Up to here tickets, returns and tombstones are gone.
    pub swept: i64,
    /// The last numbers given; none is used again.
    pub last: Numbers,
}

/// Numbers that a space gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    pub author: i64,
    pub receipts: i64,
    pub conflict: i64,
    pub quarantined: i64,
}

const COLUMNS: &str = "epoch, lsn, last_change, horizon, conflicts, quarantined, swept, \
                       last_author, last_receipts, last_conflict, last_quarantined";

/// Asks where the log stands.
pub(super) fn look<'a>(pipeline: &mut Pipeline<'a>, space: &'a SpaceName) -> usize {
    pipeline.send(format!("SELECT {COLUMNS} FROM syncline.spaces WHERE space = $1"), vec![text(space.as_str())])
}

/// Takes the space's turn, which lasts until the transaction ends.
pub(super) fn lock<'a>(pipeline: &mut Pipeline<'a>, space: &'a SpaceName) -> usize {
    let sql = format!("SELECT {COLUMNS} FROM syncline.spaces WHERE space = $1 FOR UPDATE");
    pipeline.send(sql, vec![text(space.as_str())])
}

/// What [`look`] or [`lock`] found.
pub(super) fn found(
    answers: &mut Answers,
    asked: impl Into<Option<usize>>,
    space: &SpaceName,
) -> Result<State, Failure> {
    match answers.take(asked.into()).first() {
        Some(row) => state_of(row),
        None => Err(StoreError::UnknownSpace(space.clone()).into()),
    }
}

pub(super) fn state_of(row: &Row) -> Result<State, Failure> {
    let position = |column: usize| row.try_get(column).map(|n| Lsn(nat(n)));
    let count = |column: usize| row.try_get(column).map(nat);
    let epoch = Epoch::new(row.try_get::<_, String>(0)?).map_err(StoreError::engine("reading an epoch"))?;
    let kept = Kept { conflicts: count(4)?, quarantined: count(5)?, last_conflict: count(9)? };
    let head = Head { epoch, lsn: position(1)?, last_change: position(2)?, horizon: position(3)?, kept };
    let last = Numbers {
        author: row.try_get(7)?,
        receipts: row.try_get(8)?,
        conflict: row.try_get(9)?,
        quarantined: row.try_get(10)?,
    };
    Ok(State { head, swept: row.try_get(6)?, last })
}
