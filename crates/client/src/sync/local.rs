//! What the engine needs of the local database. Implemented by the replica, and by a small one in
//! memory that the engine's tests use.

use super::packet::OutPacket;
use crate::rebase::Resolver;
use crate::sync_error::SyncError;
use std::collections::BTreeSet;
use syncline_core::model::{CollectionName, NodeId, Strategy};
use syncline_core::session::{Answer, Backlog, Positions, Request, Stored, Write};

/// How a request of the session leaves.
pub enum Outgoing {
    /// As a request of the `lsn` dialect.
    Plain {
        /// How far the hub's conflict ledger has been told here; `None`: it is not asked for.
        told: Option<u64>,
    },
    /// As a packet of the `exchange` dialect.
    Packet(OutPacket),
    /// Not at all, because the answer is known.
    Known(Answer),
}

/// The local database as one session sees it. While a session runs, errors are sentences for `sync:error`.
pub(super) trait Local: Send {
    /// Who this device is.
    fn node(&self) -> Result<NodeId, SyncError>;

    /// The collections take part from now on; this decides their conflicts where the hub does not.
    fn join(
        &mut self,
        collections: &BTreeSet<CollectionName>,
        strategy: Strategy,
        resolver: Option<&Resolver>,
    ) -> Result<(), SyncError>;

    /// How far the collections have got.
    fn positions(&mut self, scope: &BTreeSet<CollectionName>) -> Result<Positions, String>;

    /// What waits for the hub.
    fn backlog(&mut self, scope: &BTreeSet<CollectionName>) -> Result<Backlog, String>;

    /// How a request leaves. Unless overridden, in the form of the `lsn` dialect.
    fn outgoing(&mut self, _request: &Request) -> Result<Outgoing, String> {
        Ok(Outgoing::Plain { told: None })
    }

    /// Carries out one write in one transaction.
    fn carry_out(&mut self, scope: &BTreeSet<CollectionName>, write: Write) -> Result<Stored, String>;
}
