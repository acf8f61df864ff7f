//! Asks a hub for digests, for the documents of some ranges, and for the changes since, in the form of `spec/lsn.md`. Keeps
//! nothing but the line that it is at.

use crate::error::CliError;
use futures_util::StreamExt;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use syncline::sync::{ApiClient, ApiError, Cursor, HttpApiClient, request};
use syncline_core::model::{CollectionName, Lsn, Millis, NodeId};
use syncline_core::wire::own::{Page, PageOp, SnapshotEnd, SnapshotHead};
use syncline_core::wire::ranges::{Range, Tally, TallyLine};

/// Changes that one page may hold.
const PAGE_CHANGES: u32 = 1_000;

/// A hub, and who reads which collections of it.
pub struct Source<'a> {
    pub hub: &'a HttpApiClient,
    pub node: &'a NodeId,
    pub scope: &'a BTreeSet<CollectionName>,
    /// The hub's packet that the reader has stored last, where it is a node that gets packets.
    pub packet: Option<u64>,
}

/// A line of a count that is still under way.
#[derive(Deserialize)]
struct Scanned {
    scanned: u64,
}

impl Source<'_> {
    /// What stands in the parts of some ranges, and where the log stood; `told` hears how far the hub has counted.
    ///
    /// # Errors
    /// The hub refuses, cannot be reached, or its answer is cut.
    pub async fn digests(
        &self,
        at: &Cursor,
        until: Millis,
        ranges: &[Range],
        mut told: impl FnMut(u64),
    ) -> Result<(SnapshotHead, BTreeMap<Range, Tally>), CliError> {
        let mut parts = BTreeMap::new();
        let path = self.read_as(request::digests(self.node, self.scope, at, until, ranges));
        let head = self.lines(&path, |line| {
            if line.starts_with(b"{\"scanned\"") {
                told(read::<Scanned>(line)?.scanned);
                return Ok(());
            }
            let line: TallyLine = read(line)?;
            let tally = line.tally().map_err(|error| CliError::Sync(error.to_string()))?;
            parts.insert(line.range, tally);
            Ok(())
        });
        Ok((head.await?, parts))
    }

    /// Reads the documents of some ranges.
    ///
    /// # Errors
    /// As [`Source::digests`], and those of `take`.
    pub async fn documents(
        &self,
        ranges: &[Range],
        mut take: impl FnMut(PageOp) -> Result<(), CliError>,
    ) -> Result<SnapshotHead, CliError> {
        self.lines(&self.read_as(request::snapshot_of(self.node, self.scope, ranges)), |line| take(read(line)?)).await
    }

    /// Reads the log behind a cursor up to an LSN. Returns how far it has come.
    ///
    /// # Errors
    /// The hub refuses or cannot be reached.
    pub async fn changes(&self, mut from: Cursor, upto: Lsn, mut take: impl FnMut(&PageOp)) -> Result<Lsn, CliError> {
        loop {
            let path = self.read_as(request::pull(self.node, self.scope, &from, PAGE_CHANGES, 0));
            let answer = self.hub.get(&path).await.map_err(unreached)?;
            if answer.status != 200 {
                return Err(refused(answer.status, &answer.body));
            }
            let page: Page = read(&answer.body)?;
            page.ops.iter().for_each(&mut take);
            from.lsn = page.server_lsn;
            if !page.has_more || from.lsn >= upto {
                return Ok(from.lsn);
            }
        }
    }

    fn read_as(&self, path: String) -> String {
        match self.packet {
            Some(number) => request::by_packet(path, number),
            None => path,
        }
    }

    /// Reads lines between the head and the end.
    async fn lines(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), CliError>,
    ) -> Result<SnapshotHead, CliError> {
        let mut answer = self.hub.stream(path).await.map_err(unreached)?;
        let (mut buffer, mut head, mut ended) = (Vec::new(), None, false);
        while let Some(piece) = answer.pieces.next().await {
            buffer.extend_from_slice(&piece.map_err(|error| CliError::Cut(error.to_string()))?);
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
                    take(line)?;
                }
            }
        }
        if answer.status != 200 {
            return Err(refused(answer.status, &buffer));
        }
        head.filter(|_| ended).ok_or_else(|| CliError::Cut("its answer has no end".into()))
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
