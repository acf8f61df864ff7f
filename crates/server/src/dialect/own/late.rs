//! What a reader had been told was accepted and lost later, on its way with a page: rows of the ledger behind the number that
//! the reader names. Only who speaks for the node hears it, and of rows that it may not read no document.

use super::super::Asked;
use crate::error::ServerError;
use crate::store::ConflictRow;
use std::collections::BTreeSet;
use syncline_core::model::{CollectionName, DocId, Fields, LateConflict, LateConflicts, Lost, NodeId, RowFilters};

/// Rows that one page brings.
const ROWS_MAX: usize = 100;

/// The rows after the number in `conflicts_after`; `None`: nothing is asked, or there are no newer ones. That is known
/// without asking the store, for those who never lost anything too, unless other workers write to it.
pub(super) async fn conflicts(asked: &Asked, node: &NodeId) -> Result<Option<LateConflicts>, ServerError> {
    if asked.query.get("conflicts_after").is_none() {
        return Ok(None);
    }
    let after: u64 = asked.query.read("conflicts_after", 0, "a whole number, 0 or more")?;
    if after == asked.space.kept().last_conflict && !asked.space.is_shared() {
        return Ok(None);
    }
    let Some(author) = asked.space.author(node) else { return Ok(None) };
    let (store, space) = (asked.app.hub.store(), asked.space.name());
    let found = store.late_conflicts(space, author, after, ROWS_MAX).await?;
    let (rows, owner) = (asked.grant.read_rows(), asked.space.owner(node));
    let own = owner.is_some_and(|owner| asked.grant.speaks_for(&owner));
    let open = found.rows.iter().filter(|row| is_open(&rows, row, own));
    let shown = open.filter_map(told).filter(|row| asked.grant.check_collection(&row.collection).is_ok());
    Ok(Some(LateConflicts { upto: found.upto, rows: shown.collect() }).filter(|found| found.upto != after))
}

/// Where only some rows may be read: fields are what the node itself wrote, but a document holds what others did as well. A node
/// whose token is gone is anybody's, and so would be what it wrote.
fn is_open(rows: &RowFilters, row: &ConflictRow, own: bool) -> bool {
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
