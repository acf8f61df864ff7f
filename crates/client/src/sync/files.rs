//! Packets by file, for sites without a network: what the engine does by requests, one step at a time.
//! Repeats, gaps and packets in another order do no harm.

use super::desk::Desk;
use super::options::SyncOptions;
use super::packet;
use crate::error::Result;
use crate::replica::{Order, Replica};
use crate::sync_error::SyncError;
use serde::Serialize;
use std::collections::BTreeSet;
use syncline_core::model::{CollectionName, Limits};

/// What an imported packet did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Documents that it brought.
    pub applied: u64,
    /// Own ops that the hub has accepted or set aside.
    pub settled: u64,
    /// Own edits that others' edits overruled, in part or whole.
    pub conflicts: u64,
    /// Own ops that the hub set aside.
    pub quarantined: u64,
    /// Own ops that still wait.
    pub pending: u64,
    /// Whether a packet with this number, or a later one, was imported before: its documents are not news.
    pub repeated: bool,
    /// Whether more is waiting at the hub than the packet holds.
    pub has_more: bool,
}

impl Desk {
    /// Writes everything that the hub has not confirmed, and what was imported, as one packet.
    pub(crate) fn export_packet(&self, options: &SyncOptions) -> Result<String> {
        let (ends, scope) = (options.exchange.ends()?, scope(options)?);
        self.replica().join_packets(&scope, options.conflict_resolution, &ends)?;
        let sent = self.replica().whole_packet(&scope, &ends, Limits::default().batch_ops)?;
        Ok(sent.text)
    }

    /// Takes a packet of the hub in.
    pub(crate) fn import_packet(&self, options: &SyncOptions, text: &str) -> Result<Imported> {
        let (ends, scope) = (options.exchange.ends()?, scope(options)?);
        let node = Replica::node(self.replica())?;
        let page = packet::read(text.as_bytes(), &ends, &node).map_err(SyncError::Packet)?;
        self.replica().join_packets(&scope, options.conflict_resolution, &ends)?;
        let number = page.receipt.as_ref().map_or(0, |receipt| receipt.number);
        let repeated = number <= self.replica().received_packet()?;
        let stored = self.replica().take_packet(&scope, &page, Order::AnyOrder)?;
        self.wrote();
        let brought = if repeated { 0 } else { (page.ops.len() as u64).saturating_sub(stored.echoes) };
        Ok(Imported {
            applied: brought,
            settled: stored.settled as u64,
            conflicts: stored.conflicts.len() as u64,
            quarantined: stored.quarantined.len() as u64,
            pending: stored.backlog.map_or(0, |backlog| backlog.pending),
            repeated: repeated && !page.ops.is_empty(),
            has_more: page.has_more,
        })
    }
}

fn scope(options: &SyncOptions) -> Result<BTreeSet<CollectionName>> {
    Ok(options.collections.iter().map(CollectionName::new).collect::<Result<_, _>>()?)
}
