//! A database that syncs by numbered packets (`exchange`) instead of the log: the session stays the
//! same, its requests leave as packets and their answers come back as pages and receipts.

use super::local::{Local, Outgoing};
use super::options::ExchangeOptions;
use super::packet::OutPacket;
use crate::error::Error;
use crate::rebase::Resolver;
use crate::replica::{Ends, Replica, Sent};
use crate::sync_error::SyncError;
use std::collections::BTreeSet;
use syncline_core::model::{CollectionName, Lsn, NodeId, Page, Strategy, Views};
use syncline_core::session::{Answer, Backlog, Positions, Request, Stored, Write};
use syncline_core::wire::exchange::{Side, open};

/// A database that exchanges packets, as a sync engine drives it: in place of its [`Replica`], but for positions and
/// backlog, which are the same.
pub struct PacketNode {
    replica: Replica,
    ends: Ends,
}

impl PacketNode {
    /// The database below `replica`, which exchanges with the hub that the options name.
    ///
    /// # Errors
    /// [`SyncError::ExchangeOption`] for an id or a version that is none.
    pub fn new(replica: Replica, options: &ExchangeOptions) -> Result<PacketNode, SyncError> {
        Ok(PacketNode { replica, ends: options.ends()? })
    }

    /// The collections take part in the exchange from now on, like [`Replica::join`].
    ///
    /// # Errors
    /// [`SyncError::OtherDialect`], [`SyncError::OtherExchange`], or when the file cannot be written.
    pub fn join(&self, collections: &BTreeSet<CollectionName>, strategy: Strategy) -> Result<(), Error> {
        self.replica.join_packets(collections, strategy, &self.ends)
    }

    /// How a request of the session leaves: as a packet, or not at all.
    ///
    /// # Errors
    /// When the file cannot be written, and for snapshots: packets know none.
    pub fn outgoing(&self, request: &Request) -> Result<Outgoing, String> {
        let outgoing = match request {
            Request::Pull { since, .. } => self.pull(since.lsn),
            Request::Push(batch) => self.push(&batch.body),
            // The pull of the same cycle has shown it.
            Request::Health => Ok(Outgoing::Known(Answer::Healthy)),
            Request::Snapshot { .. } => return Err("packets know no snapshot; enable sync anew".to_owned()),
        };
        outgoing.map_err(|error| error.to_string())
    }

    /// Carries out one write of a session on these collections.
    ///
    /// # Errors
    /// When the file cannot be written; nothing of the write is then kept.
    pub fn carry_out(&self, scope: &BTreeSet<CollectionName>, write: Write) -> Result<Stored, Error> {
        match write {
            Write::NextBatch { scope, limit, recompose } => {
                self.replica.next_packet(&scope, &self.ends, limit, recompose)
            }
            write => self.replica.carry_out(scope, write),
        }
    }

    /// A pull asks with an empty packet. While one with ops is under way nothing else may be sent, and its
    /// answer brings the hub's news as well: the session goes on to it at once.
    fn pull(&self, since: Lsn) -> Result<Outgoing, Error> {
        Ok(match self.replica.asking_packet(&self.ends)? {
            Some(sent) => Outgoing::Packet(self.out(sent)?),
            None => {
                let (epoch, views, ops) = (self.ends.epoch(), Views::new(), Vec::new());
                Outgoing::Known(Answer::Page(Page {
                    server_lsn: since,
                    epoch,
                    has_more: false,
                    views,
                    ops,
                    conflicts: None,
                    receipt: None,
                }))
            }
        })
    }

    fn push(&self, text: &str) -> Result<Outgoing, Error> {
        let opened = open(text.as_bytes(), Side::Node)?;
        let (number, ack) = (opened.header.packet_no, opened.header.ack_packet_no);
        Ok(Outgoing::Packet(self.out(Sent { number, ack, text: text.to_owned() })?))
    }

    fn out(&self, sent: Sent) -> Result<OutPacket, Error> {
        Ok(OutPacket { sent, ends: self.ends.clone(), node: Replica::node(&self.replica)? })
    }
}

impl Local for PacketNode {
    fn node(&self) -> Result<NodeId, SyncError> {
        Local::node(&self.replica)
    }

    fn join(
        &mut self,
        collections: &BTreeSet<CollectionName>,
        strategy: Strategy,
        resolver: Option<&Resolver>,
    ) -> Result<(), SyncError> {
        for name in collections {
            self.replica.set_resolver(name.clone(), resolver.cloned());
        }
        PacketNode::join(self, collections, strategy).map_err(Error::into_sync)
    }

    fn positions(&mut self, scope: &BTreeSet<CollectionName>) -> Result<Positions, String> {
        Local::positions(&mut self.replica, scope)
    }

    fn backlog(&mut self, scope: &BTreeSet<CollectionName>) -> Result<Backlog, String> {
        Local::backlog(&mut self.replica, scope)
    }

    fn outgoing(&mut self, request: &Request) -> Result<Outgoing, String> {
        PacketNode::outgoing(self, request)
    }

    fn carry_out(&mut self, scope: &BTreeSet<CollectionName>, write: Write) -> Result<Stored, String> {
        PacketNode::carry_out(self, scope, write).map_err(|error| error.to_string())
    }
}
