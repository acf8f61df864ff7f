//! A database that syncs by numbered packets (`exchange`) instead of the log: the session stays the
//! same, its requests leave as packets and their answers come back as pages and receipts.

use super::local::{Local, Outgoing};
use super::packet::OutPacket;
use crate::error::Error;
use crate::rebase::Resolver;
use crate::replica::{Ends, Replica, Sent};
use crate::sync_error::SyncError;
use std::collections::BTreeSet;
use syncline_core::model::{CollectionName, Lsn, NodeId, Page, Strategy};
use syncline_core::session::{Answer, Backlog, Positions, Request, Stored, Write};
use syncline_core::wire::exchange::{Side, open};

/// A database that exchanges packets.
pub(super) struct PacketNode {
    replica: Replica,
    ends: Ends,
}

impl PacketNode {
    pub(super) fn new(replica: Replica, ends: Ends) -> PacketNode {
        PacketNode { replica, ends }
    }

    /// A pull asks with an empty packet. While one with ops is under way nothing else may be sent, and its
    /// answer brings the hub's news as well: the session goes on to it at once.
    fn pull(&self, since: Lsn) -> Result<Outgoing, Error> {
        Ok(match self.replica.asking_packet(&self.ends)? {
            Some(sent) => Outgoing::Packet(self.out(sent)?),
            None => {
                let (epoch, ops) = (self.ends.epoch(), Vec::new());
                Outgoing::Known(Answer::Page(Page { server_lsn: since, epoch, has_more: false, ops, receipt: None }))
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
        self.replica.join_packets(collections, strategy, &self.ends).map_err(Error::into_sync)
    }

    fn positions(&mut self, scope: &BTreeSet<CollectionName>) -> Result<Positions, String> {
        Local::positions(&mut self.replica, scope)
    }

    fn backlog(&mut self, scope: &BTreeSet<CollectionName>) -> Result<Backlog, String> {
        Local::backlog(&mut self.replica, scope)
    }

    fn outgoing(&mut self, request: &Request) -> Result<Outgoing, String> {
        let outgoing = match request {
            Request::Pull { since, .. } => self.pull(since.lsn),
            Request::Push(batch) => self.push(&batch.body),
            // The pull of the same cycle has shown it.
            Request::Health => Ok(Outgoing::Known(Answer::Healthy)),
            Request::Snapshot { .. } => return Err("packets know no snapshot; enable sync anew".to_owned()),
        };
        outgoing.map_err(|error| error.to_string())
    }

    fn carry_out(&mut self, scope: &BTreeSet<CollectionName>, write: Write) -> Result<Stored, String> {
        match write {
            Write::NextBatch { scope, limit, recompose } => {
                self.replica.next_packet(&scope, &self.ends, limit, recompose).map_err(|error| error.to_string())
            }
            write => Local::carry_out(&mut self.replica, scope, write),
        }
    }
}
