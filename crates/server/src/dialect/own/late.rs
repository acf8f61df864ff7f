//! What a reader had been told was accepted and lost later, on its way with a page: rows of the ledger behind the number that
//! the reader names. Only who speaks for the node hears it, and of rows that it may not read no document.

use super::super::Asked;
use crate::app::App;
use crate::error::ServerError;
use crate::hub::Space;
use crate::store::ConflictRow;
use std::collections::BTreeSet;
use syncline_core::model::{
    Author, CollectionName, DocId, Fields, LateConflict, LateConflicts, Lost, NodeId, RowFilters,
};

/// Rows that one page or packet brings.
const ROWS_MAX: usize = 100;

/// The rows after the number in `conflicts_after`; `None`: nothing is asked, or there are no newer ones.
pub(super) async fn conflicts(asked: &Asked, node: &NodeId) -> Result<Option<LateConflicts>, ServerError> {
    if asked.query.get("conflicts_after").is_none() {
        return Ok(None);
    }
    let after: u64 = asked.query.read("conflicts_after", 0, "a whole number, 0 or more")?;
    let Some(author) = asked.space.author(node) else { return Ok(None) };
    let (rows, owner) = (asked.grant.read_rows(), asked.space.owner(node));
    let own = owner.is_some_and(|owner| asked.grant.speaks_for(&owner));
    let covers = |name: &str| asked.grant.collections().is_none_or(|names| names.iter().any(|n| n.as_str() == name));
    late_conflicts(&asked.app, &asked.space, (author, after), |row| covers(&row.collection) && is_open(&rows, row, own))
        .await
}

/// What an author lost after a row of the ledger, as far as it is open. That there are no newer rows is known without asking the
/// store, for those who never lost anything too, unless other workers write to it.
pub(in crate::dialect) async fn late_conflicts(
    app: &App,
    space: &Space,
    (author, after): (Author, u64),
    open: impl Fn(&ConflictRow) -> bool,
) -> Result<Option<LateConflicts>, ServerError> {
    if after == space.kept().last_conflict && !space.is_shared() {
        return Ok(None);
    }
    let found = app.hub.store().late_conflicts(space.name(), author, after, ROWS_MAX).await?;
    let rows = found.rows.iter().filter(|row| open(row)).filter_map(told).collect();
    Ok(Some(LateConflicts { upto: found.upto, rows }).filter(|found| found.upto != after))
}

/// Where only some rows may be read: fields are what the node itself wrote, but a document holds what others did as well. A node
/// whose token is gone is anybody's, and so would be what it wrote.
pub(in crate::dialect) fn is_open(rows: &RowFilters, row: &ConflictRow, own: bool) -> bool {
    let readable = || row.losing_kind != "document" || rows.mean(&row.collection, row.losing.text());
    !rows.limit(&row.collection) || (own && readable())
}

fn told(row: &ConflictRow) -> Option<LateConflict> {
    let lost = match row.losing_kind.as_str() {
        "fields" => Lost::Fields,
        "document" => Lost::Document,
        _ => Lost::Removal,
    };
    let values = (lost != Lost::Removal).then(|| serde_json::from_str(row.losing.text()).ok()).flatten();
    let unset = if lost == Lost::Fields { taken_away(row) } else { Vec::new() };
    let (collection, id) = (CollectionName::new(&row.collection).ok()?, DocId::new(&row.id).ok()?);
    Some(LateConflict { n: row.n, collection, id, lsn: row.lsn, lost, values, unset })
}

/// Of fields that a side did not have, the other one knows the names.
fn taken_away(row: &ConflictRow) -> Vec<String> {
    let fields = |text: &str| serde_json::from_str::<Fields>(text).unwrap_or_default();
    let (losing, winning) = (fields(row.losing.text()), fields(row.winning.text()));
    let had: BTreeSet<&str> = losing.iter().map(|(name, _)| name).collect();
    let names = winning.iter().map(|(name, _)| name).filter(|name| row.winning_kind == "fields" && !had.contains(name));
    names.map(str::to_owned).collect()
}
