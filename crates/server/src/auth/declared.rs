//! What declared tokens granted before the configuration was changed: the store keeps it by the token's name, so that a
//! reader is told what goes, whenever it comes back. A change is seen when a hub starts with it.

use super::former::{Before, heads};
use super::spec::TokenSpec;
use crate::error::ServerError;
use crate::store::{Record, RecordKind, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What a hub started with last.
#[derive(Serialize, Deserialize)]
struct Noted {
    spec: TokenSpec,
    before: Vec<Before>,
}

impl Noted {
    fn spelled(&self) -> String {
        serde_json::to_string(self).expect("a token serializes")
    }
}

/// What the store has noted, by the tokens' names.
///
/// # Errors
/// Those of the store.
pub(super) async fn noted(store: &dyn Store) -> Result<HashMap<String, Record>, ServerError> {
    let records = store.records(RecordKind::Declared).await?;
    Ok(records.into_iter().map(|record| (record.key.clone(), record)).collect())
}

/// Notes what a declared token grants now, and tells what it granted before; `old` is what is noted of it. An admin's
/// opens everything.
///
/// # Errors
/// Those of the store where it cannot be read. What cannot be written is noted at the next start.
pub(super) async fn note(
    store: &dyn Store,
    spec: &TokenSpec,
    mut old: Option<Record>,
) -> Result<Vec<Before>, ServerError> {
    let key = spec.name.to_string();
    if spec.admin {
        return Ok(Vec::new());
    }
    loop {
        let (now, written) = match old {
            None => {
                let first = Noted { spec: spec.clone(), before: Vec::new() };
                let written = store.add_record(RecordKind::Declared, key.clone(), first.spelled()).await;
                (first, written)
            }
            Some(old) => {
                let now = after(store, &old, spec).await?;
                let text = now.spelled();
                // Hubs that start together note the same.
                if text == old.value {
                    return Ok(now.before);
                }
                let written = store.replace_record(RecordKind::Declared, key.clone(), old.value, text).await;
                (now, written)
            }
        };
        if is_written(spec, written) {
            return Ok(now.before);
        }
        old = noted(store).await?.remove(&key);
    }
}

/// What is to be noted in the place of a record.
async fn after(store: &dyn Store, old: &Record, spec: &TokenSpec) -> Result<Noted, ServerError> {
    let unreadable =
        |error| ServerError::Bug(format!("what the declared token `{}` granted cannot be read: {error}", old.key));
    let Noted { spec: known, mut before } = serde_json::from_str(&old.value).map_err(unreadable)?;
    if known != *spec {
        let until = heads(store, known.space.as_ref()).await?;
        Before::remember(&mut before, &known, spec, until);
    }
    Ok(Noted { spec: spec.clone(), before })
}

/// `false`: somebody else was quicker.
fn is_written(spec: &TokenSpec, written: Result<bool, StoreError>) -> bool {
    written.unwrap_or_else(|error| {
        tracing::warn!(token = %spec.name, %error, "what a declared token grants is not noted");
        true
    })
}
