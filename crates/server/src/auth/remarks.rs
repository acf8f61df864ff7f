//! What whoever makes or changes a token may not have meant. Refuses nothing.

use super::spec::{TokenSpec, listed};
use crate::error::ServerError;
use crate::store::{CollectionRule, Encoder, Head, RecordKind, Row, Scan, Scanned, Store};
use std::collections::BTreeSet;
use syncline_core::model::{CollectionName, Lsn, SpaceName};
use tokio::sync::mpsc;

/// Collections that are looked for; of more than these nothing is said.
const LOOKED_FOR: usize = 50;

/// Sentences, each about one thing.
///
/// # Errors
/// Those of the store.
pub(super) async fn remarks(store: &dyn Store, spec: &TokenSpec) -> Result<Vec<String>, ServerError> {
    let beside = spec.open_beside_rows();
    let next = "name the collections that it opens to leave them out (`--collections`)";
    let mut said: Vec<String> = beside.map(|beside| format!("{beside}; {next}")).into_iter().collect();
    let Some(space) = &spec.space else { return Ok(said) };
    let named: BTreeSet<&CollectionName> =
        spec.limited_collections().chain(spec.collections.iter().flatten()).chain(&spec.collection).collect();
    let rules: BTreeSet<String> =
        store.records(RecordKind::Collection).await?.into_iter().map(|record| record.key).collect();
    let mut absent = BTreeSet::new();
    for name in named.into_iter().take(LOOKED_FOR) {
        if !rules.contains(&CollectionRule::key(space, name)) && !holds_any(store, space, name).await? {
            absent.insert(name);
        }
    }
    if !absent.is_empty() {
        said.push(format!("nothing is in {} of space `{space}` yet: is that the name that you mean?", listed(&absent)));
    }
    Ok(said)
}

async fn holds_any(store: &dyn Store, space: &SpaceName, name: &CollectionName) -> Result<bool, ServerError> {
    let scan = Scan::Snapshot {
        collections: Some([name.clone()].into()),
        after: Lsn::ZERO,
        expired_by: None,
        max_rows: 1,
        max_bytes: usize::MAX,
    };
    // Where the first row is, a reader is not needed to know.
    let (out, _unread) = mpsc::channel(1);
    Ok(store.scan(space, scan, Box::new(Count), out).await?.rows > 0)
}

/// Writes nothing.
struct Count;

impl Encoder for Count {
    fn begin(&mut self, _head: &Head, _out: &mut Vec<u8>) {}

    fn row(&mut self, _row: &Row<'_>, _out: &mut Vec<u8>) -> bool {
        true
    }

    fn end(&mut self, _scanned: &Scanned, _out: &mut Vec<u8>) {}
}
