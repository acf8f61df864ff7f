//! What differs between a database and its hub at the LSN that the database has read to.

use super::reading;
use crate::error::CliError;
use crate::hub::now;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use syncline::Database;
use syncline::sync::{Cursor, HttpApiClient};
use syncline_core::model::{Body, CollectionName, DocId, Lsn, Millis};
use syncline_core::wire::own::{PageEdit, PageOp};

/// Documents that expire so soon may be gone on one side alone, by the clocks.
const EXPIRY_SLACK_MS: u64 = 120_000;

/// How a document differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The hub has it and the database does not.
    Missing,
    /// The database has it and the hub does not.
    Extra,
    /// The texts or versions are not the same.
    Different,
}

impl Kind {
    /// For tables.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Missing => "missing here",
            Kind::Extra => "not at the hub",
            Kind::Different => "different",
        }
    }
}

/// A document that differs.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// Where.
    pub collection: CollectionName,
    /// Which.
    pub id: DocId,
    /// How.
    pub kind: Kind,
    /// The version that the database takes for the hub's.
    pub here: Option<Lsn>,
    /// The hub's.
    pub hub: Option<Lsn>,
}

/// What a comparison has come to.
#[derive(Debug, Serialize)]
pub struct Compared {
    /// Up to where the database has read.
    pub lsn: Lsn,
    /// Documents of the hub that were compared.
    pub documents: u64,
    /// Documents that differed and were loaded anew.
    pub repaired: usize,
    /// What differs.
    pub differences: Vec<Difference>,
}

/// Compares the collections.
///
/// # Errors
/// The database has not read them to an end, or in another history; the hub refuses or cannot be reached.
pub async fn compare(database: &Database, hub: &HttpApiClient, names: &[String]) -> Result<Compared, CliError> {
    let scope: BTreeSet<CollectionName> = names.iter().map(CollectionName::new).collect::<Result<_, _>>()?;
    let replica = database.replica();
    let mut cursors: BTreeMap<CollectionName, Cursor> = BTreeMap::new();
    for (name, cursor) in replica.positions(&scope)?.cursors {
        drop(cursors.insert(name.clone(), cursor.ok_or_else(|| unread(&name))?));
    }
    let soon = Millis(now().0.saturating_add(EXPIRY_SLACK_MS));
    let mut left: BTreeMap<CollectionName, BTreeSet<DocId>> = BTreeMap::new();
    for name in &scope {
        left.insert(name.clone(), replica.hub_ids(name, soon)?);
    }
    let node = replica.node()?;
    let (mut differences, mut documents) = (Vec::new(), 0);
    let head = reading::snapshot(hub, &node, &scope, |op| {
        let Some(cursor) = cursors.get(&op.collection) else { return Ok(()) };
        left.get_mut(&op.collection).map(|ids| ids.remove(&op.id));
        if op.lsn > cursor.lsn || expires_by(op, soon) {
            return Ok(());
        }
        documents += 1;
        let here = replica.hub_version(&op.collection, &op.id)?;
        let kind = match &here {
            None => Kind::Missing,
            Some((lsn, text)) if *lsn != op.lsn || !same(text, op) => Kind::Different,
            Some(_) => return Ok(()),
        };
        let (collection, id) = (op.collection.clone(), op.id.clone());
        differences.push(Difference { collection, id, kind, here: here.map(|(lsn, _)| lsn), hub: Some(op.lsn) });
        Ok(())
    })
    .await?;
    if let Some((name, _)) = cursors.iter().find(|(_, cursor)| cursor.epoch != head.epoch) {
        return Err(unread(name));
    }
    let from = cursors.values().min_by_key(|cursor| cursor.lsn).cloned().unwrap_or_default();
    if left.values().any(|ids| !ids.is_empty()) {
        // Removed since the database has read: not yet a difference.
        reading::changes(hub, &node, &scope, from.clone(), head.server_lsn, |op| {
            let unread = cursors.get(&op.collection).is_some_and(|cursor| op.lsn > cursor.lsn);
            if unread && op.op == PageEdit::Remove {
                left.get_mut(&op.collection).map(|ids| ids.remove(&op.id));
            }
        })
        .await?;
    }
    for (collection, ids) in left {
        for id in ids {
            let here = replica.hub_version(&collection, &id)?.map(|(lsn, _)| lsn);
            differences.push(Difference { collection: collection.clone(), id, kind: Kind::Extra, here, hub: None });
        }
    }
    Ok(Compared { lsn: from.lsn, documents, repaired: 0, differences })
}

fn unread(collection: &CollectionName) -> CliError {
    CliError::Usage(format!(
        "the database has not read `{collection}` as the hub has it now; `syncline db sync FILE` first, then compare"
    ))
}

fn expires_by(op: &PageOp, soon: Millis) -> bool {
    let expires = op.doc.as_ref().and_then(|text| Body::trusted(text.get()).facts().expires);
    expires.is_some_and(|at| at <= soon)
}

/// Spelling may differ where the database has merged edits of its own.
fn same(text: &str, op: &PageOp) -> bool {
    let Some(theirs) = op.doc.as_ref().map(|doc| doc.get()) else { return false };
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    text == theirs || (read(text).is_some() && read(text) == read(theirs))
}
