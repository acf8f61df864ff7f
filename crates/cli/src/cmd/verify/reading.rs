//! Asks a hub for a snapshot, line by line, and for the changes since, in the form of `spec/lsn.md`. Keeps nothing.

use crate::error::CliError;
use futures_util::StreamExt;
use std::collections::BTreeSet;
use syncline::sync::{ApiClient, ApiError, Cursor, HttpApiClient, request};
use syncline_core::model::{CollectionName, Lsn, NodeId};
use syncline_core::wire::own::{Page, PageOp, SnapshotEnd, SnapshotHead};

/// Changes that one page may hold.
const PAGE_CHANGES: u32 = 1_000;

/// Reads a snapshot to its end.
///
/// # Errors
/// The hub refuses, cannot be reached, or the snapshot is cut; those of `take`.
pub async fn snapshot(
    hub: &HttpApiClient,
    node: &NodeId,
    scope: &BTreeSet<CollectionName>,
    mut take: impl FnMut(&PageOp) -> Result<(), CliError>,
) -> Result<SnapshotHead, CliError> {
    let mut answer = hub.stream(&request::snapshot(node, scope, None)).await.map_err(unreached)?;
    let (mut buffer, mut head, mut ended) = (Vec::new(), None, false);
    while let Some(piece) = answer.pieces.next().await {
        buffer.extend_from_slice(&piece.map_err(unreached)?);
        if answer.status != 200 {
            continue;
        }
        let Some(last) = buffer.iter().rposition(|byte| *byte == b'\n') else { continue };
        let lines: Vec<u8> = buffer.drain(..=last).collect();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if head.is_none() {
                head = Some(read::<SnapshotHead>(line)?);
            } else if line.starts_with(b"{\"end\"") {
                ended = read::<SnapshotEnd>(line)?.end;
            } else {
                take(&read(line)?)?;
            }
        }
    }
    if answer.status != 200 {
        return Err(refused(answer.status, &buffer));
    }
    head.filter(|_| ended).ok_or_else(|| CliError::Sync("the snapshot was cut; compare again".into()))
}

/// Reads the log behind a cursor up to an LSN.
///
/// # Errors
/// The hub refuses or cannot be reached.
pub async fn changes(
    hub: &HttpApiClient,
    node: &NodeId,
    scope: &BTreeSet<CollectionName>,
    mut from: Cursor,
    upto: Lsn,
    mut take: impl FnMut(&PageOp),
) -> Result<(), CliError> {
    loop {
        let answer = hub.get(&request::pull(node, scope, &from, PAGE_CHANGES, 0)).await.map_err(unreached)?;
        if answer.status != 200 {
            return Err(refused(answer.status, &answer.body));
        }
        let page: Page = read(&answer.body)?;
        page.ops.iter().for_each(&mut take);
        from.lsn = page.server_lsn;
        if !page.has_more || from.lsn >= upto {
            return Ok(());
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(text: &[u8]) -> Result<T, CliError> {
    serde_json::from_slice(text).map_err(|error| CliError::Sync(format!("the hub's answer cannot be read: {error}")))
}

fn unreached(error: ApiError) -> CliError {
    CliError::Sync(error.to_string())
}

fn refused(status: u16, body: &[u8]) -> CliError {
    let said: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let reason = said.get("error").and_then(serde_json::Value::as_str).unwrap_or("it gave no reason");
    CliError::SyncRefused(format!("the hub refused ({status}): {reason}"))
}
